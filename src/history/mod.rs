//! What has happened lately, for people who look: how many requests, at what price, how fast, and who was refused why.
//!
//! `/metrics` is for machines that come by every few seconds and remember. Somebody who opens the dashboard after the fact
//! has nothing that remembered, so the gateway itself does, for a while and in a fixed space:
//!
//! - *Sums*, of each minute of the last three hours and of each hour of the last two days ([`Span`]). A sum is one
//!   record of fixed size ([`Counts`]); the records of a span are a ring, and the record of a minute that is over is
//!   written over when its place comes round again.
//! - *The last refusals* ([`Refusals`]): one record of at most [`MOST_REFUSALS`] entries. What is refused again and again
//!   for the same reason is one entry that counts, so a flood of one kind displaces nothing but itself.
//!
//! Requests cost next to nothing here. A worker adds them up in its own memory ([`History`]) and about once a second writes
//! what has gathered into the records, which all workers of one Envoy share; a worker that is torn down takes at most
//! its last second with it. Nothing of a prompt, an answer or a key is ever in it: of a key its name, of a model its
//! configured name, and every text is cut to a length.
//!
//! Everything is bounded: 228 sums of 241 bytes, and refusals of at most some 30 KB, per Envoy.

mod counts;
mod latency;
mod refusals;
mod span;

use std::cell::RefCell;
use std::time::Duration;

pub use counts::Counts;
pub use latency::Latencies;
pub use refusals::{MOST_REFUSALS, Refusal, Refusals};
pub use span::{HOURS, MINUTES, Span};

use crate::store::{self, Store};
use crate::unit::NanoUsd;

/// A request that is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finished<'f> {
    /// When it ended, since the Unix epoch.
    pub at: Duration,
    /// How long it took.
    pub took: Duration,
    /// What it was for.
    pub purpose: Purpose,
    /// A path of the public interface, else `other`.
    pub endpoint: &'static str,
    /// The status that the client got; 499 if it left before.
    pub status: u16,
    /// Where its answer came from.
    pub source: Source,
    /// The tokens of its prompt, as far as a vendor read them.
    pub input: u64,
    /// The tokens of its answer, as far as a vendor wrote them.
    pub output: u64,
    /// What it cost.
    pub cost: NanoUsd,
    /// If it was refused, the refusal's reason.
    pub reason: &'f str,
    /// The name of its key; nothing if that is not known.
    pub key: &'f str,
    /// Its model: a configured one, `other`, or `none`.
    pub model: &'f str,
    /// Where it went, and what came of it: `openai:429,claude:ok`.
    pub attempts: &'f str,
}

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// An answer of a model. Only these are in the sums.
    Model,
    /// Anything else: a page, a list, a batch, whose requests are counted one by one.
    Other,
}

/// Where an answer came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A vendor, or nobody.
    Vendor,
    /// It was kept, or that of an identical request.
    Kept,
}

/// What one worker has seen and not written yet.
#[derive(Debug, Default)]
pub struct History(RefCell<Gathered>);

#[derive(Debug, Default)]
struct Gathered {
    /// Sums by the number of their minute; one or two, unless the clock jumps.
    minutes: Vec<(u64, Counts)>,
    refusals: Refusals,
    /// When this was last written.
    written: Duration,
}

impl History {
    /// Adds a request that is over.
    pub fn note(&self, finished: &Finished<'_>) {
        let mut gathered = self.0.borrow_mut();
        if finished.purpose == Purpose::Model {
            gathered.sum(finished);
        }
        if finished.status >= 400 && finished.status != LEFT {
            gathered.refusals.note(finished);
        }
    }

    /// Writes what has gathered, if the last time is a while ago.
    pub fn write(&self, store: &dyn Store, now: Duration) {
        let mut gathered = self.0.borrow_mut();
        let due = now.saturating_sub(gathered.written) >= PAUSE || now < gathered.written;
        if !due || gathered.is_empty() {
            return;
        }
        gathered.written = now;
        for (minute, counts) in std::mem::take(&mut gathered.minutes) {
            MINUTES.add(store, minute, &counts);
            HOURS.add(store, minute / MINUTES_OF_AN_HOUR, &counts);
        }
        let fresh = std::mem::take(&mut gathered.refusals);
        if !fresh.is_empty() {
            store::update(store, REFUSALS, |record| (Some(Refusals::parse(record).with(&fresh).render()), ()));
        }
    }
}

impl Gathered {
    fn is_empty(&self) -> bool {
        self.minutes.is_empty() && self.refusals.is_empty()
    }

    /// Adds to the sum of a minute. Should a worker that is never called to write hold too many, the oldest goes.
    fn sum(&mut self, finished: &Finished<'_>) {
        let minute = MINUTES.number(finished.at);
        match self.minutes.iter_mut().find(|(known, _)| *known == minute) {
            Some((_, counts)) => counts.note(finished),
            None => {
                let mut counts = Counts::default();
                counts.note(finished);
                self.minutes.truncate(MOST_MINUTES - 1);
                self.minutes.insert(0, (minute, counts));
            }
        }
    }
}

/// The last refusals of all workers.
pub fn refusals(store: &dyn Store) -> Refusals {
    Refusals::parse(store.load(REFUSALS).0.as_deref())
}

/// When this Envoy began to keep a history.
pub fn began(store: &dyn Store) -> Option<Duration> {
    let millis = u64::from_le_bytes(store.load(BEGAN).0?.try_into().ok()?);
    Some(Duration::from_millis(millis))
}

