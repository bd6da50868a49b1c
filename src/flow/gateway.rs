//! The role `gateway`: a client's request from its headers to the last byte of its answer.
//!
//! | state | what is known | what comes next |
//! |---|---|---|
//! | `Fresh` | nothing | the request's headers |
//! | `Identifying` | what was shown as a key | what Redis knows of it, or the whole body |
//! | `IdentifyingWhole` | that, and the whole body | what Redis knows of the key |
//! | `Reading` | who calls, and what | the whole body |
//! | `Draining` | that the body is too large | its end, which is refused |
//! | `Admitting` | the request and its plan | what Redis says of its limits |
//! | `Forwarded` | the exchange | a response from Envoy: an answer, or the end of all attempts |
//! | `Answering` | the exchange, and that a vendor answered | the end of the stream, which counts it |
//! | `Passing` | it is for Envoy's admin interface | that interface's response |
//! | `Ended` | what the client got | the end of the stream, which counts it |
//! | `Closed` | nothing | nothing |
//!
//! Every answer that is no success is made here, out of what the exchange says of its attempts: whatever Envoy or a
//! vendor sent instead is replaced as a whole.

use std::rc::Rc;

use crate::account;
use crate::auth::Digest;
use crate::chat::Request;
use crate::chat::request::Delivery;
use crate::config::{Config, Key, Model};
use crate::flow::admission::{Admitted, Asked, Petition, Ruling, Standings};
use crate::flow::bill::{self, Bill};
use crate::flow::endpoint::{self, Serves};
use crate::flow::exchange::{Exchange, Outcome, Source, Spent, vendor_name};
use crate::flow::identify::{self, Identity};
use crate::flow::load::Place;
use crate::flow::party::Party;
use crate::flow::{Effect, Flow, Head, Headers, Part, Reads, Reply, Step, Text, World};
use crate::limit::Claim;
use crate::metric::{Counter, Labels};
use crate::redis;
use crate::refusal::{Again, Refusal, Surface};
use crate::route::Plan;

/// The state of one client's stream.
#[derive(Debug, Default)]
pub enum Gateway {
    /// Nothing has happened yet.
    Fresh,
    /// Redis is asked who calls; the body, if there is one, is on its way.
    Identifying(Stranger),
    /// Redis is asked who calls, and the whole body is here.
    IdentifyingWhole(Stranger, Vec<u8>),
    /// A chat request is permitted and its body is on its way.
    Reading(Caller),
    /// The body is too large; so many bytes of it are swallowed.
    Draining(Caller, usize),
    /// Redis is asked whether the request may go out.
    Admitting(Box<Admitting>),
    /// The request is with a vendor.
    Forwarded(Box<Forwarded>),
    /// A vendor's answer is on its way to the client.
    Answering(Box<Forwarded>),
    /// The request is with Envoy's admin interface.
    Passing(Labels),
    /// The client has an answer of Weir's own, or is getting Envoy's.
    Ended(Labels),
    /// All is settled.
    #[default]
    Closed,
}

/// Who is calling, and in which shape it wants its errors.
#[derive(Debug)]
pub struct Caller {
    surface: Surface,
    key: Rc<Key>,
    place: Place,
    labels: Labels,
}

/// Somebody with a key that is known.
struct Known {
    surface: Surface,
    key: Rc<Key>,
    labels: Labels,
}

/// Somebody with a key that only Redis can know.
#[derive(Debug)]
pub struct Stranger {
    digest: Digest,
    wants: Serves,
    surface: Surface,
    labels: Labels,
}

/// A request that waits for Redis.
#[derive(Debug)]
pub struct Admitting {
    caller: Caller,
    request: Request,
    plan: Plan,
    claim: Claim,
    asked: Asked,
}

/// A request that is with a vendor.
#[derive(Debug)]
pub struct Forwarded {
    caller: Caller,
    exchange: u64,
    claim: Claim,
    admitted: Admitted,
    standings: Standings,
}

