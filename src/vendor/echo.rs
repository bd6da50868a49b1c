//! The built-in vendor: OpenAI's format, answered by Weir's own `echo` role inside the same Envoy. No key, no network.

use super::openai::OpenAi;
use super::{Asked, Call, Credential, Fault, Format, Outgoing, Stream, Unsupported, Whole};
use crate::chat::{Request, Task};

/// `kind: echo`
pub struct Echo;

impl Format for Echo {
    fn kind(&self) -> &'static str {
        "echo"
    }

    /// Never sent: the echo vendor takes no credential.
    fn credential(&self) -> Credential {
        OpenAi.credential()
    }

    fn offers(&self, task: Task) -> bool {
        OpenAi.offers(task)
    }

    fn accepts(&self, request: &Request) -> Result<(), Unsupported> {
        OpenAi.accepts(request)
    }

    fn render(&self, call: &Call<'_>) -> Outgoing {
        OpenAi.render(call)
    }

    fn reply<'b>(&self, body: &'b [u8], asked: &Asked) -> Result<Whole<'b>, Fault> {
        OpenAi.reply(body, asked)
    }

    fn stream(&self, asked: Asked) -> Box<dyn Stream> {
        OpenAi.stream(asked)
    }
}
