//! A stream of Converse events becomes a stream of chunks.
//!
//! | state     | event                                | chunk                                            |
//! |-----------|--------------------------------------|--------------------------------------------------|
//! | Waiting   | messageStart                         | the role; now Answering                          |
//! | Answering | text                                 | a piece of text                                  |
//! | Answering | reasoning, its signature             | a piece of the thinking block of the next index  |
//! | Answering | a toolUse block begins               | a tool call with the next index                  |
//! | Answering | a piece of its input                 | a piece of its arguments                         |
//! | Answering | that block ends without input        | the arguments `{}`, since clients parse them     |
//! | Answering | messageStop                          | none; the reason is kept                         |
//! | Answering | metadata after it, or the end        | finish, usage where asked, `[DONE]`; now Done    |
//! | Done      | anything                             | none                                             |
//!
//! The tokens come last, in metadata. A stream that ends without them but with a reason to stop is whole, one that ends
//! without a reason was cut off. Exceptions never get here: the frames themselves say that they are some. Unknown events
//! and deltas are ignored.

use super::reply::{self, Stop};
use crate::chat::Tally;
use crate::chat::answer::{self, Delta, Head, Thought, Usage};
use crate::chat::request::Delivery;
use crate::chat::tally::Counted;
use crate::json::{Doc, Value};
use crate::vendor::{Asked, Fault, Framing, Stream};

/// How far the translation has come.
pub(super) enum Translation {
    Waiting(Asked),
    Answering(Answering),
    Done(Tally),
}

/// A message that has begun.
pub(super) struct Answering {
    head: Head,
    delivery: Delivery,
    usage: Option<Usage>,
    /// How many bytes the model has written.
    written: u64,
    ending: Ending,
    thoughts: Thoughts,
    /// How many tool calls have begun.
    calls: usize,
    /// Those that have not ended; blocks come one after the other, so there is at most one in practice.
    open: Vec<Call>,
}

/// Whether the model has said why it stops.
enum Ending {
    Ahead,
    Given(Stop),
}

/// The thinking blocks that have begun; the last is at `block`. They come one after the other.
#[derive(Default)]
struct Thoughts {
    begun: usize,
    block: u64,
}

impl Thoughts {
    /// The index of the thinking block that stands at a place among blocks of all types.
    fn at(&mut self, block: u64) -> usize {
        if self.begun == 0 || self.block != block {
            *self = Thoughts { begun: self.begun + 1, block };
        }
        self.begun - 1
    }
}

/// A tool call that has begun and not ended.
struct Call {
    /// The index of its block, among blocks of all types.
    block: u64,
    index: usize,
    arguments: Arguments,
}

#[derive(PartialEq)]
enum Arguments {
    Nothing,
    Pieces,
}

/// What a stream is that breaks the order of events.
const BROKEN: Fault = Fault::Unreadable("a stream of Bedrock events");

/// The most tool calls that may be open at once. Bedrock opens one; the bound keeps a broken stream from growing memory.
const MOST_OPEN: usize = 128;

impl Translation {
    /// A stream of which nothing has come.
    pub(super) fn new(asked: Asked) -> Translation {
        Translation::Waiting(asked)
    }
}

impl Stream for Translation {
    fn framing(&self) -> Framing {
        Framing::Frames
    }

