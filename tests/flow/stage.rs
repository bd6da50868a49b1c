//! A stage for scripts: a gateway stream and, attempt by attempt, the vendor streams under it, with Envoy's part played
//! by the least that is true of Envoy.

use std::cell::{Cell, RefCell};
use std::ops::{Deref, DerefMut};
use std::rc::Rc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use weir::auth;
use weir::config::{Config, Key, parse_json};
use weir::flow::batch::Shelf;
use weir::flow::books::Books;
use weir::flow::call::{Call, Outcome};
use weir::flow::exchange::{Exchanges, Source};
use weir::flow::flight::{Flights, News, Stream};
use weir::flow::gateway::Gateway;
use weir::flow::load::Spare;
use weir::flow::pool::{self, Pools};
use weir::flow::vendor::Vendor;
use weir::flow::{Effect, Flow, Head, Part, Reads, Step, Verdict, World};
use weir::history::History;
use weir::metric::Counter;
use weir::redis::{self, Command, Naming};
use weir::store::Memory;

thread_local! {
    /// 2024-01-01T12:00:00Z
    static NOW: Cell<u64> = const { Cell::new(1_704_110_400) };
    static FLAGS: Cell<u64> = const { Cell::new(0) };
    static EXCHANGE: Cell<Option<u64>> = const { Cell::new(None) };
    static HEAD: RefCell<Head> = const { RefCell::new(Head(Vec::new())) };
}

/// The time since the Unix epoch.
pub fn now() -> Duration {
    Duration::from_secs(NOW.get())
}

/// Lets time go by.
pub fn pass_seconds(seconds: u64) {
    NOW.set(NOW.get() + seconds);
}

/// Envoy says this of the streams that are over from now on.
pub fn flagged(flags: u64) {
    FLAGS.set(flags);
}

/// A worker: its configuration and its exchanges.
pub struct Stage {
    pub config: Rc<Config>,
    pub exchanges: Exchanges,
    pub flights: Flights,
    pub keys: auth::Memory,
    pub store: Memory,
    pub books: Books,
    pub spare: Spare,
    /// What streams of this worker are told.
    pub news: Vec<(Stream, News)>,
    pub pools: Pools,
    pub shelf: Shelf,
    pub history: History,
    /// The calls that the worker is to make.
    pub errands: Vec<Call>,
    pub streams: Stream,
    /// What was counted besides requests.
    pub counted: Vec<String>,
    /// What was measured, in microseconds.
    pub observed: Vec<String>,
}

/// What somebody got.
#[derive(Debug, Default)]
pub struct Message {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Message {
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value)
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

impl Stage {
    pub fn new() -> Stage {
        Stage::with(&[])
    }

    /// A worker with more in its configuration: each object adds its members to the one at its place.
    pub fn with(more: &[(&str, serde_json::Value)]) -> Stage {
        NOW.set(1_704_110_400);
        EXCHANGE.set(None);
        FLAGS.set(0);
        Stage {
            config: Rc::new(parse_json(configuration(more).to_string().as_bytes()).unwrap()),
            exchanges: Exchanges::new(0),
            flights: Flights::default(),
            keys: auth::Memory::default(),
            store: Memory::default(),
            books: Books::default(),
            spare: Spare::default(),
            news: Vec::new(),
            pools: Pools::default(),
            shelf: Shelf::default(),
            history: History::default(),
            errands: Vec::new(),
            streams: 0,
            counted: Vec::new(),
            observed: Vec::new(),
        }
    }

    /// A worker that has a Redis besides.
    pub fn with_redis() -> Stage {
        Stage::with(&[redis()])
    }

    /// What was counted under names that hold this word.
    pub fn counted(&self, word: &str) -> Vec<&str> {
        self.counted.iter().map(String::as_str).filter(|name| name.contains(word)).collect()
    }

    /// Changes the first key of the file, which is `all`.
    pub fn change_key(&mut self, change: impl FnOnce(&mut Key)) {
        let config = Rc::get_mut(&mut self.config).unwrap();
        change(Rc::make_mut(config.keys.first_mut().unwrap()));
    }

    /// Another configuration takes the place of this one, with these members of its objects.
    pub fn reconfigure(&mut self, more: &[(&str, serde_json::Value)]) {
        self.config = Rc::new(parse_json(configuration(more).to_string().as_bytes()).unwrap());
    }

