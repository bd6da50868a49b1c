//! The worker's desk for Redis: streams leave what they ask and tell, the gateway role's root carries it out.
//!
//! Envoy ties an HTTP call to the context that makes it and forgets it with that context, so streams, which come and go,
//! must not make any. Instead a stream rings the [bell]. The root's tick is for what waits without one: for a probe of an
//! absent Redis, for a call whose root is gone.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use proxy_wasm::hostcalls;
use proxy_wasm::types::{BufferType, MapType};

use crate::config::Redis;
use crate::flow::Head;
use crate::host::bell::{self, AT_ONCE};
use crate::host::worker;
use crate::metric::Counter;
use crate::redis::breaker::Turn;
use crate::redis::ending::Ending;
use crate::redis::line::{Asker, Line, Other, Outcome};
use crate::redis::{BRIDGE, Command, Presence, Reply};

/// A stream on hold, as the desk sees it. The effective context is the stream's while it is told.
pub trait Waiting {
    /// Redis says this, or nothing.
    fn told(self: Rc<Self>, replies: Option<Vec<Reply>>);
}

thread_local! {
    static DESK: RefCell<Desk> = RefCell::default();
}

#[derive(Default)]
struct Desk {
    line: Line,
    waiting: HashMap<Asker, Rc<dyn Waiting>>,
    /// What Redis said to streams that have yet to be told.
    answers: VecDeque<(Asker, Option<Vec<Reply>>)>,
    /// How long Redis may take for an answer; `None` if there is no Redis.
    timeout: Option<Duration>,
    /// The call that runs, and the root that made it.
    call: Option<(u32, u32)>,
}

/// A root context of the gateway role takes over the desk, or there is no Redis any more.
pub fn open(redis: Option<&Redis>) {
    DESK.with_borrow_mut(|desk| {
        desk.timeout = redis.map(|redis| redis.timeout);
        let cluster = redis.is_some_and(|redis| redis.cluster);
        desk.line.leads_to(if cluster { Other::Cluster } else { Other::Single });
    });
}

/// Asks Redis for a stream. `false` if it would not answer: then the stream has to go on without.
pub fn ask(asker: Asker, waiting: Rc<dyn Waiting>, commands: Vec<Command>) -> bool {
    let asked = DESK.with_borrow_mut(|desk| {
        desk.timeout?;
        let asked = desk.line.ask(asker, commands, worker::clock());
        if asked {
            desk.waiting.insert(asker, waiting);
            desk.ring();
        }
        Some(asked)
    });
    if asked == Some(false) {
        worker::count(&Counter::RedisSkipped, 1);
    }
    asked == Some(true)
}

/// Tells Redis, now or later.
pub fn tell(commands: Vec<Command>) {
    let dropped = DESK.with_borrow_mut(|desk| {
        if desk.timeout.is_none() {
            return 0;
        }
        let dropped = desk.line.tell(commands);
        desk.ring();
        dropped
    });
    worker::count(&Counter::RedisDropped, dropped as u64);
}

/// Whether Redis is there, as far as the last calls say.
pub fn presence() -> Presence {
    DESK.with_borrow(|desk| desk.line.presence())
}

/// A stream is over.
pub fn forget(asker: Asker) {
    DESK.with_borrow_mut(|desk| {
        if desk.waiting.remove(&asker).is_some() {
            desk.line.forget(asker);
        }
    });
}

/// The bell rang: the root with this number is called.
pub fn ready(root: u32) {
    deliver(root);
    // Envoy ties a call to the root that makes it, and any other may be about to go.
    if bell::whose() == Some(root) {
        send(root);
    } else {
        bell::ring();
    }
}

/// Whether a call of this root's runs.
pub fn calls(root: u32) -> bool {
    DESK.with_borrow(|desk| desk.call.is_some_and(|(_, caller)| caller == root))
}

