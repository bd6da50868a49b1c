//! The life of a request: the only place where the policies meet.
//!
//! Each role of the filter is a state machine over one HTTP stream. A state is an enum whose variants own exactly what
//! is known at that moment; an event moves it into the next state and yields a [`Step`]: the new state, a verdict (let
//! the stream go on, or hold it) and a list of effects. The host turns Envoy's callbacks into these calls and carries
//! out the effects, in order; it decides nothing.
//!
//! Laws that hold for every role: after a reply every later event is swallowed; [`Flow::closed`] is legal in every state
//! and settles what is open; nothing here reads a clock, a header or a buffer except through its arguments.

pub mod admission;
pub mod affinity;
pub mod batch;
pub mod bill;
pub mod books;
pub mod bridge;
pub mod call;
pub mod chronicle;
pub mod dashboard;
mod denial;
pub mod echo;
pub mod endpoint;
pub mod exchange;
pub mod flight;
pub mod gateway;
pub mod identify;
pub mod kept;
pub mod load;
pub mod party;
pub mod pool;
pub mod report;
pub mod scrape;
pub mod selection;
pub mod status;
pub mod trace;
pub mod vendor;
pub mod visit;

use std::borrow::Cow;
use std::cell::OnceCell;
use std::rc::Rc;
use std::time::Duration;

use crate::auth;
use crate::config::Config;
use crate::history::History;
use crate::metric::{Counter, Histogram};
use crate::redis;
use crate::store::Store;
use batch::Shelf;
use books::Books;
use call::Call;
use exchange::Exchanges;
use flight::{Flights, News, Stream};
use load::Spare;
use pool::Pools;