    fn event(&mut self, name: &str, data: &str, out: &mut Vec<u8>) -> Result<(), Fault> {
        if matches!(self, Translation::Done(_)) {
            return Ok(());
        }
        let doc = Doc::parse(data.as_bytes().to_vec()).map_err(|_| BROKEN)?;
        match (name, &mut *self) {
            ("messageStart", Translation::Waiting(asked)) => {
                *self = Translation::Answering(Answering::begin(asked, out));
            }
            (_, Translation::Answering(answering)) => {
                answering.event(name, doc.root(), out)?;
                if name == "metadata" && answering.has_ended() {
                    *self = Translation::Done(answering.finish(out));
                }
            }
            (name, Translation::Waiting(_)) if needs_a_start(name) => return Err(BROKEN),
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self, out: &mut Vec<u8>) -> Result<(), Fault> {
        match self {
            Translation::Answering(answering) if answering.has_ended() => {
                *self = Translation::Done(answering.finish(out));
                Ok(())
            }
            Translation::Done(_) => Ok(()),
            _ => Err(Fault::CutOff),
        }
    }

    fn tally(&self) -> Tally {
        match self {
            Translation::Waiting(_) => Tally::default(),
            Translation::Answering(answering) => answering.tally(),
            Translation::Done(tally) => *tally,
        }
    }

    /// A thinking block that the client may not read is a beginning, too, and so is an answer without a word.
    fn spoke(&self) -> bool {
        match self {
            Translation::Waiting(_) => false,
            Translation::Answering(answering) => answering.written > 0 || answering.thoughts.begun > 0,
            Translation::Done(_) => true,
        }
    }
}

fn needs_a_start(name: &str) -> bool {
    matches!(name, "contentBlockStart" | "contentBlockDelta" | "contentBlockStop" | "messageStop" | "metadata")
}

impl Answering {
    fn begin(asked: &Asked, out: &mut Vec<u8>) -> Answering {
        let head = reply::head(asked);
        head.delta(Delta::Role, out);
        Answering {
            head,
            delivery: asked.delivery,
            usage: None,
            written: 0,
            ending: Ending::Ahead,
            thoughts: Thoughts::default(),
            calls: 0,
            open: Vec::new(),
        }
    }

    fn event(&mut self, name: &str, event: Value<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
        let index = || event.get("contentBlockIndex").and_then(Value::as_u64).ok_or(BROKEN);
        match name {
            "contentBlockStart" => self.begin_block(index()?, event.get("start"), out)?,
            "contentBlockDelta" => self.delta(index()?, event.get("delta").ok_or(BROKEN)?, out),
            "contentBlockStop" => self.end_block(index()?, out),
            "messageStop" => self.ending = Ending::Given(Stop::read(event)),
            "metadata" => self.usage = reply::usage(event).or(self.usage),
            _ => {}
        }
        Ok(())
    }

    /// Only tools announce themselves.
    fn begin_block(&mut self, block: u64, start: Option<Value<'_>>, out: &mut Vec<u8>) -> Result<(), Fault> {
        let Some(call) = start.and_then(|start| start.get("toolUse")) else {
            return Ok(());
        };
        if self.open.len() >= MOST_OPEN {
            return Err(BROKEN);
        }
        let text = |name: &str| call.text(name).unwrap_or_default();
        let index = self.calls;
        self.calls += 1;
        self.tell(Delta::Call { index, id: &text("toolUseId"), name: &text("name") }, out);
        self.open.push(Call { block, index, arguments: Arguments::Nothing });
        Ok(())
    }

    fn delta(&mut self, block: u64, delta: Value<'_>, out: &mut Vec<u8>) {
        let said = |holder: Value<'_>, name: &str| holder.text(name).unwrap_or_default().into_owned();
        if let Some(call) = delta.get("toolUse") {
            self.arguments(block, &said(call, "input"), out);
        } else if let Some(thought) = delta.get("reasoningContent") {
            self.think(block, Thought::Text, &said(thought, "text"), out);
            self.think(block, Thought::Signature, &said(thought, "signature"), out);
            self.think(block, Thought::Redacted, &said(thought, "redactedContent"), out);
        } else if let Some(text) = delta.text("text").filter(|text| !text.is_empty()) {
            self.tell(Delta::Text(&text), out);
        }
    }

