//! Numbers that fade with time: the arithmetic of a record.
//!
//! A sum that fades by half in a half-life is a window without edges: it needs one number instead of a list, two workers
//! need not agree on where a window begins, and what nobody adds to goes to nothing by itself.

use std::time::Duration;

/// Microseconds, since the Unix epoch where it is an instant.
pub(super) type Micros = u64;

/// The instant or the length, in the range where all sums are exact: until the year 2112.
pub(super) const fn micros(time: Duration) -> Micros {
    let micros = time.as_micros();
    if micros < LATEST as u128 { micros as Micros } else { LATEST }
}

/// What is left of an amount after a time: `amount * 2^(-since / half_life)`.
pub(super) fn faded(amount: f64, since: Micros, half_life: Duration) -> f64 {
    if amount == 0.0 || since == 0 { amount } else { amount * left(since, half_life) }
}

/// The part that is left after a time, from 1 down to 0.
pub(super) fn left(since: Micros, half_life: Duration) -> f64 {
    (-(since as f64) / micros(half_life).max(1) as f64).exp2()
}

/// A number out of a record. What no sum of ours comes to - no number, negative, beyond `most` - is nothing.
pub(super) fn sane(word: u64, most: f64) -> f64 {
    let number = f64::from_bits(word);
    // A negative zero is within the range and would divide into a negative infinity.
    if (0.0..=most).contains(&number) { number.abs() } else { 0.0 }
}

/// A mean in which a sample counts the less the older it is.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Average {
    pub(super) mean: f64,
    /// How many samples it is made of, faded.
    pub(super) weight: f64,
}

impl Average {
    /// The mean with one more sample. Of many that come at once each counts, and one that comes after a long silence
    /// counts alone.
    pub(super) fn with(self, sample: f64) -> Average {
        let weight = self.weight + 1.0;
        // Rounded, it may come out beyond both.
        let mean = (self.mean + (sample - self.mean) / weight).max(self.mean.min(sample)).min(self.mean.max(sample));
        Average { mean: mean.max(0.0), weight }
    }

    pub(super) fn faded(self, since: Micros, half_life: Duration) -> Average {
        Average { weight: faded(self.weight, since, half_life), ..self }
    }
}

const LATEST: Micros = 1 << 52;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test;

    const HALF: Duration = Duration::from_secs(10);

    #[test]
    fn fades_by_half_in_a_half_life() {
        for (since, left) in [(0, 8.0), (10_000_000, 4.0), (30_000_000, 1.0), (u64::MAX, 0.0)] {
            assert_eq!(faded(8.0, since, HALF), left);
        }
        assert!(faded(8.0, 1, Duration::ZERO).is_finite());
    }

    #[test]
    fn an_average_follows_its_samples() {
        let average = [1.0, 2.0, 6.0].into_iter().fold(Average::default(), Average::with);
        assert_eq!(average, Average { mean: 3.0, weight: 3.0 });
        assert_eq!(average.faded(10_000_000, HALF), Average { mean: 3.0, weight: 1.5 });
        assert_eq!(average.faded(u64::MAX, HALF).with(9.0).mean, 9.0, "after a long silence the new one counts alone");
    }

    #[test]
    fn what_is_no_amount_is_nothing() {
        for (number, read) in [(1.5, 1.5), (f64::NAN, 0.0), (f64::INFINITY, 0.0), (-1.0, 0.0), (11.0, 0.0)] {
            assert_eq!(sane(f64::to_bits(number), 10.0), read);
        }
        assert!(sane(f64::to_bits(-0.0), 10.0).is_sign_positive());
    }
}
