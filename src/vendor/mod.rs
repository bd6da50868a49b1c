//! Vendors: the wire formats that Weir translates to and from.
//!
//! A [`Format`] is one page: the request out, the reply back, the stream back. Most vendors cut their streams into
//! server-sent events, one does not ([`Framing`]). Errors need no page of their own, all
//! formats share the table in [`failure`]. A vendor that speaks OpenAI's format, more or less, is no page but a row of
//! data, a [`Compatible`](openai::Compatible). [`FORMATS`] is the only list of them all; `weir.yaml`, the documentation
//! and the conformance tests read it. Translation always starts from the client's own request, because it runs again on every
//! attempt, and a format knows nothing of the others.

mod anthropic;
mod azure;
mod bedrock;
mod call_id;
mod data_url;
pub mod delay;
mod echo;
mod edits;
pub mod event_stream;
pub mod failure;
mod formats;
mod gemini;
pub mod openai;
mod path;
mod pictures;
pub mod relay;

use std::borrow::Cow;
use std::fmt;

use crate::chat::answer::Answer;
use crate::chat::request::Delivery;
use crate::chat::{Request, Tally, Task};
pub use failure::{Failure, Fault, Next};
pub use formats::FORMATS;
pub use relay::Relay;

/// The format of a `kind` in `weir.yaml`.
pub fn format(kind: &str) -> Option<&'static dyn Format> {
    FORMATS.iter().copied().find(|format| format.kind() == kind)
}

/// One vendor's wire format.
pub trait Format: Sync {
    /// The word for it in `weir.yaml`.
    fn kind(&self) -> &'static str;

    /// Whose prices its models have in [the table](crate::account::table): a `vendor` there.
    fn prices(&self) -> &'static str {
        self.kind()
    }

    /// Who answers, in the words of OpenTelemetry's conventions: a value of `gen_ai.provider.name`.
    fn provider(&self) -> &'static str {
        self.kind()
    }

    /// Where its vendor is, unless the configuration says so.
    fn home(&self) -> Home {
        Home::Anywhere
    }

    /// Whether it counts the tokens of a stream only when it is asked to, and can be asked.
    fn asks_for_usage(&self) -> bool {
        false
    }

    /// Which header carries the vendor's credential.
    fn credential(&self) -> Credential;

    /// Whether it has such a task at all.
    fn offers(&self, task: Task) -> bool {
        task == Task::Chat
    }

    /// Whether a request can be expressed without changing what the client asked for; else the field that cannot. Only
    /// called for a task that it [offers](Format::offers).
    fn accepts(&self, request: &Request) -> Result<(), Unsupported>;

    /// Whether this model of the vendor can do what a request asks for that others of its models can; else the field that
    /// says so. Only called for a request that it [accepts](Format::accepts).
    fn suits(&self, _: &Request, _model: &str) -> Result<(), Unsupported> {
        Ok(())
    }

    /// The request as the vendor wants it. Only called for a request that [`Format::accepts`].
    fn render(&self, call: &Call<'_>) -> Outgoing;

    /// What the vendor is not told, because the answer is the same without it, as paths such as `seed` or
    /// `messages[0].name`. The client reads them in a header, which names as many as it has room for.
    fn dropped(&self, _: &Call<'_>) -> Vec<String> {
        Vec::new()
    }

    /// A whole successful reply.
    fn reply<'b>(&self, body: &'b [u8], asked: &Asked) -> Result<Whole<'b>, Fault>;

    /// A whole successful reply to a request for embeddings. Where that is not OpenAI's already, the request says how the
    /// vectors are to be encoded.
    fn vectors<'b>(&self, body: &'b [u8], asked: &Asked, _: &Wanted<'_>) -> Result<Whole<'b>, Fault> {
        self.reply(body, asked)
    }

    /// The translation of a stream.
    fn stream(&self, asked: Asked) -> Box<dyn Stream>;
}

impl fmt::Debug for dyn Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())
    }
}

/// The translation of one stream: a vendor's events in, OpenAI's events out, appended to `out`.
///
/// After an error neither method is called again.
pub trait Stream {
    /// How the vendor cuts it into events.
    fn framing(&self) -> Framing {
        Framing::Events
    }

    /// One event. `name` is empty where the vendor names none.
    fn event(&mut self, name: &str, data: &str, out: &mut Vec<u8>) -> Result<(), Fault>;

    /// The vendor ended its stream: finishes the answer, or says that it is not whole.
    fn end(&mut self, out: &mut Vec<u8>) -> Result<(), Fault>;

    /// The tokens of what has come so far.
    fn tally(&self) -> Tally;

    /// Whether something of the answer itself has come, or its end. Until then the client gets nothing, and an error is
    /// no more than a failed attempt.
    fn spoke(&self) -> bool {
        self.tally().written > 0
    }
}

/// How a stream is cut into events, in either case each with a name and a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// Server-sent events.
    Events,
    /// [Amazon's frames](event_stream).
    Frames,
}

impl Framing {
    /// What the vendor calls such a stream in its `content-type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Framing::Events => "text/event-stream",
            Framing::Frames => "application/vnd.amazon.eventstream",
        }
    }
}

