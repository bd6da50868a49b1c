//! Whether Redis is there, as far as its calls say.
//!
//! | state | calls | after a good one | after a bad one |
//! |---|---|---|---|
//! | `Closed` | all | `Closed` | `Open`; for a cluster only if none was good for a while |
//! | `Open` | none, until the pause is over | | |
//! | `Probing` | none besides the probe | `Closed` | `Open` for twice as long |

use std::time::Duration;

/// The breaker of one line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Breaker {
    /// Redis is there; since when nothing was heard of it, if the last call was bad.
    Closed(Option<Duration>),
    /// Redis is absent; nothing is said until then, after a pause of this length.
    Open(Duration, Duration),
    /// One call finds out; the pause before it was this long.
    Probing(Duration),
}

/// A change that an operator wants to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    /// Redis counts as absent from now on; why.
    Absent(String),
    /// It is back.
    Back,
}

/// How bad a call was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strike {
    /// Nothing came back, or nothing that could be read.
    Fatal,
    /// Replies came, and each says that the command was not heard: Redis is absent, or only one node of a cluster.
    Unheard,
}

impl Default for Breaker {
    fn default() -> Breaker {
        Breaker::Closed(None)
    }
}

impl Breaker {
    /// Whether a call may be made.
    pub fn admits(self, now: Duration) -> bool {
        match self {
            Breaker::Closed(_) => true,
            Breaker::Open(until, _) => now >= until,
            Breaker::Probing(_) => false,
        }
    }

    /// A call is made; whether it is a probe.
    pub fn begin(&mut self) -> bool {
        if let Breaker::Open(_, pause) = *self {
            *self = Breaker::Probing(pause);
        }
        matches!(self, Breaker::Probing(_))
    }

    /// A call was bad; whether Redis counts as absent from now on. Unheard calls are taken for the trouble of one node of
    /// several for as long as `patience`; and where there may be others, the next probe may be for one of them, so the
    /// pause stays short.
    pub fn strike(&mut self, strike: Strike, patience: Duration, now: Duration) -> bool {
        let one_of_several = strike == Strike::Unheard && !patience.is_zero();
        let pause = match *self {
            Breaker::Closed(since) if one_of_several && now.saturating_sub(since.unwrap_or(now)) < patience => {
                *self = Breaker::Closed(since.or(Some(now)));
                return false;
            }
            Breaker::Closed(_) => FIRST_PAUSE,
            Breaker::Open(..) | Breaker::Probing(_) if one_of_several => FIRST_PAUSE,
            Breaker::Open(_, pause) | Breaker::Probing(pause) => pause.saturating_mul(2).min(LONGEST_PAUSE),
        };
        let news = matches!(self, Breaker::Closed(_));
        *self = Breaker::Open(now.saturating_add(pause), pause);
        news
    }

    /// A call was good; whether that is news.
    pub fn close(&mut self) -> Option<Turn> {
        match std::mem::take(self) {
            Breaker::Closed(_) => None,
            Breaker::Open(..) | Breaker::Probing(_) => Some(Turn::Back),
        }
    }

    /// Whether Redis counts as absent.
    pub fn is_open(self) -> bool {
        !matches!(self, Breaker::Closed(_))
    }
}

/// Long enough that a Redis that is down costs little, too short for anybody to notice that one hiccuped.
pub const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Half of the two seconds after which what needs Redis is to be right again.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(1);
