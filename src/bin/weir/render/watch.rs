//! What operators see of each request: a line in the access log, and a trace.
//!
//! The line is an object that Envoy writes itself, with the facts that are Envoy's; the filter's part of it, members of
//! the same object, stands in filter state. Where the filter never saw the request, or was torn down, the line is one
//! all the same. None of Envoy's facts in it is text that a client can choose.

use serde_json::{Value, json};
use weir::config::{AccessLog, Config, Endpoint, Otlp, Tracing};
use weir::flow::trace::TAGS;
use weir::flow::visit::LOGGED;

use super::{extension, joined, socket, tls};

/// `access_log`, if there is one.
pub fn access_log(config: &Config) -> Value {
    if config.access_log == AccessLog::Off {
        return json!({});
    }
    let line = format!("{{{FACTS}%METADATA(LISTENER:weir:log)%%FILTER_STATE(wasm.{LOGGED}:PLAIN)%}}\n");
    json!({"access_log": [extension(
        "envoy.access_loggers.stdout",
        "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
        json!({"log_format": {"text_format_source": {"inline_string": line}, "omit_empty_values": true}}),
    )]})
}

/// What marks the lines of requests that the gateway makes of its own, as metadata of the listener that they come to.
pub fn inner() -> Value {
    json!({"filter_metadata": {"weir": {"log": r#","inner":true"#}}})
}

/// What Envoy knows. Numbers that it does not know are 0, texts are empty.
const FACTS: &str = concat!(
    r#""time":"%START_TIME%","client":"%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%","response_code":%RESPONSE_CODE%,"#,
    r#""response_flags":"%RESPONSE_FLAGS%","bytes_received":%BYTES_RECEIVED%,"bytes_sent":%BYTES_SENT%,"#,
    r#""total_ms":%DURATION%"#,
);

/// `tracing`, if there are traces.
pub fn tracing(config: &Config) -> Value {
    let Some(tracing) = &config.tracing else { return json!({}) };
    let tag = |(tag, name): &(&str, &str)| json!({"tag": tag, "value": format!("%FILTER_STATE(wasm.{name}:PLAIN)%")});
    let numbers = json!({"typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig",
        "use_request_id_for_trace_sampling": false,
    }});
    json!({"request_id_extension": numbers, "tracing": {
        "provider": extension(
            "envoy.tracers.opentelemetry",
            "envoy.config.trace.v3.OpenTelemetryConfig",
            joined(json!({"service_name": "weir"}), exporter(tracing)),
        ),
        "random_sampling": {"value": tracing.sample * 100.0},
        "custom_tags": TAGS.iter().map(tag).collect::<Vec<_>>(),
    }})
}

fn exporter(Tracing { endpoint, protocol, .. }: &Tracing) -> Value {
    match protocol {
        Otlp::Grpc => json!({"grpc_service": {
            "envoy_grpc": {"cluster_name": COLLECTOR, "authority": endpoint.authority()},
            "timeout": PATIENCE,
        }}),
        Otlp::Http(path) => {
            let scheme = if endpoint.tls { "https" } else { "http" };
            let uri = format!("{scheme}://{}{path}", endpoint.authority());
            json!({"http_service": {"http_uri": {"uri": uri, "cluster": COLLECTOR, "timeout": PATIENCE}}})
        }
    }
}

/// The cluster of the collector, if there is one.
pub fn collector(config: &Config) -> Result<Option<Value>, String> {
    let Some(Tracing { endpoint, protocol, .. }) = &config.tracing else { return Ok(None) };
    let http = match protocol {
        Otlp::Grpc => json!({"http2_protocol_options": {}}),
        Otlp::Http(_) => json!({"http_protocol_options": {}}),
    };
    let cluster = json!({
        "name": COLLECTOR,
        "connect_timeout": "1s",
        "type": if endpoint.ip().is_some() { "STATIC" } else { "STRICT_DNS" },
        "dns_lookup_family": "V4_PREFERRED",
        "load_assignment": {
            "cluster_name": COLLECTOR,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": socket(&endpoint.host, endpoint.port)}}]}],
        },
        "typed_extension_protocol_options": {HTTP: {
            "@type": format!("type.googleapis.com/{HTTP}"),
            "explicit_http_config": http,
        }},
    });
    Ok(Some(joined(cluster, transport(endpoint)?)))
}

fn transport(endpoint: &Endpoint) -> Result<Value, String> {
    match endpoint.tls {
        true => Ok(json!({"transport_socket": tls::to(std::slice::from_ref(endpoint), None)?})),
        false => Ok(json!({})),
    }
}

const COLLECTOR: &str = "weir_otlp";
const HTTP: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
/// Traces that a collector does not take in this time are lost; no request waits for them.
const PATIENCE: &str = "1s";
