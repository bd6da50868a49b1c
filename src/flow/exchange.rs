//! Requests that are on their way to vendors.
//!
//! The `gateway` role starts an exchange, the `vendor` role finds it again on every attempt: both run in the same VM of
//! the same worker, so the request is parsed once and never leaves memory. Envoy's stream carries only the number.

use std::rc::Rc;
use std::time::Duration;

use crate::account::{self, estimate};
use crate::chat::request::Delivery;
use crate::chat::tally::Counted;
use crate::chat::{Fold, Request, Tally, Usage};
use crate::config::{Config, Hop, Routing};
use crate::dialect::Tongue;
use crate::flow::report::Progress;
use crate::hash::OwnKeys;
use crate::refusal::Refusal;
use crate::route::{Headroom, Plan};
use crate::unit::NanoUsd;
use crate::vendor::Failure;

/// One request between its plan and its end.
#[derive(Debug)]
pub struct Exchange {
    /// The configuration with which the request began, and under which it ends.
    pub config: Rc<Config>,
    /// What the client asked.
    pub request: Request,
    /// Where it may go.
    pub plan: Plan,
    /// Where it went.
    pub attempts: Vec<Attempt>,
    /// How many it may have, of prompt and answer together, as it was estimated.
    pub tokens: u64,
    /// What is kept of the answer as it passes.
    pub copy: Copied,
    /// How the answer is told to the client.
    pub tongue: Tongue,
}

/// A copy of an answer.
#[derive(Debug, Default)]
pub enum Copied {
    /// None is wanted, or there is none any more.
    #[default]
    Nothing,
    /// One is wanted, of so many bytes at most.
    Wanted(usize),
    /// It came whole.
    Whole(Vec<u8>),
    /// It comes as a stream.
    Stream(Fold),
}

/// One try at one vendor.
#[derive(Debug)]
pub struct Attempt {
    /// The vendor and the model's name there.
    pub hop: Hop,
    /// When it began, since the Unix epoch.
    pub began: Duration,
    /// How it ended.
    pub outcome: Outcome,
    /// The tokens of what has come of its answer, at every moment.
    pub tally: Tally,
    /// How far its answer has come.
    pub progress: Progress,
    /// What its vendor said of its limits.
    pub headroom: Headroom,
    /// What its vendor was not told of the request: paths with commas between.
    pub dropped: String,
    /// Whether the record of its vendor knows its end.
    pub reported: bool,
}

/// What a request has used of the vendor that answered it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spent<'e> {
    /// Which vendor, and at what price.
    pub hop: &'e Hop,
    /// How many tokens.
    pub usage: Usage,
    /// Who says so.
    pub source: Source,
}

/// Who counted tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The vendor.
    Vendor,
    /// Nobody: all or a part is estimated from what went out and what came back.
    Estimate,
}

impl Spent<'_> {
    /// What that costs, if the price is known.
    pub fn cost(&self) -> Option<NanoUsd> {
        self.hop.price.map(|price| account::cost(&price, &self.usage))
    }
}

/// How an attempt ended.
#[derive(Debug)]
pub enum Outcome {
    /// Not yet; or without a word, if the next attempt has begun.
    Pending,
    /// With an answer, or the beginning of a streamed one.
    Answered,
    /// With an error.
    Failed(Failure),
}

impl Attempt {
    /// The tokens of its answer, counted, or estimated from what came of it; those of the prompt only if counted.
    pub fn usage(&self) -> Usage {
        let written = estimate::written(self.tally.written);
        match self.tally.counted {
            Counted::All(usage) => usage,
            Counted::Prompt(usage) => Usage { completion: usage.completion.max(written), ..usage },
            Counted::Nothing => Usage { completion: written, ..Usage::default() },
        }
    }

    /// How it is going: an answer that has begun is one.
    pub fn so_far(&self) -> &str {
        match &self.outcome {
            Outcome::Pending => "pending",
            Outcome::Answered => "ok",
            Outcome::Failed(failure) => &failure.outcome,
        }
    }

