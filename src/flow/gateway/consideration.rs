//! What becomes of a request that is whole. It is read, and what is permitted and can be served becomes a [`Permitted`]
//! one; those who may limit it are asked, here or in Redis; it goes out, or is refused. Each of these hands on to the
//! next, and what waits for Redis in between comes back through [`told`].

use std::rc::Rc;

use super::departure::{dismiss, reply};
use super::recollection::{Heard, give, hear_redis, questions, recollect, wait};
use super::{Admitting, Caller, Explain, Forwarded, Gateway, Permitted};
use crate::chat::request::Delivery;
use crate::chat::{Request, Task};
use crate::config::{Key, Model};
use crate::dialect::{self, Tongue};
use crate::flow::admission::{Admitted, Petition, Ruling, Standings};
use crate::flow::exchange::{Copied, Exchange, vendor_name};
use crate::flow::flight::hand_over;
use crate::flow::party::Party;
use crate::flow::selection::{Selection, select};
use crate::flow::{self, bill, trace};
use crate::flow::{DELIVERY, Effect, Headers, STREAM, Step, World};
use crate::limit::Claim;
use crate::metric::Rung;
use crate::redis::Reply;
use crate::refusal::{Refusal, Surface};
use crate::route::Plan;

/// Takes a whole request as far as it gets.
pub(super) fn consider(mut caller: Caller, task: Task, body: Vec<u8>, world: &mut World<'_>) -> Step<Gateway> {
    match read(&mut caller, task, body, world) {
        Ok((_, _, selection)) if caller.explain == Explain::Instead => explain(caller, &selection, world),
        Ok((request, model, selection)) => {
            let explains = caller.explain == Explain::InHeader;
            let explanation = explains.then(|| String::from_utf8_lossy(&selection.explain(world)).into_owned());
            let ((memo, lead, until), plan) = (Default::default(), selection.plan);
            recollect(Permitted { caller, request, model, plan, explanation, memo, lead, until }, world)
        }
        Err(refusal) => dismiss(&refusal, caller, Headers::new(), world),
    }
}

/// Tells an admin who would be asked, and asks nobody.
fn explain(caller: Caller, selection: &Selection, world: &World<'_>) -> Step<Gateway> {
    if let Some(place) = caller.place {
        place.leave(world);
    }
    let headers = vec![("content-type", "application/json".into())];
    reply(flow::Reply { status: 200, headers, body: selection.explain(world) }, caller.visit)
}

/// What Redis said of kept answers and of the limits, or did not.
pub(super) fn told(admitting: Admitting, replies: Option<Vec<Reply>>, world: &mut World<'_>) -> Step<Gateway> {
    let Admitting { permitted, claim, asked, questions } = admitting;
    let mut replies = replies;
    let about_answers: Vec<Reply> =
        replies.iter_mut().flat_map(|replies| replies.drain(..questions.min(replies.len()))).collect();
    let ruling = asked.told(replies, world);
    match hear_redis(&permitted, &about_answers, world) {
        Heard::Answer(entry) => give(permitted, &entry, Rung::L2, world).after(ruling.withdrawn(world)),
        Heard::Taken => wait(Box::new(permitted), world).after(ruling.withdrawn(world)),
        Heard::Nothing => conclude(permitted, claim, ruling, world),
    }
}

/// Understands a request, and finds out who could answer it.
fn read(
    caller: &mut Caller,
    task: Task,
    body: Vec<u8>,
    world: &World<'_>,
) -> Result<(Request, usize, Selection), Refusal> {
    let request = match caller.surface {
        Surface::Messages => Request::of_messages(dialect::request::canonical(body)?)?,
        Surface::Api | Surface::OpenAi => Request::read(task, body)?,
    };
    caller.visit.asks(&request);
    caller.visit.labels.model = "other".into();
    let found = world.config.model(request.model());
    let (index, model) = found.ok_or_else(|| Refusal::unknown_model(request.model()))?;
    caller.visit.labels.model = model.name.as_str().into();
    permit(&caller.key, index, model)?;
    let candidates = Plan::candidates(world.config, &caller.key, model, &request)?;
    let selection = select(candidates, &caller.key, model, &request, world);
    let selection = selection.ok_or_else(|| Refusal::unserved(&model.name))?;
    Ok((request, index, selection))
}

