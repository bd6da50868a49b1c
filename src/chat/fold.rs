//! A stream told as a whole answer: the opposite of [`replay`](super::replay).
//!
//! A cache keeps whole answers, and most answers are streamed. So the bytes that a client reads are folded as they
//! pass, and at the end there is an answer, if they were one: the stream said `[DONE]`, every choice that began has a
//! finish reason, and nothing in it was an error. Everything else, be it only larger than somebody wants to keep, is no
//! answer, and what was gathered of it is let go at once.
//!
//! What a stream repeats is taken from where vendors mean it: id, time, model and fingerprint from the first chunk that
//! has one (Azure's first has none), any other member of a chunk or a choice from the last. In a delta, and in
//! `logprobs`, all is an increment: texts and lists are joined, tool calls are told apart by their index
//! ([`Members::grow`]). Pieces of sound cannot be joined, so a stream with sound is no answer.

mod members;

use std::collections::BTreeMap;
use std::mem;

use self::members::{Members, Room};
use super::sse::{Decoder, Event};
use super::tally::Counted;
use crate::json::{Doc, Value, Writer};

/// A stream that is being folded.
#[derive(Debug)]
pub struct Fold {
    progress: Progress,
}

#[derive(Debug)]
enum Progress {
    Streaming(Decoder, Answer),
    /// `[DONE]` came.
    Done(Answer),
    /// It will be no answer.
    Lost,
}

/// Whether there is more of a stream to come.
enum Step {
    More,
    Done,
}

impl Fold {
    /// Nothing has come. About `most` bytes are gathered at most; besides, one event is held until it is whole. What
    /// [`Fold::finish`] gives may be larger, by what its escapes take.
    pub fn new(most: usize) -> Fold {
        let answer = Answer { room: Room::new(most), head: Members::default(), choices: BTreeMap::new() };
        Fold { progress: Progress::Streaming(Decoder::default(), answer) }
    }

    /// Reads the next bytes of the stream, cut anywhere.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.advance(|decoder, events| decoder.feed(bytes, events).ok());
    }

    /// The end of the stream: the body of a `chat.completion`, if the stream was one. A stream that does not say its
    /// usage, because its client did not ask for it, gets what the gateway knows of it.
    pub fn finish(mut self, counted: Counted) -> Option<Vec<u8>> {
        self.advance(|decoder, events| decoder.end(events).ok());
        match self.progress {
            Progress::Done(answer) => answer.render(counted),
            Progress::Streaming(..) | Progress::Lost => None,
        }
    }

    fn advance(&mut self, read: impl FnOnce(&mut Decoder, &mut Vec<Event>) -> Option<()>) {
        self.progress = match mem::replace(&mut self.progress, Progress::Lost) {
            Progress::Streaming(mut decoder, mut answer) => {
                let mut events = Vec::new();
                let readable = read(&mut decoder, &mut events);
                match answer.fold(events) {
                    Some(Step::Done) => Progress::Done(answer),
                    Some(Step::More) if readable.is_some() => Progress::Streaming(decoder, answer),
                    _ => Progress::Lost,
                }
            }
            // What follows `[DONE]` is not for the client, and an answer that is lost stays so.
            over => over,
        };
    }
}

/// What was gathered of an answer.
#[derive(Debug)]
struct Answer {
    room: Room,
    /// Everything but the choices.
    head: Members,
    choices: BTreeMap<u64, Choice>,
}

/// One of an answer's choices, in the members that the schema of a whole answer requires, and others.
#[derive(Debug)]
struct Choice {
    message: Members,
    rest: Members,
}

impl Default for Choice {
    fn default() -> Choice {
        Choice {
            message: Members::of(&[("role", "\"assistant\""), ("content", "null"), ("refusal", "null")]),
            rest: Members::of(&[("logprobs", "null"), ("finish_reason", "null")]),
        }
    }
}

impl Answer {
    fn fold(&mut self, events: Vec<Event>) -> Option<Step> {
        for event in events {
            match event {
                Event::Message { data, .. } if data.trim() == "[DONE]" => return Some(Step::Done),
                Event::Message { data, .. } => self.chunk(Doc::parse(data.into_bytes()).ok()?.root())?,
                Event::Comment => {}
            }
        }
        Some(Step::More)
    }

    /// Nothing if it is an error or no chunk, or there is no room for it.
    fn chunk(&mut self, chunk: Value<'_>) -> Option<()> {
        if chunk.given("error").is_some() || !chunk.get("choices")?.is_array() {
            return None;
        }
        chunk.members().try_for_each(|(name, value)| match &*name {
            "choices" => value.items().try_for_each(|choice| self.choice(choice)),
            // The first is of another kind, the second only padding.
            "object" | "obfuscation" => Some(()),
            "id" | "created" | "model" | "system_fingerprint" => self.head.first(&name, value, &mut self.room),
            _ => self.head.last(&name, value, &mut self.room),
        })
    }

    fn choice(&mut self, choice: Value<'_>) -> Option<()> {
        let index = choice.get("index").and_then(Value::as_u64).unwrap_or(0);
        if !self.choices.contains_key(&index) {
            self.room.take(mem::size_of::<Choice>())?;
        }
        let Choice { message, rest } = self.choices.entry(index).or_default();
        let room = &mut self.room;
        choice.members().try_for_each(|(name, value)| match &*name {
            "index" => Some(()),
            "delta" if value.given("audio").is_some() => None,
            "delta" => value.members().try_for_each(|(name, value)| message.grow(&name, value, room)),
            "logprobs" => rest.grow(&name, value, room),
            _ => rest.last(&name, value, room),
        })
    }

    fn render(mut self, counted: Counted) -> Option<Vec<u8>> {
        let finished = |choice: &Choice| !choice.rest.is_null("finish_reason");
        if self.choices.is_empty() || !self.choices.values().all(finished) {
            return None;
        }
        let missing = match counted {
            // OpenAI says null in every chunk but the last, which was not for the client.
            Counted::All(usage) if self.head.is_null("usage") => {
                self.head.remove("usage");
                Some(usage)
            }
            _ => None,
        };
        let mut w = Writer::default();
        w.object(|w| {
            w.key("object").string("chat.completion");
            self.head.render(w);
            w.key("choices").array(|w| self.choices.iter().for_each(|(index, choice)| choice.render(*index, w)));
            if let Some(usage) = missing {
                usage.render(w);
            }
        });
        Some(w.finish())
    }
}

impl Choice {
    fn render(&self, index: u64, w: &mut Writer) {
        w.object(|w| {
            w.key("index").number(index);
            w.key("message").object(|w| self.message.render(w));
            self.rest.render(w);
        });
    }
}

#[cfg(all(test, not(target_family = "wasm")))]
mod laws;
#[cfg(test)]
mod tests;