impl Flow for Gateway {
    fn request_head(self, end: bool, world: &mut World<'_>) -> Step<Gateway> {
        let head = world.head();
        let path = head.text(":path").unwrap_or_default();
        let path = path.split_once('?').map_or(path, |(path, _)| path);
        let (surface, method) = (Surface::of(path), head.text(":method").unwrap_or_default());
        let labels = Labels::new(method, endpoint::label(path));
        let served = check_headers(&head).and_then(|()| endpoint::find(method, path)).and_then(|serves| match serves {
            Serves::Health => Ok(reply(endpoint::health(world.now()), labels.clone())),
            // The query goes: Envoy would carry it into the admin interface's own.
            Serves::Metrics => {
                let effects = vec![Effect::RequestHeader(":path".into(), Some(path.to_owned().into()))];
                Ok(Step::pass(Gateway::Passing(labels.clone()), effects))
            }
            Serves::Models | Serves::Chat => Ok(match identify::identify(&head, world)? {
                Identity::Known(key) => {
                    let known = Known { surface, key, labels: labels.clone() };
                    serve(serves, known, &head, end, world)
                }
                Identity::Unknown(digest) => {
                    let effects = vec![identify::question(&digest)];
                    let stranger = Stranger { digest, wants: serves, surface, labels: labels.clone() };
                    let state = match end && serves == Serves::Chat {
                        true => Gateway::IdentifyingWhole(stranger, Vec::new()),
                        false => Gateway::Identifying(stranger),
                    };
                    Step { effects, ..Step::hold(state) }
                }
            }),
        });
        served.unwrap_or_else(|refusal| refuse(&refusal, surface, labels, Headers::new()))
    }

    fn request_body(self, body: Part, world: &mut World<'_>) -> Step<Gateway> {
        let limit = world.config.limits.body_bytes;
        match (self, body) {
            (Gateway::Identifying(stranger), Part::Whole(body)) if stranger.wants == Serves::Chat => {
                Step::hold(Gateway::IdentifyingWhole(stranger, body))
            }
            // Redis answers in time; until then Envoy's own buffer is the bound.
            (state @ (Gateway::Identifying(_) | Gateway::IdentifyingWhole(..)), _) => Step::hold(state),
            (Gateway::Reading(caller), Part::Whole(body)) if body.len() <= limit => consider(caller, body, world),
            (Gateway::Reading(caller), Part::Whole(body)) => drain(caller, 0, body.len(), true, world),
            (Gateway::Reading(caller), Part::Held(size)) if size <= limit => Step::hold(Gateway::Reading(caller)),
            (Gateway::Reading(caller), Part::Held(size)) => drain(caller, 0, size, false, world),
            (Gateway::Draining(caller, dropped), Part::Piece { bytes, end }) => {
                drain(caller, dropped, bytes.len(), end, world)
            }
            (state, _) => Step::pass(state, Vec::new()),
        }
    }

    fn response_head(self, _: bool, world: &mut World<'_>) -> Step<Gateway> {
        match self {
            Gateway::Forwarded(forwarded) => answer(forwarded, world),
            Gateway::Passing(labels) => {
                Step::pass(Gateway::Ended(Labels { status: world.head().status(), ..labels }), Vec::new())
            }
            // Envoy answers in the filter's place, before the body is whole: too large, or too slow.
            Gateway::Identifying(Stranger { surface, labels, .. })
            | Gateway::IdentifyingWhole(Stranger { surface, labels, .. }, _) => {
                let refusal = interrupted(world.head().status(), world.config);
                refuse(&refusal, surface, labels, Headers::new())
            }
            Gateway::Reading(caller) | Gateway::Draining(caller, _) => {
                let refusal = interrupted(world.head().status(), world.config);
                dismiss(&refusal, caller, Headers::new(), world)
            }
            state => Step::pass(state, Vec::new()),
        }
    }

    fn response_body(self, _: Part, _: &mut World<'_>) -> Step<Gateway> {
        Step::pass(self, Vec::new())
    }

