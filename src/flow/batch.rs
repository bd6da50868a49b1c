//! A batch: many chat requests in one body, and their answers in one list.
//!
//! Each request in it becomes a call back into this gateway, so that what is true of a request is true of it there: its
//! key and its limits are checked, it is routed, tried again, accounted for and counted on its own, and what is wrong
//! with one is only that one's affair. Here is what is left: which requests are called when, and what has come back.
//!
//! Requests that are the same to the byte are called once, and paid once; their answer is repeated. Only so many are
//! under way at once, the others wait their turn. At the batch's deadline whatever has no answer gets a 504. Answers are
//! held until the last one is here, and there is a bound on what one batch holds and on what all batches of a worker
//! hold: beyond it an answer is exchanged for an error, and what is not under way yet is not called any more.

use std::cell::Cell;
use std::collections::HashMap;
use std::ops::Range;
use std::time::Duration;

use serde::de::IgnoredAny;

use crate::flow::World;
use crate::flow::call::{self, Call, INNER, Returned};
use crate::flow::endpoint::CHAT;
use crate::json::{Doc, Value, Writer};
use crate::refusal::{Refusal, Surface};

/// A batch that is under way; to be finished or abandoned, not dropped.
#[derive(Debug)]
pub struct Batch {
    /// The body as the client sent it.
    text: String,
    items: Vec<Item>,
    /// When it has to be over, since the Unix epoch.
    deadline: Duration,
    /// How many of its requests are under way at once.
    width: usize,
    /// How much of the shelf it holds, in bytes.
    held: usize,
}

/// One place in the list.
#[derive(Debug)]
enum Item {
    /// The request stands here in the text, and has not been called.
    Waiting(Range<usize>),
    /// It is under way.
    Called,
    /// This has come of it.
    Answered(Answer),
    /// The same request stands in that place, further to the front.
    Like(usize),
}

/// An item's answer; the body is JSON.
#[derive(Debug)]
struct Answer {
    status: u16,
    body: String,
}

/// What the batches on one worker hold, in bytes.
#[derive(Debug, Default)]
pub struct Shelf(Cell<usize>);

impl Batch {
    /// Reads a body: a list of chat requests, or an object with such a list as `requests`.
    pub fn read(body: Vec<u8>, deadline: Duration, width: usize) -> Result<Batch, Refusal> {
        if body.iter().all(u8::is_ascii_whitespace) {
            return Err(Refusal::malformed("the request has no body; send a list of chat requests"));
        }
        let doc = Doc::parse(body).map_err(|e| Refusal::malformed(format!("the body is not acceptable JSON: {e}")))?;
        let items = items(list(doc.root())?);
        Ok(Batch { text: doc.into_text(), items, deadline, width: width.max(1), held: 0 })
    }

    /// What is to be called now.
    pub fn calls(&mut self, world: &World<'_>) -> Vec<Call> {
        let left = self.deadline.saturating_sub(world.now());
        if left.is_zero() {
            self.give_up(&late(world));
        }
        let under_way = self.items.iter().filter(|item| matches!(item, Item::Called)).count();
        let waiting = self.items.iter_mut().enumerate().filter_map(|(number, item)| Some((number, item.begin()?)));
        let turn: Vec<_> = waiting.take(self.width.saturating_sub(under_way)).collect();
        if turn.is_empty() {
            return Vec::new();
        }
        let head = world.head();
        // What the client said of all of them.
        let control = head.text("cache-control").map(|control| ("cache-control", control.to_owned().into()));
        let call = |(number, span): (usize, Range<usize>)| Call {
            number,
            cluster: INNER,
            headers: call::headers(&head, CHAT, &number.to_string()).into_iter().chain(control.clone()).collect(),
            body: self.text.get(span).unwrap_or_default().as_bytes().to_vec(),
            timeout: left.saturating_add(GRACE),
        };
        turn.into_iter().map(call).collect()
    }

