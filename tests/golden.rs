//! The golden matrix: every recorded request, reply and stream, translated by every format.
//!
//! A case is data under `tests/golden`, reviewed as a diff; this file only knows the three shapes. `WEIR_BLESS=1 cargo
//! test --test golden` writes what the code does now, and then the diff is to be read, since nothing else checks it.
//!
//! Cases whose names begin with `embeddings` are of embeddings, all others of chat.
//!
//! - `requests/<case>/request.json` is a client's body; beside it, per format, what the vendor gets:
//!   `{"path", "headers", "body"}` and, where something is left out, `"dropped"`; or `{"refused": <field, or task>}`. A body
//!   that is relayed is one of two sentences, or a string with every byte of it. A format that is a row has a file only
//!   where it gets something else than OpenAI.
//! - `replies/<format>/<case>.json` holds a vendor's body and what the client reads, and its tokens; or the fault. One of
//!   embeddings may hold the `request`, where it is not one of two texts.
//! - `streams/<format>/<case>.sse` (`.frames`, of Bedrock) is what a vendor sent, to the byte, and `<case>.txt` what the client reads; a last
//!   line `!! ...` is a fault: its name, the status and the message; the line before it, or the last, has the tokens.
//!   A case `<name>+usage` is asked for with `stream_options.include_usage`. Every stream is also cut at every byte.
//! - `messages/requests/<case>.json` is a body in the words of Anthropic's Messages and what becomes of it, and
//!   `messages/streams/<case>.sse` a stream of chunks, beside it what such a client reads of it.
//!
//! The vendor knows each model by the client's name for it, but for [`ALIAS`].

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic; clippy takes the functions that tests share for traffic's"
)]

#[cfg(target_family = "wasm")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use std::collections::BTreeMap;

use serde_json::{Value as Tree, json};
use weir::chat::request::Delivery;
use weir::chat::tally::Counted;
use weir::chat::{Request, Tally, Task, Usage};
use weir::json::{Doc, Value};
use weir::vendor::{Asked, Body, Call, FORMATS, Failure, Fault, Format, Relay, StreamUsage, Wanted};

/// A model that every vendor knows by another name.
const ALIAS: &str = "house-model";

/// The formats that a request is recorded for, the vendor's name of [`ALIAS`], and the path of the vendor's url.
const VENDORS: &[(&str, &str, &str)] = &[
    ("openai", "gpt-4o", "/v1"),
    ("azure", "gpt 4o/prod", ""),
    ("anthropic", "claude-sonnet-4-5", "/v1"),
    ("gemini", "gemini-2.5-flash", "/v1beta"),
    ("bedrock", "eu.anthropic.claude-sonnet-4-5-20250929-v1:0", ""),
];

/// The formats that are rows: OpenAI's, but for what the row says.
const ROWS: &[&str] = &["mistral", "groq", "deepseek", "xai", "together", "fireworks", "openrouter", "ollama", "vllm"];

/// What embeddings are asked for where nothing else is said, and how many tokens that is taken for.
const TWO_TEXTS: &str = r#"{"model": "m", "input": ["Hi", "Ho"]}"#;
const ESTIMATED: u64 = 5;

/// When every answer was made.
const CREATED: u64 = 1_750_000_000;

#[test]
fn requests() {
    let golden = Golden::load("requests/");
    for (path, text) in golden.files.iter().filter(|(path, _)| path.ends_with("/request.json")) {
        let case = path.trim_end_matches("request.json");
        let task = if path.contains("/embeddings") { Task::Embeddings } else { Task::Chat };
        let request = Request::read(task, text.clone()).unwrap_or_else(|refusal| panic!("{path}: {}", refusal.message));
        let sent = |kind: &str, alias: &str, base: &str| {
            let model = if request.model() == ALIAS { alias } else { request.model() };
            let stream_usage = StreamUsage::Asked;
            sent(format(kind), &Call { request: &request, model, base, api_version: None, stream_usage })
        };
        for (kind, alias, base) in VENDORS {
            golden.expect_json(&format!("{case}{kind}.json"), &sent(kind, alias, base), |v| pretty(v, 0));
        }
        let (plain, alias, base) = VENDORS[0];
        let relayed = sent(plain, alias, base);
        for kind in ROWS {
            match sent(kind, alias, base) {
                same if same == relayed => golden.expect_none(&format!("{case}{kind}.json")),
                other => golden.expect_json(&format!("{case}{kind}.json"), &other, |v| pretty(v, 0)),
            }
        }
    }
    golden.verdict();
}

