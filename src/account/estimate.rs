//! How many tokens something has, before anybody has counted them.
//!
//! Every vendor cuts text in its own way, and none of their tables is here: an estimate is good for a reservation that
//! is settled later, and for the rare answer whose tokens nobody reports. English is about four bytes a token in all
//! of them; other scripts are denser, and two bytes a token is a lot even for them. Pictures, sound and documents are
//! flat amounts, since their tokens have nothing to do with the bytes of their encoding.

use crate::chat::embeddings::Input;
use crate::chat::{Request, Task};
use crate::json::Value;

/// How many tokens an answer may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ceiling {
    /// So many: the client set a maximum.
    Given(u64),
    /// Nobody knows; it is taken to have so many.
    Assumed(u64),
}

impl Ceiling {
    /// How many, whoever says so.
    pub fn tokens(self) -> u64 {
        match self {
            Ceiling::Given(tokens) | Ceiling::Assumed(tokens) => tokens,
        }
    }
}

/// The tokens of a request's prompt.
pub fn prompt(request: &Request) -> u64 {
    let root = request.root();
    let messages: u64 = request.messages().map(message).sum();
    let described: u64 =
        ["tools", "functions", "response_format"].iter().filter_map(|name| root.given(name)).map(raw).sum();
    messages + described + request.inputs().into_iter().map(input).sum::<u64>()
}

/// The tokens of one input of a request for embeddings.
pub fn input(input: Input<'_>) -> u64 {
    match input {
        Input::Text(value) => value.as_str().map_or(0, |said| text(&said)),
        Input::Tokens(list) => list.items().count() as u64,
    }
}

/// The most tokens that the answer can have, all its choices together; `assumed` is for one choice of a client that
/// sets no maximum.
pub fn answer(request: &Request, assumed: u64) -> Ceiling {
    if request.task() == Task::Embeddings {
        return Ceiling::Given(0);
    }
    let choices = request.root().given("n").and_then(Value::as_u64).unwrap_or(1);
    match request.most_tokens() {
        Some(most) => Ceiling::Given(most.saturating_mul(choices)),
        None => Ceiling::Assumed(assumed.saturating_mul(choices)),
    }
}

/// The tokens of so many bytes that a model wrote.
pub fn written(bytes: u64) -> u64 {
    bytes.div_ceil(4)
}

/// Everything in a message but its content is short; it is counted as it is spelled.
fn message(message: Value<'_>) -> u64 {
    let members = message.members().map(|(name, value)| match &*name {
        "content" => content(value),
        "role" => 0,
        "audio" if value.is_object() => AUDIO,
        _ if value.is_null() => 0,
        _ => raw(value),
    });
    members.sum::<u64>() + PER_MESSAGE
}

fn content(content: Value<'_>) -> u64 {
    match content.as_str() {
        Some(said) => text(&said),
        None => content.items().map(part).sum(),
    }
}

/// A part of a type that is not known could be of any; it is text unless that would be a lot.
fn part(part: Value<'_>) -> u64 {
    match part.text("type").as_deref() {
        Some("text") => part.text("text").map_or(0, |said| text(&said)),
        Some("image_url" | "image") => IMAGE,
        Some("input_audio") => AUDIO,
        Some("file") => FILE,
        _ => raw(part).min(FILE),
    }
}

fn raw(value: Value<'_>) -> u64 {
    text(value.raw())
}

/// ASCII counts a quarter of a token a byte, all else half a token a byte. Most text is ASCII, which is found out many bytes
/// at a time.
fn text(text: &str) -> u64 {
    let beyond_ascii = if text.is_ascii() { 0 } else { text.bytes().filter(|byte| !byte.is_ascii()).count() };
    (text.len() + beyond_ascii).div_ceil(4) as u64
}

