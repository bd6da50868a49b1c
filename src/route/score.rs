//! The score: how good a choice a candidate is, between 0 and 1.
//!
//! Three things count: what a request is expected to cost there, how many attempts are expected to fail for one that is
//! answered, and how long the answer is expected to take. Each is expressed as how many times worse than the best
//! usable candidate it is, so units vanish:
//!
//! ```text
//! cost    = (c + e) / (c_best + e)          c: expected cost; unknown: the mean of the known ones
//! success = (1 + F o) / (1 + F o_best)      o: odds of failing, F = FAILURE
//! latency = (l + e) / (l_best + e)          l: first token + per token * tokens, scaled by surge and crowd
//! score   = headroom * (wc + ws + wl) / (wc cost + ws success + wl latency)
//! ```
//!
//! `e` is [`FLOOR`] times the candidates' mean, so that nothing is divided by a price or a time of zero, and
//! differences far below what the others cost do not matter. The factors shown to people are the reciprocals, between 0
//! and 1, and the score is their weighted harmonic mean: twice as dear and twice as slow weigh the same, and a
//! candidate that is hopeless in one respect cannot make up for it in another.
//!
//! A latency that nobody has measured for a while drifts towards the best one, by [`super::record::MEMORY`], and one
//! that was never measured is the best one: who knows nothing of a candidate tries it.

use std::time::Duration;

use super::breaker::Phase;
use super::decay::{Micros, micros};
use super::record::Record;
use crate::unit::NanoUsd;

/// One that may serve the request.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'r> {
    /// What is known of it.
    pub record: &'r Record,
    /// What the request is expected to cost there; `None` if its price is not known.
    pub cost: Option<NanoUsd>,
}

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub struct Ask {
    /// Since the Unix epoch.
    pub now: Duration,
    /// Tokens of the prompt.
    pub prompt: u64,
    /// Tokens that the answer is expected to have: [`super::expected_tokens`].
    pub answer: u64,
    /// What counts.
    pub weights: Weights,
    /// The index of the candidate that the request's conversation went to before.
    pub preferred: Option<usize>,
    /// A random number.
    pub draw: u64,
}

/// How much each factor counts, at least 0. If none counts the order of the file does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Weights {
    /// Expected cost.
    pub cost: f64,
    /// Success.
    pub success: f64,
    /// Expected latency.
    pub latency: f64,
}

impl Default for Weights {
    fn default() -> Weights {
        Weights { cost: 1.0, success: 1.0, latency: 1.0 }
    }
}

impl Weights {
    /// What is not a weight does not count, and nothing counts a million times as much as something else.
    fn sane(self) -> Weights {
        let sane = |weight: f64| if weight > 0.0 { weight.clamp(LIGHTEST, HEAVIEST) } else { 0.0 };
        Weights { cost: sane(self.cost), success: sane(self.success), latency: sane(self.latency) }
    }

    pub(super) fn sum(self) -> f64 {
        let Weights { cost, success, latency } = self.sane();
        cost + success + latency
    }
}

/// How good a candidate is, each from 0 to 1, where 1 is as good as the best that can be used now.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Factors {
    /// Of its expected cost.
    pub cost: f64,
    /// Of its success.
    pub success: f64,
    /// Of its expected latency.
    pub latency: f64,
    /// What is left of its vendor's limits: below 1 if that is scarce.
    pub headroom: f64,
    /// All of them, weighted.
    pub score: f64,
}

impl Factors {
    /// What the score would be if latency and success turned out as good as those of the best.
    pub(super) fn hoped(&self, weights: Weights) -> f64 {
        combine(weights.sane(), self.cost, 1.0, 1.0)
    }
}

