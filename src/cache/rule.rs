//! Whose answers are kept for whom, and for how long.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Normal;

/// What the gateway, a model or a key says about keeping answers; what it leaves open is said elsewhere.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rules {
    /// Whether answers are kept at all.
    pub enabled: Option<bool>,
    /// How long an answer is fresh.
    pub ttl: Option<Duration>,
    /// How much longer it may stand in for an error.
    pub stale: Option<Duration>,
    /// Who shares it.
    pub scope: Option<Scope>,
    /// Which requests it is for.
    pub only: Option<Only>,
    /// What makes no difference between prompts.
    pub normal: Option<Normal>,
}

/// What holds for one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// How long its answer is fresh.
    pub ttl: Duration,
    /// How much longer it may stand in for an error.
    pub stale: Duration,
    /// Who shares it.
    pub scope: Scope,
    /// Which requests answers are kept for.
    pub only: Only,
    /// What makes no difference between prompts.
    pub normal: Normal,
}

/// Who shares answers.
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Nobody: each key has its own.
    #[default]
    Key,
    /// The keys of a tenant; a key without one has its own.
    Tenant,
    /// All keys with this scope.
    Shared,
}

/// Which requests answers are kept for.
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Only {
    /// All of them.
    #[default]
    All,
    /// Those that leave nothing to chance: temperature 0 and no tools.
    Deterministic,
}

impl Rules {
    /// These, and where they say nothing, those.
    pub fn or(self, those: Rules) -> Rules {
        Rules {
            enabled: self.enabled.or(those.enabled),
            ttl: self.ttl.or(those.ttl),
            stale: self.stale.or(those.stale),
            scope: self.scope.or(those.scope),
            only: self.only.or(those.only),
            normal: self.normal.or(those.normal),
        }
    }

    /// What they come to; nothing if no answer is kept.
    pub fn rule(self) -> Option<Rule> {
        self.enabled.unwrap_or(true).then(|| Rule {
            ttl: self.ttl.unwrap_or(TTL),
            stale: self.stale.unwrap_or(STALE),
            scope: self.scope.unwrap_or_default(),
            only: self.only.unwrap_or_default(),
            normal: self.normal.unwrap_or_default(),
        })
    }
}

/// As long as a fact in a chat stays as it is.
const TTL: Duration = Duration::from_secs(600);
/// A night.
const STALE: Duration = Duration::from_secs(86_400);
