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
use crate::flow::exchange::{Exchange, Outcome, Source, Spent, vendor_name};
use crate::flow::flight::{News, hand_over, land};
use crate::flow::kept;
use crate::flow::visit::Visit;
use crate::flow::{Effect, Headers, Reply, Step, Text, World, report};
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
    let trail = trail(exchange, config);
    headers.extend(trail.iter().cloned());
    let refusal = match exchange.last() {
        None => interrupted(head().status(), config),
        Some(last) => {
            vendor_name(config, &last.hop).clone_into(&mut forwarded.caller.visit.labels.vendor);
            match &last.outcome {
                Outcome::Failed(failure) => failure.refusal.clone(),
                Outcome::Answered | Outcome::Pending => {
                    forwarded.caller.visit.labels.status = 200;
                    let conversation = Conversation::of(&exchange.request, &forwarded.caller.key, config);
                    let went = conversation.map(|conversation| (conversation, last.hop.clone()));
                    headers.extend(price_tag(exchange));
                    headers.extend(forwarded.note.map(|note| ("x-weir-cache", note.into())));
                    let whole = exchange.request.delivery() == Delivery::Whole;
                    let kept = if whole { remember(&mut forwarded, world) } else { Vec::new() };
                    if let Some((conversation, hop)) = went {
                        conversation.went_to(&hop, world);
                    }
                    // Whoever waits for its turn need not wait until the client has read the answer.
                    let turn = pass_on(&mut forwarded.caller, world);
                    let header = |(name, value): (&'static str, Text)| Effect::ResponseHeader(name.into(), Some(value));
                    let effects = headers.into_iter().map(header).chain(kept).chain(turn).collect();
                    return Step::pass(Gateway::Answering(forwarded), effects);
                }
            }
        }
    };
    let log = failure_log(&refusal, &trail);
    let mut step = fail(&refusal, *forwarded, headers, world);
    step.effects.push(log);
    step
}

/// What the client gets when Envoy answers before the request is whole: it is too large, or too slow.
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
        Gateway::Ended(visit) => {
            let status = visit.labels.status;
            return visit.over(status, world);
        }
        Gateway::Passing(visit)
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
            let kept = remember(&mut forwarded, world);
            let (caller, status, mut effects) = settle(*forwarded, world);
            effects.extend(kept);
            (caller, status, effects)
        }
        Gateway::Forwarded(mut forwarded) => {
            let lead = forwarded.lead.take();
            let (caller, _, mut effects) = settle(*forwarded, world);
            effects.extend(lead.into_iter().flat_map(|lead| hand_over(lead, world)));
            (caller, LEFT, effects)
        }
    };
    effects.extend(hand_on(&mut caller, world));
    effects.extend(caller.visit.over(status, world));
    effects
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

/// Refuses a request that has none.
pub(super) fn refuse(refusal: &Refusal, surface: Surface, mut visit: Visit, mut headers: Headers) -> Step<Gateway> {
    visit.reason = Some(refusal.reason);
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
    reply(Reply { status: refusal.status, headers, body: refusal.body(surface) }, visit)
}

/// Answers a client.
pub(super) fn reply(reply: Reply, mut visit: Visit) -> Step<Gateway> {
    visit.labels.status = reply.status;
    Step::reply(Gateway::Ended(visit), reply)
}

/// No vendor answered: a kept answer is better than none, be it stale.
fn fail(refusal: &Refusal, mut forwarded: Forwarded, mut headers: Headers, world: &mut World<'_>) -> Step<Gateway> {
    let (memo, lead, note) = (forwarded.memo, forwarded.lead.take(), forwarded.note);
    let delivery = world.exchanges.get(forwarded.exchange).map(|exchange| exchange.request.delivery());
    let (caller, _, effects) = settle(forwarded, world);
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
    let mut headers = vec![("x-weir-attempts", exchange.trail(config).into())];
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
        413 => Refusal::too_large(config.limits.body_bytes),
        408 => Refusal::slow_client(),
        504 => Refusal::total_timeout(config.routing.total_timeout),
        _ => Refusal::internal("the gateway could not send the request to any vendor"),
    }
}

/// The end of a request that went out: what it came to is settled.
fn settle(forwarded: Forwarded, world: &mut World<'_>) -> (Caller, u16, Vec<Effect>) {
    let Forwarded { mut caller, exchange, claim, admitted, .. } = forwarded;
    let status = caller.visit.labels.status;
    let Some(mut exchange) = world.exchanges.close(exchange) else { return (caller, status, Vec::new()) };
    report::closed(&mut exchange, world);
    caller.visit.settled(&exchange, world.config);
    let mut effects = unmetered(&exchange, world.config);
    let attempts: Vec<usize> = exchange.attempts.iter().map(|attempt| attempt.hop.vendor).collect();
    effects.extend(admitted.settle(&Bill::of(&exchange), &attempts, &claim, world));
    (caller, status, effects)
}

/// Tells of an answer whose tokens nobody counted.
fn unmetered(exchange: &Exchange, config: &Config) -> Vec<Effect> {
    let Some(spent) = exchange.spent().filter(|spent| spent.source == Source::Estimate) else { return Vec::new() };
    let vendor = vendor_name(config, spent.hop).to_owned();
    let text = format!("{vendor} did not tell the tokens of an answer: they are estimated");
    vec![Effect::Log(log::Level::Info, text), Effect::Count(Counter::Unmetered { vendor })]
}

/// nginx's status for a client that left before its answer; no client ever sees it.
const LEFT: u16 = 499;
