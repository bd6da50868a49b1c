//! What holds whatever happens: laws of the limits, tried on random histories in virtual time.

#![allow(clippy::unwrap_used, reason = "clippy takes the functions that tests share for traffic's")]

use proptest::prelude::*;

use super::bucket::{Micros, micros};
use super::*;

const START: Duration = Duration::from_secs(1_800_000_000);

/// Something that happens to a subject.
#[derive(Debug, Clone)]
enum Event {
    Pass(Duration),
    Take(Claim),
    Charge(Claim),
    /// Settles one of the receipts that are open.
    Settle(usize, Settlement),
}

fn claims(most: u64) -> impl Strategy<Value = Claim> {
    let lease = Duration::from_secs(600);
    (0..=most, 0..=most).prop_map(move |(tokens, usd)| Claim { tokens, usd: NanoUsd(usd), lease })
}

fn settlements(most: u64) -> impl Strategy<Value = Settlement> {
    (0..=1_u64, 0..=most, 0..=most).prop_map(|(requests, tokens, usd)| Settlement {
        requests,
        tokens,
        usd: NanoUsd(usd),
    })
}

fn events() -> impl Strategy<Value = Event> {
    prop_oneof![
        2 => (0..20_000_000_u64).prop_map(|time| Event::Pass(Duration::from_micros(time))),
        6 => claims(150).prop_map(Event::Take),
        1 => claims(150).prop_map(Event::Charge),
        3 => (0..32_usize, settlements(200)).prop_map(|(which, used)| Event::Settle(which, used)),
    ]
}

fn buckets() -> impl Strategy<Value = Bucket> {
    let seconds = prop_oneof![Just(1_u64), Just(60), Just(3600), Just(86_400)];
    let counts = prop_oneof![1..100_u64, 1..1_000_000_000_u64];
    (counts, seconds, 1..300_u64)
        .prop_map(|(count, seconds, burst)| Bucket { rate: Rate { count, per: Duration::from_secs(seconds) }, burst })
}

fn enforced<T>(bound: T) -> Option<Rule<T>> {
    Some(Rule { bound, mode: Mode::Enforce })
}

prop_compose! {
    fn rules()(
        requests in buckets(),
        tokens in buckets(),
        concurrent in 1..20_u32,
        budgets in [1..5000_u64, 1..5000_u64, 1..5000_u64],
    ) -> Rules {
        let [hour, day, month] = budgets.map(|usd| enforced(NanoUsd(usd)));
        Rules {
            requests: enforced(requests), tokens: enforced(tokens), concurrent: enforced(concurrent), hour, day, month,
        }
    }
}

/// A history of one subject.
struct History {
    rules: Rules,
    ledger: Ledger,
    now: Duration,
    open: Vec<Receipt>,
    decisions: Vec<Decision>,
}

impl History {
    fn new(rules: Rules) -> History {
        History { rules, ledger: Ledger::default(), now: START, open: Vec::new(), decisions: Vec::new() }
    }

    fn happen(&mut self, event: &Event) {
        match event {
            Event::Pass(time) => self.now += *time,
            Event::Take(claim) => {
                let decision = take(&self.rules, &mut self.ledger, self.now, claim);
                self.open.extend(decision.denied.is_empty().then_some(decision.receipt));
                self.decisions.push(decision);
            }
            Event::Charge(claim) => charge(&self.rules, &mut self.ledger, self.now, claim),
            Event::Settle(which, used) if !self.open.is_empty() => {
                let receipt = self.open.swap_remove(which % self.open.len());
                settle(&self.rules, &mut self.ledger, self.now, &receipt, used);
            }
            Event::Settle(..) => {}
        }
    }

    fn standing(&mut self) -> Standing {
        let tokens = self.rules.tokens.unwrap().bound;
        tokens.standing(self.ledger.tokens, micros(self.now))
    }
}

