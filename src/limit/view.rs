//! What a ledger says to people: how much of each limit is used, and when nothing of it is any more.

use std::time::Duration;

use super::bucket::{Micros, micros};
use super::window::{Period, Window};
use super::{Bound, Bucket, Ledger, Mode, Rule, Rules};
use crate::unit::NanoUsd;

/// How one limit of a subject stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Use {
    /// Which limit.
    pub bound: Bound,
    /// What it does.
    pub mode: Mode,
    /// How much is used: of a bucket's burst, of the places, of the billionths of a dollar.
    pub used: u64,
    /// Of how much.
    pub of: u64,
    /// When nothing of it is used any more: a bucket is full, a budget's window ends. `None` if nobody knows.
    pub resets: Option<Duration>,
}

impl Rules {
    /// How each of these limits stands.
    pub fn uses(&self, ledger: &Ledger, now: Duration) -> Vec<Use> {
        let (at, now) = (now, micros(now));
        let bucket = |bound: Bound, rule: &Option<Rule<Bucket>>, full_at: Micros| {
            rule.map(|Rule { bound: bucket, mode }| {
                let standing = bucket.standing(full_at, now);
                let used = standing.limit.saturating_sub(standing.remaining);
                Use { bound, mode, used, of: standing.limit, resets: Some(at.saturating_add(standing.reset)) }
            })
        };
        let window = |bound: Bound, rule: &Option<Rule<NanoUsd>>, period: Period, window: Window| {
            rule.map(|Rule { bound: NanoUsd(of), mode }| {
                let window = window.at(period, now);
                let resets = Some(Duration::from_micros(period.end(window.id)));
                Use { bound, mode, used: window.spent, of, resets }
            })
        };
        let places = self.concurrent.map(|Rule { bound: of, mode }| {
            let used = ledger.held.count(now);
            Use { bound: Bound::Concurrent, mode, used, of: of.into(), resets: None }
        });
        let all = [
            bucket(Bound::Requests, &self.requests, ledger.requests),
            bucket(Bound::Tokens, &self.tokens, ledger.tokens),
            places,
            window(Bound::Hour, &self.hour, Period::Hour, ledger.hour),
            window(Bound::Day, &self.day, Period::Day, ledger.day),
            window(Bound::Month, &self.month, Period::Month, ledger.month),
        ];
        all.into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limit::{Claim, take};
    use crate::test;
    use crate::unit::Rate;

    #[test]
    fn says_what_is_used_of_each_limit_and_until_when() {
        let rate = Rate { count: 60, per: Duration::from_secs(60) };
        let enforced = |bound| Some(Rule { bound, mode: Mode::Enforce });
        let rules = Rules {
            requests: enforced(Bucket { rate, burst: 10 }),
            tokens: enforced(Bucket { rate, burst: 1000 }),
            concurrent: Some(Rule { bound: 3, mode: Mode::Observe }),
            day: Some(Rule { bound: NanoUsd(5_000_000_000), mode: Mode::Observe }),
            ..Rules::default()
        };
        let now = Duration::from_secs(86_400 * 20_000 + 3600);
        let claim = Claim { tokens: 100, usd: NanoUsd(7), lease: Duration::from_secs(60) };
        let mut ledger = Ledger::default();
        take(&rules, &mut ledger, now, &claim);
        take(&rules, &mut ledger, now, &claim);
        let seen: Vec<_> = rules.uses(&ledger, now).iter().map(|it| (it.bound, it.used, it.of, it.resets)).collect();
        let after = |seconds| Some(now + Duration::from_secs(seconds));
        assert_eq!(
            seen,
            [
                (Bound::Requests, 2, 10, after(2)),
                (Bound::Tokens, 200, 1000, after(200)),
                (Bound::Concurrent, 2, 3, None),
                (Bound::Day, 14, 5_000_000_000, after(82_800)),
            ]
        );
        let later = rules.uses(&ledger, now + Duration::from_secs(86_400));
        assert!(later.iter().all(|it| it.used == 0), "{later:?}");
    }
}
