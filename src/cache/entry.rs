//! What is kept of one answer, and for how long it is good.

use std::time::Duration;

use super::Key;

/// A kept answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The whole answer, the JSON of a `chat.completion`.
    pub answer: Vec<u8>,
    /// The vendor that gave it.
    pub vendor: String,
    /// The model that was asked there.
    pub model: String,
    /// What it cost, in billionths of a dollar; 0 if nobody knows.
    pub cost: u64,
    /// When it was kept, since the Unix epoch, by the clock of the gateway that did; in whole milliseconds.
    pub stored: Duration,
    /// How long it is fresh; in whole milliseconds.
    pub ttl: Duration,
}

/// The largest record that is read, in bytes: the largest whole answer that a vendor may give, and room for the rest.
pub const MAX_BYTES: usize = (32 << 20) + (64 << 10);

impl Entry {
    /// The record to keep under a key: version, key, cost, times, the three texts each after its length, and a checksum of
    /// all of it. Numbers are little-endian.
    pub fn encode(&self, key: &Key) -> Vec<u8> {
        let texts = [self.vendor.as_bytes(), self.model.as_bytes(), &self.answer];
        let mut record = Vec::with_capacity(OVERHEAD + texts.iter().map(|text| text.len()).sum::<usize>());
        record.push(VERSION);
        record.extend_from_slice(key.bytes());
        record.extend_from_slice(&self.cost.to_le_bytes());
        record.extend_from_slice(&millis(self.stored).to_le_bytes());
        record.extend_from_slice(&millis(self.ttl).to_le_bytes());
        for text in texts {
            record.extend_from_slice(&(text.len() as u64).to_le_bytes());
            record.extend_from_slice(text);
        }
        record.extend_from_slice(&checksum(&record));
        record
    }

    /// Reads a record that may come from anywhere. `None` if it is not exactly what [`Entry::encode`] made for this key,
    /// or too large.
    pub fn decode(key: &Key, record: &[u8]) -> Option<Entry> {
        if record.len() > MAX_BYTES {
            return None;
        }
        let (kept, sum) = record.split_at_checked(record.len().checked_sub(SUM)?)?;
        if checksum(kept) != *sum {
            return None;
        }
        Entry::read(key, record)
    }

    /// Reads a record from memory that only this gateway writes. `None` if it is another key's or of another version.
    pub fn read(key: &Key, record: &[u8]) -> Option<Entry> {
        let (kept, _) = record.split_at_checked(record.len().checked_sub(SUM)?)?;
        let mut rest = kept.strip_prefix(&[VERSION])?.strip_prefix(key.bytes())?;
        let cost = number(&mut rest)?;
        let stored = Duration::from_millis(number(&mut rest)?);
        let ttl = Duration::from_millis(number(&mut rest)?);
        let vendor = String::from_utf8(text(&mut rest)?).ok()?;
        let model = String::from_utf8(text(&mut rest)?).ok()?;
        let answer = text(&mut rest)?;
        rest.is_empty().then_some(Entry { answer, vendor, model, cost, stored, ttl })
    }

    /// How long ago it was kept; nothing, if by a clock that is ahead of this one.
    pub fn age(&self, now: Duration) -> Duration {
        now.saturating_sub(self.stored)
    }

    /// Whether it may be given without asking the vendor.
    pub fn fresh(&self, now: Duration) -> bool {
        self.credible(now) && self.age(now) < self.ttl
    }

    /// Whether it is no longer fresh, but has not been so for longer than `stale_for`: it may be given when the vendor
    /// fails, or while it is asked again.
    pub fn stale(&self, now: Duration, stale_for: Duration) -> bool {
        let age = self.age(now);
        self.credible(now) && age >= self.ttl && age - self.ttl < stale_for
    }

    /// Whether it can be from now or before. An entry from the future would stay fresh until then.
    fn credible(&self, now: Duration) -> bool {
        self.stored.saturating_sub(now) <= CLOCKS_DIFFER
    }
}

