//! A client's request as others are told of it when it is over: counters, the history.
//!
//! It begins with the headers and goes with the request through all its states, so that at the end there is one place
//! where everything is known: [`Visit::over`]. Of prompts, answers and keys there is nothing in it.

use std::rc::Rc;
use std::time::Duration;

use crate::chat::Usage;
use crate::config::{Config, Key};
use crate::flow::exchange::{Exchange, Spent};
use crate::flow::{Effect, World, chronicle};
use crate::metric::{Counter, Labels};
use crate::unit::NanoUsd;

/// What is known of a request, so far or in the end.
#[derive(Debug)]
pub struct Visit {
    /// What it is counted under.
    pub labels: Labels,
    /// When its headers were here, since the Unix epoch.
    pub began: Duration,
    /// Whose it is, if it showed a good key.
    pub key: Option<Rc<Key>>,
    /// What came of looking for a kept answer: the header `x-weir-cache`.
    pub cache: Option<&'static str>,
    /// Why it got an error, if it did.
    pub reason: Option<&'static str>,
    /// What vendors did for it.
    pub work: Work,
}

/// What vendors did for a request.
#[derive(Debug, Default)]
pub struct Work {
    /// Each attempt and its outcome: `openai:429,claude:ok`.
    pub attempts: String,
    /// The tokens, if there was an answer.
    pub usage: Option<Usage>,
    /// What they cost, if the price is known.
    pub cost: Option<NanoUsd>,
}

impl Visit {
    /// A request of which only the headers are known.
    pub fn new(labels: Labels, now: Duration) -> Visit {
        Visit { labels, began: now, key: None, cache: None, reason: None, work: Work::default() }
    }

    /// Its attempts are over.
    pub fn settled(&mut self, exchange: &Exchange, config: &Config) {
        let spent = exchange.spent();
        self.work = Work {
            attempts: exchange.trail(config),
            usage: spent.map(|spent| spent.usage),
            cost: spent.as_ref().and_then(Spent::cost),
        };
    }

    /// It is over, and the client got this status: it is counted, and told to whoever wants to know.
    pub fn over(mut self, status: u16, world: &World<'_>) -> Vec<Effect> {
        self.labels.status = status;
        world.history.note(&chronicle::finished(&self, world.now()));
        vec![Effect::Count(Counter::Request(self.labels))]
    }
}