/// What a vendor gets.
fn sent(format: &dyn Format, call: &Call<'_>) -> Tree {
    if !format.offers(call.request.task()) {
        return json!({ "refused": call.request.task().name() });
    }
    if let Err(unsupported) = format.accepts(call.request).and_then(|()| format.suits(call.request, call.model)) {
        return json!({ "refused": unsupported.param });
    }
    let outgoing = format.render(call);
    let received = call.request.body();
    let bytes = outgoing.body.apply(received);
    // Weir's own parser refuses what comes twice, too.
    Doc::parse(bytes.to_vec()).unwrap_or_else(|e| panic!("{} gets no JSON: {e}", format.kind()));
    let body = match &outgoing.body {
        Body::Whole(body) => serde_json::from_slice(body).expect("a body is JSON"),
        _ if *bytes == *received => json!("as received"),
        _ => {
            let renamed = String::from_utf8_lossy(received).replacen(ALIAS, call.model, 1);
            match String::from_utf8_lossy(&bytes) {
                relayed if relayed == renamed => json!(format!("as received, but for the model {}", call.model)),
                relayed => json!(relayed),
            }
        }
    };
    let headers: BTreeMap<_, _> = outgoing.headers.iter().copied().collect();
    let mut sent = json!({ "path": outgoing.path, "headers": headers, "body": body });
    let dropped = format.dropped(call);
    if !dropped.is_empty() {
        sent["dropped"] = json!(dropped);
    }
    sent
}

#[test]
fn replies() {
    let golden = Golden::load("replies/");
    for (path, text) in &golden.files {
        let doc = Doc::parse(text.clone()).unwrap_or_else(|e| panic!("{path}: {e}"));
        let vendor = doc.root().get("vendor").unwrap_or_else(|| panic!("{path} has a vendor"));
        // A string stands for a body that is not JSON.
        let body = vendor.as_str().unwrap_or(vendor.raw().into());
        let format = format(folder(path));
        let task = if path.contains("/embeddings") { Task::Embeddings } else { Task::Chat };
        let asked = Asked { task, ..asked(Delivery::Whole) };
        let understood = match task {
            Task::Chat => format.reply(body.as_bytes(), &asked),
            Task::Embeddings => {
                let request = doc.root().get("request").map_or(TWO_TEXTS, Value::raw).as_bytes().to_vec();
                let request = Request::read(task, request).unwrap_or_else(|e| panic!("{path}: {}", e.message));
                format.vectors(body.as_bytes(), &asked, &Wanted { request: &request, tokens: ESTIMATED })
            }
        };
        let mut told = match understood {
            Ok(whole) if *whole.body == *body.as_bytes() => {
                json!({ "client": "as received", "tokens": tokens(whole.tally) })
            }
            Ok(whole) => {
                let client: Tree = serde_json::from_slice(&whole.body).expect("a reply is JSON");
                json!({ "client": client, "tokens": tokens(whole.tally) })
            }
            Err(fault) => json!({ "fault": told(format, fault) }),
        };
        if let Some(request) = doc.root().get("request") {
            told["request"] = serde_json::from_str(request.raw()).expect("a request is JSON");
        }
        // The vendor's body keeps its spelling, byte for byte.
        golden.expect_json(path, &with_vendor(told, vendor.raw()), |v| {
            let told = v.as_object().unwrap().iter().filter(|(key, _)| *key != "vendor");
            let told: String = told.map(|(key, value)| format!(",\n  \"{key}\": {}", pretty(value, 2))).collect();
            format!("{{\n  \"vendor\": {}{told}\n}}", vendor.raw())
        });
    }
    golden.verdict();
}

fn with_vendor(mut told: Tree, raw: &str) -> Tree {
    told["vendor"] = serde_json::from_str(raw).expect("a vendor's body is JSON");
    told
}

#[test]
fn streams() {
    let golden = Golden::load("streams/");
    for (path, bytes) in &golden.files {
        let Some(case) = [".sse", ".frames"].iter().find_map(|end| path.strip_suffix(end)) else {
            continue;
        };
        let client = translate(path, &[bytes]);
        golden.expect(&format!("{case}.txt"), &client);
        for cut in 0..=bytes.len() {
            assert!(client == translate(path, &[&bytes[..cut], &bytes[cut..]]), "{path}: other when cut at {cut}");
        }
        assert!(client == translate(path, &bytes.chunks(1).collect::<Vec<_>>()), "{path}: other byte by byte");
    }
    golden.verdict();
}

/// What the client reads of a stream that comes in these pieces.
fn translate(path: &str, pieces: &[&[u8]]) -> String {
    let format = format(folder(path));
    let usage = path.contains("+usage.");
    let mut out = Vec::new();
    let mut relay = Relay::new(format.stream(asked(Delivery::Stream { usage })));
    let outcome = run(&mut relay, pieces, &mut out);
    let mut text = String::from_utf8(out).expect("a stream is UTF-8");
    text.push_str(&format!(":: {}\n", tokens(relay.tally())));
    if let Err(fault) = outcome {
        text.push_str(&format!("!! {}\n", told(format, fault)));
    }
    text
}

