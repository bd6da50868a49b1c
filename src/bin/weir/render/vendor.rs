//! A cluster for each vendor.
//!
//! Behind the router, on every attempt: the filter's vendor role translates, then Envoy puts the credential in, where
//! the filter cannot see it, or signs the request, then it goes out. Each cluster has a second host of lower priority that refuses
//! every connection: an empty cluster ends a request at once, while a refused connection is retried, and the retry goes
//! to the next vendor.

use std::path::Path;
use std::time::UNIX_EPOCH;

use serde_json::{Value, json};
use weir::config::{AwsKeys, Endpoint, Secret, Signing, Vendor};

use super::layout::Layout;
use super::plugin::Machine;
use super::{echo, extension, joined, socket, tls};

/// The name of a vendor's cluster.
pub fn cluster_name(vendor: &str) -> String {
    format!("vendor_{vendor}")
}

/// A vendor's cluster.
pub fn cluster(vendor: &Vendor, machine: &Machine, layout: &Layout) -> Result<Value, String> {
    let name = cluster_name(&vendor.name);
    let hosts = match &vendor.endpoint {
        Some(endpoint) => joined(remote(&name, endpoint), transport(vendor, endpoint)?),
        None => json!({"load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": echo::address()}}]}],
        }}),
    };
    let options = json!({
        "connect_timeout": "5s",
        "circuit_breakers": unlimited(),
        "typed_extension_protocol_options": {HTTP: http(vendor, machine, layout)},
    });
    Ok(joined(json!({"name": name}), joined(hosts, options)))
}

/// Where Envoy finds the vendor's credential.
pub fn secret(vendor: &Vendor, layout: &Layout) -> Option<Value> {
    let secret = match vendor.credential.as_ref()? {
        Secret::Env(name) => json!({"secret": {"environment_variable": name}}),
        Secret::File(path) => {
            let age = match layout {
                Layout::Whole => json!({}),
                Layout::Files(_) => json!({"secrets": {"changed": {"inline_string": changed(path)}}}),
            };
            joined(json!({"secret": {"filename": path}}), age)
        }
    };
    Some(json!({"name": cluster_name(&vendor.name), "generic_secret": secret}))
}

/// When a file was changed, in a form that differs whenever it was. Envoy reads the file again only if what names it is
/// another; this stands beside the credential and nobody asks for it.
fn changed(path: &str) -> String {
    let when = std::fs::metadata(path).and_then(|file| file.modified()).ok();
    let since = when.and_then(|when| when.duration_since(UNIX_EPOCH).ok());
    since.map_or_else(String::new, |since| since.as_nanos().to_string())
}

fn remote(name: &str, endpoint: &Endpoint) -> Value {
    let host = |priority: u32, address: Value| json!({"priority": priority, "lb_endpoints": [{"endpoint": {"address": address}}]});
    json!({
        "type": if endpoint.ip().is_some() { "STATIC" } else { "STRICT_DNS" },
        "dns_lookup_family": "V4_PREFERRED",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [host(0, socket(&endpoint.host, endpoint.port)), host(1, socket("127.0.0.1", CLOSED_PORT))],
        },
        // A host that was ejected is not used any more, not even for want of another: there is another vendor.
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
        // Only a host that cannot be reached is put aside, so that the next requests need not find out again. What it
        // answers is for the filter to judge: a lone vendor with a bad minute is better than no vendor. Envoy cannot tell
        // a refused connection from one that is reset, or silent for too long, under a request; if five in a row are,
        // with no new connection between them, the host is aside, too. So it is for a second, however often: the filter's
        // breaker knows how long to turn to others, and whoever is back must not stay away for Envoy's time, which grows.
        "outlier_detection": {
            "split_external_local_origin_errors": true,
            "consecutive_local_origin_failure": 5,
            "enforcing_consecutive_local_origin_failure": 100,
            "enforcing_local_origin_success_rate": 0,
            "enforcing_consecutive_5xx": 0,
            "enforcing_consecutive_gateway_failure": 0,
            "enforcing_success_rate": 0,
            "interval": "1s",
            "base_ejection_time": "1s",
            "max_ejection_time": "1s",
            "max_ejection_percent": 50,
        },
    })
}

