//! `log`, `tracing` and `metrics`: what operators see.

use serde::{Deserialize, Serialize};

use crate::config::Audience;

/// `log`.
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
#[serde(default)]
pub struct Log {
    /// Whether there is a line in [the access log](metrics.md) for each request.
    pub access: bool,
}

impl Default for Log {
    fn default() -> Log {
        Log { access: true }
    }
}

/// `tracing`.
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct Tracing {
    /// Where [traces](metrics.md) go: `http://collector:4317` for gRPC, a URL with a path for HTTP; `https://` for
    /// TLS.
    #[serde(default)]
    pub otlp: String,
    /// Which part of the requests is traced, 0 to 1.
    #[serde(default = "all")]
    pub sample: f64,
}

fn all() -> f64 {
    1.0
}

/// `metrics`.
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
#[derive(Debug, Clone, Copy, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Metrics {
    /// Who may read `/metrics`: `everybody`, or `admin`, keys with `admin: true`.
    pub access: Audience,
}
