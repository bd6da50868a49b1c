//! Who is at a request: of the workers of one Envoy, one asks the vendor, and the others wait for what it gets.
//!
//! A lease is a record in the memory that the workers share, one of a fixed number, chosen by the key: where two keys
//! fall on the same one, the second goes without, and both are only merged within their workers. It ends with its time,
//! so a worker that crashed holds up nobody for longer.

use std::time::Duration;

use super::Key;
use crate::store::{self, Store};

/// Whether somebody else is at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// Nobody: it is this holder's now.
    Mine,
    /// Nobody that is known of: the record is another key's.
    Unrecorded,
    /// Somebody is.
    Taken,
}

/// Takes a lease for `holder`, a number that nobody else has.
pub fn take(store: &dyn Store, key: &Key, holder: u64, now: Duration, until: Duration) -> Claim {
    let claim = store::update(store, &name(key), |record| match Lease::parse(record) {
        Some(lease) if lease.until > millis(now) => {
            (None, if lease.key == *key.bytes() { Claim::Taken } else { Claim::Unrecorded })
        }
        _ => (Some(Lease { key: *key.bytes(), holder, until: millis(until) }.render()), Claim::Mine),
    });
    // Where others are faster again and again, it is theirs.
    claim.unwrap_or(Claim::Taken)
}

/// Whether somebody is at it.
pub fn is_taken(store: &dyn Store, key: &Key, now: Duration) -> bool {
    let lease = Lease::parse(store.load(&name(key)).0.as_deref());
    lease.is_some_and(|lease| lease.key == *key.bytes() && lease.until > millis(now))
}

/// Gives a lease back, if it is still this holder's. Until `until` it is, and nobody needs to look.
pub fn release(store: &dyn Store, key: &Key, holder: u64, now: Duration, until: Duration) {
    if now < until {
        store.save(&name(key), &[], None);
        return;
    }
    store::update(store, &name(key), |record| {
        let own = Lease::parse(record).is_some_and(|lease| lease.holder == holder && lease.key == *key.bytes());
        (own.then_some([0; 0]), ())
    });
}

/// Makes all records. A record's first writer cannot tell whether another was faster, so none is made under traffic.
pub fn prepare(store: &dyn Store) {
    for number in 0..RECORDS {
        let name = format!("cache/lease/{number}");
        if store.load(&name).0.is_none() {
            store.save(&name, &[], None);
        }
    }
}

struct Lease {
    key: [u8; 32],
    holder: u64,
    /// Milliseconds since the Unix epoch.
    until: u64,
}

impl Lease {
    fn parse(record: Option<&[u8]>) -> Option<Lease> {
        let (key, rest) = record?.split_first_chunk()?;
        let (holder, rest) = rest.split_first_chunk()?;
        let until = rest.try_into().ok()?;
        Some(Lease { key: *key, holder: u64::from_le_bytes(*holder), until: u64::from_le_bytes(until) })
    }

    fn render(&self) -> Vec<u8> {
        [&self.key[..], &self.holder.to_le_bytes(), &self.until.to_le_bytes()].concat()
    }
}

fn name(key: &Key) -> String {
    let [a, b, ..] = key.bytes();
    format!("cache/lease/{}", u16::from_le_bytes([*a, *b]) % RECORDS)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Some times as many as there are requests at once, so that few keys fall on the same.
const RECORDS: u16 = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::{Normal, key};
    use crate::chat::Request;
    use crate::store::Memory;
    use crate::test;

    const NOW: Duration = Duration::from_secs(1_800_000_000);
    const LATER: Duration = Duration::from_secs(1_800_000_060);

    fn of(scope: &str) -> Key {
        let request = Request::parse(br#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#.to_vec()).unwrap();
        key(scope, "m", &request, Normal::default())
    }

    #[test]
    fn is_one_holders_until_it_is_given_back_or_over() {
        let (store, key) = (Memory::default(), of("a"));
        assert_eq!(take(&store, &key, 1, NOW, LATER), Claim::Mine);
        assert_eq!(take(&store, &key, 2, NOW, LATER), Claim::Taken);
        release(&store, &key, 2, LATER, LATER);
        assert!(is_taken(&store, &key, NOW) && !is_taken(&store, &key, LATER));
        release(&store, &key, 1, NOW, LATER);
        assert!(!is_taken(&store, &key, NOW));
        assert_eq!(take(&store, &key, 2, NOW, LATER), Claim::Mine);
        assert_eq!(take(&store, &key, 3, LATER, LATER + LATER), Claim::Mine, "a holder that crashed");
    }

    #[test]
    fn another_key_on_the_same_record_goes_without() {
        let (store, first) = (Memory::default(), of("a"));
        let (other, number) =
            (0..).map(|n: u32| (of(&n.to_string()), n)).find(|(key, _)| name(key) == name(&first)).unwrap();
        assert_eq!(take(&store, &first, 1, NOW, LATER), Claim::Mine);
        assert_eq!(take(&store, &other, 2, NOW, LATER), Claim::Unrecorded, "{number}");
        assert!(!is_taken(&store, &other, NOW));
    }

    #[test]
    fn what_is_no_lease_is_none() {
        let (store, key) = (Memory::default(), of("a"));
        for record in [&b""[..], b"x", &[7; 47], &[7; 49]] {
            store.save(&name(&key), record, None);
            assert!(!is_taken(&store, &key, NOW));
            assert_eq!(take(&store, &key, 1, NOW, LATER), Claim::Mine);
        }
    }
}
