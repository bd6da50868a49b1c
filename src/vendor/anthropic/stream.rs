//! A stream of message events becomes a stream of chunks.
//!
//! | state     | event                              | chunk                                          |
//! |-----------|------------------------------------|------------------------------------------------|
//! | Waiting   | message_start                      | the role; now Answering                        |
//! | Answering | text                               | a piece of text                                |
//! | Answering | thinking, its signature            | a piece of the thinking block of the next index |
//! | Answering | a tool_use block begins            | a tool call with the next index                |
//! | Answering | the same of the tool that takes the answer | none; its arguments are text           |
//! | Answering | input_json_delta                   | a piece of its arguments                       |
//! | Answering | that block ends without arguments  | the arguments `{}`, since clients parse them   |
//! | Answering | message_delta                      | none; tokens and the reason to stop are kept   |
//! | Answering | message_stop                       | finish, usage where asked, `[DONE]`; now Done  |
//! | any       | ping                               | a comment, which keeps the client's connection |
//! | any       | error                              | none; the stream has failed                    |
//! | Done      | anything                           | none                                           |
//!
//! Unknown events, blocks and deltas are ignored, as Anthropic asks of its readers. A stream that ends without
//! message_stop is whole if it gave a reason to stop, else it was cut off.

use super::reply::{self, Stop, Tokens, head};
use super::structured;
use crate::chat::Tally;
use crate::chat::answer::{self, Delta, Head, Thought};
use crate::chat::request::Delivery;
use crate::json::{Doc, Value};
use crate::vendor::failure::Reported;
use crate::vendor::{Asked, Fault, Stream};

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
    tokens: Tokens,
    /// How many bytes the model has written.
    written: u64,
    ending: Ending,
    thoughts: Thoughts,
    /// Whether the tool that takes the answer was called.
    form: Form,
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

/// Whether the tool that takes the answer was called. A second answer would make the first no JSON.
#[derive(Clone, Copy, PartialEq)]
enum Form {
    Empty,
    Filled,
}

/// A tool call that has begun and not ended.
struct Call {
    /// The index of its block, among blocks of all types.
    block: u64,
    told: Told,
    arguments: Arguments,
}

/// What the arguments of a call are to the client.
#[derive(Clone, Copy)]
enum Told {
    /// Those of its tool call of this index.
    Call(usize),
    /// The text of the answer.
    Text,
    /// Nothing.
    Nowhere,
}

#[derive(PartialEq)]
enum Arguments {
    Nothing,
    Pieces,
    /// All at once, when the block began, as some compatible servers do; pieces would say them again.
    Whole,
}

/// What a stream is that breaks the order of events.
const BROKEN: Fault = Fault::Unreadable("a stream of Anthropic events");

/// The most tool calls that may be open at once. Anthropic opens one; the bound keeps a broken stream from growing
/// memory.
const MOST_OPEN: usize = 128;

impl Translation {
    /// A stream of which nothing has come.
    pub(super) fn new(asked: Asked) -> Translation {
        Translation::Waiting(asked)
    }
}

