//! A whole answer told as a stream, for a client that asked for one and a vendor that does not stream.

use crate::chat::answer;
use crate::json::{Doc, Value, Writer};

/// The events of a well-formed stream that says what a `chat.completion` says: per choice one chunk with the message
/// and everything else that is said of it, and one with the finish reason, then the usage if it was asked for, then
/// `[DONE]`. `None` if `body` is no completion.
pub fn events(body: &[u8], usage: bool) -> Option<Vec<u8>> {
    let doc = Doc::parse(body.to_vec()).ok()?;
    let root = doc.root();
    let choices = root.get("choices").filter(|choices| choices.is_array())?;
    let mut out = Vec::new();
    for choice in choices.items() {
        let message = choice.get("message")?;
        chunk(root, &mut out, |w| w.array(|w| said(w, choice, message)), None);
        chunk(root, &mut out, |w| w.array(|w| finished(w, choice)), None);
    }
    if let Some(used) = root.given("usage").filter(|_| usage) {
        chunk(root, &mut out, |w| w.array(|_| {}), Some(used));
    }
    answer::done(&mut out);
    Some(out)
}

/// One chunk: the answer's own members, except those that only a whole answer has.
fn chunk(root: Value<'_>, out: &mut Vec<u8>, choices: impl FnOnce(&mut Writer), usage: Option<Value<'_>>) {
    out.extend_from_slice(b"data: ");
    let mut w = Writer::onto(std::mem::take(out));
    w.object(|w| {
        for (name, value) in root.members() {
            match &*name {
                "object" => w.key("object").string("chat.completion.chunk"),
                "choices" | "usage" => {}
                _ => w.key(&name).raw(value.raw()),
            }
        }
        choices(w.key("choices"));
        if let Some(usage) = usage {
            w.key("usage").raw(usage.raw());
        }
    });
    *out = w.finish();
    out.extend_from_slice(b"\n\n");
}

fn said(w: &mut Writer, choice: Value<'_>, message: Value<'_>) {
    w.object(|w| {
        w.key("index").raw(choice.get("index").map_or("0", Value::raw));
        w.key("delta").object(|w| delta(w, message));
        let known = ["index", "message", "finish_reason"];
        for (name, value) in choice.members().filter(|(name, _)| !known.contains(&&**name)) {
            w.key(&name).raw(value.raw());
        }
        w.key("finish_reason").null();
    });
}

fn finished(w: &mut Writer, choice: Value<'_>) {
    w.object(|w| {
        w.key("index").raw(choice.get("index").map_or("0", Value::raw));
        w.key("delta").object(|_| {});
        w.key("finish_reason").raw(choice.get("finish_reason").map_or("null", Value::raw));
    });
}

/// The message as one delta: its tool calls and thinking blocks gain the index by which a stream tells them apart.
fn delta(w: &mut Writer, message: Value<'_>) {
    for (name, value) in message.members() {
        if matches!(&*name, "tool_calls" | "thinking_blocks") && value.is_array() {
            w.key(&name).array(|w| value.items().enumerate().for_each(|(i, item)| indexed(w, i, item)));
        } else {
            w.key(&name).raw(value.raw());
        }
    }
}

fn indexed(w: &mut Writer, index: usize, item: Value<'_>) {
    w.object(|w| {
        w.key("index").number(index as u64);
        for (name, value) in item.members().filter(|(name, _)| name != "index") {
            w.key(&name).raw(value.raw());
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test;

    #[test]
    fn tells_an_answer_as_a_stream() {
        let body = br#"{"id":"x","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":
            {"role":"assistant","content":null,"tool_calls":[{"id":"c","type":"function","function":{}}]},
            "logprobs":{"content":[]},"finish_reason":"tool_calls"}],"usage":{"total_tokens":3}}"#;
        let text = String::from_utf8(events(body, true).unwrap()).unwrap();
        let head = r#"data: {"id":"x","object":"chat.completion.chunk","created":1,"model":"m","choices":["#;
        let call = r#"{"index":0,"id":"c","type":"function","function":{}}"#;
        assert_eq!(
            text,
            [
                head,
                r#"{"index":0,"delta":{"role":"assistant","content":null,"tool_calls":["#,
                call,
                r#"]},"logprobs":{"content":[]},"finish_reason":null}]}"#,
                "\n\n",
                head,
                r#"{"index":0,"delta":{},"finish_reason":"tool_calls"}]}"#,
                "\n\n",
                head,
                r#"],"usage":{"total_tokens":3}}"#,
                "\n\ndata: [DONE]\n\n",
            ]
            .concat()
        );
        assert!(!String::from_utf8(events(body, false).unwrap()).unwrap().contains("usage"));
        assert_eq!(events(b"{}", true), None);
    }
}
