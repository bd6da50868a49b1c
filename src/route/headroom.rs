//! What a vendor says of its own limits, in the headers of its answers.
//!
//! OpenAI, Azure, and most who speak their format send `x-ratelimit-limit-requests`, `-remaining-requests` and
//! `-reset-requests`, and the same of `tokens`, the reset as a length of time as the language Go prints one (OpenAI's
//! guide to rate limits). Anthropic sends `anthropic-ratelimit-requests-limit`, `-remaining` and `-reset`, and the same
//! of `tokens`, the reset as an instant (RFC 3339; its API reference, "Rate limits"). Both limits fill steadily, and the
//! reset is when they will be full again. Whatever cannot be read is as good as not sent.

use std::time::{Duration, SystemTime};

use super::decay::{Micros, micros};

/// What a vendor says of its limits; a default says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Headroom {
    /// How many requests it takes.
    pub requests: Option<Quota>,
    /// How many tokens it takes, of prompt and answer together.
    pub tokens: Option<Quota>,
}

/// One limit of a vendor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// How many are left.
    pub remaining: u64,
    /// How many there are when nothing is used; at least as many as are left.
    pub limit: u64,
    /// In how long that will be so again, at most [`LONGEST`].
    pub reset: Duration,
}

impl Headroom {
    /// Reads it from headers, names and values. `now` is since the Unix epoch.
    pub fn read<'h>(headers: impl IntoIterator<Item = (&'h str, &'h str)>, now: Duration) -> Headroom {
        let mut written = Written::default();
        for (name, value) in headers {
            written.take(name, value.trim(), now);
        }
        Headroom { requests: written.requests.quota(), tokens: written.tokens.quota() }
    }
}

#[derive(Default)]
struct Written {
    requests: Parts,
    tokens: Parts,
}

#[derive(Default)]
struct Parts {
    remaining: Option<u64>,
    limit: Option<u64>,
    reset: Option<Duration>,
}

impl Written {
    fn take(&mut self, name: &str, value: &str, now: Duration) {
        let name = name.to_ascii_lowercase();
        if let Some(rest) = name.strip_prefix("x-ratelimit-") {
            let Some((part, of)) = rest.split_once('-') else { return };
            self.part(of, part, value, now);
        } else if let Some(rest) = name.strip_prefix("anthropic-ratelimit-") {
            let Some((of, part)) = rest.split_once('-') else { return };
            self.part(of, part, value, now);
        }
    }

    fn part(&mut self, of: &str, part: &str, value: &str, now: Duration) {
        let parts = match of {
            "requests" => &mut self.requests,
            "tokens" => &mut self.tokens,
            _ => return,
        };
        match part {
            "remaining" => parts.remaining = value.parse().ok(),
            "limit" => parts.limit = value.parse().ok(),
            "reset" => parts.reset = go_length(value).or_else(|| until(value, now)),
            _ => {}
        }
    }
}

impl Parts {
    fn quota(&self) -> Option<Quota> {
        let remaining = self.remaining?;
        let limit = self.limit.unwrap_or(remaining).max(remaining);
        Some(Quota { remaining, limit, reset: self.reset.unwrap_or(MINUTE) })
    }
}

/// `6m0s`, `1s`, `120ms`, `1h2m3.5s`, or a bare number of seconds, as some have it.
fn go_length(text: &str) -> Option<Duration> {
    if let Some(seconds) = number(text) {
        return length(seconds);
    }
    let (mut rest, mut sum) = (text, 0.0);
    while !rest.is_empty() {
        let (amount, tail) = rest.split_at_checked(rest.find(|c: char| !c.is_ascii_digit() && c != '.')?)?;
        let unit = tail.split(|c: char| c.is_ascii_digit()).next()?;
        let (_, seconds) = UNITS.iter().find(|(name, _)| *name == unit)?;
        sum += amount.parse::<f64>().ok()? * seconds;
        rest = tail.strip_prefix(unit)?;
    }
    length(sum).filter(|_| !text.is_empty())
}

/// How long it is until an instant in RFC 3339.
fn until(text: &str, now: Duration) -> Option<Duration> {
    let instant = humantime::parse_rfc3339(text).ok()?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some(instant.saturating_sub(now).min(LONGEST))
}

/// A number as it is written without a sign or an exponent.
fn number(text: &str) -> Option<f64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    text.parse().ok().filter(|_| plain)
}

fn length(seconds: f64) -> Option<Duration> {
    (0.0..f64::INFINITY).contains(&seconds).then(|| Duration::from_secs_f64(seconds.min(LONGEST.as_secs_f64())))
}

/// A limit as a record keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Kept {
    remaining: u64,
    limit: u64,
    at: Micros,
    /// When it is full again; 0 if the vendor has not said anything.
    full: Micros,
}

impl Kept {
    pub(super) fn told(quota: &Quota, now: Micros) -> Kept {
        let Quota { remaining, limit, reset } = *quota;
        Kept { remaining, limit, at: now, full: now.saturating_add(micros(reset)) }
    }

    /// So many are on their way to the vendor, which has not counted them yet.
    pub(super) fn less(self, amount: u64) -> Kept {
        Kept { remaining: self.remaining.saturating_sub(amount), ..self }
    }

    /// How many are left, as it fills steadily; `None` if that is not known or no longer true. An instant out of reach
    /// is one of another clock.
    pub(super) fn left(&self, now: Micros) -> Option<f64> {
        let (gone, whole) = (now.checked_sub(self.at)?, self.full.checked_sub(self.at)?);
        if gone >= whole || whole > micros(LONGEST) || self.limit < self.remaining {
            return None;
        }
        let used = (self.limit - self.remaining) as f64;
        Some(self.remaining as f64 + used * (gone as f64 / whole as f64))
    }