    /// How it ended; what has not ended when it is over was cancelled.
    pub fn ended(&self) -> &str {
        match (&self.outcome, self.progress) {
            (Outcome::Failed(failure), _) => &failure.outcome,
            (Outcome::Answered, Progress::Broken(word)) => word,
            (Outcome::Answered, Progress::Complete { .. }) => "ok",
            (Outcome::Pending | Outcome::Answered, _) => "cancelled",
        }
    }

    fn answered(&self) -> bool {
        matches!(self.outcome, Outcome::Answered)
    }
}

impl Exchange {
    /// Begins the next attempt, at the vendor that Envoy chose. The hop is the plan's, and if Envoy tries a vendor
    /// once more that had its turn, that vendor's own. `None` if the plan has no such vendor, or if it is too late for
    /// another attempt.
    pub fn begin(&mut self, vendor: usize, now: Duration, config: &Config) -> Option<usize> {
        let patience = self.patience(config);
        self.settle(|attempt| silence(attempt, now, patience, config));
        if self.is_late(now) {
            return None;
        }
        let number = self.attempts.len();
        let planned = self.plan.hop(number).filter(|hop| hop.vendor == vendor);
        let again = || self.attempts.iter().rev().map(|attempt| &attempt.hop).find(|hop| hop.vendor == vendor);
        let hop = planned.or_else(again)?.clone();
        self.attempts.push(Attempt {
            hop,
            began: now,
            outcome: Outcome::Pending,
            tally: Tally::default(),
            progress: Progress::Silent,
            headroom: Headroom::default(),
            dropped: String::new(),
            reported: false,
        });
        Some(number)
    }

    /// Whether a vendor is left that has not been tried, and time to try it.
    pub fn has_next(&self, now: Duration) -> bool {
        self.plan.hop(self.attempts.len()).is_some() && !self.is_late(now)
    }

    /// Whether so little of `total_timeout` is left that another attempt could only be cut off, and be paid for.
    fn is_late(&self, now: Duration) -> bool {
        let since = self.attempts.first().map(|first| now.saturating_sub(first.began));
        since.is_some_and(|since| since.saturating_add(LEAST) > self.config.routing.total_timeout)
    }

    /// What the client is told if no attempt succeeded: how the last one failed, and to come again when the first of all
    /// that said so will have room.
    pub fn refusal(&self) -> Option<Refusal> {
        let failures = || {
            self.attempts.iter().filter_map(|attempt| match &attempt.outcome {
                Outcome::Failed(failure) => Some(&failure.refusal),
                Outcome::Pending | Outcome::Answered => None,
            })
        };
        let last = failures().next_back()?.clone();
        let soonest = failures().filter_map(|refusal| refusal.retry_after).min();
        Some(Refusal { retry_after: soonest.filter(|_| matches!(last.status, 429 | 503)), ..last })
    }

    /// Gives an attempt that ended without a word its outcome, after Envoy's status for the client: a timeout if Envoy
    /// says so or if it took that long, else no connection.
    pub fn conclude(&mut self, status: impl Fn() -> u16, now: Duration, config: &Config) {
        let patience = self.patience(config);
        self.settle(|attempt| match status() {
            504 => Failure::timeout(vendor_name(config, &attempt.hop)),
            _ => silence(attempt, now, patience, config),
        });
    }

    /// How long Envoy waits for a vendor that says nothing.
    fn patience(&self, config: &Config) -> Duration {
        let Routing { first_token_timeout, answer_timeout, idle_timeout, .. } = config.routing;
        match self.request.delivery() {
            Delivery::Whole => answer_timeout,
            Delivery::Stream { .. } => first_token_timeout.min(idle_timeout),
        }
    }

    fn settle(&mut self, failure: impl Fn(&Attempt) -> Failure) {
        for attempt in &mut self.attempts {
            if matches!(attempt.outcome, Outcome::Pending) {
                attempt.outcome = Outcome::Failed(failure(attempt));
            }
        }
    }

    /// The last attempt.
    pub fn last(&self) -> Option<&Attempt> {
        self.attempts.last()
    }

