//! Repairs of answers as data: what a vendor calls differently than OpenAI, and where it puts it.
//!
//! Whatever a vendor's row says, a client reads one of OpenAI's reasons why the model stopped, the reasoning as
//! `reasoning_content`, the text as a string, the tokens in `usage`, and tool calls with a type and, in a stream, with an
//! index. What a vendor has beyond that passes.

use std::borrow::Cow;

use crate::chat::answer::Finish;
use crate::chat::tally;
use crate::json::Value;
use crate::vendor::edits::Edits;
use crate::vendor::failure::{Fault, Reported};

/// What a vendor says differently.
#[derive(Debug, Clone, Copy)]
pub struct Answers {
    /// Where the model's reasoning stands.
    pub reasoning: Reasoning,
    /// Its words for why the model stopped that are none of OpenAI's. Any other such word is taken for `stop`.
    pub endings: &'static [(&'static str, Ending)],
    /// A member of the body, or of a chunk, that holds `usage` where that is missing.
    pub usage_within: Option<&'static str>,
    /// What `usage` calls the tokens that were read from the cache, where it has no `prompt_tokens_details`.
    pub cached: Option<&'static str>,
}

/// Where the reasoning of a message, or of a piece of one, stands.
#[derive(Debug, Clone, Copy)]
pub enum Reasoning {
    /// In `reasoning_content`.
    Content,
    /// In a member of this name.
    Member(&'static str),
    /// In parts of `content` with the type `thinking`, among the text.
    Parts,
}

/// What a vendor's word for the end of an answer means.
#[derive(Debug, Clone, Copy)]
pub enum Ending {
    /// An end that OpenAI knows, too.
    As(Finish),
    /// The vendor gave up: the answer is not whole.
    Broken,
}

/// How many tool calls each choice of a stream has begun. OpenAI allows 128 choices; there is no place for more.
#[derive(Debug, Default)]
pub(super) struct Begun(Vec<(u64, u64)>);

impl Answers {
    /// OpenAI's words, with an end to surprises.
    pub const USUAL: Answers =
        Answers { reasoning: Reasoning::Content, endings: &[], usage_within: None, cached: None };

    /// Repairs a whole answer.
    pub(super) fn whole(&self, root: Value<'_>, edits: &mut Edits<'_>) -> Result<(), Fault> {
        for choice in root.get("choices").into_iter().flat_map(Value::items) {
            self.ending(choice, edits)?;
            if let Some(message) = choice.get("message") {
                self.message(message, edits);
                calls(message).for_each(|call| kind(call, edits));
            }
        }
        self.usage(root, edits);
        Ok(())
    }

    /// Repairs one chunk of a stream.
    pub(super) fn chunk(&self, root: Value<'_>, begun: &mut Begun, edits: &mut Edits<'_>) -> Result<(), Fault> {
        for choice in root.get("choices").into_iter().flat_map(Value::items) {
            self.ending(choice, edits)?;
            if let Some(delta) = choice.get("delta") {
                let index = choice.get("index").and_then(Value::as_u64).unwrap_or(0);
                self.message(delta, edits);
                calls(delta).for_each(|call| number(call, begun.of(index), edits));
            }
        }
        self.usage(root, edits);
        Ok(())
    }

    fn ending(&self, choice: Value<'_>, edits: &mut Edits<'_>) -> Result<(), Fault> {
        let Some(reason) = choice.given("finish_reason") else { return Ok(()) };
        let word = reason.as_str().unwrap_or_default();
        if OPENAIS.contains(&&*word) {
            return Ok(());
        }
        match self.endings.iter().find(|(theirs, _)| *theirs == word) {
            Some((_, Ending::Broken)) if choice.given("error").is_some() => {
                Err(Fault::Reported(Reported::read(choice)))
            }
            Some((_, Ending::Broken)) => Err(Fault::CutOff),
            Some((_, Ending::As(finish))) => {
                edits.replace(reason, |w| w.string(finish.name()));
                Ok(())
            }
            None => {
                edits.replace(reason, |w| w.string(Finish::Stop.name()));
                Ok(())
            }
        }
    }

    fn message(&self, message: Value<'_>, edits: &mut Edits<'_>) {
        match self.reasoning {
            Reasoning::Content => {}
            Reasoning::Member(theirs) if message.get(CONTENT).is_some() => {
                edits.remove(message, |name, _| name == theirs)
            }
            Reasoning::Member(theirs) => {
                let names = message.entries().filter(|(name, _)| name.as_str().as_deref() == Some(theirs));
                names.for_each(|(name, _)| edits.replace(name, |w| w.string(CONTENT)));
            }
            Reasoning::Parts => {
                let Some(parts) = message.get("content").filter(|content| content.is_array()) else { return };
                edits.replace(parts, |w| w.string(&text(parts, "text", "text")));
                let thoughts = text(parts, "thinking", "thinking");
                if !thoughts.is_empty() && message.get(CONTENT).is_none() {
                    edits.insert(message, CONTENT, |w| w.string(&thoughts));
                }
            }
        }
    }