/// A whole reply, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whole<'b> {
    /// The body in OpenAI's format; borrowed when it is so already.
    pub body: Cow<'b, [u8]>,
    /// Its tokens.
    pub tally: Tally,
}

impl From<Answer> for Whole<'_> {
    fn from(answer: Answer) -> Self {
        Whole { body: Cow::Owned(answer.render()), tally: answer.tally() }
    }
}

/// Where a vendor is, if its configuration does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Home {
    /// It must say.
    Anywhere,
    /// At this url, where nobody is answered without a credential.
    Hosted(&'static str),
    /// In each of its regions, where nobody is answered without a credential: what stands before and behind the
    /// region's name.
    Regional(&'static str, &'static str),
    /// On the same machine, at the usual url, where everybody is.
    Local(&'static str),
}

impl Home {
    /// The url, where there is only one.
    pub fn url(self) -> Option<&'static str> {
        match self {
            Home::Anywhere | Home::Regional(..) => None,
            Home::Hosted(url) | Home::Local(url) => Some(url),
        }
    }

    /// The url in a region, where there is one in each.
    pub fn in_region(self, region: &str) -> Option<String> {
        match self {
            Home::Regional(before, behind) => Some([before, region, behind].concat()),
            Home::Anywhere | Home::Hosted(_) | Home::Local(_) => None,
        }
    }
}

/// Where a vendor's credential goes: `header: <prefix><secret>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Credential {
    /// The header's name, in lower case.
    pub header: &'static str,
    /// What stands before the secret, for example `Bearer `.
    pub prefix: &'static str,
}

/// The field of a request that a vendor has no counterpart for, as a path such as `messages[1].content[0]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsupported {
    /// The path.
    pub param: String,
}

impl Unsupported {
    /// The refusal for this field.
    pub fn new(param: impl Into<String>) -> Unsupported {
        Unsupported { param: param.into() }
    }
}

/// A request and where it goes.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// The client's request.
    pub request: &'a Request,
    /// The model's name at this vendor.
    pub model: &'a str,
    /// The path of the vendor's `url`, without a slash at its end: `/v1` or empty.
    pub base: &'a str,
    /// The vendor's `api_version`, where it has one.
    pub api_version: Option<&'a str>,
    /// Whether it is asked to count the tokens of a stream.
    pub stream_usage: StreamUsage,
}

/// Whether a vendor is asked to count the tokens of a stream whose client did not ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamUsage {
    /// It is, where its format has a word for that.
    Asked,
    /// It gets the client's own words.
    AsReceived,
}

/// A request in the vendor's format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// The path with its query.
    pub path: String,
    /// Headers beyond content-type and credential.
    pub headers: &'static [(&'static str, &'static str)],
    /// The body.
    pub body: Body,
}

/// A body, relative to the one that the client sent and Envoy holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// The client's own.
    AsReceived,
    /// The client's own with its first `replaced` bytes exchanged for `with`.
    Prefix {
        /// How many bytes go.
        replaced: usize,
        /// What comes in their place.
        with: Vec<u8>,
    },
    /// Another.
    Whole(Vec<u8>),
}

impl Body {
    /// The length of the body that the vendor gets, if the client's has `received` bytes.
    pub fn length(&self, received: usize) -> usize {
        match self {
            Body::AsReceived => received,
            Body::Prefix { replaced, with } => received.saturating_sub(*replaced) + with.len(),
            Body::Whole(body) => body.len(),
        }
    }

    /// The body that the vendor gets.
    pub fn apply<'b>(&'b self, received: &'b [u8]) -> Cow<'b, [u8]> {
        match self {
            Body::AsReceived => Cow::Borrowed(received),
            Body::Prefix { replaced, with } => {
                Cow::Owned([with, received.get(*replaced..).unwrap_or_default()].concat())
            }
            Body::Whole(body) => Cow::Borrowed(body),
        }
    }
}

/// What a reply is translated for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// What the request wants.
    pub task: Task,
    /// The model's name at the vendor, for replies that do not name it.
    pub model: String,
    /// The vendor's number of the request, for replies that have no id of their own; empty where it gives none.
    pub id: String,
    /// Unix time in seconds, for replies that carry none.
    pub created: u64,
    /// How the client wants its answer.
    pub delivery: Delivery,
}

/// A request for embeddings, for whoever has to make OpenAI's answer of a vendor's.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'r> {
    /// The client's request.
    pub request: &'r Request,
    /// How many tokens its inputs have, estimated: for vendors that do not count.
    pub tokens: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test;

    #[test]
    fn every_kind_has_its_own_name() {
        for (i, format) in FORMATS.iter().enumerate() {
            assert_eq!(FORMATS.iter().position(|other| other.kind() == format.kind()), Some(i));
        }
        assert_eq!(format("azure").map(Format::kind), Some("azure"));
        assert!(format("unknown").is_none());
    }

    #[test]
    fn a_body_knows_its_length() {
        for body in [
            Body::AsReceived,
            Body::Prefix { replaced: 4, with: b"longer than four".to_vec() },
            Body::Whole(b"other".to_vec()),
        ] {
            assert_eq!(body.length(10), body.apply(b"0123456789").len());
        }
    }
}
