//! The bucket: a token bucket that is stored as one instant, the one at which it will be full again.
//!
//! This is the generic cell rate algorithm (ITU-T I.371, annex A) read backwards: taking n moves the instant n costs
//! into the future, time passing brings it nearer, and the bucket is empty when it lies a whole burst ahead. So there is
//! no refilling to do and nothing to lose between two reads. All sums are whole microseconds below 2^53, so a double,
//! which is all that a script in Redis has, holds them exactly, too.

use std::cmp::Ordering;
use std::time::Duration;

use super::{Bucket, Standing, Wait};

/// Microseconds, since the Unix epoch where it is an instant.
pub(super) type Micros = u64;

/// The instant, in the range where all sums are exact.
pub(super) fn micros(time: Duration) -> Micros {
    Micros::try_from(time.as_micros()).unwrap_or(LATEST).min(LATEST)
}

impl Bucket {
    /// How far taking so many moves the instant: `amount * per / count`, rounded up so that many small claims never
    /// come to less than one large one.
    pub(super) fn cost(&self, amount: u64) -> Micros {
        let (per, count) = (micros(self.rate.per), self.rate.count.max(1));
        // A division of 128 bits takes a twentieth of a microsecond, and there are many of them in a decision.
        let cost = match amount.checked_mul(per) {
            Some(time) => time.div_ceil(count),
            None => Micros::try_from((u128::from(amount) * u128::from(per)).div_ceil(count.into())).unwrap_or(DEAREST),
        };
        cost.min(DEAREST)
    }

    /// How far ahead the instant of an empty bucket lies: what a burst costs, and what rounding adds if it is taken one by
    /// one. That allowance stays below the cost of one, so that it never lets one more through; at thousands per second
    /// it therefore does not make up for all of the rounding.
    pub(super) fn depth(&self) -> Micros {
        let burst = self.cost(self.burst);
        let rounding = self.cost(1).saturating_mul(self.burst).saturating_sub(burst);
        let below_one = self.cost(1).saturating_sub(2);
        burst.saturating_add(rounding.min(below_one)).min(DEEPEST)
    }

    /// The instant after a claim that need not ask, and whether it was charged in full: debt ends at one burst.
    pub(super) fn charged(&self, full_at: Micros, now: Micros, amount: u64) -> (Micros, bool) {
        let (after, bound) = (self.later(full_at, now) + self.cost(amount), self.bound(now));
        (after.min(bound), after <= bound)
    }

    /// The instant after it turned out that not `claimed` but `used` was needed. A bucket that is full again stays full:
    /// nobody gets more than a burst by giving back.
    pub(super) fn settled(&self, full_at: Micros, now: Micros, claimed: u64, used: u64) -> Micros {
        let (claimed, used) = (self.cost(claimed), self.cost(used));
        match used.cmp(&claimed) {
            Ordering::Greater => (self.later(full_at, now) + (used - claimed)).min(self.bound(now)),
            Ordering::Less if full_at > now => self.later(full_at, now).saturating_sub(claimed - used).max(now),
            _ => self.bounded(full_at, now),
        }
    }

    /// How long such a claim would have to wait; nothing if it fits now.
    pub(super) fn wait(&self, full_at: Micros, now: Micros, amount: u64) -> Option<Wait> {
        let (cost, depth) = (self.cost(amount), self.depth());
        if cost > depth {
            return Some(Wait::Never);
        }
        let early = (self.later(full_at, now) + cost).saturating_sub(now + depth);
        (early > 0).then_some(Wait::For(Duration::from_micros(early)))
    }

    /// How it stands. What remains is what a single claim could still take.
    pub(super) fn standing(&self, full_at: Micros, now: Micros) -> Standing {
        let full_at = self.later(full_at, now);
        let (room, per) = ((now + self.depth()).saturating_sub(full_at), micros(self.rate.per).max(1));
        let remaining = match room.checked_mul(self.rate.count) {
            Some(product) => product / per,
            None => u64::try_from(u128::from(room) * u128::from(self.rate.count) / u128::from(per)).unwrap_or(u64::MAX),
        };
        Standing {
            limit: self.burst,
            remaining: remaining.min(self.burst),
            reset: Duration::from_micros(full_at - now),
        }
    }

    /// The instant from which a claim counts: not in the past, and, after a clock that stepped back or a record that
    /// somebody else wrote, not beyond the deepest debt.
    fn later(&self, full_at: Micros, now: Micros) -> Micros {
        self.bounded(full_at, now).max(now)
    }

    /// The instant, but not beyond the deepest debt.
    pub(super) fn bounded(&self, full_at: Micros, now: Micros) -> Micros {
        full_at.min(self.bound(now))
    }

    fn bound(&self, now: Micros) -> Micros {
        now + 2 * self.depth()
    }
}

