//! A stream of Gemini's becomes one of OpenAI's.
//!
//! Every event is a small reply: what is new of each candidate, and all tokens so far. Nothing but the end of the stream
//! says that no more comes, and a call of a tool may stand before the event with the reason to stop; so the reasons, the
//! tokens and `[DONE]` are told at the end. A stream that ends before every candidate has its reason was cut off.
//!
//! | state     | an event           | the end                        |
//! |-----------|--------------------|--------------------------------|
//! | Waiting   | Answering, a fault | cut off                        |
//! | Answering | Answering, a fault | Done if all have ended, cut off|
//! | Done      | -                  | Done                           |

use std::collections::BTreeMap;

use super::reply::{self, Said, Stop};
use crate::chat::Tally;
use crate::chat::answer::{self, Delta, Finish, Head, Place, Usage};
use crate::chat::request::Delivery;
use crate::chat::tally::Counted;
use crate::json::{Doc, Value};
use crate::vendor::call_id;
use crate::vendor::failure::Reported;
use crate::vendor::{Asked, Fault, Stream};

/// How far the translation has come.
pub(super) enum Translation {
    Waiting(Asked),
    Answering(Answering),
    Done(Tally),
}

/// An answer that has begun.
pub(super) struct Answering {
    head: Head,
    delivery: Delivery,
    choices: BTreeMap<u64, Choice>,
    /// As the last event that had one counts them.
    usage: Option<Usage>,
    /// How many bytes the model has written.
    written: u64,
}

/// A candidate that has begun.
#[derive(Default)]
struct Choice {
    /// How many tools it has called.
    calls: usize,
    ending: Ending,
}

/// Whether the model has said why it stops.
#[derive(Default)]
enum Ending {
    #[default]
    Ahead,
    Given(Finish),
}

/// What a stream is that holds something else.
const BROKEN: Fault = Fault::Unreadable("a stream of Gemini replies");

/// Candidates have indices below this, OpenAI's bound on `n`; it keeps a broken stream from growing memory.
const MOST_CHOICES: u64 = 128;

impl Translation {
    /// A stream of which nothing has come.
    pub(super) fn new(asked: Asked) -> Translation {
        Translation::Waiting(asked)
    }
}

impl Stream for Translation {
    fn event(&mut self, _: &str, data: &str, out: &mut Vec<u8>) -> Result<(), Fault> {
        let doc = Doc::parse(data.as_bytes().to_vec()).map_err(|_| BROKEN)?;
        let event = doc.root();
        if event.given("error").is_some() {
            return Err(Fault::Reported(Reported::read(event)));
        }
        if !["candidates", "promptFeedback", "usageMetadata"].iter().any(|member| event.given(member).is_some()) {
            return Err(BROKEN);
        }
        if let Translation::Waiting(asked) = self {
            *self = Translation::Answering(Answering::begin(asked, event));
        }
        match self {
            Translation::Answering(answering) => answering.event(event, out),
            Translation::Waiting(_) | Translation::Done(_) => Ok(()),
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) -> Result<(), Fault> {
        match self {
            Translation::Answering(answering) if answering.has_ended() => {
                answering.finish(out);
                *self = Translation::Done(answering.tally());
                Ok(())
            }
            Translation::Done(_) => Ok(()),
            Translation::Waiting(_) | Translation::Answering(_) => Err(Fault::CutOff),
        }
    }

    fn tally(&self) -> Tally {
        match self {
            Translation::Waiting(_) => Tally::default(),
            Translation::Answering(answering) => answering.tally(),
            Translation::Done(tally) => *tally,
        }
    }
}

impl Answering {
    fn begin(asked: &Asked, event: Value<'_>) -> Answering {
        Answering {
            head: reply::head(event, asked),
            delivery: asked.delivery,
            choices: BTreeMap::new(),
            usage: None,
            written: 0,
        }
    }

    fn event(&mut self, event: Value<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
        self.usage = reply::usage(event).or(self.usage);
        for candidate in event.given("candidates").into_iter().flat_map(Value::items) {
            let index = Some(reply::index(candidate)).filter(|index| *index < MOST_CHOICES).ok_or(BROKEN)?;
            self.candidate(index, candidate, out);
        }
        if let Some(stop) = reply::blocked(event) {
            self.choice(0, out);
            self.stop(0, &stop, out);
        }
        Ok(())
    }

    /// The choice of this index; it begins with its role.
    fn choice(&mut self, index: u64, out: &mut Vec<u8>) -> &mut Choice {
        let head = &self.head;
        self.choices.entry(index).or_insert_with(|| {
            head.delta_at(Place { choice: index, logprobs: None }, Delta::Role, out);
            Choice::default()
        })
    }

