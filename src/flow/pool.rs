//! Requests for one vector each that go as one.
//!
//! A vendor makes sixty vectors about as fast as one, and counts them as one request. So while a request for one vector
//! is on its way, others of its *kind* wait: of the same client key, and the same to the byte but for the input. When it
//! is over, all that have gathered go as one call back into this gateway, and while that is on its way the next gather.
//! The first goes at once, and nobody waits for company: without load every request goes alone, and under load the
//! more go together the slower the vendor is. There is no timer to set.
//!
//! The call is the worker's and not of one of those it is made for, since each of them may leave. It has the key of the
//! first of them, who is asked for it when the call is made. What comes back is [taken apart](split): each gets its own
//! vector and its part of the tokens; what is an error is everybody's. Nobody waits for longer than a request may take.

pub mod split;

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use crate::account::estimate;
use crate::chat::Request;
use crate::flow::call::{self, Returned};
use crate::flow::flight::{News, Stream};
use crate::flow::{Headers, World};
use crate::json::Writer;
use crate::refusal::Refusal;

/// What requests that can go together have in common.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Kind {
    path: &'static str,
    key: [u8; 32],
    /// The body as far as the input, and behind it.
    around: Rc<(String, String)>,
    /// Texts and tokens do not stand in one list.
    text: bool,
}

/// One that waits, or has gone with others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its stream; nobody if that is over.
    pub stream: Option<Stream>,
    /// Its input, as it stands in its body.
    pub input: String,
    /// How many tokens that has, estimated.
    pub tokens: u64,
    /// How long it waits.
    pub until: Duration,
}

/// What came of joining.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Joined {
    /// Nobody was on the way: it is the first, has its turn, and is to say when that is over.
    First,
    /// It waits.
    Waits,
    /// Too many wait already.
    Full,
}

/// What somebody does whose turn it is.
#[derive(Debug, PartialEq, Eq)]
pub enum Boarding {
    /// It goes alone, and is to say when its turn is over.
    Alone,
    /// It makes the call with this number and this body for all who have gathered, and waits like them.
    Call {
        /// The number, which comes back with the answer.
        number: usize,
        /// The body.
        body: Vec<u8>,
        /// By when nobody waits for it any more.
        until: Duration,
    },
    /// It has left.
    Nothing,
}

/// What one call may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Most {
    /// The length of its body.
    pub bytes: usize,
    /// The tokens of its inputs.
    pub tokens: u64,
}

/// One request's share of what came of the call.
#[derive(Debug, Clone, PartialEq)]
pub enum Share {
    /// An answer, good or bad.
    Answer(Answer),
    /// There is none.
    Refused(Refusal),
}

/// An answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers that the client is to see.
    pub headers: Headers,
    /// The body, of this request alone if it is good.
    pub body: Vec<u8>,
    /// This request's tokens, if they were counted.
    pub tokens: Option<u64>,
}

/// The pools of one worker.
#[derive(Debug, Default)]
pub struct Pools(RefCell<Inner>);

#[derive(Debug, Default)]
struct Inner {
    pools: HashMap<Kind, Pool>,
    number: usize,
}

/// One kind, of which a request is on its way.
#[derive(Debug)]
struct Pool {
    turn: Turn,
    waiting: VecDeque<Member>,
}

/// Whose turn it is.
#[derive(Debug)]
enum Turn {
    /// A request goes alone.
    Alone,
    /// This stream has been told, and has not begun.
    Told(Stream),
    /// A call has been made for these.
    Call { number: usize, members: Vec<Member>, until: Duration },
}

impl Kind {
    /// The kind of a request and what it puts in, if it wants one vector and is small enough to go with others.
    pub fn of(path: &'static str, key: &[u8; 32], request: &Request) -> Option<(Kind, String, u64)> {
        let [input] = request.inputs()[..] else { return None };
        let (body, span) = (request.body(), request.root().get("input")?.span());
        let around = |part: Option<&[u8]>| String::from_utf8(part?.to_vec()).ok();
        let around = (around(body.get(..span.start))?, around(body.get(span.end..))?);
        let raw = input.value().raw();
        let small = raw.len() <= MOST_INPUT && around.0.len() + around.1.len() <= MOST_AROUND;
        let kind = Kind { path, key: *key, around: Rc::new(around), text: input.value().is_string() };
        small.then(|| (kind, raw.to_owned(), estimate::input(input)))
    }