    fn told(self, replies: Option<Vec<redis::Reply>>, world: &mut World<'_>) -> Step<Gateway> {
        match self {
            Gateway::Identifying(stranger) => introduce(stranger, replies, world),
            Gateway::IdentifyingWhole(stranger, body) => {
                let step = introduce(stranger, replies, world);
                let part = match step.state.reads_request() {
                    Reads::Whole => Part::Whole(body),
                    Reads::Pieces => Part::Piece { bytes: body, end: true },
                    Reads::Held | Reads::Nothing => return step,
                };
                step.state.request_body(part, world).after(step.effects)
            }
            Gateway::Admitting(admitting) => {
                let Admitting { caller, request, plan, claim, asked } = *admitting;
                let ruling = asked.told(replies, world);
                conclude(caller, request, plan, claim, ruling, world)
            }
            state => Step::pass(state, Vec::new()),
        }
    }

    fn closed(self, world: &mut World<'_>) -> Vec<Effect> {
        let (caller, status, mut effects) = match self {
            Gateway::Fresh | Gateway::Closed => return Vec::new(),
            Gateway::Ended(labels) => return vec![Effect::Count(Counter::Request(labels))],
            Gateway::Passing(labels) => {
                return vec![Effect::Count(Counter::Request(Labels { status: LEFT, ..labels }))];
            }
            Gateway::Identifying(Stranger { labels, .. }) | Gateway::IdentifyingWhole(Stranger { labels, .. }, _) => {
                return vec![Effect::Count(Counter::Request(Labels { status: LEFT, ..labels }))];
            }
            Gateway::Reading(caller) | Gateway::Draining(caller, _) => (caller, LEFT, Vec::new()),
            Gateway::Admitting(admitting) => {
                let effects = admitting.asked.told(None, world).dismissed(world);
                (admitting.caller, LEFT, effects)
            }
            Gateway::Answering(forwarded) => settle(*forwarded, world),
            Gateway::Forwarded(forwarded) => {
                let (caller, _, effects) = settle(*forwarded, world);
                (caller, LEFT, effects)
            }
        };
        caller.place.leave(world);
        effects.push(Effect::Count(Counter::Request(Labels { status, ..caller.labels })));
        effects
    }

    fn reads_request(&self) -> Reads {
        match self {
            Gateway::Identifying(_) | Gateway::Reading(_) => Reads::Whole,
            Gateway::IdentifyingWhole(..) => Reads::Held,
            Gateway::Draining(..) => Reads::Pieces,
            _ => Reads::Nothing,
        }
    }

    fn reads_response(&self) -> Reads {
        Reads::Nothing
    }
}

/// nginx's status for a client that left before its answer; no client ever sees it.
const LEFT: u16 = 499;

/// Refuses headers that two readers could understand differently, and those that steer Envoy or Weir from within.
fn check_headers(head: &Head) -> Result<(), Refusal> {
    /// Set by Envoy itself on every request, over anything that a client sends.
    const ENVOYS_OWN: [&str; 2] = ["x-envoy-internal", "x-envoy-external-address"];
    for (name, value) in &head.0 {
        let internal = name.starts_with("x-weir-") || name.starts_with("x-envoy-");
        if internal && !ENVOYS_OWN.contains(&name.as_str()) {
            return Err(Refusal::malformed(format!("the header {name} is internal and may not be sent")));
        }
        if std::str::from_utf8(value).is_err() {
            return Err(Refusal::malformed(format!("the header {name} is not valid UTF-8")));
        }
    }
    Ok(())
}

/// What somebody gets whose key is known.
fn serve(wants: Serves, known: Known, head: &Head, end: bool, world: &World<'_>) -> Step<Gateway> {
    let Known { surface, key, labels } = known;
    if wants == Serves::Models {
        return reply(endpoint::models(world.config, &key), labels);
    }
    match admit(head, end, world.config).and_then(|()| Place::take(world)) {
        Err(refusal) => refuse(&refusal, surface, labels, Headers::new()),
        Ok(place) => {
            let caller = Caller { surface, key, place, labels };
            let large = head.content_length().is_some_and(|length| length > world.config.limits.body_bytes as u64);
            Step::hold(if large { Gateway::Draining(caller, 0) } else { Gateway::Reading(caller) })
        }
    }
}

