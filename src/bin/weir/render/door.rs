//! The door: the certificate that clients see, from which pages of the web they may come, and through which proxies.

use std::path::Path;

use serde_json::{Value, json};
use weir::config::{Cidr, Config, Cors, Origins, Tls};

use super::layout::Layout;
use super::{NOTE, extension, joined};

/// The name of the certificate, wherever Envoy finds it.
pub const CERTIFICATE: &str = "weir_listener";

/// The certificate as a secret.
pub fn secret(tls: &Tls, layout: &Layout) -> Value {
    let files = json!({
        "certificate_chain": {"filename": tls.cert_file},
        "private_key": {"filename": tls.key_file},
    });
    let note = match layout {
        Layout::Whole => {
            json!({NOTE: "Read once: another certificate needs another start, or SDS, as `weir run` has it."})
        }
        Layout::Files(_) => json!({}),
    };
    joined(note, json!({"name": CERTIFICATE, "tls_certificate": joined(files, watched(tls))}))
}

/// Where both files are in one folder, that is what is watched: whoever mounts them may replace the folder's contents
/// at once. Otherwise Envoy watches each file's.
fn watched(tls: &Tls) -> Value {
    match [&tls.cert_file, &tls.key_file].map(|file| Path::new(file).parent().and_then(Path::to_str)) {
        [Some(one), Some(other)] if one == other => json!({"watched_directory": {"path": one}}),
        _ => json!({}),
    }
}

/// TLS for clients; they choose between HTTP/2 and HTTP/1.1.
pub fn transport(layout: &Layout) -> Value {
    extension(
        "envoy.transport_sockets.tls",
        "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        json!({"common_tls_context": {
            "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
            "alpn_protocols": ["h2", "http/1.1"],
            "tls_certificate_sds_secret_configs": [layout.secret(CERTIFICATE)],
        }}),
    )
}

/// Who is at the other end of a connection.
#[derive(Debug, Clone, Copy)]
pub enum Peer<'p> {
    /// A client, whatever it says of itself.
    Client,
    /// One of these proxies.
    Proxy(&'p [Cidr]),
}

/// The connections of proxies, by where they come from.
pub fn from(proxies: &[Cidr]) -> Value {
    json!({"source_prefix_ranges": ranges(proxies)})
}

/// Where a client is, as Envoy's connection manager is to find out.
pub fn origin(peer: Peer<'_>) -> Value {
    match peer {
        Peer::Client => json!({"use_remote_address": true, "internal_address_config": everybody()}),
        Peer::Proxy(proxies) => json!({
            "use_remote_address": false,
            "original_ip_detection_extensions": [extension(
                "envoy.http.original_ip_detection.xff",
                "envoy.extensions.http.original_ip_detection.xff.v3.XffConfig",
                json!({"xff_trusted_cidrs": {"cidrs": ranges(proxies)}}),
            )],
            "early_header_mutation_extensions": [without_envoys()],
        }),
    }
}

/// From strangers Envoy silently drops the `x-envoy-*` headers that steer its router. The filter wants to refuse them
/// aloud, so everybody counts as internal; the filter is what makes that safe.
fn everybody() -> Value {
    json!({
        NOTE: "So that forged x-envoy-* headers reach the filter, which refuses them, instead of vanishing.",
        "cidr_ranges": [
            {"address_prefix": "0.0.0.0", "prefix_len": 0},
            {"address_prefix": "::", "prefix_len": 0},
        ],
    })
}

/// A proxy that is an Envoy adds such headers to every request, and its clients cannot help it. Those are taken out.
fn without_envoys() -> Value {
    extension(
        "envoy.http.early_header_mutation.header_mutation",
        "envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation",
        json!({"mutations": [{"remove_on_match": {"key_matcher": {"prefix": "x-envoy-"}}}]}),
    )
}

fn ranges(of: &[Cidr]) -> Vec<Value> {
    of.iter().map(|range| json!({"address_prefix": range.first.to_string(), "prefix_len": range.bits})).collect()
}

/// The bounds that Envoy's guide for proxies on the edge of a network gives, and its defaults for headers, written
/// down: clients may be hostile, and each stream and each window is memory. A connection on which nothing is asked, not
/// even once, is closed. A header whose name has an underscore is dropped, since to some who read headers `x_a` and `x-a`
/// are one.
pub fn bounds() -> Value {
    json!({
        "http2_protocol_options": {
            "max_concurrent_streams": 100,
            "initial_stream_window_size": 64 << 10,
            "initial_connection_window_size": 1 << 20,
        },
        "common_http_protocol_options": {
            "idle_timeout": "900s",
            "max_headers_count": 100,
            "headers_with_underscores_action": "DROP_HEADER",
        },
        "max_request_headers_kb": 60,
    })
}

/// The filters that answer preflights and mark answers for browsers; they come before the gateway's own, so that what
/// that refuses is marked, too. None where no page of the web may ask.
pub fn for_browsers(config: &Config) -> Vec<Value> {
    if config.cors.is_none() {
        return Vec::new();
    }
    // An answer names the origin that asked. A cache between here and the browser must not give it to another.
    let vary = extension(
        "envoy.filters.http.header_mutation",
        "envoy.extensions.filters.http.header_mutation.v3.HeaderMutation",
        json!({"mutations": {"response_mutations": [
            {"append": {"header": {"key": "vary", "value": "origin"}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}},
        ]}}),
    );
    vec![vary, extension(CORS, "envoy.extensions.filters.http.cors.v3.Cors", json!({}))]
}

/// What pages may do, for the virtual host.
pub fn policy(config: &Config) -> Value {
    config.cors.as_ref().map_or(json!({}), |cors| json!({"typed_per_filter_config": {CORS: allowed(cors)}}))
}

/// A key stands in a header of its own, never in a cookie, so no page needs a browser's credentials. Without those `*`
/// may stand for all headers that an answer exposes, and Envoy takes it in `allow_headers` for those that are asked for.
fn allowed(cors: &Cors) -> Value {
    let origins: Vec<Value> = match &cors.origins {
        Origins::All => vec![json!({"exact": "*"})],
        Origins::Only(origins) => origins.iter().map(|origin| json!({"exact": origin})).collect(),
    };
    json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.http.cors.v3.CorsPolicy",
        "allow_origin_string_match": origins,
        "allow_methods": "GET, POST",
        "allow_headers": "*",
        "expose_headers": "*",
        "max_age": cors.max_age.as_secs().to_string(),
    })
}

const CORS: &str = "envoy.filters.http.cors";
