//! The last refusals: a record of bounded size.

use std::collections::VecDeque;
use std::time::Duration;

use super::Finished;

/// Refusals that are the same but for their time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// When the first of them was, since the Unix epoch.
    pub since: Duration,
    /// When the last was.
    pub at: Duration,
    /// How many there were.
    pub times: u32,
    /// The HTTP status.
    pub status: u16,
    /// The path, or `other`.
    pub endpoint: String,
    /// The refusal's reason.
    pub reason: String,
    /// The name of the key; empty if that is not known.
    pub key: String,
    /// The model: a configured one, `other`, or `none`.
    pub model: String,
    /// The attempts and their outcomes; empty if there were none.
    pub attempts: String,
}

/// The last refusals, the latest last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refusals(VecDeque<Refusal>);

impl Refusals {
    /// One more.
    pub fn note(&mut self, finished: &Finished<'_>) {
        let Finished { endpoint, status, reason, key, model, attempts, .. } = *finished;
        let texts = [endpoint, reason, key, model, attempts].map(cut);
        let at = finished.at;
        match self.0.iter().position(|known| known.status == status && known.texts() == texts) {
            Some(index) => self.again(index, at, 1),
            None => {
                let [endpoint, reason, key, model, attempts] = texts.map(str::to_owned);
                self.push(Refusal { since: at, at, times: 1, status, endpoint, reason, key, model, attempts });
            }
        }
    }

    /// These and later ones.
    pub fn with(mut self, later: &Refusals) -> Refusals {
        for refusal in &later.0 {
            let same = |known: &Refusal| known.status == refusal.status && known.texts() == refusal.texts();
            match self.0.iter().position(same) {
                Some(index) => self.again(index, refusal.at, refusal.times),
                None => self.push(refusal.clone()),
            }
        }
        // Workers write when they come to it.
        self.0.make_contiguous().sort_by_key(|refusal| refusal.at);
        self
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The latest first.
    pub fn latest(&self) -> impl Iterator<Item = &Refusal> {
        self.0.iter().rev()
    }

    fn again(&mut self, index: usize, at: Duration, times: u32) {
        if let Some(mut refusal) = self.0.remove(index) {
            refusal.at = refusal.at.max(at);
            refusal.times = refusal.times.saturating_add(times);
            self.0.push_back(refusal);
        }
    }

    fn push(&mut self, refusal: Refusal) {
        self.0.push_back(refusal);
        if self.0.len() > MOST_REFUSALS {
            self.0.pop_front();
        }
    }

    /// Those in a record; none if it is of another version or cannot be read to its end.
    pub fn parse(record: Option<&[u8]>) -> Refusals {
        let mut rest = record.and_then(|record| record.strip_prefix(&[VERSION])).unwrap_or_default();
        let mut refusals = Refusals::default();
        while !rest.is_empty() {
            let Some(refusal) = Refusal::parse(&mut rest) else { return Refusals::default() };
            refusals.push(refusal);
        }
        refusals
    }

    /// The record: a byte that says its version, and the refusals.
    pub fn render(&self) -> Vec<u8> {
        let mut record = vec![VERSION];
        self.0.iter().for_each(|refusal| refusal.render(&mut record));
        record
    }
}

impl Refusal {
    fn texts(&self) -> [&str; 5] {
        [&self.endpoint, &self.reason, &self.key, &self.model, &self.attempts]
    }

    /// Two times in milliseconds, how many, the status, and each text after its length in one byte.
    fn render(&self, record: &mut Vec<u8>) {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX).to_le_bytes();
        record.extend_from_slice(&millis(self.since));
        record.extend_from_slice(&millis(self.at));
        record.extend_from_slice(&self.times.to_le_bytes());
        record.extend_from_slice(&self.status.to_le_bytes());
        for text in self.texts().map(cut) {
            record.push(u8::try_from(text.len()).unwrap_or_default());
            record.extend_from_slice(text.as_bytes());
        }
    }

