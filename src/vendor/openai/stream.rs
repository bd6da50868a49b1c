//! A stream in OpenAI's format, relayed event by event.

use std::borrow::Cow;

use super::answer::Begun;
use super::{Answers, written};
use crate::chat::request::Delivery;
use crate::chat::tally::{Counted, Tally};
use crate::chat::{Usage, answer};
use crate::json::{Doc, Value};
use crate::vendor::edits::Edits;
use crate::vendor::failure::Reported;
use crate::vendor::{Fault, Stream};

/// A stream on its way to its client.
#[derive(Debug)]
pub(super) struct Relay {
    delivery: Delivery,
    repairs: Option<(Answers, Begun)>,
    tally: Tally,
    progress: Progress,
}

/// How far a relayed stream has come.
#[derive(Debug, PartialEq)]
enum Progress {
    Answering(Choices),
    /// `[DONE]` was relayed; what follows is not for the client.
    Done,
}

/// The choices of an answer, a bit for each index; OpenAI allows 128.
#[derive(Debug, Default, PartialEq)]
struct Choices {
    begun: u128,
    /// Those of which more than the role has come.
    spoke: u128,
    finished: u128,
}

impl Choices {
    fn note(&mut self, choices: Value<'_>) {
        for choice in choices.items() {
            let index = choice.get("index").and_then(Value::as_u64).unwrap_or(0);
            let bit = 1u128.checked_shl(u32::try_from(index).unwrap_or(u32::MAX)).unwrap_or(0);
            self.begun |= bit;
            if choice.get("delta").is_some_and(says_something) {
                self.spoke |= bit;
            }
            if choice.given("finish_reason").is_some() {
                self.finished |= bit;
            }
        }
    }

    fn complete(&self) -> bool {
        self.begun != 0 && self.begun == self.finished
    }
}

/// Whether a delta holds more than the role and the empty members beside it.
fn says_something(delta: Value<'_>) -> bool {
    delta
        .members()
        .any(|(name, value)| name != "role" && !value.is_null() && !matches!(value.raw(), "\"\"" | "[]" | "{}"))
}

impl Relay {
    /// A stream of which nothing has come.
    pub(super) fn new(delivery: Delivery, answers: Option<Answers>) -> Relay {
        let repairs = answers.map(|answers| (answers, Begun::default()));
        Relay { delivery, repairs, tally: Tally::default(), progress: Progress::Answering(Choices::default()) }
    }

    /// Whether a chunk is there for its usage alone, and the client did not ask for it. Azure's first chunk has no
    /// choices either, and no usage.
    fn is_ours(&self, chunk: Value<'_>, choices: Value<'_>) -> bool {
        self.delivery != (Delivery::Stream { usage: true }) && choices.is_empty() && chunk.given("usage").is_some()
    }
}

impl Stream for Relay {
    fn event(&mut self, _: &str, data: &str, out: &mut Vec<u8>) -> Result<(), Fault> {
        let Progress::Answering(choices) = &mut self.progress else { return Ok(()) };
        if data.trim() == "[DONE]" {
            self.progress = Progress::Done;
            answer::done(out);
            return Ok(());
        }
        let mut doc = parse(data.as_bytes().to_vec())?;
        if let Some((answers, begun)) = &mut self.repairs {
            let mut edits = Edits::new(data.as_bytes());
            answers.chunk(chunk(&doc)?.0, begun, &mut edits)?;
            if let Cow::Owned(repaired) = edits.applied() {
                doc = parse(repaired)?;
            }
        }
        let (chunk, pieces) = chunk(&doc)?;
        choices.note(pieces);
        self.tally.written += written(pieces, "delta");
        // Some send a running count in every chunk: the last is the answer's.
        if let Some(usage) = Usage::read(chunk) {
            self.tally.counted = Counted::All(usage);
        }
        if !self.is_ours(chunk, pieces) {
            answer::relay(doc.text(), out);
        }
        Ok(())
    }

    /// Some vendors end without `[DONE]`; when every choice has its finish reason, they have said everything.
    fn end(&mut self, out: &mut Vec<u8>) -> Result<(), Fault> {
        match &self.progress {
            Progress::Answering(choices) if choices.complete() => {
                answer::done(out);
                Ok(())
            }
            Progress::Answering(_) => Err(Fault::CutOff),
            Progress::Done => Ok(()),
        }
    }

    fn is_over(&self) -> bool {
        self.progress == Progress::Done
    }

    fn tally(&self) -> Tally {
        self.tally
    }

    fn spoke(&self) -> bool {
        match &self.progress {
            Progress::Answering(choices) => choices.spoke | choices.finished != 0,
            Progress::Done => true,
        }
    }
}

