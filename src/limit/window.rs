//! The windows of a budget: an hour, a day or a month of the calendar in UTC, and what was spent in it.

use std::time::Duration;

use super::Wait;
use super::bucket::Micros;
use crate::unit::NanoUsd;

/// How long a window is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Period {
    Hour,
    Day,
    Month,
}

/// What was spent in the window with this number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Window {
    /// Which hour or day since the Unix epoch, or which month since March of the year 0.
    pub(super) id: u64,
    /// Billionths of a dollar.
    pub(super) spent: u64,
}

impl Period {
    /// The number of the window in which an instant lies.
    ///
    /// The month is that of Howard Hinnant's `civil_from_days`, without its last step: a year that begins in March ends
    /// with the leap day, so months can be counted by division.
    pub(super) fn id(self, now: Micros) -> u64 {
        match self {
            Period::Hour => now / HOUR,
            Period::Day => now / DAY,
            Period::Month => {
                let days = now / DAY + MARCH_OF_YEAR_0;
                let (era, day) = (days / 146_097, days % 146_097);
                let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
                let day_of_year = day - (365 * year + year / 4 - year / 100);
                12 * (400 * era + year) + (5 * day_of_year + 2) / 153
            }
        }
    }

    /// When the window with this number ends.
    pub(super) fn end(self, id: u64) -> Micros {
        match self {
            Period::Hour => id.saturating_add(1).saturating_mul(HOUR),
            Period::Day => id.saturating_add(1).saturating_mul(DAY),
            Period::Month => {
                let next = id.saturating_add(1);
                let (year, month) = (next / 12, next % 12);
                let (era, year) = (year / 400, year % 400);
                let day = 365 * year + year / 4 - year / 100 + (153 * month + 2) / 5;
                era.saturating_mul(146_097).saturating_add(day).saturating_sub(MARCH_OF_YEAR_0).saturating_mul(DAY)
            }
        }
    }
}

impl Window {
    /// The window as it counts now: a later one begins at nothing.
    pub(super) fn at(self, period: Period, now: Micros) -> Window {
        let current = period.id(now);
        if self.id < current { Window { id: current, spent: 0 } } else { self.bounded(period, now) }
    }

    /// After a clock that stepped back the money stays spent, in the window it was spent in, but that lies one window
    /// ahead at most.
    pub(super) fn bounded(self, period: Period, now: Micros) -> Window {
        Window { id: self.id.min(period.id(now) + 1), spent: self.spent.min(MOST) }
    }

    /// With so much more spent.
    pub(super) fn charged(self, NanoUsd(usd): NanoUsd) -> Window {
        Window { spent: self.spent.saturating_add(usd).min(MOST), ..self }
    }

    /// With the claim exchanged for what was used, if the claim was charged to this window.
    pub(super) fn settled(self, charged_to: u64, NanoUsd(claimed): NanoUsd, NanoUsd(used): NanoUsd) -> Window {
        if self.id != charged_to {
            return self;
        }
        let spent = match used.checked_sub(claimed) {
            Some(more) => self.spent.saturating_add(more),
            None => self.spent.saturating_sub(claimed - used),
        };
        Window { spent: spent.min(MOST), ..self }
    }

    /// How long a claim of so much would have to wait; nothing if it is within the limit.
    pub(super) fn wait(self, period: Period, now: Micros, limit: NanoUsd, claim: NanoUsd) -> Option<Wait> {
        if claim > limit {
            return Some(Wait::Never);
        }
        let over = self.charged(claim).spent > limit.0;
        over.then(|| Wait::For(Duration::from_micros(period.end(self.id).saturating_sub(now))))
    }
}

const HOUR: Micros = 3_600_000_000;
const DAY: Micros = 24 * HOUR;
/// Days from March 1st of the year 0 to the Unix epoch.
const MARCH_OF_YEAR_0: u64 = 719_468;
/// Four million dollars: four times the largest budget, and still exact in a double.
pub(super) const MOST: u64 = 4_000_000_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limit::bucket::micros;
    use crate::test;

    fn instant(text: &str) -> Micros {
        micros(humantime::parse_rfc3339(text).unwrap().duration_since(std::time::UNIX_EPOCH).unwrap())
    }

    #[test]
    fn windows_are_those_of_the_calendar() {
        for (period, now, end) in [
            (Period::Hour, "2026-07-14T09:59:59.999999Z", "2026-07-14T10:00:00Z"),
            (Period::Day, "2026-12-31T23:59:59Z", "2027-01-01T00:00:00Z"),
            (Period::Month, "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"),
            (Period::Month, "2026-01-31T12:00:00Z", "2026-02-01T00:00:00Z"),
            (Period::Month, "2027-02-28T23:59:59Z", "2027-03-01T00:00:00Z"),
            (Period::Month, "2028-02-29T00:00:00Z", "2028-03-01T00:00:00Z"),
            (Period::Month, "2000-02-29T00:00:00Z", "2000-03-01T00:00:00Z"),
            (Period::Month, "1970-01-01T00:00:00Z", "1970-02-01T00:00:00Z"),
        ] {
            let (now, end) = (instant(now), instant(end));
            assert_eq!(period.end(period.id(now)), end, "{period:?} {now}");
            assert_eq!(period.id(end), period.id(now) + 1);
            assert_eq!(period.id(end - 1), period.id(now));
        }
    }

    #[test]
    fn every_month_of_a_century_follows_the_one_before() {
        let mut end = instant("2000-01-01T00:00:00Z");
        for _ in 0..1200 {
            let id = Period::Month.id(end);
            assert!((28..=31).contains(&((Period::Month.end(id) - end) / DAY)));
            end = Period::Month.end(id);
            assert_eq!(Period::Month.id(end), id + 1);
        }
        assert_eq!(end, instant("2100-01-01T00:00:00Z"));
    }

    #[test]
    fn a_later_window_begins_at_nothing_and_an_earlier_one_does_not() {
        let window = Window { id: 100, spent: 5 };
        assert_eq!(window.at(Period::Hour, 101 * HOUR), Window { id: 101, spent: 0 });
        assert_eq!(window.at(Period::Hour, 99 * HOUR), window);
        assert_eq!(window.at(Period::Hour, 50 * HOUR), Window { id: 51, spent: 5 });
        assert_eq!(window.wait(Period::Hour, 99 * HOUR, NanoUsd(9), NanoUsd(4)), None);
        let wait = window.wait(Period::Hour, 99 * HOUR, NanoUsd(9), NanoUsd(5));
        assert_eq!(wait, Some(Wait::For(Duration::from_secs(7200))));
        assert_eq!(window.wait(Period::Hour, 99 * HOUR, NanoUsd(9), NanoUsd(10)), Some(Wait::Never));
    }

    #[test]
    fn only_the_window_that_was_charged_is_settled() {
        let window = Window { id: 100, spent: 50 };
        assert_eq!(window.settled(100, NanoUsd(20), NanoUsd(3)).spent, 33);
        assert_eq!(window.settled(100, NanoUsd(20), NanoUsd(23)).spent, 53);
        assert_eq!(window.settled(100, NanoUsd(80), NanoUsd(3)).spent, 0);
        assert_eq!(window.settled(99, NanoUsd(20), NanoUsd(3)), window);
        assert_eq!(window.settled(100, NanoUsd(0), NanoUsd(u64::MAX)).spent, MOST);
    }
}
