//! The role `gateway`: a client's request from its headers to the last byte of its answer.
//!
//! | state | what is known | what comes next |
//! |---|---|---|
//! | `Fresh` | nothing | the request's headers |
//! | `Identifying` | what was shown as a key | what Redis knows of it, or the whole body |
//! | `IdentifyingWhole` | that, and the whole body | what Redis knows of the key |
//! | `Reading` | who calls, and what | the whole body |
//! | `Draining` | that the body is too large | its end, which is refused |
//! | `Following` | the request and its plan | the answer to an identical one, or its turn |
//! | `Looking` | the same | what another gateway puts into Redis |
//! | `Admitting` | the same | what Redis says of its limits |
//! | `Gathering` | the requests of a batch, and which of their answers are here | the other answers |
//! | `Pooling` | the same | its turn, or its share of a call for many |
//! | `Forwarded` | the exchange | a response from Envoy: an answer, or the end of all attempts |
//! | `Answering` | the exchange, and that a vendor answered | the end of the stream, which counts it |
//! | `Passing` | it is for Envoy's admin interface | that interface's response |
//! | `Scraping` | that interface has statistics | the whole of them, which become a page |
//! | `Ended` | what the client got | the end of the stream, which counts it |
//! | `Closed` | nothing | nothing |
//!
//! A request comes as far as `Reading` or `Draining` in `arrival`, from there to `Forwarded` in `consideration`, or, if
//! it is a batch, to its end in `gathering`; requests that go together meet in `pooling`; what the client gets, wherever
//! its request ends, is made in `departure`. All transitions are in these, and in `recollection`.

mod arrival;
mod consideration;
mod departure;
mod gathering;
mod pooling;
mod recollection;

use std::rc::Rc;
use std::time::Duration;

use crate::auth::Digest;
use crate::chat::Request;
use crate::config::Key;
use crate::flow::admission::{Admitted, Asked, Standings};
use crate::flow::batch::Batch;
use crate::flow::call;
use crate::flow::endpoint::Serves;
use crate::flow::flight::{Lease, News};
use crate::flow::kept::{Control, Memo};
use crate::flow::load::Place;
use crate::flow::pool::Kind;
use crate::flow::visit::Visit;
use crate::flow::{Effect, Flow, Head, Part, Reads, Step, World};
use crate::limit::Claim;
use crate::metric::page::Others;
use crate::redis::Reply;
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
    /// An identical request is on its way, and this one waits for its answer.
    Following(Box<Permitted>),
    /// An identical request of another gateway is on its way: Redis is asked for its answer from time to time.
    Looking(Box<Permitted>),
    /// Redis is asked whether the request may go out.
    Admitting(Box<Admitting>),
    /// It waits for others of its kind, or they have gone together.
    Pooling(Box<Pooling>),
    /// The requests of a batch are under way.
    Gathering(Box<Gathering>),
    /// The request is with a vendor.
    Forwarded(Box<Forwarded>),
    /// A vendor's answer is on its way to the client.
    Answering(Box<Forwarded>),
    /// The request is with Envoy's admin interface.
    Passing(Box<Visit>, Others),
    /// Envoy's admin interface is telling its statistics.
    Scraping(Box<Visit>, Others),
    /// The client has an answer of Weir's own; its status.
    Ended(Box<Visit>, u16),
    /// All is settled.
    #[default]
    Closed,
}

/// Who is calling, and in which shape it wants its errors.
#[derive(Debug)]
pub struct Caller {
    wants: Serves,
    surface: Surface,
    key: Rc<Key>,
    /// Its place among the requests in flight; without one it only gets what is kept.
    place: Option<Place>,
    /// Its turn, if others of its kind wait until that is over.
    turn: Option<Kind>,
    control: Control,
    explain: Explain,
    visit: Box<Visit>,
}

/// Whether the choice of the vendor is to be explained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Explain {
    /// It is not.
    No,
    /// In a header of the answer.
    InHeader,
    /// Instead of an answer.
    Instead,
}

/// The header by which an admin asks for an explanation, and gets it.
const EXPLAIN: &str = "x-weir-explain";

