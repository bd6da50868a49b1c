//! Errors that Envoy writes itself: as JSON, in the shape of the surface that was called.
//!
//! The filter's own answers pass through here as well. They always have a content type when they come by and Envoy's
//! never have, so that is how the two are told apart.

use serde_json::{Value, json};
use weir::refusal::anthropic_type;

use super::extension;

/// How Envoy's own replies are rewritten; the first condition that holds decides.
pub fn as_json() -> Value {
    let silent = SILENT.iter().flat_map(|(details, status, message)| {
        let condition = format!("response.code_details == '{details}'");
        [of_messages(&condition, *status, message)].into_iter().chain(of_others(&condition, message))
    });
    let spoken = STATUSES
        .iter()
        .map(|(condition, status)| of_messages(condition, *status, SPOKEN))
        .chain(of_others("true", SPOKEN));
    json!({"mappers": silent.chain(spoken).collect::<Vec<_>>()})
}

/// Anthropic's shape, with its word for a status.
fn of_messages(condition: &str, status: u16, message: &str) -> Value {
    let error = json!({"type": anthropic_type(status), "message": message});
    let body = json!({"type": "error", "error": error, "request_id": "%REQ(X-REQUEST-ID)%"});
    mapper(&[BY_ENVOY, condition, UNDER_MESSAGES], &body)
}

/// OpenAI's, and the plain one.
fn of_others(condition: &str, message: &str) -> [Value; 2] {
    let of_openai = json!({"message": message, "type": "server_error", "param": null, "code": null});
    [
        mapper(&[BY_ENVOY, condition, UNDER_V1], &json!({"error": of_openai})),
        mapper(&[BY_ENVOY, condition], &json!({"error": message})),
    ]
}

fn mapper(conditions: &[&str], body: &Value) -> Value {
    let filter = extension(
        "envoy.access_loggers.extension_filters.cel",
        "envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter",
        json!({"expression": conditions.join(" && ")}),
    );
    json!({
        "filter": {"extension_filter": filter},
        "body_format_override": {"json_format": body, "content_type": "application/json"},
    })
}

const BY_ENVOY: &str = "!('content-type' in response.headers)";
const UNDER_V1: &str = "request.path.startsWith('/v1/')";
const UNDER_MESSAGES: &str = "(request.url_path == '/v1/messages' || request.url_path.startsWith('/v1/messages/'))";

/// What Envoy says.
const SPOKEN: &str = "%LOCAL_REPLY_BODY%";

/// Replies for which Envoy has no words, by their details; and their status.
const SILENT: &[(&str, u16, &str)] = &[
    ("wasm_fail_stream", 503, "the gateway's filter is being reloaded, try again"),
    ("path_normalization_failed", 400, "the path is malformed"),
    ("missing_host_header", 400, "the request names no host"),
    ("upgrade_failed", 403, "connections are not upgraded here"),
    ("cluster_not_found", 503, "the gateway chose a vendor that is not configured"),
];

/// Statuses of the others for which Anthropic has different words. OpenAI's shape says what Envoy says of all of them.
const STATUSES: &[(&str, u16)] = &[
    ("response.code == 404", 404),
    ("response.code == 413", 413),
    ("response.code == 503", 503),
    ("response.code == 504", 504),
    ("response.code >= 500", 500),
    ("true", 400),
];
