//! The line to Redis of one worker: what is said when, and what is done when nobody answers.
//!
//! A call costs Envoy about as much as a whole request, whether it carries one command or a hundred. So there is one
//! call at a time: what is asked and told while it runs gathers, in order, and goes out as the next one. Under load
//! Redis costs next to nothing, and without load the first command goes out at once.
//!
//! Redis may be absent. An ask is answered once, in time: with the replies, or with nothing, and then its stream decides
//! alone. A tell must arrive, but nobody waits for it: each stands for itself, and what Redis did not hear is told again,
//! later and within bounds, which is why it must not matter if it is heard twice.
//!
//! A script is named by its digest, and where Redis does not know it, at once again by its text. So an ask, too, must be
//! harmless to repeat: others of its commands may have been carried out.
//!
//! After a call that failed - no answer, an answer that is none, or nothing but errors that say that Redis was not
//! reached - Redis counts as absent: asks are answered with nothing, at once. After a pause a small call probes whether
//! it is back. The pause doubles from [`FIRST_PAUSE`](super::breaker::FIRST_PAUSE) to
//! [`LONGEST_PAUSE`](super::breaker::LONGEST_PAUSE), so a Redis that is back is used again within that time, and one that
//! is not costs one request per pause its patience. In a cluster the commands of a call may all be for one node, so
//! there nothing must have been heard for [`PATIENCE`]; and a call of nothing but repetitions is no evidence at all, for
//! they may wait for that node.

use std::collections::VecDeque;
use std::time::Duration;

use super::breaker::{Breaker, Strike, Turn};
use super::ending::{Ending, unheard};
use super::resp;
use super::{Command, Naming, Presence, Reply};

/// The line; [`Line::default`] is one to a single Redis on which nothing was said yet.
#[derive(Debug, Default)]
pub struct Line {
    patience: Duration,
    gathered: VecDeque<Item>,
    /// What was not heard, and when it may be told again, in that order.
    again: VecDeque<(Duration, Item)>,
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
    Ask { asker: Asker, commands: Vec<Command>, naming: Naming },
    Tell { command: Command, tries: u32, naming: Naming },
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

/// Who is at the other end of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Other {
    /// One Redis.
    Single,
    /// A Redis Cluster.
    Cluster,
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

impl Line {
    /// Who is at the other end.
    pub fn leads_to(&mut self, other: Other) {
        self.patience = if other == Other::Cluster { PATIENCE } else { Duration::ZERO };
    }

    /// Asks. `false` if that is pointless now: Redis is absent, or too much waits already.
    #[must_use]
    pub fn ask(&mut self, asker: Asker, commands: Vec<Command>, now: Duration) -> bool {
        let item = Item::Ask { asker, commands, naming: Naming::Digest };
        let takes = self.breaker.admits(now) && self.asks.takes(&item);
        if takes {
            self.gathered.push_back(item);
        }
        takes
    }

