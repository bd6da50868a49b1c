//! Amazon Bedrock's Converse and ConverseStream, as the service model of 2023-09-30 has them: one format for the models
//! of all who offer theirs there.
//!
//! Out: [`draft`] reads the client's request into what Bedrock can say, and finds on the way what it cannot; so
//! [`Format::accepts`] and [`Format::render`] are one reading and cannot disagree. System and developer messages are
//! hoisted to `system`; neighbours of one role share a turn; all results of tools stand first in the user's turn after
//! the calls. What only some models know, such as how hard to think, goes into `additionalModelRequestFields` in the
//! words of whose model it is ([`models`]). Back: [`reply`] and [`stream`], whose events come in [Amazon's
//! frames](super::event_stream). Which model, and whether it streams, stands in the path; an answer has no id, so it gets
//! that of the request.
//!
//! Refused, because dropping it would change what the client gets: more than one choice, log probabilities, logit bias,
//! penalties, a temperature above 1, a stop sequence of white space, audio, file ids, pictures from the web (the API does
//! not fetch them) and of types that it does not read, tools that are no functions, one call at a time
//! (`parallel_tool_calls: false`), calls in the history without their tools or with `tool_choice: none` (Bedrock wants
//! the tools to be there, and then may call them), the legacy functions, web search, blocking moderation, and JSON without
//! a schema. Whether a model knows tools, pictures or schemas, Bedrock says itself.
//!
//! Left out, because the answer is the same without it, and named to the client ([`dropped`]): `seed`, `user`,
//! `safety_identifier`, `metadata`, `store`, `prompt_cache_key`, `prediction`, `verbosity`, the detail of an image, the
//! name of a message, and every field that OpenAI does not define. Of Anthropic's, `thinking`, `top_k`, `cache_control`
//! (which becomes a `cachePoint`) and `thinking_blocks` pass.

mod accepts;
mod conversation;
mod draft;
mod dropped;
mod models;
mod parts;
mod reply;
mod stream;
mod tools;

use super::path::percent_encoded;
use super::{Asked, Body, Call, Credential, Fault, Format, Home, Outgoing, Stream, Unsupported, Whole};
use crate::chat::Request;
use crate::chat::request::Delivery;
use draft::Draft;
use dropped::Effort;
use models::Family;

/// `kind: bedrock`
pub struct Bedrock;

impl Format for Bedrock {
    fn kind(&self) -> &'static str {
        "bedrock"
    }

    fn prices(&self) -> &'static str {
        "aws-bedrock"
    }

    fn provider(&self) -> &'static str {
        "aws.bedrock"
    }

    fn home(&self) -> Home {
        Home::Regional("https://bedrock-runtime.", ".amazonaws.com")
    }

    /// Of a Bedrock API key. Requests of a vendor without one are signed, which is Envoy's work.
    fn credential(&self) -> Credential {
        Credential { header: "authorization", prefix: "Bearer " }
    }

    fn accepts(&self, request: &Request) -> Result<(), Unsupported> {
        Draft::read(request).map(drop)
    }

    /// A request that was not accepted gets an empty body, which Bedrock refuses.
    fn render(&self, call: &Call<'_>) -> Outgoing {
        let body = Draft::read(call.request).map(|draft| draft.render(call.model)).unwrap_or_default();
        Outgoing { path: path(call), headers: &[], body: Body::Whole(body) }
    }

    fn dropped(&self, call: &Call<'_>) -> Vec<String> {
        // Only how hard to think depends on everything else.
        let effort = match call.request.root().given("reasoning_effort").map(|_| Draft::read(call.request)) {
            Some(Ok(draft)) if !draft.advises(call.model) => Effort::LeftOut,
            _ => Effort::Told,
        };
        dropped::list(call.request, Family::of(call.model), effort)
    }

    fn reply<'b>(&self, body: &'b [u8], asked: &Asked) -> Result<Whole<'b>, Fault> {
        reply::read(body, asked)
    }

    fn stream(&self, asked: Asked) -> Box<dyn Stream> {
        Box::new(stream::Translation::new(asked))
    }
}

/// A model's id may have colons, and that of an inference profile, an ARN, slashes: all one segment of the path.
fn path(call: &Call<'_>) -> String {
    let verb = match call.request.delivery() {
        Delivery::Whole => "/converse",
        Delivery::Stream { .. } => "/converse-stream",
    };
    [call.base, "/model/", &percent_encoded(call.model), verb].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test;
    use crate::vendor::StreamUsage;

    #[test]
    fn the_path_names_model_and_verb() {
        let profile = "arn:aws:bedrock:eu-central-1:123456789012:inference-profile/eu.amazon.nova-lite-v1:0";
        let escaped =
            "/arn%3Aaws%3Abedrock%3Aeu-central-1%3A123456789012%3Ainference-profile%2Feu.amazon.nova-lite-v1%3A0";
        for (base, model, tail, expected) in [
            ("", "amazon.nova-pro-v1:0", "", "/model/amazon.nova-pro-v1%3A0/converse".to_owned()),
            ("/proxy", "m", r#","stream":true"#, "/proxy/model/m/converse-stream".to_owned()),
            ("", profile, "", format!("/model{escaped}/converse")),
            ("", "../x?y", "", "/model/..%2Fx%3Fy/converse".to_owned()),
        ] {
            let text = format!(r#"{{"model":"x","messages":[{{"role":"user","content":"x"}}]{tail}}}"#);
            let request = Request::parse(text.into_bytes()).unwrap();
            let call =
                Call { request: &request, model, base, api_version: None, stream_usage: StreamUsage::AsReceived };
            assert_eq!(path(&call), expected);
        }
    }
}
