//! A request in Anthropic's words becomes a canonical body.
//!
//! What has no counterpart is refused by its name, never dropped: a client that asks for a container or a server's own
//! tool would wait for it in vain. Null is the same as absent. Of numbers only what Anthropic alone demands is checked
//! here; ranges that all vendors share are [`Request`](crate::chat::Request)'s to check.

use super::turns;
use crate::json::{Doc, Kind, Value, Writer};
use crate::refusal::Refusal;

/// The canonical body, or what is wrong with the client's.
pub fn canonical(body: Vec<u8>) -> Result<Vec<u8>, Refusal> {
    let doc = Doc::parse(body).map_err(|e| Refusal::malformed(format!("the body is not acceptable JSON: {e}")))?;
    let root = doc.root();
    if !root.is_object() {
        return Err(Refusal::malformed("the body must be a JSON object"));
    }
    let given = |name: &str, kind: &str, fits: fn(Value<'_>) -> bool| match root.given(name) {
        Some(value) if fits(value) => Ok(Some(value)),
        Some(_) => Err(Refusal::invalid(name, &format!("must be {kind}"))),
        None => Ok(None),
    };
    let must =
        |name: &str, value: Result<Option<_>, Refusal>| value?.ok_or_else(|| Refusal::invalid(name, "is required"));
    let model = must("model", given("model", "a string", |v| v.is_string()))?;
    let limit =
        must("max_tokens", given("max_tokens", "an integer of at least 1", |v| v.as_u64().is_some_and(|n| n > 0)))?;
    let stop = given("stop_sequences", "an array of strings", |v| v.is_array() && v.items().all(Value::is_string))?;
    let stream = given("stream", "a boolean", |v| v.as_bool().is_some())?;
    let top_k = given("top_k", "an integer", |v| v.as_u64().is_some())?;
    let metadata = given("metadata", "an object", |v| v.is_object())?;
    if let Some((unknown, _)) = root.members().find(|(name, value)| !value.is_null() && !KNOWN.contains(&&**name)) {
        return Err(Refusal::invalid(unknown, "has no counterpart here and cannot be asked for"));
    }
    let mut w = Writer::onto(Vec::with_capacity(root.raw().len() + 256));
    let mut outcome = Ok(());
    w.object(|w| {
        w.key("model").raw(model.raw());
        outcome = turns::render(root, w).and_then(|()| tools(root, w)).and_then(|()| thinking(root, w));
        w.key("max_completion_tokens").raw(limit.raw());
        for name in ["temperature", "top_p"] {
            copy(name, root.given(name), w);
        }
        copy("top_k", top_k, w);
        copy("stop", stop.filter(|stop| !stop.is_empty()), w);
        copy("user", metadata.and_then(|metadata| metadata.given("user_id")), w);
        copy("cache_control", root.given("cache_control"), w);
        match root.text("service_tier").as_deref() {
            Some("standard_only") => w.key("service_tier").string("default"),
            Some("auto") => w.key("service_tier").string("auto"),
            _ => {}
        }
        // The last events of a message tell its tokens, whether anybody asks or not.
        if stream.and_then(Value::as_bool) == Some(true) {
            w.key("stream").bool(true);
            w.key("stream_options").object(|w| w.key("include_usage").bool(true));
        }
    });
    outcome.map(|()| w.finish())
}

/// Every member of a request that has a counterpart.
const KNOWN: &[&str] = &[
    "model",
    "messages",
    "max_tokens",
    "system",
    "stop_sequences",
    "stream",
    "temperature",
    "top_p",
    "top_k",
    "metadata",
    "tools",
    "tool_choice",
    "thinking",
    "output_config",
    "service_tier",
    "cache_control",
];

/// Writes a member as the client spelled its value, if there is one.
pub(super) fn copy(name: &str, value: Option<Value<'_>>, w: &mut Writer) {
    if let Some(value) = value {
        w.key(name).raw(value.raw());
    }
}