impl Explain {
    /// What a request's headers want.
    fn wanted(head: &Head, key: &Key) -> Result<Explain, Refusal> {
        match head.text(EXPLAIN) {
            None => Ok(Explain::No),
            Some(_) if !key.admin => Err(Refusal::admins_only()),
            Some("1") => Ok(Explain::InHeader),
            Some("dry-run") => Ok(Explain::Instead),
            Some(_) => Err(Refusal::malformed("x-weir-explain must be 1 or dry-run")),
        }
    }
}

/// Somebody with a key that only Redis can know.
#[derive(Debug)]
pub struct Stranger {
    digest: Digest,
    wants: Serves,
    surface: Surface,
    visit: Box<Visit>,
}

/// A request that its caller may make, and that somebody can answer.
#[derive(Debug)]
pub struct Permitted {
    caller: Caller,
    request: Request,
    /// The index of the model.
    model: usize,
    plan: Plan,
    /// How the plan came about, if somebody wants to know.
    explanation: Option<String>,
    /// By what its answer is kept, if it may be.
    memo: Option<Memo>,
    /// The right to ask in the name of identical requests.
    lead: Option<Lease>,
    /// How long it waits for an identical one.
    until: Duration,
}

/// A request that waits for Redis.
#[derive(Debug)]
pub struct Admitting {
    permitted: Permitted,
    claim: Claim,
    asked: Asked,
    /// How many of the questions are about kept answers.
    questions: usize,
}

/// A request that waits for others of its kind, or has gone with them.
#[derive(Debug)]
pub struct Pooling {
    permitted: Permitted,
    kind: Kind,
}

/// A batch that waits for its answers.
#[derive(Debug)]
pub struct Gathering {
    caller: Caller,
    batch: Batch,
}

/// A request that is with a vendor.
#[derive(Debug)]
pub struct Forwarded {
    caller: Caller,
    exchange: u64,
    claim: Claim,
    admitted: Admitted,
    standings: Standings,
    explanation: Option<String>,
    memo: Option<Memo>,
    lead: Option<Lease>,
}

impl Flow for Gateway {
    fn request_head(self, end: bool, world: &mut World<'_>) -> Step<Gateway> {
        arrival::begin(end, world)
    }

    fn request_body(self, body: Part, world: &mut World<'_>) -> Step<Gateway> {
        arrival::body(self, body, world)
    }

    fn response_head(self, end: bool, world: &mut World<'_>) -> Step<Gateway> {
        match self {
            Gateway::Forwarded(forwarded) => departure::answer(forwarded, world),
            Gateway::Passing(visit, others) => departure::scraped(visit, others, end, world),
            state => departure::interrupt(state, world),
        }
    }

    fn response_body(self, body: Part, world: &mut World<'_>) -> Step<Gateway> {
        match (self, body) {
            (Gateway::Scraping(visit, others), Part::Whole(envoy)) => departure::page(visit, others, &envoy, world),
            (state @ Gateway::Scraping(..), _) => Step::hold(state),
            (state, _) => Step::pass(state, Vec::new()),
        }
    }

    fn told(self, replies: Option<Vec<Reply>>, world: &mut World<'_>) -> Step<Gateway> {
        match self {
            Gateway::Identifying(stranger) => arrival::introduce(stranger, replies, world),
            Gateway::IdentifyingWhole(stranger, body) => arrival::introduce_whole(stranger, body, replies, world),
            Gateway::Admitting(admitting) => consideration::told(*admitting, replies, world),
            Gateway::Looking(permitted) => recollection::told(permitted, replies, world),
            state => Step::pass(state, Vec::new()),
        }
    }

    fn hear(self, news: News, world: &mut World<'_>) -> Step<Gateway> {
        match self {
            Gateway::Pooling(pooling) => pooling::hear(*pooling, news, world),
            state => recollection::hear(state, news, world),
        }
    }

    fn answered(self, number: usize, outcome: call::Outcome, world: &mut World<'_>) -> Step<Gateway> {
        match self {
            Gateway::Gathering(gathering) => gathering::answered(*gathering, number, outcome, world),
            state => Step::hold(state),
        }
    }

    fn closed(self, world: &mut World<'_>) -> Vec<Effect> {
        departure::close(self, world)
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
        match self {
            Gateway::Scraping(..) => Reads::Whole,
            _ => Reads::Nothing,
        }
    }
}
