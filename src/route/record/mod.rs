//! What is known of one model at one vendor: a record of fixed size, which the workers of one Envoy share.
//!
//! It changes by events, and every change is a sum: what was, what happened, when. Nothing in it is ever reset by a
//! timer. Counts fade by half in a half-life, so that what is not used is slowly forgotten, and all of them are faded to the
//! same instant, the last change, so that one clock reading serves the whole record.
//!
//! Requests in flight fade, too. A worker that is torn down never says that its requests ended; what it began weighs
//! less and less until it is gone, and a request that does end takes away what is left of its own weight. So the count
//! needs neither leases nor a list.
//!
//! A clock that steps back fades nothing; one that jumps ahead fades everything, and the record is as good as new.

mod bytes;
mod view;

use std::time::Duration;

pub use bytes::Bytes;
pub use view::View;

use super::breaker::{Breaker, Phase, Why};
use super::decay::{Average, Micros, faded, left, micros};
use super::event::{Answered, Ending, Event, Fault};
use super::headroom::{Headroom, Kept};

/// What is known of a model at a vendor. A new one knows nothing.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Record {
    /// To which instant the counts are faded.
    at: Micros,
    /// When it last answered; 0 if it never did.
    heard: Micros,
    good: f64,
    bad: f64,
    flying: f64,
    /// In nano USD.
    spend: f64,
    /// Seconds.
    first_token: Average,
    /// Seconds.
    per_token: Average,
    /// Of an answer.
    tokens: Average,
    /// How many requests were in flight when it answered.
    crowd: Average,
    /// By how much more than [`SURGE`] times as long as usual an answer took.
    surge: f64,
    breaker: Breaker,
    requests_left: Kept,
    tokens_left: Kept,
}

/// Whether an attempt may begin now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It may.
    Free,
    /// It may, and is then the only one to find out whether the vendor is back.
    Probe,
    /// It should go elsewhere, if there is an elsewhere.
    Shut,
}

impl Record {
    /// The record after an event. `now` is since the Unix epoch.
    pub fn apply(self, event: &Event, now: Duration) -> Record {
        let now = micros(now);
        let mut record = self.faded(now);
        match event {
            Event::Began { tokens } => record.begin(*tokens, now),
            Event::Ended { began, ending } => record.end(micros(*began), ending, now),
            Event::Told(headroom) => record.told(headroom, now),
        }
        record
    }

    /// Whether an attempt may begin; it does with [`Event::Began`], in the same update of the shared record.
    pub fn admission(&self, now: Duration) -> Admission {
        match self.breaker.phase(micros(now)) {
            Phase::Closed | Phase::Warming(_) => Admission::Free,
            Phase::Ready => Admission::Probe,
            Phase::Probing | Phase::Open(..) => Admission::Shut,
        }
    }

    fn begin(&mut self, tokens: u64, now: Micros) {
        self.breaker.began(now);
        self.flying = (self.flying + 1.0).min(MOST);
        self.requests_left = self.requests_left.less(1);
        self.tokens_left = self.tokens_left.less(tokens);
    }

    fn end(&mut self, began: Micros, ending: &Ending, now: Micros) {
        self.flying = (self.flying - left(now.saturating_sub(began), FLIGHT)).max(0.0);
        match ending {
            Ending::Answered(answered) => {
                self.breaker.answered(began, now);
                self.good = (self.good + 1.0).min(MOST);
                self.learn(answered, now);
            }
            Ending::Failed(fault) => {
                self.bad = (self.bad + 1.0).min(MOST);
                match fault {
                    Fault::Denied => self.breaker.open(began, now, Why::Denied, None),
                    _ => self.breaker.failed(began, now, self.good + self.bad, self.bad),
                }
            }
            Ending::Cancelled => self.breaker.freed(began, now),
            Ending::Throttled { retry_after } => self.breaker.open(began, now, Why::Throttled, *retry_after),
            Ending::OutOfQuota => self.breaker.open(began, now, Why::Quota, None),
        }
    }

    fn learn(&mut self, answered: &Answered, now: Micros) {
        let tokens = answered.tokens.min(MOST_TOKENS) as f64;
        let known = self.heard > 0;
        let usual = self.first_token.mean + self.per_token.mean * tokens;
        let first = answered.first_token.min(MOST_TIME).as_secs_f64();
        let (first, each) = match answered.per_token {
            Some(each) => (first, each.min(MOST_TIME).as_secs_f64()),
            // In one piece: what it took is split as what it would have taken is.
            None if known && usual > 0.0 => {
                (self.first_token.mean * first / usual, self.per_token.mean * first / usual)
            }
            None => (first * START / (START + tokens), first / (START + tokens)),
        };
        if known && usual > 0.0 {
            let times = (first + each * tokens) / usual;
            self.surge = self.surge.max(times / SURGE - 1.0).clamp(0.0, MOST_SURGE);
        }
        // A share of the longest time may round to more than that, which no record can hold.
        let longest = MOST_TIME.as_secs_f64();
        self.first_token = self.first_token.with(first.min(longest));
        self.per_token = self.per_token.with(each.min(longest));
        self.tokens = self.tokens.with(tokens);
        self.crowd = self.crowd.with(self.flying);
        self.heard = now;
        self.spend = (self.spend + answered.cost.0 as f64).min(MOST_SPEND);
    }