    /// Keeps a whole answer, if a copy is wanted.
    pub fn copy_whole(&mut self, answer: &[u8]) {
        if let Copied::Wanted(most) = self.copy {
            self.copy = if answer.len() <= most { Copied::Whole(answer.to_vec()) } else { Copied::Nothing };
        }
    }

    /// Keeps a piece of a streamed answer, if a copy is wanted.
    pub fn copy_piece(&mut self, piece: &[u8]) {
        if let Copied::Wanted(most) = self.copy {
            self.copy = Copied::Stream(Fold::new(most));
        }
        if let Copied::Stream(fold) = &mut self.copy {
            fold.feed(piece);
        }
    }

    /// The copy, once, if the answer is whole.
    pub fn copied(&mut self) -> Option<Vec<u8>> {
        match std::mem::take(&mut self.copy) {
            Copied::Whole(answer) => Some(answer),
            Copied::Stream(fold) => fold.finish(self.attempts.last()?.tally.counted),
            Copied::Nothing | Copied::Wanted(_) => None,
        }
    }

    /// What the request has used so far; `None` while no vendor has answered. Attempts that failed are not in it: what
    /// vendors refuse they do not charge for.
    pub fn spent(&self) -> Option<Spent<'_>> {
        let attempt = self.attempts.iter().rfind(|attempt| attempt.answered())?;
        let (usage, source) = match attempt.tally.counted {
            Counted::All(usage) => (usage, Source::Vendor),
            Counted::Prompt(_) => (attempt.usage(), Source::Estimate),
            Counted::Nothing => {
                (Usage { prompt: estimate::prompt(&self.request), ..attempt.usage() }, Source::Estimate)
            }
        };
        Some(Spent { hop: &attempt.hop, usage, source })
    }

    /// Each attempt and its outcome, by these words for it: `openai:429,claude:ok`.
    pub fn trail(&self, config: &Config, word: fn(&Attempt) -> &str) -> String {
        let mut trail = String::with_capacity(24);
        for attempt in &self.attempts {
            if !trail.is_empty() {
                trail.push(',');
            }
            trail.push_str(vendor_name(config, &attempt.hop));
            trail.push(':');
            trail.push_str(word(attempt));
        }
        trail
    }
}

/// No model is known to answer in less.
const LEAST: Duration = Duration::from_millis(200);

/// The name of a hop's vendor.
pub fn vendor_name<'c>(config: &'c Config, hop: &Hop) -> &'c str {
    config.vendors.get(hop.vendor).map_or("unknown", |vendor| &vendor.name)
}

fn silence(attempt: &Attempt, now: Duration, patience: Duration, config: &Config) -> Failure {
    let vendor = vendor_name(config, &attempt.hop);
    // Envoy's timer and this clock are not the same; the tenth is far above their difference.
    match now.saturating_sub(attempt.began) >= patience.mul_f32(0.9) {
        true => Failure::timeout(vendor),
        false => Failure::unreachable(vendor),
    }
}

/// The exchanges of one worker, by number.
#[derive(Debug)]
pub struct Exchanges {
    next: u64,
    open: OwnKeys<u64, Exchange>,
}

impl Exchanges {
    /// An empty set. Numbers count up from `seed`, which must differ each time a VM starts (a clock in nanoseconds
    /// does): a stream that outlived the VM that numbered it must never find another client's exchange.
    pub fn new(seed: u64) -> Exchanges {
        Exchanges { next: seed, open: OwnKeys::default() }
    }

    /// Keeps an exchange and numbers it.
    pub fn open(&mut self, exchange: Exchange) -> u64 {
        self.next = self.next.wrapping_add(1);
        self.open.insert(self.next, exchange);
        self.next
    }

    /// The exchange with this number.
    pub fn get(&mut self, number: u64) -> Option<&mut Exchange> {
        self.open.get_mut(&number)
    }

    /// Forgets an exchange.
    pub fn close(&mut self, number: u64) -> Option<Exchange> {
        self.open.remove(&number)
    }

    /// Whether none is open.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }
}
