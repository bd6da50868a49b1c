//! The choice: from scores to an order.
//!
//! The order is: those that can be used, the best score first; then those whose breaker is half-open; then the open
//! ones, the one that opens soonest first. Only who comes first is not always the best, each time with a reason:
//!
//! - A half-open breaker gets the next request as its probe.
//! - A conversation stays where it was, because its prompt is in that vendor's cache, while that is nearly as good.
//! - One request in a hundred goes to the one that nothing has been heard of for longest, if it could be the best: who
//!   is too dear to win even if it answered at once and always is not asked.
//! - Those that are nearly as good as the best get a share that shrinks with the distance. So two that are alike share
//!   evenly, no small difference moves all the traffic, and many workers that see the same numbers do not run all at once.
//! - One that has just come back gets only a growing part of what would be its.
//!
//! If all breakers are open the order is tried all the same: an attempt that will probably fail is better than a
//! certain refusal.

use std::cmp::Ordering;

use super::breaker::Phase;
use super::decay::{Micros, micros};
use super::record::Record;
use super::score::{Ask, Candidate, Factors, MOST_CANDIDATES, score};

/// An order of candidates.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Choice {
    ranked: [Ranked; MOST_CANDIDATES],
    count: usize,
    /// Why the first one is the first.
    pub reason: Reason,
}

/// A candidate in the order.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ranked {
    /// Its index among the candidates.
    pub index: usize,
    /// How good it is.
    pub factors: Factors,
    /// Its breaker.
    pub phase: Phase,
}

/// Why a candidate is tried first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// There is no other.
    Only,
    /// No weight counts, and it is the first in the file that can be used.
    Order,
    /// It has the best score.
    Best,
    /// It is nearly as good as the best and got its share.
    Shared,
    /// The best has just come back, and this one is not of its share.
    Spared,
    /// The conversation was there before.
    Preferred,
    /// Nothing has been heard of it for longest.
    Explored,
    /// Somebody has to find out whether it is back.
    Probed,
    /// All breakers are open, and this one opens soonest.
    AllOpen,
}

impl Reason {
    /// A short stable name.
    pub fn name(self) -> &'static str {
        match self {
            Reason::Only => "only",
            Reason::Order => "order",
            Reason::Best => "best",
            Reason::Shared => "shared",
            Reason::Spared => "spared",
            Reason::Preferred => "preferred",
            Reason::Explored => "explored",
            Reason::Probed => "probed",
            Reason::AllOpen => "all_open",
        }
    }
}

impl Choice {
    /// The candidates in the order in which they are tried; each of the first [`MOST_CANDIDATES`] is there once.
    pub fn ranked(&self) -> &[Ranked] {
        self.ranked.get(..self.count).unwrap_or_default()
    }

    /// Their indices.
    pub fn order(&self) -> impl Iterator<Item = usize> {
        self.ranked().iter().map(|ranked| ranked.index)
    }
}

/// Puts candidates in order. All that may serve the request are candidates, also those whose breaker is open.
pub fn choose(candidates: &[Candidate<'_>], ask: &Ask) -> Choice {
    let now = micros(ask.now);
    let factors = score(candidates, ask);
    let blank = Ranked { index: 0, factors: Factors::default(), phase: Phase::Closed };
    let mut ranked = [blank; MOST_CANDIDATES];
    for (index, ((place, factors), candidate)) in ranked.iter_mut().zip(factors).zip(candidates).enumerate() {
        *place = Ranked { index, factors, phase: candidate.record.phase(now) };
    }
    let count = candidates.len().min(MOST_CANDIDATES);
    let places = ranked.get_mut(..count).unwrap_or_default();
    places.sort_unstable_by(if ask.weights.sum() > 0.0 { by_score } else { by_file });
    let records = |index: usize| candidates.get(index).map(|candidate| candidate.record);
    let (first, reason) = first(places, records, ask, now);
    if let Some(until_first) = places.get_mut(..=first) {
        until_first.rotate_right(1);
    }
    Choice { ranked, count, reason }
}

fn by_score(a: &Ranked, b: &Ranked) -> Ordering {
    let better = || b.factors.score.total_cmp(&a.factors.score);
    by_phase(a, b).then_with(better).then(a.index.cmp(&b.index))
}

fn by_file(a: &Ranked, b: &Ranked) -> Ordering {
    by_phase(a, b).then(a.index.cmp(&b.index))
}

fn by_phase(a: &Ranked, b: &Ranked) -> Ordering {
    let rank = |ranked: &Ranked| match ranked.phase {
        Phase::Closed | Phase::Warming(_) => (0, Default::default()),
        Phase::Ready => (1, Default::default()),
        Phase::Probing => (2, Default::default()),
        Phase::Open(wait, _) => (3, wait),
    };
    rank(a).cmp(&rank(b))
}

/// Which of those in order is to be the first, and why.
fn first<'r>(
    ranked: &[Ranked],
    records: impl Fn(usize) -> Option<&'r Record>,
    ask: &Ask,
    now: Micros,
) -> (usize, Reason) {
    let ready = ranked.iter().position(|ranked| ranked.phase == Phase::Ready);
    let usable = ranked.iter().take_while(|ranked| is_usable(ranked)).count();
    let usable = ranked.get(..usable).unwrap_or_default();
    let preferred = || usable.iter().position(|ranked| Some(ranked.index) == ask.preferred);
    match (ready, usable) {
        _ if ranked.len() < 2 => (0, Reason::Only),
        (Some(ready), _) => (ready, Reason::Probed),
        (None, []) => (0, Reason::AllOpen),
        (None, [best, ..]) => match preferred().and_then(|place| Some((place, usable.get(place)?))) {
            Some((place, ranked)) if ranked.factors.score >= STICKY * best.factors.score => (place, Reason::Preferred),
            _ if ask.weights.sum() <= 0.0 => (0, Reason::Order),
            _ => explored(usable, records, ask, now).unwrap_or_else(|| shared(usable, best, ask.draw)),
        },
    }
}