/// `tools`, `tool_choice` and `parallel_tool_calls`.
fn tools(root: Value<'_>, w: &mut Writer) -> Result<(), Refusal> {
    let Some(tools) = root.given("tools") else {
        return choice(root.given("tool_choice"), w);
    };
    if !tools.is_array() {
        return Err(Refusal::invalid("tools", "must be an array"));
    }
    for (i, tool) in tools.items().enumerate() {
        let wrong = |field: &str, must: &str| Err(Refusal::invalid(format!("tools[{i}]{field}"), must));
        if tool.given("type").is_some_and(|kind| kind.as_str().as_deref() != Some("custom")) {
            return wrong(".type", "must be custom: tools that Anthropic runs itself are not offered");
        }
        if tool.text("name").is_none() {
            return wrong(".name", "is required and must be a string");
        }
        if !tool.get("input_schema").is_some_and(Value::is_object) {
            return wrong(".input_schema", "is required and must be an object");
        }
    }
    if !tools.is_empty() {
        w.key("tools").array(|w| tools.items().for_each(|tool| render_tool(tool, w)));
    }
    choice(root.given("tool_choice"), w)
}

fn render_tool(tool: Value<'_>, w: &mut Writer) {
    w.object(|w| {
        w.key("type").string("function");
        w.key("function").object(|w| {
            copy("name", tool.get("name"), w);
            copy("description", tool.given("description"), w);
            copy("parameters", tool.get("input_schema"), w);
            copy("strict", tool.given("strict"), w);
        });
        copy("cache_control", tool.given("cache_control"), w);
    });
}

fn choice(choice: Option<Value<'_>>, w: &mut Writer) -> Result<(), Refusal> {
    let Some(choice) = choice else { return Ok(()) };
    match (choice.text("type").as_deref(), choice.get("name").filter(|name| name.is_string())) {
        (Some("auto"), _) => w.key("tool_choice").string("auto"),
        (Some("any"), _) => w.key("tool_choice").string("required"),
        (Some("none"), _) => w.key("tool_choice").string("none"),
        (Some("tool"), Some(name)) => w.key("tool_choice").object(|w| {
            w.key("type").string("function");
            w.key("function").object(|w| w.key("name").raw(name.raw()));
        }),
        (Some("tool"), None) => return Err(Refusal::invalid("tool_choice.name", "is required and must be a string")),
        _ => return Err(Refusal::invalid("tool_choice.type", "must be auto, any, tool or none")),
    }
    match choice.given("disable_parallel_tool_use").map(Value::as_bool) {
        Some(Some(true)) => w.key("parallel_tool_calls").bool(false),
        Some(None) => return Err(Refusal::invalid("tool_choice.disable_parallel_tool_use", "must be a boolean")),
        Some(Some(false)) | None => {}
    }
    Ok(())
}

