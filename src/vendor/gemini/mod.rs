//! Gemini's generateContent and, for vectors, batchEmbedContents ([`embeddings`]), API version v1beta, as Google's AI
//! Studio serves it.
//!
//! Out: [`draft`] reads the client's request into what Gemini can say, and finds on the way what it cannot; so
//! [`Format::accepts`] and [`Format::render`] are one reading and cannot disagree. System and developer messages
//! become `systemInstruction`; neighbours of one role share a turn; the result of a tool names the function, which is
//! looked up by the id of the call. Back: [`reply`] and [`stream`]. Gemini rarely gives its calls ids, so
//! [`call_id`](super::call_id) makes them, and hides in them the signature of the model's thoughts, which newer models
//! want back with the call.
//!
//! Refused, because dropping it would change what the client gets: more than 8 choices or 5 stop sequences, a seed
//! beyond 32 bits, logit bias, output other than text, file ids, pictures from the web (the API does not fetch them)
//! and of types that it does not read, tools that are no functions, one call at a time (`parallel_tool_calls: false`),
//! the legacy functions, web search, blocking moderation, and no thinking (`reasoning_effort: none`) of a model that cannot
//! but think.
//!
//! Left out silently, because the answer is the same without it: `user`, `safety_identifier`, `metadata`, `store`,
//! `service_tier`, `prompt_cache_key`, `prediction`, `verbosity`, the detail of an image, the name of a message,
//! `strict` of a tool; and every field that OpenAI does not define. Gemini's own `top_k` passes.

mod accepts;
mod conversation;
mod draft;
mod embeddings;
mod models;
mod parts;
mod reply;
mod schema;
mod stream;
mod thinking;
mod tools;

use std::borrow::Cow;

use super::path::percent_encoded;
use super::{Asked, Body, Call, Credential, Fault, Format, Home, Outgoing, Stream, Unsupported, Wanted, Whole};
use crate::chat::request::Delivery;
use crate::chat::{Request, Task};
use draft::Draft;
use models::Model;

/// `kind: gemini`
pub struct Gemini;

impl Format for Gemini {
    fn kind(&self) -> &'static str {
        "gemini"
    }

    fn prices(&self) -> &'static str {
        "google"
    }

    fn provider(&self) -> &'static str {
        "gcp.gemini"
    }

    fn home(&self) -> Home {
        Home::Hosted("https://generativelanguage.googleapis.com/v1beta")
    }

    fn credential(&self) -> Credential {
        Credential { header: "x-goog-api-key", prefix: "" }
    }

    fn offers(&self, task: Task) -> bool {
        matches!(task, Task::Chat | Task::Embeddings)
    }

    fn accepts(&self, request: &Request) -> Result<(), Unsupported> {
        match request.task() {
            Task::Chat => Draft::read(request).map(drop),
            Task::Embeddings => embeddings::check(request),
        }
    }

    fn suits(&self, request: &Request, model: &str) -> Result<(), Unsupported> {
        thinking::check(request.root(), Model::named(model).thinking)
    }

    /// A request that was not accepted gets an empty body, which Gemini refuses.
    fn render(&self, call: &Call<'_>) -> Outgoing {
        let body = match call.request.task() {
            Task::Chat => Draft::read(call.request).map(|draft| draft.render(call.model)).unwrap_or_default(),
            Task::Embeddings => embeddings::render(call.request, &placed(call.model)),
        };
        Outgoing { path: path(call), headers: &[], body: Body::Whole(body) }
    }

    fn reply<'b>(&self, body: &'b [u8], asked: &Asked) -> Result<Whole<'b>, Fault> {
        reply::read(body, asked)
    }

    fn vectors<'b>(&self, body: &'b [u8], asked: &Asked, wanted: &Wanted<'_>) -> Result<Whole<'b>, Fault> {
        embeddings::read(body, asked, wanted)
    }

    fn stream(&self, asked: Asked) -> Box<dyn Stream> {
        Box::new(stream::Translation::new(asked))
    }
}

/// Without `alt=sse` a stream would be one JSON array.
fn path(call: &Call<'_>) -> String {
    let base = if call.base.is_empty() { "/v1beta" } else { call.base };
    let model = placed(call.model).split('/').map(percent_encoded).collect::<Vec<_>>().join("/");
    let verb = match (call.request.task(), call.request.delivery()) {
        (Task::Embeddings, _) => ":batchEmbedContents",
        (Task::Chat, Delivery::Whole) => ":generateContent",
        (Task::Chat, Delivery::Stream { .. }) => ":streamGenerateContent?alt=sse",
    };
    [base, "/", &model, verb].concat()
}

/// The model and where it stands, which a name with a slash, `tunedModels/mine`, says itself.
fn placed(model: &str) -> Cow<'_, str> {
    if model.contains('/') { model.into() } else { ["models/", model].concat().into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test;
    use crate::vendor::StreamUsage;

    #[test]
    fn the_path_names_model_and_verb() {
        for (base, model, tail, expected) in [
            ("", "gemini-2.5-flash", "", "/v1beta/models/gemini-2.5-flash:generateContent"),
            ("/v1", "m", r#","stream":true"#, "/v1/models/m:streamGenerateContent?alt=sse"),
            ("/v1", "tunedModels/a b", "", "/v1/tunedModels/a%20b:generateContent"),
            ("/v1", "m?x:y", "", "/v1/models/m%3Fx%3Ay:generateContent"),
        ] {
            let text = format!(r#"{{"model":"x","messages":[{{"role":"user","content":"x"}}]{tail}}}"#);
            let request = Request::parse(text.into_bytes()).unwrap();
            let call =
                Call { request: &request, model, base, api_version: None, stream_usage: StreamUsage::AsReceived };
            assert_eq!(path(&call), expected);
        }
    }
}
