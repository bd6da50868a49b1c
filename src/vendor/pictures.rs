//! What tools give besides text, on its way to vendors of OpenAI's format.
//!
//! Their tool messages are text. So pictures and files move into a message of the user's, which stands behind all results
//! of the turn, since the results must follow their calls. Only what clients said in Anthropic's words is changed: there a
//! result may hold them.

use super::edits::Edits;
use crate::chat::Request;
use crate::json::{Value, Writer};

/// Moves them.
pub(super) fn move_out(request: &Request, edits: &mut Edits<'_>) {
    let mut moved = Vec::new();
    let mut messages = request.messages().peekable();
    while let Some(message) = messages.next() {
        let Some(content) = message.get("content").filter(|_| is_result(message)) else { continue };
        let (texts, others): (Vec<_>, Vec<_>) = content.items().partition(|part| is_text(*part));
        if !others.is_empty() {
            edits.replace(content, |w| match &*texts {
                [] => w.string(ELSEWHERE),
                texts => w.array(|w| texts.iter().for_each(|part| bare(*part, w))),
            });
            moved.extend(others);
        }
        if !messages.peek().is_some_and(|next| is_result(*next)) && !moved.is_empty() {
            let moved = std::mem::take(&mut moved);
            edits.insert_behind(message, |w| render(&moved, w));
        }
    }
}

fn is_result(message: Value<'_>) -> bool {
    message.text("role").as_deref() == Some("tool")
}

fn is_text(part: Value<'_>) -> bool {
    part.text("type").as_deref() == Some("text")
}

fn render(parts: &[Value<'_>], w: &mut Writer) {
    w.object(|w| {
        w.key("role").string("user");
        w.key("content").array(|w| {
            w.object(|w| {
                w.key("type").string("text");
                w.key("text").string(FROM_TOOLS);
            });
            parts.iter().for_each(|part| bare(*part, w));
        });
    });
}

/// The part without what only Anthropic has words for.
fn bare(part: Value<'_>, w: &mut Writer) {
    w.object(|w| {
        for (name, value) in part.members().filter(|(name, _)| !PARTS_EXTENSIONS.contains(&&**name)) {
            w.key(&name).raw(value.raw());
        }
    });
}

/// Members of a part that only Anthropic has a word for.
pub(super) const PARTS_EXTENSIONS: [&str; 2] = ["cache_control", "document"];

/// What a result says that has no text of its own; an empty one would be no result.
const ELSEWHERE: &str = "What this tool returned is attached to the message that follows the tool results.";

/// What the model reads before it, so that it does not take it for the user's.
const FROM_TOOLS: &str = "Returned by the tools, in the order of their results:";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test;

    fn moved(messages: &str) -> String {
        let request = Request::of_messages(format!(r#"{{"model":"m","messages":[{messages}]}}"#).into_bytes()).unwrap();
        let mut edits = Edits::new(request.body());
        move_out(&request, &mut edits);
        String::from_utf8(edits.body().apply(request.body()).into_owned()).unwrap()
    }

    fn tool(id: &str, content: &str) -> String {
        format!(r#"{{"role":"tool","tool_call_id":"{id}","content":{content}}}"#)
    }

    #[test]
    fn pictures_stand_behind_all_results() {
        let asks = r#"{"role":"user","content":"?"}"#;
        let picture = |n: u8| format!(r#"{{"type":"image_url","image_url":{{"url":"https://x/{n}"}}}}"#);
        let marked = picture(1).replacen('{', r#"{"cache_control":{},"#, 1);
        let text = r#"{"type":"text","text":"See:"}"#;
        let user = |pictures: &[String]| {
            let pictures = pictures.join(",");
            format!(r#"{{"role":"user","content":[{{"type":"text","text":"{FROM_TOOLS}"}},{pictures}]}}"#)
        };
        let elsewhere = format!("\"{ELSEWHERE}\"");
        for (before, after) in [
            (vec![asks.to_owned(), tool("a", "\"7\"")], vec![asks.to_owned(), tool("a", "\"7\"")]),
            (
                vec![
                    tool("a", &format!("[{text},{marked}]")),
                    tool("b", "\"7\""),
                    tool("c", &format!("[{}]", picture(2))),
                    asks.to_owned(),
                ],
                vec![
                    tool("a", &format!("[{text}]")),
                    tool("b", "\"7\""),
                    tool("c", &elsewhere),
                    user(&[picture(1), picture(2)]),
                    asks.to_owned(),
                ],
            ),
            (
                vec![tool("a", &format!("[{}]", picture(1))), asks.to_owned(), tool("b", &format!("[{}]", picture(2)))],
                vec![
                    tool("a", &elsewhere),
                    user(&[picture(1)]),
                    asks.to_owned(),
                    tool("b", &elsewhere),
                    user(&[picture(2)]),
                ],
            ),
        ] {
            assert_eq!(moved(&before.join(",")), format!(r#"{{"model":"m","messages":[{}]}}"#, after.join(",")));
        }
    }
}