/// How hard to think - `thinking` stays as it is, for a vendor that knows it - and the schema of the answer.
fn thinking(root: Value<'_>, w: &mut Writer) -> Result<(), Refusal> {
    let config = root.given("output_config");
    let effort = config.and_then(|config| config.given("effort"));
    if effort.is_some_and(|effort| !effort.is_string()) {
        return Err(Refusal::invalid("output_config.effort", "must be a string"));
    }
    let own = root.given("thinking");
    match own.map(|own| (own.text("type"), own.get("budget_tokens").and_then(Value::as_u64))) {
        Some((Some(kind), None)) if kind == "enabled" => {
            return Err(Refusal::invalid("thinking.budget_tokens", "is required and must be an integer"));
        }
        Some((Some(kind), _)) if matches!(&*kind, "enabled" | "adaptive" | "disabled") => {}
        Some(_) => return Err(Refusal::invalid("thinking.type", "must be enabled, adaptive or disabled")),
        None => {}
    }
    copy("thinking", own, w);
    copy("reasoning_effort", effort, w);
    let Some(format) = config.and_then(|config| config.given("format")) else { return Ok(()) };
    let schema = format.get("schema").filter(|schema| schema.kind() == Kind::Object);
    match (format.text("type").as_deref(), schema) {
        (Some("json_schema"), Some(schema)) => w.key("response_format").object(|w| {
            w.key("type").string("json_schema");
            w.key("json_schema").object(|w| {
                w.key("name").string("answer");
                w.key("schema").raw(schema.raw());
                w.key("strict").bool(true);
            });
        }),
        (Some("json_schema"), None) => {
            return Err(Refusal::invalid("output_config.format.schema", "is required and must be an object"));
        }
        _ => return Err(Refusal::invalid("output_config.format.type", "must be json_schema")),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::Request;
    use crate::test;

    const HI: &str = r#""messages":[{"role":"user","content":"hi"}]"#;

    fn read(members: &str) -> Result<String, String> {
        let body = canonical(format!("{{{members}}}").into_bytes()).map_err(|r| r.param.unwrap_or_default())?;
        Request::parse(body.clone()).map_err(|r| r.message)?;
        Ok(String::from_utf8(body).unwrap())
    }

    #[test]
    fn every_field_has_its_counterpart() {
        for (field, counterpart) in [
            (r#""stream":true"#, r#""stream":true,"stream_options":{"include_usage":true}"#),
            (r#""stop_sequences":["a"],"stream":false"#, r#""stop":["a"]"#),
            (r#""metadata":{"user_id":"u"},"top_k":3"#, r#""top_k":3,"user":"u""#),
            (r#""service_tier":"standard_only","temperature":null"#, r#""service_tier":"default""#),
        ] {
            let expected = format!(r#"{{"model":"m",{HI},"max_completion_tokens":9,{counterpart}}}"#);
            assert_eq!(read(&format!(r#""model":"m","max_tokens":9,{HI},{field}"#)), Ok(expected));
        }
        let tool = r#""tools":[{"name":"f","description":"d","input_schema":{"type":"object"}}]"#;
        let told =
            r#""tools":[{"type":"function","function":{"name":"f","description":"d","parameters":{"type":"object"}}}]"#;
        for (field, counterpart) in [
            (tool.to_owned(), told.to_owned()),
            (format!(r#"{tool},"tool_choice":{{"type":"any"}}"#), format!(r#"{told},"tool_choice":"required""#)),
            (
                format!(r#"{tool},"tool_choice":{{"type":"tool","name":"f","disable_parallel_tool_use":true}}"#),
                format!(r#"{told},"tool_choice":{{"type":"function","function":{{"name":"f"}}}},"parallel_tool_calls":false"#),
            ),
            (
                r#""thinking":{"type":"enabled","budget_tokens":2048}"#.to_owned(),
                r#""thinking":{"type":"enabled","budget_tokens":2048}"#.to_owned(),
            ),
            (
                r#""output_config":{"effort":"max","format":{"type":"json_schema","schema":{}}}"#.to_owned(),
                r#""reasoning_effort":"max","response_format":{"type":"json_schema","json_schema":{"name":"answer","schema":{},"strict":true}}"#.to_owned(),
            ),
        ] {
            let expected = format!(r#"{{"model":"m",{HI},{counterpart},"max_completion_tokens":9}}"#);
            assert_eq!(read(&format!(r#""model":"m","max_tokens":9,{HI},{field}"#)), Ok(expected));
        }
    }

    #[test]
    fn names_the_field_that_is_wrong() {
        for (members, param) in [
            (format!(r#""max_tokens":9,{HI}"#), "model"),
            (format!(r#""model":"m",{HI}"#), "max_tokens"),
            (format!(r#""model":"m","max_tokens":0,{HI}"#), "max_tokens"),
            (format!(r#""model":"m","max_tokens":"9",{HI}"#), "max_tokens"),
            (r#""model":"m","max_tokens":9"#.to_owned(), "messages"),
        ] {
            assert_eq!(read(&members), Err(param.to_owned()), "{members}");
        }
        for (field, param) in [
            (r#""container":"c""#, "container"),
            (r#""stop_sequences":"a""#, "stop_sequences"),
            (r#""stream":1"#, "stream"),
            (r#""tools":{}"#, "tools"),
            (r#""tools":[{"type":"web_search_20250305","name":"w"}]"#, "tools[0].type"),
            (r#""tools":[{"name":"f"}]"#, "tools[0].input_schema"),
            (r#""tool_choice":{"type":"some"}"#, "tool_choice.type"),
            (r#""tool_choice":{"type":"tool"}"#, "tool_choice.name"),
            (r#""thinking":{"type":"enabled"}"#, "thinking.budget_tokens"),
            (r#""thinking":7"#, "thinking.type"),
            (r#""output_config":{"format":{"type":"xml"}}"#, "output_config.format.type"),
        ] {
            assert_eq!(read(&format!(r#""model":"m","max_tokens":9,{HI},{field}"#)), Err(param.to_owned()), "{field}");
        }
        for body in ["", "{", "[]"] {
            assert_eq!(canonical(body.into()).unwrap_err().status, 400);
        }
    }
}
