//! Placeholder.
use super::{Asked, Body, Call, Credential, Fault, Format, Outgoing, Stream, Unsupported};
use crate::chat::Request;
use std::borrow::Cow;
/// `kind: anthropic`
pub struct Anthropic;
impl Format for Anthropic {
    fn kind(&self) -> &'static str {
        "anthropic"
    }
    fn credential(&self) -> Credential {
        Credential { header: "x-api-key", prefix: "" }
    }
    fn accepts(&self, _: &Request) -> Result<(), Unsupported> {
        Ok(())
    }
    fn render(&self, call: &Call<'_>) -> Outgoing {
        Outgoing {
            path: [call.base, "/messages"].concat(),
            headers: &[("anthropic-version", "2023-06-01")],
            body: Body::AsReceived,
        }
    }
    fn reply<'b>(&self, body: &'b [u8], _: &Asked) -> Result<Cow<'b, [u8]>, Fault> {
        Ok(Cow::Borrowed(body))
    }
    fn stream(&self, asked: Asked) -> Box<dyn Stream> {
        super::openai::OpenAi.stream(asked)
    }
}