    fn usage(&self, root: Value<'_>, edits: &mut Edits<'_>) {
        let elsewhere = self.usage_within.and_then(|member| root.get(member)?.given("usage"));
        match (root.get("usage"), elsewhere) {
            (None, Some(usage)) => edits.insert(root, "usage", |w| w.raw(usage.raw())),
            (Some(nothing), Some(usage)) if nothing.is_null() => edits.replace(nothing, |w| w.raw(usage.raw())),
            (Some(usage), _) if usage.given("prompt_tokens_details").is_none() => self.cached(usage, edits),
            _ => {}
        }
    }

    fn cached(&self, usage: Value<'_>, edits: &mut Edits<'_>) {
        let Some(tokens) = self.cached.and_then(|name| tally::tokens(usage, name)) else { return };
        edits.remove(usage, |name, _| name == "prompt_tokens_details");
        edits.insert(usage, "prompt_tokens_details", |w| w.object(|w| w.key("cached_tokens").number(tokens)));
    }
}

impl Begun {
    /// The count of one choice.
    fn of(&mut self, choice: u64) -> Option<&mut u64> {
        const MOST: usize = 128;
        let at = self.0.iter().position(|(index, _)| *index == choice).unwrap_or(self.0.len());
        if at == self.0.len() && at < MOST {
            self.0.push((choice, 0));
        }
        self.0.get_mut(at).map(|(_, calls)| calls)
    }
}

/// What OpenAI calls the end of an answer; the last word is for its older functions.
const OPENAIS: [&str; 5] = ["stop", "length", "tool_calls", "content_filter", "function_call"];

/// What clients read the reasoning from: OpenAI has no member for it, and most vendors have this one.
const CONTENT: &str = "reasoning_content";

/// The tool calls of a message that have anything in them.
fn calls(message: Value<'_>) -> impl Iterator<Item = Value<'_>> {
    let calls = message.get("tool_calls").into_iter().flat_map(Value::items);
    calls.filter(|call| call.is_object() && !call.is_empty())
}

/// Gives a call its type, which is the only one that vendors leave out.
fn kind(call: Value<'_>, edits: &mut Edits<'_>) {
    if call.get("type").is_none() && call.get("function").is_some() {
        edits.insert(call, "type", |w| w.string("function"));
    }
}

/// Gives a call in a stream its index. Who leaves that out sends each call in one piece.
fn number(call: Value<'_>, begun: Option<&mut u64>, edits: &mut Edits<'_>) {
    let Some(begun) = begun else { return };
    match call.get("index").map(Value::as_u64) {
        Some(index) => *begun = (*begun).max(index.unwrap_or(0).saturating_add(1)),
        None => {
            kind(call, edits);
            edits.insert(call, "index", |w| w.number(*begun));
            *begun = begun.saturating_add(1);
        }
    }
}

/// The text of all parts of one type, which is in `member`: as a string, or as parts of text again.
fn text(parts: Value<'_>, kind: &str, member: &str) -> String {
    let parts = parts.items().filter(|part| part.text("type").as_deref() == Some(kind));
    parts.filter_map(|part| part.get(member)).map(plain).collect()
}

fn plain(value: Value<'_>) -> Cow<'_, str> {
    match value.as_str() {
        Some(text) => text,
        None => value.items().filter_map(|part| part.text("text")).collect::<String>().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Doc;
    use crate::test;

    /// A chunk with one choice that ends in `tail`, repaired.
    fn repaired(answers: &Answers, begun: &mut Begun, chunk: &str) -> Result<String, Fault> {
        let doc = Doc::parse(chunk.as_bytes().to_vec()).unwrap();
        let mut edits = Edits::new(chunk.as_bytes());
        answers.chunk(doc.root(), begun, &mut edits)?;
        Ok(String::from_utf8(edits.applied().into_owned()).unwrap())
    }

    #[test]
    fn an_end_is_one_that_clients_know() {
        let endings = &[("model_length", Ending::As(Finish::Length)), ("error", Ending::Broken)];
        let answers = Answers { endings, ..Answers::USUAL };
        let choice = |reason: &str| format!(r#"{{"choices":[{{"finish_reason":{reason}}}]}}"#);
        for (theirs, ours) in [
            ("null", "null"),
            (r#""tool_calls""#, r#""tool_calls""#),
            (r#""model_length""#, r#""length""#),
            (r#""something_new""#, r#""stop""#),
            ("7", r#""stop""#),
        ] {
            assert_eq!(repaired(&answers, &mut Begun::default(), &choice(theirs)), Ok(choice(ours)));
        }
        assert_eq!(repaired(&answers, &mut Begun::default(), &choice(r#""error""#)), Err(Fault::CutOff));
        let reported = choice(r#""error","error":{"message":"boom","code":502}"#);
        let fault = repaired(&answers, &mut Begun::default(), &reported);
        assert!(matches!(fault, Err(Fault::Reported(reported)) if reported.message == "boom"));
    }

    #[test]
    fn calls_are_numbered_for_each_choice() {
        let mut begun = Begun::default();
        for (index, before, after) in [
            (0, r#"{"id":"a","function":{}}"#, r#"{"type":"function","index":0,"id":"a","function":{}}"#),
            (1, r#"{"id":"b","function":{}}"#, r#"{"type":"function","index":0,"id":"b","function":{}}"#),
            (0, r#"{"index":4,"id":"c"}"#, r#"{"index":4,"id":"c"}"#),
            (0, r#"{"id":"d","type":"function"}"#, r#"{"index":5,"id":"d","type":"function"}"#),
            (0, "{}", "{}"),
            (0, "null", "null"),
            (0, r#"{"index":18446744073709551615}"#, r#"{"index":18446744073709551615}"#),
            (0, r#"{"id":"e"}"#, r#"{"index":18446744073709551615,"id":"e"}"#),
        ] {
            let chunk = |call| format!(r#"{{"choices":[{{"index":{index},"delta":{{"tool_calls":[{call}]}}}}]}}"#);
            assert_eq!(repaired(&Answers::USUAL, &mut begun, &chunk(before)), Ok(chunk(after)));
        }
    }

    #[test]
    fn does_not_grow_with_the_number_of_choices() {
        let mut begun = Begun::default();
        assert_eq!((0..1000).filter(|choice| begun.of(*choice).is_some()).count(), 128);
    }

    #[test]
    fn reasoning_is_read_in_one_place() {
        let chunk = |delta: &str| format!(r#"{{"choices":[{{"delta":{delta}}}]}}"#);
        for (reasoning, before, after) in [
            (Reasoning::Content, r#"{"reasoning":"r"}"#, r#"{"reasoning":"r"}"#),
            (Reasoning::Member("reasoning"), r#"{"reasoning":"r"}"#, r#"{"reasoning_content":"r"}"#),
            (
                Reasoning::Member("reasoning"),
                r#"{"reasoning":"r","reasoning_content":"r"}"#,
                r#"{"reasoning_content":"r"}"#,
            ),
            (Reasoning::Parts, r#"{"content":"a"}"#, r#"{"content":"a"}"#),
            (Reasoning::Parts, r#"{"content":[]}"#, r#"{"content":""}"#),
            (
                Reasoning::Parts,
                r#"{"content":[{"type":"thinking","thinking":[{"type":"text","text":"r"}]},{"type":"text","text":"a"},7]}"#,
                r#"{"reasoning_content":"r","content":"a"}"#,
            ),
            (
                Reasoning::Parts,
                r#"{"content":[{"type":"thinking","thinking":"r"}]}"#,
                r#"{"reasoning_content":"r","content":""}"#,
            ),
            (Reasoning::Parts, "[1]", "[1]"),
        ] {
            let answers = Answers { reasoning, ..Answers::USUAL };
            assert_eq!(repaired(&answers, &mut Begun::default(), &chunk(before)), Ok(chunk(after)));
        }
    }

    #[test]
    fn usage_is_read_in_one_place() {
        let answers = Answers { usage_within: Some("x_groq"), cached: Some("hits"), ..Answers::USUAL };
        for (before, after) in [
            (r#"{"x_groq":{"usage":{"a":1}}}"#, r#"{"usage":{"a":1},"x_groq":{"usage":{"a":1}}}"#),
            (r#"{"usage":null,"x_groq":{"usage":{"a":1}}}"#, r#"{"usage":{"a":1},"x_groq":{"usage":{"a":1}}}"#),
            (r#"{"usage":{"b":2},"x_groq":{"usage":{"a":1}}}"#, r#"{"usage":{"b":2},"x_groq":{"usage":{"a":1}}}"#),
            (r#"{"usage":{"hits":3}}"#, r#"{"usage":{"prompt_tokens_details":{"cached_tokens":3},"hits":3}}"#),
            (
                r#"{"usage":{"hits":3,"prompt_tokens_details":null}}"#,
                r#"{"usage":{"prompt_tokens_details":{"cached_tokens":3},"hits":3}}"#,
            ),
            (r#"{"usage":{"hits":-3}}"#, r#"{"usage":{"hits":-3}}"#),
            (
                r#"{"usage":{"hits":3,"prompt_tokens_details":{"cached_tokens":2}}}"#,
                r#"{"usage":{"hits":3,"prompt_tokens_details":{"cached_tokens":2}}}"#,
            ),
        ] {
            assert_eq!(repaired(&answers, &mut Begun::default(), before).as_deref(), Ok(after));
        }
    }
}
