//! Azure OpenAI, the classic surface: OpenAI's format, except that the deployment stands in the path.

use std::borrow::Cow;

use super::openai::OpenAi;
use super::{Asked, Body, Call, Credential, Fault, Format, Outgoing, Stream, Unsupported};
use crate::chat::Request;

/// `kind: azure`
pub struct Azure;

impl Format for Azure {
    fn kind(&self) -> &'static str {
        "azure"
    }

    fn credential(&self) -> Credential {
        Credential { header: "api-key", prefix: "" }
    }

    fn accepts(&self, request: &Request) -> Result<(), Unsupported> {
        OpenAi.accepts(request)
    }

    /// The body's own `model` is ignored by Azure, so it stays as the client wrote it.
    fn render(&self, call: &Call<'_>) -> Outgoing {
        let deployment = percent_encoded(call.model);
        let version = percent_encoded(call.api_version.unwrap_or(API_VERSION));
        let path =
            [call.base, "/openai/deployments/", &deployment, "/chat/completions?api-version=", &version].concat();
        Outgoing { path, headers: &[], body: Body::AsReceived }
    }

    fn reply<'b>(&self, body: &'b [u8], asked: &Asked) -> Result<Cow<'b, [u8]>, Fault> {
        OpenAi.reply(body, asked)
    }

    fn stream(&self, asked: Asked) -> Box<dyn Stream> {
        OpenAi.stream(asked)
    }
}

/// The newest generally available version of the classic surface.
const API_VERSION: &str = "2024-10-21";

/// Deployment names are free-form; everything but RFC 3986's unreserved characters is escaped.
fn percent_encoded(text: &str) -> String {
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|b| if unreserved(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test;

    #[test]
    fn puts_the_deployment_into_the_path() {
        let body = br#"{"model":"gpt-4","messages":[{"role":"user","content":"x"}]}"#.to_vec();
        let request = Request::parse(body).unwrap();
        let call = Call { request: &request, model: "my gpt/4", base: "", api_version: Some("2025-04-01-preview") };
        let outgoing = Azure.render(&call);
        assert_eq!(outgoing.path, "/openai/deployments/my%20gpt%2F4/chat/completions?api-version=2025-04-01-preview");
        assert_eq!(outgoing.body, Body::AsReceived);
    }
}
