//! A record as shared data keeps it.

use super::super::breaker::{self, Breaker};
use super::super::decay::{Average, sane};
use super::super::headroom::{self, Kept};
use super::{MOST, MOST_SPEND, MOST_SURGE, MOST_TIME, MOST_TOKENS, Record};

impl Record {
    /// The record in these bytes. One of another version or length, or none, is a new one, and a number in it that no
    /// sum can have come to is nothing.
    pub fn parse(bytes: Option<&[u8]>) -> Record {
        let bytes = bytes.and_then(|bytes| bytes.strip_prefix(&[VERSION])).filter(|rest| rest.len() == 8 * WORDS);
        let mut words = bytes.unwrap_or_default().as_chunks().0.iter();
        let mut next = || words.next().copied().map(u64::from_le_bytes).unwrap_or_default();
        Record {
            at: next(),
            heard: next(),
            good: sane(next(), MOST),
            bad: sane(next(), MOST),
            flying: sane(next(), MOST),
            spend: sane(next(), MOST_SPEND),
            first_token: Average { mean: sane(next(), MOST_TIME.as_secs_f64()), weight: sane(next(), MOST) },
            per_token: Average { mean: sane(next(), MOST_TIME.as_secs_f64()), weight: sane(next(), MOST) },
            tokens: Average { mean: sane(next(), MOST_TOKENS as f64), weight: sane(next(), MOST) },
            crowd: Average { mean: sane(next(), MOST), weight: sane(next(), MOST) },
            surge: sane(next(), MOST_SURGE),
            breaker: Breaker::from_words([(); breaker::WORDS].map(|()| next())),
            requests_left: Kept::from_words([(); headroom::WORDS].map(|()| next())),
            tokens_left: Kept::from_words([(); headroom::WORDS].map(|()| next())),
        }
    }

    /// The bytes: one that says the version, and words of eight bytes, the least significant first.
    pub fn render(&self) -> Bytes {
        let mut bytes = [VERSION; size_of::<Bytes>()];
        let mut places = bytes.as_rchunks_mut().1.iter_mut();
        // A loop over a chain of iterators would be shorter, and ten times as slow on a path that runs twice an attempt.
        let mut put = |word: u64| {
            if let Some(place) = places.next() {
                *place = word.to_le_bytes();
            }
        };
        put(self.at);
        put(self.heard);
        [self.good, self.bad, self.flying, self.spend].map(f64::to_bits).into_iter().for_each(&mut put);
        for Average { mean, weight } in [self.first_token, self.per_token, self.tokens, self.crowd] {
            put(mean.to_bits());
            put(weight.to_bits());
        }
        put(self.surge.to_bits());
        self.breaker.words().into_iter().for_each(&mut put);
        self.requests_left.words().into_iter().for_each(&mut put);
        self.tokens_left.words().into_iter().for_each(&mut put);
        bytes
    }
}

/// A record in bytes.
pub type Bytes = [u8; 1 + 8 * WORDS];

/// Changes with the layout, so that a filter of another version never misreads a record.
const VERSION: u8 = 1;
/// Two instants, four counts, four averages, the surge, the breaker, two limits.
const WORDS: usize = 2 + 4 + 2 * 4 + 1 + breaker::WORDS + 2 * headroom::WORDS;