/// Makes the records. A record's first writer cannot tell whether another was faster, so none is made under traffic.
pub fn prepare(store: &dyn Store, now: Duration) {
    let make = |name: &str, record: &[u8]| {
        // Envoy gives nothing for an empty record but its stamp.
        if store.load(name).1.is_none() {
            store.save(name, record, None);
        }
    };
    [MINUTES, HOURS].iter().flat_map(Span::names).for_each(|name| make(&name, &[]));
    make(REFUSALS, &[]);
    make(BEGAN, &u64::try_from(now.as_millis()).unwrap_or(u64::MAX).to_le_bytes());
}

const REFUSALS: &str = "history/refusals";
const BEGAN: &str = "history/began";
/// A client that left.
const LEFT: u16 = 499;
/// Who looks, looks every few seconds.
const PAUSE: Duration = Duration::from_secs(1);
const MINUTES_OF_AN_HOUR: u64 = 60;
/// More than a worker can have between two writes.
const MOST_MINUTES: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Memory;
    use crate::test;

    /// A chat request that was answered, at so many seconds.
    pub(super) fn chat(at: u64) -> Finished<'static> {
        Finished {
            at: Duration::from_secs(at),
            took: Duration::from_millis(50),
            purpose: Purpose::Model,
            endpoint: "/v1/chat/completions",
            status: 200,
            source: Source::Vendor,
            input: 10,
            output: 3,
            cost: NanoUsd(40),
            reason: "",
            key: "team",
            model: "gpt",
            attempts: "openai:ok",
        }
    }

    /// One that was refused.
    pub(super) fn refused(at: u64, status: u16) -> Finished<'static> {
        let nothing = Finished { input: 0, output: 0, cost: NanoUsd(0), ..chat(at) };
        Finished { status, reason: "limited_requests", attempts: "openai:429", ..nothing }
    }

    fn requests(span: Span, store: &Memory, now: u64) -> Vec<u64> {
        span.read(store, Duration::from_secs(now)).iter().map(|counts| counts.requests).collect()
    }

    #[test]
    fn workers_write_into_the_same_minutes_and_hours() {
        let store = Memory::default();
        prepare(&store, Duration::from_secs(50));
        let workers = [History::default(), History::default()];
        for at in [3600, 3659, 3660, 7200] {
            for worker in &workers {
                worker.note(&chat(at));
                worker.write(&store, Duration::from_secs(at));
            }
        }
        workers.iter().for_each(|worker| worker.write(&store, Duration::from_secs(7201)));
        let minutes = requests(MINUTES, &store, 7200);
        assert_eq!(minutes.len(), 180);
        assert_eq!((minutes[179], minutes[120], minutes[119]), (2, 2, 4));
        assert_eq!(minutes.iter().sum::<u64>(), 8);
        assert_eq!(requests(HOURS, &store, 7200)[46..], [6, 2]);
        assert_eq!(began(&store), Some(Duration::from_secs(50)));
    }

    #[test]
    fn what_is_too_old_is_gone_and_its_place_is_used_again() {
        let (store, worker) = (Memory::default(), History::default());
        let lap = MINUTES.step * MINUTES.steps;
        worker.note(&chat(60));
        worker.write(&store, Duration::from_secs(100));
        assert_eq!(requests(MINUTES, &store, lap + 59)[0], 1);
        assert_eq!(requests(MINUTES, &store, lap + 60).iter().sum::<u64>(), 0);
        worker.note(&chat(lap + 60));
        worker.write(&store, Duration::from_secs(lap + 61));
        assert_eq!(requests(MINUTES, &store, lap + 61)[179], 1);
        assert_eq!(requests(HOURS, &store, lap + 61)[44..], [1, 0, 0, 1]);
        // A clock that steps back begins anew where it is.
        worker.note(&chat(60));
        worker.write(&store, Duration::from_secs(62));
        assert_eq!(requests(MINUTES, &store, 62)[179], 1);
    }

    #[test]
    fn writes_about_once_a_second() {
        let (store, worker) = (Memory::default(), History::default());
        let at = |millis| Duration::from_millis(millis);
        worker.write(&store, at(5000));
        worker.note(&chat(5));
        worker.write(&store, at(5000));
        worker.note(&chat(5));
        worker.write(&store, at(5900));
        assert_eq!(requests(MINUTES, &store, 5)[179], 1);
        worker.write(&store, at(6000));
        assert_eq!(requests(MINUTES, &store, 6)[179], 2);
    }

    #[test]
    fn pages_are_in_no_sum_but_their_refusals_are_told() {
        let (store, worker) = (Memory::default(), History::default());
        worker.note(&Finished { purpose: Purpose::Other, ..chat(5) });
        worker.note(&Finished { purpose: Purpose::Other, ..refused(5, 403) });
        worker.note(&refused(5, LEFT));
        worker.write(&store, Duration::from_secs(5));
        assert_eq!(requests(MINUTES, &store, 5)[179], 1);
        assert_eq!(refusals(&store).latest().map(|refusal| refusal.status).collect::<Vec<_>>(), [403]);
    }

    #[test]
    fn a_flood_is_bounded() {
        let (store, worker) = (Memory::default(), History::default());
        prepare(&store, Duration::ZERO);
        let keys: Vec<String> = (0..5000).map(|number| format!("key-{number}")).collect();
        for (at, key) in keys.iter().enumerate() {
            worker.note(&Finished { key, ..refused(at as u64 * 60, 429) });
        }
        worker.write(&store, Duration::from_secs(300_000));
        assert_eq!(refusals(&store).latest().count(), MOST_REFUSALS);
        let bytes: usize = [MINUTES, HOURS]
            .iter()
            .flat_map(Span::names)
            .filter_map(|name| store.load(&name).0)
            .map(|it| it.len())
            .sum();
        assert!(bytes < 60_000, "{bytes}");
    }
}
