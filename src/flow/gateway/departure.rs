//! What the client gets, from Envoy or from the gateway itself, and the end of its stream: what the request holds is
//! settled, and it is counted.
//!
//! Every answer that is no success is made here, out of what the exchange says of its attempts: whatever Envoy or a
//! vendor sent instead is replaced as a whole.

use std::rc::Rc;

use super::recollection::serve;
use super::{Caller, EXPLAIN, Forwarded, Gateway, Stranger, gathering, pooling};
use crate::account;
use crate::chat::request::Delivery;
use crate::config::Config;
use crate::flow::affinity::Conversation;
use crate::flow::bill::Bill;
use crate::flow::exchange::{Attempt, Exchange, Outcome, Source, Spent, vendor_name};
use crate::flow::flight::{News, hand_over, land};
use crate::flow::kept;
use crate::flow::report::Progress;
use crate::flow::visit::Visit;
use crate::flow::{Effect, Headers, Reply, Step, Text, World, report, scrape, trace};
use crate::metric::page::Others;
use crate::metric::{Counter, Rung};
use crate::refusal::{Again, Refusal, Surface};

/// What the client gets when Envoy has a response: the vendor's answer, or the reason why there is none.
pub(super) fn answer(mut forwarded: Box<Forwarded>, world: &mut World<'_>) -> Step<Gateway> {
    let (config, now, head) = (world.config, world.now(), world.head);
    let mut headers = forwarded.standings.headers();
    headers.extend(forwarded.explanation.take().map(|explanation| (EXPLAIN, explanation.into())));
    if let Some(exchange) = world.exchanges.get(forwarded.exchange) {
        exchange.conclude(|| head().status(), now, config);
    }
    report::ended(forwarded.exchange, world);
    let Some(exchange) = world.exchanges.get(forwarded.exchange) else {
        return fail(&Refusal::internal("the request was lost inside the gateway"), *forwarded, headers, world);
    };
    forwarded.caller.visit.answered(exchange, now);
    let trail = trail(exchange, config);
    headers.extend(trail.iter().cloned());
    let traced = trace::tried(trail.first().map_or("", |(_, attempts)| attempts), config);
    let refusal = match exchange.last() {
        None => interrupted(head().status(), config),
        Some(last) => {
            forwarded.caller.visit.labels.vendor = vendor_name(config, &last.hop).into();
            match &last.outcome {
                Outcome::Failed(failure) => exchange.refusal().unwrap_or_else(|| failure.refusal.clone()),
                Outcome::Answered | Outcome::Pending => {
                    let conversation = Conversation::of(&exchange.request, &forwarded.caller.key, config);
                    let went = conversation.map(|conversation| (conversation, last.hop.clone()));
                    headers.extend(price_tag(exchange));
                    headers.extend(number(forwarded.caller.surface, &forwarded.caller.visit));
                    let dropped = Some(last.dropped.clone()).filter(|dropped| !dropped.is_empty());
                    headers.extend(dropped.map(|dropped| ("x-weir-dropped-params", dropped.into())));
                    headers.extend(forwarded.caller.visit.cache.map(|note| ("x-weir-cache", note.into())));
                    let whole = exchange.request.delivery() == Delivery::Whole;
                    let kept = if whole { remember(&mut forwarded, world) } else { Vec::new() };
                    if let Some((conversation, hop)) = went {
                        conversation.went_to(&hop, world);
                    }
                    // Whoever waits for its turn need not wait until the client has read the answer.
                    let turn = pass_on(&mut forwarded.caller, world);
                    let header = |(name, value): (&'static str, Text)| Effect::ResponseHeader(name.into(), Some(value));
                    let effects =
                        traced.into_iter().chain(headers.into_iter().map(header)).chain(kept).chain(turn).collect();
                    return Step::pass(Gateway::Answering(forwarded), effects);
                }
            }
        }
    };
    let log = failure_log(&refusal, &trail);
    let mut step = fail(&refusal, *forwarded, headers, world).after(traced);
    step.effects.push(log);
    step
}

/// What the client gets when Envoy answers before the request is whole: it is too large, too slow, or broken.
pub(super) fn interrupt(state: Gateway, world: &mut World<'_>) -> Step<Gateway> {
    let (head, config) = (world.head, world.config);
    let refusal = || interrupted(head().status(), config);
    match state {
        Gateway::Identifying(Stranger { surface, visit, .. })
        | Gateway::IdentifyingWhole(Stranger { surface, visit, .. }, _) => {
            refuse(&refusal(), surface, visit, Headers::new())
        }
        Gateway::Reading(caller) | Gateway::Draining(caller, _) => dismiss(&refusal(), caller, Headers::new(), world),
        Gateway::Gathering(gathering) => gathering::interrupt(*gathering, &refusal(), world),
        Gateway::Pooling(pooling) => pooling::interrupt(*pooling, &refusal(), world),
        state => Step::pass(state, Vec::new()),
    }
}

/// The stream is over.
pub(super) fn close(state: Gateway, world: &mut World<'_>) -> Vec<Effect> {
    let (mut caller, status, mut effects) = match state {
        Gateway::Fresh | Gateway::Closed => return Vec::new(),
        Gateway::Ended(visit, status) => return visit.over(status, world),
        Gateway::Passing(visit, _)
        | Gateway::Scraping(visit, _)
        | Gateway::Identifying(Stranger { visit, .. })
        | Gateway::IdentifyingWhole(Stranger { visit, .. }, _) => return visit.over(LEFT, world),
        Gateway::Reading(caller) | Gateway::Draining(caller, _) => (caller, LEFT, Vec::new()),
        Gateway::Following(permitted) => {
            if let Some(memo) = permitted.memo {
                world.flights.leave(&memo.key, world.stream);
            }
            (permitted.caller, LEFT, Vec::new())
        }
        Gateway::Looking(permitted) => {
            (permitted.caller, LEFT, permitted.lead.map(|lead| hand_over(lead, world)).unwrap_or_default())
        }
        Gateway::Admitting(admitting) => {
            let mut effects = admitting.asked.abandoned(world);
            effects.extend(admitting.permitted.lead.into_iter().flat_map(|lead| hand_over(lead, world)));
            (admitting.permitted.caller, LEFT, effects)
        }
        Gateway::Gathering(gathering) => (gathering::abandon(*gathering, world), LEFT, Vec::new()),
        Gateway::Pooling(pooling) => {
            let mut effects = pooling::leave(&pooling.kind, world);
            effects.extend(pooling.permitted.lead.into_iter().flat_map(|lead| hand_over(lead, world)));
            (pooling.permitted.caller, LEFT, effects)
        }
        Gateway::Answering(mut forwarded) => {
            break_off(&mut forwarded, world);
            let kept = remember(&mut forwarded, world);
            let (caller, mut effects) = settle(*forwarded, world);
            effects.extend(kept);
            (caller, 200, effects)
        }
        Gateway::Forwarded(mut forwarded) => {
            let lead = forwarded.lead.take();
            let (caller, mut effects) = settle(*forwarded, world);
            effects.extend(lead.into_iter().flat_map(|lead| hand_over(lead, world)));
            (caller, LEFT, effects)
        }
    };
    effects.extend(hand_on(&mut caller, world));
    effects.extend(caller.visit.over(status, world));
    effects
}

/// A stream that was on its way to the client is over. Of a vendor that broke it off, Envoy tells the filter nothing but
/// the end, which looks as if the client had left.
fn break_off(forwarded: &mut Forwarded, world: &mut World<'_>) {
    let flags = world.flags;
    let Some(attempt) = world.exchanges.get(forwarded.exchange).and_then(|exchange| exchange.attempts.last_mut())
    else {
        return;
    };
    if let Progress::Begun(_) = attempt.progress
        && let Some(word) = broken_by_vendor(flags())
    {
        attempt.progress = Progress::Broken(word);
    }
    if let Progress::Broken(word) = attempt.progress {
        forwarded.caller.visit.reason = Some(word);
    }
}

/// Envoy's response flags of a stream that broke off: a word for it if it was the vendor.
fn broken_by_vendor(flags: u64) -> Option<&'static str> {
    /// It closed or reset the connection, or spoke nonsense.
    const GONE: u64 = 1 << 4 | 1 << 6 | 1 << 23;
    /// The whole took too long, or it was silent for too long.
    const LATE: u64 = 1 << 2 | 1 << 16;
    /// The client closed or reset the connection, or spoke nonsense.
    const CLIENT: u64 = 1 << 14 | 1 << 18 | 1 << 28;
    match flags {
        _ if flags & CLIENT != 0 => None,
        _ if flags & GONE != 0 => Some("cut_off"),
        _ if flags & LATE != 0 => Some("timeout"),
        _ => None,
    }
}

