//! What a record says to people.

use std::time::Duration;

use super::super::breaker::Phase;
use super::super::decay::{Average, micros};
use super::{Record, SPEND};
use crate::unit::NanoUsd;

/// A record as somebody who looks sees it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct View {
    /// The part of attempts that are expected to be answered, 0 to 1.
    pub success: f64,
    /// How long the first token takes; `None` if nothing has been heard yet. The same for the next two.
    pub first_token: Option<Duration>,
    /// How long each further token takes.
    pub per_token: Option<Duration>,
    /// How many tokens an answer has.
    pub tokens: Option<f64>,
    /// How many requests are in flight.
    pub in_flight: f64,
    /// What is spent there in an hour, at the pace of about the last one.
    pub spend: NanoUsd,
    /// The breaker.
    pub phase: Phase,
    /// How many requests the vendor said to have left; `None` if it has not, or long ago. The same for the next.
    pub requests_left: Option<f64>,
    /// How many tokens.
    pub tokens_left: Option<f64>,
}

impl Record {
    /// What it says at a moment.
    pub fn view(&self, now: Duration) -> View {
        let now = micros(now);
        let record = self.faded(now);
        let known = |average: Average| (record.heard > 0).then_some(average.mean);
        View {
            success: 1.0 / (1.0 + record.odds()),
            first_token: known(record.first_token).map(Duration::from_secs_f64),
            per_token: known(record.per_token).map(Duration::from_secs_f64),
            tokens: known(record.tokens),
            in_flight: record.flying,
            spend: NanoUsd((record.spend * std::f64::consts::LN_2 * 3600.0 / SPEND.as_secs_f64()) as u64),
            phase: record.breaker.phase(now),
            requests_left: record.requests_left.left(now),
            tokens_left: record.tokens_left.left(now),
        }
    }
}