    /// Where it is served.
    pub fn path(&self) -> &'static str {
        self.path
    }

    /// One body with these inputs.
    fn body(&self, members: &[Member]) -> Vec<u8> {
        let mut w = Writer::default();
        w.array(|w| members.iter().for_each(|member| w.raw(&member.input)));
        [self.around.0.as_bytes(), &w.finish(), self.around.1.as_bytes()].concat()
    }
}

impl Pools {
    /// A request comes.
    pub fn join(&self, kind: &Kind, member: Member) -> Joined {
        let mut inner = self.0.borrow_mut();
        match inner.pools.get_mut(kind) {
            None => {
                inner.pools.insert(kind.clone(), Pool { turn: Turn::Alone, waiting: VecDeque::new() });
                Joined::First
            }
            Some(pool) if pool.waiting.len() >= MOST_WAITING => Joined::Full,
            Some(pool) => {
                pool.waiting.push_back(member);
                Joined::Waits
            }
        }
    }

    /// A turn is over: who is to be told that it has the next one.
    #[must_use]
    pub fn over(&self, kind: &Kind) -> Option<Stream> {
        self.0.borrow_mut().next(kind)
    }

    /// Somebody begins its turn.
    pub fn board(&self, kind: &Kind, stream: Stream, most: Most) -> Boarding {
        let mut inner = self.0.borrow_mut();
        let number = inner.number.wrapping_add(1);
        let Some(pool) =
            inner.pools.get_mut(kind).filter(|pool| matches!(pool.turn, Turn::Told(told) if told == stream))
        else {
            return Boarding::Nothing;
        };
        let members = pool.gather(kind, most);
        if members.len() < 2 {
            pool.turn = Turn::Alone;
            return Boarding::Alone;
        }
        let until = members.iter().map(|member| member.until).max().unwrap_or_default();
        let body = kind.body(&members);
        pool.turn = Turn::Call { number, members, until };
        inner.number = number;
        Boarding::Call { number, body, until }
    }

    /// Somebody does not wait any more; who is to be told that it has the turn instead.
    #[must_use]
    pub fn leave(&self, kind: &Kind, stream: Stream) -> Option<Stream> {
        let mut inner = self.0.borrow_mut();
        let pool = inner.pools.get_mut(kind)?;
        pool.waiting.retain(|member| member.stream != Some(stream));
        match &mut pool.turn {
            Turn::Told(told) if *told == stream => inner.next(kind),
            Turn::Call { members, .. } => {
                members.iter_mut().filter(|member| member.stream == Some(stream)).for_each(|m| m.stream = None);
                None
            }
            Turn::Told(_) | Turn::Alone => None,
        }
    }

    /// A call has come back: those it was made for, and who is to be told that it has the next turn.
    fn land(&self, number: usize) -> Option<(Vec<Member>, Option<Stream>)> {
        let mut inner = self.0.borrow_mut();
        let is_it = |pool: &Pool| matches!(&pool.turn, Turn::Call { number: call, .. } if *call == number);
        let kind = inner.pools.iter().find(|(_, pool)| is_it(pool)).map(|(kind, _)| kind.clone())?;
        let turn = inner.pools.get_mut(&kind).map(|pool| std::mem::replace(&mut pool.turn, Turn::Alone));
        let Some(Turn::Call { members, .. }) = turn else { return None };
        Some((members, inner.next(&kind)))
    }

    /// Time has passed: who has waited for long enough, and which calls are lost.
    fn overdue(&self, now: Duration) -> (Vec<Stream>, Vec<usize>) {
        let (mut streams, mut lost) = (Vec::new(), Vec::new());
        for pool in self.0.borrow_mut().pools.values_mut() {
            let told = if let Turn::Told(stream) = pool.turn { Some(stream) } else { None };
            pool.waiting.retain(|member| {
                let waits = now < member.until || member.stream == told;
                streams.extend(member.stream.filter(|_| !waits));
                waits
            });
            let Turn::Call { number, members, until } = &mut pool.turn else { continue };
            let late = members.iter_mut().filter(|member| now >= member.until);
            streams.extend(late.filter_map(|member| member.stream.take()));
            lost.extend((now >= until.saturating_add(LOST)).then_some(*number));
        }
        (streams, lost)
    }
}