fn parse(data: Vec<u8>) -> Result<Doc, Fault> {
    Doc::parse(data).map_err(|_| Fault::Unreadable("a stream of JSON"))
}

/// A chunk and its choices, unless it is an error instead.
fn chunk(doc: &Doc) -> Result<(Value<'_>, Value<'_>), Fault> {
    let chunk = doc.root();
    if chunk.given("error").is_some() {
        return Err(Fault::Reported(Reported::read(chunk)));
    }
    let choices = chunk.get("choices").filter(|choices| choices.is_array());
    Ok((chunk, choices.ok_or(Fault::Unreadable("a stream of chat completion chunks"))?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test;

    fn relay() -> Relay {
        Relay::new(Delivery::Stream { usage: false }, None)
    }

    #[test]
    fn a_stream_that_ends_too_early_is_cut_off() {
        let piece = r#"{"choices":[{"delta":{"content":"a"},"finish_reason":null}]}"#;
        let last = r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#;
        for (events, end) in [
            (&[piece][..], Err(Fault::CutOff)),
            (&[], Err(Fault::CutOff)),
            (&[piece, last], Ok(())),
            (&[piece, last, "[DONE] "], Ok(())),
            (&[piece, "[DONE]", "rubbish"], Ok(())),
            (&[piece, r#"{"choices":[{"index":1,"delta":{}}]}"#, last], Err(Fault::CutOff)),
        ] {
            let (mut stream, mut out) = (relay(), Vec::new());
            events.iter().for_each(|data| stream.event("", data, &mut out).unwrap());
            assert_eq!(stream.end(&mut out), end);
            let text = String::from_utf8(out).unwrap();
            assert_eq!(text.matches("data: [DONE]\n\n").count(), usize::from(end.is_ok()), "{text}");
        }
    }

    #[test]
    fn a_role_is_not_yet_an_answer() {
        for (data, spoke) in [
            (r#"{"choices":[{"delta":{"role":"assistant","content":"","refusal":null},"finish_reason":null}]}"#, false),
            (r#"{"choices":[{"delta":{"role":"assistant","content":null,"tool_calls":[]}}]}"#, false),
            (r#"{"choices":[{"delta":{}}]}"#, false),
            (r#"{"choices":[],"prompt_filter_results":[{"prompt_index":0}]}"#, false),
            (r#"{"choices":[{"delta":{"content":" "}}]}"#, true),
            (r#"{"choices":[{"delta":{"reasoning":"a"}}]}"#, true),
            (r#"{"choices":[{"delta":{"audio":{"id":"a"}}}]}"#, true),
            (r#"{"choices":[{"index":3,"delta":{},"finish_reason":"content_filter"}]}"#, true),
            ("[DONE]", true),
        ] {
            let mut stream = relay();
            stream.event("", data, &mut Vec::new()).unwrap();
            assert_eq!(stream.spoke(), spoke, "{data}");
        }
    }

    #[test]
    fn json_that_is_no_chunk_is_refused() {
        for data in [r#"{"object":"list"}"#, "[]", "7", r#"{"choices":null}"#] {
            assert!(matches!(relay().event("", data, &mut Vec::new()), Err(Fault::Unreadable(_))), "{data}");
        }
    }

    #[test]
    fn an_error_event_is_an_error() {
        let fault = relay().event("", r#"{"error":{"message":"boom","code":503}}"#, &mut Vec::new());
        assert!(matches!(fault, Err(Fault::Reported(reported)) if reported.message == "boom"));
    }

    #[test]
    fn counts_as_far_as_it_has_come() {
        let counted = |prompt, completion| Counted::All(Usage { prompt, completion, ..Usage::default() });
        let mut stream = relay();
        for (data, tally) in [
            (r#"{"choices":[],"prompt_filter_results":[]}"#, (Counted::Nothing, 0)),
            (r#"{"choices":[{"delta":{"role":"assistant","content":""}}],"usage":null}"#, (Counted::Nothing, 0)),
            (r#"{"choices":[{"delta":{"content":"ab"}},{"index":1,"delta":{"refusal":"c"}}]}"#, (Counted::Nothing, 3)),
            (
                r#"{"choices":[{"delta":{"content":"d"}}],"usage":{"prompt_tokens":5,"completion_tokens":1}}"#,
                (counted(5, 1), 4),
            ),
            (r#"{"choices":[],"usage":{"prompt_tokens":-5,"completion_tokens":2}}"#, (counted(5, 1), 4)),
            (r#"{"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":2}}"#, (counted(5, 2), 4)),
            ("[DONE]", (counted(5, 2), 4)),
        ] {
            stream.event("", data, &mut Vec::new()).unwrap();
            assert_eq!((stream.tally().counted, stream.tally().written), tally, "{data}");
        }
    }
}