    /// What came of a call.
    pub fn take(&mut self, number: usize, outcome: call::Outcome, world: &World<'_>) {
        if !matches!(self.items.get(number), Some(Item::Called)) {
            return;
        }
        let answer = self.understand(outcome, world).and_then(|answer| self.hold(number, answer, world));
        let answer = answer.unwrap_or_else(|refusal| Answer::refused(&refusal));
        if let Some(item) = self.items.get_mut(number) {
            *item = Item::Answered(answer);
        }
    }

    /// Whether every request has its answer.
    pub fn is_over(&self) -> bool {
        !self.items.iter().any(|item| matches!(item, Item::Waiting(_) | Item::Called))
    }

    /// The list of all answers, in the order of the requests.
    pub fn finish(self, world: &World<'_>) -> Vec<u8> {
        let mut w = Writer::onto(Vec::with_capacity(self.held + self.items.len() * FRAME));
        w.array(|w| {
            for answer in self.items.iter().filter_map(|item| self.answer(item)) {
                w.object(|w| {
                    w.key("status").number(u64::from(answer.status));
                    w.key("body").raw(answer.body.trim());
                });
            }
        });
        self.abandon(world);
        w.finish()
    }

    /// Nobody waits for it any more. What is under way goes on, and nothing more is called.
    pub fn abandon(self, world: &World<'_>) {
        world.shelf.clear(self.held);
    }

    fn answer<'b>(&'b self, item: &'b Item) -> Option<&'b Answer> {
        match item {
            Item::Answered(answer) => Some(answer),
            Item::Like(first) => self.items.get(*first).and_then(|item| self.answer(item)),
            Item::Waiting(_) | Item::Called => None,
        }
    }

    /// The answer to a call, as long as it is one.
    fn understand(&mut self, outcome: call::Outcome, world: &World<'_>) -> Result<Answer, Refusal> {
        let Some(Returned { status, body, .. }) = outcome else {
            return Err(if world.now() >= self.deadline { late(world) } else { Refusal::item_lost() });
        };
        match String::from_utf8(body).ok().filter(|body| serde_json::from_str::<IgnoredAny>(body).is_ok()) {
            Some(body) => Ok(Answer { status, body }),
            // The gateway's own is JSON; this one is from Envoy, whose clock says that the time is up.
            None if status == 504 => {
                self.give_up(&late(world));
                Err(late(world))
            }
            None => Err(Refusal::item_lost()),
        }
    }

    /// Finds room for an answer, as often as it will stand in the list. If there is none, no more answers are wanted.
    fn hold(&mut self, number: usize, answer: Answer, world: &World<'_>) -> Result<Answer, Refusal> {
        let likes = self.items.iter().filter(|item| matches!(item, Item::Like(first) if *first == number)).count();
        let bytes = answer.body.len().saturating_mul(likes + 1);
        if bytes > MOST_HELD.saturating_sub(self.held) || !world.shelf.put(bytes) {
            let refusal = Refusal::batch_too_large(MOST_HELD);
            self.give_up(&refusal);
            return Err(refusal);
        }
        self.held += bytes;
        Ok(answer)
    }

    /// Answers whatever has not been called.
    fn give_up(&mut self, refusal: &Refusal) {
        for item in self.items.iter_mut().filter(|item| matches!(item, Item::Waiting(_))) {
            *item = Item::Answered(Answer::refused(refusal));
        }
    }
}

impl Item {
    /// Where the request stands, if its turn can come; then it has.
    fn begin(&mut self) -> Option<Range<usize>> {
        let Item::Waiting(span) = self else { return None };
        let span = span.clone();
        *self = Item::Called;
        Some(span)
    }
}

impl Answer {
    fn refused(refusal: &Refusal) -> Answer {
        let body = String::from_utf8(refusal.body(Surface::Api, "")).unwrap_or_default();
        Answer { status: refusal.status, body }
    }
}

impl Shelf {
    /// Whether there is room for so many bytes more; then it is taken.
    fn put(&self, bytes: usize) -> bool {
        let held = self.0.get().saturating_add(bytes);
        let fits = held <= SHELF;
        if fits {
            self.0.set(held);
        }
        fits
    }