impl Inner {
    fn next(&mut self, kind: &Kind) -> Option<Stream> {
        let pool = self.pools.get_mut(kind)?;
        match pool.waiting.front().and_then(|member| member.stream) {
            Some(stream) => {
                pool.turn = Turn::Told(stream);
                Some(stream)
            }
            None => {
                self.pools.remove(kind);
                None
            }
        }
    }
}

impl Pool {
    /// Takes from the front what fits into one call; one at least.
    fn gather(&mut self, kind: &Kind, most: Most) -> Vec<Member> {
        let (mut bytes, mut tokens) = (kind.body(&[]).len(), 0_u64);
        let fits = |member: &&Member| {
            bytes = bytes.saturating_add(member.input.len() + 1);
            tokens = tokens.saturating_add(member.tokens);
            bytes <= most.bytes && tokens <= most.tokens
        };
        let fitting = self.waiting.iter().take(TOGETHER).take_while(fits).count();
        self.waiting.drain(..fitting.max(1).min(self.waiting.len())).collect()
    }
}

/// A call has come back, or has not: who is to be told what.
pub fn returned(number: usize, outcome: call::Outcome, world: &World<'_>) -> Vec<(Stream, News)> {
    let Some((members, next)) = world.pools.land(number) else { return Vec::new() };
    let shares = shares(&members, outcome, world);
    let told =
        members.iter().zip(shares).filter_map(|(member, share)| Some((member.stream?, News::Share(Rc::new(share)))));
    // First the next call is on its way.
    next.map(|stream| (stream, News::Turn)).into_iter().chain(told).collect()
}

/// Time has passed, on this worker: who is to be told what.
pub fn look(world: &World<'_>) -> Vec<(Stream, News)> {
    let (overdue, lost) = world.pools.overdue(world.now());
    let overdue = overdue.into_iter().map(|stream| (stream, News::Alone));
    overdue.chain(lost.into_iter().flat_map(|number| returned(number, None, world))).collect()
}

fn shares(members: &[Member], outcome: call::Outcome, world: &World<'_>) -> Vec<Share> {
    let all = |share: Share| vec![share; members.len()];
    let Some(Returned { status, head, body }) = outcome else { return all(Share::Refused(Refusal::item_lost())) };
    let mut headers: Headers =
        HANDED_ON.iter().filter_map(|name| Some((*name, head.text(name)?.to_owned().into()))).collect();
    headers.push(("x-weir-merged", members.len().to_string().into()));
    if status == 200 {
        let weights: Vec<u64> = members.iter().map(|member| member.tokens).collect();
        let Some(parts) = split::split(body, &weights) else { return all(Share::Refused(Refusal::item_lost())) };
        let answer =
            |part: split::Part| Answer { status, headers: headers.clone(), body: part.body, tokens: part.tokens };
        return parts.into_iter().map(|part| Share::Answer(answer(part))).collect();
    }
    // The gateway's own is JSON; this one is from Envoy, whose clock says that the time is up.
    if serde_json::from_slice::<serde::de::IgnoredAny>(&body).is_err() {
        let refusal = match status {
            504 => Refusal::total_timeout(world.config.routing.total_timeout),
            _ => Refusal::item_lost(),
        };
        return all(Share::Refused(refusal));
    }
    all(Share::Answer(Answer { status, headers, body, tokens: None }))
}

/// Of the headers of the call's answer, those that are true of each request in it.
const HANDED_ON: [&str; 13] = [
    "x-weir-vendor",
    "x-weir-model",
    "x-weir-attempts",
    "x-upstream-request-id",
    "x-ratelimit-limit-requests",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-reset-requests",
    "x-ratelimit-limit-tokens",
    "x-ratelimit-remaining-tokens",
    "x-ratelimit-reset-tokens",
    "retry-after",
    "retry-after-ms",
    "x-should-retry",
];
/// Sixty-four pages are as many tokens as OpenAI takes at once, and answers of a megabyte.
const TOGETHER: usize = 64;
/// So many of one kind wait only behind a vendor that is in trouble; more of them would not help it.
const MOST_WAITING: usize = 1024;
/// In bytes: a few pages. What is longer than that gains nothing by company.
const MOST_INPUT: usize = 32 << 10;
/// In bytes, of everything but the input: a model's name and a few parameters.
const MOST_AROUND: usize = 1 << 10;
/// A call that has not come back so long after its time never will: who should have heard of it is gone.
const LOST: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
