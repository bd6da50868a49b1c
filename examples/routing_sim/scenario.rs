//! The shipped scenarios. Each has three vendors of one model and a reason to change one's mind.

use crate::random::{spread, unit};
use crate::vendor::{Mood, Request};

pub struct Scenario {
    pub name: &'static str,
    /// The vendors, the best one at the beginning first: how an operator would have written the file.
    pub vendors: [fn(f64) -> Mood; 3],
    /// The vendor that is out, from when until when, in seconds.
    pub outage: Option<(usize, f64, f64)>,
}

/// Seconds that a scenario takes.
pub const LENGTH: f64 = 300.0;

pub const SCENARIOS: [Scenario; 7] = [
    Scenario { name: "price change", vendors: [|t| dearer(t, A), |_| B, |_| C], outage: None },
    Scenario { name: "latency drift", vendors: [|t| slower(t, A), |_| B, |_| C], outage: None },
    Scenario { name: "outage", vendors: [|t| out(t, A), |_| B, |_| C], outage: Some((0, OUT.0, OUT.1)) },
    Scenario { name: "brown-out", vendors: [|t| brown(t, A), |_| B, |_| C], outage: None },
    Scenario { name: "rate limits", vendors: [|_| limited(A), |_| B, |_| C], outage: None },
    Scenario { name: "recovery", vendors: [|t| recovering(t, A), |_| B, |_| C], outage: None },
    Scenario { name: "stampede", vendors: [|_| small(A), |_| small(B), |_| small(C)], outage: None },
];

/// Cheap and quick enough; fast and dear; between them, and somewhat worse in both.
const A: Mood = mood((0.5, 1.5), 0.5, 0.008);
const B: Mood = mood((1.0, 3.0), 0.35, 0.005);
const C: Mood = mood((0.8, 2.4), 0.8, 0.011);

const fn mood(price: (f64, f64), first_token: f64, per_token: f64) -> Mood {
    Mood { price, first_token, per_token, fails: 0.005, fails_after: 0.5, capacity: 1e9, per_minute: None }
}

/// At 75 s the cheap one becomes three times as dear, and at 225 s cheap again.
fn dearer(t: f64, mood: Mood) -> Mood {
    let times = if (75.0..225.0).contains(&t) { 3.0 } else { 1.0 };
    Mood { price: (mood.price.0 * times, mood.price.1 * times), ..mood }
}

fn slowed(mood: Mood, times: f64) -> Mood {
    Mood { first_token: mood.first_token * times, per_token: mood.per_token * times, ..mood }
}

/// From 50 s to 150 s it becomes four times as slow, and from 200 s to 250 s quick again.
fn slower(t: f64, mood: Mood) -> Mood {
    let up = ((t - 50.0) / 100.0).clamp(0.0, 1.0);
    let down = ((t - 200.0) / 50.0).clamp(0.0, 1.0);
    slowed(mood, 1.0 + 3.0 * (up - down))
}

/// From when until when the best vendor is out.
const OUT: (f64, f64) = (75.0, 225.0);

fn out(t: f64, mood: Mood) -> Mood {
    if (OUT.0..OUT.1).contains(&t) { Mood { fails: 1.0, fails_after: 0.3, ..mood } } else { mood }
}

/// From 75 s to 225 s three of ten attempts fail after two seconds, and the others take two and a half times as long.
fn brown(t: f64, mood: Mood) -> Mood {
    if (75.0..225.0).contains(&t) { Mood { fails: 0.3, fails_after: 2.0, ..slowed(mood, 2.5) } } else { mood }
}

/// 400 requests a minute, a third of what comes.
fn limited(mood: Mood) -> Mood {
    Mood { per_minute: Some(400.0), ..mood }
}

/// Out until 60 s, and then, until 120 s, with the capacity of a cold start.
fn recovering(t: f64, mood: Mood) -> Mood {
    match t {
        ..60.0 => Mood { fails: 1.0, fails_after: 0.3, ..mood },
        60.0..120.0 => Mood { capacity: 4.0 + (t - 60.0), ..mood },
        _ => mood,
    }
}

/// Each bears a part of the traffic.
fn small(mood: Mood) -> Mood {
    Mood { capacity: 24.0, ..mood }
}

/// The requests of a scenario, so many per second on average, whose gaps are exponentially distributed.
pub fn requests(seed: u64, per_second: f64) -> Vec<Request> {
    let mut requests = Vec::new();
    let mut at = 0.0;
    for number in 0.. {
        let names = |what| [seed, u64::MAX, number, what];
        at -= (1.0 - unit(&names(0))).ln() / per_second;
        if at >= LENGTH {
            break;
        }
        let [prompt, answer] =
            [(800.0, 1), (250.0, 2)].map(|(mean, what)| (mean * spread(0.8, &names(what))) as u64 + 1);
        requests.push(Request { number, at, prompt, answer: answer.min(2000) });
    }
    requests
}
