//! Limits: how much one subject - a key, a tenant, a model, a vendor - may use.
//!
//! A request claims before it goes out, and what it really used is settled after it came back.

use std::time::Duration;

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
}

/// A bound, and what happens at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule<T> {
    /// How much.
    pub bound: T,
    /// Whether it refuses.
    pub mode: Mode,
}

/// What a limit does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It refuses.
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

/// How long a refused claim would have to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
