//! What is kept of answers, as it is written.

use serde::{Deserialize, Serialize};

use crate::cache::{Only, Scope};
use crate::unit::{Bytes, Span};

/// `cache` of the gateway.
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default)]
pub struct Cache {
    /// How long an answer is fresh, `1s` to `720h`.
    ///
    /// Default: `10m`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl: Option<Span>,
    /// How much longer it may stand in for an error.
    ///
    /// Default: `24h`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stale: Option<Span>,
    /// Who shares answers: `key`, each key has its own; `tenant`, the keys of a tenant; `shared`, all keys with
    /// this scope.
    ///
    /// Default: `key`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
    /// `deterministic`: only requests with temperature 0 and without tools.
    ///
    /// Default: `all`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub only: Option<Only>,
    /// Differences between prompts that make no other request: `nfc`, `trailing_space`, `line_ends`.
    ///
    /// Default: none
    #[serde(skip_serializing_if = "Option::is_none")]
    pub normalise: Option<Vec<Normalise>>,
    /// How long a request waits for the answer to an identical one; `0s` merges none; at most `10m`.
    pub merge: Span,
    /// The largest answer that is kept, `1KiB` to `16MiB`; in this gateway's own memory at most 32 KiB.
    pub entry_bytes: Bytes,
    /// What this gateway keeps in its own memory.
    pub l1: Level1,
}

/// `cache` of a model or a key.
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct CacheRules {
    /// `false` keeps none of its answers.
    ///
    /// Default: `true`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// How long an answer is fresh, `1s` to `720h`.
    ///
    /// Default: as the gateway has it
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl: Option<Span>,
    /// How much longer it may stand in for an error.
    ///
    /// Default: as the gateway has it
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stale: Option<Span>,
    /// Who shares answers: `key`, `tenant` or `shared`.
    ///
    /// Default: as the gateway has it
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
    /// `all` or `deterministic`.
    ///
    /// Default: as the gateway has it
    #[serde(skip_serializing_if = "Option::is_none")]
    pub only: Option<Only>,
    /// Differences between prompts that make no other request.
    ///
    /// Default: as the gateway has it
    #[serde(skip_serializing_if = "Option::is_none")]
    pub normalise: Option<Vec<Normalise>>,
}

/// `l1`.
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default)]
pub struct Level1 {
    /// How much that may be, of all workers together; `1MiB` to `1GiB`.
    pub max_bytes: Bytes,
}

/// A difference in the text of prompts.
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Normalise {
    /// Of code points that spell the same character.
    Nfc,
    /// Of white space at the end of lines.
    TrailingSpace,
    /// Of CR LF and LF.
    LineEnds,
}

/// A minute is longer than most answers take; a quarter of a megabyte is a very long one.
impl Default for Cache {
    fn default() -> Cache {
        Cache {
            ttl: None,
            stale: None,
            scope: None,
            only: None,
            normalise: None,
            merge: Span(std::time::Duration::from_secs(60)),
            entry_bytes: Bytes(256 << 10),
            l1: Level1::default(),
        }
    }
}

/// Some thirty thousand answers.
impl Default for Level1 {
    fn default() -> Level1 {
        Level1 { max_bytes: Bytes(64 << 20) }
    }
}
