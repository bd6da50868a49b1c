//! The other language that clients speak: Anthropic's Messages, API version 2023-06-01.
//!
//! What the roles say to each other stays OpenAI's format. A request in Anthropic's becomes a canonical body
//! ([`request`]), and what comes back, whole ([`reply`]) or as a stream ([`stream`]), is told in Anthropic's words. So
//! keys of kept answers, limits and vendors see no difference between the two languages, and an answer that is kept for
//! one is an answer in the other. Source of the shapes: the types of Anthropic's own Python SDK.

pub mod reply;
pub mod request;
pub mod stream;
mod turns;

use std::borrow::Cow;

use crate::chat::{Native, Origin, Usage};
use crate::json::Writer;
use stream::Telling;

/// How a stream is told to its client.
#[derive(Debug)]
pub enum Tongue {
    /// As it is.
    OpenAi,
    /// As the events of a message.
    Messages(Box<Telling>),
}

impl Tongue {
    /// That of a client who asked in these words.
    pub fn of(origin: Origin) -> Tongue {
        match origin {
            Origin::AsSent => Tongue::OpenAi,
            Origin::Messages => Tongue::Messages(Box::default()),
        }
    }

    /// The next bytes of the stream, `end` if they are the last.
    pub fn tell(&mut self, bytes: Vec<u8>, end: bool) -> Vec<u8> {
        let Tongue::Messages(telling) = self else { return bytes };
        let mut out = Vec::with_capacity(bytes.len());
        telling.feed(&bytes, &mut out);
        if end {
            telling.end(&mut out);
        }
        out
    }
}

/// A whole answer for a client who asked in these words. `None` if they have none for it.
pub fn whole(origin: Origin, answer: Cow<'_, [u8]>) -> Option<Cow<'_, [u8]>> {
    match origin {
        Origin::AsSent => Some(answer),
        Origin::Messages => reply::message(&answer).map(Cow::Owned),
    }
}

/// Writes the members `stop_reason` and `stop_sequence`: the vendor's own words, or Anthropic's for OpenAI's.
fn render_stop(finish: &str, native: &Native, w: &mut Writer) {
    let told = match finish {
        "length" => "max_tokens",
        "tool_calls" | "function_call" => "tool_use",
        "content_filter" => "refusal",
        _ => "end_turn",
    };
    w.key("stop_reason").string(native.reason.unwrap_or(told));
    w.key("stop_sequence").string_or_null(native.sequence.as_deref());
}

/// Writes the member `usage`. Anthropic's input leaves out what the prompt cache read or took.
fn render_usage(usage: &Usage, w: &mut Writer) {
    w.key("usage").object(|w| {
        let beside = usage.cached.saturating_add(usage.cache_write);
        w.key("input_tokens").number(usage.prompt.saturating_sub(beside));
        w.key("cache_creation_input_tokens").number(usage.cache_write);
        w.key("cache_read_input_tokens").number(usage.cached);
        w.key("output_tokens").number(usage.completion);
    });
}

/// The id of a message; clients expect this beginning.
fn message_id(id: &str) -> String {
    if id.starts_with("msg_") { id.to_owned() } else { ["msg_", id].concat() }
}