    /// Tells; how many of the commands had to be dropped because too much waits already.
    #[must_use]
    pub fn tell(&mut self, commands: Vec<Command>) -> usize {
        let mut dropped = 0;
        for command in commands {
            let item = Item::Tell { command, tries: 0, naming: Naming::Digest };
            if self.tells.takes(&item) {
                self.gathered.push_back(item);
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

    /// Whether anybody is at the other end, as far as the last calls say.
    pub fn presence(&self) -> Presence {
        if self.breaker.is_open() { Presence::Absent } else { Presence::Answers }
    }

    /// Whether [`Line::next`] has a call to make.
    pub fn is_due(&self, now: Duration) -> bool {
        let repeats = self.again.front().is_some_and(|(at, _)| *at <= now);
        self.call.is_none() && (repeats || !self.gathered.is_empty()) && self.breaker.admits(now)
    }

    /// The bytes of the next call, if it is time for one. [`Line::ended`] must follow.
    pub fn next(&mut self, now: Duration) -> Option<Vec<u8>> {
        if !self.is_due(now) {
            return None;
        }
        let most = if self.breaker.begin() { PROBE } else { MOST_AT_ONCE };
        let (mut items, mut bytes, mut commands) = (Vec::new(), Vec::new(), 0);
        while commands < most && bytes.len() < MOST_BYTES_AT_ONCE {
            let Some(item) = self.pop(now) else { break };
            for command in item.commands() {
                resp::write(command, item.naming(), &mut bytes);
            }
            commands += item.commands().len();
            items.push(item);
        }
        bytes.extend_from_slice(resp::QUIT);
        self.call = Some(Call { items, began: now });
        Some(bytes)
    }

    /// The next thing to say: what is new, then what has to be said again.
    fn pop(&mut self, now: Duration) -> Option<Item> {
        let item = match self.gathered.pop_front() {
            Some(item) => item,
            None if self.again.front()?.0 <= now => self.again.pop_front()?.1,
            None => return None,
        };
        self.load(&item).release(&item);
        Some(item)
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
        let is_evidence = call.items.iter().any(|item| !item.is_repeated());
        let bad = match ending.replies(commands) {
            Ok(replies) => {
                let unheard = unheard(&replies);
                self.answer(call.items, replies, now, &mut outcome);
                unheard.map(|error| (Strike::Unheard, format!("it says {error:?}")))
            }
            Err(reason) => {
                self.leave_unanswered(call.items, now, &mut outcome);
                Some((Strike::Fatal, reason))
            }
        };
        outcome.ok = bad.is_none();
        match bad {
            None => outcome.turn = self.breaker.close(),
            Some((Strike::Unheard, _)) if !is_evidence && !self.breaker.is_open() => {}
            Some((strike, reason)) => {
                outcome.turn = self.breaker.strike(strike, self.patience, now).then_some(Turn::Absent(reason));
            }
        }
        if self.breaker.is_open() {
            self.skip_asks(&mut outcome);
        }
        outcome
    }

    /// To each its replies; what was told and not heard is kept.
    fn answer(&mut self, items: Vec<Item>, replies: Vec<Reply>, now: Duration, outcome: &mut Outcome) {
        let mut replies = replies.into_iter();
        let (mut unheard, mut unknown) = (Vec::new(), Vec::new());
        for item in items {
            let replies: Vec<Reply> = replies.by_ref().take(item.commands().len()).collect();
            match item {
                _ if item.naming() == Naming::Digest && replies.iter().any(Reply::lacks_script) => unknown.push(item),
                Item::Ask { asker, .. } => outcome.answers.push((asker, Some(replies))),
                Item::Tell { .. } if replies.iter().any(|reply| reply.unheard().is_some()) => unheard.push(item),
                Item::Tell { .. } => {}
            }
        }
        outcome.dropped += self.keep(unheard, now);
        self.spell_out(unknown, outcome);
    }

    /// Says again, before all else, what Redis did not understand for want of a script.
    fn spell_out(&mut self, unknown: Vec<Item>, outcome: &mut Outcome) {
        for item in unknown.into_iter().rev() {
            let item = item.spelled_out();
            match item {
                _ if self.load(&item).takes(&item) => self.gathered.push_front(item),
                Item::Ask { asker, .. } => outcome.answers.push((asker, None)),
                Item::Tell { .. } => outcome.dropped += 1,
            }
        }
    }

    /// How much of an item's kind waits.
    fn load(&mut self, item: &Item) -> &mut Load {
        match item {
            Item::Ask { .. } => &mut self.asks,
            Item::Tell { .. } => &mut self.tells,
        }
    }

    fn leave_unanswered(&mut self, items: Vec<Item>, now: Duration, outcome: &mut Outcome) {
        let mut unheard = Vec::new();
        for item in items {
            match item {
                Item::Ask { asker, .. } => outcome.answers.push((asker, None)),
                tell @ Item::Tell { .. } => unheard.push(tell),
            }
        }
        outcome.dropped += self.keep(unheard, now);
    }

    /// Keeps tells for another time; how many were given up.
    fn keep(&mut self, unheard: Vec<Item>, now: Duration) -> usize {
        let mut dropped = 0;
        for item in unheard {
            match item {
                Item::Tell { command, tries, naming } if tries + 1 < TRIES => {
                    let item = Item::Tell { command, tries: tries + 1, naming };
                    match self.tells.takes(&item) {
                        true => self.again.push_back((now.saturating_add(REST), item)),
                        false => dropped += 1,
                    }
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
    fn is_repeated(&self) -> bool {
        matches!(self, Item::Tell { tries, .. } if *tries > 0)
    }

    fn naming(&self) -> Naming {
        match self {
            Item::Ask { naming, .. } | Item::Tell { naming, .. } => *naming,
        }
    }

    fn spelled_out(self) -> Item {
        match self {
            Item::Ask { asker, commands, .. } => Item::Ask { asker, commands, naming: Naming::Text },
            Item::Tell { command, tries, .. } => Item::Tell { command, tries, naming: Naming::Text },
        }
    }

    /// How many bytes it has on its way.
    fn size(&self) -> usize {
        let sizes = self.commands().iter().map(|command| resp::size(command, self.naming()));
        sizes.fold(0, usize::saturating_add)
    }

    fn commands(&self) -> &[Command] {
        match self {
            Item::Ask { commands, .. } => commands,
            Item::Tell { command, .. } => std::slice::from_ref(command),
        }
    }
}

impl Load {
    /// Takes one more, unless that is too much.
    fn takes(&mut self, item: &Item) -> bool {
        let commands = self.commands.saturating_add(item.commands().len());
        let bytes = self.bytes.saturating_add(item.size());
        let fits = commands <= MOST_GATHERED && bytes <= MOST_BYTES_GATHERED;
        if fits {
            (self.commands, self.bytes) = (commands, bytes);
        }
        fits
    }

    fn release(&mut self, item: &Item) {
        self.commands = self.commands.saturating_sub(item.commands().len());
        self.bytes = self.bytes.saturating_sub(item.size());
    }
}

/// So long a cluster may let nothing be heard of it. While one node is silent, or gone and not yet replaced, the others
/// are mostly heard in between; if not, or if all are silent, requests have waited for nothing for a second.
pub const PATIENCE: Duration = Duration::from_secs(1);

/// How long what was not heard rests before it is told again: so long that a node that is gone is not bothered, nor a
/// silent one given much that it will do twice when it wakes up.
const REST: Duration = Duration::from_millis(500);
/// How often something is told: half a minute, or twice that while Redis is absent. A Redis restarts in that time.
const TRIES: u32 = 64;

/// What a probe carries; another one follows at once if it is good.
const PROBE: usize = 16;

/// What one call carries; Redis takes about a millisecond for a thousand commands.
const MOST_AT_ONCE: usize = 1024;
/// So that a call fits into Redis's timeout.
const MOST_BYTES_AT_ONCE: usize = 1 << 20;

/// What may wait, of asks and of tells each: a few calls' worth.
const MOST_GATHERED: usize = 4096;
const MOST_BYTES_GATHERED: usize = 8 << 20;

#[cfg(test)]
mod tests;
