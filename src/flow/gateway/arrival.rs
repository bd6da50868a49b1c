//! Until the request is whole: its headers are checked, its key is looked up, its body is read or drained.

use std::rc::Rc;
use std::time::Duration;

use super::consideration::consider;
use super::departure::{dismiss, refuse, reply};
use super::{Caller, EXPLAIN, Explain, Gateway, Stranger, gathering};
use crate::chat::Request;
use crate::config::{Audience, Config, Key};
use crate::flow::batch::Batch;
use crate::flow::endpoint::{self, Serves};
use crate::flow::identify::{self, Identity};
use crate::flow::kept::Control;
use crate::flow::load::Place;
use crate::flow::scrape;
use crate::flow::visit::{Own, Visit};
use crate::flow::{Effect, Flow, Head, Headers, Part, Reads, Step, World, dashboard, status};
use crate::metric::Labels;
use crate::redis::Reply;
use crate::refusal::{Refusal, Surface};

/// Somebody with a key that is known.
struct Known {
    surface: Surface,
    key: Rc<Key>,
    visit: Box<Visit>,
}

/// What the headers come to.
pub(super) fn begin(end: bool, world: &mut World<'_>) -> Step<Gateway> {
    let head = world.head();
    let path = head.text(":path").unwrap_or_default();
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let (surface, method) = (Surface::of(path), head.text(":method").unwrap_or_default());
    let visit = Box::new(Visit::new(Labels::new(method, endpoint::label(path)), &head, world));
    let wants = match check_headers(&head).and_then(|()| endpoint::find(method, path)) {
        Ok(wants) => wants,
        Err(refusal) => return refuse(&refusal, surface, visit, Headers::new()),
    };
    match wants {
        Serves::Health => return reply(endpoint::health(world.now()), visit),
        Serves::Dashboard => return reply(dashboard::page(), visit),
        Serves::Metrics if world.config.metrics == Audience::Everybody => return pass(visit, query),
        Serves::Metrics | Serves::Models | Serves::Status | Serves::Asks(_) | Serves::Batch => {}
    }
    match identify::identify(&head, world) {
        Err(refusal) => refuse(&refusal, surface, visit, Headers::new()),
        Ok(Identity::Known(key)) => serve(wants, Known { surface, key, visit }, &head, end, world),
        Ok(Identity::Unknown(digest)) => {
            let effects = vec![identify::question(&digest)];
            let stranger = Stranger { digest, wants, surface, visit };
            let state = match end && wants.has_body() {
                true => Gateway::IdentifyingWhole(stranger, Vec::new()),
                false => Gateway::Identifying(stranger),
            };
            Step { effects, ..Step::hold(state) }
        }
    }
}

/// Asks Envoy's admin interface for its statistics.
fn pass(visit: Box<Visit>, query: &str) -> Step<Gateway> {
    let others = scrape::others(query);
    Step::pass(Gateway::Passing(visit, others), scrape::request(others))
}

/// The next of the body.
pub(super) fn body(state: Gateway, part: Part, world: &mut World<'_>) -> Step<Gateway> {
    let limit = world.config.limits.body_bytes;
    match (state, part) {
        (Gateway::Identifying(stranger), Part::Whole(body)) if stranger.wants.has_body() => {
            Step::hold(Gateway::IdentifyingWhole(stranger, body))
        }
        // Redis answers in time; until then Envoy's own buffer is the bound.
        (state @ (Gateway::Identifying(_) | Gateway::IdentifyingWhole(..)), _) => Step::hold(state),
        (Gateway::Reading(caller), Part::Whole(body)) if body.len() <= limit => read(caller, body, world),
        (Gateway::Reading(caller), Part::Whole(body)) => drain(caller, 0, body.len(), true, world),
        (Gateway::Reading(caller), Part::Held(size)) if size <= limit => Step::hold(Gateway::Reading(caller)),
        (Gateway::Reading(caller), Part::Held(size)) => drain(caller, 0, size, false, world),
        (Gateway::Draining(caller, dropped), Part::Piece { bytes, end }) => {
            drain(caller, dropped, bytes.len(), end, world)
        }
        (state, _) => Step::pass(state, Vec::new()),
    }
}

/// Goes on with somebody of whom Redis said, or did not say, who it is.
pub(super) fn introduce(stranger: Stranger, replies: Option<Vec<Reply>>, world: &mut World<'_>) -> Step<Gateway> {
    let Stranger { digest, wants, surface, visit } = stranger;
    let (key, effects) = identify::conclude(digest, replies, world);
    let step = match key {
        Ok(key) => serve(wants, Known { surface, key, visit }, &world.head(), false, world),
        Err(refusal) => refuse(&refusal, surface, visit, Headers::new()),
    };
    step.after(effects)
}

