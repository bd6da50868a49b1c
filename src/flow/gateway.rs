//! The role `gateway`: a client's request from its headers to the last byte of its answer.
//!
//! | state | what is known | what comes next |
//! |---|---|---|
//! | `Fresh` | nothing | the request's headers |
//! | `Identifying` | what was shown as a key | what Redis knows of it, or the whole body |
//! | `IdentifyingWhole` | that, and the whole body | what Redis knows of the key |
//! | `Reading` | who calls, and what | the whole body |
//! | `Draining` | that the body is too large | its end, which is refused |
//! | `Forwarded` | the exchange | a response from Envoy: an answer, or the end of all attempts |
//! | `Answering` | the exchange, and that a vendor answered | the end of the stream, which counts it |
//! | `Passing` | it is for Envoy's admin interface | that interface's response |
//! | `Ended` | what the client got | the end of the stream, which counts it |
//! | `Closed` | nothing | nothing |
//!
//! Every answer that is no success is made here, out of what the exchange says of its attempts: whatever Envoy or a
//! vendor sent instead is replaced as a whole.

use std::rc::Rc;

use crate::auth::Digest;
use crate::chat::Request;
use crate::config::{Config, Key, Model};
use crate::flow::endpoint::{self, Serves};
use crate::flow::exchange::{Exchange, Outcome, vendor_name};
use crate::flow::identify::{self, Identity};
use crate::flow::{Effect, Flow, Head, Headers, Part, Reads, Reply, Step, World};
use crate::metric::Labels;
use crate::redis;
use crate::refusal::{Refusal, Surface};
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
    /// The request is with a vendor.
    Forwarded(Forwarded),
    /// A vendor's answer is on its way to the client.
    Answering(Forwarded),
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

/// A request that is with a vendor.
#[derive(Debug)]
pub struct Forwarded {
    surface: Surface,
    exchange: u64,
    labels: Labels,
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
                    let caller = Caller { surface, key, labels: labels.clone() };
                    serve(serves, caller, &head, end, world.config)
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
            (Gateway::Reading(caller), Part::Whole(body)) if body.len() <= limit => forward(caller, body, world),
            (Gateway::Reading(caller), Part::Whole(body)) => drain(caller, 0, body.len(), true, limit),
            (Gateway::Reading(caller), Part::Held(size)) if size <= limit => Step::hold(Gateway::Reading(caller)),
            (Gateway::Reading(caller), Part::Held(size)) => drain(caller, 0, size, false, limit),
            (Gateway::Draining(caller, dropped), Part::Piece { bytes, end }) => {
                drain(caller, dropped, bytes.len(), end, limit)
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
            | Gateway::IdentifyingWhole(Stranger { surface, labels, .. }, _)
            | Gateway::Reading(Caller { surface, labels, .. })
            | Gateway::Draining(Caller { surface, labels, .. }, _) => {
                let refusal = interrupted(world.head().status(), world.config);
                refuse(&refusal, surface, labels, Headers::new())
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
            state => Step::pass(state, Vec::new()),
        }
    }

