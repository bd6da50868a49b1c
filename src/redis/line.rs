//! The line to Redis of one worker: what is said when, and what is done when nobody answers.
//!
//! A call costs Envoy about as much as a whole request, whether it carries one command or a hundred. So there is one
//! call at a time: what is asked and told while it runs gathers, in order, and goes out as the next one. Under load
//! Redis costs next to nothing, and without load the first command goes out at once.
//!
//! Redis may be absent. An ask is answered once, in time: with the replies, or with nothing, and then its stream decides
//! alone. A tell must arrive, but nobody waits for it: it is kept and said again until Redis has heard it, within bounds,
//! which is why it must not matter whether it is heard twice.
//!
//! After a call that failed - no answer, an answer that is none, or nothing but errors that say that Redis was not
//! reached - Redis counts as absent: asks are answered with nothing, at once. After a pause one call probes whether it
//! is back. The pause doubles from [`FIRST_PAUSE`] to [`LONGEST_PAUSE`], so a Redis that is back is used again within
//! that time, and one that is not costs one request per pause its patience.

use std::collections::VecDeque;
use std::time::Duration;

use super::resp::{self, Parser};
use super::{Command, Reply};

/// The line; [`Line::default`] is one on which nothing was said yet.
#[derive(Debug, Default)]
pub struct Line {
    gathered: VecDeque<Item>,
    asks: Load,
    tells: Load,
    call: Option<Call>,
    breaker: Breaker,
}

/// Whoever asks: the number of its stream.
pub type Asker = u32;

/// What waits to be said.
#[derive(Debug)]
enum Item {
    Ask { asker: Asker, commands: Vec<Command> },
    Tell { command: Command, tries: u32 },
}

/// How much of one kind waits.
#[derive(Debug, Default)]
struct Load {
    commands: usize,
    bytes: usize,
}

/// What was said, and is not answered yet.
#[derive(Debug)]
struct Call {
    items: Vec<Item>,
    began: Duration,
}

/// Whether Redis is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Breaker {
    /// As far as anybody knows.
    #[default]
    Closed,
    /// It is not; nothing is said until then.
    Open { until: Duration, pause: Duration },
    /// One call finds out; the pause before it was this long.
    Probing { pause: Duration },
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// With this body.
    Answer(Vec<u8>),
    /// With an HTTP status that is no success: Envoy could not lead it to Redis.
    Status(u16),
    /// With nothing: it took too long, or its connection broke.
    Silence,
    /// It could not even begin.
    Unsent,
}

/// What follows from the end of a call.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The askers, each with a reply for each of its commands, or with nothing.
    pub answers: Vec<(Asker, Option<Vec<Reply>>)>,
    /// Whether the call counts as a success.
    pub ok: bool,
    /// How many asks were answered with nothing although they had not been sent.
    pub skipped: usize,
    /// How many tells were given up.
    pub dropped: usize,
    /// What there is to tell the operator.
    pub turn: Option<Turn>,
}

/// A change that an operator wants to know.
#[derive(Debug, PartialEq, Eq)]
pub enum Turn {
    /// Redis counts as absent from now on; why.
    Absent(String),
    /// It is back.
    Back,
}

impl Line {
    /// Asks. `false` if that is pointless now: Redis is absent, or too much waits already.
    #[must_use]
    pub fn ask(&mut self, asker: Asker, commands: Vec<Command>, now: Duration) -> bool {
        let size = commands.iter().map(resp::size).fold(0, usize::saturating_add);
        if !self.breaker.admits(now) || !self.asks.takes(commands.len(), size) {
            return false;
        }
        self.gathered.push_back(Item::Ask { asker, commands });
        true
    }

    /// Tells; how many of the commands had to be dropped because too much waits already.
    #[must_use]
    pub fn tell(&mut self, commands: Vec<Command>) -> usize {
        let mut dropped = 0;
        for command in commands {
            if self.tells.takes(1, resp::size(&command)) {
                self.gathered.push_back(Item::Tell { command, tries: 0 });
            } else {
                dropped += 1;
            }
        }
        dropped
    }

