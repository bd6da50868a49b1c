//! Anthropic's turns become messages: the results of tools, which stand in the user's turn, messages of their own before
//! the rest of it.

use std::borrow::Cow;
use std::collections::HashSet;

use super::request::copy;
use crate::json::{Value, Writer};
use crate::refusal::Refusal;

/// Writes the member `messages`: `system` and all turns.
pub(super) fn render(root: Value<'_>, w: &mut Writer) -> Result<(), Refusal> {
    let messages = root.given("messages").ok_or_else(|| Refusal::invalid("messages", "is required"))?;
    if !messages.is_array() || messages.is_empty() {
        return Err(Refusal::invalid("messages", "must be an array of at least one message"));
    }
    let mut outcome = Ok(());
    w.key("messages").array(|w| outcome = all(root.given("system"), messages, w));
    outcome
}

fn all(system: Option<Value<'_>>, messages: Value<'_>, w: &mut Writer) -> Result<(), Refusal> {
    if let Some(system) = system.filter(|system| !system.is_empty()) {
        let blocks = blocks(system, "system", &["text"])?;
        w.object(|w| message("system", system, &blocks, w));
    }
    let mut issued = HashSet::new();
    for (i, turn) in messages.items().enumerate() {
        let content = turn.given("content");
        let path = format!("messages[{i}].content");
        let required = || Refusal::invalid(&*path, "is required");
        match turn.text("role").as_deref() {
            Some("user") => user(content.ok_or_else(required)?, &path, &issued, w)?,
            Some("assistant") => assistant(content.ok_or_else(required)?, &path, &mut issued, w)?,
            _ => {
                let must = "must be user or assistant; what the system says goes into the field system";
                return Err(Refusal::invalid(format!("messages[{i}].role"), must));
            }
        }
    }
    Ok(())
}

/// A block and its type.
type Block<'r> = (Cow<'r, str>, Value<'r>);

/// The blocks of a content, which is a string or a list of blocks of these types; a string has none.
fn blocks<'r>(content: Value<'r>, path: &str, kinds: &[&str]) -> Result<Vec<Block<'r>>, Refusal> {
    if !content.is_string() && !content.is_array() {
        return Err(Refusal::invalid(path, "must be a string or an array of blocks"));
    }
    let read = |(i, block): (usize, Value<'r>)| {
        let at = |field: &str, must: &str| Err(Refusal::invalid(format!("{path}[{i}]{field}"), must));
        let Some(kind) = block.text("type") else { return at(".type", "is required and must be a string") };
        match &*kind {
            known if !kinds.contains(&known) => at(".type", &format!("must be one of {}", kinds.join(", "))),
            "text" if block.text("text").is_none() => at(".text", "is required and must be a string"),
            "image" | "document" if part(block).is_none() => {
                at(".source", "must be base64, for images url, or for documents text, with its data")
            }
            "tool_use" if !block.get("id").is_some_and(Value::is_string) => {
                at(".id", "is required and must be a string")
            }
            "tool_use" if !block.get("name").is_some_and(Value::is_string) => {
                at(".name", "is required and must be a string")
            }
            "tool_use" if !block.get("input").is_some_and(Value::is_object) => {
                at(".input", "is required and must be an object")
            }
            _ => Ok((kind, block)),
        }
    };
    content.items().enumerate().map(read).collect()
}

/// Writes role and content: the string as it is, or the parts.
fn message(role: &str, content: Value<'_>, blocks: &[Block<'_>], w: &mut Writer) {
    w.key("role").string(role);
    if content.is_string() {
        return w.key("content").raw(content.raw());
    }
    w.key("content").array(|w| blocks.iter().for_each(|(_, block)| render_part(*block, w)));
}

fn user(content: Value<'_>, path: &str, issued: &HashSet<String>, w: &mut Writer) -> Result<(), Refusal> {
    let blocks = blocks(content, path, &["text", "image", "document", "tool_result"])?;
    for (i, (_, result)) in blocks.iter().enumerate().filter(|(_, (kind, _))| kind == "tool_result") {
        let id = result.text("tool_use_id").filter(|id| issued.contains(&**id));
        let id = id.ok_or_else(|| {
            let must = "must be the id of a tool_use block of an earlier assistant message";
            Refusal::invalid(format!("{path}[{i}].tool_use_id"), must)
        })?;
        tool_result(*result, &id, &format!("{path}[{i}]"), w)?;
    }
    let rest: Vec<_> = blocks.into_iter().filter(|(kind, _)| kind != "tool_result").collect();
    if content.is_string() || !rest.is_empty() {
        w.object(|w| message("user", content, &rest, w));
    }
    Ok(())
}

