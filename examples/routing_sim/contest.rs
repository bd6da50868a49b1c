//! All policies through all scenarios.

use crate::learned::Learned;
use crate::policy::{File, LeastLatency, LowestPrice, Oracle, Policy, RoundRobin, Static};
use crate::replay::{Outcome, replay};
use crate::scenario::{SCENARIOS, Scenario, requests};

/// The policies that are compared with the oracle, the learned one first.
pub const POLICIES: [&str; 6] =
    ["learned", "order of the file", "static weights", "round robin", "lowest price", "least latency"];

/// What the policies did in one scenario.
pub struct Round {
    pub scenario: &'static Scenario,
    pub oracle: Vec<Outcome>,
    /// In the order of [`POLICIES`].
    pub outcomes: Vec<Vec<Outcome>>,
}

impl Round {
    /// By how much the mean loss of each policy exceeds the oracle's.
    pub fn regrets(&self) -> Vec<f64> {
        self.outcomes.iter().map(|outcomes| mean(outcomes) - mean(&self.oracle)).collect()
    }

    /// Of the requests that came during the outage, but for its first two seconds, the part that a policy sent to the
    /// failed vendor first.
    pub fn misled(&self, policy: usize) -> Option<f64> {
        let (vendor, from, to) = self.scenario.outage?;
        let during = self.outcomes.get(policy)?.iter().filter(|outcome| (from + 2.0..to).contains(&outcome.at));
        let (count, misled) =
            during.fold((0, 0), |(count, misled), outcome| (count + 1, misled + usize::from(outcome.first == vendor)));
        Some(misled as f64 / f64::from(count.max(1)))
    }
}

/// Every scenario, with so many requests per second.
pub fn contest(seed: u64, per_second: f64) -> Vec<Round> {
    SCENARIOS.iter().map(|scenario| round(scenario, seed, per_second)).collect()
}

fn round(scenario: &'static Scenario, seed: u64, per_second: f64) -> Round {
    let requests = requests(seed, per_second);
    let policies: [Box<dyn Policy>; 6] = [
        Box::new(Learned::new(seed)),
        Box::new(File),
        Box::new(Static { seed }),
        Box::new(RoundRobin),
        Box::new(LowestPrice),
        Box::new(LeastLatency { seen: vec![Default::default(); scenario.vendors.len()] }),
    ];
    Round {
        scenario,
        oracle: replay(scenario, &requests, seed, &mut Oracle),
        outcomes: policies.into_iter().map(|mut policy| replay(scenario, &requests, seed, &mut *policy)).collect(),
    }
}

fn mean(outcomes: &[Outcome]) -> f64 {
    outcomes.iter().map(|outcome| outcome.loss).sum::<f64>() / outcomes.len().max(1) as f64
}

/// The mean over the rounds of the regret of each policy.
pub fn overall(rounds: &[Round]) -> Vec<f64> {
    let mut sums = vec![0.0; POLICIES.len()];
    for round in rounds {
        sums.iter_mut().zip(round.regrets()).for_each(|(sum, regret)| *sum += regret / rounds.len() as f64);
    }
    sums
}
