//! What a vendor's headers say, and what of them a client gets to see.

use std::time::Duration;

use crate::flow::{Effect, Head, content};
use crate::vendor::Framing;
use crate::vendor::delay;

/// The vendor's headers.
#[derive(Debug)]
pub struct Received {
    pub(super) status: u16,
    pub(super) head: Head,
}

impl Received {
    pub(super) fn good(&self) -> bool {
        (200..300).contains(&self.status)
    }

    pub(super) fn bound(&self) -> usize {
        if self.good() { MAX_REPLY } else { MAX_ERROR }
    }

    pub(super) fn encoded(&self) -> bool {
        self.head.text("content-encoding").is_some_and(|coding| !coding.eq_ignore_ascii_case("identity"))
    }

    pub(super) fn streams(&self, framing: Framing) -> bool {
        self.head.text("content-type").is_some_and(|kind| kind.trim_start().starts_with(framing.content_type()))
    }

    /// The vendor's number of the request, for a question to its support.
    pub(super) fn number(&self) -> Option<String> {
        let number = ["x-request-id", "request-id", "x-amzn-requestid"].iter().find_map(|name| self.head.text(name));
        number.map(|number| number.chars().take(128).collect())
    }

    /// Amazon's word for an error, which stands in a header; behind a colon there may be a url of its description.
    pub(super) fn error_type(&self) -> String {
        let word = self.head.text("x-amzn-errortype").and_then(|text| text.split(':').next());
        word.unwrap_or_default().trim().chars().take(128).collect()
    }

    /// How long the vendor asks to wait.
    pub(super) fn retry_after(&self, now: Duration) -> Option<Duration> {
        let text = |name| self.head.text(name);
        let headers =
            delay::Headers { milliseconds: text("retry-after-ms"), after: text("retry-after"), date: text("date") };
        delay::from_headers(&headers, now)
    }

    /// The headers of an answer of this kind, instead of the vendor's own. Of those only the number of the request
    /// stays.
    pub(super) fn exchanged(&self, kind: &'static str, length: Option<usize>) -> Vec<Effect> {
        let mut headers = content(kind);
        headers.push((":status", "200".into()));
        headers.extend(length.map(|length| ("content-length", length.to_string().into())));
        headers.extend(self.number().map(|number| ("x-upstream-request-id", number.into())));
        self.head.exchange(headers, Effect::ResponseHeader)
    }
}

/// The largest whole reply that is read; image answers and long tool calls stay far below.
pub const MAX_REPLY: usize = 32 << 20;

/// The largest error body that is read.
const MAX_ERROR: usize = 64 << 10;