    fn clear(&self, bytes: usize) {
        self.0.set(self.0.get().saturating_sub(bytes));
    }
}

/// The requests of a body.
fn list(root: Value<'_>) -> Result<Value<'_>, Refusal> {
    let list = if root.is_object() { root.get("requests") } else { Some(root) };
    let list = list.filter(|list| list.is_array()).ok_or_else(|| {
        Refusal::malformed("the body must be a list of chat requests, or an object with such a list as requests")
    })?;
    match list.items().count() {
        0 => Err(Refusal::malformed("a batch must hold at least one chat request")),
        1..=MOST => Ok(list),
        many => Err(Refusal::malformed(format!("a batch may hold at most {MOST} chat requests, not {many}"))),
    }
}

fn items(list: Value<'_>) -> Vec<Item> {
    let mut seen = HashMap::new();
    let item = |(number, request): (usize, Value<'_>)| match seen.get(request.raw()) {
        Some(first) => Item::Like(*first),
        None => {
            seen.insert(request.raw().to_owned(), number);
            match check(request) {
                Ok(()) => Item::Waiting(request.span()),
                Err(refusal) => Item::Answered(Answer::refused(&refusal)),
            }
        }
    };
    list.items().enumerate().map(item).collect()
}

/// What only a batch asks of a request; the rest is checked where it is called.
fn check(request: Value<'_>) -> Result<(), Refusal> {
    if !request.is_object() {
        return Err(Refusal::malformed("a chat request must be a JSON object"));
    }
    match request.get("stream").and_then(Value::as_bool) {
        Some(true) => Err(Refusal::invalid("stream", "must not be true in a batch")),
        _ => Ok(()),
    }
}

fn late(world: &World<'_>) -> Refusal {
    Refusal::batch_timeout(world.config.routing.batch_timeout)
}

/// With a hundred kilobytes each they still fit into the default body; who has more sends another batch.
const MOST: usize = 64;
/// Twice the longest answer, and a megabyte for each of the most requests: ten times what a model says at length.
const MOST_HELD: usize = 64 << 20;
/// Of a worker's memory, which ends at 1 GiB, so much that writing the list, and the rest of the traffic, have room.
const SHELF: usize = 256 << 20;
/// By so much Envoy gives a call up later than at the deadline. Its timers count from where its loop last looked at the
/// clock, and strike early by that, but what comes back is to find the deadline passed.
const GRACE: Duration = Duration::from_millis(50);
/// `{"status":200,"body":},`
const FRAME: usize = 24;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test;

    #[test]
    fn reads_both_forms_and_names_what_is_neither() {
        let read = |body: &str| Batch::read(body.as_bytes().to_vec(), Duration::ZERO, 1);
        for body in [r#"[{"a":1},{"b":2}]"#, r#"{"requests":[{"a":1},{"b":2}],"more":null}"#] {
            let batch = read(body).unwrap();
            let spans: Vec<_> = batch.items.iter().map(|item| matches!(item, Item::Waiting(_))).collect();
            assert_eq!(spans, [true, true], "{body}");
        }
        let many = |count: usize| ["[", &vec!["{}"; count].join(","), "]"].concat();
        assert!(read(&many(64)).is_ok());
        for (body, says) in [
            ("", "no body"),
            ("[", "not acceptable JSON"),
            ("[]", "at least one"),
            (r#"{"requests":[]}"#, "at least one"),
            (&many(65), "at most 64 chat requests, not 65"),
            ("{}", "must be a list"),
            (r#"{"requests":{}}"#, "must be a list"),
            (r#""[]""#, "must be a list"),
        ] {
            let refusal = read(body).unwrap_err();
            assert!(refusal.status == 400 && refusal.message.contains(says), "{body}: {}", refusal.message);
        }
    }

    #[test]
    fn a_shelf_has_an_end() {
        let shelf = Shelf::default();
        assert!(shelf.put(SHELF - 1) && !shelf.put(2) && shelf.put(1) && !shelf.put(usize::MAX));
        shelf.clear(10);
        assert!(shelf.put(10) && !shelf.put(1));
    }
}
