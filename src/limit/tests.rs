//! Decisions as a client sees them, with a clock that stands still until it is told.

use super::*;
use crate::test;

const NOW: Duration = Duration::from_secs(1_800_000_000);
const USD: u64 = 1_000_000_000;

fn rule<T>(bound: T) -> Option<Rule<T>> {
    Some(Rule { bound, mode: Mode::Enforce })
}

fn observed<T>(bound: T) -> Option<Rule<T>> {
    Some(Rule { bound, mode: Mode::Observe })
}

fn per_minute(count: u64, burst: u64) -> Bucket {
    Bucket { rate: Rate { count, per: Duration::from_secs(60) }, burst }
}

fn claim(tokens: u64, usd: u64) -> Claim {
    Claim { tokens, usd: NanoUsd(usd), lease: Duration::from_secs(600) }
}

fn everything() -> Rules {
    Rules {
        requests: rule(per_minute(60, 10)),
        tokens: rule(per_minute(6000, 1000)),
        concurrent: rule(3),
        hour: rule(NanoUsd(USD)),
        day: rule(NanoUsd(5 * USD)),
        month: rule(NanoUsd(20 * USD)),
    }
}

#[test]
fn without_rules_everything_is_admitted() {
    let mut ledger = Ledger::default();
    let decision = take(&Rules::default(), &mut ledger, NOW, &claim(u64::MAX, u64::MAX));
    assert_eq!((decision.denied.len(), decision.requests, decision.receipt.charged), (0, None, 0));
    assert_eq!(ledger, Ledger::default());
}

#[test]
fn a_claim_that_is_refused_changes_nothing_and_learns_every_reason() {
    let mut ledger = Ledger::default();
    for _ in 0..3 {
        assert_eq!(take(&everything(), &mut ledger, NOW, &claim(300, USD / 4)).denied, []);
    }
    let before = ledger;
    let decision = take(&everything(), &mut ledger, NOW, &claim(200, USD / 2));
    let waits: Vec<_> = decision.denied.iter().map(|denial| (denial.bound, denial.wait)).collect();
    assert_eq!(
        waits,
        [
            (Bound::Tokens, Wait::For(Duration::from_secs(1))),
            (Bound::Concurrent, Wait::Unknown),
            (Bound::Hour, Wait::For(Duration::from_secs(3600 - NOW.as_secs() % 3600))),
        ]
    );
    assert_eq!(decision.requests.map(|standing| standing.remaining), Some(7));
    assert_eq!(decision.receipt.charged, 0);
    assert_eq!(ledger, before);
}

#[test]
fn what_is_settled_is_what_was_used() {
    let rules = everything();
    for (tokens, usd) in [(0, 0), (1, 1), (299, USD / 5), (300, USD / 4), (301, USD / 3), (900, USD)] {
        let mut settled = Ledger::default();
        let decision = take(&rules, &mut settled, NOW, &claim(300, USD / 4));
        let used = Settlement { requests: 1, tokens, usd: NanoUsd(usd) };
        settle(&rules, &mut settled, NOW, &decision.receipt, &used);

        let mut exact = Ledger::default();
        let decision = take(&rules, &mut exact, NOW, &claim(tokens, usd));
        let used = Settlement { requests: 1, tokens, usd: NanoUsd(usd) };
        settle(&rules, &mut exact, NOW, &decision.receipt, &used);
        assert_eq!(settled, exact, "{tokens} {usd}");
    }
}

#[test]
fn a_request_that_never_went_out_leaves_no_trace() {
    let (rules, mut ledger) = (everything(), Ledger::default());
    let receipt = take(&rules, &mut ledger, NOW, &claim(300, USD / 4)).receipt;
    settle(&rules, &mut ledger, NOW, &receipt, &Settlement { requests: 0, tokens: 0, usd: NanoUsd(0) });
    let decision = take(&rules, &mut ledger, NOW, &claim(1000, USD));
    assert_eq!((decision.denied.len(), decision.requests.unwrap().remaining), (0, 9));
}

#[test]
fn an_observed_bucket_behaves_as_if_it_refused() {
    let rules = Rules { requests: observed(per_minute(60, 1)), concurrent: observed(1), ..Rules::default() };
    let mut ledger = Ledger::default();
    let first = take(&rules, &mut ledger, NOW, &claim(0, 0));
    assert_eq!((first.observed.as_slice(), first.receipt.charged, first.requests), (&[][..], 0b101, None));
    let before = ledger;
    let second = take(&rules, &mut ledger, NOW, &claim(0, 0));
    assert_eq!(second.denied, []);
    assert_eq!((second.observed, second.receipt.charged), (vec![Bound::Requests, Bound::Concurrent], 0));
    settle(&rules, &mut ledger, NOW, &second.receipt, &Settlement { requests: 0, tokens: 0, usd: NanoUsd(0) });
    assert_eq!(ledger, before);
}

#[test]
fn an_observed_budget_shows_what_is_spent() {
    let rules = Rules { day: observed(NanoUsd(USD)), ..Rules::default() };
    let mut ledger = Ledger::default();
    let seen: Vec<_> = (0..3).map(|_| take(&rules, &mut ledger, NOW, &claim(0, 2 * USD / 3)).observed.len()).collect();
    assert_eq!(seen, [0, 1, 1]);
    assert_eq!(ledger.day.spent, 3 * (2 * USD / 3));
}

#[test]
fn a_request_that_did_not_ask_goes_into_debt_and_has_no_place() {
    let rules = Rules { tokens: rule(per_minute(60, 10)), concurrent: rule(1), ..Rules::default() };
    let mut ledger = Ledger::default();
    (0..3).for_each(|_| charge(&rules, &mut ledger, NOW, &claim(10, 0)));
    let decision = take(&rules, &mut ledger, NOW, &claim(1, 0));
    assert_eq!(decision.tokens.unwrap().remaining, 0);
    let wait = Wait::For(Duration::from_secs(11));
    assert_eq!(decision.denied, [Denial { bound: Bound::Tokens, wait }], "two bursts of debt, however often");
}

#[test]
fn one_of_n_parts_is_never_nothing() {
    let part = everything().scaled_down(4);
    let requests = part.requests.unwrap().bound;
    assert_eq!((requests.rate.count, requests.rate.per.as_secs(), requests.burst), (60, 240, 2));
    assert_eq!((part.concurrent.unwrap().bound, part.day.unwrap().bound), (1, NanoUsd(5 * USD / 4)));
    assert_eq!(everything().scaled_down(1000).requests.unwrap().bound.burst, 1);
    assert_eq!(everything().scaled_down(0), everything());
}
