//! Anthropic's Messages: what clients ask in their words, and what they are told.

use std::collections::BTreeSet;

use weir::chat::Request;
use weir::chat::sse::{Decoder, Event};
use weir::dialect::{reply, request, stream::Telling};
use weir::json::{Doc, Value};

use super::cuts;
use super::request::{refused, rendered};

/// A request that is accepted becomes a canonical one, which is a chat request like others.
pub(crate) fn asked(bytes: &[u8]) {
    match request::canonical(bytes.to_vec()).and_then(Request::of_messages) {
        Ok(request) => rendered(&request),
        Err(refusal) => refused(&refusal),
    }
}

/// A whole answer, where it can be told, is a message.
pub(crate) fn answered(bytes: &[u8]) {
    let Some(message) = reply::message(bytes) else { return };
    let doc = Doc::parse(message).unwrap_or_else(|e| panic!("a message is no JSON: {e}"));
    let message = doc.root();
    assert_eq!(message.text("type").as_deref(), Some("message"));
    assert!(message.text("id").is_some_and(|id| id.starts_with("msg_")));
    assert!(message.get("content").is_some_and(|content| content.items().all(Value::is_object)));
    stops(message);
}

/// What a client is told of a stream of chunks does not depend on how that is cut.
pub(crate) fn streamed(bytes: &[u8]) {
    let whole = told(&[bytes]);
    for pieces in cuts(bytes) {
        assert_eq!(told(&pieces), whole, "other when cut");
    }
    heard(bytes);
}

/// It is a stream of events: of one message, or an error.
pub(crate) fn heard(bytes: &[u8]) {
    let told = told(&[bytes]);
    let (mut decoder, mut events, mut client) = (Decoder::default(), Vec::new(), Client::default());
    decoder.feed(told.as_bytes(), &mut events).expect("a client can read the stream");
    for event in events {
        let Event::Message { name, data } = event else { panic!("a comment in {told}") };
        let doc = Doc::parse(data.into_bytes()).unwrap_or_else(|e| panic!("an event is no JSON: {e}: {told}"));
        assert_eq!(doc.root().text("type").as_deref(), Some(&*name));
        client.reads(&name, doc.root());
    }
}

fn told(pieces: &[&[u8]]) -> String {
    let (mut telling, mut out) = (Telling::default(), Vec::new());
    pieces.iter().for_each(|piece| telling.feed(piece, &mut out));
    telling.end(&mut out);
    String::from_utf8(out).expect("a stream is UTF-8")
}

/// What a client has read.
#[derive(Default)]
struct Client {
    begun: bool,
    /// There is no more to come.
    over: bool,
    blocks: u64,
    open: BTreeSet<u64>,
    stopped: bool,
}

impl Client {
    fn reads(&mut self, name: &str, event: Value<'_>) {
        assert!(!self.over, "{name} comes after the end");
        let index = || event.get("index").and_then(Value::as_u64).expect("a block has an index");
        match name {
            "ping" => {}
            "error" => self.over = true,
            "message_start" => assert!(!std::mem::replace(&mut self.begun, true), "two beginnings"),
            "content_block_start" => {
                assert!(self.begun && index() == self.blocks, "a block out of order");
                self.open.insert(index());
                self.blocks += 1;
            }
            "content_block_delta" => assert!(self.open.contains(&index()), "a piece of a block that is not open"),
            "content_block_stop" => assert!(self.open.remove(&index()), "the end of a block that is not open"),
            "message_delta" => {
                assert!(self.begun && self.open.is_empty() && !self.stopped, "a reason to stop out of order");
                stops(event.get("delta").expect("a delta"));
                self.stopped = true;
            }
            "message_stop" => {
                assert!(self.stopped, "an end without a reason");
                self.over = true;
            }
            other => panic!("no event is called {other}"),
        }
    }
}

/// The reasons that Anthropic's SDKs know.
fn stops(holder: Value<'_>) {
    const REASONS: [&str; 7] = [
        "end_turn",
        "max_tokens",
        "stop_sequence",
        "tool_use",
        "pause_turn",
        "refusal",
        "model_context_window_exceeded",
    ];
    assert!(holder.text("stop_reason").is_some_and(|reason| REASONS.contains(&&*reason)));
    let sequence = holder.get("stop_sequence").expect("there is always a sequence, or null");
    assert!(sequence.is_null() || holder.text("stop_reason").as_deref() == Some("stop_sequence"));
}
