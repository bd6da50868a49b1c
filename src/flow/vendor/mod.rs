//! The role `vendor`: one attempt at one vendor, from the plan to the vendor's last byte.
//!
//! | state | what is known | what comes next |
//! |---|---|---|
//! | `Fresh` | which vendor this is | the request's headers |
//! | `Sending` | the attempt, the body for the vendor | the client's body, to be exchanged for it |
//! | `Waiting` | the attempt | the vendor's headers |
//! | `Collecting` | the vendor's headers | the whole body: a reply, or an error |
//! | `Opening` | a stream has begun | its first event with content |
//! | `Streaming` | the client is getting it | more of it |
//! | `Poisoned` | the stream went wrong and the client knows | nothing that counts |
//! | `Over` | | |
//!
//! The vendor's headers are held until it is certain that this attempt succeeds: until the whole reply is here and is
//! one, or until the first content of a stream. Until then an attempt can fail without a trace for the client, and Envoy
//! tries the next vendor: this role marks the response `x-weir-retry`, which is the only thing Envoy retries on besides
//! a missing response.

mod held;
mod outgoing;
mod received;

use std::borrow::Cow;
use std::rc::Rc;

use crate::account::estimate;
use crate::chat::request::Delivery;
use crate::chat::{Origin, Tally, Task, replay};
use crate::config::Config;
use crate::dialect;
use crate::flow::exchange::{Attempt, Outcome, vendor_name};
use crate::flow::report::{self, Progress};
use crate::flow::{EVENT_STREAM, Effect, Flow, Part, Reads, Reply, Step, World, trace};
use crate::refusal::{Refusal, Surface};
use crate::vendor::{Asked, Body, Call, Failure, Fault, Format, Next, Relay, Wanted, Whole};

pub use held::Held;
use outgoing::{listed, request_headers};
pub use received::{MAX_REPLY, Received};

/// The state of one attempt.
#[derive(Default)]
pub enum Vendor {
    /// Nothing has happened yet; the vendor's name.
    Fresh(Rc<str>),
    /// The headers are on their way, the body follows.
    Sending(Ticket, Body),
    /// The vendor has the request.
    Waiting(Ticket),
    /// The vendor's body is being gathered.
    Collecting(Ticket, Received),
    /// A stream has begun, and the client knows nothing of it yet.
    Opening(Ticket, Received, Relay, Held),
    /// A stream is on its way to the client.
    Streaming(Ticket, Relay),
    /// The client was told that the stream broke; the rest is swallowed.
    Poisoned,
    /// Everything passes.
    #[default]
    Over,
}

/// Which attempt of which exchange this is.
#[derive(Debug, Clone, Copy)]
pub struct Ticket {
    exchange: u64,
    attempt: usize,
    vendor: usize,
}

impl Flow for Vendor {
    fn request_head(self, _: bool, world: &mut World<'_>) -> Step<Vendor> {
        match self {
            Vendor::Fresh(vendor) => begin(&vendor, world).unwrap_or_else(|| {
                let refusal = Refusal::internal("the request was lost inside the gateway");
                let headers = vec![("content-type", "application/json".into())];
                Step::reply(
                    Vendor::Over,
                    Reply { status: refusal.status, headers, body: refusal.body(Surface::Api, "") },
                )
            }),
            state => Step::pass(state, Vec::new()),
        }
    }

    fn request_body(self, body: Part, _: &mut World<'_>) -> Step<Vendor> {
        match (self, body) {
            (state @ Vendor::Sending(..), Part::Held(_)) => Step::hold(state),
            (Vendor::Sending(ticket, body), _) => {
                let effects = match body {
                    Body::AsReceived => Vec::new(),
                    Body::Prefix { replaced, with } => vec![Effect::RequestBody { replaced, with }],
                    Body::Whole(with) => vec![Effect::RequestBody { replaced: usize::MAX, with }],
                };
                Step::pass(Vendor::Waiting(ticket), effects)
            }
            (state, _) => Step::pass(state, Vec::new()),
        }
    }

    fn response_head(self, end: bool, world: &mut World<'_>) -> Step<Vendor> {
        let config = config(self.exchange(), world);
        match self {
            // A vendor may answer before it has read the whole request.
            Vendor::Waiting(ticket) | Vendor::Sending(ticket, _) => receive(ticket, end, &mut world.under(&config)),
            state => Step::pass(state, Vec::new()),
        }
    }

