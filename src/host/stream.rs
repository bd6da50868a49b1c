//! One HTTP stream: feeds a state machine with Envoy's callbacks and carries out what it says.

use std::cell::Cell;
use std::rc::Rc;

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::{Action, BufferType, LogLevel, MapType};

use crate::config::Config;
use crate::flow::call::Outcome;
use crate::flow::flight::News;
use crate::flow::{Effect, Flow, Head, Part, ROUTE, Reads, Reply as Answer, Step, Verdict, World};
use crate::host::{calls, errands, redis, waiting, worker};
use crate::redis::Reply;

/// A stream in a role.
pub struct Stream<F> {
    seat: Rc<Seat<F>>,
}

/// Where a stream's state is, so that it can also be told what Redis says, in a callback that is not its own. The state
/// is taken out for the length of a step, and in its place is that of a stream that is over.
struct Seat<F> {
    id: u32,
    /// What the stream began with; `None` if only its exchange knows.
    began: Option<Rc<Config>>,
    flow: Cell<F>,
}

/// Which half of the stream a callback is about.
#[derive(Clone, Copy)]
enum Half {
    Request,
    Response,
}

impl Half {
    /// Reads the headers of this half.
    fn head(self) -> fn() -> Head {
        match self {
            Half::Request => || headers(MapType::HttpRequestHeaders),
            Half::Response => || headers(MapType::HttpResponseHeaders),
        }
    }

    fn body(self) -> BufferType {
        match self {
            Half::Request => BufferType::HttpRequestBody,
            Half::Response => BufferType::HttpResponseBody,
        }
    }
}

impl<F: Flow + 'static> Stream<F> {
    /// A stream in its first state; its number among Envoy's contexts, and the configuration that it begins with.
    pub fn new(id: u32, began: Option<Rc<Config>>, flow: F) -> Stream<F> {
        Stream { seat: Rc::new(Seat { id, began, flow: Cell::new(flow) }) }
    }

    fn body(&mut self, half: Half, size: usize, end: bool) -> Action {
        let part = match (self.seat.reads(half), end) {
            (Reads::Nothing, _) => return Action::Continue,
            (Reads::Held | Reads::Whole, false) => Part::Held(size),
            (Reads::Held, true) => Part::Whole(Vec::new()),
            (Reads::Whole, true) => Part::Whole(read(half, size)),
            (Reads::Pieces, _) => Part::Piece { bytes: read(half, size), end },
        };
        self.step(half, |flow, world| match half {
            Half::Request => flow.request_body(part, world),
            Half::Response => flow.response_body(part, world),
        })
    }

    /// What is held is whole now. Pieces have all gone, and there is no buffer in which another could be put.
    fn body_ended_by_trailers(&mut self, half: Half) -> Action {
        match self.seat.reads(half) {
            Reads::Held | Reads::Whole => self.body(half, usize::MAX, true),
            Reads::Nothing | Reads::Pieces => Action::Continue,
        }
    }

    fn step(&mut self, half: Half, step: impl FnOnce(F, &mut World<'_>) -> Step<F>) -> Action {
        match self.seat.step(half, step) {
            Verdict::Pass => Action::Continue,
            Verdict::Hold => Action::Pause,
        }
    }
}

impl<F: Flow + 'static> Seat<F> {
    fn close(&self) {
        let flow = self.flow.take();
        let effects = self.with_world(Half::Response, |world| flow.closed(world)).unwrap_or_default();
        effects.into_iter().for_each(apply);
    }

    fn reads(&self, half: Half) -> Reads {
        let flow = self.flow.take();
        let reads = match half {
            Half::Request => flow.reads_request(),
            Half::Response => flow.reads_response(),
        };
        self.flow.set(flow);
        reads
    }

    /// One step, and the next ones if it asks or calls in vain.
    fn step(self: &Rc<Self>, half: Half, step: impl FnOnce(F, &mut World<'_>) -> Step<F>) -> Verdict {
        let mut next = self.with_world(half, |world| step(self.flow.take(), world));
        let mut vain = Vec::new();
        while let Some(Step { state, verdict, effects }) = next {
            self.flow.set(state);
            self.apply(effects, &mut vain);
            let Some(vain) = vain.pop() else { return verdict };
            next = self.with_world(half, |world| match vain {
                Vain::Question => self.flow.take().told(None, world),
                Vain::Call(number) => self.flow.take().answered(number, None, world),
            });
        }
        Verdict::Pass
    }

    fn with_world<R>(&self, half: Half, step: impl FnOnce(&mut World<'_>) -> R) -> Option<R> {
        worker::with_world(self.id, self.began.as_ref(), half.head(), step)
    }

    fn apply(self: &Rc<Self>, effects: Vec<Effect>, vain: &mut Vec<Vain>) {
        for effect in effects {
            match effect {
                Effect::Ask(commands) => {
                    let seat = Rc::<Seat<F>>::clone(self);
                    if !redis::ask(self.id, seat, commands) {
                        vain.push(Vain::Question);
                    }
                }
                Effect::Call(call) => {
                    let seat = Rc::<Seat<F>>::clone(self);
                    if !calls::make(self.id, seat, &call) {
                        vain.push(Vain::Call(call.number));
                    }
                }
                Effect::Wait => waiting::wait(self.id, Rc::<Seat<F>>::clone(self)),
                effect => apply(effect),
            }
        }
    }
}

/// What will not be answered.
enum Vain {
    /// A question to Redis.
    Question,
    /// The call with this number.
    Call(usize),
}

impl<F: Flow + 'static> redis::Waiting for Seat<F> {
    fn told(self: Rc<Self>, replies: Option<Vec<Reply>>) {
        if self.step(Half::Request, |flow, world| flow.told(replies, world)) == Verdict::Pass {
            let _ = hostcalls::resume_http_request();
        }
    }
}