    fn parse(rest: &mut &[u8]) -> Option<Refusal> {
        let time = |rest: &mut &[u8]| Some(Duration::from_millis(u64::from_le_bytes(take(rest)?)));
        let text = |rest: &mut &[u8]| {
            let [length] = take(rest)?;
            let (text, after) = rest.split_at_checked(length.into())?;
            *rest = after;
            String::from_utf8(text.to_vec()).ok()
        };
        Some(Refusal {
            since: time(rest)?,
            at: time(rest)?,
            times: u32::from_le_bytes(take(rest)?),
            status: u16::from_le_bytes(take(rest)?),
            endpoint: text(rest)?,
            reason: text(rest)?,
            key: text(rest)?,
            model: text(rest)?,
            attempts: text(rest)?,
        })
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(*taken)
}

/// The beginning of a text, whole characters of it.
fn cut(text: &str) -> &str {
    if text.len() <= LONGEST {
        return text;
    }
    let ends = text.char_indices().map(|(start, character)| start + character.len_utf8());
    let end = ends.take_while(|end| *end <= LONGEST).last().unwrap_or_default();
    text.get(..end).unwrap_or_default()
}

/// How many are kept.
pub const MOST_REFUSALS: usize = 50;
/// Of a text, in bytes: four attempts at vendors with usual names. Must fit into one byte.
const LONGEST: usize = 120;
/// Changes with the layout, so that a filter of another version never misreads a record.
const VERSION: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::tests::refused;
    use crate::test;

    fn of(all: &[Finished<'_>]) -> Refusals {
        let mut refusals = Refusals::default();
        all.iter().for_each(|finished| refusals.note(finished));
        refusals
    }

    #[test]
    fn is_read_as_it_was_written() {
        let refusals = of(&[refused(1, 429), refused(2, 503), Finished { key: "é", attempts: "", ..refused(3, 500) }]);
        let record = refusals.render();
        assert_eq!(Refusals::parse(Some(&record)), refusals);
        let other = [&[VERSION + 1], &record[1..]].concat();
        for unreadable in [None, Some(&b""[..]), Some(&record[..record.len() - 1]), Some(&other)] {
            assert!(Refusals::parse(unreadable).is_empty());
        }
    }

    #[test]
    fn what_happens_again_is_counted_and_displaces_nothing() {
        let mut refusals = of(&[refused(0, 503)]);
        for at in 1..=10_000 {
            refusals.note(&refused(at, 401));
        }
        let seen: Vec<_> = refusals.latest().map(|refusal| (refusal.status, refusal.times)).collect();
        assert_eq!(seen, [(401, 10_000), (503, 1)]);
        let last = refusals.latest().next().unwrap();
        assert_eq!((last.since, last.at), (Duration::from_secs(1), Duration::from_secs(10_000)));
    }

    #[test]
    fn only_the_last_are_kept_and_every_text_is_cut() {
        let endless = "ü".repeat(10_000);
        let keys: Vec<String> = (0..500).map(|number| format!("{number} {endless}")).collect();
        let mut refusals = Refusals::default();
        for (at, key) in keys.iter().enumerate() {
            let long = Finished { key, model: &endless, attempts: &endless, reason: &endless, ..refused(0, 400) };
            refusals.note(&Finished { at: Duration::from_secs(at as u64), ..long });
        }
        assert_eq!(refusals.latest().count(), MOST_REFUSALS);
        assert!(refusals.latest().next().unwrap().key.starts_with("499 "));
        let record = refusals.render();
        assert!(record.len() < 40_000, "{}", record.len());
        assert_eq!(Refusals::parse(Some(&record)), refusals);
    }

    #[test]
    fn workers_come_together_in_the_order_of_time() {
        let one = of(&[refused(10, 429), refused(30, 503)]);
        let other = of(&[refused(20, 500), refused(25, 429)]);
        let both = one.with(&other);
        let seen: Vec<_> = both.latest().map(|refusal| (refusal.status, refusal.times)).collect();
        assert_eq!(seen, [(503, 1), (429, 2), (500, 1)]);
    }
}