fn transport(vendor: &Vendor, endpoint: &Endpoint) -> Result<Value, String> {
    match endpoint.tls {
        true => Ok(json!({"transport_socket": tls::to(std::slice::from_ref(endpoint), vendor.ca_file.as_deref())?})),
        false => Ok(json!({})),
    }
}

/// Too many requests at once would end in a 503 that is not retried, so it is the filter that counts them.
pub fn unlimited() -> Value {
    json!({"thresholds": [{
        "max_connections": UNLIMITED,
        "max_pending_requests": UNLIMITED,
        "max_requests": UNLIMITED,
        "max_retries": UNLIMITED,
    }]})
}

fn http(vendor: &Vendor, machine: &Machine, layout: &Layout) -> Value {
    let codec = extension(
        "envoy.filters.http.upstream_codec",
        "envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec",
        json!({}),
    );
    let credential = injector(vendor, layout).into_iter().chain(vendor.signing.as_ref().map(signer));
    let filters: Vec<Value> = [machine.vendor(&vendor.name)].into_iter().chain(credential).chain([codec]).collect();
    let options = json!({
        "@type": format!("type.googleapis.com/{HTTP}"),
        // Shorter than the idle timeout of any vendor's front, which would close the connection under a request. The
        // bounds on a reply's headers are Envoy's defaults, written down.
        "common_http_protocol_options": {"idle_timeout": "50s", "max_headers_count": 100, "max_response_headers_kb": 60},
        "http_filters": filters,
    });
    joined(options, protocol(vendor.endpoint.as_ref().is_some_and(|endpoint| endpoint.tls)))
}

/// Over TLS the vendor chooses between HTTP/1.1 and HTTP/2.
fn protocol(tls: bool) -> Value {
    if !tls {
        return json!({"explicit_http_config": {"http_protocol_options": {}}});
    }
    // A connection that died without a word is found by a ping, not by the next request's timeout.
    let ping = json!({"connection_keepalive": {"interval": "30s", "timeout": "10s"}});
    json!({"auto_config": {"http_protocol_options": {}, "http2_protocol_options": ping}})
}

fn injector(vendor: &Vendor, layout: &Layout) -> Option<Value> {
    vendor.credential.as_ref()?;
    let place = vendor.format.credential();
    let credential = extension(
        "envoy.http.injected_credentials.generic",
        "envoy.extensions.http.injected_credentials.generic.v3.Generic",
        json!({
            "credential": layout.secret(&cluster_name(&vendor.name)),
            "header": place.header,
            "header_value_prefix": place.prefix,
        }),
    );
    Some(extension(
        "envoy.filters.http.credential_injector",
        "envoy.extensions.filters.http.credential_injector.v3.CredentialInjector",
        json!({"overwrite": true, "credential": credential}),
    ))
}

/// Signs what the filter made of the request: Envoy holds the body until it is whole, and with it the headers.
fn signer(signing: &Signing) -> Value {
    let about = json!({"service_name": "bedrock", "region": signing.region});
    let keys = match &signing.keys {
        AwsKeys::Found => None,
        AwsKeys::Environment => Some(json!({"environment_credential_provider": {}})),
        AwsKeys::File(path) => Some(json!({"credentials_file_provider": {"credentials_data_source": watched(path)}})),
    };
    // Only these, since the others would ask the machine's surroundings first.
    let only = keys.map(|keys| joined(json!({"custom_credential_provider_chain": true}), keys));
    extension(
        "envoy.filters.http.aws_request_signing",
        "envoy.extensions.filters.http.aws_request_signing.v3.AwsRequestSigning",
        joined(about, only.map_or(json!({}), |keys| json!({"credential_provider": keys}))),
    )
}

/// A file that Envoy reads again when it was replaced.
fn watched(path: &str) -> Value {
    let folder = Path::new(path).parent().and_then(Path::to_str).unwrap_or("/");
    json!({"filename": path, "watched_directory": {"path": folder}})
}

const HTTP: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
/// Nothing listens on TCP port 1 (tcpmux) of any machine of this century.
const CLOSED_PORT: u16 = 1;
/// Far above what one Envoy can have in flight.
const UNLIMITED: u32 = 100_000;
