//! The index of a set: which entries it has, how large they are, until when they are good, and when they were used.
//!
//! Use is not told in time but in insertions: the index counts them, and an entry remembers the count when it was last
//! used. So a hit must be written down only if much has been inserted since the last that was, and while nothing is
//! inserted a hit writes nothing.
//!
//! An entry is new until its first use, and counts as one that was used a while ago. Most questions are never asked
//! again, so the answers to those that are should not be displaced by theirs.

/// How many entries a set can have.
pub const WAYS: usize = 32;

/// What a set may use, with everything that belongs to it.
pub const SET_BYTES: usize = 64 << 10;

/// The largest entry. A larger one would displace too much of its set.
pub const MAX_ENTRY: usize = SET_BYTES / 2;

/// What the entries of a set may use together.
pub(super) const ENTRIES_BYTES: usize = SET_BYTES - RECORD - (WAYS + 1) * OVERHEAD;

/// What Envoy needs for a record beside its bytes: the name, the string that holds the value, and the node and bucket of
/// the hash map, 72 and about 16 bytes.
const OVERHEAD: usize = 96;

/// The index of a set as it is after a change, or before one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Index {
    /// Counts insertions. It wraps around, and is only compared by difference.
    clock: u32,
    /// At most [`WAYS`]; those that are not here are free.
    ways: Vec<Option<Way>>,
}

/// One entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Way {
    tag: u64,
    size: u32,
    /// The clock when it was last known to be used; while it is new, an earlier one.
    used: u32,
    /// In seconds since the Unix epoch.
    expires: u32,
}

/// What a set's record says.
#[derive(Debug)]
pub enum Record {
    Open(Index),
    /// The set is not to be used.
    Retired,
    /// It is of another version, or nothing that an index can be.
    Unreadable,
}

/// Where an entry goes, and what goes for it.
#[derive(Debug, PartialEq, Eq)]
pub struct Placement {
    /// The way that is the entry's now.
    pub way: usize,
    /// Other ways that have become free.
    pub emptied: Vec<usize>,
    /// How many of those that went had not expired.
    pub evicted: usize,
}

impl Record {
    /// Reads a record; one that is not there is an empty index.
    pub fn parse(record: Option<&[u8]>) -> Record {
        match record {
            None | Some([]) => Record::Open(Index::default()),
            Some(RETIRED) => Record::Retired,
            Some(record) => Index::parse(record).map_or(Record::Unreadable, Record::Open),
        }
    }
}

impl Index {
    fn parse(record: &[u8]) -> Option<Index> {
        let (clock, ways) = record.strip_prefix(&[VERSION])?.split_first_chunk()?;
        let (ways, []) = ways.as_chunks() else { return None };
        if ways.len() > WAYS {
            return None;
        }
        let ways = ways.iter().map(Way::parse).collect::<Option<_>>()?;
        let index = Index { clock: u32::from_le_bytes(*clock), ways };
        (index.bytes() <= ENTRIES_BYTES).then_some(index)
    }

    /// The record: a byte that says its version, the clock, and the ways up to the last that is taken; numbers have the
    /// least significant byte first, and a free way is all zero.
    pub fn render(&self) -> Vec<u8> {
        let taken = self.ways.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
        let mut record = Vec::with_capacity(HEAD + taken * WAY);
        record.push(VERSION);
        record.extend_from_slice(&self.clock.to_le_bytes());
        for way in self.ways.iter().take(taken) {
            let Way { tag, size, used, expires } = way.unwrap_or(FREE);
            record.extend_from_slice(&tag.to_le_bytes());
            [size, used, expires].iter().for_each(|number| record.extend_from_slice(&number.to_le_bytes()));
        }
        record
    }

    /// The way and the size of an entry that has not expired.
    pub fn find(&self, tag: u64, now: u32) -> Option<(usize, usize)> {
        let way = self.way_of(tag)?;
        let entry = self.ways.get(way).copied().flatten().filter(|entry| entry.expires > now)?;
        Some((way, entry.size as usize))
    }

    /// The tag and the size of the entry that has a way.
    pub fn entry(&self, way: usize) -> Option<(u64, usize)> {
        self.ways.get(way).copied().flatten().map(|entry| (entry.tag, entry.size as usize))
    }

    /// Notes that an entry was used. Says whether that changed anything.
    pub fn touch(&mut self, way: usize) -> bool {
        let (clock, recent) = (self.clock, self.entries().count() / RECENT);
        let Some(Some(entry)) = self.ways.get_mut(way) else { return false };
        let stale = clock.wrapping_sub(entry.used) as usize > recent;
        if stale {
            entry.used = clock;
        }
        stale
    }

