//! Requests of clients.

use std::time::Duration;

use weir::cache::{Normal, key};
use weir::chat::{Request, Task};
use weir::flow::batch::Batch;
use weir::json::Doc;
use weir::refusal::{Refusal, Surface};
use weir::vendor::{Call, FORMATS, StreamUsage};

/// A chat request.
pub(crate) fn chat(bytes: &[u8]) {
    of(Task::Chat, bytes);
}

/// A request for embeddings.
pub(crate) fn embeddings(bytes: &[u8]) {
    of(Task::Embeddings, bytes);
}

/// A request that is accepted is JSON in the words of every vendor that can express it.
fn of(task: Task, bytes: &[u8]) {
    let request = match Request::read(task, bytes.to_vec()) {
        Ok(request) => request,
        Err(refusal) => return refused(&refusal),
    };
    assert_eq!(request.body(), bytes, "the body is kept as it came");
    rendered(&request);
}

/// The same request in all those words.
pub(crate) fn rendered(request: &Request) {
    let (bytes, task, normal) = (request.body(), request.task(), Normal::default());
    assert_eq!(key("key:a", "m", request, normal), key("key:a", "m", request, normal));
    for format in FORMATS.iter().filter(|format| format.offers(task) && format.accepts(request).is_ok()) {
        for (model, stream_usage) in [("m", StreamUsage::AsReceived), (LONG, StreamUsage::Asked)] {
            let call = Call { request, model, base: "/v1", api_version: None, stream_usage };
            let outgoing = format.render(&call);
            let path = outgoing.path.as_bytes();
            assert!(path.starts_with(b"/") && path.iter().all(u8::is_ascii_graphic), "a path {:?}", outgoing.path);
            let body = outgoing.body.apply(bytes);
            assert_eq!(outgoing.body.length(bytes.len()), body.len());
            Doc::parse(body.to_vec()).unwrap_or_else(|e| panic!("{} gets no JSON: {e}", format.kind()));
            let most = bytes.len() / 2 + 3;
            assert!(format.dropped(&call).len() <= most, "{} drops more than there is", format.kind());
        }
    }
}

/// A name that has to be written in other ways in a path and in JSON.
const LONG: &str = "gemini-3-pro \"x\"/\u{e9}";

/// A batch.
pub(crate) fn batch(bytes: &[u8]) {
    if let Err(refusal) = Batch::read(bytes.to_vec(), Duration::MAX, 4) {
        refused(&refusal);
    }
}

/// A refusal says what the client did wrong, in every shape.
pub(crate) fn refused(refusal: &Refusal) {
    assert!((400..500).contains(&refusal.status), "a client's mistake is a {}", refusal.status);
    assert!(!refusal.message.is_empty());
    for path in ["/v1/chat/completions", "/api/chat/completions", "/v1/messages"] {
        Doc::parse(refusal.body(Surface::of(path), "")).expect("a refusal is JSON");
    }
}
