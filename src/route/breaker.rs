//! The breaker: whether a vendor's model is tried at all.
//!
//! *Closed* is the rule. It *opens* when [`CONSECUTIVE`] attempts failed in a row, or when of at least [`FEW`] recent ones
//! [`HALF_FAILED`] failed; at once, when the vendor says that it has no room or no quota, or refuses the credential or the
//! model. How long it stays open doubles from opening to opening, up to a bound; what the vendor itself asks for is
//! kept to, up to another. After that it is *half-open*: one request, and of all workers only one, may probe. The one
//! that takes the probe's place holds it until its attempt ends, or, if its worker is torn down, until an instant. A
//! probe that fails opens the breaker for twice as long, one that is answered closes it, and then the vendor gets a
//! share of its requests that grows over some seconds, since one that has just come back seldom bears them all.
//!
//! Only attempts that began after it opened say anything about it: those of before end late, and all alike.
//!
//! An instant too far ahead was written by somebody else or with another clock, and counts as over. So a clock that
//! steps back keeps a breaker open for no longer than [`LONGEST`], and garbage does not keep it open at all.

use std::time::Duration;

use super::decay::{Micros, micros};

/// How a vendor's model may be used at a moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Phase {
    /// As it likes.
    Closed,
    /// It has just come back and may have this part of its requests, above 0 and below 1.
    Warming(f64),
    /// Half-open, and nobody probes: the next request may.
    Ready,
    /// Half-open, and somebody probes.
    Probing,
    /// Not at all for so long.
    Open(Duration, Why),
}

/// Why a breaker is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Why {
    /// Attempts failed in a row.
    #[default]
    Consecutive,
    /// Too many of the recent attempts failed.
    Rate,
    /// The vendor said that it is asked too often.
    Throttled,
    /// The vendor said that there is no quota or credit left.
    Quota,
    /// The vendor rejects the credential or does not know the model.
    Denied,
}

impl Why {
    /// A short stable name.
    pub fn name(self) -> &'static str {
        match self {
            Why::Consecutive => "consecutive_failures",
            Why::Rate => "failure_rate",
            Why::Throttled => "throttled",
            Why::Quota => "quota",
            Why::Denied => "denied",
        }
    }

    fn from_word(word: u64) -> Why {
        [Why::Rate, Why::Throttled, Why::Quota, Why::Denied]
            .into_iter()
            .find(|why| *why as u64 == word)
            .unwrap_or_default()
    }

    /// How long the first opening lasts, and how long the longest.
    fn bounds(self) -> (Micros, Micros) {
        let (first, longest) = match self {
            Why::Consecutive | Why::Rate => (FIRST, DOUBLED),
            Why::Throttled => (BREATHER, DOUBLED),
            Why::Denied => (DENIED, LONGEST),
            Why::Quota => (QUOTA, LONGEST),
        };
        (micros(first), micros(longest))
    }
}

/// The part of a record that says whether it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Breaker {
    /// Until when it is open, or was before it was half-open; 0 if it is closed.
    pub(super) until: Micros,
    pub(super) why: Why,
    /// Failures since the last answer.
    pub(super) failures: u32,
    /// Openings in a row, each of which makes the next one longer.
    pub(super) openings: u32,
    /// Until when somebody has the place of the probe.
    pub(super) probe: Micros,
    pub(super) opened: Micros,
    /// When it was closed; 0 if it never was open.
    pub(super) closed: Micros,
}

impl Breaker {
    pub(super) fn phase(&self, now: Micros) -> Phase {
        if self.until == 0 {
            let since = now.checked_sub(self.closed).filter(|_| self.closed > 0);
            let grown = since.map(|since| since as f64 / micros(WARMING) as f64).filter(|grown| *grown < 1.0);
            return grown.map_or(Phase::Closed, |grown| Phase::Warming(grown.max(SMALLEST_SHARE)));
        }
        match self.until.saturating_sub(now) {
            wait @ 1.. if wait <= micros(LONGEST) => Phase::Open(Duration::from_micros(wait), self.why),
            _ if (1..=micros(PROBE)).contains(&self.probe.saturating_sub(now)) => Phase::Probing,
            _ => Phase::Ready,
        }
    }