/// A result becomes a message. `is_error` stays as it is, for a vendor that knows it.
fn tool_result(result: Value<'_>, id: &str, path: &str, w: &mut Writer) -> Result<(), Refusal> {
    let failed = result.given("is_error");
    if failed.is_some_and(|failed| failed.as_bool().is_none()) {
        return Err(Refusal::invalid(format!("{path}.is_error"), "must be a boolean"));
    }
    let content = result.given("content");
    let blocks = match content {
        Some(content) => blocks(content, &format!("{path}.content"), &["text", "image", "document"])?,
        None => Vec::new(),
    };
    w.object(|w| {
        match content.filter(|content| content.is_string() || !blocks.is_empty()) {
            Some(content) => message("tool", content, &blocks, w),
            None => {
                w.key("role").string("tool");
                w.key("content").string("");
            }
        }
        w.key("tool_call_id").string(id);
        copy("is_error", failed.filter(|failed| failed.as_bool() == Some(true)), w);
        copy("cache_control", result.given("cache_control"), w);
    });
    Ok(())
}

fn assistant(content: Value<'_>, path: &str, issued: &mut HashSet<String>, w: &mut Writer) -> Result<(), Refusal> {
    let blocks = blocks(content, path, &["text", "tool_use", "thinking", "redacted_thinking"])?;
    let (texts, others): (Vec<_>, Vec<_>) = blocks.into_iter().partition(|(kind, _)| kind == "text");
    let (calls, thoughts): (Vec<_>, Vec<_>) = others.into_iter().partition(|(kind, _)| kind == "tool_use");
    w.object(|w| {
        if content.is_string() || !texts.is_empty() {
            message("assistant", content, &texts, w);
        } else {
            w.key("role").string("assistant");
            w.key("content").null();
        }
        if !thoughts.is_empty() {
            w.key("thinking_blocks").array(|w| thoughts.iter().for_each(|(_, thought)| w.raw(thought.raw())));
        }
        if !calls.is_empty() {
            w.key("tool_calls").array(|w| calls.iter().for_each(|(_, call)| render_call(*call, w)));
        }
    });
    issued.extend(calls.iter().filter_map(|(_, call)| Some(call.text("id")?.into_owned())));
    Ok(())
}

fn render_call(call: Value<'_>, w: &mut Writer) {
    w.object(|w| {
        copy("id", call.get("id"), w);
        w.key("type").string("function");
        w.key("function").object(|w| {
            copy("name", call.get("name"), w);
            w.key("arguments").string(call.get("input").map_or("{}", Value::raw));
        });
    });
}

fn render_part(block: Value<'_>, w: &mut Writer) {
    w.object(|w| {
        match part(block) {
            Some(Part::Image(url)) => {
                w.key("type").string("image_url");
                w.key("image_url").object(|w| w.key("url").string(&url));
            }
            // To all but Anthropic it is a text like others.
            Some(Part::Document(text)) => {
                w.key("type").string("text");
                w.key("text").raw(text.raw());
                w.key("document").object(|w| copy("title", block.given("title"), w));
            }
            Some(Part::File(data)) => {
                w.key("type").string("file");
                w.key("file").object(|w| {
                    copy("filename", block.given("title"), w);
                    w.key("file_data").string(&data);
                });
            }
            None => {
                w.key("type").string("text");
                copy("text", block.get("text"), w);
            }
        }
        copy("cache_control", block.given("cache_control"), w);
    });
}

enum Part<'r> {
    Image(String),
    /// A document that is plain text.
    Document(Value<'r>),
    /// A data URL.
    File(String),
}

