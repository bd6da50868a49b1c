//! One policy through one scenario, in virtual time.

use std::collections::BTreeMap;

use weir::route::score::FAILURE;

use crate::policy::{Attempt, Policy, Reference, reference};
use crate::scenario::Scenario;
use crate::vendor::{Fate, Request, Vendor};

/// What became of a request.
#[derive(Debug, Clone, Copy)]
pub struct Outcome {
    /// Seconds since the scenario began.
    pub at: f64,
    /// The vendor that was tried first.
    pub first: usize,
    /// What it cost, in the cheapest that could be had, how long it took, in the fastest, and [`FAILURE`] for each failed attempt;
    /// [`UNANSWERED`] on top if all failed.
    pub loss: f64,
}

/// As bad as three failed attempts once more.
const UNANSWERED: f64 = 3.0 * FAILURE;
/// How many attempts a request may take.
const ATTEMPTS: usize = 3;

/// A request under way.
struct Open {
    request: Request,
    reference: Reference,
    order: Vec<usize>,
    failed: usize,
}

enum Step {
    Arrive(Request),
    End(Attempt),
}

/// The outcome of each request, in the order of the requests.
pub fn replay(scenario: &Scenario, requests: &[Request], seed: u64, policy: &mut dyn Policy) -> Vec<Outcome> {
    let mut world = World {
        seed,
        vendors: scenario.vendors.iter().map(|mood| Vendor::new(*mood)).collect(),
        steps: BTreeMap::new(),
        open: BTreeMap::new(),
        outcomes: BTreeMap::new(),
    };
    requests.iter().for_each(|request| world.later(request.at, Step::Arrive(*request)));
    while let Some(((nanos, _), step)) = world.steps.pop_first() {
        let now = nanos as f64 / 1e9;
        match step {
            Step::Arrive(request) => world.arrive(request, policy, now),
            Step::End(attempt) => world.end(&attempt, policy, now),
        }
    }
    world.outcomes.into_values().collect()
}

struct World {
    seed: u64,
    vendors: Vec<Vendor>,
    steps: BTreeMap<(u64, usize), Step>,
    open: BTreeMap<u64, Open>,
    outcomes: BTreeMap<u64, Outcome>,
}

impl World {
    fn later(&mut self, at: f64, step: Step) {
        let mut key = ((at * 1e9) as u64, 0);
        while self.steps.contains_key(&key) {
            key.1 += 1;
        }
        self.steps.insert(key, step);
    }

    fn arrive(&mut self, request: Request, policy: &mut dyn Policy, now: f64) {
        let reference = reference(&request, &self.vendors, now);
        let order = policy.order(&request, &self.vendors, now);
        let first = order.first().copied().unwrap_or_default();
        self.outcomes.insert(request.number, Outcome { at: now, first, loss: 0.0 });
        self.begin(Open { request, reference, order, failed: 0 }, policy, now);
    }

    fn begin(&mut self, open: Open, policy: &mut dyn Policy, now: f64) {
        let Some(vendor) = open.order.get(open.failed).copied().filter(|_| open.failed < ATTEMPTS) else {
            return self.close(&open, UNANSWERED, now);
        };
        policy.began(vendor, &open.request, now);
        let Some(model) = self.vendors.get_mut(vendor) else { return };
        let (fate, after) = model.begin(&open.request, now, self.seed, vendor);
        model.in_flight += 1.0;
        self.later(now + after, Step::End(Attempt { request: open.request, vendor, began: now, fate }));
        self.open.insert(open.request.number, open);
    }

    fn end(&mut self, attempt: &Attempt, policy: &mut dyn Policy, now: f64) {
        if let Some(model) = self.vendors.get_mut(attempt.vendor) {
            model.in_flight -= 1.0;
        }
        policy.ended(attempt, &self.vendors, now);
        let Some(open) = self.open.remove(&attempt.request.number) else { return };
        match attempt.fate {
            Fate::Answered { cost, .. } => self.close(&open, cost / open.reference.cost, now),
            _ => self.begin(Open { failed: open.failed + 1, ..open }, policy, now),
        }
    }

    fn close(&mut self, open: &Open, paid: f64, now: f64) {
        if let Some(outcome) = self.outcomes.get_mut(&open.request.number) {
            outcome.loss = paid + (now - open.request.at) / open.reference.time + FAILURE * open.failed as f64;
        }
    }
}
