//! A client's request as others are told of it when it is over: counters, the access log, traces.
//!
//! It begins with the headers and goes with the request through all its states, so that at the end there is one place
//! where everything is known: [`Visit::over`]. What a client wrote is in it only where it is bounded; of prompts, answers
//! and keys there is nothing.

use std::rc::Rc;
use std::time::Duration;

use crate::account;
use crate::chat::Usage;
use crate::chat::request::{Delivery, Request};
use crate::config::{AccessLog, Key};
use crate::flow::exchange::{Attempt, Exchange, Source, vendor_name};
use crate::flow::report::Progress;
use crate::flow::{Effect, Head, World, chronicle};
use crate::json::Writer;
use crate::metric::{self, Counter, Histogram, Labels, Target};
use crate::unit::NanoUsd;

/// What is known of a request, so far or in the end.
#[derive(Debug)]
pub struct Visit {
    /// What it is counted under.
    pub labels: Labels,
    /// When its headers were here, since the Unix epoch.
    pub began: Duration,
    /// The number by which client, vendor and log know it.
    pub id: String,
    /// The page of the web that may read the answer, if one asked.
    pub page: Option<String>,
    /// Whose it is, if it showed a good key.
    pub key: Option<Rc<Key>>,
    /// The model, as the client wrote it; empty if that could not be read.
    pub asked: String,
    /// What kind of answer it wants.
    pub delivery: Delivery,
    /// What came of looking for a kept answer: the header `x-weir-cache`.
    pub cache: Option<&'static str>,
    /// Why it got an error, if it did.
    pub reason: Option<&'static str>,
    /// How many went to the vendor together, itself included; 0 if it did not go so.
    pub company: usize,
    /// What vendors did for it.
    pub work: Work,
    /// How much of its time was the gateway's own.
    pub own: Own,
}

/// What vendors did for a request.
#[derive(Debug, Default)]
pub struct Work {
    /// The model's name at the last vendor; empty if none was asked.
    pub served: String,
    /// Each attempt and its outcome: `openai:429,claude:ok`.
    pub attempts: String,
    /// The tokens, if there was an answer.
    pub usage: Option<Usage>,
    /// What they cost, if the price is known.
    pub cost: Option<NanoUsd>,
    /// From the last attempt to the first event that says something.
    pub first_token: Option<Duration>,
    /// From the first attempt to the end of the answer, or of all attempts.
    pub took: Duration,
}

/// How much of a request's time was the gateway's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Own {
    /// Nobody can tell: it has not been read, or it waited for other requests.
    Unknown,
    /// It is the gateway's turn since then.
    Since(Duration),
    /// So much.
    Was(Duration),
}

impl Visit {
    /// A request of which only the headers are known.
    pub fn new(labels: Labels, head: &Head, world: &World<'_>) -> Visit {
        let origin =
            head.text("origin").filter(|origin| world.config.cors.as_ref().is_some_and(|cors| cors.admits(origin)));
        Visit {
            labels,
            began: world.now(),
            id: bounded(head.text("x-request-id").unwrap_or_default()),
            page: origin.map(bounded),
            key: None,
            asked: String::new(),
            delivery: Delivery::Whole,
            cache: None,
            reason: None,
            company: 0,
            work: Work::default(),
            own: Own::Unknown,
        }
    }

    /// What it asks for is known.
    pub fn asks(&mut self, request: &Request) {
        self.asked = bounded(request.model());
        self.delivery = request.delivery();
    }

    /// Envoy has a response of its attempts.
    pub fn answered(&mut self, exchange: &Exchange, now: Duration) {
        let Own::Since(since) = self.own else { return };
        let Some(first) = exchange.attempts.first() else { return };
        let spoke = exchange.last().and_then(first_event).unwrap_or(now);
        self.own = Own::Was(first.began.saturating_sub(since) + now.saturating_sub(spoke));
    }

    /// Its attempts are over: what they came to is counted.
    pub fn settled(&mut self, exchange: &Exchange, world: &World<'_>) -> Vec<Effect> {
        let (config, now) = (world.config, world.now());
        let Some((first, last)) = exchange.attempts.first().zip(exchange.last()) else { return Vec::new() };
        let target = |attempt: &Attempt| Target {
            vendor: vendor_name(config, &attempt.hop).into(),
            model: Rc::clone(&self.labels.model),
        };
        let mut effects = Vec::with_capacity(ROOM);
        for (i, attempt) in exchange.attempts.iter().enumerate() {
            let outcome = metric::outcome(attempt.ended());
            let next = exchange.attempts.get(i + 1).filter(|next| next.hop.vendor != attempt.hop.vendor);
            effects.extend(next.map(|_| Effect::Count(Counter::Failover(target(attempt), outcome))));
            effects.push(Effect::Count(Counter::Attempt(target(attempt), outcome)));
        }
        let spent = exchange.spent();
        if let Some(spent) = &spent {
            let target = Target { vendor: vendor_name(config, spent.hop).into(), model: Rc::clone(&self.labels.model) };
            effects.extend(tokens(&target, &spent.usage));
            effects.extend(spent.cost().map(|NanoUsd(cost)| Effect::Add(Counter::Cost(target.clone()), cost)));
            if spent.source == Source::Estimate {
                let text = format!("{} did not tell the tokens of an answer: they are estimated", target.vendor);
                effects.push(Effect::Log(log::Level::Info, text));
                effects.push(Effect::Count(Counter::Unmetered { vendor: target.vendor }));
            }
        }
        let streams = self.delivery != Delivery::Whole;
        let first_token = first_event(last).filter(|_| streams).map(|event| event.saturating_sub(last.began));
        effects.extend(first_token.map(|took| Effect::Observe(Histogram::FirstToken(target(last)), took)));
        let end = match last.progress {
            Progress::Complete { last, .. } => last,
            _ => now,
        };
        self.work = Work {
            served: last.hop.model.clone(),
            attempts: exchange.trail(config, Attempt::ended),
            usage: spent.map(|spent| spent.usage),
            cost: spent.and_then(|spent| spent.cost()),
            first_token,
            took: end.saturating_sub(first.began),
        };
        effects
    }