/// The year 2112; that, and twice the deepest bucket, is below 2^53.
const LATEST: Micros = 1 << 52;
/// Nine years: no configuration has a bucket that takes as long to fill.
const DEEPEST: Micros = 1 << 48;
/// More than any bucket holds.
const DEAREST: Micros = DEEPEST << 1;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test;
    use crate::unit::Rate;

    const NOW: Micros = 1_800_000_000_000_000;

    fn bucket(count: u64, seconds: u64, burst: u64) -> Bucket {
        Bucket { rate: Rate { count, per: Duration::from_secs(seconds) }, burst }
    }

    fn take(bucket: &Bucket, full_at: Micros, now: Micros, amount: u64) -> Option<Micros> {
        bucket.wait(full_at, now, amount).is_none().then(|| bucket.charged(full_at, now, amount).0)
    }

    #[test]
    fn a_burst_is_there_at_once_whatever_the_rate() {
        for (count, seconds, burst) in [(60, 60, 10), (7, 60, 10), (1, 86_400, 3), (59_999, 60, 900), (1, 1, 1)] {
            let bucket = bucket(count, seconds, burst);
            let mut full_at = 0;
            for taken in 0..burst {
                assert_eq!(bucket.standing(full_at, NOW).remaining, burst - taken, "{bucket:?}");
                full_at = take(&bucket, full_at, NOW, 1).unwrap();
            }
            assert_eq!(bucket.standing(full_at, NOW).remaining, 0, "{bucket:?}");
            assert_eq!(take(&bucket, full_at, NOW, 1), None, "{bucket:?}");
        }
    }

    #[test]
    fn says_exactly_how_long_to_wait() {
        let bucket = bucket(7, 60, 10);
        let full_at = take(&bucket, 0, NOW, 10).unwrap();
        let Some(Wait::For(wait)) = bucket.wait(full_at, NOW, 3) else { panic!("it does not fit") };
        let then = NOW + micros(wait);
        assert_eq!(bucket.wait(full_at, then, 3), None);
        assert_eq!(bucket.wait(full_at, then - 1, 3), Some(Wait::For(Duration::from_micros(1))));
        assert_eq!(bucket.wait(0, NOW, 11), Some(Wait::Never));
        assert_eq!(bucket.standing(full_at, NOW).reset, Duration::from_micros(full_at - NOW));
    }

    #[test]
    fn a_rate_above_one_in_a_microsecond_is_kept() {
        let bucket = bucket(1_000_000_000, 1, 1_000_000_000);
        let full_at = take(&bucket, 0, NOW, 1_000_000).unwrap();
        assert_eq!(full_at, NOW + 1000);
        assert_eq!(bucket.standing(full_at, NOW).remaining, 999_000_000);
    }

    #[test]
    fn debt_ends_at_one_burst() {
        let bucket = bucket(1, 1, 10);
        assert_eq!(bucket.charged(0, NOW, 20), (NOW + 20_000_000, true));
        let (full_at, whole) = bucket.charged(NOW + 20_000_000, NOW, 1);
        assert_eq!((full_at, whole), (NOW + 20_000_000, false));
        assert_eq!(bucket.settled(0, NOW, 1, u64::MAX), NOW + 2 * bucket.depth());
        assert_eq!(bucket.standing(full_at, NOW).remaining, 0);
    }

    #[test]
    fn a_full_bucket_cannot_be_refunded() {
        let bucket = bucket(1, 1, 10);
        assert_eq!(bucket.settled(NOW - 5, NOW, 10, 0), NOW - 5);
        assert_eq!(bucket.settled(NOW + 5, NOW, 10, 0), NOW);
        assert_eq!(bucket.settled(NOW + 8_000_000, NOW, 10, 7), NOW + 5_000_000);
    }

    #[test]
    fn a_clock_that_steps_back_locks_it_for_two_bursts_at_most() {
        let bucket = bucket(1, 1, 10);
        let standing = bucket.standing(NOW, NOW / 2);
        assert_eq!((standing.remaining, standing.reset), (0, Duration::from_micros(20_000_000)));
        assert_eq!(bucket.wait(u64::MAX, NOW, 10), Some(Wait::For(Duration::from_secs(20))));
    }

    #[test]
    fn absurd_numbers_stay_numbers() {
        for bucket in [bucket(0, 0, 0), bucket(1, u64::MAX, u64::MAX), bucket(u64::MAX, 1, u64::MAX)] {
            for full_at in [0, NOW, u64::MAX] {
                for now in [0, NOW, LATEST] {
                    let (after, _) = bucket.charged(full_at, now, u64::MAX);
                    assert!(after.max(bucket.settled(full_at, now, 0, u64::MAX)) < 1 << 53);
                    assert!(bucket.standing(full_at, now).remaining <= bucket.burst);
                    bucket.wait(full_at, now, u64::MAX);
                }
            }
        }
    }
}