/// A role's state machine. `Default` is the state of a stream that is over: every event passes.
pub trait Flow: Default + Sized {
    /// The request's headers are here, [`World::head`] reads them; `end` if no body follows.
    fn request_head(self, end: bool, world: &mut World<'_>) -> Step<Self>;

    /// The request's body, as [`Flow::reads_request`] asked for it.
    fn request_body(self, body: Part, world: &mut World<'_>) -> Step<Self>;

    /// The response's headers are here, [`World::head`] reads them; `end` if no body follows.
    fn response_head(self, end: bool, world: &mut World<'_>) -> Step<Self>;

    /// The response's body, as [`Flow::reads_response`] asked for it.
    fn response_body(self, body: Part, world: &mut World<'_>) -> Step<Self>;

    /// What Redis says to [`Effect::Ask`], a reply for each command; `None` if it does not say anything in time. The
    /// stream is on hold until then, and goes on if the step passes.
    fn told(self, _: Option<Vec<redis::Reply>>, _: &mut World<'_>) -> Step<Self> {
        Step::pass(self, Vec::new())
    }

    /// What a stream that [waits](Effect::Wait) is told. It goes on if the step passes.
    fn hear(self, _: News, _: &mut World<'_>) -> Step<Self> {
        Step::pass(self, Vec::new())
    }

    /// What came of the [`Effect::Call`] with this number. The stream is on hold until then, as it is for Redis.
    fn answered(self, _: usize, _: call::Outcome, _: &mut World<'_>) -> Step<Self> {
        Step::pass(self, Vec::new())
    }

    /// The stream is over, for whatever reason.
    fn closed(self, world: &mut World<'_>) -> Vec<Effect>;

    /// How the request's body is to be delivered now.
    fn reads_request(&self) -> Reads;

    /// How the response's body is to be delivered now.
    fn reads_response(&self) -> Reads;
}

/// How much of a body a state wants to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reads {
    /// Nothing; it passes.
    Nothing,
    /// All of it at once; until then only how much is held.
    Whole,
    /// That all of it is held, without its bytes.
    Held,
    /// Each piece as it comes.
    Pieces,
}

/// A part of a body.
#[derive(Debug, PartialEq, Eq)]
pub enum Part {
    /// Envoy holds so many bytes, and more will come.
    Held(usize),
    /// This is all of it; empty if its bytes were not asked for.
    Whole(Vec<u8>),
    /// The next piece.
    Piece {
        /// Its bytes.
        bytes: Vec<u8>,
        /// Whether it is the last.
        end: bool,
    },
}

/// What a stream of Envoy's can be told to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Let headers and data go on.
    Pass,
    /// Keep them until a later event passes.
    Hold,
}

/// The outcome of an event.
#[derive(Debug)]
pub struct Step<S> {
    /// The next state.
    pub state: S,
    /// What happens to the stream.
    pub verdict: Verdict,
    /// What is done besides, in this order.
    pub effects: Vec<Effect>,
}

/// Something to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Answer the client now; nothing of the stream goes further.
    Reply(Reply),
    /// Set one request header, or remove it.
    RequestHeader(Name, Option<Text>),
    /// Exchange the first so many bytes of the held request body.
    RequestBody {
        /// How many bytes go; `usize::MAX` for all.
        replaced: usize,
        /// What comes in their place.
        with: Vec<u8>,
    },
    /// Set one response header, or remove it.
    ResponseHeader(Name, Option<Text>),
    /// Exchange the part of the response body that is at hand.
    ResponseBody(Vec<u8>),
    /// Remember for this stream under which number its exchange is kept.
    Exchange(u64),
    /// Name the vendor that Envoy's route leads to from now on.
    Route(String),
    /// Let Envoy choose the route again.
    ClearRouteCache,
    /// Ask Redis; the answer is [`Flow::told`]. Only of a stream that holds its request.
    Ask(Vec<redis::Command>),
    /// Tell Redis, whatever it answers. It may be told more than once, if it is not certain that it heard.
    Tell(Vec<redis::Command>),
    /// Make a call; what comes of it is [`Flow::answered`]. Only of a stream that holds its request. It goes on when the
    /// stream ends, and nobody hears of it then.
    Call(Call),
    /// Make a call in the name of many streams; what comes of it is [`pool::returned`]. It is the worker's, so it does
    /// not matter which of them leaves.
    Errand(Call),
    /// Wait for [`Flow::hear`]. Only of a stream that holds its request.
    Wait,
    /// Tell streams of this worker that wait.
    Wake(Vec<Stream>, News),
    /// Count something.
    Count(Counter),
    /// Count so much of something.
    Add(Counter, u64),
    /// Note that something took so long.
    Observe(Histogram, Duration),
    /// Leave something in the stream's filter state, where Envoy's access log and its traces find it.
    Property(&'static str, Vec<u8>),
    /// Tell the operator.
    Log(log::Level, String),
}

/// The filter state that [`Effect::Route`] writes and Envoy's route reads; Envoy prefixes it with `wasm.`.
pub const ROUTE: &str = "route";

/// The filter state by which Envoy tells requests for streams from others, which have none; prefixed likewise.
pub const DELIVERY: &str = "delivery";

/// What [`DELIVERY`] says of a stream.
pub const STREAM: &str = "stream";

/// Headers that Weir sets.
pub type Headers = Vec<(&'static str, Text)>;

/// The kind of a stream.
pub const EVENT_STREAM: &str = "text/event-stream; charset=utf-8";

/// The headers of content of this kind: nobody in between may keep a stream back.
pub fn content(kind: &'static str) -> Headers {
    let mut headers: Headers = vec![("content-type", kind.into())];
    if kind == EVENT_STREAM {
        headers.extend([("cache-control", "no-cache".into()), ("x-accel-buffering", "no".into())]);
    }
    headers
}

/// A header's value, most often a constant.
pub type Text = Cow<'static, str>;

/// A header's name.
pub type Name = Cow<'static, str>;

/// An answer of Weir's own.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The headers beyond content-length.
    pub headers: Headers,
    /// The body.
    pub body: Vec<u8>,
}

/// What a state machine may look at beyond its own state.
pub struct World<'w> {
    /// The configuration with which this event's stream began.
    pub config: &'w Rc<Config>,
    /// The requests that are on their way to vendors, on this worker.
    pub exchanges: &'w mut Exchanges,
    /// Which of them identical ones wait for.
    pub flights: &'w mut Flights,
    /// The number of this event's stream.
    pub stream: Stream,
    /// What this worker remembers of the keys that are kept in Redis.
    pub keys: &'w mut auth::Memory,
    /// The records that all workers share.
    pub store: &'w dyn Store,
    /// What this worker has yet to write into some of them.
    pub books: &'w Books,
    /// The places that it has yet to give back.
    pub spare: &'w Spare,
    /// Which requests for a vector wait for others of their kind.
    pub pools: &'w Pools,
    /// How much of answers the batches on this worker hold.
    pub shelf: &'w Shelf,
    /// What this worker has seen lately and has yet to write.
    pub history: &'w History,
    /// Draws a random number.
    pub random: fn() -> u64,
    /// When the event happens, once somebody has asked.
    pub moment: OnceCell<Duration>,
    /// Reads the clock: the time since the Unix epoch.
    pub clock: fn() -> Duration,
    /// Reads the headers that the event is about, all at once.
    pub head: fn() -> Head,
    /// Whether Redis is there, as far as this worker knows; asked only where one is configured.
    pub redis: fn() -> redis::Presence,
    /// Reads the number that [`Effect::Exchange`] remembered for this stream, if any.
    pub exchange: fn() -> Option<u64>,
    /// Reads what Envoy says of a stream that is over: its response flags, a bit for each.
    pub flags: fn() -> u64,
}

impl World<'_> {
    /// When the event happens: the time since the Unix epoch.
    pub fn now(&self) -> Duration {
        *self.moment.get_or_init(self.clock)
    }

    /// The headers that the event is about.
    pub fn head(&self) -> Head {
        (self.head)()
    }

    /// The same world for a stream that began with another configuration.
    pub fn under<'s>(&'s mut self, config: &'s Rc<Config>) -> World<'s> {
        World {
            config,
            exchanges: self.exchanges,
            flights: self.flights,
            stream: self.stream,
            keys: self.keys,
            store: self.store,
            books: self.books,
            spare: self.spare,
            pools: self.pools,
            shelf: self.shelf,
            random: self.random,
            moment: self.moment.clone(),
            clock: self.clock,
            head: self.head,
            exchange: self.exchange,
            flags: self.flags,
            history: self.history,
            redis: self.redis,
        }
    }
}

/// The headers of a request or a response, as they came; values are bytes.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Head(pub Vec<(String, Vec<u8>)>);

impl Head {
    /// The first value of a header, if it is text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.values(name).next()
    }

