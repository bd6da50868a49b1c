//! How clients come in: `tls`, `cors`. The filter sees nothing of it; this is Envoy's work.

use serde::{Deserialize, Serialize};

use crate::unit::Span;

/// `tls`.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct Tls {
    /// A PEM file with the certificate, and those between it and a trusted authority.
    #[serde(default)]
    pub cert_file: String,
    /// A PEM file with its private key.
    #[serde(default)]
    pub key_file: String,
}

/// `cors`.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct Cors {
    /// The origins whose pages may ask, or `*`.
    #[serde(default)]
    pub origins: Vec<String>,
    /// How long a browser may remember that.
    #[serde(default = "ten_minutes")]
    pub max_age: Span,
}

/// Browsers remember for two hours at most, whatever they are told; an origin that is taken out should be out soon.
fn ten_minutes() -> Span {
    Span(std::time::Duration::from_secs(600))
}
