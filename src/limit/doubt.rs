//! What decisions need besides the sums: names, and an answer where there is none.

use std::time::Duration;

use super::{Bound, Claim, Decision, Denial, Receipt, Rules, Wait};

impl Decision {
    /// The decision about a claim for which no record could be changed, because others were faster again and again: it
    /// is refused, as if by too many requests at once.
    pub fn contended(now: Duration, claim: Claim) -> Decision {
        Decision {
            denied: vec![Denial { bound: Bound::Concurrent, wait: Wait::Unknown }],
            observed: Vec::new(),
            requests: None,
            tokens: None,
            receipt: Receipt { at: now, claim, charged: 0, ample: false },
        }
    }
}

impl Rules {
    /// Whether tokens or dollars are counted.
    pub fn meters(&self) -> bool {
        self.tokens.is_some() || self.hour.is_some() || self.day.is_some() || self.month.is_some()
    }
}

impl Bound {
    /// The short stable name: in metric labels.
    pub fn name(self) -> &'static str {
        match self {
            Bound::Requests => "requests",
            Bound::Tokens => "tokens",
            Bound::Concurrent => "concurrent",
            Bound::Hour => "budget_hour",
            Bound::Day => "budget_day",
            Bound::Month => "budget_month",
        }
    }
}