    /// Between [`EXHAUSTED`] and 1: what is left after so many, of the part at which it begins to be scarce.
    pub(super) fn factor(&self, now: Micros, wanted: u64) -> f64 {
        let Some(left) = self.left(now) else { return 1.0 };
        let scarce = (SCARCE * self.limit as f64).max(1.0);
        ((left - wanted as f64) / scarce).clamp(EXHAUSTED, 1.0)
    }

    pub(super) fn words(&self) -> [u64; WORDS] {
        [self.remaining, self.limit, self.at, self.full]
    }

    pub(super) fn from_words([remaining, limit, at, full]: [u64; WORDS]) -> Kept {
        Kept { remaining, limit, at, full }
    }
}

pub(super) const WORDS: usize = 4;

/// Below this part of a limit a vendor is asked less, and the less the nearer it comes to nothing. At a limit per
/// minute a fifth of it is 12 s of requests: time enough to see it coming.
pub const SCARCE: f64 = 0.2;
/// The factor of a vendor that is about to refuse: behind every other, but in its order.
pub const EXHAUSTED: f64 = 0.01;
/// All known limits are per minute or per day.
const LONGEST: Duration = Duration::from_secs(86_400);
/// When a limit is full again whose vendor does not say.
const MINUTE: Duration = Duration::from_secs(60);

const UNITS: &[(&str, f64)] =
    &[("h", 3600.0), ("m", 60.0), ("s", 1.0), ("ms", 1e-3), ("us", 1e-6), ("µs", 1e-6), ("ns", 1e-9)];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test;

    /// 2025-01-01T00:00:00Z.
    const NOW: Duration = Duration::from_secs(1_735_689_600);

    fn quota(remaining: u64, limit: u64, millis: u64) -> Option<Quota> {
        Some(Quota { remaining, limit, reset: Duration::from_millis(millis) })
    }

    #[test]
    fn reads_what_openai_sends() {
        let headroom = Headroom::read(
            [
                ("x-ratelimit-limit-requests", "60"),
                ("X-RateLimit-Limit-Tokens", "150000"),
                ("x-ratelimit-remaining-requests", "59"),
                ("x-ratelimit-remaining-tokens", " 149984 "),
                ("x-ratelimit-reset-requests", "1s"),
                ("x-ratelimit-reset-tokens", "6m0s"),
                ("content-type", "application/json"),
            ],
            NOW,
        );
        let (requests, tokens) = (quota(59, 60, 1000), quota(149_984, 150_000, 360_000));
        assert_eq!(headroom, Headroom { requests, tokens });
    }

    #[test]
    fn reads_what_anthropic_sends() {
        let headroom = Headroom::read(
            [
                ("anthropic-ratelimit-requests-limit", "50"),
                ("anthropic-ratelimit-requests-remaining", "0"),
                ("anthropic-ratelimit-requests-reset", "2025-01-01T00:00:12Z"),
                ("anthropic-ratelimit-tokens-remaining", "1000"),
                ("anthropic-ratelimit-tokens-reset", "2024-12-31T23:59:59Z"),
                ("anthropic-ratelimit-input-tokens-remaining", "7"),
            ],
            NOW,
        );
        let (requests, tokens) = (quota(0, 50, 12_000), quota(1000, 1000, 0));
        assert_eq!(headroom, Headroom { requests, tokens });
    }

    #[test]
    fn reads_lengths_as_go_prints_them() {
        for (text, millis) in [
            ("120ms", Some(120)),
            ("1s", Some(1000)),
            ("6m0s", Some(360_000)),
            ("1h2m3.5s", Some(3_723_500)),
            ("1.5s", Some(1500)),
            ("12", Some(12_000)),
            ("0s", Some(0)),
            ("3000µs", Some(3)),
            ("99999h", Some(86_400_000)),
            ("", None),
            ("s", None),
            ("1", Some(1000)),
            ("1x", None),
            ("1.2.3s", None),
            ("-1s", None),
            ("1s2", None),
            ("inf", None),
            ("1e9", None),
        ] {
            assert_eq!(go_length(text), millis.map(Duration::from_millis), "{text}");
        }
    }

    #[test]
    fn what_is_no_limit_is_not_read() {
        for header in [("x-ratelimit", "1"), ("x-ratelimit-remaining-requests", "-1"), ("retry-after", "2")] {
            assert_eq!(Headroom::read([header], NOW), Headroom::default(), "{header:?}");
        }
    }

    #[test]
    fn fills_steadily() {
        let now = micros(NOW);
        let kept = Kept::told(&quota(10, 100, 60_000).unwrap(), now);
        assert_eq!(kept.left(now), Some(10.0));
        assert_eq!(kept.left(now + 30_000_000), Some(55.0));
        assert_eq!(kept.less(4).left(now), Some(6.0));
        assert_eq!((kept.left(now + 60_000_000), kept.left(now - 1)), (None, None));
        assert_eq!(Kept::default().left(now), None);
        assert_eq!(Kept::from_words([u64::MAX; WORDS]).left(u64::MAX), None);
        assert_eq!(Kept::from_words(kept.words()), kept);
    }

    #[test]
    fn what_is_scarce_counts_less() {
        let now = micros(NOW);
        for (remaining, wanted, factor) in
            [(100, 1, 1.0), (21, 1, 1.0), (11, 1, 0.5), (1, 1, EXHAUSTED), (0, 9, EXHAUSTED)]
        {
            assert_eq!(Kept::told(&quota(remaining, 100, 60_000).unwrap(), now).factor(now, wanted), factor);
        }
        assert_eq!(Kept::told(&quota(0, 0, 60_000).unwrap(), now).factor(now, 0), EXHAUSTED);
    }
}
