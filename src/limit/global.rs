//! The same decisions in Redis, for several Envoys at once: one atomic script for each subject.
//!
//! Redis's clock is the only one that counts, so gateways need not agree on the time. All rounding is done here, once;
//! the scripts add and compare whole numbers. What a script answers is how the subject stands, and the words of the
//! decision - who refused, how long to wait - are found from that by the code that finds them for a
//! [`Ledger`](super::Ledger).
//!
//! A claim is kept by its id until it is settled or its lease ends. So a claim that is sent twice is charged once, a
//! settlement that is sent twice counts once, and one that comes too late, after the lease, does not count: then the
//! claim stays charged. What was charged is kept with the claim, too. So a claim whose answer got lost can be settled
//! with any receipt that has its id; if it never arrived, nothing happens.
//!
//! Both keys of a subject have the same hash tag and hence the same place in a Redis Cluster, and both vanish when
//! nobody used the subject for as long as any of its limits looks back.

use std::time::Duration;

use super::bucket::{Micros, micros};
use super::held::lease;
use super::state::{Excess, ONE, State};
use super::window::{MOST, Period, Window};
use super::{Bucket, Claim, Decision, Mode, Receipt, Rule, Rules, Settlement};
use crate::redis::{Command, Reply, Script};
use crate::unit::NanoUsd;

/// Claims, under an id of its own. [`decision`] reads the answer.
pub fn take(subject: &str, id: &str, rules: &Rules, claim: &Claim) -> Command {
    claiming(subject, id, Asking::Yes, rules, claim)
}

/// Charges a request that is over and never asked, as one that another vendor failed: it claims, and is settled with what
/// it claimed. Nobody needs to read the answers.
pub fn charge(subject: &str, id: &str, rules: &Rules, claim: &Claim) -> [Command; 2] {
    let receipt = Receipt { at: Duration::ZERO, claim: *claim, charged: 0, ample: false };
    let settlement = Settlement { requests: ONE, tokens: claim.tokens, usd: claim.usd };
    [claiming(subject, id, Asking::No, rules, claim), settle(subject, id, rules, &receipt, &settlement)]
}

/// Exchanges what was claimed for what was used, and ends the lease. The answer is when it was, in microseconds, or 0 if
/// the claim was not there any more; nobody needs to read it.
pub fn settle(subject: &str, id: &str, rules: &Rules, receipt: &Receipt, settlement: &Settlement) -> Command {
    let (at, claim) = (micros(receipt.at), &receipt.claim);
    let bucket = |rule: &Option<Rule<Bucket>>, claimed, used| match rule {
        Some(Rule { bound, .. }) => [signed(bound.depth()), signed(bound.cost(used)) - signed(bound.cost(claimed))],
        None => [UNLIMITED, 0],
    };
    let (used, claimed) = (settlement.usd.0.min(MOST), claim.usd.0.min(MOST));
    let window = |rule: &Option<Rule<NanoUsd>>, period: Period| match rule {
        Some(_) => [signed(period.id(at)), signed(used) - signed(claimed)],
        None => [UNLIMITED, 0],
    };
    let changes = [
        bucket(&rules.requests, ONE, settlement.requests),
        bucket(&rules.tokens, claim.tokens, settlement.tokens),
        window(&rules.hour, Period::Hour),
        window(&rules.day, Period::Day),
        window(&rules.month, Period::Month),
    ];
    let numbers = std::iter::once(keep(rules, claim)).chain(changes.into_iter().flatten());
    eval(&SETTLE, subject, id, numbers)
}