/// The same, of somebody whose body waits.
pub(super) fn introduce_whole(
    stranger: Stranger,
    body: Vec<u8>,
    replies: Option<Vec<Reply>>,
    world: &mut World<'_>,
) -> Step<Gateway> {
    let step = introduce(stranger, replies, world);
    let part = match step.state.reads_request() {
        Reads::Whole => Part::Whole(body),
        Reads::Pieces => Part::Piece { bytes: body, end: true },
        Reads::Held | Reads::Nothing => return step,
    };
    step.state.request_body(part, world).after(step.effects)
}

/// Refuses headers that two readers could understand differently, and those that steer Envoy or Weir from within.
fn check_headers(head: &Head) -> Result<(), Refusal> {
    /// Set by Envoy itself on every request, over anything that a client sends; and one that is for clients.
    const FINE: [&str; 3] = ["x-envoy-internal", "x-envoy-external-address", EXPLAIN];
    for (name, value) in &head.0 {
        let internal = name.starts_with("x-weir-") || name.starts_with("x-envoy-");
        if internal && !FINE.contains(&name.as_str()) {
            return Err(Refusal::malformed(format!("the header {name} is internal and may not be sent")));
        }
        if std::str::from_utf8(value).is_err() {
            return Err(Refusal::malformed(format!("the header {name} is not valid UTF-8")));
        }
        // Envoy makes one value, with a comma, of two hosts.
        if name == ":authority" && value.iter().any(|byte| b",@".contains(byte)) {
            return Err(Refusal::malformed("the header host must name one host, and nothing else"));
        }
    }
    Ok(())
}

/// What somebody gets whose key is known.
fn serve(wants: Serves, known: Known, head: &Head, end: bool, world: &World<'_>) -> Step<Gateway> {
    let Known { surface, key, mut visit } = known;
    visit.key = Some(Rc::clone(&key));
    match wants {
        Serves::Models => return reply(endpoint::models(world.config, &key), visit),
        Serves::Status if key.admin => return reply(status::page(world), visit),
        Serves::Metrics if key.admin => {
            let path = head.text(":path").unwrap_or_default();
            return pass(visit, path.split_once('?').map_or("", |(_, query)| query));
        }
        Serves::Status | Serves::Metrics => {
            return refuse(&Refusal::admins_only(), surface, visit, Headers::new());
        }
        _ => {}
    }
    let explain = match Explain::wanted(head, &key) {
        Ok(explain) => explain,
        Err(refusal) => return refuse(&refusal, surface, visit, Headers::new()),
    };
    let place = admit(wants, head, end, world.config).and_then(|()| match Place::take(world) {
        // Something may be kept for it.
        Err(_) if wants != Serves::Batch && world.config.cache.is_some() => Ok(None),
        place => place.map(Some),
    });
    match place {
        Err(refusal) => refuse(&refusal, surface, visit, Headers::new()),
        Ok(place) => {
            let caller = Caller { wants, surface, key, place, turn: None, control: Control::of(head), explain, visit };
            let large = head.content_length().is_some_and(|length| length > world.config.limits.body_bytes as u64);
            Step::hold(if large { Gateway::Draining(caller, 0) } else { Gateway::Reading(caller) })
        }
    }
}

/// Goes on with a request that is whole.
fn read(mut caller: Caller, body: Vec<u8>, world: &mut World<'_>) -> Step<Gateway> {
    caller.visit.own = Own::Since(world.now());
    match caller.wants {
        Serves::Asks(task) => consider(caller, task, body, world),
        _ => gathering::begin(caller, body, world),
    }
}

/// Checks all that can be checked of a request before its body is here.
fn admit(wants: Serves, head: &Head, end: bool, config: &Config) -> Result<(), Refusal> {
    if let Some(coding) = head.text("content-encoding").filter(|coding| !coding.eq_ignore_ascii_case("identity")) {
        return Err(Refusal::encoded(coding));
    }
    let limit = config.limits.body_bytes;
    if head.content_length().is_some_and(|length| length > limit.saturating_add(PATIENCE) as u64) {
        return Err(Refusal::too_large(limit));
    }
    if end {
        let refused = match wants {
            Serves::Batch => Batch::read(Vec::new(), Duration::ZERO, 0).err(),
            Serves::Asks(task) => Request::read(task, Vec::new()).err(),
            _ => None,
        };
        return Err(refused.unwrap_or_else(|| Refusal::malformed("the request has no body")));
    }
    Ok(())
}

/// Swallows the next part of a body that is too large, and refuses it at its end: a client that is still sending when
/// the answer comes and the connection closes sees a reset, not the answer.
fn drain(caller: Caller, dropped: usize, more: usize, end: bool, world: &World<'_>) -> Step<Gateway> {
    let limit = world.config.limits.body_bytes;
    let dropped = dropped.saturating_add(more);
    if end || dropped > limit.saturating_add(PATIENCE) {
        return dismiss(&Refusal::too_large(limit), caller, Headers::new(), world);
    }
    let effects = vec![Effect::RequestBody { replaced: usize::MAX, with: Vec::new() }];
    Step { effects, ..Step::hold(Gateway::Draining(caller, dropped)) }
}

/// How many bytes beyond the limit are swallowed before the connection is cut.
const PATIENCE: usize = 32 << 20;
