//! The headers of a request on its way to a vendor, and what the client is told of what is not in it.

use crate::config::Endpoint;
use crate::flow::{Head, Headers};
use crate::vendor::Outgoing;

/// Paths in one line, as many as it has room for. Names are the client's own, so those that are no plain words are left
/// out.
pub(super) fn listed(paths: &[String]) -> String {
    /// A header that no proxy minds.
    const MOST: usize = 1000;
    let plain = |path: &String| path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.[]".contains(&byte));
    let mut list = String::new();
    for path in paths.iter().filter(|path| !path.is_empty() && plain(path)) {
        if list.len() + path.len() >= MOST {
            break;
        }
        if !list.is_empty() {
            list.push(',');
        }
        list.push_str(path);
    }
    list
}

/// All that a vendor gets to see besides its credential: nothing of the client's but the body and the request's number.
pub(super) fn request_headers(
    outgoing: &Outgoing,
    endpoint: Option<&Endpoint>,
    received: usize,
    head: &Head,
) -> Headers {
    let mut headers: Headers = vec![
        (":method", "POST".into()),
        (":scheme", if endpoint.is_some_and(|e| e.tls) { "https" } else { "http" }.into()),
        (":authority", endpoint.map_or("echo".into(), |endpoint| endpoint.authority().into())),
        (":path", outgoing.path.clone().into()),
        ("content-type", "application/json".into()),
        ("content-length", outgoing.body.length(received).to_string().into()),
        ("accept", "application/json, text/event-stream".into()),
        ("accept-encoding", "identity".into()),
        ("user-agent", concat!("weir/", env!("CARGO_PKG_VERSION")).into()),
    ];
    headers.extend(outgoing.headers.iter().map(|(name, value)| (*name, (*value).into())));
    // Envoy reads it back from here when it writes the client's response.
    headers.extend(head.text("x-request-id").map(|id| ("x-request-id", id.to_owned().into())));
    headers
}
