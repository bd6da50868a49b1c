//! A map for keys that nobody outside chooses: numbers that the gateway counts up, names of the configuration.
//!
//! The standard library's hasher keeps strangers from choosing keys that collide, at some two hundred instructions a
//! look. Where there are no strangers among the keys, a multiplication is enough.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A map of such keys. Never of anything that a client or a vendor wrote.
pub type OwnKeys<K, V> = HashMap<K, V, BuildHasherDefault<Mixer>>;

/// Multiplies and turns, as rustc's own hasher does: the upper half of a product depends on all bits below, and a map
/// looks at the lower.
#[derive(Debug, Default, Clone, Copy)]
pub struct Mixer(u64);

impl Mixer {
    fn mix(&mut self, word: u64) {
        self.0 = (self.0 ^ word).wrapping_mul(ODD).rotate_left(32);
    }
}

impl Hasher for Mixer {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks();
        words.iter().for_each(|word| self.mix(u64::from_le_bytes(*word)));
        let rest = rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
        self.mix(rest ^ (bytes.len() as u64) << 56);
    }

    fn write_u8(&mut self, number: u8) {
        self.mix(number.into());
    }

    fn write_u16(&mut self, number: u16) {
        self.mix(number.into());
    }

    fn write_u32(&mut self, number: u32) {
        self.mix(number.into());
    }

    fn write_u64(&mut self, number: u64) {
        self.mix(number);
    }

    fn write_usize(&mut self, number: usize) {
        self.mix(number as u64);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// The fraction of the golden ratio in 64 bits, made odd: multiples of it are spread evenly (Knuth, 6.4).
const ODD: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::hash::Hash;

    use super::*;
    use crate::test;

    fn hash(key: impl Hash) -> u64 {
        let mut mixer = Mixer::default();
        key.hash(&mut mixer);
        mixer.finish()
    }

    #[test]
    fn what_differs_in_a_place_differs_in_its_hash() {
        let texts = ["", "a", "b", "ab", "ba", "gpt-4o-mini", "gpt-4o-mini-2", "12345678", "123456780"];
        let hashes: HashSet<u64> = texts.into_iter().map(hash).collect();
        assert_eq!(hashes.len(), texts.len());
    }

    #[test]
    fn numbers_in_a_row_fall_into_different_places() {
        // A map of 1024 places looks at the lower ten bits, and at the upper seven.
        let low: HashSet<u64> = (0..1024_u64).map(|number| hash(number) & 1023).collect();
        let high: HashSet<u64> = (0..1024_u64).map(|number| hash(number) >> 57).collect();
        assert!(low.len() > 600 && high.len() == 128, "{} {}", low.len(), high.len());
    }
}
