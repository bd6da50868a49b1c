//! Decisions within one Envoy: a [`Ledger`], changed by pure sums.

use std::time::Duration;

use super::bucket::{Micros, micros};
use super::state::{ONE, State};
use super::window::Period;
use super::{Bound, Claim, Decision, Ledger, Receipt, Rules, Settlement};

/// Claims. If nothing refuses, the claim is charged; else the ledger stays as it was, unless the clock has stepped back
/// since: then it is changed so that it recovers, and needs to be stored, too.
pub fn take(rules: &Rules, ledger: &mut Ledger, now: Duration, claim: &Claim) -> Decision {
    ledger.bound(rules, micros(now));
    let before = ledger.state(micros(now));
    let excess = before.excess(rules, claim);
    if !excess.denied.is_empty() {
        return before.decision(rules, excess, Receipt { at: now, claim: *claim, charged: 0, ample: false });
    }
    let charged = ledger.charge(rules, rules.charged(&excess.observed), micros(now), claim);
    let after = ledger.state(micros(now));
    let ample = after.is_far_from(rules, claim);
    after.decision(rules, excess, Receipt { at: now, claim: *claim, charged, ample })
}

/// Charges a request that is over and never asked, as one that another vendor failed: into debt if need be, which ends at
/// one burst of a bucket.
pub fn charge(rules: &Rules, ledger: &mut Ledger, now: Duration, claim: &Claim) {
    ledger.charge(rules, rules.limited() & !Bound::Concurrent.bit(), micros(now), claim);
}

/// Exchanges what was claimed for what was used, and ends the lease. Once for each receipt: that is the caller's duty.
pub fn settle(rules: &Rules, ledger: &mut Ledger, now: Duration, receipt: &Receipt, settlement: &Settlement) {
    let (now, at, claim) = (micros(now), micros(receipt.at), &receipt.claim);
    let charged = |bound: Bound| receipt.charged & bound.bit() != 0;
    if let Some(rule) = rules.requests.filter(|_| charged(Bound::Requests)) {
        ledger.requests = rule.bound.settled(ledger.requests, now, ONE, settlement.requests);
    }
    if let Some(rule) = rules.tokens.filter(|_| charged(Bound::Tokens)) {
        ledger.tokens = rule.bound.settled(ledger.tokens, now, claim.tokens, settlement.tokens);
    }
    if charged(Bound::Concurrent) {
        ledger.held.release(now, at, claim.lease);
    }
    for (bound, period, window) in [
        (Bound::Hour, Period::Hour, &mut ledger.hour),
        (Bound::Day, Period::Day, &mut ledger.day),
        (Bound::Month, Period::Month, &mut ledger.month),
    ] {
        if charged(bound) {
            *window = window.settled(period.id(at), claim.usd, settlement.usd);
        }
    }
}

impl Ledger {
    fn state(&self, now: Micros) -> State {
        State {
            now,
            requests: self.requests,
            tokens: self.tokens,
            held: self.held.count(now),
            hour: self.hour.at(Period::Hour, now),
            day: self.day.at(Period::Day, now),
            month: self.month.at(Period::Month, now),
        }
    }

    /// Forgets what lies too far ahead. A bound that moved along with the clock would be as far away at the next claim.
    fn bound(&mut self, rules: &Rules, now: Micros) {
        for (rule, full_at) in [(&rules.requests, &mut self.requests), (&rules.tokens, &mut self.tokens)] {
            if let Some(rule) = rule {
                *full_at = rule.bound.bounded(*full_at, now);
            }
        }
        self.hour = self.hour.bounded(Period::Hour, now);
        self.day = self.day.bounded(Period::Day, now);
        self.month = self.month.bounded(Period::Month, now);
    }

    /// Charges those limits whose bits are given, and gives back those that were charged in full: what debt swallowed
    /// must not be refunded.
    fn charge(&mut self, rules: &Rules, limits: u8, now: Micros, claim: &Claim) -> u8 {
        let wanted = |bound: Bound| limits & bound.bit() != 0;
        let mut charged = limits;
        for (bound, rule, full_at, amount) in [
            (Bound::Requests, &rules.requests, &mut self.requests, ONE),
            (Bound::Tokens, &rules.tokens, &mut self.tokens, claim.tokens),
        ] {
            if let Some(rule) = rule.filter(|_| wanted(bound)) {
                let (after, whole) = rule.bound.charged(*full_at, now, amount);
                *full_at = after;
                charged &= if whole { u8::MAX } else { !bound.bit() };
            }
        }
        if wanted(Bound::Concurrent) {
            self.held.hold(now, claim.lease);
        }
        for (bound, period, window) in [
            (Bound::Hour, Period::Hour, &mut self.hour),
            (Bound::Day, Period::Day, &mut self.day),
            (Bound::Month, Period::Month, &mut self.month),
        ] {
            if wanted(bound) {
                *window = window.at(period, now).charged(claim.usd);
            }
        }
        charged
    }
}