    fn response_body(self, body: Part, world: &mut World<'_>) -> Step<Vendor> {
        let config = config(self.exchange(), world);
        let world = &mut world.under(&config);
        match (self, body) {
            (Vendor::Collecting(ticket, received), Part::Whole(body)) => judge(ticket, &received, &body, world),
            (Vendor::Collecting(ticket, received), Part::Held(size)) => match received.bound() {
                bound if size <= bound => Step::hold(Vendor::Collecting(ticket, received)),
                _ => fail_with(ticket, Fault::TooLong, world),
            },
            (Vendor::Opening(ticket, received, relay, held), Part::Piece { bytes, end }) => {
                open(ticket, received, relay, held, &bytes, end, world)
            }
            (Vendor::Streaming(ticket, relay), Part::Piece { bytes, end }) => stream(ticket, relay, &bytes, end, world),
            (Vendor::Poisoned, Part::Piece { .. }) => {
                Step::pass(Vendor::Poisoned, vec![Effect::ResponseBody(Vec::new())])
            }
            (state, _) => Step::pass(state, Vec::new()),
        }
    }

    fn closed(self, _: &mut World<'_>) -> Vec<Effect> {
        Vec::new()
    }

    fn reads_request(&self) -> Reads {
        match self {
            Vendor::Sending(_, Body::Whole(_) | Body::Prefix { .. }) => Reads::Held,
            _ => Reads::Nothing,
        }
    }

    fn reads_response(&self) -> Reads {
        match self {
            Vendor::Collecting(..) => Reads::Whole,
            Vendor::Opening(..) | Vendor::Streaming(..) | Vendor::Poisoned => Reads::Pieces,
            _ => Reads::Nothing,
        }
    }
}

impl Vendor {
    fn exchange(&self) -> Option<u64> {
        match self {
            Vendor::Sending(ticket, _)
            | Vendor::Waiting(ticket)
            | Vendor::Collecting(ticket, _)
            | Vendor::Opening(ticket, ..)
            | Vendor::Streaming(ticket, _) => Some(ticket.exchange),
            Vendor::Fresh(_) | Vendor::Poisoned | Vendor::Over => None,
        }
    }
}

/// The configuration with which the client's request began. Once that is over, any will do.
fn config(exchange: Option<u64>, world: &mut World<'_>) -> Rc<Config> {
    let exchange = exchange.and_then(|number| world.exchanges.get(number));
    Rc::clone(exchange.map_or(world.config, |exchange| &exchange.config))
}

/// The response header by which this role asks Envoy for another attempt.
pub const RETRY: &str = "x-weir-retry";

/// Starts the attempt: the request in the vendor's format, and the next vendor for the case that this one fails.
fn begin(vendor: &str, world: &mut World<'_>) -> Option<Step<Vendor>> {
    let number = (world.exchange)()?;
    let config = config(Some(number), world);
    let (world, config) = (&mut world.under(&config), &config);
    let (now, head) = (world.now(), world.head());
    let (vendor, settings) = config.vendor(vendor)?;
    let exchange = world.exchanges.get(number)?;
    let attempt = exchange.begin(vendor, now, config)?;
    let ticket = Ticket { exchange: number, attempt, vendor };
    let (hop, tokens) = (exchange.last()?.hop.clone(), exchange.tokens);
    report::ended(number, world);
    report::began(&hop, tokens, world);
    let traced = trace::tries(&hop, world.config);
    let exchange = world.exchanges.get(number)?;
    let call = Call {
        request: &exchange.request,
        model: &exchange.last()?.hop.model,
        base: settings.endpoint.as_ref().map_or("", |endpoint| &endpoint.path),
        api_version: settings.api_version.as_deref(),
        stream_usage: settings.stream_usage,
    };
    let (mut outgoing, dropped) = (settings.format.render(&call), listed(&settings.format.dropped(&call)));
    if exchange.request.origin() == Origin::Messages {
        // Envoy holds what the client sent, which is not what the format changes a part of.
        outgoing.body = Body::Whole(outgoing.body.apply(exchange.request.body()).into_owned());
    }
    if let Some(attempt) = exchange.attempts.last_mut() {
        attempt.dropped = dropped;
    }
    let wanted = request_headers(&outgoing, settings.endpoint.as_ref(), exchange.request.body().len(), &head);
    let mut effects = head.exchange(wanted, Effect::RequestHeader);
    effects.extend(traced);
    if let Some(next) = exchange.plan.hop(attempt + 1) {
        effects.push(Effect::Route(vendor_name(config, next).to_owned()));
    }
    Some(Step::pass(Vendor::Sending(ticket, outgoing.body), effects))
}

/// The vendor's headers are here: decides what to make of the body.
fn receive(ticket: Ticket, end: bool, world: &mut World<'_>) -> Step<Vendor> {
    let head = world.head();
    let (headroom, received) = (report::heard(&head, world.now()), Received { status: head.status(), head });
    if let Some(attempt) = attempt(ticket, world) {
        attempt.headroom = headroom;
    }
    if received.encoded() && received.good() {
        return fail_with(ticket, Fault::Unreadable("in the encoding that was asked for"), world);
    }
    if received.encoded() || end {
        return judge(ticket, &received, b"", world);
    }
    let wanted = asked(ticket, &received, world).filter(|(asked, _)| asked.delivery != Delivery::Whole);
    match wanted.map(|(asked, format)| Relay::new(format.stream(asked))) {
        Some(relay) if received.good() && received.streams(relay.framing()) => {
            Step::hold(Vendor::Opening(ticket, received, relay, Held::default()))
        }
        _ => Step::hold(Vendor::Collecting(ticket, received)),
    }
}