fn is_usable(ranked: &Ranked) -> bool {
    matches!(ranked.phase, Phase::Closed | Phase::Warming(_))
}

/// Once in a hundred times, the one that nothing has been heard of for longest, if it could be the best.
fn explored<'r>(
    usable: &[Ranked],
    records: impl Fn(usize) -> Option<&'r Record>,
    ask: &Ask,
    now: Micros,
) -> Option<(usize, Reason)> {
    if unit(ask.draw, 0) >= EXPLORED {
        return None;
    }
    let (best, others) = usable.split_first()?;
    let silence = |ranked: &Ranked| records(ranked.index).map_or(0, |record| record.silence(now));
    let could_win =
        |ranked: &Ranked| ranked.factors.headroom >= 1.0 && ranked.factors.hoped(ask.weights) > best.factors.score;
    let silent = others.iter().enumerate().filter(|(_, ranked)| could_win(ranked) && silence(ranked) > QUIET);
    let (place, _) = silent.max_by_key(|(_, ranked)| silence(ranked))?;
    Some((place + 1, Reason::Explored))
}

/// One of the best, by their shares; one that has just come back only as often as it may.
fn shared(usable: &[Ranked], best: &Ranked, draw: u64) -> (usize, Reason) {
    let admitted = |place: usize, ranked: &Ranked| match ranked.phase {
        Phase::Warming(share) => unit(draw, 2 + place as u64) < share,
        _ => true,
    };
    let Some((leader, leading)) = usable.iter().enumerate().find(|(place, ranked)| admitted(*place, ranked)) else {
        return (0, Reason::Best);
    };
    let shares = || {
        let admitted = usable.iter().enumerate().filter(|(place, ranked)| admitted(*place, ranked));
        admitted.map(|(place, ranked)| (place, share(ranked.factors.score, leading.factors.score)))
    };
    let mut drawn = unit(draw, 1) * shares().map(|(_, share)| share).sum::<f64>();
    let place = shares().find(|(_, share)| {
        drawn -= share;
        drawn < 0.0
    });
    match place.map_or(leader, |(place, _)| place) {
        0 => (0, Reason::Best),
        place if leading.index != best.index => (place, Reason::Spared),
        place => (place, Reason::Shared),
    }
}

/// 1 for the best, and for the others the less the farther they are, down to nothing at [`NEAR`].
fn share(score: f64, best: f64) -> f64 {
    let near = if best > 0.0 { (score / best - NEAR) / (1.0 - NEAR) } else { 1.0 };
    near.max(0.0)
}

/// A number from 0 to 1, excluding 1: another for each `n`. SplitMix64, as Steele, Lea and Flood give it.
fn unit(draw: u64, n: u64) -> f64 {
    let z = draw.wrapping_add((n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

/// The part of requests that are used to learn.
pub const EXPLORED: f64 = 0.01;
/// One that has been heard of within a second, in microseconds, is known well enough.
const QUIET: Micros = 1_000_000;
/// The part of the best score from which on a candidate gets a share.
pub const NEAR: f64 = 0.9;
/// The part of the best score from which on a conversation stays where it is.
pub const STICKY: f64 = 0.8;
