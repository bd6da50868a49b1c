//! A batch: its requests are called, a few at a time, and when the last one is answered so is the client.

use super::departure::{dismiss, reply};
use super::{Caller, Gateway, Gathering};
use crate::flow::batch::Batch;
use crate::flow::visit::Own;
use crate::flow::{Effect, Headers, Reply, Step, World, call};
use crate::limit::Mode;
use crate::refusal::Refusal;

/// Reads a batch and makes the first calls.
pub(super) fn begin(mut caller: Caller, body: Vec<u8>, world: &World<'_>) -> Step<Gateway> {
    caller.visit.own = Own::Unknown;
    let deadline = world.now().saturating_add(world.config.routing.batch_timeout);
    match Batch::read(body, deadline, width(&caller)) {
        Ok(batch) => go_on(Gathering { caller, batch }, world),
        Err(refusal) => dismiss(&refusal, caller, Headers::new(), world),
    }
}

/// A call has come back.
pub(super) fn answered(
    mut gathering: Gathering,
    number: usize,
    outcome: call::Outcome,
    world: &World<'_>,
) -> Step<Gateway> {
    gathering.batch.take(number, outcome, world);
    go_on(gathering, world)
}

/// The client gets this instead of its answers.
pub(super) fn interrupt(gathering: Gathering, refusal: &Refusal, world: &World<'_>) -> Step<Gateway> {
    dismiss(refusal, abandon(gathering, world), Headers::new(), world)
}

/// The client has left, or gets something else.
pub(super) fn abandon(gathering: Gathering, world: &World<'_>) -> Caller {
    gathering.batch.abandon(world);
    gathering.caller
}

/// Makes the calls whose turn it is, or answers.
fn go_on(mut gathering: Gathering, world: &World<'_>) -> Step<Gateway> {
    let calls = gathering.batch.calls(world);
    if gathering.batch.is_over() {
        let Gathering { caller, batch } = gathering;
        if let Some(place) = caller.place {
            place.leave(world);
        }
        let headers = vec![("content-type", "application/json".into())];
        return reply(Reply { status: 200, headers, body: batch.finish(world) }, caller.visit);
    }
    let effects = calls.into_iter().map(Effect::Call).collect();
    Step { effects, ..Step::hold(Gateway::Gathering(Box::new(gathering))) }
}

/// How many requests are under way at once: no more than the key may have, since the others would only be refused.
fn width(caller: &Caller) -> usize {
    let concurrent = caller.key.rules.concurrent.filter(|rule| rule.mode == Mode::Enforce);
    concurrent.map_or(AT_ONCE, |rule| AT_ONCE.min(rule.bound as usize))
}

/// As many as one person's program has under way at a time; a batch is to be no flood.
const AT_ONCE: usize = 16;
