//! A ring of records: the sums of the last so many minutes or hours.

use std::time::Duration;

use super::Counts;
use crate::store::{Store, update};

/// How far back sums go, and in which steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    name: &'static str,
    /// How long a step is, in seconds.
    pub step: u64,
    /// How many steps there are, the one under way included.
    pub steps: u64,
}

/// Three hours, by the minute.
pub const MINUTES: Span = Span { name: "minute", step: 60, steps: 180 };
/// Two days, by the hour.
pub const HOURS: Span = Span { name: "hour", step: 3600, steps: 48 };

impl Span {
    /// The number of the step in which a moment lies.
    pub fn number(&self, at: Duration) -> u64 {
        at.as_secs() / self.step
    }

    /// Adds to the sum of a step. What the record holds of another one is over: of the round before, or ahead of a clock
    /// that has stepped back.
    pub(super) fn add(&self, store: &dyn Store, number: u64, more: &Counts) {
        update(store, &self.record(number), |record| {
            let mut counts = Counts::parse(record, number).unwrap_or_default();
            counts.add(more);
            (Some(counts.render(number)), ())
        });
    }

    /// The sums of all its steps, the oldest first, the one under way last.
    pub fn read(&self, store: &dyn Store, now: Duration) -> Vec<Counts> {
        let last = self.number(now);
        let numbers = (0..self.steps).rev().map(|ago| last.saturating_sub(ago));
        numbers
            .map(|number| Counts::parse(store.load(&self.record(number)).0.as_deref(), number).unwrap_or_default())
            .collect()
    }

    /// The names of its records.
    pub(super) fn names(&self) -> impl Iterator<Item = String> {
        (0..self.steps).map(|place| self.record(place))
    }

    fn record(&self, number: u64) -> String {
        format!("history/{}/{}", self.name, number % self.steps)
    }
}
