//! Errors that Envoy writes itself: as JSON, in the shape of the surface that was called.
//!
//! The filter's own answers pass through here as well. They always have a content type when they come by and Envoy's
//! never have, so that is how the two are told apart.

use serde_json::{Value, json};

use super::extension;

/// How Envoy's own replies are rewritten; the first condition that holds decides.
pub fn as_json() -> Value {
    let reply = "%LOCAL_REPLY_BODY%";
    let of_openai = "request.path.startsWith('/v1/')";
    json!({"mappers": [
        mapper(&[BY_ENVOY, TRAPPED, of_openai], openai(RELOADING)),
        mapper(&[BY_ENVOY, TRAPPED], plain(RELOADING)),
        mapper(&[BY_ENVOY, of_openai], openai(reply)),
        mapper(&[BY_ENVOY], plain(reply)),
    ]})
}

fn mapper(conditions: &[&str], body: Value) -> Value {
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

fn plain(message: &str) -> Value {
    json!({"error": message})
}

fn openai(message: &str) -> Value {
    json!({"error": {"message": message, "type": "server_error", "param": null, "code": "%RESPONSE_CODE_DETAILS%"}})
}

const BY_ENVOY: &str = "!('content-type' in response.headers)";
/// A trap in the filter has no text of its own.
const TRAPPED: &str = "response.code_details == 'wasm_fail_stream'";
const RELOADING: &str = "the gateway's filter is being reloaded, try again";
