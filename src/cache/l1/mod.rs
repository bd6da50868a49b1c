//! The first level of kept answers: in the memory that the workers of one Envoy share.
//!
//! That memory has no bound and forgets nothing: a name, once written, stays, though an empty value frees its bytes. So
//! the names are fixed. The bytes that may be used are cut into sets; a key belongs to one set. A set has an index, a
//! record `cache/set/N` that says which entries it has, and up to [`WAYS`] slots `cache/set/N/W`, each the bytes of one
//! entry. What a new entry needs is taken first from those that have expired, then from those that were not used for
//! longest, always within its own set, so the bound holds for every set and thereby for all.
//!
//! Index and slots are separate records, and any worker may change either at any time. What keeps this right:
//!
//! - The index is changed by compare-and-swap, and a slot is written only after the index says whose it is. Whoever
//!   took a way from another empties its slot or writes over it.
//! - Whoever wrote a slot looks at the index again, and empties the slot if the way has become another's meanwhile. So
//!   when everybody is done, no slot holds more than the index accounts for.
//! - A slot that does not have the size that the index says is a miss. Whether the bytes are those of the key is for
//!   the caller to check: an entry carries its whole key and a checksum. So every race is a miss at worst.
//! - An index that cannot be read is an empty one, and its slots are emptied. Nothing is allocated by its numbers.
//!
//! When the bound is changed by a new configuration, the number of sets changes. Keys then belong to other sets, except
//! where the old number divides the new or the other way round; entries in the wrong set are not found and give way in
//! their turn. Sets beyond the new number are retired by [`L1::prepare`]: their slots are emptied, and filters that
//! still run with the old configuration keep nothing there any more.

mod index;
#[cfg(all(test, not(target_family = "wasm")))]
mod laws;

use std::time::Duration;

use crate::store::{Store, update};
use index::{Index, Placement, Record};
pub use index::{MAX_ENTRY, SET_BYTES, WAYS};

/// The first level of kept answers, with a bound on its bytes. It has no state: that is in the [`Store`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct L1 {
    sets: u32,
}

/// Why an entry was not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotKept {
    /// It has more than [`MAX_ENTRY`] bytes.
    TooLarge,
    /// Others changed the set again and again.
    Contended,
    /// A newer configuration has fewer sets.
    Retired,
}

impl NotKept {
    /// The word for it, in logs and labels.
    pub fn word(self) -> &'static str {
        match self {
            NotKept::TooLarge => "too_large",
            NotKept::Contended => "contended",
            NotKept::Retired => "retired",
        }
    }
}

/// How much of a store is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// How many entries there are that have not expired.
    pub entries: u64,
    /// How many bytes they have.
    pub bytes: u64,
    /// How many there is room for.
    pub room: u64,
    /// Whether every set was looked at.
    pub exact: bool,
}

/// A microsecond or two each; the default has 1024.
const MOST_LOOKED_AT: u32 = 2048;

/// What is used unless the configuration says otherwise: some 15,000 answers of 4 KB.
pub const DEFAULT_BYTES: u64 = 64 << 20;

/// The least that a configuration may ask for: four sets. With fewer, a few large answers displace all others.
pub const MIN_BYTES: u64 = 1 << 20;

impl L1 {
    /// A store of this many bytes, rounded down to whole sets, of which there is at least one.
    pub fn new(max_bytes: u64) -> L1 {
        let sets = u32::try_from(max_bytes / SET_BYTES as u64).unwrap_or(u32::MAX);
        L1 { sets: sets.max(1) }
    }

    /// Makes the indexes, and retires those beyond the bound. An index's first writer cannot tell whether another was
    /// faster, so none is made under traffic.
    pub fn prepare(&self, store: &dyn Store) {
        for set in (0..self.sets).map(Set) {
            if store.load(&set.name()).1.is_none() {
                store.save(&set.name(), &Index::default().render(), None);
            } else {
                set.open(store);
            }
        }
        // Sets are made without a gap, so the first that never was is the end.
        for set in (self.sets..).map(Set) {
            match store.load(&set.name()) {
                (_, None) => break,
                (record, _) if matches!(Record::parse(record.as_deref()), Record::Retired) => {}
                _ => set.retire(store),
            }
        }
    }

    /// The bytes that were kept last under a key, if they are still there and do not expire before or at `now`, a time
    /// since the Unix epoch. They may be another key's: the caller checks.
    pub fn lookup(&self, store: &dyn Store, key: &[u8; 32], now: Duration) -> Option<Vec<u8>> {
        let (set, tag) = self.place(key);
        let name = set.name();
        let (record, stamp) = store.load(&name);
        let Record::Open(mut index) = Record::parse(record.as_deref()) else { return None };
        let (way, size) = index.find(tag, seconds(now))?;
        let bytes = store.load(&set.slot(way)).0.filter(|bytes| bytes.len() == size)?;
        if index.touch(way) {
            // One try: if another was faster, only a use is forgotten.
            store.save(&name, &index.render(), stamp);
        }
        Some(bytes)
    }

