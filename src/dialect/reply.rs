//! A whole answer becomes a message.

use super::{message_id, render_stop, render_usage};
use crate::chat::{Native, Usage};
use crate::json::{Doc, Value, Writer};

/// The message that says what a `chat.completion` says in its first choice; no other can be asked for. `None` if it is
/// no completion, or calls a tool with arguments that are no object, which Anthropic has no way to tell.
pub fn message(body: &[u8]) -> Option<Vec<u8>> {
    let doc = Doc::parse(body.to_vec()).ok()?;
    let root = doc.root();
    let choice = root.get("choices")?.items().next()?;
    let said = choice.get("message").filter(|said| said.is_object())?;
    let calls =
        said.given("tool_calls").into_iter().flat_map(Value::items).map(Call::read).collect::<Option<Vec<_>>>()?;
    let mut w = Writer::default();
    w.object(|w| {
        w.key("id").string(&message_id(&root.text("id").unwrap_or_default()));
        w.key("type").string("message");
        w.key("role").string("assistant");
        w.key("model").string(&root.text("model").unwrap_or_default());
        w.key("content").array(|w| {
            thoughts(said, w);
            ["content", "refusal"].iter().filter_map(|name| said.text(name)).for_each(|words| text(&words, w));
            calls.iter().for_each(|call| call.render(w));
        });
        let native = Native::read(choice).unwrap_or_default();
        render_stop(&choice.text("finish_reason").unwrap_or_default(), &native, w);
        render_usage(&Usage::read(root).unwrap_or_default(), w);
    });
    Some(w.finish())
}

/// The thinking blocks as their vendor signed them; of other vendors the reasoning, which nobody signed.
fn thoughts(said: Value<'_>, w: &mut Writer) {
    if let Some(blocks) = said.given("thinking_blocks").filter(|blocks| !blocks.is_empty()) {
        return blocks.items().filter(|block| block.is_object()).for_each(|block| w.raw(block.raw()));
    }
    let reasoning = ["reasoning_content", "reasoning"].iter().find_map(|name| said.text(name));
    if let Some(reasoning) = reasoning.filter(|reasoning| !reasoning.is_empty()) {
        w.object(|w| {
            w.key("type").string("thinking");
            w.key("thinking").string(&reasoning);
            w.key("signature").string("");
        });
    }
}

fn text(words: &str, w: &mut Writer) {
    if !words.is_empty() {
        w.object(|w| {
            w.key("type").string("text");
            w.key("text").string(words);
        });
    }
}

struct Call {
    id: String,
    name: String,
    /// The text of a JSON object.
    input: String,
}

impl Call {
    fn read(call: Value<'_>) -> Option<Call> {
        let function = call.get("function")?;
        let arguments = function.text("arguments").unwrap_or_default();
        let input = match arguments.trim() {
            "" => "{}".to_owned(),
            arguments => {
                let doc = Doc::parse(arguments.as_bytes().to_vec()).ok()?;
                doc.root().is_object().then(|| doc.root().raw().to_owned())?
            }
        };
        Some(Call { id: call.text("id")?.into_owned(), name: function.text("name")?.into_owned(), input })
    }

    fn render(&self, w: &mut Writer) {
        w.object(|w| {
            w.key("type").string("tool_use");
            w.key("id").string(&self.id);
            w.key("name").string(&self.name);
            w.key("input").raw(&self.input);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test;

    fn told(message: &str, finish: &str) -> Option<String> {
        let body = format!(
            r#"{{"id":"c1","model":"m","choices":[{{"message":{message},"finish_reason":"{finish}"}}],"usage":{{
            "prompt_tokens":10,"completion_tokens":4,"prompt_tokens_details":{{"cached_tokens":3,"cache_write_tokens":2}}}}}}"#
        );
        self::message(body.as_bytes()).map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn tells_an_answer_as_a_message() {
        let signed = r#"{"type":"thinking","thinking":"h","signature":"s"}"#;
        let call = |arguments: &str| {
            format!(
                r#"{{"content":null,"tool_calls":[{{"id":"t","function":{{"name":"f","arguments":"{arguments}"}}}}]}}"#
            )
        };
        let used = |input: &str| format!(r#"{{"type":"tool_use","id":"t","name":"f","input":{input}}}"#);
        for (message, finish, content, stop) in [
            (r#"{"content":"Hi"}"#.to_owned(), "stop", r#"{"type":"text","text":"Hi"}"#.to_owned(), "end_turn"),
            (
                r#"{"content":null,"refusal":"No"}"#.to_owned(),
                "content_filter",
                r#"{"type":"text","text":"No"}"#.to_owned(),
                "refusal",
            ),
            (r#"{"content":""}"#.to_owned(), "length", String::new(), "max_tokens"),
            (
                format!(r#"{{"content":"","reasoning_content":"h","thinking_blocks":[{signed}]}}"#),
                "stop",
                signed.to_owned(),
                "end_turn",
            ),
            (
                r#"{"content":"","reasoning":"h"}"#.to_owned(),
                "stop",
                r#"{"type":"thinking","thinking":"h","signature":""}"#.to_owned(),
                "end_turn",
            ),
            (call(""), "tool_calls", used("{}"), "tool_use"),
            (call(r#"{\"x\": 1}"#), "tool_calls", used(r#"{"x": 1}"#), "tool_use"),
        ] {
            let expected = format!(
                r#"{{"id":"msg_c1","type":"message","role":"assistant","model":"m","content":[{content}],"stop_reason":"{stop}","stop_sequence":null,"usage":{{"input_tokens":5,"cache_creation_input_tokens":2,"cache_read_input_tokens":3,"output_tokens":4}}}}"#
            );
            assert_eq!(told(&message, finish).as_deref(), Some(&*expected), "{message}");
        }
        let stopped = r#"stop","native_finish_reason":"stop_sequence","stop_sequence":"END"#;
        let told_so = told(r#"{"content":"Hi"}"#, stopped).unwrap();
        assert!(told_so.contains(r#""stop_reason":"stop_sequence","stop_sequence":"END""#), "{told_so}");
        assert_eq!(told(&call("[1]"), "tool_calls"), None);
        assert_eq!(told(&call("{"), "tool_calls"), None);
        assert_eq!(message(br#"{"choices":[]}"#), None);
    }
}
