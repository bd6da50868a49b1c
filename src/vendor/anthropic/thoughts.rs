//! Thinking blocks on their way to the client and back.
//!
//! A model that thought before it called a tool wants its thoughts back with the results, unchanged and with the signature
//! that proves them its own. OpenAI's format has no place for that, so the client gets them in `thinking_blocks` of the
//! message, beside the text in `reasoning_content`, as other gateways do, and sends the message back as it is.

use crate::json::{Value, Writer};
use crate::vendor::Unsupported;

/// A thinking block that Anthropic takes back.
#[derive(Clone, Copy)]
pub(in crate::vendor) enum Thought<'r> {
    /// The text is missing where the client was shown none of it.
    Open {
        thinking: Option<Value<'r>>,
        signature: Value<'r>,
    },
    Redacted {
        data: Value<'r>,
    },
}

impl<'r> Thought<'r> {
    /// Reads a block of an answer or of a history; `None` for one of another type and for thoughts that nobody signed,
    /// which Anthropic would refuse.
    pub(in crate::vendor) fn read(block: Value<'r>) -> Option<Thought<'r>> {
        let text = |name: &str| block.get(name).filter(|text| text.is_string());
        let full = |name: &str| text(name).filter(|text| text.raw() != "\"\"");
        match &*block.text("type")? {
            "thinking" => Some(Thought::Open { thinking: text("thinking"), signature: full("signature")? }),
            "redacted_thinking" => Some(Thought::Redacted { data: full("data")? }),
            _ => None,
        }
    }

    /// Writes the block as it came.
    pub(in crate::vendor) fn render(self, w: &mut Writer) {
        w.object(|w| match self {
            Thought::Open { thinking, signature } => {
                w.key("type").string("thinking");
                w.key("thinking").raw(thinking.map_or("\"\"", Value::raw));
                w.key("signature").raw(signature.raw());
            }
            Thought::Redacted { data } => {
                w.key("type").string("redacted_thinking");
                w.key("data").raw(data.raw());
            }
        });
    }
}

/// The thoughts that an assistant's message brings back; `path` is the message's.
pub(in crate::vendor) fn of_history<'r>(message: Value<'r>, path: &str) -> Result<Vec<Thought<'r>>, Unsupported> {
    let mut thoughts = Vec::new();
    for (i, block) in message.given("thinking_blocks").into_iter().flat_map(Value::items).enumerate() {
        if !matches!(block.text("type").as_deref(), Some("thinking" | "redacted_thinking")) {
            return Err(Unsupported::new(format!("{path}.thinking_blocks[{i}]")));
        }
        thoughts.extend(Thought::read(block));
    }
    Ok(thoughts)
}

/// Writes the member `thinking_blocks` of an answer, if Anthropic's `content` has any.
pub(in crate::vendor) fn render_answer(content: Value<'_>, w: &mut Writer) {
    let mut thoughts = content.items().filter_map(Thought::read).peekable();
    if thoughts.peek().is_some() {
        w.key("thinking_blocks").array(|w| thoughts.for_each(|thought| thought.render(w)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Doc;
    use crate::test;

    #[test]
    fn brings_back_what_is_signed() {
        let signed = r#"{"type":"thinking","thinking":"\u00e9","signature":"s"}"#;
        let hidden = r#"{"type":"redacted_thinking","data":"d"}"#;
        let with_more = r#"{"signature":"s","index":0,"thinking":"\u00e9","type":"thinking"}"#;
        for (block, expected) in [
            (signed, Ok(signed)),
            (with_more, Ok(signed)),
            (hidden, Ok(hidden)),
            (r#"{"type":"thinking","thinking":"a","signature":""}"#, Ok("")),
            (r#"{"type":"thinking","thinking":"a"}"#, Ok("")),
            (r#"{"type":"thinking","signature":"s"}"#, Ok(r#"{"type":"thinking","thinking":"","signature":"s"}"#)),
            (r#"{"type":"redacted_thinking"}"#, Ok("")),
            (r#"{"type":"text","text":"a"}"#, Err("m.thinking_blocks[0]")),
            ("7", Err("m.thinking_blocks[0]")),
        ] {
            let doc = Doc::parse(format!(r#"{{"thinking_blocks":[{block}]}}"#).into_bytes()).unwrap();
            let rendered = of_history(doc.root(), "m").map(|thoughts| {
                let mut w = Writer::default();
                thoughts.into_iter().for_each(|thought| thought.render(&mut w));
                String::from_utf8(w.finish()).unwrap()
            });
            assert_eq!(rendered.as_deref().map_err(|unsupported| unsupported.param.as_str()), expected, "{block}");
        }
    }
}
