//! What holds of the kept answers whatever happens, tried against a map, and with another writer in between.

#![allow(clippy::unwrap_used, clippy::panic, reason = "clippy takes the functions that tests share for traffic's")]

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::store::Memory;

const NOW: Duration = Duration::from_secs(1_800_000_000);
const HOUR: Duration = Duration::from_secs(3600);

/// A store that knows every name and how long its record is, and can let somebody else act in the midst of a change.
#[derive(Default)]
struct Counted {
    memory: Memory,
    sizes: RefCell<HashMap<String, usize>>,
    bytes: Cell<usize>,
    peak: Cell<usize>,
    saves: Cell<usize>,
    calls: Cell<usize>,
    /// Runs before the call of this number.
    other: RefCell<Option<(usize, Other)>>,
}

type Other = Box<dyn FnMut(&Counted)>;

impl Counted {
    /// What all records hold.
    fn bytes(&self) -> usize {
        self.bytes.get()
    }

    fn let_other_act(&self) {
        self.calls.set(self.calls.get() + 1);
        let due = self.other.borrow().as_ref().is_some_and(|(call, _)| *call == self.calls.get());
        // Taken out, so that what it does is not interrupted in turn.
        if let Some((_, mut act)) = due.then(|| self.other.take()).flatten() {
            act(self);
        }
    }

    fn interrupt(&self, call: usize, act: impl FnMut(&Counted) + 'static) {
        self.calls.set(0);
        self.other.replace(Some((call, Box::new(act))));
    }
}

impl Store for Counted {
    fn load(&self, name: &str) -> (Option<Vec<u8>>, Option<u32>) {
        self.let_other_act();
        // Envoy gives nothing for an empty value, but its stamp.
        let (record, stamp) = self.memory.load(name);
        (record.filter(|record| !record.is_empty()), stamp)
    }

    fn save(&self, name: &str, record: &[u8], stamp: Option<u32>) -> bool {
        self.let_other_act();
        let saved = self.memory.save(name, record, stamp);
        if saved {
            self.saves.set(self.saves.get() + 1);
            let before = self.sizes.borrow_mut().insert(name.to_owned(), record.len()).unwrap_or(0);
            self.bytes.set(self.bytes.get() + record.len() - before);
            self.peak.set(self.peak.get().max(self.bytes.get()));
        }
        saved
    }
}

/// A key like a digest.
fn key(number: u64) -> [u8; 32] {
    let mut key = [0; 32];
    for (index, word) in key.as_chunks_mut().0.iter_mut().enumerate() {
        *word = mix(number * 4 + index as u64).to_le_bytes();
    }
    key
}

/// What is kept under a key.
fn bytes(number: u64, size: usize) -> Vec<u8> {
    let mut bytes = vec![number as u8; size];
    bytes.iter_mut().zip(number.to_le_bytes()).for_each(|(place, byte)| *place = byte);
    bytes
}

