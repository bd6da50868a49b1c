//! Requests at once, counted so that those of a crashed worker are forgotten by themselves.
//!
//! A request holds its place until it ends or until its lease does. Leases are not kept one by one but in a few slots
//! by the time they end, rounded up to a quarter of their length: a record of fixed size, at the price that a crashed
//! request is forgotten up to a quarter late.

use std::time::Duration;

use super::bucket::{Micros, micros};

/// The leases of one subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Held(pub(super) [Slot; SLOTS]);

/// The leases that end together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Slot {
    pub(super) until: Micros,
    pub(super) count: u32,
}

impl Slot {
    fn counts(&self, now: Micros) -> bool {
        self.count > 0 && self.until > now && self.until <= now + LONGEST
    }
}

impl Held {
    /// How many requests there are.
    pub(super) fn count(&self, now: Micros) -> u64 {
        self.0.iter().filter(|slot| slot.counts(now)).map(|slot| u64::from(slot.count)).sum()
    }

    /// One more. Where every slot is taken, because leases of another length or another time are still there, it goes
    /// into the next that ends later, or the last is extended.
    pub(super) fn hold(&mut self, now: Micros, lease: Duration) {
        let until = end(now, lease);
        if let Some(slot) = self.later(now, until).filter(|slot| slot.until == until) {
            slot.count = slot.count.saturating_add(1);
        } else if let Some(free) = self.0.iter_mut().find(|slot| !slot.counts(now)) {
            *free = Slot { until, count: 1 };
        } else if let Some(slot) = self.later(now, until) {
            slot.count = slot.count.saturating_add(1);
        } else if let Some(last) = self.0.iter_mut().max_by_key(|slot| slot.until) {
            *last = Slot { until, count: last.count.saturating_add(1) };
        }
    }

    /// One less, if the lease that began at `at` has not ended by itself.
    pub(super) fn release(&mut self, now: Micros, at: Micros, lease: Duration) {
        let until = end(at, lease);
        if until <= now {
            return;
        }
        if let Some(slot) = self.later(now, until) {
            slot.count = slot.count.saturating_sub(1);
        }
    }

    /// The slot where a lease that ends then is, or would be if it has none of its own.
    fn later(&mut self, now: Micros, until: Micros) -> Option<&mut Slot> {
        let later = self.0.iter_mut().filter(|slot| slot.counts(now) && slot.until >= until);
        later.min_by_key(|slot| slot.until)
    }
}

/// A lease, in the range that can be told from nonsense.
pub(super) fn lease(lease: Duration) -> Micros {
    micros(lease).clamp(1, LONGEST / 2)
}

/// When the slot ends into which a lease goes that began then.
fn end(at: Micros, duration: Duration) -> Micros {
    let lease = lease(duration);
    let step = lease.div_ceil(SLOTS as u64 - 1);
    (at + lease).div_ceil(step).saturating_mul(step)
}

/// One more than the parts into which a lease is rounded, so that there is always a slot for one that begins now.
pub(super) const SLOTS: usize = 5;
/// Two days and a bit; whatever seems to end later was written by somebody else or with another clock. The longest
/// request takes a day.
pub(super) const LONGEST: Micros = 200_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test;

    const NOW: Micros = 1_800_000_000_000_000;
    const LEASE: Duration = Duration::from_secs(600);

    #[test]
    fn a_request_that_never_ends_is_forgotten() {
        let mut held = Held::default();
        held.hold(NOW, LEASE);
        assert_eq!(held.count(NOW + 599_999_999), 1);
        assert_eq!(held.count(NOW + 750_000_000), 0, "a lease and a quarter later");
    }

    #[test]
    fn there_is_always_a_slot() {
        let mut held = Held::default();
        for second in 0..3000 {
            let now = NOW + second * 1_000_000;
            held.hold(now, LEASE);
            assert!((second.min(600)..=second.min(750) + 1).contains(&held.count(now)), "{second}");
        }
    }

    #[test]
    fn what_is_held_is_released() {
        let mut held = Held::default();
        for second in 0..300 {
            held.hold(NOW + second * 1_000_000, LEASE);
        }
        let later = NOW + 300_000_000;
        for second in 0..300 {
            assert_eq!(held.count(later), 300 - second);
            held.release(later, NOW + second * 1_000_000, LEASE);
        }
        held.release(later, NOW, LEASE);
        assert_eq!(held.count(later), 0);
    }

    #[test]
    fn a_lease_that_has_ended_is_not_released_for_another() {
        let mut held = Held::default();
        held.hold(NOW, LEASE);
        held.hold(NOW + 700_000_000, LEASE);
        held.release(NOW + 800_000_000, NOW, LEASE);
        assert_eq!(held.count(NOW + 800_000_000), 1);
    }

    #[test]
    fn leases_of_another_length_or_time_do_not_get_lost() {
        for (at, lease) in [(NOW, 7), (NOW, 6000), (NOW - 3_600_000_000, 600), (NOW + 60_000_000, 601)] {
            let mut held = Held::default();
            for second in (0..600).step_by(150) {
                held.hold(NOW - second * 1_000_000, LEASE);
            }
            let before = held.count(at);
            for _ in 0..7 {
                held.hold(at, Duration::from_secs(lease));
            }
            assert_eq!(held.count(at), before + 7, "{lease}");
            for _ in 0..7 {
                held.release(at, at, Duration::from_secs(lease));
            }
            assert_eq!(held.count(at), before, "{lease}");
        }
    }

    #[test]
    fn what_ends_in_years_does_not_count() {
        let held = Held([Slot { until: u64::MAX, count: 9 }; SLOTS]);
        assert_eq!(held.count(NOW), 0);
    }
}
