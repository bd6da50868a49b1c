//! Limits: how much one subject - a key, a tenant, a model, a vendor - may use.
//!
//! A request claims before it goes out, and what it really used is settled after it came back. Four things can be
//! limited, each for itself, and a request goes out only if all of them agree; one that is refused uses nothing.
//!
//! - *Requests over time* and *tokens over time*. Each is a bucket that fills at a steady rate and holds a burst: at
//!   60/min with a burst of 10, ten requests may come at once and then one every second. Who is refused is told exactly
//!   how long to wait. A request claims the tokens of its prompt, estimated, and the longest answer it may get; when the
//!   answer was shorter the rest is given back, and when the estimate was too low the difference is charged, so that a
//!   bucket can be in debt, but by no more than one burst. The promise over any stretch of time is: what was claimed
//!   less what was given back is at most one burst and what the rate fills in that time.
//! - *Requests at once*. A request holds its place until it ends. The places of a gateway that crashed become free by
//!   themselves when their leases end.
//! - *Money*, per hour, day and month of the calendar in UTC. A request claims what its tokens cost at the dearest vendor
//!   it may go to. So a budget is never exceeded by requests that are let through; it can be by a request that turned
//!   out dearer than estimated, and by one that went to another vendor when the first had failed.
//!
//! A limit can be *observed* instead of enforced, to see whom it would refuse before it does. A bucket that is observed
//! behaves as if it refused, so what would be refused is not charged; money is always charged, because it is spent.
//!
//! Clocks step back, and records can be written by somebody else. No number is trusted to be sensible: an instant too
//! far ahead counts as the deepest debt, a month that has not begun counts as the next one. A wrong clock can
//! make a limit stricter for as long as two bursts or one window take, but it makes nobody richer.
//!
//! The same sums run in two places. Within one Envoy they change a [`Ledger`], a small record that its workers share.
//! For several Envoys they run in Redis, where [`global`] has them as a script. When Redis is absent each
//! Envoy goes on by itself with its part of every limit: [`Rules::scaled_down`].

mod bucket;
mod doubt;
pub mod global;
mod held;
mod ledger;
mod local;
mod state;
mod view;
mod window;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use ledger::Ledger;
pub use local::{charge, settle, take};
pub use view::Use;

use crate::unit::{NanoUsd, Rate};

/// All that is limited for one subject; a default has no limit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    /// Requests over time.
    pub requests: Option<Rule<Bucket>>,
    /// Tokens over time, of prompt and answer together.
    pub tokens: Option<Rule<Bucket>>,
    /// Requests at once.
    pub concurrent: Option<Rule<u32>>,
    /// Dollars per hour of the clock, in UTC like the two below.
    pub hour: Option<Rule<NanoUsd>>,
    /// Dollars per day.
    pub day: Option<Rule<NanoUsd>>,
    /// Dollars per month.
    pub month: Option<Rule<NanoUsd>>,
}

impl Rules {
    /// Whether nothing is limited.
    pub fn is_empty(&self) -> bool {
        *self == Rules::default()
    }

    /// One of `n` equal parts of these: a slower rate, a smaller burst, fewer at once, less money. There is always room
    /// for one request.
    pub fn scaled_down(&self, n: u32) -> Rules {
        let n = n.max(1);
        let bucket = |bucket: Bucket| Bucket {
            rate: Rate { per: bucket.rate.per.saturating_mul(n), ..bucket.rate },
            burst: (bucket.burst / u64::from(n)).max(1),
        };
        let usd = |NanoUsd(usd): NanoUsd| NanoUsd(usd / u64::from(n));
        Rules {
            requests: self.requests.map(|rule| rule.map(bucket)),
            tokens: self.tokens.map(|rule| rule.map(bucket)),
            concurrent: self.concurrent.map(|rule| rule.map(|max| (max / n).max(1))),
            hour: self.hour.map(|rule| rule.map(usd)),
            day: self.day.map(|rule| rule.map(usd)),
            month: self.month.map(|rule| rule.map(usd)),
        }
    }
}

/// A bound, and what happens at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule<T> {
    /// How much.
    pub bound: T,
    /// Whether it refuses.
    pub mode: Mode,
}

impl<T> Rule<T> {
    fn map(self, change: impl FnOnce(T) -> T) -> Rule<T> {
        Rule { bound: change(self.bound), mode: self.mode }
    }
}

/// What a limit does.
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, Hash)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// It refuses.
    #[default]
    Enforce,
    /// It counts whom it would have refused.
    Observe,
}

/// A token bucket: it holds `burst` and is filled at `rate`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    /// How fast it fills.
    pub rate: Rate,
    /// How much it holds.
    pub burst: u64,
}

/// What one request wants reserved; besides, it always claims one request, and one of those at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// Tokens of the prompt, estimated, and the most that the answer may have.
    pub tokens: u64,
    /// What those cost at the dearest vendor of the plan.
    pub usd: NanoUsd,
    /// When a claim that nobody settled is no longer counted among the requests at once.
    pub lease: Duration,
}

/// What was limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// [`Rules::requests`]
    Requests,
    /// [`Rules::tokens`]
    Tokens,
    /// [`Rules::concurrent`]
    Concurrent,
    /// [`Rules::hour`]
    Hour,
    /// [`Rules::day`]
    Day,
    /// [`Rules::month`]
    Month,
}

/// What becomes of a claim.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// Those that refuse it; admitted if there are none. A claim that is refused has changed nothing.
    pub denied: Vec<Denial>,
    /// Those in [`Mode::Observe`] that would have refused it.
    pub observed: Vec<Bound>,
    /// How the requests stand after it, if they are limited and enforced.
    pub requests: Option<Standing>,
    /// How the tokens stand after it, if they are limited and enforced.
    pub tokens: Option<Standing>,
    /// By which it is settled.
    pub receipt: Receipt,
}

/// One reason for a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Denial {
    /// What is used up.
    pub bound: Bound,
    /// How long until it is not.
    pub wait: Wait,
}

/// How long a refused claim would have to wait, the longer the greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wait {
    /// So long, if nobody else claims meanwhile.
    For(Duration),
    /// Until some other request ends; nobody knows when.
    Unknown,
    /// For ever: it wants more than there can be.
    Never,
}

/// How a bucket stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// What it holds when it is full.
    pub limit: u64,
    /// What is in it.
    pub remaining: u64,
    /// How long until it is full.
    pub reset: Duration,
}

/// What was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// When, since the Unix epoch, by the clock of whoever decided.
    pub at: Duration,
    /// What was claimed.
    pub claim: Claim,
    /// What of it was charged, a bit for each [`Bound`]: an observed limit that would have refused was not.
    pub charged: u8,
    /// Whether the ledger was far from all its bounds, so that nobody is refused if it is settled a little later.
    pub ample: bool,
}

/// What a request came to in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settlement {
    /// 1, or 0 if it never went out.
    pub requests: u64,
    /// The tokens of prompt and answer.
    pub tokens: u64,
    /// What they cost.
    pub usd: NanoUsd,
}

#[cfg(all(test, not(target_family = "wasm")))]
mod laws;
#[cfg(test)]
mod tests;