    fn told(&mut self, headroom: &Headroom, now: Micros) {
        if let Some(requests) = &headroom.requests {
            self.requests_left = Kept::told(requests, now);
        }
        if let Some(tokens) = &headroom.tokens {
            self.tokens_left = Kept::told(tokens, now);
        }
    }

    /// The same at a later instant, at which nothing has happened.
    pub(super) fn faded(self, now: Micros) -> Record {
        let since = now.saturating_sub(self.at);
        let average = |average: Average| average.faded(since, RECENT);
        Record {
            at: now,
            good: faded(self.good, since, FAILURES),
            bad: faded(self.bad, since, FAILURES),
            flying: faded(self.flying, since, FLIGHT),
            spend: faded(self.spend, since, SPEND),
            first_token: average(self.first_token),
            per_token: average(self.per_token),
            tokens: average(self.tokens),
            crowd: average(self.crowd),
            surge: faded(self.surge, since, SURGING),
            ..self
        }
    }

    pub(super) fn phase(&self, now: Micros) -> Phase {
        self.breaker.phase(now)
    }

    /// The odds of failing: how many attempts are expected to fail for each one that is answered.
    pub(super) fn odds(&self) -> f64 {
        self.bad / (self.good + DOUBT)
    }

    /// How long an answer of so many tokens is expected to take, in seconds, if nothing but what was measured counts,
    /// and how much that is still worth, from 1 down to 0.
    pub(super) fn latency(&self, tokens: f64, now: Micros) -> Option<(f64, f64)> {
        let heard = Some(self.heard).filter(|heard| *heard > 0)?;
        let usual = self.first_token.mean + self.per_token.mean * tokens;
        Some((usual * (1.0 + self.surge), left(now.saturating_sub(heard), MEMORY)))
    }

    /// By how much more there is to do than when it was measured, at least 1.
    pub(super) fn crowding(&self) -> f64 {
        ((self.flying + FLIGHTS) / (SLACK * self.crowd.mean + FLIGHTS)).max(1.0)
    }

    pub(super) fn headroom(&self, tokens: u64, now: Micros) -> f64 {
        self.requests_left.factor(now, 1).min(self.tokens_left.factor(now, tokens))
    }

    /// How long nothing has been heard of it, in microseconds.
    pub(super) fn silence(&self, now: Micros) -> Micros {
        now.saturating_sub(self.heard)
    }
}

/// How many tokens an answer is expected to have: the mean of what these have answered, each as far as it is recent, and
/// [`TOKENS`] as if it had been answered once; never more than the ceiling.
pub fn expected_tokens<'r>(records: impl IntoIterator<Item = &'r Record>, ceiling: u64, now: Duration) -> u64 {
    let now = micros(now);
    let sum = |(tokens, weight): (f64, f64), record: &Record| {
        let Average { mean, weight: recent } = record.tokens.faded(now.saturating_sub(record.at), MEMORY);
        (tokens + mean * recent, weight + recent)
    };
    let (tokens, weight) = records.into_iter().fold((TOKENS, 1.0), sum);
    ((tokens / weight) as u64).min(ceiling)
}

/// The half-life of answers and failures.
pub const FAILURES: Duration = Duration::from_secs(20);
/// The half-life of the averages: that of Finagle's PeakEwma, whose window of 10 s has one of 7 s.
pub const RECENT: Duration = Duration::from_secs(7);
/// How long a surge takes to fade by half.
pub const SURGING: Duration = Duration::from_secs(3);
/// The half-life of what is known of a latency, after which a vendor that nothing is heard of is thought half as far
/// behind the best as it was.
pub const MEMORY: Duration = Duration::from_secs(600);
/// The half-life of a request in flight: one that takes ten seconds weighs 0.94, and of what a torn-down worker left
/// behind nothing counts after a quarter of an hour.
pub const FLIGHT: Duration = Duration::from_secs(120);
/// The half-life of spend.
pub const SPEND: Duration = Duration::from_secs(3600);
/// Answers that a new record is taken to have given, so that one failure is not the end of it.
pub const DOUBT: f64 = 2.0;
/// An answer that takes so many times as long as usual counts at once. Latencies of language models scatter by a factor
/// of two (a log-normal with a sigma of 0.5 passes three times its mean once in a hundred), which must not.
pub const SURGE: f64 = 3.0;
/// So many times the crowd in which it was measured slows nothing down: requests come in bursts.
pub const SLACK: f64 = 1.2;
/// So many requests more slow nothing down.
pub const FLIGHTS: f64 = 8.0;
/// A first token takes as long as so many further ones, until it is known better.
const START: f64 = 50.0;
/// The answer of a chat is a few hundred tokens.
const TOKENS: f64 = 300.0;

const MOST: f64 = 1e9;
const MOST_TOKENS: u64 = 1_000_000_000;
const MOST_TIME: Duration = Duration::from_secs(86_400);
const MOST_SURGE: f64 = 1000.0;
/// A billion dollars.
const MOST_SPEND: f64 = 1e18;