    /// Keeps bytes under a key, in place of what was there, until `expires`; both times are since the Unix epoch. Says
    /// how many entries had to go for it that had not expired.
    pub fn insert(
        &self,
        store: &dyn Store,
        key: &[u8; 32],
        bytes: &[u8],
        expires: Duration,
        now: Duration,
    ) -> Result<usize, NotKept> {
        let size = u32::try_from(bytes.len()).ok().filter(|_| bytes.len() <= MAX_ENTRY).ok_or(NotKept::TooLarge)?;
        let (set, tag) = self.place(key);
        let expires = seconds(expires.saturating_add(ALMOST_A_SECOND));
        let placed = update(store, &set.name(), |record| {
            let (mut index, readable) = match Record::parse(record) {
                Record::Open(index) => (index, true),
                Record::Unreadable => (Index::default(), false),
                Record::Retired => return (None, Err(NotKept::Retired)),
            };
            let placement = index.insert(tag, size, expires, seconds(now));
            (Some(index.render()), Ok((placement, readable)))
        });
        let (Placement { way, emptied, evicted }, readable) = placed.unwrap_or(Err(NotKept::Contended))?;
        if !readable {
            set.empty_slots(store);
        }
        for way in emptied {
            store.save(&set.slot(way), EMPTY, None);
        }
        store.save(&set.slot(way), bytes, None);
        set.give_back_if_lost(store, way, tag, bytes.len());
        Ok(evicted)
    }

    /// How much is kept. Of many sets only some are looked at, and taken for all: keys are spread evenly over them.
    pub fn usage(&self, store: &dyn Store, now: Duration) -> Usage {
        let stride = self.sets.div_ceil(MOST_LOOKED_AT).max(1);
        let (mut looked_at, mut entries, mut bytes) = (0, 0, 0);
        for set in (0..self.sets).step_by(stride as usize).map(Set) {
            looked_at += 1;
            if let Record::Open(index) = Record::parse(store.load(&set.name()).0.as_deref()) {
                let fresh = index.load(seconds(now));
                (entries, bytes) = (entries + fresh.0, bytes + fresh.1);
            }
        }
        let all = |sum: usize| sum as u64 * u64::from(self.sets) / u64::from(looked_at.max(1u32));
        let room = u64::from(self.sets) * index::ENTRIES_BYTES as u64;
        Usage { entries: all(entries), bytes: all(bytes), room, exact: stride == 1 }
    }

    /// Forgets what was kept under a key.
    pub fn remove(&self, store: &dyn Store, key: &[u8; 32]) {
        let (set, tag) = self.place(key);
        let removed = update(store, &set.name(), |record| match Record::parse(record) {
            Record::Open(mut index) => match index.remove(tag) {
                Some(way) => (Some(index.render()), Some(way)),
                None => (None, None),
            },
            Record::Unreadable | Record::Retired => (None, None),
        });
        if let Some(way) = removed.flatten() {
            store.save(&set.slot(way), EMPTY, None);
        }
    }

    /// The set of a key, and what it is called there. A key is a digest, so any of its bytes are as good as others.
    fn place(&self, key: &[u8; 32]) -> (Set, u64) {
        let mut words = key.as_chunks().0.iter().copied().map(u64::from_le_bytes);
        let mut word = || words.next().unwrap_or_default();
        let set = u32::try_from(word() % u64::from(self.sets)).unwrap_or_default();
        (Set(set), word())
    }
}

/// The number of a set.
#[derive(Debug, Clone, Copy)]
struct Set(u32);

impl Set {
    fn name(self) -> String {
        format!("cache/set/{}", self.0)
    }

    fn slot(self, way: usize) -> String {
        format!("cache/set/{}/{way}", self.0)
    }

    /// Makes a set usable that is retired or cannot be read.
    fn open(self, store: &dyn Store) {
        let changed = update(store, &self.name(), |record| match Record::parse(record) {
            Record::Open(_) => (None, false),
            Record::Unreadable | Record::Retired => (Some(Index::default().render()), true),
        });
        if changed == Some(true) {
            self.empty_slots(store);
        }
    }

    fn retire(self, store: &dyn Store) {
        store.save(&self.name(), index::RETIRED, None);
        self.empty_slots(store);
    }

    /// Empties the slots that hold something; to write to the others would make their names.
    fn empty_slots(self, store: &dyn Store) {
        for slot in (0..WAYS).map(|way| self.slot(way)) {
            if store.load(&slot).0.is_some_and(|bytes| !bytes.is_empty()) {
                store.save(&slot, EMPTY, None);
            }
        }
    }

    /// Empties a slot that was just written, if its way is not accounted for as what was written.
    fn give_back_if_lost(self, store: &dyn Store, way: usize, tag: u64, size: usize) {
        let record = store.load(&self.name()).0;
        let ours = match Record::parse(record.as_deref()) {
            Record::Open(index) => index.entry(way) == Some((tag, size)),
            Record::Unreadable | Record::Retired => false,
        };
        if !ours {
            store.save(&self.slot(way), EMPTY, None);
        }
    }
}

/// What frees the bytes of a slot.
const EMPTY: &[u8] = b"";

/// Expiry is rounded up to whole seconds, so that an entry is never gone before its time.
const ALMOST_A_SECOND: Duration = Duration::from_nanos(999_999_999);

fn seconds(time: Duration) -> u32 {
    u32::try_from(time.as_secs()).unwrap_or(u32::MAX)
}
