//! The record of one subject, as it is kept in the memory that the workers of one Envoy share.

use std::time::Duration;

use super::bucket::{Micros, micros};
use super::held::{Held, SLOTS, Slot};
use super::window::{Period, Window};
use crate::unit::NanoUsd;

/// What one subject has used. A new one has used nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ledger {
    /// When the bucket of requests will be full again.
    pub(super) requests: Micros,
    /// When the bucket of tokens will be full again.
    pub(super) tokens: Micros,
    pub(super) held: Held,
    pub(super) hour: Window,
    pub(super) day: Window,
    pub(super) month: Window,
}

impl Ledger {
    /// The ledger in a record. One of another version or length, or none, is a new ledger; numbers that nobody can have
    /// written are bounded where they are used.
    pub fn parse(record: Option<&[u8]>) -> Ledger {
        let record = record.and_then(|record| record.strip_prefix(&[VERSION])).filter(|rest| rest.len() == 8 * WORDS);
        let mut words = record.unwrap_or_default().as_chunks().0.iter();
        let mut next = || words.next().copied().map(u64::from_le_bytes).unwrap_or_default();
        Ledger {
            requests: next(),
            tokens: next(),
            held: Held([(); SLOTS].map(|()| Slot { until: next(), count: u32::try_from(next()).unwrap_or_default() })),
            hour: Window { id: next(), spent: next() },
            day: Window { id: next(), spent: next() },
            month: Window { id: next(), spent: next() },
        }
    }

    /// The record: a byte that says its version, and words of eight bytes, the least significant first.
    pub fn render(&self) -> Record {
        let held = self.held.0.iter().flat_map(|slot| [slot.until, u64::from(slot.count)]);
        let windows = [self.hour, self.day, self.month].into_iter().flat_map(|window| [window.id, window.spent]);
        let words = [self.requests, self.tokens].into_iter().chain(held).chain(windows);
        let mut record = [VERSION; size_of::<Record>()];
        let (_, places) = record.as_rchunks_mut();
        places.iter_mut().zip(words).for_each(|(place, word)| *place = word.to_le_bytes());
        record
    }
}

impl Ledger {
    /// How many requests there are at once.
    pub fn in_flight(&self, now: Duration) -> u64 {
        self.held.count(micros(now))
    }

    /// What is spent, claims included, in this hour, this day and this month.
    pub fn spent(&self, now: Duration) -> [NanoUsd; 3] {
        let now = micros(now);
        [(self.hour, Period::Hour), (self.day, Period::Day), (self.month, Period::Month)]
            .map(|(window, period)| NanoUsd(window.at(period, now).spent))
    }
}

/// A ledger in bytes.
pub type Record = [u8; 1 + 8 * WORDS];

/// Changes with the layout, so that a filter of another version never misreads a record.
const VERSION: u8 = 1;
/// Two buckets, the slots, three windows.
const WORDS: usize = 2 + 2 * SLOTS + 2 * 3;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test;

    #[test]
    fn is_read_as_it_was_written() {
        let mut slots = [Slot::default(); SLOTS];
        slots[4] = Slot { until: 3, count: 4 };
        let [hour, day, month] = [5, 7, 9].map(|id| Window { id, spent: id + 1 });
        let ledger = Ledger { requests: 1, tokens: u64::MAX, held: Held(slots), hour, day, month };
        let record = ledger.render();
        assert_eq!(record.len(), 145);
        assert_eq!(Ledger::parse(Some(&record)), ledger);
    }

    #[test]
    fn what_cannot_be_read_is_a_new_one() {
        let record = Ledger { requests: 1, ..Ledger::default() }.render();
        let (short, long) = (&record[..144], [&record[..], &[0]].concat());
        let other = [&[VERSION + 1], &record[1..]].concat();
        for unreadable in [None, Some(&b""[..]), Some(short), Some(&long), Some(&other)] {
            assert_eq!(Ledger::parse(unreadable), Ledger::default());
        }
    }
}