/// An image or a document; `None` for text, and for what has no source that others can read. A file id means something
/// to Anthropic only, and no other vendor fetches documents.
fn part(block: Value<'_>) -> Option<Part<'_>> {
    let kind = block.text("type")?;
    let source = block.get("source")?;
    let data = || Some(["data:", &*source.text("media_type")?, ";base64,", &*source.text("data")?].concat());
    match (&*kind, &*source.text("type")?) {
        ("image", "url") => Some(Part::Image(source.text("url")?.into_owned())),
        ("image", "base64") => data().map(Part::Image),
        ("document", "base64") => data().map(Part::File),
        ("document", "text") => source.get("data").filter(|text| text.is_string()).map(Part::Document),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Doc;
    use crate::test;

    fn read(members: &str) -> Result<String, String> {
        let doc = Doc::parse(format!("{{{members}}}").into_bytes()).unwrap();
        let mut w = Writer::default();
        let mut outcome = Ok(());
        w.object(|w| outcome = render(doc.root(), w));
        outcome.map(|()| String::from_utf8(w.finish()).unwrap()).map_err(|refusal| refusal.param.unwrap_or_default())
    }

    const USE: &str = r#"{"role":"assistant","content":[{"type":"thinking","thinking":"h","signature":"s"},
        {"type":"text","text":"a"},{"type":"tool_use","id":"t","name":"f","input":{"x":1}}]}"#;

    #[test]
    fn turns_become_messages() {
        let used = r#"{"role":"assistant","content":[{"type":"text","text":"a"}],"thinking_blocks":[{"type":"thinking","thinking":"h","signature":"s"}],"tool_calls":[{"id":"t","type":"function","function":{"name":"f","arguments":"{\"x\":1}"}}]}"#;
        for (members, messages) in [
            (
                r#""system":"s","messages":[{"role":"user","content":"\u00e9"}]"#.to_owned(),
                r#"{"role":"system","content":"s"},{"role":"user","content":"\u00e9"}"#.to_owned(),
            ),
            (
                r#""system":[{"type":"text","text":"s","cache_control":{"type":"ephemeral"}}],"messages":[{"role":"user","content":[
                {"type":"image","source":{"type":"base64","media_type":"image/png","data":"AA=="}},
                {"type":"image","source":{"type":"url","url":"https://x/y"}},
                {"type":"document","title":"t","source":{"type":"base64","media_type":"application/pdf","data":"AA=="}},
                {"type":"document","title":"n","source":{"type":"text","media_type":"text/plain","data":"\u00e9"}}]}]"#.to_owned(),
                r#"{"role":"system","content":[{"type":"text","text":"s","cache_control":{"type":"ephemeral"}}]},{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,AA=="}},{"type":"image_url","image_url":{"url":"https://x/y"}},{"type":"file","file":{"filename":"t","file_data":"data:application/pdf;base64,AA=="}},{"type":"text","text":"\u00e9","document":{"title":"n"}}]}"#.to_owned(),
            ),
            (
                format!(r#""messages":[{USE},{{"role":"user","content":[{{"type":"text","text":"and"}},{{"type":"tool_result","tool_use_id":"t","content":"bad","is_error":true}}]}}]"#),
                format!(r#"{used},{{"role":"tool","content":"bad","tool_call_id":"t","is_error":true}},{{"role":"user","content":[{{"type":"text","text":"and"}}]}}"#),
            ),
            (
                format!(r#""messages":[{USE},{{"role":"user","content":[{{"type":"tool_result","tool_use_id":"t","content":[{{"type":"text","text":"7"}}]}}]}}]"#),
                format!(r#"{used},{{"role":"tool","content":[{{"type":"text","text":"7"}}],"tool_call_id":"t"}}"#),
            ),
        ] {
            assert_eq!(read(&members), Ok(format!(r#"{{"messages":[{messages}]}}"#)));
        }
    }

    #[test]
    fn names_the_block_that_is_wrong() {
        let user = |block: &str| format!(r#""messages":[{{"role":"user","content":[{block}]}}]"#);
        for (members, param) in [
            (r#""messages":[]"#.to_owned(), "messages"),
            (r#""messages":"x""#.to_owned(), "messages"),
            (r#""messages":[7]"#.to_owned(), "messages[0].role"),
            (r#""messages":[{"role":"system","content":"x"}]"#.to_owned(), "messages[0].role"),
            (r#""messages":[{"role":"user"}]"#.to_owned(), "messages[0].content"),
            (r#""messages":[{"role":"user","content":7}]"#.to_owned(), "messages[0].content"),
            (r#""system":7,"messages":[{"role":"user","content":"x"}]"#.to_owned(), "system"),
            (user("7"), "messages[0].content[0].type"),
            (user(r#"{"type":"search_result"}"#), "messages[0].content[0].type"),
            (user(r#"{"type":"text","text":7}"#), "messages[0].content[0].text"),
            (user(r#"{"type":"image","source":{"type":"file","file_id":"f"}}"#), "messages[0].content[0].source"),
            (user(r#"{"type":"document","source":{"type":"text","data":7}}"#), "messages[0].content[0].source"),
            (user(r#"{"type":"tool_result","tool_use_id":"t"}"#), "messages[0].content[0].tool_use_id"),
            (
                r#""messages":[{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"f","input":"x"}]}]"#
                    .to_owned(),
                "messages[0].content[0].input",
            ),
        ] {
            assert_eq!(read(&members), Err(param.to_owned()), "{members}");
        }
    }
}
