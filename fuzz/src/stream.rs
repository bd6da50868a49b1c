//! Streams of vendors, as clients read them.

use std::collections::BTreeMap;

use weir::chat::request::Delivery;
use weir::chat::sse::{Decoder, Event};
use weir::chat::tally::Counted;
use weir::chat::{Fold, Tally, Task, replay};
use weir::json::{Doc, Value};
use weir::vendor::{Asked, Failure, Format, Relay};

use super::text::resummed;
use super::{cuts, memory, messages};

/// What a client of this stream reads does not depend on how it is cut, and is a stream of OpenAI's.
pub(crate) fn bedrock(bytes: &[u8]) {
    of(&["bedrock"], bytes);
    of(&["bedrock"], &resummed(bytes));
}

/// The same for a stream of any of these.
pub(crate) fn of(kinds: &[&str], bytes: &[u8]) {
    for kind in kinds {
        let format = weir::vendor::format(kind).unwrap_or_else(|| panic!("no format is called {kind}"));
        for usage in [true, false] {
            let told = translated(format, usage, &[bytes]);
            for pieces in cuts(bytes) {
                assert_eq!(translated(format, usage, &pieces), told, "{kind}: other when cut");
            }
            well_formed(format, usage, &told);
        }
    }
}

/// What came of a stream: the client's bytes, what is known of its tokens, whether anything was said, and what went wrong.
#[derive(Debug, PartialEq)]
struct Told {
    out: String,
    tally: Tally,
    spoke: bool,
    failed: Option<String>,
}

fn translated(format: &dyn Format, usage: bool, pieces: &[&[u8]]) -> Told {
    let asked = Asked {
        task: Task::Chat,
        model: "m".to_owned(),
        id: "r".to_owned(),
        created: 1,
        delivery: Delivery::Stream { usage },
    };
    let given = pieces.iter().map(|piece| piece.len()).sum::<usize>();
    let mut out = Vec::with_capacity(given * 8);
    let mut relay = Relay::new(format.stream(asked));
    let (outcome, held) = memory::held(|| {
        let before = out.capacity();
        let fed = pieces.iter().try_for_each(|piece| relay.feed(piece, &mut out));
        (fed, out.capacity() - before)
    });
    let (fed, grown) = outcome;
    // Beside what was written: the event that is not whole yet, and what is known of the answer.
    assert!(held <= grown + 8 * given + HELD, "a stream of {given} bytes keeps {held}");
    let outcome = fed.and_then(|()| relay.end(&mut out));
    Told {
        out: String::from_utf8(out).expect("a stream is UTF-8"),
        tally: relay.tally(),
        spoke: relay.spoke(),
        failed: outcome.err().map(|fault| Failure::from_fault(format.kind(), fault).outcome.into_owned()),
    }
}

/// What a stream may hold, however short it is.
const HELD: usize = 16 << 10;

/// Why an answer may end: clients know no other words.
pub(crate) const FINISHES: [&str; 5] = ["stop", "length", "tool_calls", "content_filter", "function_call"];

fn well_formed(format: &dyn Format, usage: bool, told: &Told) {
    let kind = format.kind();
    let mut client = Client::default();
    let (mut decoder, mut events) = (Decoder::default(), Vec::new());
    decoder.feed(told.out.as_bytes(), &mut events).expect("a client can read the stream");
    assert!(told.out.is_empty() || told.out.ends_with("\n\n"), "{kind}: an event without an end");
    for event in &events {
        if let Event::Message { name, data } = event {
            assert!(name.is_empty() && !client.done, "{kind}: {data} has a name, or comes after the end");
            client.reads(data);
        }
    }
    assert!(client.done == told.failed.is_none(), "{kind}: [DONE] where {:?}", told.failed);
    // OpenAI's own words are relayed as they are.
    if !["openai", "azure"].contains(&kind) {
        let known = |reason: &String| FINISHES.contains(&&**reason);
        assert!(client.reasons.iter().all(known), "{kind}: an end by {:?}", client.reasons);
    }
    if ["anthropic", "bedrock", "gemini"].contains(&kind) {
        client.judge(kind, usage, told);
    }
    keep(told);
    messages::heard(told.out.as_bytes());
}

/// A stream that was good can be kept as a whole answer, and the answer can be told as a stream.
fn keep(told: &Told) {
    let mut fold = Fold::new(told.out.len() * 2 + 1024);
    fold.feed(told.out.as_bytes());
    let Some(answer) = fold.finish(told.tally.counted) else { return };
    assert!(told.failed.is_none(), "half an answer is kept");
    serde_json::from_slice::<serde::de::IgnoredAny>(&answer).expect("a kept answer is JSON");
    let again = replay::events(&answer, true).expect("a kept answer can be told");
    let mut fold = Fold::new(again.len() * 2 + 1024);
    fold.feed(&again);
    assert!(fold.finish(Counted::Nothing).is_some(), "a kept answer is one no more");
}

/// What a client has read.
#[derive(Default)]
struct Client {
    /// Of each choice: how often it got a role, and how often a finish reason.
    choices: BTreeMap<u64, (usize, usize)>,
    heads: Vec<String>,
    reasons: Vec<String>,
    usages: usize,
    done: bool,
}

impl Client {
    fn reads(&mut self, data: &str) {
        if data == "[DONE]" {
            self.done = true;
            return;
        }
        let doc = Doc::parse(data.as_bytes().to_vec()).unwrap_or_else(|e| panic!("no JSON: {e}: {data}"));
        let chunk = doc.root();
        assert!(chunk.given("error").is_none(), "an error passes for a chunk: {data}");
        let head = ["id", "object", "created", "model"].map(|name| chunk.get(name).map_or("", Value::raw));
        if self.heads.last().map(String::as_str) != Some(&*head.concat()) {
            self.heads.push(head.concat());
        }
        self.usages += usize::from(chunk.given("usage").is_some());
        for choice in chunk.get("choices").into_iter().flat_map(Value::items) {
            self.choice(choice);
        }
    }

    fn choice(&mut self, choice: Value<'_>) {
        let index = choice.get("index").and_then(Value::as_u64).unwrap_or(0);
        let (roles, ends) = self.choices.entry(index).or_default();
        let delta = choice.get("delta");
        *roles += usize::from(delta.and_then(|delta| delta.given("role")).is_some());
        if let Some(reason) = choice.given("finish_reason").and_then(Value::as_str) {
            *ends += 1;
            self.reasons.push(reason.into_owned());
        }
    }

    /// What a stream is that Weir itself has written.
    fn judge(&self, kind: &str, usage: bool, told: &Told) {
        assert!(self.heads.len() <= 1, "{kind}: chunks of several answers: {:?}", self.heads);
        assert!(self.usages <= usize::from(usage), "{kind}: {} counts of tokens", self.usages);
        for (index, (roles, ends)) in &self.choices {
            assert!(*roles == 1 && *ends <= 1, "{kind}: choice {index} has {roles} roles and {ends} ends");
            assert!(told.failed.is_some() || *ends == 1, "{kind}: choice {index} does not end");
        }
        assert!(told.failed.is_some() || !self.choices.is_empty(), "{kind}: an answer without a choice");
    }
}
