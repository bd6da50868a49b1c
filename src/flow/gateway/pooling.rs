//! Requests for one vector each, which go together: between one that may go out and one that asks for its limits. Who is
//! the first of its kind goes on at once; the others wait, and whose turn it is makes the call for all that have
//! gathered by then. That call asks for its limits, so none of those it is made for does.

use std::rc::Rc;

use super::consideration::petition;
use super::departure::{dismiss, hand_on, reply};
use super::recollection::{questions, serve};
use super::{Gateway, Permitted, Pooling};
use crate::account;
use crate::cache::Entry;
use crate::chat::{Usage, request::Delivery};
use crate::config::SingleVectors;
use crate::flow::call::{self, Call, INNER};
use crate::flow::flight::News;
use crate::flow::flight::{hand_over, land};
use crate::flow::party::Party;
use crate::flow::pool::{Answer, Boarding, Joined, Kind, Member, Most, Share};
use crate::flow::visit::Own;
use crate::flow::{Effect, Headers, Reply, Step, World, bill, kept};
use crate::metric::{Counter, Rung};
use crate::refusal::Refusal;
use crate::unit::NanoUsd;

/// Sends a request on, now or with others.
pub(super) fn set_out(mut permitted: Permitted, world: &mut World<'_>) -> Step<Gateway> {
    let Some((kind, input, tokens)) = kind(&permitted, world) else { return petition(permitted, world) };
    // Who travels with others has nothing to ask Redis about but kept answers, and does that now.
    let questions = questions(&permitted, world);
    if !questions.is_empty() {
        return Step { effects: vec![Effect::Ask(questions)], ..Step::hold(Gateway::Looking(Box::new(permitted))) };
    }
    let until = world.now().saturating_add(world.config.routing.total_timeout);
    let member = Member { stream: Some(world.stream), input, tokens, until };
    match world.pools.join(&kind, member) {
        Joined::First => {
            permitted.caller.turn = Some(kind);
            petition(permitted, world)
        }
        Joined::Waits => wait(Pooling { permitted, kind }, Vec::new()),
        Joined::Full => petition(permitted, world),
    }
}

/// What somebody who waits is told.
pub(super) fn hear(pooling: Pooling, news: News, world: &mut World<'_>) -> Step<Gateway> {
    match news {
        News::Turn => board(pooling, world),
        News::Share(share) => take(pooling.permitted, &share, world),
        News::Alone => give_up(pooling.permitted, &Refusal::total_timeout(world.config.routing.total_timeout), world),
        _ => wait(pooling, Vec::new()),
    }
}

/// The client gets this instead of its vector.
pub(super) fn interrupt(pooling: Pooling, refusal: &Refusal, world: &mut World<'_>) -> Step<Gateway> {
    let effects = leave(&pooling.kind, world);
    give_up(pooling.permitted, refusal, world).after(effects)
}

/// Somebody who waited is gone.
pub(super) fn leave(kind: &Kind, world: &World<'_>) -> Vec<Effect> {
    world.pools.leave(kind, world.stream).map(|next| Effect::Wake(vec![next], News::Turn)).into_iter().collect()
}

fn kind(permitted: &Permitted, world: &World<'_>) -> Option<(Kind, String, u64)> {
    let Permitted { caller, request, .. } = permitted;
    let may = world.config.single_vectors == SingleVectors::Together && caller.turn.is_none();
    may.then(|| Kind::of(caller.visit.labels.endpoint, &caller.key.sha256, request)).flatten()
}

fn wait(mut pooling: Pooling, mut effects: Vec<Effect>) -> Step<Gateway> {
    effects.push(Effect::Wait);
    pooling.permitted.caller.visit.own = Own::Unknown;
    Step { effects, ..Step::hold(Gateway::Pooling(Box::new(pooling))) }
}

/// It is this one's turn.
fn board(mut pooling: Pooling, world: &mut World<'_>) -> Step<Gateway> {
    let Permitted { caller, model, plan, .. } = &mut pooling.permitted;
    // What is more than a bucket of tokens ever holds would be refused for ever, and is not if it goes in parts.
    let tokens = bill::most_at_once(&Party::all(world.config, &caller.key, *model, plan));
    let most = Most { bytes: world.config.limits.body_bytes, tokens };
    match world.pools.board(&pooling.kind, world.stream, most) {
        Boarding::Nothing => wait(pooling, Vec::new()),
        Boarding::Alone => {
            caller.turn = Some(pooling.kind);
            petition(pooling.permitted, world)
        }
        Boarding::Call { number, body, until } => {
            // The call stands for this request, and takes its place.
            if let Some(place) = caller.place.take() {
                place.leave(world);
            }
            let mut headers = call::headers(&world.head(), pooling.kind.path(), "merged");
            // Each of them is kept by itself.
            headers.push(("cache-control", "no-store".into()));
            let timeout = until.saturating_sub(world.now());
            let call = Call { number, cluster: INNER, headers, body, timeout };
            wait(pooling, vec![Effect::Errand(call)])
        }
    }
}

