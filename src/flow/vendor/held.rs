//! What is held of a stream until it says something.

use std::time::Duration;

/// The beginning of a stream, which says no more than that there is one.
#[derive(Debug, Default)]
pub struct Held {
    pub(super) bytes: Vec<u8>,
    /// When the first of them came.
    since: Duration,
}

impl Held {
    /// Signs of life that come before anything else are of no use to the client.
    pub(super) fn add(&mut self, events: Vec<u8>, now: Duration) {
        if self.bytes.is_empty() && says_something(&events) {
            self.since = now;
        }
        if !self.bytes.is_empty() || says_something(&events) {
            self.bytes.extend(events);
        }
    }

    pub(super) fn is_enough(&self, now: Duration) -> bool {
        let long = now.saturating_sub(self.since) >= LONGEST_HELD;
        self.bytes.len() > MOST_HELD || (long && !self.bytes.is_empty())
    }
}

/// Whether a piece of a stream holds more than signs of life.
fn says_something(events: &[u8]) -> bool {
    events.split(|b| *b == b'\n').any(|line| !line.is_empty() && !line.starts_with(b":"))
}

/// The most of a stream that is held before its first content. The largest that comes there, Azure's report on a prompt, has
/// some hundred bytes for each message.
const MOST_HELD: usize = 64 << 10;

/// How long a stream may hold back what came before its first content. A vendor that finds itself overloaded says so at
/// once; one that thinks for long, with signs of life, shall not be taken for silent.
const LONGEST_HELD: Duration = Duration::from_secs(2);