    fn closed(self, world: &mut World<'_>) -> Vec<Effect> {
        let labels = match self {
            Gateway::Fresh | Gateway::Closed => return Vec::new(),
            Gateway::Ended(labels) => labels,
            Gateway::Identifying(Stranger { labels, .. })
            | Gateway::IdentifyingWhole(Stranger { labels, .. }, _)
            | Gateway::Reading(Caller { labels, .. })
            | Gateway::Draining(Caller { labels, .. }, _)
            | Gateway::Passing(labels) => Labels { status: LEFT, ..labels },
            Gateway::Answering(Forwarded { exchange, labels, .. }) => {
                world.exchanges.close(exchange);
                labels
            }
            Gateway::Forwarded(Forwarded { exchange, labels, .. }) => {
                world.exchanges.close(exchange);
                Labels { status: LEFT, ..labels }
            }
        };
        vec![Effect::Count(labels)]
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
fn serve(wants: Serves, caller: Caller, head: &Head, end: bool, config: &Config) -> Step<Gateway> {
    if wants == Serves::Models {
        return reply(endpoint::models(config, &caller.key), caller.labels);
    }
    if let Err(refusal) = admit(head, end, config) {
        return refuse(&refusal, caller.surface, caller.labels, Headers::new());
    }
    let large = head.content_length().is_some_and(|length| length > config.limits.body_bytes as u64);
    Step::hold(if large { Gateway::Draining(caller, 0) } else { Gateway::Reading(caller) })
}

/// Goes on with somebody of whom Redis said, or did not say, who it is.
fn introduce(stranger: Stranger, replies: Option<Vec<redis::Reply>>, world: &mut World<'_>) -> Step<Gateway> {
    let Stranger { digest, wants, surface, labels } = stranger;
    let (key, effects) = identify::conclude(digest, replies, world);
    let step = match key {
        Ok(key) => serve(wants, Caller { surface, key, labels }, &world.head(), false, world.config),
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

/// Sends a request on its way, or says why not.
fn forward(caller: Caller, body: Vec<u8>, world: &mut World<'_>) -> Step<Gateway> {
    let Caller { surface, key, mut labels } = caller;
    let planned = Request::parse(body).and_then(|request| {
        labels.model = "other".to_owned();
        let (index, model) =
            world.config.model(request.model()).ok_or_else(|| Refusal::unknown_model(request.model()))?;
        labels.model.clone_from(&model.name);
        permit(&key, index, model)?;
        let plan = Plan::new(world.config, model, &request)?;
        Ok(Exchange { request, plan, attempts: Vec::new() })
    });
    match planned {
        Err(refusal) => refuse(&refusal, surface, labels, Headers::new()),
        Ok(exchange) => {
            labels.vendor = vendor_name(world.config, exchange.plan.first()).to_owned();
            let mut effects = vec![Effect::Route(labels.vendor.clone())];
            if let Some(retries) = exchange.plan.retries() {
                effects.push(Effect::RequestHeader("x-envoy-max-retries".into(), Some(retries.to_string().into())));
                effects.push(Effect::RequestHeader("x-envoy-retry-on".into(), Some("reset".into())));
            }
            effects.push(Effect::ClearRouteCache);
            let number = world.exchanges.open(exchange);
            effects.push(Effect::Exchange(number));
            Step::pass(Gateway::Forwarded(Forwarded { surface, exchange: number, labels }), effects)
        }
    }
}

/// Swallows the next part of a body that is too large, and refuses it at its end: a client that is still sending when
/// the answer comes and the connection closes sees a reset, not the answer.
fn drain(caller: Caller, dropped: usize, more: usize, end: bool, limit: usize) -> Step<Gateway> {
    let dropped = dropped.saturating_add(more);
    if end || dropped > limit.saturating_add(PATIENCE) {
        return refuse(&Refusal::too_large(limit), caller.surface, caller.labels, Headers::new());
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
fn answer(forwarded: Forwarded, world: &mut World<'_>) -> Step<Gateway> {
    let (config, now, head) = (world.config, world.now(), world.head);
    let Some(exchange) = world.exchanges.get(forwarded.exchange) else {
        let refusal = Refusal::internal("the request was lost inside the gateway");
        return refuse(&refusal, forwarded.surface, forwarded.labels, Headers::new());
    };
    exchange.conclude(|| head().status(), now, config);
    let headers = trail(exchange, config);
    let (refusal, vendor) = match exchange.last() {
        None => (interrupted(head().status(), config), forwarded.labels.vendor),
        Some(last) => {
            let vendor = vendor_name(config, &last.hop).to_owned();
            match &last.outcome {
                Outcome::Failed(failure) => (failure.refusal.clone(), vendor),
                Outcome::Answered | Outcome::Pending => {
                    let labels = Labels { status: 200, vendor, ..forwarded.labels };
                    let effects = headers
                        .into_iter()
                        .map(|(name, value)| Effect::ResponseHeader(name.into(), Some(value)))
                        .collect();
                    return Step::pass(Gateway::Answering(Forwarded { labels, ..forwarded }), effects);
                }
            }
        }
    };
    world.exchanges.close(forwarded.exchange);
    let log = failure_log(&refusal, &headers);
    let mut step = refuse(&refusal, forwarded.surface, Labels { vendor, ..forwarded.labels }, headers);
    step.effects.push(log);
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
        headers.push(("retry-after", wait.as_secs_f64().ceil().to_string().into()));
        headers.push(("retry-after-ms", wait.as_millis().to_string().into()));
    }
    if let Some(allow) = refusal.allow {
        headers.push(("allow", allow.into()));
    }
    reply(Reply { status: refusal.status, headers, body: refusal.body(surface) }, labels)
}

fn reply(reply: Reply, labels: Labels) -> Step<Gateway> {
    Step::reply(Gateway::Ended(Labels { status: reply.status, ..labels }), reply)
}