/// What Redis decided. `None` if this is no answer: an error, a nil, another shape, numbers that cannot be.
pub fn decision(rules: &Rules, claim: &Claim, reply: &Reply) -> Option<Decision> {
    let Reply::Bulk(text) = reply else { return None };
    let numbers = std::str::from_utf8(text).ok()?.split_ascii_whitespace().map(str::parse);
    let numbers: Vec<i64> = numbers.collect::<Result<_, _>>().ok()?;
    let [now, at, charged, state @ ..] = <[i64; 12]>::try_from(numbers).ok()?;
    let mut state = state.iter().map(|number| u64::try_from(*number).ok().filter(|number| *number <= EXACT));
    let mut next = || state.next().flatten();
    let state = State {
        now: u64::try_from(now).ok().filter(|now| *now <= EXACT)?,
        held: next()?,
        requests: next()?,
        tokens: next()?,
        hour: Window { id: next()?, spent: next()? },
        day: Window { id: next()?, spent: next()? },
        month: Window { id: next()?, spent: next()? },
    };
    let at = Duration::from_micros(u64::try_from(at).ok().filter(|at| *at <= state.now)?);
    if charged == REFUSED {
        let excess = state.excess(rules, claim);
        let refused = !excess.denied.is_empty();
        return refused.then(|| state.decision(rules, excess, Receipt { at, claim: *claim, charged: 0, ample: false }));
    }
    let charged = u8::try_from(charged).ok().filter(|bits| bits & !rules.limited() == 0)?;
    let excess = Excess { denied: Vec::new(), observed: state.observed(rules, charged) };
    Some(state.decision(rules, excess, Receipt { at, claim: *claim, charged, ample: false }))
}

/// Whether a claim may be refused.
enum Asking {
    Yes,
    No,
}

fn claiming(subject: &str, id: &str, asking: Asking, rules: &Rules, claim: &Claim) -> Command {
    let bucket = |rule: &Option<Rule<Bucket>>, amount| {
        bound(rule, |bucket| [signed(bucket.depth()), signed(bucket.cost(amount))])
    };
    let window = |rule: &Option<Rule<NanoUsd>>| bound(rule, |limit| [signed(limit.0), signed(claim.usd.0)]);
    let bounds = [
        bucket(&rules.requests, ONE),
        bucket(&rules.tokens, claim.tokens),
        bound(&rules.concurrent, |max| [i64::from(*max), 1]),
        window(&rules.hour),
        window(&rules.day),
        window(&rules.month),
    ];
    let force = i64::from(matches!(asking, Asking::No));
    let numbers = [signed(lease(claim.lease)), keep(rules, claim), force].into_iter();
    eval(&TAKE, subject, id, numbers.chain(bounds.into_iter().flatten()))
}

/// A bound as the script has it: the limit, what is claimed, and whether it is enforced.
fn bound<T>(rule: &Option<Rule<T>>, numbers: impl FnOnce(&T) -> [i64; 2]) -> [i64; 3] {
    match rule {
        Some(Rule { bound, mode }) => {
            let [limit, claimed] = numbers(bound);
            [limit, claimed, i64::from(*mode == Mode::Enforce)]
        }
        None => [UNLIMITED, 0, 0],
    }
}

fn eval(script: &'static Script, subject: &str, id: &str, numbers: impl Iterator<Item = i64>) -> Command {
    let (used, held) = (format!("weir:{{{subject}}}"), format!("weir:{{{subject}}}:held"));
    let numbers = numbers.map(|number| number.to_string()).collect::<Vec<_>>().join(" ");
    Command::script(script, &[&used, &held], [id.to_owned(), numbers])
}

/// For how many milliseconds what is kept still matters: longer than any bucket takes to fill out of debt, than the
/// lease, and than the longest window.
fn keep(rules: &Rules, claim: &Claim) -> i64 {
    let depth = |rule: &Option<Rule<Bucket>>| rule.map(|rule| 2 * rule.bound.depth()).unwrap_or_default();
    let days = match rules {
        Rules { month: Some(_), .. } => 40,
        Rules { day: Some(_), .. } => 2,
        _ => 0,
    };
    let longest = [depth(&rules.requests), depth(&rules.tokens), 2 * lease(claim.lease), days * DAY];
    signed((longest.into_iter().max().unwrap_or_default() + AN_HOUR_OR_TWO) / 1000)
}

/// All amounts are bounded where they are made; the largest are exact in a double.
fn signed(number: u64) -> i64 {
    i64::try_from(number.min(EXACT)).unwrap_or_default()
}

static TAKE: Script = Script::new(include_str!("take.lua"));
static SETTLE: Script = Script::new(include_str!("settle.lua"));

/// Instead of a limit.
const UNLIMITED: i64 = -1;
/// Instead of what was charged.
const REFUSED: i64 = -1;
/// Up to here a double holds every whole number.
const EXACT: u64 = 1 << 53;
const DAY: Micros = 86_400_000_000;
/// Beyond what is needed: an hour's window, or a clock that is a little off.
const AN_HOUR_OR_TWO: Micros = 7_200_000_000;
