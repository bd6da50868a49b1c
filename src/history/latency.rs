//! How long requests took, as a histogram of fixed size.
//!
//! Each bucket reaches 1.41 times as far as the one before, from a millisecond to four and a half minutes. So a
//! quantile that is read from it is never further off than that, and histograms of several minutes can be added.

use std::time::Duration;

/// How many requests took how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Latencies(pub(super) [u32; BUCKETS]);

impl Default for Latencies {
    fn default() -> Latencies {
        Latencies([0; BUCKETS])
    }
}

impl Latencies {
    /// One more.
    pub fn note(&mut self, took: Duration) {
        if let Some(bucket) = self.0.get_mut(bucket(took)) {
            *bucket = bucket.saturating_add(1);
        }
    }

    /// All of both.
    pub fn add(&mut self, other: &Latencies) {
        self.0.iter_mut().zip(other.0).for_each(|(bucket, more)| *bucket = bucket.saturating_add(more));
    }

    /// How long the faster part of them took at most, 0.5 for the median; `None` if there are none. Within a bucket they
    /// are taken to be spread evenly, on the scale that the buckets have.
    pub fn quantile(&self, part: f64) -> Option<Duration> {
        let all: u64 = self.0.iter().copied().map(u64::from).sum();
        let rank = all as f64 * part;
        let mut below = 0.0;
        for (index, count) in self.0.iter().copied().enumerate().filter(|(_, count)| *count > 0) {
            let within = (rank - below) / f64::from(count);
            if within <= 1.0 {
                return Some(FIRST.mul_f64(2f64.powf((index as f64 - 1.0 + within) / PER_DOUBLING)));
            }
            below += f64::from(count);
        }
        None
    }
}

/// The first bucket is for all that is below [`FIRST`], the last for all that is beyond the others.
fn bucket(took: Duration) -> usize {
    let times = took.as_secs_f64() / FIRST.as_secs_f64();
    if times < 1.0 {
        return 0;
    }
    ((times.log2() * PER_DOUBLING) as usize + 1).min(BUCKETS - 1)
}

/// Up to 2^18 milliseconds.
pub(super) const BUCKETS: usize = 38;
const PER_DOUBLING: f64 = 2.0;
const FIRST: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test;

    fn of(millis: impl IntoIterator<Item = u64>) -> Latencies {
        let mut latencies = Latencies::default();
        millis.into_iter().for_each(|millis| latencies.note(Duration::from_millis(millis)));
        latencies
    }

    #[test]
    fn a_quantile_is_right_to_within_a_bucket() {
        for (low, high) in [(1, 100), (20, 2000), (900, 1100), (5000, 90_000)] {
            let latencies = of(low..=high);
            for part in [0.5, 0.95, 0.99] {
                let (right, read) = (low as f64 + (high - low) as f64 * part, latencies.quantile(part).unwrap());
                let off = (read.as_secs_f64() * 1e3 / right).ln().abs();
                assert!(off < 0.35, "{low}..{high} at {part}: {read:?}, not {right} ms");
            }
        }
    }

    #[test]
    fn has_a_place_for_everything() {
        assert_eq!(Latencies::default().quantile(0.5), None);
        assert!(of([0]).quantile(0.5).unwrap() < FIRST);
        let mut long = Latencies::default();
        long.note(Duration::MAX);
        assert!(long.quantile(0.5).unwrap() > Duration::from_secs(180));
        let mut both = of([10]);
        both.add(&of([10]));
        assert_eq!(both, of([10, 10]));
    }
}