    /// An attempt begins; where it is half-open it takes the place of the probe.
    pub(super) fn began(&mut self, now: Micros) {
        if self.phase(now) == Phase::Ready {
            self.probe = now.saturating_add(micros(PROBE));
        }
    }

    pub(super) fn answered(&mut self, began: Micros, now: Micros) {
        self.failures = 0;
        if self.until != 0 && self.concerns(began, now) {
            *self = Breaker { closed: now, openings: self.openings, ..Breaker::default() };
        }
    }

    /// A failure, and of how many recent attempts, faded, how many failed, this one included.
    pub(super) fn failed(&mut self, began: Micros, now: Micros, recent: f64, bad: f64) {
        self.failures = self.failures.saturating_add(1);
        match self.phase(now) {
            Phase::Open(..) => {}
            Phase::Probing | Phase::Ready => self.open(began, now, self.why.healing(), None),
            _ if self.failures >= CONSECUTIVE => self.open(began, now, Why::Consecutive, None),
            _ if recent >= FEW && bad >= HALF_FAILED * recent => self.open(began, now, Why::Rate, None),
            _ => {}
        }
    }

    /// Opens for as long as the vendor asks, or as long as it is its turn. Where it is open already, what was under
    /// way then can only make it longer, not double it.
    pub(super) fn open(&mut self, began: Micros, now: Micros, why: Why, asked: Option<Duration>) {
        let fresh = self.until == 0 || self.concerns(began, now);
        if fresh && matches!(self.phase(now), Phase::Closed) {
            self.openings = 0;
        }
        let (first, longest) = why.bounds();
        let doubled = first.saturating_mul(1 << self.openings.min(MOST_DOUBLINGS)).min(longest);
        let wait = asked.map_or(doubled, |asked| micros(asked.clamp(SHORTEST_ASKED, LONGEST_ASKED)));
        let until = now.saturating_add(wait);
        if fresh {
            let openings = self.openings.saturating_add(1);
            *self = Breaker { until, why, openings, opened: now, probe: 0, ..*self };
        } else if until > self.until && !matches!(self.phase(now), Phase::Probing | Phase::Ready) {
            (self.until, self.why) = (until, why);
        }
    }

    /// An attempt ended that says nothing about the vendor: if it was the probe, another one may be.
    pub(super) fn freed(&mut self, began: Micros, now: Micros) {
        if self.until != 0 && self.concerns(began, now) {
            self.probe = 0;
        }
    }

    /// Whether an attempt began after it opened.
    fn concerns(&self, began: Micros, now: Micros) -> bool {
        began >= self.opened || self.opened > now
    }

    pub(super) fn words(&self) -> [u64; WORDS] {
        let Breaker { until, why, failures, openings, probe, opened, closed } = *self;
        [until, why as u64, failures.into(), openings.into(), probe, opened, closed]
    }

    pub(super) fn from_words([until, why, failures, openings, probe, opened, closed]: [u64; WORDS]) -> Breaker {
        let [failures, openings] = [failures, openings].map(|count| u32::try_from(count).unwrap_or_default());
        Breaker { until, why: Why::from_word(why), failures, openings, probe, opened, closed }
    }
}

impl Why {
    /// A probe failed: whatever was wrong before, now it is that.
    fn healing(self) -> Why {
        if matches!(self, Why::Rate) { Why::Rate } else { Why::Consecutive }
    }
}

pub(super) const WORDS: usize = 7;