/// The whole body is here: an answer, or a failure.
fn judge(ticket: Ticket, received: &Received, body: &[u8], world: &mut World<'_>) -> Step<Vendor> {
    if !received.good() {
        let vendor = name(ticket, world);
        let (status, word, wait) = (received.status, received.error_type(), received.retry_after(world.now()));
        return fail(ticket, Failure::from_named_status(vendor, status, &word, wait, body), world);
    }
    let Some((asked, format)) = asked(ticket, received, world) else {
        return Step::pass(Vendor::Over, Vec::new());
    };
    let understood = match asked.task {
        Task::Chat => format.reply(body, &asked),
        Task::Embeddings => vectors(ticket, &asked, format, body, world),
    };
    let Whole { body, tally } = match understood {
        Ok(whole) => whole,
        Err(fault) => return fail_with(ticket, fault, world),
    };
    let Some(exchange) = world.exchanges.get(ticket.exchange) else {
        return Step::pass(Vendor::Over, Vec::new());
    };
    // What is kept, and counted, is the answer before it is told in other words.
    let told = match (asked.delivery, exchange.request.origin()) {
        (Delivery::Whole, Origin::AsSent) => Some(None),
        (Delivery::Whole, Origin::Messages) => dialect::reply::message(&body).map(Some),
        (Delivery::Stream { usage }, _) => {
            replay::events(&body, usage).map(|events| Some(exchange.tongue.tell(events, true)))
        }
    };
    let Some(told) = told else {
        return fail_with(ticket, Fault::Unreadable("a chat completion"), world);
    };
    exchange.copy_whole(&body);
    let reply = told.map_or(body, Cow::Owned);
    let kind = if asked.delivery == Delivery::Whole { "application/json" } else { EVENT_STREAM };
    let now = world.now();
    record(ticket, Outcome::Answered, world);
    count(ticket, tally, world);
    progress(ticket, Progress::Complete { first: now, last: now }, world);
    let mut effects = received.exchanged(kind, Some(reply.len()));
    effects.extend(used(ticket, world));
    if let Cow::Owned(reply) = reply {
        effects.push(Effect::ResponseBody(reply));
    }
    Step::pass(Vendor::Over, effects)
}

/// A stream that the client has not seen yet: the first content decides.
fn open(
    ticket: Ticket,
    received: Received,
    mut relay: Relay,
    mut held: Held,
    bytes: &[u8],
    end: bool,
    world: &mut World<'_>,
) -> Step<Vendor> {
    let mut out = Vec::new();
    let mut outcome = relay.feed(bytes, &mut out);
    let (spoke, now) = (relay.spoke(), world.now());
    if outcome.is_ok() && end {
        outcome = relay.end(&mut out);
    }
    held.add(out, now);
    match outcome {
        Err(fault) if !spoke => fail_with(ticket, fault, world),
        Ok(()) if !spoke && !end && !held.is_enough(now) => Step {
            effects: vec![Effect::ResponseBody(Vec::new())],
            ..Step::hold(Vendor::Opening(ticket, received, relay, held))
        },
        outcome => {
            record(ticket, Outcome::Answered, world);
            progress(ticket, Progress::Begun(now), world);
            let mut step = streamed(ticket, relay, outcome, held.bytes, end, world);
            step.effects.extend(received.exchanged(EVENT_STREAM, None));
            step
        }
    }
}

/// A stream that the client is getting.
fn stream(ticket: Ticket, mut relay: Relay, bytes: &[u8], end: bool, world: &mut World<'_>) -> Step<Vendor> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut outcome = relay.feed(bytes, &mut out);
    if outcome.is_ok() && end {
        outcome = relay.end(&mut out);
    }
    let same = world.exchanges.get(ticket.exchange).is_none_or(|it| it.request.origin() == Origin::AsSent);
    let unchanged = same && outcome.is_ok() && out == bytes;
    let mut step = streamed(ticket, relay, outcome, out, end, world);
    if unchanged {
        step.effects.retain(|effect| !matches!(effect, Effect::ResponseBody(_)));
    }
    step
}

