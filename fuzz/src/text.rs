//! Texts: events, JSON, the configuration, Envoy's page of statistics.

use serde_json::Value as Tree;
use weir::chat::sse::{self, Broken, Event};
use weir::config;
use weir::json::{Doc, Kind, Value, Writer};
use weir::metric::page::{Others, page};
use weir::vendor::event_stream::{self, Frame};

use super::cuts;

/// Server-sent events are the same however the bytes are cut.
pub(crate) fn events(bytes: &[u8]) {
    let whole = decoded(&[bytes]);
    for pieces in cuts(bytes) {
        assert_eq!(decoded(&pieces), whole, "other events when cut");
    }
    for event in &whole.0 {
        if let Event::Message { name, data } = event {
            assert!(!name.contains(['\n', '\r']) && !data.contains('\r'), "a line end in {event:?}");
        }
    }
}

fn decoded(pieces: &[&[u8]]) -> (Vec<Event>, Result<(), Broken>) {
    let (mut decoder, mut events) = (sse::Decoder::default(), Vec::new());
    let fed = pieces.iter().try_for_each(|piece| decoder.feed(piece, &mut events));
    let outcome = fed.and_then(|()| decoder.end(&mut events));
    (events, outcome)
}

/// Amazon's frames are the same however the bytes are cut.
pub(crate) fn frames(bytes: &[u8]) {
    for bytes in [bytes, &resummed(bytes)] {
        let whole = framed(&[bytes]);
        for pieces in cuts(bytes) {
            assert_eq!(framed(&pieces), whole, "other frames when cut");
        }
    }
}

fn framed(pieces: &[&[u8]]) -> (Vec<Frame>, Result<(), event_stream::Broken>, bool) {
    let (mut decoder, mut frames) = (event_stream::Decoder::default(), Vec::new());
    let outcome = pieces.iter().try_for_each(|piece| decoder.feed(piece, &mut frames));
    (frames, outcome, outcome.is_ok() && decoder.is_between_frames())
}

/// The same frames with the right sums, which nobody finds by trying.
pub(crate) fn resummed(bytes: &[u8]) -> Vec<u8> {
    let (mut bytes, mut at) = (bytes.to_vec(), 0);
    while let Some(length) = bytes.get(at..at + 4).map(|b| u32::from_be_bytes(b.try_into().expect("four")) as usize) {
        if length < 16 || at + length > bytes.len() {
            break;
        }
        for (sum, from) in [(at + 8, at), (at + length - 4, at)] {
            let right = crc32fast::hash(&bytes[from..sum]).to_be_bytes();
            bytes[sum..sum + 4].copy_from_slice(&right);
        }
        at += length;
    }
    bytes
}

/// What the index takes for JSON is JSON to another parser, and the same when it is written again value by value; what
/// it refuses is none, or doubtful.
pub(crate) fn json(bytes: &[u8]) {
    match Doc::parse(bytes.to_vec()) {
        Ok(doc) => {
            serde_json::from_slice::<serde::de::IgnoredAny>(bytes).expect("another parser takes it, too");
            let mut w = Writer::default();
            write(doc.root(), &mut w);
            let again = Doc::parse(w.finish()).expect("what is written is JSON");
            assert!(same(doc.root(), again.root()), "what is written is not what was read");
        }
        Err(error) => {
            let doubtful = ["duplicate", "deeper", "values", "surrogate", "escape"];
            let known = doubtful.iter().any(|why| error.to_string().contains(why));
            assert!(known || serde_json::from_slice::<Tree>(bytes).is_err(), "JSON that is refused: {error}");
        }
    }
}

fn write(value: Value<'_>, w: &mut Writer) {
    match value.kind() {
        Kind::Object => w.object(|w| value.members().for_each(|(name, value)| write(value, w.key(&name)))),
        Kind::Array => w.array(|w| value.items().for_each(|item| write(item, w))),
        Kind::Plain | Kind::Escaped => w.string(&value.as_str().expect("a string has a value")),
        Kind::Null | Kind::Bool | Kind::Number => w.raw(value.raw()),
    }
}

fn same(one: Value<'_>, other: Value<'_>) -> bool {
    match one.kind() {
        Kind::Object => {
            let members = one.members().zip(other.members());
            other.is_object()
                && one.members().count() == other.members().count()
                && members.into_iter().all(|((a, x), (b, y))| a == b && same(x, y))
        }
        Kind::Array => {
            other.is_array()
                && one.items().count() == other.items().count()
                && one.items().zip(other.items()).all(|(x, y)| same(x, y))
        }
        Kind::Plain | Kind::Escaped => one.as_str() == other.as_str(),
        Kind::Null | Kind::Bool | Kind::Number => one.raw() == other.raw(),
    }
}

/// The configuration, as it is written and as it is rendered for the filter: good, or every mistake with a path and a text.
pub(crate) fn config(bytes: &[u8]) {
    let read = [std::str::from_utf8(bytes).ok().map(config::parse_yaml), Some(config::parse_json(bytes))];
    for outcome in read.into_iter().flatten() {
        match outcome {
            Ok(config) => assert!(config.limits.body_bytes > 0 && config.routing.attempts > 0),
            Err(problems) => {
                assert!(!problems.is_empty() && !problems.to_string().trim().is_empty(), "no mistake is named");
            }
        }
    }
}

/// Whatever Envoy says, the page holds lines that a scraper can read.
pub(crate) fn metrics(bytes: &[u8]) {
    for others in [Others::Dropped, Others::Kept] {
        let page = String::from_utf8(page(bytes, others, &[])).expect("a page is UTF-8");
        assert!(page.is_empty() || page.ends_with('\n'), "a line without an end");
    }
}
