//! Quantities as people write them in `weir.yaml`: `20s`, `10m`, `8MiB`, `60/min`, and dollars as plain numbers.
//!
//! A duration always has a unit, because a bare `30` reads as seconds to one person and as milliseconds to the next.
//! A size may be a bare number of bytes. Units are exact and only dollars have fractions: what is written is what happens.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};

/// A length of time: a whole number and one of `ms`, `s`, `m`, `h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

/// A number of bytes: bare, or a whole number and one of `B`, `KiB`, `MiB`, `GiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub usize);

/// Bytes in hex.
pub fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
}

/// Bytes in base64: RFC 4648, with padding.
pub fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let bits = (0..3).fold(0, |bits, i| bits << 8 | u32::from(three.get(i).copied().unwrap_or(0)));
        for i in 0..4 {
            let digit = ALPHABET.get((bits >> (18 - 6 * i) & 63) as usize).filter(|_| i <= three.len());
            text.push(digit.copied().map_or('=', char::from));
        }
    }
    text
}

/// So many per length of time: a whole number, and `/s`, `/min`, `/h` or `/day`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How many.
    pub count: u64,
    /// Per how long.
    pub per: Duration,
}

/// An amount of money in billionths of a dollar: small enough for one token of the cheapest model, and a million dollars
/// are still exact in a double, which is all that a script in Redis has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct NanoUsd(pub u64);

impl NanoUsd {
    /// So many dollars, to the nearest billionth; `None` for what is no amount of money, or beyond 18 billion dollars.
    pub fn from_dollars(dollars: f64) -> Option<NanoUsd> {
        let nanos = (dollars * 1e9).round();
        // 2^64 itself is the first double that does not fit.
        (0.0..18_446_744_073_709_551_616.0).contains(&nanos).then_some(NanoUsd(nanos as u64))
    }
}

/// A price per token in trillionths of a dollar: a price per million tokens in dollars has at most six decimals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct PicoUsd(pub u64);

/// Why a text is no [`Span`], no [`Bytes`] or no [`Rate`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unreadable {
    expected: &'static str,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {}", self.expected)
    }
}

impl std::error::Error for Unreadable {}

impl FromStr for Span {
    type Err = Unreadable;

    fn from_str(text: &str) -> Result<Span, Unreadable> {
        let millis = measure(text, SPANS).ok_or(Unreadable { expected: A_SPAN })?;
        Ok(Span(Duration::from_millis(millis)))
    }
}

impl FromStr for Bytes {
    type Err = Unreadable;

    fn from_str(text: &str) -> Result<Bytes, Unreadable> {
        let bytes = text.parse().ok().or_else(|| measure(text, SIZES));
        bytes.and_then(|bytes| usize::try_from(bytes).ok()).map(Bytes).ok_or(Unreadable { expected: A_SIZE })
    }
}

impl FromStr for Rate {
    type Err = Unreadable;

    fn from_str(text: &str) -> Result<Rate, Unreadable> {
        let parts = text.split_once('/').filter(|(count, _)| count.bytes().all(|byte| byte.is_ascii_digit()));
        let rate = parts.and_then(|(count, unit)| {
            let (_, seconds) = RATES.iter().find(|(name, _)| *name == unit)?;
            Some(Rate { count: count.parse().ok()?, per: Duration::from_secs(*seconds) })
        });
        rate.ok_or(Unreadable { expected: A_RATE })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match RATES.iter().find(|(_, seconds)| Duration::from_secs(*seconds) == self.per) {
            Some((unit, _)) => write!(f, "{}/{unit}", self.count),
            None => write!(f, "{}/{}", self.count, Span(self.per)),
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_in_largest(u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX), SPANS, f)
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_in_largest(self.0 as u64, SIZES, f)
    }
}

/// A duration as OpenAI's `x-ratelimit-reset-*` have it, which is as the language Go prints one: `120ms`, `1s`, `6m0s`.
/// Rounded up, so that whoever waits for it has waited long enough.
pub fn go_duration(duration: Duration) -> String {
    let millis = duration.as_micros().div_ceil(1000);
    if millis < 1000 {
        return format!("{millis}ms");
    }
    let seconds = millis.div_ceil(1000);
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds}s"),
        (0, minutes, seconds) => format!("{minutes}m{seconds}s"),
        (hours, minutes, seconds) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

/// `12km` times the size of a `km`, if the unit is in the table and the product is a number.
fn measure(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (number, unit) = text.split_at_checked(text.find(|c: char| !c.is_ascii_digit())?)?;
    let (_, size) = units.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*size)
}