/// How far ahead the clock of whoever kept an entry may be. Clocks that are set by NTP differ by less than a second;
/// a minute is a clock that is wrong, and an entry lives longer by no more than that.
const CLOCKS_DIFFER: Duration = Duration::from_secs(60);

/// Changes whenever the record does.
const VERSION: u8 = 1;
/// The bytes of the checksum: half a hash, so that no accident makes one.
const SUM: usize = 16;
/// A record without its texts.
const OVERHEAD: usize = 1 + 32 + 3 * 8 + 3 * 8 + SUM;

fn checksum(kept: &[u8]) -> [u8; SUM] {
    let mut sum = [0; SUM];
    blake3::Hasher::new().update(kept).finalize_xof().fill(&mut sum);
    sum
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn number(rest: &mut &[u8]) -> Option<u64> {
    let (number, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(u64::from_le_bytes(*number))
}

fn text(rest: &mut &[u8]) -> Option<Vec<u8>> {
    let length = usize::try_from(number(rest)?).ok()?;
    let (text, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(text.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::{Normal, key};
    use crate::chat::Request;
    use crate::test;

    const NOW: Duration = Duration::from_secs(1_800_000_000);

    fn a_key(scope: &str) -> Key {
        let body = br#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#;
        key(scope, "m", &Request::parse(body.to_vec()).unwrap(), Normal::default())
    }

    fn entry() -> Entry {
        Entry {
            answer: br#"{"object":"chat.completion"}"#.to_vec(),
            vendor: "openai".to_owned(),
            model: "gpt-4o".to_owned(),
            stored: NOW,
            cost: 7,
            ttl: Duration::from_secs(300),
        }
    }

    #[test]
    fn reads_what_was_kept_under_the_same_key_alone() {
        let record = entry().encode(&a_key("key:a"));
        assert_eq!(Entry::decode(&a_key("key:a"), &record), Some(entry()));
        assert_eq!(Entry::decode(&a_key("key:b"), &record), None);
    }

    #[test]
    fn a_record_of_another_version_or_too_large_is_none() {
        let key = a_key("shared");
        let resealed = |change: fn(&mut Vec<u8>)| {
            let mut record = entry().encode(&key);
            record.truncate(record.len() - SUM);
            change(&mut record);
            record.extend(checksum(&record));
            Entry::decode(&key, &record)
        };
        assert_eq!(resealed(|_| {}), Some(entry()));
        assert_eq!(resealed(|record| record[0] += 1), None);
        assert_eq!(resealed(|record| record.push(0)), None);
        assert_eq!(resealed(|record| record[33 + 24] = 0xff), None);
        assert_eq!(resealed(|record| record[33 + 32] = 0xff), None, "a vendor's name that is not UTF-8");
        let large = Entry { answer: vec![b' '; MAX_BYTES], ..entry() };
        assert_eq!(Entry::decode(&key, &large.encode(&key)), None);
    }

    #[test]
    fn is_fresh_then_stale_then_gone() {
        let entry = entry();
        let stale_for = Duration::from_secs(60);
        for (seconds, fresh, stale) in
            [(0, true, false), (299, true, false), (300, false, true), (359, false, true), (360, false, false)]
        {
            let now = NOW + Duration::from_secs(seconds);
            assert_eq!((entry.fresh(now), entry.stale(now, stale_for)), (fresh, stale), "{seconds}");
            assert_eq!(entry.age(now), Duration::from_secs(seconds));
        }
    }

    #[test]
    fn a_clock_may_step_back_but_not_far() {
        let entry = entry();
        let a_little = NOW - Duration::from_secs(60);
        assert!(entry.fresh(a_little) && entry.age(a_little) == Duration::ZERO);
        let a_lot = NOW - Duration::from_secs(61);
        assert!(!entry.fresh(a_lot) && !entry.stale(a_lot, Duration::MAX));
        let never = Entry { ttl: Duration::ZERO, ..entry };
        assert!(!never.fresh(NOW) && never.stale(NOW, Duration::MAX));
    }
}