/// SplitMix64.
fn mix(number: u64) -> u64 {
    let z = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn one_set() -> (L1, Counted) {
    let (l1, store) = (L1::new(SET_BYTES as u64), Counted::default());
    l1.prepare(&store);
    (l1, store)
}

fn keep(l1: &L1, store: &Counted, number: u64, size: usize) -> Result<usize, NotKept> {
    l1.insert(store, &key(number), &bytes(number, size), NOW + HOUR, NOW)
}

fn has(l1: &L1, store: &Counted, number: u64) -> bool {
    let found = l1.lookup(store, &key(number), NOW);
    found.is_some_and(|found| found == bytes(number, found.len()))
}

#[test]
fn gives_what_was_kept_last_until_it_expires() {
    let (l1, store) = one_set();
    assert!(!has(&l1, &store, 1));
    assert_eq!(keep(&l1, &store, 1, 100), Ok(0));
    assert_eq!(keep(&l1, &store, 1, 200), Ok(0));
    let expires = NOW + HOUR + Duration::from_millis(1);
    assert_eq!(l1.insert(&store, &key(2), b"two", expires, NOW), Ok(0));
    assert_eq!(l1.lookup(&store, &key(1), NOW), Some(bytes(1, 200)));
    let almost = NOW + HOUR - Duration::from_nanos(1);
    assert!(l1.lookup(&store, &key(1), almost).is_some() && l1.lookup(&store, &key(1), NOW + HOUR).is_none());
    assert_eq!(l1.lookup(&store, &key(2), NOW + HOUR).as_deref(), Some(&b"two"[..]), "rounded up");
    l1.remove(&store, &key(1));
    assert!(!has(&l1, &store, 1));
    l1.remove(&store, &key(1));
    assert_eq!(store.sizes.borrow()["cache/set/0/0"], 0);
}

#[test]
fn says_how_much_is_used() {
    let (l1, store) = (L1::new(8 * SET_BYTES as u64), Counted::default());
    l1.prepare(&store);
    (0..20).for_each(|number| assert_eq!(keep(&l1, &store, number, 1000), Ok(0)));
    let Usage { entries, bytes, room, exact } = l1.usage(&store, NOW);
    assert_eq!((entries, bytes, exact), (20, 20_000, true));
    assert!((8 * 50_000..=8 * SET_BYTES as u64).contains(&room), "{room}");
    assert_eq!(l1.usage(&store, NOW + HOUR).entries, 0, "what has expired is not counted");
    let large = L1::new(4096 * SET_BYTES as u64);
    large.prepare(&store);
    (0..20_000).for_each(|number| assert_eq!(keep(&large, &store, number, 100), Ok(0)));
    let Usage { entries, exact, .. } = large.usage(&store, NOW);
    assert!(!exact && (18_000..22_000).contains(&entries), "{entries}");
}

#[test]
fn says_what_is_too_large() {
    let (l1, store) = one_set();
    assert_eq!(keep(&l1, &store, 1, MAX_ENTRY), Ok(0));
    assert_eq!(keep(&l1, &store, 2, MAX_ENTRY + 1), Err(NotKept::TooLarge));
    assert!(has(&l1, &store, 1) && !has(&l1, &store, 2));
    assert_eq!(NotKept::TooLarge.word(), "too_large");
}

#[test]
fn an_empty_entry_is_none() {
    let (l1, store) = one_set();
    assert_eq!(l1.insert(&store, &key(1), b"", NOW + HOUR, NOW), Ok(0));
    assert_eq!(l1.lookup(&store, &key(1), NOW), None);
}

#[test]
fn what_was_not_used_for_longest_goes_first() {
    let (l1, store) = one_set();
    (0..WAYS as u64).for_each(|number| assert_eq!(keep(&l1, &store, number, 100), Ok(0)));
    assert!(has(&l1, &store, 0), "by which it is used");
    assert_eq!(keep(&l1, &store, 1000, 100), Ok(1));
    assert_eq!(keep(&l1, &store, 1001, 100), Ok(1));
    let gone: Vec<u64> = (0..WAYS as u64).filter(|number| !has(&l1, &store, *number)).collect();
    assert_eq!(gone, [1, 2]);
}

#[test]
fn what_has_expired_goes_before_what_was_used() {
    let (l1, store) = one_set();
    for number in 0..4 {
        let expires = NOW + if number == 2 { HOUR / 2 } else { HOUR };
        assert_eq!(l1.insert(&store, &key(number), &bytes(number, 15_000), expires, NOW), Ok(0));
    }
    let later = NOW + HOUR / 2;
    assert_eq!(l1.insert(&store, &key(4), &bytes(4, 15_000), NOW + HOUR, later), Ok(0));
    let kept = [0, 1, 2, 3, 4].map(|number| l1.lookup(&store, &key(number), later).is_some());
    assert_eq!(kept, [true, true, false, true, true]);
}

#[test]
fn as_many_go_as_a_large_one_needs() {
    let (l1, store) = one_set();
    (0..25).for_each(|number| assert_eq!(keep(&l1, &store, number, 2_400), Ok(0)));
    let free = ENTRIES - 25 * 2_400;
    assert_eq!(keep(&l1, &store, 1000, MAX_ENTRY), Ok((MAX_ENTRY - free).div_ceil(2_400)));
    assert!(store.bytes() <= SET_BYTES);
}

/// What the entries of a set may use, as [`index`] computes it.
const ENTRIES: usize = SET_BYTES - (5 + 20 * WAYS) - 96 * (WAYS + 1);

#[test]
fn hits_do_not_write_unless_much_was_inserted() {
    let (l1, store) = one_set();
    (0..25).for_each(|number| assert_eq!(keep(&l1, &store, number, 1_000), Ok(0)));
    assert!((0..25).all(|number| has(&l1, &store, number)));
    let before = store.saves.get();
    (0..10).for_each(|_| assert!((0..25).all(|number| has(&l1, &store, number))));
    assert_eq!(store.saves.get(), before);
    (25..35).for_each(|number| assert!(keep(&l1, &store, number, 1_000).is_ok()));
    let before = store.saves.get();
    (0..10).for_each(|_| assert!(has(&l1, &store, 12)));
    assert_eq!(store.saves.get(), before + 1);
}

#[test]
fn what_is_asked_again_outlives_what_is_not() {
    let (l1, store) = one_set();
    for number in 0..5_000 {
        assert!(keep(&l1, &store, number, 3_000).is_ok());
        assert!((0..8.min(number)).all(|asked| has(&l1, &store, asked)), "{number}");
    }
}

#[test]
fn the_clock_of_a_set_may_wrap_around() {
    let (l1, store) = one_set();
    let mut record = Index::default().render();
    record[1..5].fill(0xff);
    store.save("cache/set/0", &record, None);
    (0..=WAYS as u64).for_each(|number| assert!(keep(&l1, &store, number, 100).is_ok()));
    assert!(!has(&l1, &store, 0) && (1..=WAYS as u64).all(|number| has(&l1, &store, number)));
}

#[test]
fn many_keys_use_no_more_than_the_bound() {
    let (l1, store) = (L1::new(MIN_BYTES), Counted::default());
    l1.prepare(&store);
    for number in 0..200_000 {
        let size = 100 + (mix(number) % 30_000) as usize;
        assert!(keep(&l1, &store, number, size).is_ok());
    }
    assert!(store.peak.get() <= MIN_BYTES as usize, "{}", store.peak.get());
    assert!(store.bytes() > MIN_BYTES as usize * 3 / 4, "{}", store.bytes());
    assert!(store.sizes.borrow().len() <= 16 * (1 + WAYS));
    assert!(has(&l1, &store, 199_999));
}

#[test]
fn what_cannot_be_read_is_a_miss_and_is_made_anew() {
    let way = |size: u32| [&[1; 8], &size.to_le_bytes()[..], &[9; 8]].concat();
    let index = |ways: &[Vec<u8>]| [vec![1, 0, 0, 0, 0], ways.concat()].concat();
    let too_much = index(&[way(30_000), way(30_000), way(30_000)]);
    let nonsense = [
        vec![2],
        vec![1, 0],
        vec![0, 0],
        index(&[way(u32::MAX)]),
        index(&vec![way(1); WAYS + 1]),
        too_much,
        vec![7; 99],
    ];
    for record in nonsense {
        let (l1, store) = one_set();
        (0..5).for_each(|number| assert_eq!(keep(&l1, &store, number, 15_000), Ok(usize::from(number == 4))));
        store.save("cache/set/0", &record, None);
        assert!(!has(&l1, &store, 1));
        l1.remove(&store, &key(1));
        assert_eq!(keep(&l1, &store, 9, 10), Ok(0));
        assert!(has(&l1, &store, 9) && store.bytes() < 100, "{record:?}");
        store.save("cache/set/0", &record, None);
        l1.prepare(&store);
        assert!(!has(&l1, &store, 9) && store.bytes() < 10);
    }
}

#[test]
fn a_slot_of_another_size_is_a_miss() {
    let (l1, store) = one_set();
    assert_eq!(keep(&l1, &store, 1, 100), Ok(0));
    for slot in [&[0; 99][..], &[0; 101], b""] {
        store.save("cache/set/0/0", slot, None);
        assert_eq!(l1.lookup(&store, &key(1), NOW), None);
    }
    assert_eq!(keep(&l1, &store, 1, 100), Ok(0));
    assert!(has(&l1, &store, 1));
}

#[test]
fn a_smaller_bound_retires_sets_and_a_larger_one_takes_them_back() {
    let (large, small, store) = (L1::new(4 * SET_BYTES as u64), L1::new(SET_BYTES as u64), Counted::default());
    large.prepare(&store);
    (0..60).for_each(|number| assert_eq!(keep(&large, &store, number, 1_000), Ok(0)));
    small.prepare(&store);
    assert!(store.bytes() < 60 * 1_000 / 2);
    let still = (0..60).filter(|number| has(&small, &store, *number)).count();
    assert!(still > 5, "what is in a set that stays is found: 1 divides 4");
    let refused = (200..260).filter(|number| keep(&large, &store, *number, 1_000) == Err(NotKept::Retired)).count();
    assert!(refused > 30 && store.bytes() <= SET_BYTES);
    let before = store.saves.get();
    small.prepare(&store);
    assert_eq!(store.saves.get(), before);
    large.prepare(&store);
    assert!((300..360).all(|number| keep(&large, &store, number, 1_000).is_ok()));
}

#[test]
fn whoever_never_gets_through_keeps_nothing() {
    struct Busy(Memory);
    impl Store for Busy {
        fn load(&self, name: &str) -> (Option<Vec<u8>>, Option<u32>) {
            (self.0.load(name).0, Some(7))
        }
        fn save(&self, _: &str, _: &[u8], _: Option<u32>) -> bool {
            false
        }
    }
    let (l1, store) = (L1::new(MIN_BYTES), Busy(Memory::default()));
    assert_eq!(l1.insert(&store, &key(1), b"one", NOW + HOUR, NOW), Err(NotKept::Contended));
    l1.remove(&store, &key(1));
}

/// Something that a worker does.
#[derive(Debug, Clone)]
enum Event {
    Insert {
        number: u64,
        size: usize,
        ttl: u64,
    },
    Lookup(u64),
    Remove(u64),
    Pass(u64),
    /// Somebody writes nonsense to a record.
    Spoil {
        record: usize,
        with: Vec<u8>,
    },
}

fn sizes() -> impl Strategy<Value = usize> {
    prop_oneof![4 => 1..3_000_usize, 2 => 3_000..30_000_usize, 1 => 30_000..=MAX_ENTRY + 100]
}

fn inserts(keys: u64) -> impl Strategy<Value = Event> {
    (0..keys, sizes(), 0..500_u64).prop_map(|(number, size, ttl)| Event::Insert { number, size, ttl })
}

fn events() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => inserts(60),
        6 => (0..60_u64).prop_map(Event::Lookup),
        1 => (0..60_u64).prop_map(Event::Remove),
        1 => (0..100_u64).prop_map(Event::Pass),
    ]
}

