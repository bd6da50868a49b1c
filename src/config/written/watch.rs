//! `log`, `tracing` and `metrics`: what operators see.

use serde::{Deserialize, Serialize};

use crate::config::Audience;

/// `log`.
#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
#[serde(default)]
pub struct Log {
    /// Whether there is a line for each request.
    pub access: bool,
}

impl Default for Log {
    fn default() -> Log {
        Log { access: true }
    }
}

/// `tracing`.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct Tracing {
    /// The collector: `http://collector:4317` for gRPC, with a path for HTTP.
    #[serde(default)]
    pub otlp: String,
    /// Which part of the requests that bring no trace of their own is traced.
    #[serde(default = "all")]
    pub sample: f64,
}

fn all() -> f64 {
    1.0
}

/// `metrics`.
#[derive(Debug, Clone, Copy, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Metrics {
    /// Who may read them.
    pub access: Audience,
}
