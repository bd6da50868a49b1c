//! Embeddings: what a request for vectors holds, and what an answer with them must.
//!
//! An input is a text, or a text that its client has already cut into tokens. A request has one or many, and its answer
//! a vector for each, in the same order: a list of numbers, or 32-bit floats in base64.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};

use super::Usage;
use super::request::{MOST_TOKENS, Request, Rule, Task};
use super::tally::{Counted, Tally};
use crate::json::{Doc, Kind, Value};
use crate::refusal::Refusal;

/// One thing to make a vector of.
#[derive(Clone, Copy)]
pub enum Input<'d> {
    /// A string.
    Text(Value<'d>),
    /// A list of tokens.
    Tokens(Value<'d>),
}

impl<'d> Input<'d> {
    fn of(value: Value<'d>) -> Input<'d> {
        if value.is_string() { Input::Text(value) } else { Input::Tokens(value) }
    }

    /// Where it stands in the request.
    pub fn value(self) -> Value<'d> {
        match self {
            Input::Text(value) | Input::Tokens(value) => value,
        }
    }
}

impl Request {
    /// What vectors are wanted of, at least one; nothing if it is a chat request.
    pub fn inputs(&self) -> Vec<Input<'_>> {
        match self.root().get("input").filter(|_| self.task() == Task::Embeddings) {
            None => Vec::new(),
            Some(one) if is_one(one) => vec![Input::of(one)],
            Some(many) => many.items().map(Input::of).collect(),
        }
    }
}

/// Whether the value of `input` is a single one: a text, or its tokens.
pub fn is_one(input: Value<'_>) -> bool {
    input.is_string() || input.items().next().is_some_and(|first| first.kind() == Kind::Number)
}

/// Checks `input`: the first item says what all the others have to be.
pub(super) fn check(root: Value<'_>) -> Result<(), Refusal> {
    let input = root.get("input").ok_or_else(|| Refusal::invalid("input", "is required"))?;
    let Some(first) = input.items().next() else { return check_text(input, || "input".to_owned()) };
    match first.kind() {
        Kind::Number => return check_tokens(input, || "input".to_owned()),
        _ if input.items().nth(MOST).is_some() => {
            return Err(Refusal::invalid("input", &format!("must hold at most {MOST} texts")));
        }
        _ => {}
    }
    let check = if first.is_string() { check_text } else { check_tokens };
    input.items().enumerate().try_for_each(|(i, item)| check(item, move || format!("input[{i}]")))
}

fn check_text(value: Value<'_>, at: impl Fn() -> String) -> Result<(), Refusal> {
    match value.as_str() {
        Some(text) if !text.is_empty() => Ok(()),
        _ if value.is_string() || value.is_empty() => Err(Refusal::invalid(at(), "must not be empty")),
        _ => Err(Refusal::invalid(at(), "must be a string, or an array of strings, of tokens or of arrays of tokens")),
    }
}

fn check_tokens(value: Value<'_>, at: impl Fn() -> String) -> Result<(), Refusal> {
    if !value.is_array() {
        return Err(Refusal::invalid(at(), "must be an array of tokens, as the first one is"));
    }
    if value.is_empty() {
        return Err(Refusal::invalid(at(), "must not be empty"));
    }
    match value.items().position(|token| token.as_u64().is_none()) {
        Some(i) => Err(Refusal::invalid(format!("{}[{i}]", at()), "must be a token, an integer from 0")),
        None => Ok(()),
    }
}

/// The documented fields with a type or range. A client that wants a stream would wait for one in vain.
pub(super) const FIELDS: &[(&str, Rule)] = &[
    ("dimensions", Rule::Integer(1, 65_536)),
    ("encoding_format", Rule::OneOf(&["float", "base64"])),
    ("user", Rule::Text),
    ("stream", Rule::False),
];

/// OpenAI's own bound.
pub const MOST: usize = 2048;

/// The tokens of a whole answer, if it is one: an object with vectors. It is not indexed like other bodies, since two
/// thousand vectors are millions of numbers.
pub fn tally(body: &[u8]) -> Option<Tally> {
    // Texts that are skipped are not looked at otherwise.
    let body = std::str::from_utf8(body).ok()?;
    let answer: Answer = serde_json::from_str(body).ok().filter(|answer: &Answer| !answer.data.is_empty())?;
    let prompt = answer.usage.get("prompt_tokens").and_then(|tokens| {
        let whole =
            tokens.as_f64().filter(|tokens| tokens.fract() == 0.0 && (0.0..=MOST_TOKENS as f64).contains(tokens));
        whole.map(|tokens| tokens as u64)
    });
    let counted = prompt.map_or(Counted::Nothing, |prompt| Counted::All(Usage { prompt, ..Usage::default() }));
    Some(Tally { counted, written: 0 })
}

/// Whether a whole answer, indexed, has vectors and nothing else in their place.
pub fn is_whole(answer: &Doc) -> bool {
    let vector =
        |item: Value<'_>| item.get("embedding").is_some_and(|v| v.is_string() || (v.is_array() && !v.is_empty()));
    answer.root().get("data").is_some_and(|data| data.is_array() && !data.is_empty() && data.items().all(vector))
}

#[derive(Deserialize)]
struct Answer {
    data: Vec<Item>,
    /// Whatever it may be: what is no count is none.
    #[serde(default)]
    usage: serde_json::Value,
}

#[derive(Deserialize)]
struct Item {
    #[serde(rename = "embedding")]
    _embedding: Vector,
}

/// Numbers, or their bytes as text; read, and not kept.
struct Vector;

impl<'de> Deserialize<'de> for Vector {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Vector, D::Error> {
        deserializer.deserialize_any(Vector)
    }
}