    /// It is over, and the client got this status: it is counted, and told to whoever wants to know.
    pub fn over(mut self, status: u16, world: &World<'_>) -> Vec<Effect> {
        self.labels.status = status;
        let now = world.now();
        if let Own::Since(since) = self.own {
            self.own = Own::Was(now.saturating_sub(since));
        }
        world.history.note(&chronicle::finished(&self, now));
        let endpoint = self.labels.endpoint;
        let duration = Histogram::Duration { endpoint, target: self.labels.target() };
        let mut effects = Vec::with_capacity(ROOM);
        effects.push(Effect::Observe(duration, now.saturating_sub(self.began)));
        if let Own::Was(own) = self.own {
            effects.push(Effect::Observe(Histogram::Overhead { endpoint }, own));
        }
        effects.extend(self.cache.map(|header| Effect::Count(Counter::Cache(header))));
        effects.extend(self.reason.map(|reason| Effect::Count(Counter::Refused(endpoint, reason))));
        if world.config.access_log == AccessLog::Written {
            effects.push(Effect::Property(LOGGED, self.line(world)));
        }
        effects.push(Effect::Count(Counter::Request(self.labels)));
        effects
    }

    /// Its part of the line in the access log: members of a JSON object, each after a comma. So the line is an object
    /// also where there is no such part, and no comma is left over.
    fn line(&self, world: &World<'_>) -> Vec<u8> {
        let mut w = Writer::onto(Vec::with_capacity(640));
        w.object(|w| self.members(w, world));
        let mut line = w.finish();
        line.pop();
        if let Some(first) = line.first_mut() {
            *first = b',';
        }
        line
    }

    fn members(&self, w: &mut Writer, world: &World<'_>) {
        let Visit { labels, key, work, .. } = self;
        let tenant = key.as_ref().and_then(|key| key.tenant).and_then(|tenant| world.config.tenants.get(tenant));
        w.key("status").number(u64::from(labels.status));
        w.key("request_id").string(&self.id);
        w.key("method").string(labels.method);
        w.key("endpoint").string(labels.endpoint);
        for (name, word) in [
            ("key", key.as_ref().map_or("", |key| &key.name)),
            ("tenant", tenant.map_or("", |tenant| &tenant.name)),
            ("model", &self.asked),
            ("vendor", if &*labels.vendor == "none" { "" } else { &labels.vendor }),
            ("served", &work.served),
            ("attempts", &work.attempts),
            ("cache", self.cache.unwrap_or_default()),
            ("reason", self.reason.unwrap_or_default()),
        ] {
            if !word.is_empty() {
                w.key(name).string(word);
            }
        }
        if self.delivery != Delivery::Whole {
            w.key("streamed").bool(true);
        }
        if self.company > 0 {
            w.key("merged").number(self.company as u64);
        }
        if let Some(usage) = &work.usage {
            for (name, (kind, tokens)) in TOKENS.into_iter().zip(kinds(usage)) {
                // Most answers have no such parts.
                if tokens > 0 || matches!(kind, "input" | "output") {
                    w.key(name).number(tokens);
                }
            }
        }
        if let Some(cost) = work.cost {
            w.key("cost_usd").raw(&account::dollars(cost));
        }
        let own = match self.own {
            Own::Was(own) => Some(own),
            Own::Unknown | Own::Since(_) => None,
        };
        let vendor = Some(work.took).filter(|_| !work.attempts.is_empty());
        for (name, took) in [("first_token_ms", work.first_token), ("overhead_ms", own), ("vendor_ms", vendor)] {
            if let Some(took) = took {
                w.key(name).thousandths(micros(took));
            }
        }
    }
}

/// When an answer first said something.
fn first_event(attempt: &Attempt) -> Option<Duration> {
    match attempt.progress {
        Progress::Begun(first) | Progress::Complete { first, .. } => Some(first),
        Progress::Silent | Progress::Broken(_) => None,
    }
}

fn tokens(target: &Target, usage: &Usage) -> impl Iterator<Item = Effect> {
    let counted = kinds(usage).into_iter().filter(|(_, tokens)| *tokens > 0);
    counted.map(|(kind, tokens)| Effect::Add(Counter::Tokens(target.clone(), kind), tokens))
}

/// The members of a line for the [`kinds`] of tokens.
const TOKENS: [&str; 5] =
    ["tokens_input", "tokens_output", "tokens_cached_input", "tokens_cache_write", "tokens_reasoning"];

/// Cached and written ones are parts of the input, reasoning is a part of the output.
fn kinds(usage: &Usage) -> [(&'static str, u64); 5] {
    [
        ("input", usage.prompt),
        ("output", usage.completion),
        ("cached_input", usage.cached),
        ("cache_write", usage.cache_write),
        ("reasoning", usage.reasoning),
    ]
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// What a client wrote, as much of it as a line has room for.
fn bounded(text: &str) -> String {
    text.chars().take(LONGEST).collect()
}

/// The filter state in which Envoy's access log finds the filter's part of a line; Envoy prefixes it with `wasm.`.
pub const LOGGED: &str = "log";
/// For the effects of an end as most requests have it.
const ROOM: usize = 8;
/// In characters: longer than any name of a model, and than the numbers that programs give their requests.
const LONGEST: usize = 128;
