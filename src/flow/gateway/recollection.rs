//! Between a request that is permitted and one that asks for its limits: whether it has to go out at all. A kept answer
//! is given at once; whoever asks what is being asked already waits for that answer. Neither costs anything, so no limit
//! is asked.
//!
//! The ladder, from the best answer to the worst: kept here, kept in Redis, that of an identical request, and, when no
//! vendor has one, a kept one that is stale. Below it is the error.

use std::rc::Rc;
use std::time::Duration;

use super::departure::{dismiss, hand_on, number, reply};
use super::pooling::set_out;
use super::{Caller, Gateway, Permitted};
use crate::cache::Entry;
use crate::chat::request::Delivery;
use crate::chat::{Origin, replay};
use crate::dialect::{self, Tongue};
use crate::flow::flight::{self, Leader, Lease, News, land};
use crate::flow::kept::{self, Memo};
use crate::flow::visit::Own;
use crate::flow::{EVENT_STREAM, Effect, Headers, Reply, Step, World, content, trace};
use crate::metric::{Counter, Rung};
use crate::redis::{self, Command};
use crate::refusal::{Refusal, Surface};

/// Looks for an answer that is there already, or on its way.
pub(super) fn recollect(mut permitted: Permitted, world: &mut World<'_>) -> Step<Gateway> {
    let found = world.config.models.get(permitted.model).ok_or(None).and_then(|model| {
        let Permitted { caller, request, .. } = &permitted;
        Memo::new(caller.control, &caller.key, model, request, world.config)
    });
    match found {
        Ok(memo) => permitted.memo = Some(memo),
        Err(note) => permitted.caller.visit.cache = note,
    }
    let Some(memo) = permitted.memo else { return go_on(permitted, world) };
    let kept = kept::here(&memo.key, world);
    if let Some(entry) = kept.as_ref().filter(|entry| memo.welcomes(entry, world.now())) {
        return give(permitted, entry, Rung::L1, world);
    }
    if permitted.caller.place.is_none()
        && let Some(entry) = kept.filter(|entry| memo.tolerates(entry, world.now()))
    {
        return give(permitted, &entry, Rung::Stale, world);
    }
    permitted.caller.visit.cache = Some(if memo.reads { "miss" } else { "bypass;no-cache" });
    let merge = world.config.cache.as_ref().map_or(Duration::ZERO, |cache| cache.merge);
    permitted.until = world.now().saturating_add(merge);
    match memo.reads && permitted.caller.place.is_some() && merge > Duration::ZERO {
        true => join(permitted, memo, world),
        false => go_on(permitted, world),
    }
}

/// Goes on to the limits; without a place only if that is what is wanted of it.
fn go_on(permitted: Permitted, world: &mut World<'_>) -> Step<Gateway> {
    match permitted.caller.place {
        Some(_) => set_out(permitted, world),
        None => dismiss(&Refusal::overloaded((world.random)()), permitted.caller, Headers::new(), world),
    }
}

/// Leads, or follows.
fn join(mut permitted: Permitted, memo: Memo, world: &mut World<'_>) -> Step<Gateway> {
    if !world.flights.has(&memo.key) {
        let lead = Lease::take(memo.key, permitted.until, world);
        world.flights.depart(memo.key, if lead.is_some() { Leader::Here } else { Leader::Elsewhere });
        if let Some(lead) = lead {
            return self::lead(permitted, lead, world);
        }
    }
    world.flights.follow(&memo.key, world.stream, permitted.until);
    permitted.caller.visit.own = Own::Unknown;
    Step { effects: vec![Effect::Wait], ..Step::hold(Gateway::Following(Box::new(permitted))) }
}

/// Goes out in the name of all, unless whoever led before has got the answer since this one looked for it.
fn lead(mut permitted: Permitted, lease: Lease, world: &mut World<'_>) -> Step<Gateway> {
    permitted.lead = Some(lease);
    let kept = permitted.memo.and_then(|memo| kept::here(&memo.key, world).filter(|it| memo.welcomes(it, world.now())));
    match kept {
        Some(entry) => give(permitted, &entry, Rung::Merge, world),
        None => set_out(permitted, world),
    }
}

/// What somebody who waits is told.
pub(super) fn hear(state: Gateway, news: News, world: &mut World<'_>) -> Step<Gateway> {
    match (state, news) {
        (Gateway::Following(permitted), News::Answer(entry)) => give(*permitted, &entry, Rung::Merge, world),
        (Gateway::Following(permitted), News::Lead(lease)) => lead(*permitted, lease, world),
        (Gateway::Following(permitted), News::Alone) => alone(*permitted, world),
        (Gateway::Looking(permitted), _) => look(permitted, world),
        (state, _) => Step::hold(state),
    }
}

/// Goes out without asking for an answer once more.
fn alone(mut permitted: Permitted, world: &mut World<'_>) -> Step<Gateway> {
    if let Some(memo) = &mut permitted.memo {
        memo.reads = false;
    }
    set_out(permitted, world)
}

/// Asks Redis whether the gateway that is at it has the answer, or has given up.
fn look(permitted: Box<Permitted>, world: &mut World<'_>) -> Step<Gateway> {
    if world.now() >= permitted.until {
        return alone(*permitted, world);
    }
    let commands = questions(&permitted, world);
    Step { effects: vec![Effect::Ask(commands)], ..Step::hold(Gateway::Looking(permitted)) }
}

