//! How many requests the first level of kept answers spares, shared by all workers or one for each, with as many bytes
//! together: `cargo run --release --example hit_rate`. The table in `docs/decisions/answers-in-shared-data.md` is its
//! output.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use weir::cache::l1::{DEFAULT_BYTES, L1, MAX_ENTRY};
use weir::store::Memory;

const REQUESTS: usize = 1_000_000;
/// Until everything is full nothing is counted.
const WARMING: usize = REQUESTS / 3;
const QUESTIONS: usize = 100_000;

fn main() {
    println!("| load | one list of all | shared | 2 workers | 4 workers |");
    for (load, exponent, novel) in [
        ("Zipf 0.7", 0.7, 0.0),
        ("Zipf 0.9", 0.9, 0.0),
        ("Zipf 1.1", 1.1, 0.0),
        ("Zipf 0.9, half never asked again", 0.9, 0.5),
    ] {
        let requests = requests(exponent, novel);
        let rates = [ranked(&requests, 1), shared(&requests), ranked(&requests, 2), ranked(&requests, 4)];
        println!("| {load} | {} |", rates.map(|rate| format!("{:.1} %", 100.0 * rate)).join(" | "));
    }
}

/// The numbers of the questions that are asked; some are asked for the only time.
fn requests(exponent: f64, novel: f64) -> Vec<u64> {
    let weights = (1..=QUESTIONS).map(|rank| (rank as f64).powf(-exponent));
    let sums: Vec<f64> = weights
        .scan(0.0, |sum, weight| {
            *sum += weight;
            Some(*sum)
        })
        .collect();
    let total = sums.last().copied().unwrap_or_default();
    let request = |index| match unit(3 * index) < novel {
        true => QUESTIONS as u64 + index,
        false => sums.partition_point(|sum| *sum < unit(3 * index + 1) * total) as u64,
    };
    (0..REQUESTS as u64).map(request).collect()
}

/// Answers of some 4 KB, most of them shorter and some much longer.
fn size(question: u64) -> usize {
    let bits = |n| unit(u64::MAX - 4 * question - n);
    let normal = bits(0) + bits(1) + bits(2) + bits(3) - 2.0;
    ((2700.0 * (1.7 * normal).exp()) as usize).clamp(300, MAX_ENTRY)
}

/// The sets that all workers share.
fn shared(requests: &[u64]) -> f64 {
    let (l1, store, now) = (L1::new(DEFAULT_BYTES), Memory::default(), Duration::from_secs(1_800_000_000));
    l1.prepare(&store);
    rate(requests, |question, _| {
        let hit = l1.lookup(&store, &key(question), now).is_some();
        if !hit {
            let kept = l1.insert(&store, &key(question), &vec![1; size(question)], now + Duration::from_secs(60), now);
            assert!(kept.is_ok());
        }
        hit
    })
}

/// A list in exact order of use for each worker, and a request goes to any of them.
fn ranked(requests: &[u64], workers: u64) -> f64 {
    let mut lists: Vec<Ranked> = (0..workers).map(|_| Ranked::default()).collect();
    rate(requests, |question, index| {
        let worker = mix(3 * index as u64 + 2) % workers;
        lists.get_mut(worker as usize).is_some_and(|list| list.ask(question, (DEFAULT_BYTES / workers) as usize))
    })
}

fn rate(requests: &[u64], mut hit: impl FnMut(u64, usize) -> bool) -> f64 {
    let asked = requests.iter().enumerate();
    let hits = asked.filter(|(index, question)| hit(**question, *index) && *index >= WARMING).count();
    hits as f64 / (REQUESTS - WARMING) as f64
}

#[derive(Default)]
struct Ranked {
    used: HashMap<u64, u64>,
    order: BTreeMap<u64, u64>,
    clock: u64,
    bytes: usize,
}

impl Ranked {
    fn ask(&mut self, question: u64, most: usize) -> bool {
        self.clock += 1;
        let before = self.used.insert(question, self.clock);
        match before {
            Some(before) => drop(self.order.remove(&before)),
            None => self.bytes += size(question),
        }
        self.order.insert(self.clock, question);
        while self.bytes > most {
            let Some((_, oldest)) = self.order.pop_first() else { break };
            self.used.remove(&oldest);
            self.bytes -= size(oldest);
        }
        before.is_some()
    }
}

fn key(question: u64) -> [u8; 32] {
    let mut key = [0; 32];
    let words = key.as_chunks_mut().0.iter_mut().zip(0..);
    words.for_each(|(word, index)| *word = mix(4 * question + index).to_le_bytes());
    key
}

/// A number from 0 to 1, always the same for an index.
fn unit(index: u64) -> f64 {
    (mix(index) >> 11) as f64 / (1_u64 << 53) as f64
}

/// SplitMix64.
fn mix(number: u64) -> u64 {
    let z = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
