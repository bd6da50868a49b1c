//! Which vendors a request may go to, in which order.

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
    /// Plans a request: the vendors of its model in the order of the file, without those that its key may not use and
    /// those that cannot do or express it, and no more than may be tried.
    pub fn new(config: &Config, key: &Key, model: &Model, request: &Request) -> Result<Plan, Refusal> {
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
            match vendor.format.accepts(request) {
                Ok(()) => hops.push(hop.clone()),
                Err(unsupported) => refused = refused.or(Some(Refusal::unsupported(unsupported.param, &vendor.name))),
            }
        }
        hops.truncate(config.routing.attempts);
        let mut hops = hops.into_iter();
        match (hops.next(), refused) {
            (Some(first), _) => Ok(Plan { first, rest: hops.collect() }),
            (None, Some(refusal)) => Err(refusal),
            (None, None) => Err(Refusal::unserved(&model.name)),
        }
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
