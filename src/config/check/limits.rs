//! `limits`, those of the gateway and those of one subject, and `budget_usd`.

use std::ops::RangeInclusive;
use std::rc::Rc;
use std::time::Duration;

use crate::config::problem::Problems;
use crate::config::{Limits, OnRedisFailure, written};
use crate::limit::{Bucket, Mode, Rule, Rules};
use crate::unit::{Bytes, NanoUsd};

/// The bounds on what clients may ask of the whole gateway.
pub(super) fn limits(written: &written::Written, problems: &mut Problems) -> Option<Limits> {
    let limits = &written.limits;
    let Bytes(body_bytes) = limits.body_bytes;
    if !(SMALLEST_BODY..=LARGEST_BODY).contains(&body_bytes) {
        let range = format!("must be between {} and {}", Bytes(SMALLEST_BODY), Bytes(LARGEST_BODY));
        problems.note("limits.body_bytes", range);
    }
    let in_flight = within("limits.in_flight", limits.in_flight, 1..=1_000_000, problems);
    let tokens = within("limits.assumed_output_tokens", limits.assumed_output_tokens, 1..=1_000_000, problems);
    let gateways = within("limits.gateways", limits.gateways, 1..=1000, problems);
    if written.redis.is_none() {
        let given = [("gateways", limits.gateways != 1), ("on_redis_failure", limits.on_redis_failure != LOCAL)];
        for (field, _) in given.iter().filter(|(_, given)| *given) {
            problems.note(format!("limits.{field}"), "means nothing without redis");
        }
    }
    let places = Rule { bound: u32::try_from(in_flight?).ok()?, mode: Mode::Enforce };
    Some(Limits {
        body_bytes,
        in_flight: Rc::new(Rules { concurrent: Some(places), ..Rules::default() }),
        assumed_output_tokens: tokens?,
        on_redis_failure: limits.on_redis_failure,
        gateways: u32::try_from(gateways?).ok()?,
    })
}

/// What one subject may use and spend.
pub(super) fn rules(
    limits: Option<&written::Rules>,
    budget: Option<&written::Budget>,
    at: &str,
    problems: &mut Problems,
) -> Option<Rc<Rules>> {
    let used = limits.map(|limits| used(limits, &format!("{at}.limits"), problems));
    let spent = budget.map(|budget| spent(budget, &format!("{at}.budget_usd"), problems));
    let Rules { hour, day, month, .. } = spent.unwrap_or(Some(Rules::default()))?;
    Some(Rc::new(Rules { hour, day, month, ..used.unwrap_or(Some(Rules::default()))? }))
}

fn used(written: &written::Rules, at: &str, problems: &mut Problems) -> Option<Rules> {
    if written.requests.is_none() && written.tokens.is_none() && written.concurrent.is_none() {
        problems.note(at, "limits nothing: name requests, tokens or concurrent");
    }
    let requests = written.requests.as_ref().map(|requests| bucket(requests, &format!("{at}.requests"), problems));
    let tokens = written.tokens.as_ref().map(|tokens| bucket(tokens, &format!("{at}.tokens"), problems));
    let concurrent = written.concurrent.as_ref().map(|concurrent| {
        let max = within(format!("{at}.concurrent"), concurrent.max, 1..=1_000_000, problems);
        Some(Rule { bound: u32::try_from(max?).ok()?, mode: concurrent.mode })
    });
    Some(Rules {
        requests: whole(requests)?,
        tokens: whole(tokens)?,
        concurrent: whole(concurrent)?,
        ..Rules::default()
    })
}

fn bucket(written: &written::Bucket, at: &str, problems: &mut Problems) -> Option<Rule<Bucket>> {
    let rate = problems.keep(format!("{at}.rate"), written.rate.ok_or(A_RATE.to_owned()));
    let count = rate.and_then(|rate| within(format!("{at}.rate"), rate.count, 1..=MOST, problems));
    let burst = written.burst.map(|burst| within(format!("{at}.burst"), burst, 1..=MOST, problems));
    let (rate, count) = (rate?, count?);
    let bucket = Bucket { rate, burst: burst.unwrap_or(Some(count))? };
    let seconds = bucket.burst.saturating_mul(rate.per.as_secs()) / count;
    if Duration::from_secs(seconds) > LONGEST_FILL {
        let days = seconds / DAY;
        problems.note(format!("{at}.burst"), format!("takes {days} days to fill at {rate}; must be at most 31"));
    }
    Some(Rule { bound: bucket, mode: written.mode })
}

fn spent(written: &written::Budget, at: &str, problems: &mut Problems) -> Option<Rules> {
    if written.hour.is_none() && written.day.is_none() && written.month.is_none() {
        problems.note(at, "limits nothing: name hour, day or month");
    }
    let mut window = |name: &str, usd: Option<f64>| {
        let bound = usd.map(|usd| problems.keep(format!("{at}.{name}"), budget(usd)));
        whole(bound.map(|bound| bound.map(|bound| Rule { bound, mode: written.mode })))
    };
    let (hour, day, month) = (window("hour", written.hour), window("day", written.day), window("month", written.month));
    Some(Rules { hour: hour?, day: day?, month: month?, ..Rules::default() })
}

fn budget(usd: f64) -> Result<NanoUsd, String> {
    let amount = NanoUsd::from_dollars(usd).filter(|amount| (NanoUsd(1)..=LARGEST_BUDGET).contains(amount));
    amount.ok_or_else(|| "must be more than 0 and at most 1000000 dollars".to_owned())
}

fn within(at: impl Into<String>, number: u64, range: RangeInclusive<u64>, problems: &mut Problems) -> Option<u64> {
    let fits = range.contains(&number).then_some(number);
    problems.keep(at, fits.ok_or_else(|| format!("must be between {} and {}", range.start(), range.end())))
}

/// What is absent is right, and what is there must be.
fn whole<T>(given: Option<Option<T>>) -> Option<Option<T>> {
    given.map_or(Some(None), |checked| checked.map(Some))
}

const LOCAL: OnRedisFailure = OnRedisFailure::Local;
/// Below this not even a short chat fits.
const SMALLEST_BODY: usize = 1 << 10;
/// Envoy holds the body for another attempt, for every request in flight.
const LARGEST_BODY: usize = 64 << 20;
/// More per day than the largest vendor answers in one.
const MOST: u64 = 1_000_000_000;
/// A million dollars.
const LARGEST_BUDGET: NanoUsd = NanoUsd(1_000_000_000_000_000);
const DAY: u64 = 86_400;
/// Longer than this is a mistake of units, or a budget.
const LONGEST_FILL: Duration = Duration::from_secs(31 * DAY);
const A_RATE: &str = "missing; for example 60/min";
