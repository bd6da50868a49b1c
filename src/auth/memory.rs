//! What one worker remembers of the keys that are kept in Redis.
//!
//! For [`FRESH`] an entry is as good as Redis's own word, so a key that is used all the time costs Redis two questions a
//! second and not thousands, and one that is revoked is refused everywhere soon after. An older entry counts only while
//! Redis is absent, and only if it is a key's: a key that was good when Redis was last there goes on working.
//!
//! Keys and guesses are remembered apart: any number of wrong guesses takes no room from keys.

use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use crate::config::Key;

/// A key's SHA-256.
pub type Digest = [u8; 32];

/// The memory.
#[derive(Debug, Default)]
pub struct Memory {
    keys: Generations<(Rc<Key>, Duration)>,
    strangers: Generations<Duration>,
}

/// What is remembered of a digest.
#[derive(Debug, Clone, PartialEq)]
pub enum Recalled {
    /// It is this key's.
    Key(Rc<Key>),
    /// It is nobody's.
    Nobody,
    /// Nothing that is fresh enough; the key that it was.
    Stale(Rc<Key>),
    /// Nothing.
    Nothing,
}

impl Memory {
    /// What is known of a digest now.
    pub fn recall(&mut self, digest: &Digest, now: Duration) -> Recalled {
        let is_fresh = |since: Duration| now.saturating_sub(since) < FRESH;
        let stranger = self.strangers.get(digest).copied().filter(|since| is_fresh(*since));
        match (stranger, self.keys.get(digest)) {
            (Some(_), _) => Recalled::Nobody,
            (None, Some((key, since))) if is_fresh(*since) => Recalled::Key(Rc::clone(key)),
            (None, Some((key, _))) => Recalled::Stale(Rc::clone(key)),
            (None, None) => Recalled::Nothing,
        }
    }

    /// Redis says that a digest is this key's, or nobody's.
    pub fn learn(&mut self, digest: Digest, key: Option<&Rc<Key>>, now: Duration) {
        match key {
            Some(key) => {
                self.strangers.remove(&digest);
                self.keys.insert(digest, (Rc::clone(key), now));
            }
            None => {
                self.keys.remove(&digest);
                self.strangers.insert(digest, now);
            }
        }
    }
}

/// A bounded map. When the young generation is full it becomes the old one and the old one goes, so what goes was not
/// used for a while, at no cost worth counting. What is asked for becomes young again.
#[derive(Debug)]
struct Generations<V> {
    young: HashMap<Digest, V>,
    old: HashMap<Digest, V>,
}

impl<V> Default for Generations<V> {
    fn default() -> Generations<V> {
        Generations { young: HashMap::new(), old: HashMap::new() }
    }
}

impl<V> Generations<V> {
    fn get(&mut self, digest: &Digest) -> Option<&V> {
        if let Some(value) = self.old.remove(digest) {
            self.insert(*digest, value);
        }
        self.young.get(digest)
    }

    fn insert(&mut self, digest: Digest, value: V) {
        self.old.remove(&digest);
        if self.young.len() >= GENERATION && !self.young.contains_key(&digest) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(digest, value);
    }

    fn remove(&mut self, digest: &Digest) {
        self.young.remove(digest);
        self.old.remove(digest);
    }
}

/// Together with Redis's timeout and its longest pause this stays well below the five seconds that a revocation may take.
pub const FRESH: Duration = Duration::from_secs(2);
/// Two of these are remembered, of keys and of guesses each; an entry takes some hundred bytes, a key's its key besides.
const GENERATION: usize = 2048;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::tests::key;
    use crate::test;

    const NOW: Duration = Duration::from_secs(1_000);

    fn digest(number: usize) -> Digest {
        let mut digest = [0; 32];
        digest[..8].copy_from_slice(&(number as u64).to_le_bytes());
        digest
    }

    #[test]
    fn remembers_for_a_while() {
        let mut memory = Memory::default();
        let known = Rc::new(key("a", "one"));
        memory.learn(digest(1), Some(&known), NOW);
        memory.learn(digest(2), None, NOW);
        for (milliseconds, first, second) in [
            (0, Recalled::Key(Rc::clone(&known)), Recalled::Nobody),
            (1_999, Recalled::Key(Rc::clone(&known)), Recalled::Nobody),
            (2_000, Recalled::Stale(Rc::clone(&known)), Recalled::Nothing),
            (86_400_000, Recalled::Stale(Rc::clone(&known)), Recalled::Nothing),
        ] {
            let now = NOW + Duration::from_millis(milliseconds);
            assert_eq!((memory.recall(&digest(1), now), memory.recall(&digest(2), now)), (first, second));
        }
        assert_eq!(memory.recall(&digest(3), NOW), Recalled::Nothing);
    }

    #[test]
    fn the_last_word_counts() {
        let mut memory = Memory::default();
        let known = Rc::new(key("a", "one"));
        memory.learn(digest(1), Some(&known), NOW);
        memory.learn(digest(1), None, NOW);
        assert_eq!(memory.recall(&digest(1), NOW), Recalled::Nobody);
        assert_eq!(memory.recall(&digest(1), NOW + FRESH), Recalled::Nothing, "a revoked key does not come back");
        memory.learn(digest(1), Some(&known), NOW);
        assert_eq!(memory.recall(&digest(1), NOW), Recalled::Key(known));
    }

    #[test]
    fn is_bounded_and_guesses_push_no_key_out() {
        let mut memory = Memory::default();
        let known = Rc::new(key("a", "one"));
        memory.learn(digest(0), Some(&known), NOW);
        for guess in 1..10 * GENERATION {
            memory.learn(digest(guess), None, NOW);
        }
        assert!(memory.strangers.young.len() + memory.strangers.old.len() <= 2 * GENERATION);
        assert_eq!(memory.recall(&digest(0), NOW), Recalled::Key(Rc::clone(&known)));
        for other in 1..10 * GENERATION {
            memory.learn(digest(other), Some(&known), NOW);
            memory.recall(&digest(0), NOW);
        }
        assert!(memory.keys.young.len() + memory.keys.old.len() <= 2 * GENERATION);
        assert_eq!(memory.recall(&digest(0), NOW), Recalled::Key(known), "what is used stays");
        assert_eq!(memory.recall(&digest(1), NOW), Recalled::Nothing);
    }
}