    /// Nobody is there any more to be answered. What was sent was sent.
    pub fn forget(&mut self, asker: Asker) {
        let is_its = |item: &Item| matches!(item, Item::Ask { asker: other, .. } if *other == asker);
        for item in self.gathered.iter().filter(|item| is_its(item)) {
            self.asks.release(item);
        }
        self.gathered.retain(|item| !is_its(item));
    }

    /// Whether [`Line::next`] has a call to make.
    pub fn is_due(&self, now: Duration) -> bool {
        self.call.is_none() && !self.gathered.is_empty() && self.breaker.admits(now)
    }

    /// The bytes of the next call, if it is time for one. [`Line::ended`] must follow.
    pub fn next(&mut self, now: Duration) -> Option<Vec<u8>> {
        if !self.is_due(now) {
            return None;
        }
        if let Breaker::Open { pause, .. } = self.breaker {
            self.breaker = Breaker::Probing { pause };
        }
        let (mut items, mut bytes, mut commands) = (Vec::new(), Vec::new(), 0);
        while let Some(item) = self.gathered.pop_front() {
            match item {
                Item::Ask { .. } => self.asks.release(&item),
                Item::Tell { .. } => self.tells.release(&item),
            }
            for command in item.commands() {
                resp::write(command, &mut bytes);
            }
            commands += item.commands().len();
            items.push(item);
            if commands >= MOST_AT_ONCE || bytes.len() >= MOST_BYTES_AT_ONCE {
                break;
            }
        }
        bytes.extend_from_slice(resp::QUIT);
        self.call = Some(Call { items, began: now });
        Some(bytes)
    }

    /// Whether a call has run for longer than this.
    pub fn runs_longer_than(&self, patience: Duration, now: Duration) -> bool {
        self.call.as_ref().is_some_and(|call| now.saturating_sub(call.began) > patience)
    }

    /// The call ended.
    pub fn ended(&mut self, ending: Ending, now: Duration) -> Outcome {
        let mut outcome = Outcome::default();
        let Some(call) = self.call.take() else { return outcome };
        let commands = call.items.iter().map(|item| item.commands().len()).sum();
        let failure = match replies(ending, commands) {
            Ok(replies) => {
                let absent = replies.iter().map(Reply::unheard).collect::<Option<Vec<_>>>();
                let reason = absent.and_then(|errors| errors.first().map(|error| format!("it says {error:?}")));
                self.answer(call.items, replies, &mut outcome);
                reason
            }
            Err(reason) => {
                self.leave_unanswered(call.items, &mut outcome);
                Some(reason)
            }
        };
        outcome.ok = failure.is_none();
        match failure {
            None => outcome.turn = self.breaker.close(),
            Some(reason) => {
                outcome.turn = self.breaker.open(now).then_some(Turn::Absent(reason));
                self.skip_asks(&mut outcome);
            }
        }
        outcome
    }

    /// To each its replies; what was told and not heard is kept.
    fn answer(&mut self, items: Vec<Item>, replies: Vec<Reply>, outcome: &mut Outcome) {
        let mut replies = replies.into_iter();
        let mut unheard = Vec::new();
        for item in items {
            match item {
                Item::Ask { asker, commands } => {
                    outcome.answers.push((asker, Some(replies.by_ref().take(commands.len()).collect())));
                }
                tell @ Item::Tell { .. } => {
                    if replies.next().is_some_and(|reply| reply.unheard().is_some()) {
                        unheard.push(tell);
                    }
                }
            }
        }
        outcome.dropped += self.keep(unheard);
    }

    fn leave_unanswered(&mut self, items: Vec<Item>, outcome: &mut Outcome) {
        let mut unheard = Vec::new();
        for item in items {
            match item {
                Item::Ask { asker, .. } => outcome.answers.push((asker, None)),
                tell @ Item::Tell { .. } => unheard.push(tell),
            }
        }
        outcome.dropped += self.keep(unheard);
    }

    /// Puts tells back to where they were, before everything that came later; how many were given up.
    fn keep(&mut self, unheard: Vec<Item>) -> usize {
        let mut dropped = 0;
        for item in unheard.into_iter().rev() {
            match item {
                Item::Tell { command, tries } if tries + 1 < TRIES && self.tells.takes(1, resp::size(&command)) => {
                    self.gathered.push_front(Item::Tell { command, tries: tries + 1 });
                }
                _ => dropped += 1,
            }
        }
        dropped
    }