/// The call has come back.
fn take(permitted: Permitted, share: &Share, world: &mut World<'_>) -> Step<Gateway> {
    match share {
        Share::Refused(refusal) => give_up(permitted, refusal, world),
        Share::Answer(answer) if answer.status == 200 => deliver(permitted, answer, world),
        Share::Answer(answer) => match instead(permitted, is_outage(answer.status), world) {
            Ok(step) => step,
            Err(permitted) => relay(*permitted, answer, Headers::new(), world),
        },
    }
}

fn is_outage(status: u16) -> bool {
    status >= 500 || status == 429
}

/// There is no answer: a kept one is better than none, be it stale.
fn give_up(permitted: Permitted, refusal: &Refusal, world: &mut World<'_>) -> Step<Gateway> {
    match instead(permitted, refusal.is_outage(), world) {
        Ok(step) => step,
        Err(permitted) => {
            let effects: Vec<_> = permitted.lead.map(|lead| hand_over(lead, world)).unwrap_or_default();
            dismiss(refusal, permitted.caller, Headers::new(), world).after(effects)
        }
    }
}

/// A stale answer, if that may be.
fn instead(permitted: Permitted, outage: bool, world: &mut World<'_>) -> Result<Step<Gateway>, Box<Permitted>> {
    let stale = permitted
        .memo
        .filter(|_| outage)
        .and_then(|memo| kept::here(&memo.key, world).filter(|entry| memo.tolerates(entry, world.now())));
    let Some(entry) = stale else { return Err(Box::new(permitted)) };
    let landed = permitted.lead.map(|lead| land(lead, Rc::new(entry.clone()), world)).unwrap_or_default();
    Ok(serve(permitted.caller, Delivery::Whole, &entry, Rung::Stale, world).after(landed))
}

/// A good answer: the client gets it, and so do those who asked the same.
fn deliver(mut permitted: Permitted, answer: &Answer, world: &mut World<'_>) -> Step<Gateway> {
    let cost = cost(&permitted, answer, world);
    let entry = permitted.memo.map(|memo| Rc::new(entry(answer, cost, memo.rule.ttl, world)));
    let mut effects = Vec::new();
    if let (Some(memo), Some(entry)) = (&permitted.memo, &entry) {
        effects.extend(kept::told(kept::keep(memo, entry, world)));
    }
    if let Some(lead) = permitted.lead.take() {
        effects.extend(match entry {
            Some(entry) => land(lead, entry, world),
            None => hand_over(lead, world),
        });
    }
    let price = cost.map(|cost| ("x-weir-cost-usd", account::dollars(cost).into()));
    relay(permitted, answer, price.into_iter().collect(), world).after(effects)
}

fn entry(answer: &Answer, cost: Option<NanoUsd>, ttl: std::time::Duration, world: &World<'_>) -> Entry {
    let stored = std::time::Duration::from_millis(u64::try_from(world.now().as_millis()).unwrap_or(u64::MAX));
    let (vendor, model) = (said(answer, "x-weir-vendor").to_owned(), said(answer, "x-weir-model").to_owned());
    Entry { answer: answer.body.clone(), vendor, model, cost: cost.unwrap_or_default().0, stored, ttl }
}

fn said<'a>(answer: &'a Answer, header: &str) -> &'a str {
    answer.headers.iter().find(|(name, _)| *name == header).map_or("", |(_, value)| value)
}

/// What this one's tokens cost at the vendor that answered.
fn cost(permitted: &Permitted, answer: &Answer, world: &World<'_>) -> Option<NanoUsd> {
    let (vendor, _) = world.config.vendor(said(answer, "x-weir-vendor"))?;
    let model = said(answer, "x-weir-model");
    let hops = &world.config.models.get(permitted.model)?.serve;
    let price = hops.iter().find(|hop| hop.vendor == vendor && hop.model == model)?.price.as_ref()?;
    Some(account::cost(price, &Usage { prompt: answer.tokens?, ..Usage::default() }))
}

/// Answers as the call was answered.
fn relay(permitted: Permitted, answer: &Answer, more: Headers, world: &mut World<'_>) -> Step<Gateway> {
    let Permitted { mut caller, lead, .. } = permitted;
    let note = caller.visit.cache;
    let mut headers: Headers = vec![("content-type", "application/json".into())];
    headers.extend(answer.headers.iter().cloned().chain(more));
    headers.extend(note.map(|note| ("x-weir-cache", note.into())));
    if let Some((_, vendor)) = world.config.vendor(said(answer, "x-weir-vendor")) {
        caller.visit.labels.vendor = vendor.name.as_str().into();
    }
    let mut effects = hand_on(&mut caller, world);
    effects.extend(lead.into_iter().flat_map(|lead| hand_over(lead, world)));
    caller.visit.company = said(answer, "x-weir-merged").parse().unwrap_or(1);
    if answer.status != 200 {
        // The call's own line and counters say more.
        caller.visit.reason = Some("merged");
        effects.extend(note.map(|_| Effect::Count(Counter::Degraded(Rung::Error))));
    }
    let step = reply(Reply { status: answer.status, headers, body: answer.body.clone() }, caller.visit);
    Step { effects: step.effects.into_iter().chain(effects).collect(), ..step }
}