/// Envoy's outlier detection opens at as many. At a success rate of 90 % it takes a hundred thousand requests until five
/// in a row fail by chance.
pub const CONSECUTIVE: u32 = 5;
/// So many recent attempts are enough to speak of a rate.
pub const FEW: f64 = 10.0;
/// The part of them that must have failed.
pub const HALF_FAILED: f64 = 0.5;
/// How long the first opening lasts: longer than a restart of one server behind a load balancer, and an outage of ten
/// minutes sees 21 probes.
pub const FIRST: Duration = Duration::from_secs(5);
/// How long the longest opening after failures lasts: a vendor that is back is unused for no longer, and one that is
/// not costs a failover as often.
pub const DOUBLED: Duration = Duration::from_secs(30);
/// How long the first opening lasts after a rejected credential or an unknown model: somebody has to mend that.
pub const DENIED: Duration = Duration::from_secs(60);
/// How long the first opening lasts after a vendor had no room and did not say for how long.
pub const BREATHER: Duration = Duration::from_secs(1);
/// How long the first opening lasts after a quota was used up: somebody has to pay, and each probe is a failover.
pub const QUOTA: Duration = Duration::from_secs(600);
/// Nothing is open for longer.
pub const LONGEST: Duration = Duration::from_secs(3600);
/// What a vendor asks for, at most: limits are per minute, and a vendor that asks for a day is asked again.
pub const LONGEST_ASKED: Duration = Duration::from_secs(300);
/// What a vendor asks for, at least; many send 0 or a few milliseconds, which is over before anything can follow from it.
pub const SHORTEST_ASKED: Duration = Duration::from_millis(500);
/// How long a probe has its place if nobody ever hears of it again: a little more than the default
/// `first_token_timeout`. While a whole answer takes longer, another one probes, too.
pub const PROBE: Duration = Duration::from_secs(30);
/// How long the share of one that came back grows.
pub const WARMING: Duration = Duration::from_secs(10);
/// The share at the beginning.
pub const SMALLEST_SHARE: f64 = 0.1;
/// 2^12 of the shortest opening is more than the longest.
const MOST_DOUBLINGS: u32 = 12;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test;

    const NOW: Micros = 1_800_000_000_000_000;
    const S: Micros = 1_000_000;

    fn fail(breaker: &mut Breaker, at: Micros, times: u32) {
        (0..times).for_each(|_| breaker.failed(at, at, 1.0, 1.0));
    }

    fn opened() -> Breaker {
        let mut breaker = Breaker::default();
        fail(&mut breaker, NOW, CONSECUTIVE);
        breaker
    }

    fn open_for(breaker: &Breaker, now: Micros) -> Option<u64> {
        let Phase::Open(wait, _) = breaker.phase(now) else { return None };
        Some(wait.as_secs())
    }

    #[test]
    fn opens_at_failures_in_a_row() {
        let mut breaker = Breaker::default();
        fail(&mut breaker, NOW, CONSECUTIVE - 1);
        assert_eq!(breaker.phase(NOW), Phase::Closed);
        breaker.answered(NOW, NOW);
        fail(&mut breaker, NOW, CONSECUTIVE - 1);
        assert_eq!(breaker.phase(NOW), Phase::Closed);
        fail(&mut breaker, NOW, 1);
        assert_eq!(breaker.phase(NOW), Phase::Open(FIRST, Why::Consecutive));
    }

    #[test]
    fn opens_at_a_rate_of_enough() {
        for (recent, bad, open) in [(9.0, 9.0, false), (10.0, 5.0, true), (10.0, 4.9, false), (1e6, 5e5, true)] {
            let mut breaker = Breaker::default();
            breaker.failed(NOW, NOW, recent, bad);
            assert_eq!(breaker.phase(NOW) == Phase::Open(FIRST, Why::Rate), open, "{bad} of {recent}");
        }
    }

    #[test]
    fn one_probes_at_a_time() {
        let (mut breaker, later) = (opened(), NOW + 5 * S);
        assert_eq!(open_for(&breaker, later - 1), Some(0));
        assert_eq!(breaker.phase(later), Phase::Ready);
        breaker.began(later);
        assert_eq!(breaker.phase(later), Phase::Probing);
        assert_eq!(breaker.phase(later + 29 * S), Phase::Probing);
        assert_eq!(breaker.phase(later + 30 * S), Phase::Ready, "its worker was torn down");
        breaker.freed(NOW - 1, later);
        assert_eq!(breaker.phase(later), Phase::Probing, "that was not the probe");
        breaker.freed(later, later);
        assert_eq!(breaker.phase(later), Phase::Ready);
    }

    #[test]
    fn stays_open_for_twice_as_long_each_time() {
        let (mut breaker, mut now) = (opened(), NOW);
        for seconds in [5, 10, 20, 30, 30, 30] {
            assert_eq!(open_for(&breaker, now), Some(seconds));
            now += seconds * S;
            breaker.began(now);
            breaker.failed(now, now, 1.0, 1.0);
        }
        assert!(breaker.openings == 7);
    }

    #[test]
    fn closes_slowly() {
        let (mut breaker, later) = (opened(), NOW + 5 * S);
        breaker.began(later);
        breaker.answered(NOW - 1, later);
        assert_eq!(breaker.phase(later), Phase::Probing, "an answer to a request of before");
        breaker.answered(later, later);
        assert_eq!(breaker.phase(later), Phase::Warming(SMALLEST_SHARE));
        assert_eq!(breaker.phase(later + 5 * S), Phase::Warming(0.5));
        assert_eq!(breaker.phase(later + 10 * S), Phase::Closed);
        let mut again = breaker;
        fail(&mut again, later + 5 * S, CONSECUTIVE);
        assert_eq!(open_for(&again, later + 5 * S), Some(10), "it has not been well in between");
        fail(&mut breaker, later + 11 * S, CONSECUTIVE);
        assert_eq!(open_for(&breaker, later + 11 * S), Some(5));
    }

    #[test]
    fn those_under_way_when_it_opened_change_little() {
        let mut breaker = opened();
        fail(&mut breaker, NOW, 100);
        assert_eq!((open_for(&breaker, NOW), breaker.openings), (Some(5), 1));
        breaker.open(NOW - S, NOW + S, Why::Throttled, Some(Duration::from_secs(30)));
        assert_eq!((open_for(&breaker, NOW + S), breaker.openings), (Some(30), 1), "but longer it may become");
        breaker.open(NOW - S, NOW + S, Why::Throttled, Some(Duration::from_secs(1)));
        assert_eq!(open_for(&breaker, NOW + S), Some(30));
    }

    #[test]
    fn the_vendor_is_obeyed_within_bounds() {
        for (asked, open) in [(0, SHORTEST_ASKED), (7_000, Duration::from_secs(7)), (86_400_000, LONGEST_ASKED)] {
            let mut breaker = Breaker::default();
            breaker.open(NOW, NOW, Why::Throttled, Some(Duration::from_millis(asked)));
            assert_eq!(breaker.phase(NOW), Phase::Open(open, Why::Throttled));
        }
        for (why, open) in [(Why::Throttled, BREATHER), (Why::Quota, QUOTA), (Why::Denied, DENIED)] {
            let mut breaker = Breaker::default();
            breaker.open(NOW, NOW, why, None);
            assert_eq!(breaker.phase(NOW), Phase::Open(open, why), "{}", why.name());
            breaker.openings = u32::MAX;
            breaker.open(NOW, NOW, why, None);
            assert!(open_for(&breaker, NOW).unwrap() <= 3600);
        }
    }

    #[test]
    fn an_instant_too_far_ahead_is_over() {
        let far = Breaker { until: u64::MAX, probe: u64::MAX, opened: u64::MAX, closed: u64::MAX, ..opened() };
        assert_eq!(far.phase(NOW), Phase::Ready);
        let mut closed = far;
        closed.began(NOW);
        closed.answered(NOW, NOW);
        assert!(matches!(closed.phase(NOW), Phase::Warming(_)));
        assert_eq!(Breaker { until: 0, ..far }.phase(NOW), Phase::Closed);
        assert_eq!(opened().phase(NOW / 2), Phase::Ready, "the clock stepped back by years");
    }
}
