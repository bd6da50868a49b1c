//! What the requests of one minute, or of one hour, come to.

use super::latency::{BUCKETS, Latencies};
use super::{Finished, LEFT, Source};
use crate::unit::NanoUsd;

/// Sums over requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// All of them.
    pub requests: u64,
    /// Those that got a 5xx.
    pub errors: u64,
    /// Those that got a 429.
    pub limited: u64,
    /// Those that got another 4xx.
    pub rejected: u64,
    /// Those whose client left before its answer.
    pub left: u64,
    /// Those that got a kept answer.
    pub hits: u64,
    /// The tokens of their prompts.
    pub input: u64,
    /// The tokens of their answers.
    pub output: u64,
    /// What they cost.
    pub cost: NanoUsd,
    /// How long those took that were answered, together, in microseconds.
    pub micros: u64,
    /// How long those took that were answered.
    pub latencies: Latencies,
}

impl Counts {
    /// One more.
    pub fn note(&mut self, finished: &Finished<'_>) {
        let one = |which: &mut u64| *which = which.saturating_add(1);
        one(&mut self.requests);
        match finished.status {
            LEFT => one(&mut self.left),
            429 => one(&mut self.limited),
            500.. => one(&mut self.errors),
            400..500 => one(&mut self.rejected),
            _ => {
                self.micros = self.micros.saturating_add(u64::try_from(finished.took.as_micros()).unwrap_or(u64::MAX));
                self.latencies.note(finished.took);
            }
        }
        if finished.source == Source::Kept {
            one(&mut self.hits);
        }
        self.input = self.input.saturating_add(finished.input);
        self.output = self.output.saturating_add(finished.output);
        self.cost = NanoUsd(self.cost.0.saturating_add(finished.cost.0));
    }

    /// All of both.
    pub fn add(&mut self, other: &Counts) {
        let sums = self.words().into_iter().zip(other.words()).map(|(one, more)| one.saturating_add(more));
        let mut latencies = self.latencies;
        latencies.add(&other.latencies);
        *self = Counts::of(sums, latencies);
    }

    /// Those that were answered.
    pub fn answered(&self) -> u64 {
        [self.errors, self.limited, self.rejected, self.left].into_iter().fold(self.requests, u64::saturating_sub)
    }

    fn words(&self) -> [u64; WORDS] {
        let Counts { requests, errors, limited, rejected, left, hits, input, output, cost, micros, .. } = *self;
        [requests, errors, limited, rejected, left, hits, input, output, cost.0, micros]
    }

    fn of(words: impl IntoIterator<Item = u64>, latencies: Latencies) -> Counts {
        let mut words = words.into_iter();
        let mut next = || words.next().unwrap_or_default();
        Counts {
            requests: next(),
            errors: next(),
            limited: next(),
            rejected: next(),
            left: next(),
            hits: next(),
            input: next(),
            output: next(),
            cost: NanoUsd(next()),
            micros: next(),
            latencies,
        }
    }

    /// The sums in a record, if it is that of this minute or hour.
    pub fn parse(record: Option<&[u8]>, number: u64) -> Option<Counts> {
        let record = record?.strip_prefix(&[VERSION])?;
        let (known, rest) = record.split_first_chunk()?;
        let (words, latencies) = rest.split_at_checked(8 * WORDS)?;
        let ((words, []), (latencies, [])) = (words.as_chunks(), latencies.as_chunks()) else { return None };
        let mut buckets = Latencies::default();
        if u64::from_le_bytes(*known) != number || latencies.len() != buckets.0.len() {
            return None;
        }
        buckets.0.iter_mut().zip(latencies).for_each(|(bucket, count)| *bucket = u32::from_le_bytes(*count));
        Some(Counts::of(words.iter().copied().map(u64::from_le_bytes), buckets))
    }

    /// The record: a byte that says its version, the number of the minute or hour, the sums, the histogram; numbers have
    /// the least significant byte first.
    pub fn render(&self, number: u64) -> Vec<u8> {
        let mut record = Vec::with_capacity(RECORD);
        record.push(VERSION);
        [number].into_iter().chain(self.words()).for_each(|word| record.extend_from_slice(&word.to_le_bytes()));
        self.latencies.0.iter().for_each(|count| record.extend_from_slice(&count.to_le_bytes()));
        record
    }
}

/// Changes with the layout, so that a filter of another version never misreads a record.
const VERSION: u8 = 1;
const WORDS: usize = 10;
const RECORD: usize = 1 + 8 + 8 * WORDS + 4 * BUCKETS;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::tests::{chat, refused};
    use crate::test;

    #[test]
    fn each_request_is_one_of_its_kind() {
        let mut counts = Counts::default();
        let kept = Finished { source: Source::Kept, ..chat(0) };
        for finished in [chat(0), kept, refused(0, 429), refused(0, 503), refused(0, 502), refused(0, 401)] {
            counts.note(&finished);
        }
        counts.note(&refused(0, LEFT));
        let Counts { requests, errors, limited, rejected, left, hits, .. } = counts;
        assert_eq!((requests, errors, limited, rejected, left, hits, counts.answered()), (7, 2, 1, 1, 1, 1, 2));
        assert_eq!((counts.input, counts.output, counts.cost), (20, 6, NanoUsd(80)));
        assert_eq!(counts.micros, 100_000);
    }

    #[test]
    fn is_read_as_it_was_written() {
        let mut counts = Counts::default();
        counts.note(&chat(0));
        counts.add(&counts.clone());
        let record = counts.render(7);
        assert_eq!(record.len(), RECORD);
        assert_eq!(Counts::parse(Some(&record), 7), Some(counts));
        let (short, long) = (&record[..record.len() - 1], [&record[..], &[0]].concat());
        let other = [&[VERSION + 1], &record[1..]].concat();
        for unreadable in [None, Some(&b""[..]), Some(short), Some(&long), Some(&other)] {
            assert_eq!(Counts::parse(unreadable, 7), None);
        }
        assert_eq!(Counts::parse(Some(&record), 8), None, "the record of another minute");
    }

    #[test]
    fn no_sum_overflows() {
        let mut counts = Counts { input: u64::MAX, cost: NanoUsd(u64::MAX), ..Counts::default() };
        counts.note(&chat(0));
        counts.add(&counts.clone());
        assert_eq!((counts.input, counts.cost, counts.requests), (u64::MAX, NanoUsd(u64::MAX), 2));
    }
}