    fn think<'t>(&mut self, block: u64, piece: fn(&'t str) -> Thought<'t>, text: &'t str, out: &mut Vec<u8>) {
        if !text.is_empty() {
            let index = self.thoughts.at(block);
            self.tell(Delta::Thought { index, piece: piece(text) }, out);
        }
    }

    fn tell(&mut self, delta: Delta<'_>, out: &mut Vec<u8>) {
        self.written += delta.written();
        self.head.delta(delta, out);
    }

    fn arguments(&mut self, block: u64, piece: &str, out: &mut Vec<u8>) {
        let call = self.open.iter_mut().find(|call| call.block == block);
        if let Some(call) = call.filter(|_| !piece.is_empty()) {
            call.arguments = Arguments::Pieces;
            let index = call.index;
            self.tell(Delta::Arguments { index, piece }, out);
        }
    }

    fn end_block(&mut self, block: u64, out: &mut Vec<u8>) {
        if let Some(at) = self.open.iter().position(|call| call.block == block) {
            let call = self.open.remove(at);
            self.end_call(&call, out);
        }
    }

    /// The model wrote nothing of the empty object.
    fn end_call(&self, call: &Call, out: &mut Vec<u8>) {
        if call.arguments == Arguments::Nothing {
            self.head.delta(Delta::Arguments { index: call.index, piece: "{}" }, out);
        }
    }

    fn has_ended(&self) -> bool {
        matches!(self.ending, Ending::Given(_))
    }

    /// Everything after the last piece.
    fn finish(&mut self, out: &mut Vec<u8>) -> Tally {
        for call in std::mem::take(&mut self.open) {
            self.end_call(&call, out);
        }
        if let Ending::Given(stop) = &self.ending {
            self.head.finish_as(reply::finish(stop.finish, self.calls), &stop.native, out);
        }
        if let Some(usage) = self.usage.filter(|_| self.delivery == (Delivery::Stream { usage: true })) {
            self.head.usage(&usage, out);
        }
        answer::done(out);
        self.tally()
    }

    fn tally(&self) -> Tally {
        Tally { counted: self.usage.map_or(Counted::Nothing, Counted::All), written: self.written }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::Task;
    use crate::test;

    fn stream() -> Translation {
        let delivery = Delivery::Stream { usage: false };
        Translation::new(Asked { task: Task::Chat, model: String::new(), id: String::new(), created: 0, delivery })
    }

    #[test]
    fn a_stream_that_never_ends_does_not_grow_memory() {
        let (mut stream, mut out) = (stream(), Vec::new());
        stream.event("messageStart", r#"{"role":"assistant"}"#, &mut out).unwrap();
        let begin = r#"{"contentBlockIndex":0,"start":{"toolUse":{"toolUseId":"t","name":"f"}}}"#;
        for _ in 0..3 * MOST_OPEN {
            stream.event("contentBlockStart", begin, &mut out).unwrap();
            stream.event("contentBlockStop", r#"{"contentBlockIndex":0}"#, &mut out).unwrap();
        }
        let outcome = (0..).map(|_| stream.event("contentBlockStart", begin, &mut out)).position(|o| o.is_err());
        assert_eq!(outcome, Some(MOST_OPEN));
    }

    #[test]
    fn counts_as_far_as_it_has_come() {
        let text = r#"{"contentBlockIndex":0,"delta":{"text":"abc"}}"#;
        let usage = |output: &str| {
            format!(r#"{{"usage":{{"inputTokens":9,"cacheReadInputTokens":2,"cacheWriteInputTokens":1,{output}}}}}"#)
        };
        let all = Counted::All(Usage { prompt: 12, completion: 40, cached: 2, cache_write: 1, reasoning: 0 });
        let mut stream = stream();
        assert!(!stream.spoke());
        for (name, data, counted, written, spoke) in [
            ("messageStart", "{}".to_owned(), Counted::Nothing, 0, false),
            ("contentBlockDelta", text.to_owned(), Counted::Nothing, 3, true),
            ("messageStop", r#"{"stopReason":"end_turn"}"#.to_owned(), Counted::Nothing, 3, true),
            ("metadata", usage(r#""outputTokens":40"#), all, 3, true),
            ("metadata", usage(r#""outputTokens":50"#), all, 3, true),
        ] {
            stream.event(name, &data, &mut Vec::new()).unwrap();
            assert_eq!((stream.tally(), stream.spoke()), (Tally { counted, written }, spoke), "{name}");
        }
        assert_eq!(stream.end(&mut Vec::new()), Ok(()));
    }
}