    /// Something happens outside of any stream.
    pub fn looks<T>(&mut self, act: impl FnOnce(&mut World<'_>) -> T) -> T {
        act(&mut world(self, 0))
    }

    /// A client is back.
    pub fn back(&mut self, own: Own) -> Client<'_> {
        EXCHANGE.set(own.exchange);
        Client { stage: self, own }
    }

    /// A call of the worker's comes back; what its streams are told is added to the news.
    pub fn errand_returns(&mut self, number: usize, outcome: Outcome) {
        let news = pool::returned(number, outcome, &world(self, 0));
        self.news.extend(news);
    }

    /// Time has passed, and the worker looks who has waited for long enough.
    pub fn looks_at_pools(&mut self) {
        let news = pool::look(&world(self, 0));
        self.news.extend(news);
    }

    /// A client whose request is good and on its way.
    pub fn client(&mut self, path: &str, body: Vec<u8>) -> Client<'_> {
        self.client_with(path, &[], body)
    }

    pub fn client_with(&mut self, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Client<'_> {
        let mut client = self.arrive("POST", path, headers, &body);
        client.send(body);
        assert!(client.answer.is_none(), "refused: {:?}", client.answer);
        client
    }

    /// The answer to a request that no vendor gets.
    pub fn refused(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Message {
        let mut client = self.arrive(method, path, headers, &body);
        if client.answer.is_none() {
            client.send(body);
        }
        client.answer.take().expect("an answer of the gateway's own")
    }

    pub fn refused_raw(&mut self, path: &str, name: &str, value: &[u8]) -> Message {
        at_hand(&[(":method", "POST"), (":path", path)]);
        HEAD.with_borrow_mut(|head| head.0.push((name.to_owned(), value.to_vec())));
        let mut client = Client::new(self);
        client.gateway(|flow, world| flow.request_head(false, world));
        client.answer.take().expect("an answer of the gateway's own")
    }

    /// A client of whose request only the headers are here.
    pub fn arrive(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Client<'_> {
        let mut all = vec![(":method", method), (":path", path)];
        if !headers.iter().any(|(name, _)| *name == "x-api-key") {
            all.push(("x-api-key", "all"));
        }
        all.extend(headers);
        let mut client = Client::new(self);
        client.headers = owned(&all);
        at_hand(&all);
        client.gateway(|flow, world| flow.request_head(body.is_empty(), world));
        client
    }
}

/// One client's stream, and the vendor's stream of the attempt under way.
pub struct Client<'s> {
    stage: &'s mut Stage,
    own: Own,
}

/// What is a client's own, on the stage or beside it.
pub struct Own {
    stream: Stream,
    /// The configuration with which the stream began.
    began: Rc<Config>,
    exchange: Option<u64>,
    gateway: Gateway,
    vendor: Vendor,
    headers: Vec<(String, String)>,
    sent: Vec<u8>,
    route: String,
    request: Message,
    response: Message,
    answer: Option<Message>,
    asked: Vec<Command>,
    told: Vec<Command>,
    calls: Vec<Call>,
    verdict: Verdict,
    counted: Vec<String>,
    logged: Vec<String>,
    properties: Vec<(&'static str, String)>,
}

impl Deref for Client<'_> {
    type Target = Own;

    fn deref(&self) -> &Own {
        &self.own
    }
}

impl DerefMut for Client<'_> {
    fn deref_mut(&mut self) -> &mut Own {
        &mut self.own
    }
}