/// Time has passed.
pub fn tick(root: u32) {
    let lost = DESK.with_borrow_mut(|desk| {
        let patience = desk.timeout? + MARGIN + LOST;
        let now = worker::clock();
        desk.line.runs_longer_than(patience, now).then(|| {
            desk.call = None;
            desk.line.ended(Ending::Silence, now)
        })
    });
    if let Some(outcome) = lost {
        settle(outcome);
    }
    ready(root);
}

/// The call with this token ended.
pub fn ended(root: u32, token: u32, headers: usize, size: usize) {
    let ending = ending(headers, size);
    let outcome = DESK.with_borrow_mut(|desk| {
        (desk.call.take_if(|call| *call == (token, root))).map(|_| desk.line.ended(ending, worker::clock()))
    });
    if let Some(outcome) = outcome {
        settle(outcome);
        ready(root);
    }
}

impl Desk {
    fn ring(&mut self) {
        if self.line.is_due(worker::clock()) {
            bell::ring();
        }
    }
}

/// Makes the next call, if it is time for one.
fn send(root: u32) {
    let next = DESK.with_borrow_mut(|desk| {
        let timeout = desk.timeout?;
        Some((desk.line.next(worker::clock())?, timeout + MARGIN))
    });
    let Some((pipeline, timeout)) = next else { return };
    let headers = vec![(":method", "POST"), (":path", "/"), (":authority", "redis")];
    match hostcalls::dispatch_http_call(BRIDGE, headers, Some(&pipeline), Vec::new(), timeout) {
        Ok(token) => DESK.with_borrow_mut(|desk| desk.call = Some((token, root))),
        Err(_) => {
            settle(DESK.with_borrow_mut(|desk| desk.line.ended(Ending::Unsent, worker::clock())));
            deliver(root);
        }
    }
}

/// Notes how a call ended.
fn settle(outcome: Outcome) {
    worker::count(&Counter::RedisBatch(outcome.ok), 1);
    worker::count(&Counter::RedisSkipped, outcome.skipped as u64);
    worker::count(&Counter::RedisDropped, outcome.dropped as u64);
    match outcome.turn {
        Some(Turn::Absent(reason)) => log::warn!("Redis counts as absent until it answers again: {reason}"),
        Some(Turn::Back) => log::info!("Redis is back"),
        None => {}
    }
    DESK.with_borrow_mut(|desk| desk.answers.extend(outcome.answers));
}

/// Lets the next of those know who have waited, each in its own context. A stream that is gone has no context any more.
fn deliver(root: u32) {
    for _ in 0..AT_ONCE {
        let next = DESK.with_borrow_mut(|desk| {
            let (asker, replies) = desk.answers.pop_front()?;
            Some((asker, desk.waiting.remove(&asker), replies))
        });
        let Some((asker, waiting, replies)) = next else { break };
        if let Some(waiting) = waiting
            && hostcalls::set_effective_context(asker).is_ok()
        {
            waiting.told(replies);
        }
    }
    let _ = hostcalls::set_effective_context(root);
    if DESK.with_borrow(|desk| !desk.answers.is_empty()) {
        bell::ring();
    }
}

/// A call that was reset, or had no end in time, comes back without headers.
fn ending(headers: usize, size: usize) -> Ending {
    if headers == 0 {
        return Ending::Silence;
    }
    let head = Head(hostcalls::get_map_bytes(MapType::HttpCallResponseHeaders).unwrap_or_default());
    match head.status() {
        200 => Ending::Answer(
            hostcalls::get_buffer(BufferType::HttpCallResponseBody, 0, size).ok().flatten().unwrap_or_default(),
        ),
        status => Ending::Status(status),
    }
}

/// By so much Envoy's own timeout of a command comes first: then one silent node of a cluster costs the answers of that
/// node, and not those of the whole call.
const MARGIN: Duration = Duration::from_millis(25);
/// A call that has not come back by then never will: the root context that made it is gone.
const LOST: Duration = Duration::from_secs(1);