impl Stream for Translation {
    fn event(&mut self, name: &str, data: &str, out: &mut Vec<u8>) -> Result<(), Fault> {
        if matches!(self, Translation::Done(_)) {
            return Ok(());
        }
        let doc = Doc::parse(data.as_bytes().to_vec()).map_err(|_| BROKEN)?;
        let event = doc.root();
        let kind = event.text("type").unwrap_or(name.into());
        match (&*kind, &mut *self) {
            ("error", _) => return Err(Fault::Reported(Reported::read(event))),
            ("ping", _) => answer::keep_alive(out),
            ("message_start", Translation::Waiting(asked)) => {
                *self = Translation::Answering(Answering::begin(asked, event, out));
            }
            ("message_stop", Translation::Answering(answering)) => {
                *self = Translation::Done(answering.finish(out));
            }
            (kind, Translation::Answering(answering)) => answering.event(kind, event, out)?,
            (kind, Translation::Waiting(_)) if needs_a_start(kind) => return Err(BROKEN),
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self, out: &mut Vec<u8>) -> Result<(), Fault> {
        match self {
            Translation::Answering(answering) if matches!(answering.ending, Ending::Given(_)) => {
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

    /// A thinking block that the client may not read is a beginning, too.
    fn spoke(&self) -> bool {
        match self {
            Translation::Waiting(_) => false,
            Translation::Answering(answering) => answering.written > 0 || answering.thoughts.begun > 0,
            Translation::Done(_) => true,
        }
    }
}

fn needs_a_start(kind: &str) -> bool {
    matches!(
        kind,
        "content_block_start" | "content_block_delta" | "content_block_stop" | "message_delta" | "message_stop"
    )
}

impl Answering {
    fn begin(asked: &Asked, event: Value<'_>, out: &mut Vec<u8>) -> Answering {
        let message = event.get("message").unwrap_or(event);
        let tokens = Tokens::of_start(message);
        let head = head(message, asked);
        head.delta(Delta::Role, out);
        Answering {
            head,
            delivery: asked.delivery,
            tokens,
            written: 0,
            ending: Ending::Ahead,
            thoughts: Thoughts::default(),
            form: Form::Empty,
            calls: 0,
            open: Vec::new(),
        }
    }

    fn event(&mut self, kind: &str, event: Value<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
        let index = event.get("index").and_then(Value::as_u64);
        match (kind, index) {
            ("content_block_start", Some(block)) => self.begin_block(block, event.get("content_block"), out)?,
            ("content_block_delta", Some(block)) => self.delta(block, event.get("delta"), out),
            ("content_block_stop", Some(block)) => self.end_block(block, out),
            ("content_block_start" | "content_block_delta" | "content_block_stop", None) => return Err(BROKEN),
            ("message_delta", _) => self.message_delta(event, out),
            _ => {}
        }
        Ok(())
    }

    fn begin_block(&mut self, block: u64, content: Option<Value<'_>>, out: &mut Vec<u8>) -> Result<(), Fault> {
        let content = content.ok_or(BROKEN)?;
        let text = |name: &str| content.text(name).unwrap_or_default();
        match &*text("type") {
            "text" => self.say(Delta::Text, &text("text"), out),
            "thinking" => {
                self.think(block, Thought::Text, &text("thinking"), out);
                self.think(block, Thought::Signature, &text("signature"), out);
            }
            "redacted_thinking" => self.think(block, Thought::Redacted, &text("data"), out),
            "tool_use" if self.open.len() < MOST_OPEN => {
                let told = self.begin_call(&text("id"), &text("name"), out);
                let mut arguments = Arguments::Nothing;
                if let Some(input) = content.get("input").filter(|input| input.is_object() && !input.is_empty()) {
                    self.tell_arguments(told, input.raw(), out);
                    arguments = Arguments::Whole;
                }
                self.open.push(Call { block, told, arguments });
            }
            "tool_use" => return Err(BROKEN),
            _ => {}
        }
        Ok(())
    }

    fn delta(&mut self, block: u64, delta: Option<Value<'_>>, out: &mut Vec<u8>) {
        let text = |name: &str| delta.and_then(|delta| delta.text(name)).unwrap_or_default();
        match &*text("type") {
            "text_delta" => self.say(Delta::Text, &text("text"), out),
            "thinking_delta" => self.think(block, Thought::Text, &text("thinking"), out),
            "signature_delta" => self.think(block, Thought::Signature, &text("signature"), out),
            "input_json_delta" => self.arguments(block, &text("partial_json"), out),
            _ => {}
        }
    }

    fn say<'t>(&mut self, delta: fn(&'t str) -> Delta<'t>, text: &'t str, out: &mut Vec<u8>) {
        if !text.is_empty() {
            self.tell(delta(text), out);
        }
    }

    fn think<'t>(&mut self, block: u64, piece: fn(&'t str) -> Thought<'t>, text: &'t str, out: &mut Vec<u8>) {
        if !text.is_empty() {
            let index = self.thoughts.at(block);
            self.tell(Delta::Thought { index, piece: piece(text) }, out);
        }
    }

    /// A tool was called: a call for the client, or the answer.
    fn begin_call(&mut self, id: &str, name: &str, out: &mut Vec<u8>) -> Told {
        if name == structured::TOOL {
            return match std::mem::replace(&mut self.form, Form::Filled) {
                Form::Empty => Told::Text,
                Form::Filled => Told::Nowhere,
            };
        }
        let index = self.calls;
        self.calls += 1;
        self.tell(Delta::Call { index, id, name }, out);
        Told::Call(index)
    }

    fn tell_arguments(&mut self, told: Told, piece: &str, out: &mut Vec<u8>) {
        match told {
            Told::Call(index) => self.tell(Delta::Arguments { index, piece }, out),
            Told::Text => self.tell(Delta::Text(piece), out),
            Told::Nowhere => {}
        }
    }

    fn tell(&mut self, delta: Delta<'_>, out: &mut Vec<u8>) {
        self.written += delta.written();
        self.head.delta(delta, out);
    }

