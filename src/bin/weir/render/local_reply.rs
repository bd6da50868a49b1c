//! Errors that Envoy writes itself: as JSON, in the shape of the surface that was called.
//!
//! The filter's own answers pass through here as well. They always have a content type when they come by and Envoy's
//! never have, so that is how the two are told apart: by the first condition of all, as what is kept is answered in this
//! way, too, and has no time for two dozen.

use std::iter;

use serde_json::{Value, json};
use weir::refusal::{INVALID, SERVER, anthropic_type};

use super::extension;

/// How Envoy's own replies are rewritten; the first condition that holds decides.
pub fn as_json() -> Value {
    let ours = json!({"filter": {"extension_filter": expression("'content-type' in response.headers")}});
    let silent = SILENT.iter().flat_map(|(details, status, message)| {
        let condition = format!("response.code_details == '{details}'");
        [of_messages(&condition, *status, message), of_v1(&condition, *status, message), plain(&condition, message)]
    });
    let spoken = [
        STATUSES.iter().map(|(condition, status)| of_messages(condition, *status, SPOKEN)).collect(),
        [("response.code >= 500", 500), ("true", 400)]
            .map(|(condition, status)| of_v1(condition, status, SPOKEN))
            .to_vec(),
        vec![plain("true", SPOKEN)],
    ];
    let mappers: Vec<Value> = iter::once(ours).chain(silent).chain(spoken.concat()).collect();
    json!({"mappers": mappers})
}

/// Anthropic's shape, with its word for a status.
fn of_messages(condition: &str, status: u16, message: &str) -> Value {
    let error = json!({"type": anthropic_type(status), "message": message});
    let body = json!({"type": "error", "error": error, "request_id": "%REQ(X-REQUEST-ID)%"});
    mapper(&format!("{condition} && {UNDER_MESSAGES}"), &body)
}

/// OpenAI's.
fn of_v1(condition: &str, status: u16, message: &str) -> Value {
    let whose = if status < 500 { INVALID } else { SERVER };
    let error = json!({"message": message, "type": whose, "param": null, "code": null});
    mapper(&format!("{condition} && {UNDER_V1}"), &json!({"error": error}))
}

fn plain(condition: &str, message: &str) -> Value {
    mapper(condition, &json!({"error": message}))
}

fn mapper(condition: &str, body: &Value) -> Value {
    json!({
        "filter": {"extension_filter": expression(condition)},
        "body_format_override": {"json_format": body, "content_type": "application/json"},
    })
}

fn expression(condition: &str) -> Value {
    extension(
        "envoy.access_loggers.extension_filters.cel",
        "envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter",
        json!({"expression": condition}),
    )
}

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

/// Statuses of the others for which Anthropic has different words. OpenAI has one for the client's mistakes and one for ours.
const STATUSES: &[(&str, u16)] = &[
    ("response.code == 404", 404),
    ("response.code == 413", 413),
    ("response.code == 503", 503),
    ("response.code == 504", 504),
    ("response.code >= 500", 500),
    ("true", 400),
];
