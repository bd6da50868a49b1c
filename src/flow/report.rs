//! What attempts teach: each tells the record of its model at its vendor when it begins and when it ends.

use std::time::Duration;

use crate::config::{Config, Hop};
use crate::flow::exchange::{Attempt, Exchange, Outcome, vendor_name};
use crate::flow::{Head, World};
use crate::route::{Answered, Ending, Event, Fault, Headroom, Record};
use crate::store::{self, Store};
use crate::vendor::{Failure, Next};

/// The name of a record.
pub fn record(hop: &Hop, config: &Config) -> String {
    ["route/", vendor_name(config, hop), "/", &hop.model].concat()
}

/// Makes the records. A record's first writer cannot tell whether another was faster, so none is made under traffic.
pub fn prepare(config: &Config, store: &dyn Store) {
    for hop in config.models.iter().flat_map(|model| &model.serve) {
        let name = record(hop, config);
        if store.load(&name).0.is_none() {
            store.save(&name, &Record::default().render(), None);
        }
    }
}

/// What is known of a model at a vendor.
pub fn known(hop: &Hop, config: &Config, store: &dyn Store) -> Record {
    Record::parse(store.load(&record(hop, config)).0.as_deref())
}

/// An attempt begins, with so many tokens.
pub fn began(hop: &Hop, tokens: u64, world: &World<'_>) {
    tell(hop, &[Event::Began { tokens }], world);
}

/// What a vendor's headers say of its limits.
pub fn heard<'h>(head: &'h Head, now: Duration) -> Headroom {
    let text = |(name, value): &'h (String, Vec<u8>)| Some((name.as_str(), std::str::from_utf8(value).ok()?));
    Headroom::read(head.0.iter().filter_map(text), now)
}

/// Tells of every attempt of an exchange that has ended, once.
pub fn ended(number: u64, world: &mut World<'_>) {
    let Some(exchange) = world.exchanges.get(number) else { return };
    let endings: Vec<(Hop, Vec<Event>)> = exchange.attempts.iter_mut().filter_map(events).collect();
    for (hop, events) in endings {
        tell(&hop, &events, world);
    }
}

/// The stream is over: what has not ended by now was cancelled.
pub fn closed(exchange: &mut Exchange, world: &World<'_>) {
    for attempt in exchange.attempts.iter_mut().filter(|attempt| !attempt.reported) {
        let events = events(attempt);
        let cancelled =
            || (attempt.hop.clone(), vec![Event::Ended { began: attempt.began, ending: Ending::Cancelled }]);
        let (hop, events) = events.unwrap_or_else(cancelled);
        tell(&hop, &events, world);
    }
}

fn events(attempt: &mut Attempt) -> Option<(Hop, Vec<Event>)> {
    let ending = ending(attempt).filter(|_| !attempt.reported)?;
    attempt.reported = true;
    let told = (attempt.headroom != Headroom::default()).then_some(Event::Told(attempt.headroom));
    let ended = Event::Ended { began: attempt.began, ending };
    Some((attempt.hop.clone(), told.into_iter().chain([ended]).collect()))
}

fn tell(hop: &Hop, events: &[Event], world: &World<'_>) {
    let now = world.now();
    store::update(world.store, &record(hop, world.config), |record| {
        let record = events.iter().fold(Record::parse(record), |record, event| record.apply(event, now));
        (Some(record.render()), ())
    });
}

/// How an attempt has ended, if it has.
fn ending(attempt: &Attempt) -> Option<Ending> {
    match (&attempt.outcome, attempt.progress) {
        (Outcome::Failed(failure), _) => Some(failed(failure)),
        (Outcome::Answered, Progress::Broken(_)) => Some(Ending::Failed(Fault::Broken)),
        (Outcome::Answered, Progress::Complete { first, last }) => {
            Some(Ending::Answered(answered(attempt, first, last)))
        }
        (Outcome::Answered | Outcome::Pending, _) => None,
    }
}

fn answered(attempt: &Attempt, first: Duration, last: Duration) -> Answered {
    let usage = attempt.usage();
    let further = u32::try_from(usage.completion.saturating_sub(1)).unwrap_or(u32::MAX);
    let streamed = last > first && further > 0;
    Answered {
        first_token: first.saturating_sub(attempt.began),
        per_token: streamed.then(|| last.saturating_sub(first) / further.max(1)),
        tokens: usage.completion,
        cost: attempt.hop.price.map(|price| crate::account::cost(&price, &usage)).unwrap_or_default(),
    }
}

fn failed(failure: &Failure) -> Ending {
    let quota = failure.refusal.code.as_deref() == Some("insufficient_quota");
    match (&*failure.outcome, failure.refusal.status) {
        _ if failure.next == Next::Stop => Ending::Cancelled,
        (_, 429) if quota => Ending::OutOfQuota,
        ("429", _) | (_, 429) => Ending::Throttled { retry_after: failure.refusal.retry_after },
        // One that has too much to do and says for how long is obeyed like one that counts.
        (_, 503) if failure.refusal.retry_after.is_some() => {
            Ending::Throttled { retry_after: failure.refusal.retry_after }
        }
        ("401" | "403" | "404", _) => Ending::Failed(Fault::Denied),
        ("timeout", _) => Ending::Failed(Fault::Timeout),
        ("unreachable", _) => Ending::Failed(Fault::Unreachable),
        ("bad_reply" | "cut_off" | "too_long", _) => Ending::Failed(Fault::Broken),
        _ => Ending::Failed(Fault::Error),
    }
}

/// How far an answer has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Progress {
    /// Nothing of it is here.
    #[default]
    Silent,
    /// It has begun, then.
    Begun(Duration),
    /// It is whole: when its first token came, and its last.
    Complete {
        /// The first.
        first: Duration,
        /// The last; the same if it came in one piece.
        last: Duration,
    },
    /// It broke off, in a word.
    Broken(&'static str),
}
