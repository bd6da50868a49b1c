//! How many requests this Envoy has in flight.
//!
//! Every chat request takes a place before its body is read and leaves it when its stream is over. Beyond
//! `limits.in_flight` there is none: better to refuse at once than to let everybody wait, and whoever is refused is told
//! to come back at a moment of its own.

use std::cell::RefCell;

use crate::flow::World;
use crate::flow::party::GATEWAY;
use crate::limit::{Claim, Receipt, Settlement};
use crate::refusal::Refusal;
use crate::unit::NanoUsd;

/// A request's place; to be left, not dropped.
#[derive(Debug)]
pub struct Place(Receipt);

/// Places that a worker has left and not given back yet. As long as the gateway is far from its bound, the next request
/// takes one of these, and nobody else needs to know.
#[derive(Debug, Default)]
pub struct Spare(RefCell<Vec<Receipt>>);

impl Spare {
    /// Gives them back.
    pub fn give_back(&self, world: &World<'_>) {
        self.0.take().into_iter().for_each(|receipt| Place(receipt).end(world));
    }
}

impl Place {
    /// Takes a place, if there is one.
    pub fn take(world: &World<'_>) -> Result<Place, Refusal> {
        if let Some(receipt) = world.spare.0.borrow_mut().pop() {
            return Ok(Place(receipt));
        }
        let claim = Claim { tokens: 0, usd: NanoUsd(0), lease: lease(world) };
        let places = &world.config.limits.in_flight;
        let decision = world.books.take(world.store, GATEWAY, places, world.now(), &claim);
        match decision.denied.is_empty() {
            true => Ok(Place(decision.receipt)),
            false => Err(Refusal::overloaded((world.random)())),
        }
    }

    /// Makes room for another.
    pub fn leave(self, world: &World<'_>) {
        let mut spare = world.spare.0.borrow_mut();
        if self.0.ample && spare.len() < MOST_SPARE {
            spare.push(self.0);
        } else {
            self.end(world);
        }
    }

    fn end(self, world: &World<'_>) {
        world.books.settle(world.store, GATEWAY, &world.config.limits.in_flight, world.now(), self.0, OVER);
    }
}

/// After how long a request is forgotten whose stream ended without a word, because its worker was torn down: the time to
/// send a body, and then as long as an answer may take, or a whole batch of them.
pub fn lease(world: &World<'_>) -> std::time::Duration {
    let routing = &world.config.routing;
    routing.total_timeout.max(routing.batch_timeout).saturating_add(SENDING)
}

/// As many as one worker has under way when the gateway is hardly busy.
const MOST_SPARE: usize = 64;
const OVER: Settlement = Settlement { requests: 1, tokens: 0, usd: NanoUsd(0) };
/// As long as Envoy waits for a request.
const SENDING: std::time::Duration = std::time::Duration::from_secs(120);