/// The amount in the largest unit that measures it exactly.
fn write_in_largest(amount: u64, units: &[(&str, u64)], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let exact = units.iter().rev().find(|(_, size)| amount != 0 && amount.is_multiple_of(*size));
    let (unit, size) = exact.or(units.first()).copied().unwrap_or(("", 1));
    write!(f, "{}{unit}", amount / size)
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Span, D::Error> {
        struct Written;

        impl Visitor<'_> for Written {
            type Value = Span;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(A_SPAN)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Span, E> {
                text.parse().map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }

        deserializer.deserialize_any(Written)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        struct Written;

        impl Visitor<'_> for Written {
            type Value = Bytes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(A_SIZE)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Bytes, E> {
                text.parse().map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))
            }

            fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<Bytes, E> {
                usize::try_from(bytes).map(Bytes).map_err(|_| E::invalid_value(de::Unexpected::Unsigned(bytes), &self))
            }

            fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<Bytes, E> {
                usize::try_from(bytes).map(Bytes).map_err(|_| E::invalid_value(de::Unexpected::Signed(bytes), &self))
            }
        }

        deserializer.deserialize_any(Written)
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Rate, D::Error> {
        struct Written;

        impl Visitor<'_> for Written {
            type Value = Rate;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(A_RATE)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Rate, E> {
                text.parse().map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }

        deserializer.deserialize_any(Written)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Units of time in milliseconds, ascending.
const SPANS: &[(&str, u64)] = &[("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)];
/// Units of size in bytes, ascending.
const SIZES: &[(&str, u64)] = &[("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];
/// What a rate is per, in seconds.
const RATES: &[(&str, u64)] = &[("s", 1), ("min", 60), ("h", 3600), ("day", 86_400)];

const A_SPAN: &str = "a duration such as 500ms, 20s, 10m or 1h";
const A_SIZE: &str = "a size such as 64KiB, 8MiB or 1048576";
const A_RATE: &str = "a rate such as 5/s, 60/min, 1000/h or 5000/day";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test;

    #[test]
    fn base64_is_as_the_standard_says() {
        for (bytes, text) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("\u{7f}>?", "fz4/")]
        {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn reads_and_writes_durations() {
        for (text, millis, shown) in [
            ("500ms", 500, "500ms"),
            ("20s", 20_000, "20s"),
            ("10m", 600_000, "10m"),
            ("1h", 3_600_000, "1h"),
            ("60s", 60_000, "1m"),
            ("90s", 90_000, "90s"),
            ("0s", 0, "0ms"),
        ] {
            let span: Span = text.parse().unwrap();
            assert_eq!(span, Span(Duration::from_millis(millis)), "{text}");
            assert_eq!(span.to_string(), shown);
        }
    }

    #[test]
    fn prints_durations_as_go_does() {
        for (micros, shown) in [
            (0, "0ms"),
            (1, "1ms"),
            (120_000, "120ms"),
            (999_001, "1s"),
            (1_000_001, "2s"),
            (360_000_000, "6m0s"),
            (3_605_000_000, "1h0m5s"),
        ] {
            assert_eq!(go_duration(Duration::from_micros(micros)), shown);
        }
    }

    #[test]
    fn reads_and_writes_sizes() {
        for (text, bytes, shown) in [
            ("1048576", 1 << 20, "1MiB"),
            ("8MiB", 8 << 20, "8MiB"),
            ("64KiB", 64 << 10, "64KiB"),
            ("1000B", 1000, "1000B"),
            ("0", 0, "0B"),
        ] {
            let size: Bytes = text.parse().unwrap();
            assert_eq!(size, Bytes(bytes), "{text}");
            assert_eq!(size.to_string(), shown);
        }
    }

    #[test]
    fn reads_and_writes_rates() {
        for (text, count, seconds) in [("5/s", 5, 1), ("60/min", 60, 60), ("0/h", 0, 3600), ("1000/day", 1000, 86_400)]
        {
            let rate: Rate = text.parse().unwrap();
            assert_eq!(rate, Rate { count, per: Duration::from_secs(seconds) }, "{text}");
            assert_eq!(rate.to_string(), text);
        }
        assert_eq!(Rate { count: 1, per: Duration::from_secs(120) }.to_string(), "1/2m");
    }

    #[test]
    fn reads_dollars() {
        for (dollars, nanos) in [(0.0, 0), (0.1, 100_000_000), (1e6, 1_000_000_000_000_000), (0.25, 250_000_000)] {
            assert_eq!(NanoUsd::from_dollars(dollars), Some(NanoUsd(nanos)), "{dollars}");
        }
        for dollars in [-1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e11] {
            assert_eq!(NanoUsd::from_dollars(dollars), None, "{dollars}");
        }
    }

    #[test]
    fn refuses_what_is_ambiguous() {
        for text in ["", "10", "s", "1.5s", "10 s", "-1s", "1d", "1S", "99999999999999999999s", "9999999999999999h"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
        for text in ["", "MiB", "1MB", "1mib", "1.5MiB", "-1", "99999999999999999999", "99999999999999GiB"] {
            assert!(text.parse::<Bytes>().is_err(), "{text}");
        }
        for text in ["", "60", "/s", "60/", "60/m", "60/month", "1.5/s", "-1/s", "+1/s", "6e1/s", "60 / s", "60/s/s"] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }

    #[test]
    fn travels_through_json() {
        let read = |json: &str| serde_json::from_str::<Bytes>(json).map_err(|problem| problem.to_string());
        assert_eq!(read("4096"), Ok(Bytes(4096)));
        assert_eq!(read(r#""4KiB""#), Ok(Bytes(4096)));
        assert!(read("-1").is_err());
        let span = serde_json::from_str::<Span>(r#""20s""#).unwrap();
        assert_eq!(serde_json::to_string(&span).unwrap(), r#""20s""#);
        let bare = serde_json::from_str::<Span>("20").unwrap_err().to_string();
        assert!(bare.starts_with("invalid type: integer `20`, expected a duration such as"), "{bare}");
    }
}