/// What stands around each message in a prompt; OpenAI's own recipe for counting says three, and one for a name.
const PER_MESSAGE: u64 = 4;
/// A large picture in full detail: OpenAI's of 2048 x 2048 points has 765 tokens at 4o and 1445 at o1, Anthropic's at most
/// about 1600.
const IMAGE: u64 = 1500;
/// OpenAI counts ten tokens a second: five minutes of speech.
const AUDIO: u64 = 3000;
/// A document of some five pages, each read as text and as a picture.
const FILE: u64 = 10_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test;

    fn request(message: &str, more: &str) -> Request {
        Request::parse(format!(r#"{{"model":"m","messages":[{message}]{more}}}"#).into_bytes()).unwrap()
    }

    #[test]
    fn counts_the_prompt() {
        let user = |content: &str| format!(r#"{{"role":"user","content":{content}}}"#);
        let data = "A".repeat(100_000);
        for (message, tokens) in [
            (user(r#""""#), 4),
            (user(r#""abcd""#), 5),
            (user(r#""abcde""#), 6),
            (user(r#""\u0061bcd""#), 5),
            (user("\"\u{e9}\u{e9}\""), 6),
            (user("\"\u{20ac}\u{20ac}\""), 7),
            (user("\"\u{1f600}\""), 6),
            (user(r#"[{"type":"text","text":"abcd"},{"type":"text","text":"abcd"}]"#), 6),
            (user(&format!(r#"[{{"type":"image_url","image_url":{{"url":"data:image/png;base64,{data}"}}}}]"#)), 1504),
            (user(&format!(r#"[{{"type":"input_audio","input_audio":{{"data":"{data}"}}}}]"#)), 3004),
            (user(&format!(r#"[{{"type":"file","file":{{"file_data":"{data}"}}}}]"#)), 10_004),
            (user(&format!(r#"[{{"type":"new","new":"{data}"}}]"#)), 10_004),
            (user(r#"[{"type":"refusal","refusal":"abc"}]"#), 13),
            (r#"{"role":"assistant","content":null,"tool_calls":[{"id":"abcdefgh"}]}"#.to_owned(), 9),
            (r#"{"role":"assistant","content":null,"audio":{"id":"a"}}"#.to_owned(), 3004),
            (r#"{"role":"user","content":"abcd","name":"ab"}"#.to_owned(), 6),
        ] {
            assert_eq!(prompt(&request(&message, "")), tokens, "{message:.100}");
        }
        let more = r#","tools":[{"a":12}],"response_format":{"type":"text"},"user":"abcdefgh","stop":null"#;
        assert_eq!(prompt(&request(&user(r#""abcd""#), more)), 5 + 3 + 4);
    }

    #[test]
    fn counts_inputs_and_no_answer() {
        for (input, tokens) in
            [(r#""abcde""#, 2), (r#"["abcd","\u0061bcd"]"#, 2), ("[1,22,333]", 3), ("[[1],[22,333]]", 3)]
        {
            let body = format!(r#"{{"model":"m","input":{input},"max_tokens":9,"tools":null}}"#);
            let request = Request::read(Task::Embeddings, body.into_bytes()).unwrap();
            assert_eq!((prompt(&request), answer(&request, 1000)), (tokens, Ceiling::Given(0)), "{input}");
        }
    }

    #[test]
    fn an_answer_has_a_ceiling() {
        let hi = r#"{"role":"user","content":"hi"}"#;
        for (more, ceiling) in [
            ("", Ceiling::Assumed(1000)),
            (r#","n":3"#, Ceiling::Assumed(3000)),
            (r#","max_tokens":50"#, Ceiling::Given(50)),
            (r#","max_tokens":50,"n":2"#, Ceiling::Given(100)),
            (r#","max_tokens":50,"max_completion_tokens":70"#, Ceiling::Given(70)),
            (r#","max_tokens":50,"max_completion_tokens":null"#, Ceiling::Given(50)),
        ] {
            assert_eq!(answer(&request(hi, more), 1000), ceiling, "{more}");
        }
        assert_eq!(Ceiling::Assumed(3).tokens(), 3);
    }

    #[test]
    fn counts_what_was_written() {
        assert_eq!([0, 1, 4, 5].map(written), [0, 1, 1, 2]);
    }
}
