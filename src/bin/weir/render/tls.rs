//! TLS towards vendors and Redis: always verified, against the name in the url.

use std::path::Path;

use serde_json::{Value, json};
use weir::config::Endpoint;

use super::{extension, joined};

/// The transport to an endpoint, or to several that are each other's equals: the nodes of a cluster, of which the others
/// are only known by the addresses that these few announce. So any of the names will do for any node.
pub fn to(endpoints: &[Endpoint], ca_file: Option<&str>) -> Result<Value, String> {
    // An address is no server name, RFC 6066 section 3.
    let named = endpoints.iter().find(|endpoint| endpoint.ip().is_none());
    let name = named.map_or(json!({}), |endpoint| json!({"sni": endpoint.host}));
    let matchers: Vec<Value> = endpoints.iter().map(subject).collect();
    let context = json!({
        "common_tls_context": {"validation_context": {
            "trusted_ca": {"filename": ca_file.or(system_authorities()).ok_or(NO_AUTHORITIES)?},
            "match_typed_subject_alt_names": matchers,
        }},
    });
    Ok(extension(
        "envoy.transport_sockets.tls",
        "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        joined(name, context),
    ))
}

fn subject(endpoint: &Endpoint) -> Value {
    let kind = if endpoint.ip().is_some() { "IP_ADDRESS" } else { "DNS" };
    json!({"san_type": kind, "matcher": {"exact": endpoint.host}})
}

fn system_authorities() -> Option<&'static str> {
    AUTHORITIES.iter().copied().find(|path| Path::new(path).is_file())
}

/// Where systems keep the certificate authorities that they trust: Debian and Alpine, Fedora, macOS and the BSDs.
const AUTHORITIES: &[&str] =
    &["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

const NO_AUTHORITIES: &str = "this system has no certificate authorities where they are usually kept: install the \
                              package ca-certificates, or name a file as ca_file";