    /// All values of a header that are text.
    pub fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(n, _)| n == name).filter_map(|(_, value)| std::str::from_utf8(value).ok())
    }

    /// The response's status; 0 if there is none.
    pub fn status(&self) -> u16 {
        self.text(":status").and_then(|status| status.parse().ok()).unwrap_or(0)
    }

    /// What has to be done so that the headers are exactly `wanted`: each that differs is set, each that is not wanted
    /// goes. `effect` is [`Effect::RequestHeader`] or [`Effect::ResponseHeader`]. The ABI has a call that exchanges all
    /// headers; it costs some ten times as much.
    pub fn exchange(&self, wanted: Headers, effect: fn(Name, Option<Text>) -> Effect) -> Vec<Effect> {
        let unwanted = self.0.iter().map(|(name, _)| name).filter(|name| !wanted.iter().any(|(n, _)| n == name));
        let mut effects = Vec::with_capacity(self.0.len() + wanted.len());
        effects.extend(unwanted.map(|name| effect(Cow::Owned(name.clone()), None)));
        for (name, value) in wanted {
            if !self.0.iter().any(|(n, present)| n == name && *present == value.as_bytes()) {
                effects.push(effect(Cow::Borrowed(name), Some(value)));
            }
        }
        effects
    }

    /// A length that the sender declared.
    pub fn content_length(&self) -> Option<u64> {
        self.text("content-length")?.parse().ok()
    }
}

impl<S> Step<S> {
    /// The stream goes on.
    pub fn pass(state: S, effects: Vec<Effect>) -> Step<S> {
        Step { state, verdict: Verdict::Pass, effects }
    }

    /// The stream is held.
    pub fn hold(state: S) -> Step<S> {
        Step { state, verdict: Verdict::Hold, effects: Vec::new() }
    }

    /// The same, with other effects before its own.
    pub fn after(mut self, mut effects: Vec<Effect>) -> Step<S> {
        effects.append(&mut self.effects);
        Step { effects, ..self }
    }

    /// The client is answered.
    pub fn reply(state: S, reply: Reply) -> Step<S> {
        Step { state, verdict: Verdict::Hold, effects: vec![Effect::Reply(reply)] }
    }
}