/// Goes on with somebody of whom Redis said, or did not say, who it is.
fn introduce(stranger: Stranger, replies: Option<Vec<redis::Reply>>, world: &mut World<'_>) -> Step<Gateway> {
    let Stranger { digest, wants, surface, labels } = stranger;
    let (key, effects) = identify::conclude(digest, replies, world);
    let step = match key {
        Ok(key) => serve(wants, Known { surface, key, labels }, &world.head(), false, world),
        Err(refusal) => refuse(&refusal, surface, labels, Headers::new()),
    };
    step.after(effects)
}

/// Checks all that can be checked of a chat request before its body is here.
fn admit(head: &Head, end: bool, config: &Config) -> Result<(), Refusal> {
    if let Some(coding) = head.text("content-encoding").filter(|coding| !coding.eq_ignore_ascii_case("identity")) {
        return Err(Refusal::encoded(coding));
    }
    let limit = config.limits.body_bytes;
    if head.content_length().is_some_and(|length| length > limit.saturating_add(PATIENCE) as u64) {
        return Err(Refusal::too_large(limit));
    }
    if end {
        return Err(Request::parse(Vec::new()).err().unwrap_or_else(|| Refusal::malformed("the request has no body")));
    }
    Ok(())
}

/// Reads a request, and asks those who may limit it.
fn consider(caller: Caller, body: Vec<u8>, world: &mut World<'_>) -> Step<Gateway> {
    let mut caller = caller;
    let config = world.config;
    let planned = Request::parse(body).and_then(|request| {
        caller.labels.model = "other".to_owned();
        let (index, model) = config.model(request.model()).ok_or_else(|| Refusal::unknown_model(request.model()))?;
        caller.labels.model.clone_from(&model.name);
        permit(&caller.key, index, model)?;
        let plan = Plan::new(config, &caller.key, model, &request)?;
        Ok((Party::all(config, &caller.key, index, &plan), request, plan))
    });
    let (parties, request, plan) = match planned {
        Ok(planned) => planned,
        Err(refusal) => return dismiss(&refusal, caller, Headers::new(), world),
    };
    let claim = bill::claim(&request, &plan, &parties, world);
    let petition = Petition { parties, hops: plan.hops().count(), claim };
    if petition.parties.is_empty() || config.redis.is_none() {
        let ruling = petition.decide(world);
        return conclude(caller, request, plan, claim, ruling, world);
    }
    let (asked, commands) = petition.ask(world);
    let admitting = Admitting { caller, request, plan, claim, asked };
    Step { effects: vec![Effect::Ask(commands)], ..Step::hold(Gateway::Admitting(Box::new(admitting))) }
}

/// Sends a request on its way, or refuses it.
fn conclude(
    caller: Caller,
    request: Request,
    plan: Plan,
    claim: Claim,
    ruling: Ruling,
    world: &mut World<'_>,
) -> Step<Gateway> {
    let Ruling { outcome, standings, mut effects } = ruling;
    let step = match outcome {
        Err(refusal) => dismiss(&refusal, caller, standings.headers(), world),
        Ok(admitted) => {
            let exchange = Exchange { request, plan: plan.without(admitted.hop), attempts: Vec::new() };
            forward(
                caller,
                exchange,
                |caller, exchange| Forwarded { caller, exchange, claim, admitted, standings },
                world,
            )
        }
    };
    effects.extend(step.effects);
    Step { effects, ..step }
}

fn forward(
    mut caller: Caller,
    exchange: Exchange,
    forwarded: impl FnOnce(Caller, u64) -> Forwarded,
    world: &mut World<'_>,
) -> Step<Gateway> {
    caller.labels.vendor = vendor_name(world.config, exchange.plan.first()).to_owned();
    let mut effects = vec![Effect::Route(caller.labels.vendor.clone())];
    if let Some(retries) = exchange.plan.retries() {
        effects.push(Effect::RequestHeader("x-envoy-max-retries".into(), Some(retries.to_string().into())));
        effects.push(Effect::RequestHeader("x-envoy-retry-on".into(), Some("reset".into())));
    }
    effects.push(Effect::ClearRouteCache);
    let number = world.exchanges.open(exchange);
    effects.push(Effect::Exchange(number));
    Step::pass(Gateway::Forwarded(Box::new(forwarded(caller, number))), effects)
}

