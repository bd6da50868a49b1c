//! Errors that Envoy writes itself: as JSON, in the shape of the surface that was called.
//!
//! The filter's own answers pass through here as well. They always have a content type when they come by and Envoy's
//! never have, so that is how the two are told apart.

use serde_json::{Value, json};

use super::extension;

/// How Envoy's own replies are rewritten; the first condition that holds decides.
pub fn as_json() -> Value {
    let mappers = SILENT.iter().chain([&("true", "%LOCAL_REPLY_BODY%")]).flat_map(|(condition, message)| {
        let of_openai = json!({"message": message, "type": "server_error", "param": null, "code": null});
        [mapper(&[BY_ENVOY, condition, UNDER_V1], &of_openai), mapper(&[BY_ENVOY, condition], &json!(message))]
    });
    json!({"mappers": mappers.collect::<Vec<_>>()})
}

fn mapper(conditions: &[&str], error: &Value) -> Value {
    let filter = extension(
        "envoy.access_loggers.extension_filters.cel",
        "envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter",
        json!({"expression": conditions.join(" && ")}),
    );
    json!({
        "filter": {"extension_filter": filter},
        "body_format_override": {"json_format": {"error": error}, "content_type": "application/json"},
    })
}

const BY_ENVOY: &str = "!('content-type' in response.headers)";
const UNDER_V1: &str = "request.path.startsWith('/v1/')";

/// Replies for which Envoy has no words.
const SILENT: &[(&str, &str)] = &[
    ("response.code_details == 'wasm_fail_stream'", "the gateway's filter is being reloaded, try again"),
    ("response.code_details == 'path_normalization_failed'", "the path is malformed"),
    ("response.code_details == 'missing_host_header'", "the request names no host"),
    ("response.code_details == 'cluster_not_found'", "the gateway chose a vendor that is not configured"),
];