/// What a bucket makes in a time, rounded up, and a microsecond's worth for the rounding.
fn refill(bucket: &Bucket, time: Micros) -> u128 {
    let made = u128::from(time + 1) * u128::from(bucket.rate.count);
    made.div_ceil(bucket.rate.per.as_micros())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_remains_is_within_the_burst_and_debt_within_two(rules in rules(), events in prop::collection::vec(events(), 0..60)) {
        let mut history = History::new(rules);
        for event in &events {
            history.happen(event);
            let standing = history.standing();
            prop_assert!(standing.remaining <= standing.limit);
            let depth = history.rules.tokens.unwrap().bound.depth();
            prop_assert!(micros(standing.reset) <= 2 * depth);
        }
    }

    #[test]
    fn time_only_fills(rules in rules(), events in prop::collection::vec(events(), 0..40), times in prop::collection::vec(0..10_000_000_u64, 1..20)) {
        let mut history = History::new(rules);
        events.iter().for_each(|event| history.happen(event));
        let mut before = history.standing();
        for time in times {
            history.now += Duration::from_micros(time);
            let after = history.standing();
            prop_assert!(after.remaining >= before.remaining && after.reset <= before.reset);
            before = after;
        }
    }

    #[test]
    fn between_any_two_moments_no_more_is_admitted_than_a_burst_and_the_refill(
        bucket in buckets(),
        claims in prop::collection::vec((0..400_u64, 0..2_000_000_u64), 1..80),
    ) {
        let rules = Rules { tokens: enforced(bucket), ..Rules::default() };
        let (mut ledger, mut now, mut admitted) = (Ledger::default(), START, Vec::new());
        for (tokens, pause) in claims {
            now += Duration::from_micros(pause);
            let claim = Claim { tokens, usd: NanoUsd(0), lease: Duration::from_secs(1) };
            if take(&rules, &mut ledger, now, &claim).denied.is_empty() {
                admitted.push((micros(now), tokens));
            }
        }
        for (i, (first, _)) in admitted.iter().enumerate() {
            let mut sum = 0;
            for (last, tokens) in &admitted[i..] {
                sum += u128::from(*tokens);
                prop_assert!(sum <= u128::from(bucket.burst) + refill(&bucket, last - first));
            }
        }
    }

    #[test]
    fn what_was_used_on_the_whole_is_at_most_a_burst_and_the_refill(
        bucket in buckets(),
        events in prop::collection::vec((0..400_u64, 0..=100_u64, 0..2_000_000_u64, 0..8_usize), 1..80),
    ) {
        // Answers are never longer than claimed, and come at any time after.
        let rules = Rules { tokens: enforced(bucket), ..Rules::default() };
        let (mut ledger, mut now, mut open, mut used) = (Ledger::default(), START, Vec::new(), 0);
        for (tokens, percent, pause, settled) in events {
            now += Duration::from_micros(pause);
            let claim = Claim { tokens, usd: NanoUsd(0), lease: Duration::from_secs(1) };
            let decision = take(&rules, &mut ledger, now, &claim);
            if decision.denied.is_empty() {
                used += u128::from(tokens * percent / 100);
                open.push((decision.receipt, tokens * percent / 100));
            }
            if settled < open.len() {
                let (receipt, tokens) = open.swap_remove(settled);
                settle(&rules, &mut ledger, now, &receipt, &Settlement { requests: 1, tokens, usd: NanoUsd(0) });
            }
            prop_assert!(used <= u128::from(bucket.burst) + refill(&bucket, micros(now - START)));
        }
    }

    #[test]
    fn settling_leaves_what_was_used(rules in rules(), events in prop::collection::vec(events(), 0..8), claim in claims(100), used in settlements(100)) {
        let mut history = History::new(rules);
        events.iter().for_each(|event| history.happen(event));
        let (rules, now) = (history.rules, history.now);
        let (mut settled, mut exact) = (history.ledger, history.ledger);
        let decision = take(&rules, &mut settled, now, &claim);
        let same = Claim { tokens: used.tokens, usd: used.usd, ..claim };
        let at_once = take(&rules, &mut exact, now, &same);
        if !decision.denied.is_empty() || !at_once.denied.is_empty() {
            return Ok(());
        }
        settle(&rules, &mut settled, now, &decision.receipt, &used);
        settle(&rules, &mut exact, now, &at_once.receipt, &used);
        let (bucket, now) = (rules.tokens.unwrap().bound, micros(now));
        prop_assert_eq!(bucket.standing(settled.tokens, now), bucket.standing(exact.tokens, now));
        prop_assert_eq!((settled.hour, settled.day, settled.month), (exact.hour, exact.day, exact.month));
        prop_assert_eq!(settled.held.count(now), exact.held.count(now));
    }

    #[test]
    fn a_refused_claim_changes_nothing_and_fits_when_it_was_told(rules in rules(), events in prop::collection::vec(events(), 0..40), claim in claims(300)) {
        let mut history = History::new(rules);
        events.iter().for_each(|event| history.happen(event));
        let before = history.ledger;
        let decision = take(&history.rules, &mut history.ledger, history.now, &claim);
        if decision.denied.is_empty() {
            return Ok(());
        }
        prop_assert_eq!(history.ledger, before);
        for denial in decision.denied {
            if let Wait::For(wait) = denial.wait {
                let mut later = before;
                let still = take(&history.rules, &mut later, history.now + wait, &claim).denied;
                prop_assert!(still.iter().all(|still| still.bound != denial.bound), "{:?} {:?}", denial, still);
                let mut sooner = before;
                let sooner = take(&history.rules, &mut sooner, history.now + wait - Duration::from_micros(1), &claim);
                prop_assert!(sooner.denied.iter().any(|still| still.bound == denial.bound), "{:?}", denial);
            }
        }
    }

    #[test]
    fn a_budget_is_exceeded_by_settlements_alone(rules in rules(), events in prop::collection::vec(events(), 0..60)) {
        let mut history = History::new(rules);
        for event in &events {
            let before = history.ledger;
            history.happen(event);
            let spent = |ledger: &Ledger| [ledger.hour.spent, ledger.day.spent, ledger.month.spent];
            let limits = [history.rules.hour, history.rules.day, history.rules.month].map(|rule| rule.unwrap().bound.0);
            for ((after, before), limit) in spent(&history.ledger).into_iter().zip(spent(&before)).zip(limits) {
                prop_assert!(after <= limit.max(before) || matches!(event, Event::Settle(..) | Event::Charge(_)));
            }
        }
    }

    #[test]
    fn there_are_never_more_at_once_than_allowed_and_all_places_become_free(
        max in 1..20_u32,
        events in prop::collection::vec(events(), 0..120),
    ) {
        let mut history = History::new(Rules { concurrent: enforced(max), ..Rules::default() });
        for event in events.iter().filter(|event| !matches!(event, Event::Charge(_))) {
            history.happen(event);
            let held = history.ledger.held.count(micros(history.now));
            let running = history.open.iter().filter(|receipt| receipt.at + receipt.claim.lease > history.now);
            prop_assert!(held <= u64::from(max) && held >= running.count() as u64);
        }
        prop_assert_eq!(history.ledger.held.count(micros(history.now + Duration::from_secs(751))), 0);
        while !history.open.is_empty() {
            history.happen(&Event::Settle(0, Settlement { requests: 1, tokens: 0, usd: NanoUsd(0) }));
        }
        let expired_unsettled = history.ledger.held.count(micros(history.now));
        prop_assert_eq!(expired_unsettled, 0);
    }

    #[test]
    fn a_clock_that_steps_back_makes_nobody_richer_and_locks_nobody_for_long(
        rules in rules(),
        events in prop::collection::vec(events(), 0..40),
        back in prop_oneof![0..10_000_000_u64, 0..1_000_000_000_000_000_u64],
        claim in claims(300),
    ) {
        let mut history = History::new(rules);
        events.iter().for_each(|event| history.happen(event));
        let before = history.standing();
        let spent = |ledger: &Ledger, now| {
            use super::window::Period;
            [ledger.hour.at(Period::Hour, now), ledger.day.at(Period::Day, now), ledger.month.at(Period::Month, now)]
                .map(|window| window.spent)
        };
        let spent_before = spent(&history.ledger, micros(history.now));
        history.now -= Duration::from_micros(back);
        prop_assert!(history.standing().remaining <= before.remaining);
        let spent_after = spent(&history.ledger, micros(history.now));
        prop_assert!(spent_before.iter().zip(spent_after).all(|(before, after)| *before <= after));
        // A claim, even one that is refused, is when it begins to recover.
        history.happen(&Event::Take(claim));
        let depth = history.rules.tokens.unwrap().bound.depth();
        let (ledger, then) = (history.ledger, history.now);
        history.now += Duration::from_micros(2 * depth);
        prop_assert_eq!(history.standing().remaining, history.standing().limit);
        prop_assert_eq!(spent(&ledger, micros(then + Duration::from_secs(62 * 86_400))), [0; 3]);
    }

    #[test]
    fn any_record_is_a_ledger(record in prop::collection::vec(any::<u8>(), 0..200), rules in rules(), events in prop::collection::vec(events(), 0..20)) {
        let mut versioned = record.clone();
        versioned.resize(145, 255);
        versioned[0] = 1;
        for record in [record, versioned] {
            let mut history = History::new(rules.clone());
            history.ledger = Ledger::parse(Some(&record));
            events.iter().for_each(|event| history.happen(event));
            let standing = history.standing();
            prop_assert!(standing.remaining <= standing.limit);
            prop_assert!(micros(standing.reset) <= 2 * history.rules.tokens.unwrap().bound.depth());
        }
    }
}