impl<'s> Client<'s> {
    fn new(stage: &'s mut Stage) -> Client<'s> {
        stage.streams += 1;
        let own = Own {
            stream: stage.streams,
            began: Rc::clone(&stage.config),
            exchange: None,
            gateway: Gateway::Fresh,
            vendor: Vendor::Over,
            headers: Vec::new(),
            sent: Vec::new(),
            route: String::new(),
            request: Message::default(),
            response: Message::default(),
            answer: None,
            asked: Vec::new(),
            told: Vec::new(),
            calls: Vec::new(),
            verdict: Verdict::Hold,
            counted: Vec::new(),
            logged: Vec::new(),
            properties: Vec::new(),
        };
        Client { stage, own }
    }

    /// Makes room for another client; the stream goes on.
    pub fn aside(self) -> Own {
        Own { exchange: EXCHANGE.get(), ..self.own }
    }

    /// Its number.
    pub fn stream(&self) -> Stream {
        self.stream
    }

    /// It is told something; whether it goes on.
    pub fn hears(&mut self, news: News) -> bool {
        at_hand(&self.headers.clone());
        self.gateway(|flow, world| flow.hear(news, world));
        self.verdict == Verdict::Pass
    }

    /// What Redis is asked, in words, since this was last looked at.
    pub fn asked(&mut self) -> String {
        let word = |word: &[u8]| String::from_utf8_lossy(word).into_owned();
        let words = |command: Command| command.words(Naming::Digest).map(word).collect();
        self.asks().into_iter().map(words).map(|words: Vec<_>| words.join(" ")).collect()
    }

    /// What Redis is asked since this was last looked at.
    pub fn asks(&mut self) -> Vec<Command> {
        std::mem::take(&mut self.asked)
    }

    /// What Redis is told since this was last looked at.
    pub fn tells(&mut self) -> Vec<Command> {
        std::mem::take(&mut self.told)
    }

    /// The calls that were made since this was last looked at.
    pub fn calls(&mut self) -> Vec<Call> {
        std::mem::take(&mut self.calls)
    }

    /// A call comes back.
    pub fn call_returns(&mut self, number: usize, outcome: Outcome) {
        at_hand(&self.headers);
        self.gateway(|flow, world| flow.answered(number, outcome, world));
        assert_eq!(self.verdict, Verdict::Hold, "nothing of a batch goes to Envoy's router");
    }

    /// Redis answers, or does not; whether the request goes on.
    pub fn redis_says(&mut self, replies: Option<Vec<redis::Reply>>) -> bool {
        at_hand(&self.headers);
        self.gateway(|flow, world| flow.told(replies, world));
        self.verdict == Verdict::Pass
    }

    /// Another stream of this worker waits for this one.
    pub fn followed_by(&mut self, key: &weir::cache::Key, stream: Stream, until: Duration) {
        self.stage.flights.follow(key, stream, until);
    }

    /// Others have written records meanwhile.
    pub fn has_store(&mut self, store: Memory) {
        self.stage.store = store;
    }

    /// What streams of this worker are told since this was last looked at.
    pub fn news(&mut self) -> Vec<(Stream, News)> {
        std::mem::take(&mut self.stage.news)
    }

    /// Envoy holds so many bytes of the request, and more will come.
    pub fn sends_so_far(&mut self, size: usize) {
        assert_ne!(self.gateway.reads_request(), Reads::Nothing, "it would pass");
        self.gateway(|flow, world| flow.request_body(Part::Held(size), world));
        assert_eq!(self.verdict, Verdict::Hold);
    }

    /// What stands in the stream's filter state under this name.
    pub fn property(&self, name: &str) -> Option<&str> {
        self.properties.iter().rfind(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    /// The stream's line in the access log, as far as the filter writes it.
    pub fn line(&self) -> serde_json::Value {
        serde_json::from_str(&format!("{{\"time\":0{}}}", self.property("log").unwrap())).unwrap()
    }

    /// What the operator was told.
    pub fn logged(&self) -> &[String] {
        &self.logged
    }

    /// The answer that the client has, if it has one.
    pub fn answered(&self) -> Option<(u16, &str)> {
        self.answer.as_ref().map(|answer| (answer.status, answer.text()))
    }

    /// The vendor to which Envoy's route leads now.
    pub fn route(&self) -> &str {
        &self.route
    }

    /// Envoy begins an attempt at a vendor; returns what the vendor gets.
    pub fn attempt(&mut self, vendor: &str) -> Message {
        assert_eq!(self.route, vendor, "Envoy follows the route");
        let request = Message { status: 0, headers: self.headers.clone(), body: self.sent.clone() };
        (self.request, self.response) = (request, Message::default());
        self.vendor = Vendor::Fresh(vendor.into());
        at_hand(&self.headers);
        assert_eq!(self.vendor(|flow, world| flow.request_head(false, world)), Verdict::Pass);
        if self.vendor.reads_request() != Reads::Nothing {
            self.vendor(|flow, world| flow.request_body(Part::Whole(Vec::new()), world));
        }
        assert_eq!(self.request.header("content-length"), self.request.body.len().to_string());
        std::mem::take(&mut self.request)
    }

    /// Envoy tries this vendor, whose role refuses: what Envoy hears instead of the vendor.
    pub fn attempt_refused(&mut self, vendor: &str) -> u16 {
        self.vendor = Vendor::Fresh(vendor.into());
        at_hand(&self.headers);
        self.vendor(|flow, world| flow.request_head(false, world));
        self.answer.take().expect("a reply in the vendor's place").status
    }

    /// The vendor answers, and the client gets it.
    pub fn vendor_replies(&mut self, status: u16, kind: &str, body: &[u8]) -> Message {
        assert!(!self.vendor_fails(status, kind, body), "the attempt failed");
        self.gateway_sees();
        self.answer.take().inspect(|answer| self.answer = Some(answer.copy())).unwrap()
    }

    /// The vendor answers; whether Envoy is to try the next vendor.
    pub fn vendor_fails(&mut self, status: u16, kind: &str, body: &[u8]) -> bool {
        self.vendor_says(&[(":status", &status.to_string()), ("content-type", kind)], body)
    }

    /// The same, with these headers.
    pub fn vendor_says(&mut self, headers: &[(&str, &str)], body: &[u8]) -> bool {
        self.vendor_head(headers, false);
        self.response.body = body.to_vec();
        let part = match self.vendor.reads_response() {
            Reads::Pieces => Part::Piece { bytes: body.to_vec(), end: true },
            _ => Part::Whole(body.to_vec()),
        };
        self.vendor(|flow, world| flow.response_body(part, world));
        self.retried()
    }

    /// The vendor's headers alone decide; whether Envoy is to try the next vendor.
    pub fn vendor_heads(&mut self, headers: &[(&str, &str)]) -> bool {
        self.vendor_head(headers, false);
        self.retried()
    }

    /// The vendor has sent so many bytes and goes on; whether Envoy is to try the next vendor.
    pub fn vendor_holds(&mut self, status: u16, size: usize) -> bool {
        self.vendor_head(&[(":status", &status.to_string())], false);
        assert_eq!(self.vendor(|flow, world| flow.response_body(Part::Held(size), world)), Verdict::Pass);
        self.retried()
    }

    /// The vendor begins a stream.
    pub fn vendor_streams(&mut self) {
        self.vendor_head(&[(":status", "200"), ("content-type", "text/event-stream")], false);
    }

    /// The vendor sends a piece of its stream; what the client gets of it, `None` while the stream is held.
    pub fn piece(&mut self, bytes: &[u8], end: bool) -> Option<Vec<u8>> {
        self.response.body = bytes.to_vec();
        let part = Part::Piece { bytes: bytes.to_vec(), end };
        match self.vendor(|flow, world| flow.response_body(part, world)) {
            Verdict::Hold => {
                assert_eq!(self.response.body, b"", "what is held has been read");
                None
            }
            Verdict::Pass => {
                assert!(!self.retried(), "the attempt failed");
                if self.answer.is_none() {
                    self.gateway_sees();
                }
                Some(std::mem::take(&mut self.response.body))
            }
        }
    }

    /// The vendor sends a piece of its stream that fails the attempt; whether Envoy is to try the next vendor.
    pub fn piece_fails(&mut self, bytes: &[u8], end: bool) -> bool {
        let part = Part::Piece { bytes: bytes.to_vec(), end };
        assert_eq!(self.vendor(|flow, world| flow.response_body(part, world)), Verdict::Pass);
        self.retried()
    }

    /// Envoy has no more attempts and answers with this status; what the client gets.
    pub fn envoy_answers(&mut self, status: u16) -> Message {
        at_hand(&[(":status", status.to_string())]);
        self.gateway(|flow, world| flow.response_head(false, world));
        self.answer.as_ref().expect("an answer of the gateway's own").copy()
    }

    /// Envoy's admin interface answers; what the client gets.
    pub fn envoy_tells(&mut self, status: u16, body: &[u8]) -> Message {
        at_hand(&[(":status", status.to_string())]);
        assert_eq!(self.gateway(|flow, world| flow.response_head(false, world)), Verdict::Hold);
        assert_eq!(self.gateway.reads_response(), Reads::Whole);
        self.gateway(|flow, world| flow.response_body(Part::Held(1), world));
        self.gateway(|flow, world| flow.response_body(Part::Whole(body.to_vec()), world));
        self.answer().copy()
    }

    pub fn answer(&self) -> &Message {
        self.answer.as_ref().unwrap()
    }

    /// What the exchange says at this moment: tokens of the prompt and of the answer, and who counted them.
    pub fn spent(&mut self) -> Option<(u64, u64, Source)> {
        let exchange = self.stage.exchanges.get(EXCHANGE.get()?)?;
        exchange.spent().map(|spent| (spent.usage.prompt, spent.usage.completion, spent.source))
    }

    /// The stream is over; what is counted: method, endpoint, status, vendor, model.
    pub fn leaves(&mut self) -> Vec<String> {
        let closed = |flow: Gateway, world: &mut World<'_>| Step::pass(Gateway::Closed, flow.closed(world));
        self.gateway(closed);
        std::mem::take(&mut self.counted)
    }

    /// The whole body is here.
    pub fn send(&mut self, body: Vec<u8>) {
        self.sent.clone_from(&body);
        let part = match self.gateway.reads_request() {
            Reads::Pieces => Part::Piece { bytes: body, end: true },
            _ => Part::Whole(body),
        };
        self.gateway(|flow, world| flow.request_body(part, world));
    }

    fn vendor_head(&mut self, headers: &[(&str, &str)], end: bool) {
        self.response.headers = owned(headers);
        at_hand(headers);
        self.vendor(|flow, world| flow.response_head(end, world));
    }

    fn retried(&self) -> bool {
        self.response.header("x-weir-retry") == "1"
    }

    /// The vendor's response has come through to the gateway role.
    fn gateway_sees(&mut self) {
        let status = self.response.header(":status").to_owned();
        at_hand(&[(":status", &status)]);
        self.answer = Some(Message {
            status: status.parse().unwrap(),
            headers: self.response.headers.clone(),
            body: self.response.body.clone(),
        });
        self.gateway(|flow, world| flow.response_head(false, world));
    }

    fn gateway(&mut self, step: impl FnOnce(Gateway, &mut World<'_>) -> Step<Gateway>) -> Verdict {
        let (flow, stream, began) = (std::mem::take(&mut self.gateway), self.stream, Rc::clone(&self.began));
        let Step { state, verdict, effects } = step(flow, &mut world(self.stage, stream).under(&began));
        (self.gateway, self.verdict) = (state, verdict);
        effects.into_iter().for_each(|effect| self.apply(effect));
        verdict
    }

    fn vendor(&mut self, step: impl FnOnce(Vendor, &mut World<'_>) -> Step<Vendor>) -> Verdict {
        let (flow, stream) = (std::mem::take(&mut self.vendor), self.stream);
        let Step { state, verdict, effects } = step(flow, &mut world(self.stage, stream));
        self.vendor = state;
        effects.into_iter().for_each(|effect| self.apply(effect));
        verdict
    }

    fn apply(&mut self, effect: Effect) {
        match effect {
            Effect::Reply(reply) => {
                self.answer = Some(Message { status: reply.status, headers: owned(&reply.headers), body: reply.body });
            }
            Effect::RequestHeader(name, value) => self.request.set(&name, value.as_deref()),
            Effect::RequestBody { replaced, with } => {
                let request = &mut self.own.request;
                let rest = request.body.split_off(replaced.min(request.body.len()));
                request.body = [&with[..], &rest[..]].concat();
            }
            Effect::ResponseHeader(name, value) => {
                let Own { answer, response, .. } = &mut self.own;
                answer.as_mut().unwrap_or(response).set(&name, value.as_deref());
            }
            Effect::ResponseBody(body) => self.response.body = body,
            Effect::Exchange(number) => EXCHANGE.set(Some(number)),
            Effect::Route(vendor) => self.route = vendor,
            Effect::Count(Counter::Request(labels)) => self.counted.push(format!(
                "{} {} {} {} {}",
                labels.method, labels.endpoint, labels.status, labels.vendor, labels.model
            )),
            Effect::Count(counter) => self.stage.counted.push(counter.name()),
            Effect::Add(counter, amount) => self.stage.counted.push(format!("{} {amount}", counter.name())),
            Effect::Observe(histogram, took) => {
                self.stage.observed.push(format!("{} {}", histogram.name(), took.as_micros()));
            }
            Effect::Property(name, value) => {
                self.properties.push((name, String::from_utf8(value).unwrap()));
            }
            Effect::Wait => assert_eq!(self.verdict, Verdict::Hold, "only a stream on hold can be told"),
            Effect::Wake(streams, news) => {
                self.stage.news.extend(streams.into_iter().map(|stream| (stream, news.clone())));
            }
            Effect::Ask(commands) => {
                assert_eq!(self.verdict, Verdict::Hold, "only a stream on hold can be told");
                self.asked.extend(commands);
            }
            Effect::Tell(commands) => self.told.extend(commands),
            Effect::Call(call) => {
                assert_eq!(self.verdict, Verdict::Hold, "only a stream on hold can be answered");
                self.calls.push(call);
            }
            Effect::Errand(call) => self.stage.errands.push(call),
            Effect::Log(_, text) => self.logged.push(text),
            Effect::ClearRouteCache => {}
        }
    }
}

impl Message {
    fn set(&mut self, name: &str, value: Option<&str>) {
        self.headers.retain(|(present, _)| present != name);
        self.headers.extend(value.map(|value| (name.to_owned(), value.to_owned())));
    }

    fn copy(&self) -> Message {
        Message { status: self.status, headers: self.headers.clone(), body: self.body.clone() }
    }
}

fn world(stage: &mut Stage, stream: Stream) -> World<'_> {
    World {
        config: &stage.config,
        exchanges: &mut stage.exchanges,
        flights: &mut stage.flights,
        stream,
        keys: &mut stage.keys,
        store: &stage.store,
        books: &stage.books,
        spare: &stage.spare,
        pools: &stage.pools,
        shelf: &stage.shelf,
        history: &stage.history,
        redis: || redis::Presence::Answers,
        random: || 0,
        moment: Default::default(),
        clock: now,
        head: || HEAD.with_borrow(Head::clone),
        exchange: || EXCHANGE.get(),
        flags: || FLAGS.get(),
    }
}

/// The section that names a Redis.
pub fn redis() -> (&'static str, serde_json::Value) {
    ("", serde_json::json!({"redis": {"urls": ["redis://127.0.0.1:6379"]}}))
}

/// What every stage is configured with, and these members of its objects.
fn configuration(more: &[(&str, serde_json::Value)]) -> serde_json::Value {
    let digest = |key: &str| Sha256::digest(key.as_bytes()).iter().map(|b| format!("{b:02x}")).collect::<String>();
    let mut config = serde_json::json!({
        "listen": "127.0.0.1:3000",
        "admin": "127.0.0.1:9901",
        "vendors": [
            {"name": "first", "kind": "openai", "url": "http://first.test/v1"},
            {"name": "second", "kind": "azure", "url": "http://second.test", "api_version": "2024-10-21"},
        ],
        "models": [
            {"name": "both", "serve": [{"vendor": "first"}, {"vendor": "second", "model": "deployed"}]},
            {"name": "lone", "serve": [{"vendor": "first"}]},
            {"name": "unserved", "serve": []},
            {"name": "priced", "serve": [{"vendor": "first"}], "price": {"input": 2, "output": 10, "cached_input": 1}},
        ],
        "keys": [
            {"name": "all", "sha256": digest("all")},
            {"name": "limited", "sha256": digest("limited"), "models": ["lone", "unserved"]},
        ],
        "limits": {"body_bytes": 1500},
        "routing": {"weights": {"cost": 0, "success": 0, "latency": 0}},
    });
    for (place, members) in more {
        let object = config.pointer_mut(place).unwrap().as_object_mut().unwrap();
        object.extend(members.as_object().unwrap().clone());
    }
    config
}

/// These are the headers that the next event is about.
fn at_hand(headers: &[(impl AsRef<str>, impl AsRef<str>)]) {
    let bytes = |(name, value): (String, String)| (name, value.into_bytes());
    HEAD.set(Head(owned(headers).into_iter().map(bytes).collect()));
}

fn owned(headers: &[(impl AsRef<str>, impl AsRef<str>)]) -> Vec<(String, String)> {
    headers.iter().map(|(name, value)| (name.as_ref().to_owned(), value.as_ref().to_owned())).collect()
}

/// A chat request for a model, with more members.
pub fn ask(model: &str, more: &str) -> Vec<u8> {
    format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"hi"}}]{more}}}"#).into_bytes()
}

/// A whole answer in OpenAI's format.
pub fn completion(text: &str) -> Vec<u8> {
    let message = format!(r#"{{"role":"assistant","content":"{text}"}}"#);
    format!(r#"{{"id":"c","choices":[{{"index":0,"message":{message},"finish_reason":"stop"}}]}}"#).into_bytes()
}

/// One event of a streamed answer in OpenAI's format.
pub fn chunk(text: &str, finish: &str) -> Vec<u8> {
    let delta = format!(r#"{{"content":"{text}"}}"#);
    format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{delta},\"finish_reason\":{finish}}}]}}\n\n").into_bytes()
}

/// An error body in OpenAI's format.
pub fn error(message: &str) -> Vec<u8> {
    format!(r#"{{"error":{{"message":"{message}","type":"t","param":null,"code":null}}}}"#).into_bytes()
}