fn run(relay: &mut Relay, pieces: &[&[u8]], out: &mut Vec<u8>) -> Result<(), Fault> {
    pieces.iter().try_for_each(|piece| relay.feed(piece, out))?;
    relay.end(out)
}

#[test]
fn messages_asked() {
    let golden = Golden::load("messages/requests/");
    for (path, text) in &golden.files {
        let doc = Doc::parse(text.clone()).unwrap_or_else(|e| panic!("{path}: {e}"));
        let client = doc.root().get("client").unwrap_or_else(|| panic!("{path} has a client"));
        let became = match weir::dialect::request::canonical(client.raw().into()) {
            Err(refusal) => json!({ "refused": refusal.message }),
            Ok(body) => {
                Request::of_messages(body.clone()).unwrap_or_else(|refusal| panic!("{path}: {}", refusal.message));
                json!({ "canonical": serde_json::from_slice::<Tree>(&body).expect("a body is JSON") })
            }
        };
        let mut whole = became.clone();
        whole["client"] = serde_json::from_str(client.raw()).expect("a body is JSON");
        golden.expect_json(path, &whole, |_| {
            let (name, value) = became.as_object().unwrap().iter().next().unwrap();
            format!("{{\n  \"client\": {},\n  \"{name}\": {}\n}}", client.raw(), pretty(value, 2))
        });
    }
    golden.verdict();
}

#[test]
fn messages_told() {
    let golden = Golden::load("messages/streams/");
    for (path, bytes) in golden.files.iter().filter(|(path, _)| path.ends_with(".sse")) {
        golden.expect(&format!("{}.txt", path.trim_end_matches(".sse")), &told_in_any_cut(path, bytes));
    }
    golden.verdict();
}

/// Whatever a vendor streams, a client of Messages reads blocks that begin and end, and an end only if there was one.
#[test]
fn messages_told_of_every_stream() {
    for (path, bytes) in Golden::load("streams/").files.iter().filter(|(path, _)| path.ends_with(".sse")) {
        let mut chunks = Vec::new();
        let mut relay = Relay::new(format(folder(path)).stream(asked(Delivery::Stream { usage: true })));
        if let Err(fault) = run(&mut relay, &[bytes], &mut chunks) {
            weir::chat::answer::failed(&Failure::from_fault("vendor", fault).refusal, &mut chunks);
        }
        let ended = String::from_utf8_lossy(&chunks).contains("data: [DONE]");
        let events = told_byte_by_byte(path, &chunks);
        let count = |name: &str| events.lines().filter(|line| *line == format!("event: {name}")).count();
        if ended {
            let counts = ["message_start", "message_delta", "message_stop", "error"].map(count);
            assert_eq!(counts, [1, 1, 1, 0], "{path}: {events}");
            assert_eq!(count("content_block_start"), count("content_block_stop"), "{path}: {events}");
        } else {
            assert_eq!((count("message_stop"), count("error")), (0, 1), "{path}: {events}");
        }
        let data = events.lines().filter_map(|line| line.strip_prefix("data: "));
        data.for_each(|data| drop(serde_json::from_str::<Tree>(data).expect("an event is JSON")));
    }
}

/// What a client of Messages reads of a stream of chunks, wherever that is cut.
fn told_in_any_cut(path: &str, chunks: &[u8]) -> String {
    let whole = told_byte_by_byte(path, chunks);
    for cut in 0..=chunks.len() {
        assert!(whole == tell(&[&chunks[..cut], &chunks[cut..]]), "{path}: other when cut at {cut}");
    }
    whole
}

fn told_byte_by_byte(path: &str, chunks: &[u8]) -> String {
    let whole = tell(&[chunks]);
    assert!(whole == tell(&chunks.chunks(1).collect::<Vec<_>>()), "{path}: other byte by byte");
    whole
}

fn tell(pieces: &[&[u8]]) -> String {
    let (mut telling, mut out) = (weir::dialect::stream::Telling::default(), Vec::new());
    pieces.iter().for_each(|piece| telling.feed(piece, &mut out));
    telling.end(&mut out);
    String::from_utf8(out).expect("a stream is UTF-8")
}

#[test]
fn every_format_has_cases() {
    for kind in FORMATS.iter().map(|format| format.kind()).filter(|kind| *kind != "echo") {
        let row = ROWS.contains(&kind);
        assert!(row != VENDORS.iter().any(|(name, ..)| *name == kind), "{kind} is in one of VENDORS and ROWS");
        for folder in if row { &["streams"][..] } else { &["replies", "streams"] } {
            assert!(!Golden::load(&format!("{folder}/{kind}/")).files.is_empty(), "{folder}/{kind} holds no case");
        }
    }
}

