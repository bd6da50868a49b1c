//! Calls: HTTP requests that a stream makes of its own, while its client waits.

use std::time::Duration;

use crate::flow::Text;

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

/// What came of a call, if anything did: `None` if it could not be made, or broke off in the midst of its answer. If it
/// is given up before an answer begins, Envoy gives a 504 of its own.
pub type Outcome = Option<Returned>;

/// The answer to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Returned {
    /// The HTTP status.
    pub status: u16,
    /// The whole body.
    pub body: Vec<u8>,
}