/// Envoy's admin interface answers.
pub(super) fn scraped(visit: Box<Visit>, others: Others, end: bool, world: &World<'_>) -> Step<Gateway> {
    match world.head().status() {
        200 if !end => Step::hold(Gateway::Scraping(visit, others)),
        _ => {
            let refusal = Refusal::internal("Envoy's admin interface did not tell its statistics");
            refuse(&refusal, Surface::Api, visit, Headers::new())
        }
    }
}

/// The page of metrics: what Envoy's admin interface says, and what the records say.
pub(super) fn page(visit: Box<Visit>, others: Others, envoy: &[u8], world: &World<'_>) -> Step<Gateway> {
    reply(scrape::page(others, envoy, world), visit)
}

/// Gives back what a request has that others wait for: its place and its turn.
pub(super) fn hand_on(caller: &mut Caller, world: &World<'_>) -> Vec<Effect> {
    if let Some(place) = caller.place.take() {
        place.leave(world);
    }
    pass_on(caller, world).into_iter().collect()
}

/// Its turn is over.
fn pass_on(caller: &mut Caller, world: &World<'_>) -> Option<Effect> {
    let next = world.pools.over(&caller.turn.take()?)?;
    Some(Effect::Wake(vec![next], News::Turn))
}

/// Refuses a request that has a place.
pub(super) fn dismiss(refusal: &Refusal, mut caller: Caller, headers: Headers, world: &World<'_>) -> Step<Gateway> {
    let turn = hand_on(&mut caller, world);
    let mut step = refuse(refusal, caller.surface, caller.visit, headers);
    step.effects.extend(turn);
    step
}

