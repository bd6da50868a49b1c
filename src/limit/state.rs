//! The sums of a decision, the same wherever the numbers are kept: in a [`Ledger`](super::Ledger) or in Redis.

use super::bucket::Micros;
use super::window::{Period, Window};
use super::{Bound, Bucket, Claim, Decision, Denial, Mode, Receipt, Rule, Rules, Standing, Wait};
use crate::unit::NanoUsd;

/// A subject at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct State {
    pub(super) now: Micros,
    /// When its buckets will be full.
    pub(super) requests: Micros,
    pub(super) tokens: Micros,
    /// How many requests there are at once.
    pub(super) held: u64,
    /// What was spent, as it counts now.
    pub(super) hour: Window,
    pub(super) day: Window,
    pub(super) month: Window,
}

/// The limits that a claim would exceed.
pub(super) struct Excess {
    /// Those that refuse it.
    pub(super) denied: Vec<Denial>,
    /// Those that only count it.
    pub(super) observed: Vec<Bound>,
}

impl State {
    /// What a claim would exceed.
    pub(super) fn excess(&self, rules: &Rules, claim: &Claim) -> Excess {
        let bucket = |full_at, amount| move |bucket: &Bucket| bucket.wait(full_at, self.now, amount);
        let window = |window: Window, period| move |limit: &NanoUsd| window.wait(period, self.now, *limit, claim.usd);
        let places = |max: &u32| (self.held >= u64::from(*max)).then_some(Wait::Unknown);
        let all = [
            exceeded(Bound::Requests, &rules.requests, bucket(self.requests, ONE)),
            exceeded(Bound::Tokens, &rules.tokens, bucket(self.tokens, claim.tokens)),
            exceeded(Bound::Concurrent, &rules.concurrent, places),
            exceeded(Bound::Hour, &rules.hour, window(self.hour, Period::Hour)),
            exceeded(Bound::Day, &rules.day, window(self.day, Period::Day)),
            exceeded(Bound::Month, &rules.month, window(self.month, Period::Month)),
        ];
        let (mut denied, mut observed) = (Vec::new(), Vec::new());
        for (denial, mode) in all.into_iter().flatten() {
            match mode {
                Mode::Enforce => denied.push(denial),
                Mode::Observe => observed.push(denial.bound),
            }
        }
        Excess { denied, observed }
    }

    /// Whether more than half of every limit is left, and room for many claims like this one.
    pub(super) fn is_far_from(&self, rules: &Rules, claim: &Claim) -> bool {
        let far = |used: u64, claimed: u64, limit: u64| used <= limit / 2 && claimed <= limit / MANY;
        let bucket = |rule: &Option<Rule<Bucket>>, full_at: Micros, amount| {
            let used = full_at.saturating_sub(self.now);
            rule.is_none_or(|rule| far(used, rule.bound.cost(amount), rule.bound.depth()))
        };
        let window = |rule: &Option<Rule<NanoUsd>>, window: Window| {
            rule.is_none_or(|rule| far(window.spent, claim.usd.0, rule.bound.0))
        };
        bucket(&rules.requests, self.requests, ONE)
            && bucket(&rules.tokens, self.tokens, claim.tokens)
            && rules.concurrent.is_none_or(|rule| far(self.held, 1, rule.bound.into()))
            && window(&rules.hour, self.hour)
            && window(&rules.day, self.day)
            && window(&rules.month, self.month)
    }

    /// Those observed limits that would have refused a claim, given how the subject stands after it and what of it was
    /// charged.
    pub(super) fn observed(&self, rules: &Rules, charged: u8) -> Vec<Bound> {
        let spared = |bound: Bound| charged & bound.bit() == 0;
        let beyond = |window: Window| move |limit: &NanoUsd| window.spent > limit.0;
        let all = [
            observes(Bound::Requests, &rules.requests, |_| spared(Bound::Requests)),
            observes(Bound::Tokens, &rules.tokens, |_| spared(Bound::Tokens)),
            observes(Bound::Concurrent, &rules.concurrent, |_| spared(Bound::Concurrent)),
            observes(Bound::Hour, &rules.hour, beyond(self.hour)),
            observes(Bound::Day, &rules.day, beyond(self.day)),
            observes(Bound::Month, &rules.month, beyond(self.month)),
        ];
        all.into_iter().flatten().collect()
    }

    /// A decision, given how the subject stands after it.
    pub(super) fn decision(&self, rules: &Rules, excess: Excess, receipt: Receipt) -> Decision {
        Decision {
            denied: excess.denied,
            observed: excess.observed,
            requests: standing(&rules.requests, self.requests, self.now),
            tokens: standing(&rules.tokens, self.tokens, self.now),
            receipt,
        }
    }
}

impl Rules {
    /// The bits of all that is limited.
    pub(super) fn limited(&self) -> u8 {
        let present = [
            (Bound::Requests, self.requests.is_some()),
            (Bound::Tokens, self.tokens.is_some()),
            (Bound::Concurrent, self.concurrent.is_some()),
            (Bound::Hour, self.hour.is_some()),
            (Bound::Day, self.day.is_some()),
            (Bound::Month, self.month.is_some()),
        ];
        present.iter().filter(|(_, limited)| *limited).map(|(bound, _)| bound.bit()).sum()
    }

    /// The bits of what is charged for a claim that is admitted although some observed limits would have refused it.
    /// Money is charged all the same: a budget that is only observed shows what was really spent.
    pub(super) fn charged(&self, observed: &[Bound]) -> u8 {
        let spared = observed.iter().filter(|bound| !bound.is_budget()).map(Bound::bit).sum::<u8>();
        self.limited() & !spared
    }
}

impl Bound {
    /// Its bit in [`Receipt::charged`].
    pub(super) fn bit(&self) -> u8 {
        match self {
            Bound::Requests => 1,
            Bound::Tokens => 2,
            Bound::Concurrent => 4,
            Bound::Hour => 8,
            Bound::Day => 16,
            Bound::Month => 32,
        }
    }

    fn is_budget(&self) -> bool {
        matches!(self, Bound::Hour | Bound::Day | Bound::Month)
    }
}

fn exceeded<T>(bound: Bound, rule: &Option<Rule<T>>, wait: impl FnOnce(&T) -> Option<Wait>) -> Option<(Denial, Mode)> {
    let rule = rule.as_ref()?;
    wait(&rule.bound).map(|wait| (Denial { bound, wait }, rule.mode))
}

fn observes<T>(bound: Bound, rule: &Option<Rule<T>>, would_refuse: impl FnOnce(&T) -> bool) -> Option<Bound> {
    let rule = rule.as_ref().filter(|rule| rule.mode == Mode::Observe)?;
    would_refuse(&rule.bound).then_some(bound)
}

fn standing(rule: &Option<Rule<Bucket>>, full_at: Micros, now: Micros) -> Option<Standing> {
    let rule = rule.as_ref().filter(|rule| rule.mode == Mode::Enforce)?;
    Some(rule.bound.standing(full_at, now))
}

/// Of claims that end in a moment, on all workers, hardly more.
const MANY: u64 = 64;

/// Every claim is one request.
pub(super) const ONE: u64 = 1;