    /// Makes room for an entry, which replaces one of the same tag: all that have expired go, then those that were not
    /// used for longest until it fits. An entry of at most [`MAX_ENTRY`] bytes always does.
    pub fn insert(&mut self, tag: u64, size: u32, expires: u32, now: u32) -> Placement {
        self.clock = self.clock.wrapping_add(1);
        let own = self.remove(tag);
        let mut emptied = self.expire(now);
        let expired = emptied.len();
        while self.bytes() + size as usize > ENTRIES_BYTES || self.entries().count() == WAYS {
            let Some(way) = self.evict() else { break };
            emptied.push(way);
        }
        let evicted = emptied.len() - expired;
        let used = self.clock.wrapping_sub((self.entries().count() / NEW) as u32);
        let way = own.unwrap_or_else(|| self.free_way());
        if let Some(place) = self.ways.get_mut(way) {
            *place = Some(Way { tag, size, used, expires });
        }
        emptied.retain(|emptied| *emptied != way);
        Placement { way, emptied, evicted }
    }

    /// How many entries have not expired, and their bytes.
    pub fn load(&self, now: u32) -> (usize, usize) {
        let fresh = self.entries().filter(|(_, entry)| entry.expires > now);
        fresh.fold((0, 0), |(entries, bytes), (_, entry)| (entries + 1, bytes + entry.size as usize))
    }

    /// Frees the way of an entry.
    pub fn remove(&mut self, tag: u64) -> Option<usize> {
        let way = self.way_of(tag)?;
        self.free(way);
        Some(way)
    }

    fn expire(&mut self, now: u32) -> Vec<usize> {
        let expired = self.entries().filter(|(_, entry)| entry.expires <= now).map(|(way, _)| way);
        let expired: Vec<usize> = expired.collect();
        expired.iter().for_each(|way| self.free(*way));
        expired
    }

    /// Frees the way that was not used for longest.
    fn evict(&mut self) -> Option<usize> {
        // From the back, since of equals the last is the maximum, and new ways are taken from the front.
        let (way, _) = self.entries().rev().max_by_key(|(_, entry)| self.clock.wrapping_sub(entry.used))?;
        self.free(way);
        Some(way)
    }

    fn free(&mut self, way: usize) {
        if let Some(place) = self.ways.get_mut(way) {
            *place = None;
        }
    }

    /// A way that is free; there is one.
    fn free_way(&mut self) -> usize {
        let free = self.ways.iter().position(Option::is_none);
        free.unwrap_or_else(|| {
            self.ways.push(None);
            self.ways.len() - 1
        })
    }

    fn way_of(&self, tag: u64) -> Option<usize> {
        self.ways.iter().position(|way| way.is_some_and(|entry| entry.tag == tag))
    }

    fn entries(&self) -> impl DoubleEndedIterator<Item = (usize, &Way)> {
        self.ways.iter().enumerate().filter_map(|(way, entry)| Some((way, entry.as_ref()?)))
    }

    /// What the entries use. As none is larger than [`MAX_ENTRY`] this cannot overflow.
    fn bytes(&self) -> usize {
        self.entries().map(|(_, entry)| entry.size as usize).sum()
    }
}

impl Way {
    /// A way, or a free one; nothing if it is one that nobody can have written.
    fn parse(way: &[u8; WAY]) -> Option<Option<Way>> {
        let (tag, numbers) = way.split_first_chunk()?;
        let ([size, used, expires], []) = numbers.as_chunks() else { return None };
        let [size, used, expires] = [size, used, expires].map(|number| u32::from_le_bytes(*number));
        let entry = Way { tag: u64::from_le_bytes(*tag), size, used, expires };
        (size as usize <= MAX_ENTRY).then_some((size > 0).then_some(entry))
    }
}

/// The record of a set that is not to be used.
pub const RETIRED: &[u8] = &[0];

/// Changes with the layout, so that a filter of another version never misreads an index.
const VERSION: u8 = 1;
/// The version and the clock.
const HEAD: usize = 1 + 4;
/// A tag and three numbers.
const WAY: usize = 8 + 3 * 4;
/// The longest record.
const RECORD: usize = HEAD + WAYS * WAY;
const FREE: Way = Way { tag: 0, size: 0, used: 0, expires: 0 };

/// A new entry counts as one that was used when there was this part of the set still to be inserted: half. In
/// `examples/hit_rate.rs` that spares one request in a hundred more than if it counted as just used.
const NEW: usize = 2;

/// A use is noted if more than this part of the set has been inserted since the last that was: one in four. The order
/// of use is then right to a quarter of the set, and a new entry's first use is always noted.
const RECENT: usize = 4;