/// What Redis is asked about answers; to be read by [`hear_redis`]. The claim comes first: what the one got who had it
/// before is there when it is free.
pub(super) fn questions(permitted: &Permitted, world: &World<'_>) -> Vec<Command> {
    let Some(memo) = permitted.memo.filter(|memo| memo.reads && world.config.redis.is_some()) else {
        return Vec::new();
    };
    let left = permitted.until.saturating_sub(world.now());
    let claim = permitted.lead.map(|lead| flight::claim(&lead, left));
    claim.into_iter().chain([kept::question(&memo.key, world.config)]).collect()
}

/// What follows from Redis's replies to [`questions`].
pub(super) enum Heard {
    /// An answer.
    Answer(Entry),
    /// Another gateway is at it.
    Taken,
    /// Nothing that helps.
    Nothing,
}

/// Reads the replies to [`questions`].
pub(super) fn hear_redis(permitted: &Permitted, replies: &[redis::Reply], world: &World<'_>) -> Heard {
    let Some(memo) = permitted.memo else { return Heard::Nothing };
    let (claimed, kept) = match replies {
        [claimed, kept] => (Some(claimed), Some(kept)),
        replies => (None, replies.first()),
    };
    let entry = kept.and_then(|reply| kept::heard(&memo, reply));
    if let Some(entry) = entry {
        // A stale one may be needed later.
        kept::keep_here(&memo, &entry, world);
        if memo.welcomes(&entry, world.now()) {
            return Heard::Answer(entry);
        }
    }
    match claimed {
        Some(redis::Reply::Nil) => Heard::Taken,
        _ => Heard::Nothing,
    }
}

/// What Redis says to somebody who waits for another gateway.
pub(super) fn told(
    permitted: Box<Permitted>,
    replies: Option<Vec<redis::Reply>>,
    world: &mut World<'_>,
) -> Step<Gateway> {
    let replies = replies.unwrap_or_default();
    match hear_redis(&permitted, &replies, world) {
        Heard::Answer(entry) => give(*permitted, &entry, Rung::L2, world),
        Heard::Taken => wait(permitted, world),
        Heard::Nothing => alone(*permitted, world),
    }
}

/// Waits for another gateway.
pub(super) fn wait(mut permitted: Box<Permitted>, world: &mut World<'_>) -> Step<Gateway> {
    world.flights.look_again(world.stream);
    permitted.caller.visit.own = Own::Unknown;
    Step { effects: vec![Effect::Wait], ..Step::hold(Gateway::Looking(permitted)) }
}

/// Gives a kept answer, to this one and to all that follow it.
pub(super) fn give(permitted: Permitted, entry: &Entry, rung: Rung, world: &mut World<'_>) -> Step<Gateway> {
    let Permitted { caller, request, memo, lead, .. } = permitted;
    let mut traced = trace::asks(&request, &caller.visit.labels.model, world.config);
    let landed = lead.map(|lead| land(lead, Rc::new(entry.clone()), world)).unwrap_or_default();
    // Whoever led may have got a stale one.
    let fresh = memo.is_some_and(|memo| memo.welcomes(entry, world.now()));
    let rung = if rung == Rung::Merge && !fresh { Rung::Stale } else { rung };
    traced.extend(landed);
    serve(caller, request.delivery(), entry, rung, world).after(traced)
}

/// Answers with a kept answer.
pub(super) fn serve(caller: Caller, delivery: Delivery, entry: &Entry, rung: Rung, world: &World<'_>) -> Step<Gateway> {
    match answer(entry, delivery, &caller, rung, world) {
        Some(answer) => handed(caller, answer, entry, rung, world),
        None => dismiss(&Refusal::internal("a kept answer cannot be read"), caller, Headers::new(), world),
    }
}

fn handed(mut caller: Caller, answer: Reply, entry: &Entry, rung: Rung, world: &World<'_>) -> Step<Gateway> {
    let turn = hand_on(&mut caller, world);
    let Caller { mut visit, .. } = caller;
    // What stands in Redis may name anybody.
    let vendor = world.config.vendor(&entry.vendor).map_or("other", |(_, vendor)| &vendor.name);
    visit.labels.vendor = vendor.into();
    visit.cache = Some(rung.header());
    let saved = Counter::Saved(visit.labels.target());
    let mut step = reply(answer, visit);
    step.effects.splice(..0, trace::looked(rung.header(), world.config));
    step.effects.extend(turn);
    step.effects.push(Effect::Count(Counter::Degraded(rung)));
    if entry.cost > 0 && rung != Rung::Stale {
        step.effects.push(Effect::Add(saved, entry.cost));
    }
    step
}

/// A kept answer as the client wants it: whole, or as a stream, in the words in which it asked.
fn answer(entry: &Entry, delivery: Delivery, caller: &Caller, rung: Rung, world: &World<'_>) -> Option<Reply> {
    let mut headers: Headers = vec![
        ("x-weir-cache", rung.header().into()),
        ("age", entry.age(world.now()).as_secs().to_string().into()),
        ("x-weir-vendor", visible(&entry.vendor).into()),
        ("x-weir-model", visible(&entry.model).into()),
        ("x-weir-cost-usd", "0".into()),
    ];
    if rung == Rung::Stale {
        headers.push(("warning", "110 - \"Response is Stale\"".into()));
    }
    let origin = if caller.surface == Surface::Messages { Origin::Messages } else { Origin::AsSent };
    let (kind, body) = match delivery {
        Delivery::Whole => ("application/json", dialect::whole(origin, entry.answer.as_slice().into())?.into_owned()),
        Delivery::Stream { usage } => {
            (EVENT_STREAM, Tongue::of(origin).tell(replay::events(&entry.answer, usage)?, true))
        }
    };
    headers.extend(number(caller.surface, &caller.visit));
    headers.extend(content(kind));
    Some(Reply { status: 200, headers, body })
}

/// What may stand in a header. Whoever can write to Redis can make an entry that says anything.
fn visible(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}