    /// A piece of arguments. Its block is not open if a tool was called that Anthropic runs itself.
    fn arguments(&mut self, block: u64, piece: &str, out: &mut Vec<u8>) {
        let call = self.open.iter_mut().find(|call| call.block == block && call.arguments != Arguments::Whole);
        if let Some(call) = call.filter(|_| !piece.is_empty()) {
            call.arguments = Arguments::Pieces;
            let told = call.told;
            self.tell_arguments(told, piece, out);
        }
    }

    fn end_block(&mut self, block: u64, out: &mut Vec<u8>) {
        if let Some(at) = self.open.iter().position(|call| call.block == block) {
            let call = self.open.remove(at);
            self.end_call(&call, out);
        }
    }

    fn end_call(&mut self, call: &Call, out: &mut Vec<u8>) {
        if call.arguments == Arguments::Nothing {
            let written = self.written;
            self.tell_arguments(call.told, "{}", out);
            // The model wrote nothing of that.
            self.written = written;
        }
    }

    /// There may be several: the last reason counts.
    fn message_delta(&mut self, event: Value<'_>, out: &mut Vec<u8>) {
        self.tokens.update(event);
        if let Some(stop) = event.get("delta").and_then(Stop::read) {
            if matches!(self.ending, Ending::Ahead) {
                self.say(Delta::Refusal, &stop.explanation, out);
            }
            self.ending = Ending::Given(stop);
        }
    }

    /// Everything after the last piece. A stream that reached its message_stop without a reason ended naturally.
    fn finish(&mut self, out: &mut Vec<u8>) -> Tally {
        for call in std::mem::take(&mut self.open) {
            self.end_call(&call, out);
        }
        let stop = match &self.ending {
            Ending::Given(stop) => stop,
            Ending::Ahead => &Stop::default(),
        };
        self.head.finish_as(reply::finish(stop.finish, self.calls), &stop.native, out);
        if self.delivery == (Delivery::Stream { usage: true }) {
            self.head.usage(&self.tokens.usage(), out);
        }
        answer::done(out);
        self.tally()
    }

    fn tally(&self) -> Tally {
        Tally { counted: self.tokens.counted(), written: self.written }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::tally::Counted;
    use crate::chat::{Task, Usage};
    use crate::test;

    #[test]
    fn a_stream_that_never_ends_does_not_grow_memory() {
        let asked = Asked {
            task: Task::Chat,
            model: String::new(),
            id: String::new(),
            created: 0,
            delivery: Delivery::Stream { usage: false },
        };
        let (mut stream, mut out) = (Translation::new(asked), Vec::new());
        stream.event("message_start", r#"{"message":{}}"#, &mut out).unwrap();
        let begin = r#"{"index":0,"content_block":{"type":"tool_use","id":"t","name":"f"}}"#;
        for _ in 0..3 * MOST_OPEN {
            stream.event("content_block_start", begin, &mut out).unwrap();
            stream.event("content_block_stop", r#"{"index":0}"#, &mut out).unwrap();
        }
        let outcome = (0..).map(|_| stream.event("content_block_start", begin, &mut out)).position(|o| o.is_err());
        assert_eq!(outcome, Some(MOST_OPEN));
    }

    #[test]
    fn counts_as_far_as_it_has_come() {
        let usage = |completion| Usage { prompt: 12, completion, cached: 2, cache_write: 1, reasoning: 0 };
        let asked = Asked {
            task: Task::Chat,
            model: String::new(),
            id: String::new(),
            created: 0,
            delivery: Delivery::Stream { usage: false },
        };
        let mut stream = Translation::new(asked);
        assert_eq!(stream.tally(), Tally::default());
        let start = r#"{"message":{"usage":{"input_tokens":9,"cache_creation_input_tokens":1,
            "cache_read_input_tokens":2,"output_tokens":1}}}"#;
        let text = r#"{"index":0,"delta":{"type":"text_delta","text":"abc"}}"#;
        for (name, data, counted, written) in [
            ("message_start", start, Counted::Prompt(usage(0)), 0),
            ("content_block_delta", text, Counted::Prompt(usage(0)), 3),
            ("message_delta", r#"{"usage":{"output_tokens":-4}}"#, Counted::Prompt(usage(0)), 3),
            ("message_delta", r#"{"usage":{"output_tokens":40}}"#, Counted::All(usage(40)), 3),
            ("content_block_delta", text, Counted::All(usage(40)), 6),
            ("message_delta", r#"{"usage":{"output_tokens":50}}"#, Counted::All(usage(50)), 6),
            ("message_stop", "{}", Counted::All(usage(50)), 6),
        ] {
            stream.event(name, data, &mut Vec::new()).unwrap();
            assert_eq!(stream.tally(), Tally { counted, written }, "{name}");
        }
    }
}