/// The header in which Anthropic's clients look for the number of their request.
pub(super) fn number(surface: Surface, visit: &Visit) -> Option<(&'static str, Text)> {
    (surface == Surface::Messages && !visit.id.is_empty()).then(|| ("request-id", visit.id.clone().into()))
}

/// Refuses a request that has none.
pub(super) fn refuse(
    refusal: &Refusal,
    surface: Surface,
    mut visit: Box<Visit>,
    mut headers: Headers,
) -> Step<Gateway> {
    visit.reason = Some(refusal.reason);
    headers.extend(number(surface, &visit));
    headers.push(("content-type", "application/json".into()));
    if let Some(wait) = refusal.retry_after {
        let millis = wait.as_micros().div_ceil(1000);
        headers.push(("retry-after", millis.div_ceil(1000).to_string().into()));
        headers.push(("retry-after-ms", millis.to_string().into()));
    }
    match refusal.again {
        Again::AsUsual => {}
        Again::Yes => headers.push(("x-should-retry", "true".into())),
        Again::No => headers.push(("x-should-retry", "false".into())),
    }
    if let Some(allow) = refusal.allow {
        headers.push(("allow", allow.into()));
    }
    reply(Reply { status: refusal.status, headers, body: refusal.body(surface, &visit.id) }, visit)
}

/// Answers a client. Envoy marks answers for browsers, but not one that comes when it has a vendor's response already.
pub(super) fn reply(mut reply: Reply, visit: Box<Visit>) -> Step<Gateway> {
    if let Some(page) = &visit.page {
        let marks =
            [("access-control-allow-origin", page.clone().into()), ("access-control-expose-headers", "*".into())];
        reply.headers.extend(marks);
        reply.headers.push(("vary", "origin".into()));
    }
    Step::reply(Gateway::Ended(visit, reply.status), reply)
}