/// What is known of an answer's tokens, in one line.
fn tokens(tally: Tally) -> String {
    let written = tally.written;
    let all = |usage: Usage| {
        let Usage { prompt, completion, cached, cache_write, reasoning } = usage;
        format!(
            "prompt {prompt} (cached {cached}, cache write {cache_write}), answer {completion} (reasoning {reasoning})"
        )
    };
    match tally.counted {
        Counted::Nothing => format!("not counted, {written} bytes written"),
        Counted::Prompt(usage) => format!("{} and more, {written} bytes written", all(usage)),
        Counted::All(usage) => all(usage),
    }
}

/// A fault in one line.
fn told(format: &dyn Format, fault: Fault) -> String {
    let failure = Failure::from_fault(format.kind(), fault);
    format!("{} {} {}", failure.outcome, failure.refusal.status, failure.refusal.message)
}

fn asked(delivery: Delivery) -> Asked {
    Asked { task: Task::Chat, model: "asked-model".to_owned(), id: "asked-id".to_owned(), created: CREATED, delivery }
}

fn format(kind: &str) -> &'static dyn Format {
    weir::vendor::format(kind).unwrap_or_else(|| panic!("no format is called {kind}"))
}

/// The second of a path's three names.
fn folder(path: &str) -> &str {
    path.split('/').nth(1).expect("a case stands in a folder")
}

fn pretty(value: &Tree, indent: usize) -> String {
    let mut sorted = value.clone();
    sorted.sort_all_objects();
    let text = serde_json::to_string_pretty(&sorted).expect("JSON can be written");
    text.replace('\n', &format!("\n{}", " ".repeat(indent)))
}

/// The files under one folder of `tests/golden`, and what was found wrong with them.
struct Golden {
    files: BTreeMap<String, Vec<u8>>,
    wrong: std::cell::RefCell<Vec<String>>,
}

impl Golden {
    fn load(folder: &str) -> Golden {
        let files = files().into_iter().filter(|(path, _)| path.starts_with(folder)).collect();
        Golden { files, wrong: Default::default() }
    }

    /// Compares values; `write` gives the file its text, should it be written.
    fn expect_json(&self, path: &str, actual: &Tree, write: impl FnOnce(&Tree) -> String) {
        let expected = self.files.get(path).and_then(|text| serde_json::from_slice::<Tree>(text).ok());
        if expected.as_ref() != Some(actual) {
            self.differs(path, write(actual) + "\n");
        }
    }

    fn expect_none(&self, path: &str) {
        if !self.files.contains_key(path) {
            return;
        }
        if std::env::var_os("WEIR_BLESS").is_some() {
            std::fs::remove_file(format!("{GOLDEN}/{path}")).expect("golden files can be removed");
        } else {
            self.wrong.borrow_mut().push(format!("{path} is what OpenAI gets, and not needed"));
        }
    }

    fn expect(&self, path: &str, actual: &str) {
        if self.files.get(path).map(Vec::as_slice) != Some(actual.as_bytes()) {
            self.differs(path, actual.to_owned());
        }
    }

    fn differs(&self, path: &str, actual: String) {
        if std::env::var_os("WEIR_BLESS").is_some() {
            std::fs::write(format!("{}/{path}", GOLDEN), actual).expect("golden files can be written");
        } else {
            self.wrong.borrow_mut().push(format!("{path} is not what is made now:\n{actual}"));
        }
    }

    fn verdict(&self) {
        assert!(!self.files.is_empty(), "no golden files");
        assert!(self.wrong.borrow().is_empty(), "{}", self.wrong.borrow().join("\n"));
    }
}

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");

/// The files as they are now; a new one needs no new build.
#[cfg(not(target_family = "wasm"))]
fn files() -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![std::path::PathBuf::from(GOLDEN)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("golden files can be listed") {
            let path = entry.expect("golden files can be listed").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(GOLDEN).expect("inside").to_string_lossy().into_owned();
                files.insert(name, std::fs::read(path).expect("golden files can be read"));
            }
        }
    }
    files
}

/// The files as they were at the build: a JavaScript engine has no disk.
#[cfg(target_family = "wasm")]
fn files() -> BTreeMap<String, Vec<u8>> {
    static EMBEDDED: include_dir::Dir<'_> = include_dir::include_dir!("$CARGO_MANIFEST_DIR/tests/golden");
    fn collect(dir: &include_dir::Dir<'_>, files: &mut BTreeMap<String, Vec<u8>>) {
        files.extend(dir.files().map(|f| (f.path().to_string_lossy().into_owned(), f.contents().to_vec())));
        dir.dirs().for_each(|dir| collect(dir, files));
    }
    let mut files = BTreeMap::new();
    collect(&EMBEDDED, &mut files);
    files
}
