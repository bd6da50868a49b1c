//! What a client is told when a limit refuses its request.

use std::time::Duration;

use crate::account::dollars;
use crate::flow::party::Party;
use crate::limit::{Bound, Bucket, Denial, Rule, Wait};
use crate::refusal::{Exhausted, Refusal, jitter};
use crate::unit::{NanoUsd, go_duration};

/// The refusal for a denial; `draw` is a random number.
pub fn refusal(party: &Party, denial: &Denial, draw: u64) -> Refusal {
    let exhausted = match denial.bound {
        Bound::Requests | Bound::Concurrent => Exhausted::Requests,
        Bound::Tokens => Exhausted::Tokens,
        Bound::Hour | Bound::Day | Bound::Month => Exhausted::Budget,
    };
    let (wait, hint) = match denial.wait {
        Wait::For(wait) => (Some(wait), format!("; try again in {}", go_duration(wait))),
        Wait::Unknown => (Some(jitter(A_MOMENT, draw)), "; try again when one of them has ended".to_owned()),
        Wait::Never => (None, String::new()),
    };
    let message = format!("the {} {:?} {}{hint}", party.role.word(), party.name(), reached(party, denial));
    Refusal::limited(exhausted, message, wait)
}

fn reached(party: &Party, denial: &Denial) -> String {
    let rules = &party.rules;
    match denial.bound {
        Bound::Requests => bucket("requests", rules.requests, denial.wait),
        Bound::Tokens => bucket("tokens", rules.tokens, denial.wait),
        Bound::Concurrent => {
            let most = rules.concurrent.map_or(0, |rule| rule.bound);
            format!("has reached its limit of {most} requests at once")
        }
        Bound::Hour => budget("hour", rules.hour),
        Bound::Day => budget("day", rules.day),
        Bound::Month => budget("month", rules.month),
    }
}

fn bucket(what: &str, rule: Option<Rule<Bucket>>, wait: Wait) -> String {
    match (rule.map(|rule| rule.bound), wait) {
        (Some(Bucket { burst, .. }), Wait::Never) => {
            format!("may never use more than {burst} {what} at once, and this request might: set a smaller max_tokens")
        }
        (Some(Bucket { rate, burst }), _) => format!("has reached its limit of {rate} for {what} (burst {burst})"),
        (None, _) => format!("has reached its limit for {what}"),
    }
}

fn budget(window: &str, rule: Option<Rule<NanoUsd>>) -> String {
    let budget = rule.map_or(NanoUsd(0), |rule| rule.bound);
    format!("has not enough left of its budget of {} USD per {window}", dollars(budget))
}

/// About as long as a short answer takes.
const A_MOMENT: Duration = Duration::from_millis(500);
