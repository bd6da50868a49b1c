//! What is kept of answers, as it is written.

use serde::{Deserialize, Serialize};

use crate::cache::{Only, Scope};
use crate::unit::{Bytes, Span};

/// `cache` of the gateway.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default)]
pub struct Cache {
    /// How long an answer is fresh.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl: Option<Span>,
    /// How much longer it may stand in for an error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stale: Option<Span>,
    /// Who shares it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
    /// Which requests it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub only: Option<Only>,
    /// What makes no difference between prompts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub normalise: Option<Vec<Normalise>>,
    /// How long a request waits for the answer to an identical one; not at all if 0s.
    pub merge: Span,
    /// The largest answer that is kept.
    pub entry_bytes: Bytes,
    /// What this Envoy keeps in its memory.
    pub l1: Level1,
}

/// `cache` of a model or a key.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct CacheRules {
    /// Whether answers are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// How long an answer is fresh.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl: Option<Span>,
    /// How much longer it may stand in for an error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stale: Option<Span>,
    /// Who shares it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
    /// Which requests it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub only: Option<Only>,
    /// What makes no difference between prompts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub normalise: Option<Vec<Normalise>>,
}

/// `l1`.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default)]
pub struct Level1 {
    /// How much memory it may take, of all workers together.
    pub max_bytes: Bytes,
}

/// A difference in the text of prompts.
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