/// The end of a request that went out: what it came to is settled.
fn settle(forwarded: Forwarded, world: &mut World<'_>) -> (Caller, u16, Vec<Effect>) {
    let Forwarded { caller, exchange, claim, admitted, .. } = forwarded;
    let status = caller.labels.status;
    let Some(exchange) = world.exchanges.close(exchange) else { return (caller, status, Vec::new()) };
    let mut effects = unmetered(&exchange, world.config);
    let first = exchange.plan.first().vendor;
    let others = exchange.attempts.iter().map(|attempt| attempt.hop.vendor).filter(|vendor| *vendor != first);
    effects.extend(admitted.settle(&Bill::of(&exchange), &others.collect::<Vec<_>>(), &claim, world));
    (caller, status, effects)
}

/// Tells of an answer whose tokens nobody counted.
fn unmetered(exchange: &Exchange, config: &Config) -> Vec<Effect> {
    let Some(spent) = exchange.spent().filter(|spent| spent.source == Source::Estimate) else { return Vec::new() };
    let vendor = vendor_name(config, spent.hop).to_owned();
    let text = format!("{vendor} did not tell the tokens of an answer: they are estimated");
    vec![Effect::Log(log::Level::Info, text), Effect::Count(Counter::Unmetered { vendor })]
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

fn permit(key: &Key, index: usize, model: &Model) -> Result<(), Refusal> {
    if key.models.covers(index) { Ok(()) } else { Err(Refusal::forbidden(&model.name)) }
}

/// What the client gets when Envoy has a response: the vendor's answer, or the reason why there is none.
fn answer(mut forwarded: Box<Forwarded>, world: &mut World<'_>) -> Step<Gateway> {
    let (config, now, head) = (world.config, world.now(), world.head);
    let mut headers = forwarded.standings.headers();
    let Some(exchange) = world.exchanges.get(forwarded.exchange) else {
        return fail(&Refusal::internal("the request was lost inside the gateway"), *forwarded, headers, world);
    };
    exchange.conclude(|| head().status(), now, config);
    let trail = trail(exchange, config);
    headers.extend(trail.iter().cloned());
    let refusal = match exchange.last() {
        None => interrupted(head().status(), config),
        Some(last) => {
            vendor_name(config, &last.hop).clone_into(&mut forwarded.caller.labels.vendor);
            match &last.outcome {
                Outcome::Failed(failure) => failure.refusal.clone(),
                Outcome::Answered | Outcome::Pending => {
                    forwarded.caller.labels.status = 200;
                    headers.extend(price_tag(exchange));
                    let header = |(name, value): (&'static str, Text)| Effect::ResponseHeader(name.into(), Some(value));
                    return Step::pass(Gateway::Answering(forwarded), headers.into_iter().map(header).collect());
                }
            }
        }
    };
    let log = failure_log(&refusal, &trail);
    let mut step = fail(&refusal, *forwarded, headers, world);
    step.effects.push(log);
    step
}

/// No vendor answered.
fn fail(refusal: &Refusal, forwarded: Forwarded, headers: Headers, world: &mut World<'_>) -> Step<Gateway> {
    let (caller, _, effects) = settle(forwarded, world);
    let mut step = dismiss(refusal, caller, headers, world);
    step.effects.extend(effects);
    step
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

fn refuse(refusal: &Refusal, surface: Surface, labels: Labels, mut headers: Headers) -> Step<Gateway> {
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
    reply(Reply { status: refusal.status, headers, body: refusal.body(surface) }, labels)
}

/// Refuses a request that has a place.
fn dismiss(refusal: &Refusal, caller: Caller, headers: Headers, world: &World<'_>) -> Step<Gateway> {
    caller.place.leave(world);
    refuse(refusal, caller.surface, caller.labels, headers)
}

fn reply(reply: Reply, labels: Labels) -> Step<Gateway> {
    Step::reply(Gateway::Ended(Labels { status: reply.status, ..labels }), reply)
}