impl<'de> Visitor<'de> for Vector {
    type Value = Vector;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a vector")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Vector, E> {
        if text.is_empty() { Err(E::custom("an empty vector")) } else { Ok(Vector) }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut numbers: A) -> Result<Vector, A::Error> {
        numbers.next_element::<f64>()?.ok_or_else(|| A::Error::custom("an empty vector"))?;
        while numbers.next_element::<f64>()?.is_some() {}
        Ok(Vector)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::request::Delivery;
    use crate::test;

    fn parse(fields: &str) -> Result<Request, Refusal> {
        Request::read(Task::Embeddings, format!(r#"{{"model":"m",{fields}}}"#).into_bytes())
    }

    #[test]
    fn reads_every_kind_of_input() {
        for (input, kinds) in
            [(r#""a""#, "t"), (r#"["a","b"]"#, "tt"), (r#"["a"]"#, "t"), ("[1,2,3]", "k"), ("[[1],[2,3]]", "kk")]
        {
            let request = parse(&format!(r#""input":{input},"user":null,"dimensions":8,"encoding_format":"base64""#));
            let request = request.unwrap();
            let kind = |input: &Input<'_>| if matches!(input, Input::Text(_)) { 't' } else { 'k' };
            assert_eq!(request.inputs().iter().map(kind).collect::<String>(), kinds, "{input}");
            assert_eq!((request.task(), request.delivery()), (Task::Embeddings, Delivery::Whole));
        }
        let chat = br#"{"model":"m","messages":[{"role":"user","content":"x"}],"input":"a"}"#.to_vec();
        assert!(Request::parse(chat).unwrap().inputs().is_empty());
    }

    #[test]
    fn names_what_is_wrong() {
        let many = |count: usize| format!("[{}]", vec!["\"a\""; count].join(","));
        assert!(parse(&format!(r#""input":{}"#, many(MOST))).is_ok());
        for (input, param) in [
            ("null".to_owned(), "input"),
            (r#""""#.to_owned(), "input"),
            ("[]".to_owned(), "input"),
            ("{}".to_owned(), "input"),
            ("7".to_owned(), "input"),
            ("true".to_owned(), "input"),
            (many(MOST + 1), "input"),
            (r#"["a",""]"#.to_owned(), "input[1]"),
            (r#"["a",1]"#.to_owned(), "input[1]"),
            (r#"["a",["b"]]"#.to_owned(), "input[1]"),
            (r#"["a",null]"#.to_owned(), "input[1]"),
            ("[null]".to_owned(), "input[0]"),
            ("[{}]".to_owned(), "input[0]"),
            (r#"[1,"a"]"#.to_owned(), "input[1]"),
            ("[1,-1]".to_owned(), "input[1]"),
            ("[1.5]".to_owned(), "input[0]"),
            ("[[]]".to_owned(), "input[0]"),
            ("[[1],[]]".to_owned(), "input[1]"),
            ("[[1],2]".to_owned(), "input[1]"),
            ("[[1],[[2]]]".to_owned(), "input[1][0]"),
            (r#"[["a"]]"#.to_owned(), "input[0][0]"),
        ] {
            let refusal = parse(&format!(r#""input":{input}"#)).map(drop).unwrap_err();
            assert_eq!(
                (refusal.status, refusal.param.as_deref()),
                (400, Some(param)),
                "{input:.40} {}",
                refusal.message
            );
        }
        for (field, value) in [
            ("dimensions", "0"),
            ("dimensions", "1.5"),
            ("dimensions", "\"8\""),
            ("encoding_format", "\"hex\""),
            ("encoding_format", "1"),
            ("user", "1"),
            ("stream", "true"),
        ] {
            let refusal = parse(&format!(r#""input":"a","{field}":{value}"#)).map(drop).unwrap_err();
            assert_eq!(refusal.param.as_deref(), Some(field), "{value}");
        }
        assert_eq!(parse(r#""messages":[]"#).map(drop).unwrap_err().param.as_deref(), Some("input"));
    }

    #[test]
    fn an_answer_has_vectors() {
        let counted = |prompt| Counted::All(Usage { prompt, ..Usage::default() });
        for (body, tally_of) in [
            (r#"{"data":[{"embedding":[1,-0.5e-3]}],"usage":{"prompt_tokens":7}}"#, Some(counted(7))),
            (r#"{"data":[{"embedding":"AACAPw=="}],"usage":{"prompt_tokens":7.0,"total_tokens":7}}"#, Some(counted(7))),
            (r#"{"data":[{"embedding":[1]},{"embedding":[2]}],"usage":null}"#, Some(Counted::Nothing)),
            (r#"{"data":[{"embedding":[1]}],"usage":{"prompt_tokens":-7}}"#, Some(Counted::Nothing)),
            (r#"{"data":[{"embedding":[1]}],"usage":{"prompt_tokens":1e9}}"#, Some(Counted::Nothing)),
            (r#"{"data":[{"embedding":[1]}],"usage":[3]}"#, Some(Counted::Nothing)),
            (r#"{"data":[]}"#, None),
            (r#"{"data":[{"embedding":[]}]}"#, None),
            (r#"{"data":[{"embedding":""}]}"#, None),
            (r#"{"data":[{"embedding":["1"]}]}"#, None),
            (r#"{"data":[{"embedding":[1]},{"index":1}]}"#, None),
            (r#"{"choices":[]}"#, None),
            ("<html>", None),
        ] {
            assert_eq!(tally(body.as_bytes()).map(|tally| tally.counted), tally_of, "{body}");
        }
        assert_eq!(tally(b"{\"model\":\"\xff\",\"data\":[{\"embedding\":[1]}]}"), None, "what is relayed is UTF-8");
    }
}
