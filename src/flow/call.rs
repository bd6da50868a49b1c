//! Calls: HTTP requests that a stream makes of its own, while its client waits.

use std::time::Duration;

use crate::flow::{Head, Text};

/// The cluster that leads back into this gateway: to a listener without a socket, with the filters of the one where
/// clients connect. What is called there has a key, limits and vendors like every other request.
pub const INNER: &str = "weir_inner";

/// A request of a stream's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The stream's number for it, which comes back with the answer.
    pub number: usize,
    /// The cluster that it goes to.
    pub cluster: &'static str,
    /// The headers, `:method`, `:path` and `:authority` among them.
    pub headers: Vec<(&'static str, Text)>,
    /// The body.
    pub body: Vec<u8>,
    /// After how long it is given up.
    pub timeout: Duration,
}

/// The headers of a call back into this gateway, in the name of the client whose headers these are: who asks, and the
/// client's number of its request with `more` at its end. The key is read when a call is made, and kept nowhere.
pub fn headers(head: &Head, path: &'static str, more: &str) -> Vec<(&'static str, Text)> {
    let mut headers: Vec<(&'static str, Text)> = vec![
        (":method", "POST".into()),
        (":path", path.into()),
        (":authority", head.text(":authority").unwrap_or("weir").to_owned().into()),
        ("content-type", "application/json".into()),
    ];
    // No request shows two keys, so no call does.
    let shown =
        ["x-api-key", "authorization"].iter().filter_map(|name| Some((*name, head.text(name)?.to_owned().into())));
    headers.extend(shown);
    headers.extend(head.text("x-request-id").map(|id| ("x-request-id", [id, "-", more].concat().into())));
    headers
}

/// What came of a call, if anything did: `None` if it could not be made, or broke off in the midst of its answer. If it
/// is given up before an answer begins, Envoy gives a 504 of its own.
pub type Outcome = Option<Returned>;

/// The answer to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Returned {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub head: Head,
    /// The whole body.
    pub body: Vec<u8>,
}
