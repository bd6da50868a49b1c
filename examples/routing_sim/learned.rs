//! The policy under test: several workers that share the records, each with its own luck.

use std::time::Duration;

use weir::route::{Answered, Ask, Candidate, Choice, Ending, Event, Fault, Record, Weights, choose, expected_tokens};
use weir::store::{Memory, Store, update};
use weir::unit::NanoUsd;

use crate::policy::{Attempt, Policy};
use crate::random::draw;
use crate::vendor::{Fate, Request, Vendor};

pub struct Learned {
    pub seed: u64,
    pub records: Memory,
    pub weights: Weights,
}

/// When a scenario begins, since the Unix epoch.
const BEGINNING: Duration = Duration::from_secs(1_800_000_000);
const WORKERS: u64 = 4;

impl Learned {
    pub fn new(seed: u64) -> Learned {
        Learned { seed, records: Memory::default(), weights: Weights::default() }
    }

    fn apply(&self, vendor: usize, event: &Event, now: f64) {
        update(&self.records, &name(vendor), |bytes| {
            (Some(Record::parse(bytes).apply(event, clock(now)).render()), ())
        });
    }

    fn choose(&self, request: &Request, vendors: &[Vendor], now: f64) -> Choice {
        let records: Vec<Record> =
            (0..vendors.len()).map(|vendor| Record::parse(self.records.load(&name(vendor)).0.as_deref())).collect();
        let answer = expected_tokens(&records, 4096, clock(now));
        let expected = Request { answer, ..*request };
        let candidates: Vec<Candidate<'_>> = records
            .iter()
            .zip(vendors)
            .map(|(record, vendor)| Candidate {
                record,
                cost: Some(NanoUsd((vendor.mood)(now).cost(&expected) as u64)),
            })
            .collect();
        let worker = request.number % WORKERS;
        let ask = Ask {
            now: clock(now),
            prompt: request.prompt,
            answer,
            weights: self.weights,
            preferred: None,
            draw: draw(&[self.seed, worker, request.number / WORKERS]),
        };
        choose(&candidates, &ask)
    }
}

impl Policy for Learned {
    fn order(&mut self, request: &Request, vendors: &[Vendor], now: f64) -> Vec<usize> {
        self.choose(request, vendors, now).order().collect()
    }

    fn began(&mut self, vendor: usize, request: &Request, now: f64) {
        self.apply(vendor, &Event::Began { tokens: request.prompt + request.answer }, now);
    }

    fn ended(&mut self, attempt: &Attempt, vendors: &[Vendor], now: f64) {
        let ending = match attempt.fate {
            Fate::Answered { first_token, per_token, cost } => Ending::Answered(Answered {
                first_token: Duration::from_secs_f64(first_token),
                per_token: Some(Duration::from_secs_f64(per_token)),
                tokens: attempt.request.answer,
                cost: NanoUsd(cost as u64),
            }),
            Fate::Failed => Ending::Failed(Fault::Error),
            Fate::Throttled { retry_after } => {
                Ending::Throttled { retry_after: Some(Duration::from_secs_f64(retry_after)) }
            }
        };
        if let Some(vendor) = vendors.get(attempt.vendor) {
            self.apply(attempt.vendor, &Event::Told(vendor.headroom(now)), now);
        }
        self.apply(attempt.vendor, &Event::Ended { began: clock(attempt.began), ending }, now);
    }
}

fn name(vendor: usize) -> String {
    format!("route:{vendor}")
}

fn clock(seconds: f64) -> Duration {
    BEGINNING + Duration::from_secs_f64(seconds.max(0.0))
}