fn spoiling() -> impl Strategy<Value = Event> {
    let spoil = (0..40_usize, prop::collection::vec(any::<u8>(), 0..60));
    prop_oneof![8 => events(), 1 => spoil.prop_map(|(record, with)| Event::Spoil { record, with })]
}

/// Does it; gives what was found, and whose it is.
fn act(l1: &L1, store: &Counted, event: &Event, now: &mut Duration) -> Option<(u64, Vec<u8>)> {
    match event {
        Event::Insert { number, size, ttl } => {
            let done = l1.insert(store, &key(*number), &bytes(*number, *size), *now + Duration::from_secs(*ttl), *now);
            assert_eq!(done.is_err(), *size > MAX_ENTRY);
        }
        Event::Lookup(number) => return Some((*number, l1.lookup(store, &key(*number), *now)?)),
        Event::Remove(number) => l1.remove(store, &key(*number)),
        Event::Pass(seconds) => *now += Duration::from_secs(*seconds),
        Event::Spoil { record, with } => {
            let name = match record.checked_sub(1) {
                None => "cache/set/0".to_owned(),
                Some(way) => format!("cache/set/0/{way}"),
            };
            store.save(&name, with, None);
        }
    }
    None
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_hit_is_what_was_kept_last_and_the_bound_holds(events in prop::collection::vec(events(), 0..150)) {
        let ((l1, store), mut now) = (one_set(), NOW);
        let mut model: HashMap<u64, (usize, Duration)> = HashMap::new();
        for event in &events {
            match (event, act(&l1, &store, event, &mut now)) {
                (Event::Lookup(number), Some((_, found))) => {
                    let (size, expires) = model[number];
                    prop_assert!(now < expires && found == bytes(*number, size));
                }
                (Event::Insert { number, size, ttl }, _) if *size <= MAX_ENTRY => {
                    model.insert(*number, (*size, now + Duration::from_secs(*ttl)));
                    let fresh = *ttl > 0;
                    prop_assert_eq!(l1.lookup(&store, &key(*number), now).is_some(), fresh, "what is new stays");
                }
                (Event::Remove(number), _) => {
                    model.remove(number);
                }
                _ => {}
            }
            prop_assert!(store.peak.get() <= SET_BYTES);
        }
    }

    #[test]
    fn what_fits_is_never_evicted(sizes in prop::collection::vec(1..1_900_usize, 0..30)) {
        let (l1, store) = one_set();
        for (number, size) in sizes.iter().enumerate() {
            let (l1, number) = (&l1, number as u64);
            prop_assert_eq!(keep(l1, &store, number, *size), Ok(0));
        }
        prop_assert!((0..sizes.len() as u64).all(|number| has(&l1, &store, number)));
    }

    #[test]
    fn goes_in_the_order_of_use(uses in prop::collection::vec((0..80_u64, any::<bool>()), 0..300)) {
        // All of one size, so that 20 fit: order is told to a quarter of that in insertions.
        let (l1, store) = one_set();
        let (mut inserted, mut used) = (0, HashMap::new());
        for (number, insert) in uses {
            if insert {
                inserted += 1;
                used.remove(&number);
                keep(&l1, &store, number, ENTRIES / 20).unwrap();
                let index = index_of(&store);
                let here = |number: &u64| index.find(l1.place(&key(*number)).1, 0).is_some();
                let gone = used.keys().copied().find(|known| !here(known));
                if let Some(when) = gone.and_then(|gone| used.remove(&gone)) {
                    let oldest = used.values().min().unwrap();
                    prop_assert!(when <= oldest + 20 / 4, "{when}, {oldest}");
                }
                prop_assert!(here(&number) && used.keys().all(here) && used.len() < 20);
                used.insert(number, inserted - used.len() as i64 / 2);
            } else if has(&l1, &store, number) {
                used.insert(number, inserted);
            }
        }
    }

    #[test]
    fn nonsense_is_a_miss(events in prop::collection::vec(spoiling(), 0..150)) {
        let ((l1, store), mut now) = (one_set(), NOW);
        for event in &events {
            act(&l1, &store, event, &mut now);
        }
        // Each way is written once more.
        let mut keep = |number| act(&l1, &store, &Event::Insert { number, size: 100, ttl: 60 }, &mut now);
        (1000..1040).for_each(|number| assert_eq!(keep(number), None));
        prop_assert!(has_at(&l1, &store, 1039, now));
        prop_assert!(store.bytes() <= SET_BYTES);
    }

    #[test]
    fn another_writer_in_between_does_no_harm(
        before in prop::collection::vec(inserts(20), 0..40),
        mine in prop::collection::vec(inserts(20), 1..8),
        others in prop::collection::vec(prop::collection::vec(inserts(20), 0..4), 8),
        calls in prop::collection::vec(1..8_usize, 8),
    ) {
        let ((l1, store), mut now) = (one_set(), NOW);
        for event in &before {
            act(&l1, &store, event, &mut now);
        }
        for ((event, others), call) in mine.iter().zip(others).zip(calls) {
            store.interrupt(call, move |store| others.iter().for_each(|event| { act(&l1, store, event, &mut NOW.clone()); }));
            act(&l1, &store, event, &mut now);
            store.other.take();
            prop_assert!(store.peak.get() <= SET_BYTES + 2 * MAX_ENTRY, "while they are at it: {}", store.peak.get());
            prop_assert!(store.bytes() <= SET_BYTES, "when they are done: {}", store.bytes());
            prop_assert!(accounted(&store), "no slot has more than the index says");
        }
        for number in 0..20 {
            if let Some(found) = l1.lookup(&store, &key(number), now) {
                prop_assert!((0..20).any(|number| found == bytes(number, found.len())), "whole entries alone");
            }
        }
    }
}

fn has_at(l1: &L1, store: &Counted, number: u64, now: Duration) -> bool {
    l1.lookup(store, &key(number), now).is_some()
}

fn index_of(store: &Counted) -> Index {
    match Record::parse(store.memory.load("cache/set/0").0.as_deref()) {
        Record::Open(index) => index,
        other => panic!("{other:?}"),
    }
}

fn accounted(store: &Counted) -> bool {
    let index = index_of(store);
    let size = |way: usize| store.sizes.borrow().get(&Set(0).slot(way)).copied().unwrap_or(0);
    (0..WAYS).all(|way| size(way) == 0 || index.entry(way).is_some_and(|(_, accounted)| accounted == size(way)))
}