/// No vendor answered: a kept answer is better than none, be it stale.
fn fail(refusal: &Refusal, mut forwarded: Forwarded, mut headers: Headers, world: &mut World<'_>) -> Step<Gateway> {
    let (memo, lead, note) = (forwarded.memo, forwarded.lead.take(), forwarded.caller.visit.cache);
    let delivery = world.exchanges.get(forwarded.exchange).map(|exchange| exchange.request.delivery());
    let (caller, effects) = settle(forwarded, world);
    let stale = memo
        .filter(|_| refusal.is_outage())
        .and_then(|memo| kept::here(&memo.key, world).filter(|entry| memo.tolerates(entry, world.now())));
    let mut step = match (stale, delivery) {
        (Some(entry), Some(delivery)) => {
            let mut step = serve(caller, delivery, &entry, Rung::Stale, world);
            step.effects.extend(lead.into_iter().flat_map(|lead| land(lead, Rc::new(entry.clone()), world)));
            step
        }
        _ => {
            headers.extend(note.map(|note| ("x-weir-cache", note.into())));
            let mut step = dismiss(refusal, caller, headers, world);
            step.effects.extend(note.map(|_| Effect::Count(Counter::Degraded(Rung::Error))));
            step.effects.extend(lead.into_iter().flat_map(|lead| hand_over(lead, world)));
            step
        }
    };
    step.effects.extend(effects);
    step
}

/// Keeps an answer that is whole, and gives it to all that wait for it. One that is not, or may not be kept, is nobody
/// else's.
fn remember(forwarded: &mut Forwarded, world: &mut World<'_>) -> Vec<Effect> {
    let (memo, lead) = (forwarded.memo.take(), forwarded.lead.take());
    let Some(memo) = memo else { return Vec::new() };
    let number = forwarded.exchange;
    let entry = kept::entry(number, &memo, world).map(Rc::new);
    let mut effects: Vec<Effect> = entry.iter().flat_map(|entry| kept::told(kept::keep(&memo, entry, world))).collect();
    effects.extend(lead.into_iter().flat_map(|lead| match &entry {
        Some(entry) => land(lead, Rc::clone(entry), world),
        None => hand_over(lead, world),
    }));
    effects
}

/// The headers by which a client learns who answered.
fn trail(exchange: &Exchange, config: &Config) -> Headers {
    let mut headers = vec![("x-weir-attempts", exchange.trail(config, Attempt::so_far).into())];
    if let Some(last) = exchange.last() {
        headers.push(("x-weir-vendor", vendor_name(config, &last.hop).to_owned().into()));
        headers.push(("x-weir-model", last.hop.model.clone().into()));
    }
    headers
}

/// What a whole answer costs, if that is certain. A stream's headers go before anybody has counted its tokens.
fn price_tag(exchange: &Exchange) -> Option<(&'static str, Text)> {
    let whole = exchange.request.delivery() == Delivery::Whole;
    let spent = exchange.spent().filter(|spent| whole && spent.source == Source::Vendor);
    let cost = spent.as_ref().and_then(Spent::cost)?;
    Some(("x-weir-cost-usd", account::dollars(cost).into()))
}

fn failure_log(refusal: &Refusal, trail: &Headers) -> Effect {
    let attempts = trail.first().map_or("", |(_, attempts)| attempts);
    // A rejected credential is the operator's to mend; everything else is the vendors' own affair.
    let level = if refusal.reason == "upstream_auth" { log::Level::Warn } else { log::Level::Info };
    Effect::Log(level, format!("no vendor answered: {} after {attempts}", refusal.reason))
}

/// What Envoy's own answer means where no vendor was reached.
fn interrupted(status: u16, config: &Config) -> Refusal {
    match status {
        // The chunks of the body are none, or what comes after them is too long.
        400 | 431 => Refusal::malformed("the request's body is not what HTTP calls one"),
        413 => Refusal::too_large(config.limits.body_bytes),
        408 => Refusal::slow_client(),
        504 => Refusal::total_timeout(config.routing.total_timeout),
        _ => Refusal::internal("the gateway could not send the request to any vendor"),
    }
}

/// The end of a request that went out: what it came to is settled.
fn settle(forwarded: Forwarded, world: &mut World<'_>) -> (Caller, Vec<Effect>) {
    let Forwarded { mut caller, exchange, claim, admitted, .. } = forwarded;
    let Some(mut exchange) = world.exchanges.close(exchange) else { return (caller, Vec::new()) };
    report::closed(&mut exchange, world);
    let mut effects = caller.visit.settled(&exchange, world);
    let attempts: Vec<usize> = exchange.attempts.iter().map(|attempt| attempt.hop.vendor).collect();
    effects.extend(admitted.settle(&Bill::of(&exchange), &attempts, &claim, world));
    (caller, effects)
}

/// nginx's status for a client that left before its answer; no client ever sees it.
const LEFT: u16 = 499;
