//! Anthropic Messages, API version 2023-06-01.
//!
//! Out: [`draft`] reads the client's request into what Anthropic can say, and finds on the way what it cannot; so
//! [`Format::accepts`] and [`Format::render`] are one reading and cannot disagree. System and developer messages are
//! hoisted to `system`, one block per message; neighbours of one role become one turn; tool results stand first in the
//! user turn after the calls. What is unchanged is copied as the client spelled it. Back: [`reply`] and [`stream`].
//!
//! Refused, because dropping it would change what the client gets: more than one choice, log probabilities, logit bias,
//! penalties, a temperature above 1, a stop sequence of white space, audio, file ids, images other than JPEG, PNG, GIF
//! and WebP, tools that are no functions, the legacy functions, web search, blocking moderation, and a `response_format`
//! whose schema is not that of an object.
//!
//! Left out, because the answer is the same without it, and named to the client ([`dropped`]): `seed` (best effort by its
//! own contract), `user`, `safety_identifier`, `metadata`, `store`, `prompt_cache_key`, `prediction`, `verbosity`, the
//! detail of an image, the name of a message; and every field that OpenAI does not define, as Anthropic refuses what it
//! does not know. Its own `top_k`, `thinking` and `cache_control` pass, and so do `thinking_blocks` in an assistant's
//! message ([`thoughts`]).

mod accepts;
mod conversation;
mod draft;
mod dropped;
pub(super) mod models;
pub(super) mod parts;
mod reply;
mod stream;
mod structured;
pub(super) mod thinking;
pub(super) mod thoughts;
mod tools;

use super::{Asked, Body, Call, Credential, Fault, Format, Outgoing, Stream, Unsupported, Whole};
use crate::chat::Request;
use draft::Draft;
use dropped::Effort;

/// `kind: anthropic`
pub struct Anthropic;

impl Format for Anthropic {
    fn kind(&self) -> &'static str {
        "anthropic"
    }

    fn credential(&self) -> Credential {
        Credential { header: "x-api-key", prefix: "" }
    }

    fn accepts(&self, request: &Request) -> Result<(), Unsupported> {
        Draft::read(request).map(drop)
    }

    /// A request that was not accepted gets an empty body, which Anthropic refuses.
    fn render(&self, call: &Call<'_>) -> Outgoing {
        let body = Draft::read(call.request).map(|draft| draft.render(call.model)).unwrap_or_default();
        Outgoing {
            path: [call.base, "/messages"].concat(),
            headers: &[("anthropic-version", "2023-06-01")],
            body: Body::Whole(body),
        }
    }

    fn dropped(&self, call: &Call<'_>) -> Vec<String> {
        // Only how hard to think depends on everything else.
        let effort = match call.request.root().given("reasoning_effort").map(|_| Draft::read(call.request)) {
            Some(Ok(draft)) if !draft.advises(call.model) => Effort::LeftOut,
            _ => Effort::Told,
        };
        dropped::list(call.request, effort)
    }

    fn reply<'b>(&self, body: &'b [u8], asked: &Asked) -> Result<Whole<'b>, Fault> {
        reply::read(body, asked)
    }

    fn stream(&self, asked: Asked) -> Box<dyn Stream> {
        Box::new(stream::Translation::new(asked))
    }
}
