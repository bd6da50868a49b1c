//! Whether Redis is there, as far as its calls say.
//!
//! | state | calls | after a good one | after a bad one |
//! |---|---|---|---|
//! | `Closed` | all | `Closed` | `Open`, if enough were bad in a row |
//! | `Open` | none, until the pause is over | | |
//! | `Probing` | none besides the probe | `Closed` | `Open` for twice as long |

use std::time::Duration;

/// The breaker of one line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Breaker {
    /// Redis is there; so many calls in a row were bad.
    Closed(u32),
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
        Breaker::Closed(0)
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

    /// A call was bad; whether Redis counts as absent from now on. With `patience`, so many unheard calls in a row are
    /// taken for the trouble of one node.
    pub fn strike(&mut self, strike: Strike, patience: u32, now: Duration) -> bool {
        let pause = match *self {
            Breaker::Closed(strikes) if strike == Strike::Unheard && strikes < patience => {
                *self = Breaker::Closed(strikes + 1);
                return false;
            }
            Breaker::Closed(_) => FIRST_PAUSE,
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
