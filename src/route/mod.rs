//! Which vendors a request may go to, in which order.
//!
//! The file says who may serve a model: that is the [`Plan`]. Which of them does best is learned from what happens. Of
//! each model at each vendor there is a [`Record`], shared by the workers, that every attempt changes twice, when it
//! begins and when it ends: how often it answers and how fast, how many requests it has, how much room it says it has,
//! and whether its breaker is open. [`score`] makes a number of each candidate's record and price, and [`choose`] an
//! order of the numbers. `docs/routing.md` has the formula and what it gains.
//!
//! Nothing here reads a clock, a random source or a configuration. Both functions are sums.

pub mod breaker;
mod choice;
mod decay;
mod event;
pub mod headroom;
pub mod record;
pub mod score;

#[cfg(all(test, not(target_family = "wasm")))]
mod laws;
#[cfg(test)]
mod tests;

pub use breaker::{Phase, Why};
pub use choice::{Choice, Ranked, Reason, choose};
pub use event::{Answered, Ending, Event, Fault};
pub use headroom::{Headroom, Quota};
pub use record::{Admission, Bytes, Record, View, expected_tokens};
pub use score::{Ask, Candidate, Factors, MOST_CANDIDATES, Weights, score};

use crate::chat::Request;
use crate::config::{Config, Hop, Key, Model};
use crate::refusal::Refusal;

/// The hops of one request, at least one: the first is tried first, each next one when those before it failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    first: Hop,
    rest: Vec<Hop>,
}

impl Plan {
    /// Who may serve a request: the vendors of its model in the order of the file, without those that its key may not
    /// use and those that cannot express it; at least one.
    pub fn candidates(config: &Config, key: &Key, model: &Model, request: &Request) -> Result<Vec<Hop>, Refusal> {
        let mut hops = Vec::new();
        let mut refused = None;
        for hop in &model.serve {
            if !key.vendors.covers(hop.vendor) {
                refused = refused.or_else(|| Some(Refusal::forbidden_vendors(&model.name)));
                continue;
            }
            let Some(vendor) = config.vendors.get(hop.vendor) else { continue };
            if !vendor.format.offers(request.task()) {
                refused = refused.or_else(|| Some(Refusal::not_offered(request.task().name(), &vendor.name)));
                continue;
            }
            let format = vendor.format;
            match format.accepts(request).and_then(|()| format.suits(request, &hop.model)) {
                Ok(()) => hops.push(hop.clone()),
                Err(unsupported) => refused = refused.or(Some(Refusal::unsupported(unsupported.param, &vendor.name))),
            }
        }
        hops.truncate(MOST_CANDIDATES);
        match refused {
            _ if !hops.is_empty() => Ok(hops),
            Some(refusal) => Err(refusal),
            None => Err(Refusal::unserved(&model.name)),
        }
    }

    /// A plan of these hops, in this order, and no more than may be tried; none of none.
    pub fn of(mut hops: Vec<Hop>, attempts: usize) -> Option<Plan> {
        hops.truncate(attempts);
        let mut hops = hops.into_iter();
        Some(Plan { first: hops.next()?, rest: hops.collect() })
    }

    /// The same plan without its first hops, so many of them; as it is, if that left nothing.
    pub fn without(self, hops: usize) -> Plan {
        let mut rest = self.rest;
        match hops.checked_sub(1) {
            Some(skipped) if skipped < rest.len() => {
                let mut left = rest.drain(skipped..);
                let first = left.next().unwrap_or(self.first);
                Plan { first, rest: left.collect() }
            }
            _ => Plan { first: self.first, rest },
        }
    }

    /// All hops, in order.
    pub fn hops(&self) -> impl Iterator<Item = &Hop> {
        std::iter::once(&self.first).chain(&self.rest)
    }

    /// The hop of the first attempt.
    pub fn first(&self) -> &Hop {
        &self.first
    }

    /// The hop of an attempt, counted from 0.
    pub fn hop(&self, attempt: usize) -> Option<&Hop> {
        match attempt.checked_sub(1) {
            None => Some(&self.first),
            Some(index) => self.rest.get(index),
        }
    }

    /// How often Envoy may try again after a reset or silence, which the filter cannot mark: once for every further
    /// vendor. `None` for a lone vendor: it may have done its work, so only another one is worth paying for again.
    pub fn retries(&self) -> Option<usize> {
        (!self.rest.is_empty()).then_some(self.rest.len())
    }
}
