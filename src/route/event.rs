//! What changes a record.

use std::time::Duration;

use super::headroom::Headroom;
use crate::unit::NanoUsd;

/// What happens to an attempt, or is heard of a vendor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Event {
    /// An attempt begins, which is expected to use so many tokens, prompt and answer together.
    Began {
        /// How many.
        tokens: u64,
    },
    /// An attempt ends.
    Ended {
        /// When it began, since the Unix epoch: the `now` of its [`Event::Began`].
        began: Duration,
        /// How it ended.
        ending: Ending,
    },
    /// The vendor said how much room it has.
    Told(Headroom),
}

/// How an attempt ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Ending {
    /// With an answer.
    Answered(Answered),
    /// With a failure.
    Failed(Fault),
    /// The client left, or its request was at fault: that counts for nobody.
    Cancelled,
    /// The vendor is asked too often, and asks to wait so long, if it says how long.
    Throttled {
        /// How long.
        retry_after: Option<Duration>,
    },
    /// The vendor has no quota or credit left.
    OutOfQuota,
}

/// An answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answered {
    /// How long it took to the first token, or, if it came in one piece, to its end.
    pub first_token: Duration,
    /// How long each token after the first one took; `None` if it came in one piece.
    pub per_token: Option<Duration>,
    /// How many tokens it has.
    pub tokens: u64,
    /// What it cost.
    pub cost: NanoUsd,
}

/// What kind of failure an attempt ended with. A client's own mistake is none: that is [`Ending::Cancelled`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// No connection.
    Unreachable,
    /// No answer in time.
    Timeout,
    /// An error of the vendor's own.
    Error,
    /// An answer that cannot be read or broke off.
    Broken,
    /// The credential is rejected, or the model unknown; that does not pass by itself.
    Denied,
}
