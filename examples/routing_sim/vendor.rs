//! A modelled vendor: what it costs, how fast it is, and how it fails, as a function of time.

use std::time::Duration;

use weir::route::{Headroom, Quota};

use crate::random::{spread, unit};

/// A request.
#[derive(Debug, Clone, Copy)]
pub struct Request {
    pub number: u64,
    /// Seconds since the scenario began.
    pub at: f64,
    /// Tokens.
    pub prompt: u64,
    /// Tokens.
    pub answer: u64,
}

/// How a vendor is at a moment.
#[derive(Debug, Clone, Copy)]
pub struct Mood {
    /// Dollars per million tokens of a prompt and of an answer.
    pub price: (f64, f64),
    /// Mean seconds to the first token.
    pub first_token: f64,
    /// Mean seconds for each further one.
    pub per_token: f64,
    /// The part of attempts that fail.
    pub fails: f64,
    /// After how many seconds they do.
    pub fails_after: f64,
    /// How many requests at once it serves at full speed; they share it when there are more.
    pub capacity: f64,
    /// Requests per minute; refused beyond.
    pub per_minute: Option<f64>,
}

impl Mood {
    /// Nano USD.
    pub fn cost(&self, request: &Request) -> f64 {
        1000.0 * (self.price.0 * request.prompt as f64 + self.price.1 * request.answer as f64)
    }

    /// Expected seconds of an answer, with so many requests in flight.
    pub fn time(&self, request: &Request, in_flight: f64) -> f64 {
        (self.first_token + self.per_token * request.answer as f64) * self.slowed(in_flight)
    }

    pub fn slowed(&self, in_flight: f64) -> f64 {
        (in_flight / self.capacity).max(1.0)
    }

    pub fn odds(&self) -> f64 {
        self.fails / (1.0 - self.fails).max(0.01)
    }
}

/// A vendor in one world.
#[derive(Debug, Clone, Copy)]
pub struct Vendor {
    pub mood: fn(f64) -> Mood,
    pub in_flight: f64,
    /// Requests that its limit still allows, and when that was so.
    left: (f64, f64),
}

/// How an attempt will end.
#[derive(Debug, Clone, Copy)]
pub enum Fate {
    Answered { first_token: f64, per_token: f64, cost: f64 },
    Failed,
    Throttled { retry_after: f64 },
}

impl Vendor {
    pub fn new(mood: fn(f64) -> Mood) -> Vendor {
        let full = mood(0.0).per_minute.map_or(0.0, burst);
        Vendor { mood, in_flight: 0.0, left: (full, 0.0) }
    }

    /// How many requests its limit allows now; without a limit, any number.
    pub fn allows(&self, now: f64) -> f64 {
        let Some(per_minute) = (self.mood)(now).per_minute else { return f64::INFINITY };
        (self.left.0 + (now - self.left.1) * per_minute / 60.0).min(burst(per_minute))
    }

    /// What it says of its limit.
    pub fn headroom(&self, now: f64) -> Headroom {
        let quota = (self.mood)(now).per_minute.map(|per_minute| {
            let (left, limit) = (self.allows(now), burst(per_minute));
            let reset = Duration::from_secs_f64((limit - left) * 60.0 / per_minute);
            Quota { remaining: left as u64, limit: limit as u64, reset }
        });
        Headroom { requests: quota, ..Headroom::default() }
    }

    /// An attempt begins: how it will end, and after how many seconds. What chance decides is the same for the same
    /// request at the same vendor, whoever sent it there.
    pub fn begin(&mut self, request: &Request, now: f64, seed: u64, index: usize) -> (Fate, f64) {
        let mood = (self.mood)(now);
        let allowed = self.allows(now);
        if allowed < 1.0 {
            let wait = (1.0 - allowed) * 60.0 / mood.per_minute.unwrap_or(60.0);
            return (Fate::Throttled { retry_after: wait.max(1.0).ceil() }, 0.05);
        }
        if allowed.is_finite() {
            self.left = (allowed - 1.0, now);
        }
        let names = |what| [seed, request.number, index as u64, what];
        if unit(&names(0)) < mood.fails {
            return (Fate::Failed, mood.fails_after * spread(0.3, &names(1)));
        }
        let slowed = mood.slowed(self.in_flight + 1.0);
        let first_token = mood.first_token * slowed * spread(0.5, &names(2));
        let per_token = mood.per_token * slowed * spread(0.2, &names(3));
        let fate = Fate::Answered { first_token, per_token, cost: mood.cost(request) };
        (fate, first_token + per_token * request.answer as f64)
    }
}

/// A limit per minute is a bucket that holds ten seconds of it.
fn burst(per_minute: f64) -> f64 {
    per_minute / 6.0
}
