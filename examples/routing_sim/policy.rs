//! Who chooses, besides what is learned: an oracle, and what gateways usually offer.

use std::collections::VecDeque;

use weir::route::score::FAILURE;

use crate::random::unit;
use crate::vendor::{Fate, Request, Vendor};

/// Chooses, and hears what became of it.
pub trait Policy {
    /// The vendors in the order in which they are tried.
    fn order(&mut self, request: &Request, vendors: &[Vendor], now: f64) -> Vec<usize>;

    fn began(&mut self, _vendor: usize, _request: &Request, _now: f64) {}

    fn ended(&mut self, _attempt: &Attempt, _vendors: &[Vendor], _now: f64) {}
}

/// An attempt that has ended.
#[derive(Debug, Clone, Copy)]
pub struct Attempt {
    pub request: Request,
    pub vendor: usize,
    pub began: f64,
    pub fate: Fate,
}

/// Sees the models themselves, and takes whoever's expected loss is the least at the moment.
pub struct Oracle;

impl Policy for Oracle {
    fn order(&mut self, request: &Request, vendors: &[Vendor], now: f64) -> Vec<usize> {
        let best = reference(request, vendors, now);
        sorted(vendors.len(), |index| {
            let Some(vendor) = vendors.get(index) else { return f64::INFINITY };
            let mood = (vendor.mood)(now);
            let throttled = if vendor.allows(now) < 1.0 { 1000.0 } else { 0.0 };
            let time = mood.time(request, vendor.in_flight + 1.0) + mood.odds() * mood.fails_after;
            mood.cost(request) / best.cost + time / best.time + FAILURE * mood.odds() + throttled
        })
    }
}

/// What a loss is measured in: the cheapest and the fastest that could be had, of those that are up.
pub struct Reference {
    pub cost: f64,
    pub time: f64,
}

pub fn reference(request: &Request, vendors: &[Vendor], now: f64) -> Reference {
    let moods = || vendors.iter().map(|vendor| (vendor.mood)(now)).filter(|mood| mood.fails < 0.5);
    Reference {
        cost: moods().map(|mood| mood.cost(request)).fold(f64::INFINITY, f64::min),
        time: moods().map(|mood| mood.time(request, 1.0)).fold(f64::INFINITY, f64::min),
    }
}

/// The order of the file, which was the best one at the beginning.
pub struct File;

impl Policy for File {
    fn order(&mut self, _: &Request, vendors: &[Vendor], _: f64) -> Vec<usize> {
        (0..vendors.len()).collect()
    }
}

/// One after the other.
pub struct RoundRobin;

impl Policy for RoundRobin {
    fn order(&mut self, request: &Request, vendors: &[Vendor], _: f64) -> Vec<usize> {
        let count = vendors.len();
        (0..count).map(|place| (request.number as usize + place) % count).collect()
    }
}

/// 70, 20 and 10 percent, the best one at the beginning first.
pub struct Static {
    pub seed: u64,
}

impl Policy for Static {
    fn order(&mut self, request: &Request, vendors: &[Vendor], _: f64) -> Vec<usize> {
        let drawn = unit(&[self.seed, request.number, 7]);
        let first = [0.7, 0.9].iter().filter(|bound| drawn >= **bound).count();
        sorted(vendors.len(), |index| if index == first { -1.0 } else { index as f64 })
    }
}

/// The cheapest first, by the prices of the moment.
pub struct LowestPrice;

impl Policy for LowestPrice {
    fn order(&mut self, request: &Request, vendors: &[Vendor], now: f64) -> Vec<usize> {
        sorted(vendors.len(), |index| vendors.get(index).map_or(0.0, |vendor| (vendor.mood)(now).cost(request)))
    }
}

/// The one whose last ten attempts were the fastest; a failed one counts as 20 s, and what is older than a minute
/// does not count.
pub struct LeastLatency {
    pub seen: Vec<VecDeque<(f64, f64)>>,
}

impl Policy for LeastLatency {
    fn order(&mut self, _: &Request, vendors: &[Vendor], now: f64) -> Vec<usize> {
        sorted(vendors.len(), |index| {
            let seen = self.seen.get(index).into_iter().flatten();
            let (sum, count) = seen
                .filter(|(at, _)| now - at < 60.0)
                .fold((0.0, 0.0), |(sum, count), (_, time)| (sum + time, count + 1.0));
            if count > 0.0 { sum / count } else { 0.0 }
        })
    }

    fn ended(&mut self, attempt: &Attempt, _: &[Vendor], now: f64) {
        let time = match attempt.fate {
            Fate::Answered { .. } => now - attempt.began,
            _ => 20.0,
        };
        if let Some(seen) = self.seen.get_mut(attempt.vendor) {
            seen.push_back((now, time));
            if seen.len() > 10 {
                seen.pop_front();
            }
        }
    }
}

fn sorted(count: usize, worse: impl Fn(usize) -> f64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by(|a, b| worse(*a).total_cmp(&worse(*b)));
    order
}
