//! What a request says and Anthropic is not told, because the answer is the same without it.

use crate::chat::{Origin, Request};
use crate::json::Value;

/// Everything that is left out, as paths in the order of the body; what says nothing, as null or an empty list, is not
/// missed. `effort` is whether the model was told how hard to think.
pub(super) fn list(request: &Request, effort: Effort) -> Vec<String> {
    let mut paths = Vec::new();
    for (name, value) in request.root().members().filter(|(_, value)| says_something(*value)) {
        match &*name {
            "reasoning_effort" if effort == Effort::Told || value.as_str().as_deref() == Some("none") => {}
            "service_tier" if matches!(value.as_str().as_deref(), Some("auto" | "priority" | "default")) => {}
            "user" if request.origin() == Origin::Messages => {}
            known if EXPRESSED.contains(&known) => {}
            _ => paths.push(name.into_owned()),
        }
    }
    for (i, message) in request.messages().enumerate().take(MOST_MESSAGES) {
        of_message(message, &format!("messages[{i}]"), &mut paths);
    }
    paths
}

/// Whether a model was told how hard to think.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effort {
    /// It was.
    Told,
    /// It was not.
    LeftOut,
}

/// Fields that are sent in some form, and those that are refused unless they hold the default.
const EXPRESSED: &[&str] = &[
    "model",
    "messages",
    "max_completion_tokens",
    "max_tokens",
    "stream",
    "stream_options",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "response_format",
    "temperature",
    "top_p",
    "top_k",
    "stop",
    "thinking",
    "cache_control",
    "n",
    "logprobs",
    "top_logprobs",
    "logit_bias",
    "presence_penalty",
    "frequency_penalty",
    "modalities",
    "audio",
    "functions",
    "function_call",
];

/// More than the header can name; so a conversation of any length costs no more than this.
const MOST_MESSAGES: usize = 64;

fn of_message(message: Value<'_>, path: &str, paths: &mut Vec<String>) {
    if message.given("name").is_some_and(says_something) {
        paths.push(format!("{path}.name"));
    }
    let thought = message.given("reasoning_content").is_some_and(says_something);
    if thought && message.given("thinking_blocks").is_none() {
        paths.push(format!("{path}.reasoning_content"));
    }
    for (i, part) in message.get("content").into_iter().flat_map(Value::items).enumerate() {
        if part.given("prompt_cache_breakpoint").is_some_and(says_something) {
            paths.push(format!("{path}.content[{i}].prompt_cache_breakpoint"));
        }
        let detail = part.get("image_url").and_then(|image| image.text("detail"));
        if detail.is_some_and(|detail| detail != "auto") {
            paths.push(format!("{path}.content[{i}].image_url.detail"));
        }
    }
}

fn says_something(value: Value<'_>) -> bool {
    !value.is_null() && value.as_bool() != Some(false) && !matches!(value.raw(), "\"\"" | "{}" | "[]")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test;

    #[test]
    fn names_what_is_left_out() {
        let message = |more: &str| format!(r#""messages":[{{"role":"user",{more}}}]"#);
        let plain = message(r#""content":"x""#);
        for (fields, effort, expected) in [
            (plain.clone(), Effort::Told, &[][..]),
            (format!(r#"{plain},"store":false,"metadata":{{}},"user":"","seed":null"#), Effort::Told, &[]),
            (format!(r#"{plain},"seed":0,"user":"u","unknown":1"#), Effort::Told, &["seed", "user", "unknown"]),
            (format!(r#"{plain},"reasoning_effort":"high""#), Effort::Told, &[]),
            (format!(r#"{plain},"reasoning_effort":"high""#), Effort::LeftOut, &["reasoning_effort"]),
            (format!(r#"{plain},"reasoning_effort":"none""#), Effort::LeftOut, &[]),
            (format!(r#"{plain},"service_tier":"flex""#), Effort::Told, &["service_tier"]),
            (format!(r#"{plain},"service_tier":"default""#), Effort::Told, &[]),
            (message(r#""name":"ann","content":"x""#), Effort::Told, &["messages[0].name"]),
            (message(r#""reasoning_content":"r","content":"x""#), Effort::Told, &["messages[0].reasoning_content"]),
            (
                message(
                    r#""content":[{"type":"text","text":"x"},{"type":"image_url","image_url":{"url":"u","detail":"low"}}]"#,
                ),
                Effort::Told,
                &["messages[0].content[1].image_url.detail"],
            ),
        ] {
            let request = Request::parse(format!(r#"{{"model":"m",{fields}}}"#).into_bytes()).unwrap();
            assert_eq!(list(&request, effort), expected, "{fields}");
        }
    }
}