fn permit(key: &Key, index: usize, model: &Model) -> Result<(), Refusal> {
    if key.models.covers(index) { Ok(()) } else { Err(Refusal::forbidden(&model.name)) }
}

/// Asks those who may limit a request, and Redis for a kept answer.
pub(super) fn petition(permitted: Permitted, world: &mut World<'_>) -> Step<Gateway> {
    let Permitted { caller, request, model, plan, .. } = &permitted;
    let parties = Party::all(world.config, &caller.key, *model, plan);
    let claim = bill::claim(request, plan, &parties, world);
    let petition = Petition { parties, hops: plan.hops().map(|hop| hop.vendor).collect(), claim };
    let mut commands = questions(&permitted, world);
    let nothing_to_ask = petition.parties.is_empty() && commands.is_empty();
    if nothing_to_ask || world.config.redis.is_none() {
        let ruling = petition.decide(world);
        return conclude(permitted, claim, ruling, world);
    }
    let questions = commands.len();
    let (asked, claims) = petition.ask(world);
    commands.extend(claims);
    let admitting = Admitting { permitted, claim, asked, questions };
    Step { effects: vec![Effect::Ask(commands)], ..Step::hold(Gateway::Admitting(Box::new(admitting))) }
}

/// Sends a request on its way, or refuses it.
fn conclude(permitted: Permitted, claim: Claim, ruling: Ruling, world: &mut World<'_>) -> Step<Gateway> {
    let Ruling { outcome, standings, effects } = ruling;
    let step = match outcome {
        Err(refusal) => {
            let effects = permitted.lead.map(|lead| hand_over(lead, world));
            dismiss(&refusal, permitted.caller, standings.headers(), world).after(effects.unwrap_or_default())
        }
        Ok(admitted) => forward(permitted, claim, admitted, standings, world),
    };
    step.after(effects)
}

fn forward(
    permitted: Permitted,
    claim: Claim,
    admitted: Admitted,
    standings: Standings,
    world: &mut World<'_>,
) -> Step<Gateway> {
    let Permitted { mut caller, request, plan, explanation, memo, lead, .. } = permitted;
    let most = world.config.cache.as_ref().map_or(0, |cache| cache.entry_bytes);
    let copy = memo.map_or(Copied::Nothing, |_| Copied::Wanted(most));
    let exchange = Exchange {
        config: Rc::clone(world.config),
        tongue: Tongue::of(request.origin()),
        request,
        plan: plan.without(admitted.hop),
        // Most requests have one, and it is large.
        attempts: Vec::with_capacity(1),
        tokens: claim.tokens,
        copy,
    };
    let vendor = vendor_name(world.config, exchange.plan.first());
    caller.visit.labels.vendor = vendor.into();
    let mut effects = trace::asks(&exchange.request, &caller.visit.labels.model, world.config);
    effects.push(Effect::Route(vendor.to_owned()));
    if let Some(retries) = exchange.plan.retries() {
        effects.push(Effect::RequestHeader("x-envoy-max-retries".into(), Some(retries.to_string().into())));
        effects.push(Effect::RequestHeader("x-envoy-retry-on".into(), Some("reset".into())));
    }
    if exchange.request.delivery() != Delivery::Whole {
        effects.push(Effect::Property(DELIVERY, STREAM.into()));
    }
    effects.push(Effect::ClearRouteCache);
    let number = world.exchanges.open(exchange);
    effects.push(Effect::Exchange(number));
    let forwarded = Forwarded { caller, exchange: number, claim, admitted, standings, explanation, memo, lead };
    Step::pass(Gateway::Forwarded(Box::new(forwarded)), effects)
}
