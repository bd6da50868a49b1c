//! TLS towards vendors: always verified, against the name in the url.

use std::path::Path;

use serde_json::{Value, json};
use weir::config::Endpoint;

use super::{extension, joined};

/// The transport to an https endpoint.
pub fn to(endpoint: &Endpoint, ca_file: Option<&str>) -> Result<Value, String> {
    // An address is no server name, RFC 6066 section 3.
    let (san_type, name) = match endpoint.ip() {
        Some(_) => ("IP_ADDRESS", json!({})),
        None => ("DNS", json!({"sni": endpoint.host})),
    };
    let context = json!({
        "common_tls_context": {"validation_context": {
            "trusted_ca": {"filename": ca_file.or(system_authorities()).ok_or(NO_AUTHORITIES)?},
            "match_typed_subject_alt_names": [{"san_type": san_type, "matcher": {"exact": endpoint.host}}],
        }},
    });
    Ok(extension(
        "envoy.transport_sockets.tls",
        "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        joined(name, context),
    ))
}

fn system_authorities() -> Option<&'static str> {
    AUTHORITIES.iter().copied().find(|path| Path::new(path).is_file())
}

/// Where systems keep the certificate authorities that they trust: Debian and Alpine, Fedora, macOS and the BSDs.
const AUTHORITIES: &[&str] =
    &["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

const NO_AUTHORITIES: &str = "this system has no certificate authorities where they are usually kept: install the \
                              package ca-certificates, or name a file in the vendor's ca_file";