/// The factors of each of the first [`MOST_CANDIDATES`], in their order; those behind the last are without meaning.
pub fn score(candidates: &[Candidate<'_>], ask: &Ask) -> [Factors; MOST_CANDIDATES] {
    let (now, weights) = (micros(ask.now), ask.weights.sane());
    let mut raw = [Raw::default(); MOST_CANDIDATES];
    raw.iter_mut().zip(candidates).for_each(|(raw, candidate)| *raw = Raw::new(candidate, ask, now));
    let raw = raw.get(..candidates.len()).unwrap_or(&raw);
    let base = Base::new(raw);
    let mut factors = [Factors::default(); MOST_CANDIDATES];
    factors.iter_mut().zip(raw).for_each(|(factors, raw)| *factors = base.factors(raw, weights));
    factors
}

/// What a candidate is like, in its own units.
#[derive(Clone, Copy, Default)]
struct Raw {
    usable: bool,
    /// Nano USD.
    cost: Option<f64>,
    odds: f64,
    /// Seconds, and how much that is worth.
    latency: Option<(f64, f64)>,
    crowding: f64,
    headroom: f64,
}

impl Raw {
    fn new(candidate: &Candidate<'_>, ask: &Ask, now: Micros) -> Raw {
        let record = candidate.record.faded(now);
        Raw {
            usable: matches!(record.phase(now), Phase::Closed | Phase::Warming(_)),
            cost: candidate.cost.map(|NanoUsd(cost)| cost as f64),
            odds: record.odds(),
            latency: record.latency(ask.answer as f64, now),
            crowding: record.crowding(),
            headroom: record.headroom(ask.prompt.saturating_add(ask.answer), now),
        }
    }
}

/// What candidates are compared with.
struct Base {
    cost: Scale,
    odds: f64,
    latency: Scale,
}

/// The best of some amounts, and their mean.
#[derive(Clone, Copy)]
struct Scale {
    best: f64,
    mean: f64,
}

impl Base {
    /// The best are taken from those that can be used, if there are any.
    fn new(raw: &[Raw]) -> Base {
        let any = raw.iter().any(|raw| raw.usable);
        let usable = |raw: &&Raw| raw.usable || !any;
        let latency = |raw: &Raw| raw.latency.map(|(latency, _)| latency);
        Base {
            cost: Scale::new(
                raw.iter().filter_map(|raw| raw.cost),
                raw.iter().filter(usable).filter_map(|raw| raw.cost),
            ),
            odds: raw.iter().filter(usable).map(|raw| raw.odds).fold(f64::INFINITY, f64::min),
            latency: Scale::new(raw.iter().filter_map(latency), raw.iter().filter(usable).filter_map(latency)),
        }
    }

    fn factors(&self, raw: &Raw, weights: Weights) -> Factors {
        let cost = self.cost.factor(raw.cost.unwrap_or(self.cost.mean));
        let success = ((1.0 + FAILURE * self.odds) / (1.0 + FAILURE * raw.odds)).min(1.0);
        let measured = raw.latency.map_or(self.latency.best, |(latency, worth)| {
            self.latency.best + (latency - self.latency.best).max(0.0) * worth
        });
        let latency = self.latency.factor(measured) / raw.crowding;
        let score = raw.headroom * combine(weights, cost, success, latency);
        Factors { cost, success, latency, headroom: raw.headroom, score }
    }
}

impl Scale {
    fn new(all: impl Iterator<Item = f64>, usable: impl Iterator<Item = f64>) -> Scale {
        let (sum, count) = all.fold((0.0, 0.0), |(sum, count), amount| (sum + amount, count + 1.0));
        let mean = if count > 0.0 { sum / count } else { 0.0 };
        let best = usable.fold(f64::INFINITY, f64::min);
        Scale { best: if best.is_finite() { best } else { mean }, mean }
    }

    /// From above 0 to 1.
    fn factor(&self, amount: f64) -> f64 {
        let floor = FLOOR * self.mean;
        let worse = amount + floor;
        if worse > 0.0 { ((self.best + floor) / worse).min(1.0) } else { 1.0 }
    }
}

/// The weighted harmonic mean; 1 if nothing counts.
fn combine(weights: Weights, cost: f64, success: f64, latency: f64) -> f64 {
    let worse = weights.cost / cost + weights.success / success + weights.latency / latency;
    if worse > 0.0 { (weights.sum() / worse).min(1.0) } else { 1.0 }
}

/// A model with more vendors than this is served by the first of them.
pub const MOST_CANDIDATES: usize = 16;
/// A failed attempt for each answered one is as bad as four times the price, or four times the time, on top: it takes a
/// failover, which the client waits for, and where all fail the client has no answer.
pub const FAILURE: f64 = 4.0;
/// The part of the candidates' mean below which differences do not count: a vendor for nothing is 21 times as good as
/// one of two that costs something, and no more.
pub const FLOOR: f64 = 0.05;
const LIGHTEST: f64 = 1e-3;
const HEAVIEST: f64 = 1e3;