impl<F: Flow + 'static> waiting::Listener for Seat<F> {
    fn hear(self: Rc<Self>, news: News) {
        if self.step(Half::Request, |flow, world| flow.hear(news, world)) == Verdict::Pass {
            let _ = hostcalls::resume_http_request();
        }
    }
}

impl<F: Flow + 'static> calls::Calling for Seat<F> {
    fn answered(self: Rc<Self>, number: usize, outcome: Outcome) {
        if self.step(Half::Request, |flow, world| flow.answered(number, outcome, world)) == Verdict::Pass {
            let _ = hostcalls::resume_http_request();
        }
    }
}

impl<F: Flow + 'static> Context for Stream<F> {
    fn on_http_call_response(&mut self, token: u32, headers: usize, size: usize, _: usize) {
        calls::ended(self.seat.id, token, headers, size);
    }

    fn on_done(&mut self) -> bool {
        let id = self.seat.id;
        redis::forget(id);
        waiting::forget(id);
        calls::forget(id);
        self.seat.close();
        true
    }
}

impl<F: Flow + 'static> HttpContext for Stream<F> {
    /// Comes before Envoy's access log is written, and before `on_done`, but only where clients connect: a filter behind
    /// the router has no other end than `on_done`. By then the state is that of a stream that is over.
    fn on_log(&mut self) {
        self.seat.close();
    }

    fn on_http_request_headers(&mut self, _: usize, end: bool) -> Action {
        self.step(Half::Request, |flow, world| flow.request_head(end, world))
    }

    fn on_http_request_body(&mut self, size: usize, end: bool) -> Action {
        self.body(Half::Request, size, end)
    }

    /// Trailers come instead of a last piece of body. Nobody reads a client's, and no vendor is to see them.
    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        for (name, _) in headers(MapType::HttpRequestTrailers).0 {
            let _ = hostcalls::set_map_value_bytes(MapType::HttpRequestTrailers, &name, None);
        }
        self.body_ended_by_trailers(Half::Request)
    }

    fn on_http_response_headers(&mut self, _: usize, end: bool) -> Action {
        self.step(Half::Response, |flow, world| flow.response_head(end, world))
    }

    fn on_http_response_body(&mut self, size: usize, end: bool) -> Action {
        self.body(Half::Response, size, end)
    }

    fn on_http_response_trailers(&mut self, _: usize) -> Action {
        self.body_ended_by_trailers(Half::Response)
    }
}

fn headers(map: MapType) -> Head {
    Head(hostcalls::get_map_bytes(map).unwrap_or_default())
}

fn read(half: Half, size: usize) -> Vec<u8> {
    let bytes = match size {
        0 => Vec::new(),
        size => hostcalls::get_buffer(half.body(), 0, size).ok().flatten().unwrap_or_default(),
    };
    #[cfg(feature = "trap")]
    crate::host::trap::spring(&bytes);
    bytes
}

/// Carries out one effect. What the host refuses is left undone: no effect is worth a trap.
pub fn apply(effect: Effect) {
    match effect {
        Effect::Reply(reply) => send(&reply),
        Effect::RequestHeader(name, value) => {
            let value = value.as_deref().map(str::as_bytes);
            let _ = hostcalls::set_map_value_bytes(MapType::HttpRequestHeaders, &name, value);
        }
        Effect::ResponseHeader(name, value) => {
            let value = value.as_deref().map(str::as_bytes);
            let _ = hostcalls::set_map_value_bytes(MapType::HttpResponseHeaders, &name, value);
        }
        Effect::RequestBody { replaced, with } => {
            let _ = hostcalls::set_buffer(BufferType::HttpRequestBody, 0, replaced, &with);
        }
        Effect::ResponseBody(with) => {
            let _ = hostcalls::set_buffer(BufferType::HttpResponseBody, 0, usize::MAX, &with);
        }
        Effect::Exchange(number) => {
            let _ = hostcalls::set_property(vec![worker::EXCHANGE], Some(&number.to_le_bytes()));
        }
        Effect::Route(vendor) => {
            let _ = hostcalls::set_property(vec![ROUTE], Some(vendor.as_bytes()));
        }
        Effect::ClearRouteCache => {
            let _ = hostcalls::call_foreign_function("clear_route_cache", None);
        }
        // The stream's own affair, above; of one that is over nobody would hear the answer.
        Effect::Ask(_) | Effect::Call(_) | Effect::Wait => {}
        Effect::Errand(call) => errands::run(call),
        Effect::Wake(streams, news) => {
            waiting::tell(streams.into_iter().map(|stream| (stream, news.clone())));
        }
        Effect::Tell(commands) => redis::tell(commands),
        Effect::Count(counter) => worker::count(&counter, 1),
        Effect::Add(counter, amount) => worker::count(&counter, amount),
        Effect::Observe(histogram, took) => worker::observe(&histogram, took),
        Effect::Property(name, value) => {
            let _ = hostcalls::set_property(vec![name], Some(&value));
        }
        Effect::Log(level, text) => {
            let _ = hostcalls::log(severity(level), &text);
        }
    }
}

fn send(reply: &Answer) {
    let headers = reply.headers.iter().map(|(name, value)| (*name, &**value)).collect();
    let _ = hostcalls::send_http_response(u32::from(reply.status), headers, Some(&reply.body));
}

fn severity(level: log::Level) -> LogLevel {
    match level {
        log::Level::Error => LogLevel::Error,
        log::Level::Warn => LogLevel::Warn,
        log::Level::Info => LogLevel::Info,
        log::Level::Debug => LogLevel::Debug,
        log::Level::Trace => LogLevel::Trace,
    }
}
