//! How long a choice takes.

use std::hint::black_box;
use std::time::{Duration, Instant};

use weir::route::{Answered, Ask, Bytes, Candidate, Ending, Event, Record, Weights, choose};
use weir::unit::NanoUsd;

const NOW: Duration = Duration::from_secs(1_800_000_000);
const TIMES: u64 = 200_000;

/// Prints the time of a choice, with and without reading the records, and of a change of one.
pub fn bench() {
    for count in [2, 8, 16] {
        let bytes: Vec<Bytes> = (0..count).map(record).collect();
        let read = |bytes: &Bytes| Record::parse(Some(bytes));
        let records: Vec<Record> = bytes.iter().map(read).collect();
        let chosen = timed(|draw| chosen(&records, draw));
        let with_reading = timed(|draw| chosen_of_bytes(&bytes, draw));
        println!("{count:2} candidates: {chosen:5.2} us, with reading their records {with_reading:5.2} us");
    }
    let bytes = record(0);
    let changed = timed(|_| Record::parse(Some(&bytes)).apply(&answer(3), NOW).render().len());
    println!("a change of a record, read and written: {changed:5.2} us");
}

fn chosen(records: &[Record], draw: u64) -> usize {
    let blank = Record::default();
    let mut candidates = [Candidate { record: &blank, cost: None }; 16];
    let filled = candidates.iter_mut().zip(records).zip(1..);
    filled.for_each(|((place, record), cost)| *place = Candidate { record, cost: Some(NanoUsd(1000 + cost)) });
    let candidates = candidates.get(..records.len()).unwrap_or_default();
    let now = NOW + Duration::from_millis(300);
    let ask = Ask { now, prompt: 500, answer: 300, weights: Weights::default(), preferred: None, draw };
    choose(candidates, &ask).order().next().unwrap_or_default()
}

fn chosen_of_bytes(bytes: &[Bytes], draw: u64) -> usize {
    let mut records = [Record::default(); 16];
    records.iter_mut().zip(bytes).for_each(|(record, bytes)| *record = Record::parse(Some(bytes)));
    chosen(records.get(..bytes.len()).unwrap_or_default(), draw)
}

fn record(which: u64) -> Bytes {
    Record::default().apply(&Event::Began { tokens: 100 }, NOW).apply(&answer(which), NOW).render()
}

fn answer(which: u64) -> Event {
    let (first_token, per_token) = (Duration::from_millis(500 + 10 * which), Some(Duration::from_millis(8)));
    let ending = Ending::Answered(Answered { first_token, per_token, tokens: 300, cost: NanoUsd(1000) });
    Event::Ended { began: NOW, ending }
}

/// Microseconds.
fn timed(work: impl Fn(u64) -> usize) -> f64 {
    let began = Instant::now();
    (0..TIMES).for_each(|draw| {
        black_box(work(black_box(draw)));
    });
    began.elapsed().as_secs_f64() * 1e6 / TIMES as f64
}