/// A client may leave at any moment, so what it has got is counted before it gets it.
fn streamed(
    ticket: Ticket,
    relay: Relay,
    outcome: Result<(), Fault>,
    mut out: Vec<u8>,
    end: bool,
    world: &mut World<'_>,
) -> Step<Vendor> {
    count(ticket, relay.tally(), world);
    let begun = attempt(ticket, world).map(|attempt| attempt.progress);
    match (&outcome, begun) {
        (Err(fault), _) => progress(ticket, Progress::Broken(fault.word()), world),
        (Ok(()), Some(Progress::Begun(first))) if end => {
            progress(ticket, Progress::Complete { first, last: world.now() }, world);
        }
        _ => {}
    }
    if let Some(exchange) = world.exchanges.get(ticket.exchange) {
        exchange.copy_piece(&out);
    }
    let state = match outcome {
        Ok(()) => Vendor::Streaming(ticket, relay),
        Err(fault) => {
            crate::chat::answer::failed(&fault.refusal(name(ticket, world)), &mut out);
            Vendor::Poisoned
        }
    };
    if let Some(exchange) = world.exchanges.get(ticket.exchange) {
        out = exchange.tongue.tell(out, end);
    }
    let used = if end { used(ticket, world) } else { Vec::new() };
    Step::pass(state, used.into_iter().chain([Effect::ResponseBody(out)]).collect())
}

/// What the reply is translated for, and by what.
fn asked(ticket: Ticket, received: &Received, world: &mut World<'_>) -> Option<(Asked, &'static dyn Format)> {
    let created = world.now().as_secs();
    let exchange = world.exchanges.get(ticket.exchange)?;
    let model = exchange.attempts.get(ticket.attempt)?.hop.model.clone();
    let (task, delivery) = (exchange.request.task(), exchange.request.delivery());
    let id = received.number().unwrap_or_default();
    Some((Asked { task, model, id, created, delivery }, world.config.vendors.get(ticket.vendor)?.format))
}

/// A reply with vectors, for which the request is looked at again.
fn vectors<'b>(
    ticket: Ticket,
    asked: &Asked,
    format: &dyn Format,
    body: &'b [u8],
    world: &mut World<'_>,
) -> Result<Whole<'b>, Fault> {
    let Some(exchange) = world.exchanges.get(ticket.exchange) else { return format.reply(body, asked) };
    let request = &exchange.request;
    format.vectors(body, asked, &Wanted { request, tokens: estimate::prompt(request) })
}

fn record(ticket: Ticket, outcome: Outcome, world: &mut World<'_>) {
    if let Some(attempt) = attempt(ticket, world) {
        attempt.outcome = outcome;
    }
}

fn progress(ticket: Ticket, progress: Progress, world: &mut World<'_>) {
    if let Some(attempt) = attempt(ticket, world) {
        attempt.progress = progress;
    }
    report::ended(ticket.exchange, world);
}

fn count(ticket: Ticket, tally: Tally, world: &mut World<'_>) {
    if let Some(attempt) = attempt(ticket, world) {
        attempt.tally = tally;
    }
}

/// Tells the trace of the tokens.
fn used(ticket: Ticket, world: &mut World<'_>) -> Vec<Effect> {
    // What nobody counted is estimated from the whole prompt, so it is only asked for where somebody reads it.
    if world.config.tracing.is_none() {
        return Vec::new();
    }
    let spent = world.exchanges.get(ticket.exchange).and_then(|exchange| exchange.spent().map(|spent| spent.usage));
    spent.map(|usage| trace::used(&usage, world.config)).unwrap_or_default()
}

fn attempt<'w>(ticket: Ticket, world: &'w mut World<'_>) -> Option<&'w mut Attempt> {
    world.exchanges.get(ticket.exchange)?.attempts.get_mut(ticket.attempt)
}

fn name<'c>(ticket: Ticket, world: &World<'c>) -> &'c str {
    world.config.vendors.get(ticket.vendor).map_or("the vendor", |vendor| &vendor.name)
}

fn fail_with(ticket: Ticket, fault: Fault, world: &mut World<'_>) -> Step<Vendor> {
    fail(ticket, Failure::from_fault(name(ticket, world), fault), world)
}

/// Ends the attempt: Envoy tries the next vendor if there is one, else the gateway role answers the client.
fn fail(ticket: Ticket, failure: Failure, world: &mut World<'_>) -> Step<Vendor> {
    let now = world.now();
    let next = world.exchanges.get(ticket.exchange).is_some_and(|exchange| exchange.has_next(now));
    let mut effects = vec![Effect::ResponseHeader(":status".into(), Some(failure.refusal.status.to_string().into()))];
    // A vendor that marks its own response does not get another try.
    let mark = (next && failure.next == Next::Try).then(|| "1".into());
    effects.push(Effect::ResponseHeader(RETRY.into(), mark));
    record(ticket, Outcome::Failed(failure), world);
    report::ended(ticket.exchange, world);
    Step::pass(Vendor::Over, effects)
}
