//! How clients come in: `tls`, `cors`. The filter sees nothing of it; this is Envoy's work.

use serde::{Deserialize, Serialize};

use crate::unit::Span;

/// `tls`.
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct Tls {
    /// PEM file with the certificate, the server's own first, by its absolute path.
    #[serde(default)]
    pub cert_file: String,
    /// PEM file with its private key, which is not encrypted.
    #[serde(default)]
    pub key_file: String,
}

/// `cors`.
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct Cors {
    /// Origins whose pages may ask from a browser: `https://app.example.com`, `http://localhost:5173`, spelled as
    /// browsers send them; or `["*"]`, all.
    #[serde(default)]
    pub origins: Vec<String>,
    /// How long a browser may remember that; at most `24h`.
    #[serde(default = "ten_minutes")]
    pub max_age: Span,
}

/// Browsers remember for two hours at most, whatever they are told; an origin that is taken out should be out soon.
fn ten_minutes() -> Span {
    Span(std::time::Duration::from_secs(600))
}