    /// Redis is absent: nobody who has gathered is to wait for it.
    fn skip_asks(&mut self, outcome: &mut Outcome) {
        let (asks, tells) = std::mem::take(&mut self.gathered).into_iter().partition(|i| matches!(i, Item::Ask { .. }));
        (self.gathered, self.asks) = (tells, Load::default());
        let asks: VecDeque<Item> = asks;
        for item in asks {
            if let Item::Ask { asker, .. } = item {
                outcome.answers.push((asker, None));
                outcome.skipped += 1;
            }
        }
    }
}

impl Item {
    fn commands(&self) -> &[Command] {
        match self {
            Item::Ask { commands, .. } => commands,
            Item::Tell { command, .. } => std::slice::from_ref(command),
        }
    }
}

impl Load {
    /// Takes so much more, unless that is too much.
    fn takes(&mut self, commands: usize, bytes: usize) -> bool {
        let (commands, bytes) = (self.commands.saturating_add(commands), self.bytes.saturating_add(bytes));
        let fits = commands <= MOST_GATHERED && bytes <= MOST_BYTES_GATHERED;
        if fits {
            (self.commands, self.bytes) = (commands, bytes);
        }
        fits
    }

    fn release(&mut self, item: &Item) {
        let bytes = item.commands().iter().map(resp::size).fold(0, usize::saturating_add);
        self.commands = self.commands.saturating_sub(item.commands().len());
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

impl Breaker {
    fn admits(self, now: Duration) -> bool {
        match self {
            Breaker::Closed => true,
            Breaker::Open { until, .. } => now >= until,
            Breaker::Probing { .. } => false,
        }
    }

    /// A call failed; whether that is news.
    fn open(&mut self, now: Duration) -> bool {
        let was = *self;
        let pause = match was {
            Breaker::Closed => FIRST_PAUSE,
            Breaker::Open { pause, .. } | Breaker::Probing { pause } => pause.saturating_mul(2).min(LONGEST_PAUSE),
        };
        *self = Breaker::Open { until: now.saturating_add(pause), pause };
        was == Breaker::Closed
    }

    /// A call succeeded; whether that is news.
    fn close(&mut self) -> Option<Turn> {
        (std::mem::take(self) != Breaker::Closed).then_some(Turn::Back)
    }
}

/// A reply for each command, or why there is none; the last one is that of QUIT.
fn replies(ending: Ending, commands: usize) -> Result<Vec<Reply>, String> {
    let body = match ending {
        Ending::Answer(body) => body,
        Ending::Status(504) | Ending::Silence => return Err("no answer in time".to_owned()),
        Ending::Status(status) => return Err(format!("Envoy answers {status} in its place")),
        Ending::Unsent => return Err("Envoy has no way to it".to_owned()),
    };
    let mut parser = Parser::default();
    let mut replies = parser.feed(&body).map_err(|nonsense| format!("an answer that is not Redis's ({nonsense:?})"))?;
    let whole = parser.is_between_replies() && replies.len() == commands + 1;
    if whole && replies.pop() == Some(Reply::Text("OK".to_owned())) {
        return Ok(replies);
    }
    Err(format!("{} replies to {commands} commands", replies.len()))
}

/// Long enough that a Redis that is down costs little, too short for anybody to notice that one hiccuped.
pub const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Half of the two seconds after which what needs Redis is to be right again.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How often something is told: at one try per [`LONGEST_PAUSE`] about a minute, in which a Redis restarts.
const TRIES: u32 = 64;

/// What one call carries; Redis takes about a millisecond for a thousand commands.
const MOST_AT_ONCE: usize = 1024;
/// So that a call fits into Redis's timeout.
const MOST_BYTES_AT_ONCE: usize = 1 << 20;

/// What may wait, of asks and of tells each: a few calls' worth.
const MOST_GATHERED: usize = 4096;
const MOST_BYTES_GATHERED: usize = 8 << 20;

#[cfg(test)]
mod tests;