    fn candidate(&mut self, index: u64, candidate: Value<'_>, out: &mut Vec<u8>) {
        self.choice(index, out);
        let logprobs = reply::logprobs(candidate);
        let mut place = Place { choice: index, logprobs: logprobs.as_deref() };
        for part in reply::parts(candidate) {
            match Said::read(part) {
                Some(Said::Text(text)) => {
                    self.tell(place, Delta::Text(&text), out);
                    // They are told once, with the first text of the event.
                    place.logprobs = None;
                }
                Some(Said::Thought(text)) => self.tell(Place { logprobs: None, ..place }, Delta::Reasoning(&text), out),
                Some(Said::Call { name, arguments }) => self.call(index, part, (&name, &arguments), out),
                None => {}
            }
        }
        if let Some(stop) = Stop::read(candidate) {
            self.stop(index, &stop, out);
        }
    }

    /// A call of a tool, which comes in one piece.
    fn call(&mut self, choice: u64, part: Value<'_>, (name, arguments): (&str, &str), out: &mut Vec<u8>) {
        let calls = &mut self.choice(choice, out).calls;
        let index = *calls;
        *calls += 1;
        let (id, place) = (call_id::make(&self.head.id, choice, index, part), Place { choice, logprobs: None });
        self.tell(place, Delta::Call { index, id: &id, name }, out);
        self.tell(place, Delta::Arguments { index, piece: arguments }, out);
    }

    fn stop(&mut self, index: u64, stop: &Stop, out: &mut Vec<u8>) {
        if !stop.explanation.is_empty() {
            self.tell(Place { choice: index, logprobs: None }, Delta::Refusal(&stop.explanation), out);
        }
        self.choice(index, out).ending = Ending::Given(stop.finish);
    }

    fn tell(&mut self, place: Place<'_>, delta: Delta<'_>, out: &mut Vec<u8>) {
        self.written += delta.written();
        self.head.delta_at(place, delta, out);
    }

    fn has_ended(&self) -> bool {
        !self.choices.is_empty() && self.choices.values().all(|choice| matches!(choice.ending, Ending::Given(_)))
    }

    fn finish(&self, out: &mut Vec<u8>) {
        for (index, choice) in &self.choices {
            if let Ending::Given(reason) = choice.ending {
                let place = Place { choice: *index, logprobs: None };
                self.head.finish_at(place, reply::finish(reason, choice.calls), out);
            }
        }
        if let Some(usage) = self.usage.filter(|_| self.delivery == (Delivery::Stream { usage: true })) {
            self.head.usage(&usage, out);
        }
        answer::done(out);
    }

    /// The tokens of an answer are counted in full when it has ended.
    fn tally(&self) -> Tally {
        let counted = match self.usage {
            None => Counted::Nothing,
            Some(usage) if self.has_ended() => Counted::All(usage),
            Some(usage) => Counted::Prompt(usage),
        };
        Tally { counted, written: self.written }
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
    fn the_tally_is_right_after_every_event() {
        let usage = |completion| Usage { prompt: 9, completion, cached: 4, cache_write: 0, reasoning: 1 };
        let metadata = |tokens: &str| {
            format!(
                r#""usageMetadata":{{"promptTokenCount":9,"cachedContentTokenCount":4,"thoughtsTokenCount":1,
                "candidatesTokenCount":{tokens}}}"#
            )
        };
        let text = r#""candidates":[{"content":{"parts":[{"text":"abc"}]}}]"#;
        let last = r#""candidates":[{"content":{"parts":[{"text":"d"}]},"finishReason":"STOP"}]"#;
        let mut stream = stream();
        assert_eq!(stream.tally(), Tally::default());
        for (event, counted, written) in [
            (format!("{{{text}}}"), Counted::Nothing, 3),
            (format!("{{{text},{}}}", metadata("2")), Counted::Prompt(usage(3)), 6),
            (format!("{{{text},{}}}", metadata("-1")), Counted::Prompt(usage(3)), 9),
            (format!("{{{last},{}}}", metadata("7")), Counted::All(usage(8)), 10),
            (format!("{{{}}}", metadata("8")), Counted::All(usage(9)), 10),
        ] {
            stream.event("", &event, &mut Vec::new()).unwrap();
            assert_eq!(stream.tally(), Tally { counted, written }, "{event}");
        }
        stream.end(&mut Vec::new()).unwrap();
        assert_eq!(stream.tally(), Tally { counted: Counted::All(usage(9)), written: 10 });
    }

    #[test]
    fn a_broken_stream_cannot_grow() {
        let mut stream = stream();
        for (index, outcome) in [("127", Ok(())), ("128", Err(BROKEN)), ("9007199254740993", Err(BROKEN))] {
            let event = format!(r#"{{"candidates":[{{"index":{index}}}]}}"#);
            assert_eq!(stream.event("", &event, &mut Vec::new()), outcome, "{index}");
        }
    }
}
