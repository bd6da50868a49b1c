//! The built-in vendor: OpenAI's format, answered by Weir's own `echo` role inside the same Envoy. No key, no network.

use super::openai::OPENAI;
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
        OPENAI.credential()
    }

    fn offers(&self, task: Task) -> bool {
        OPENAI.offers(task)
    }

    fn accepts(&self, request: &Request) -> Result<(), Unsupported> {
        OPENAI.accepts(request)
    }

    fn render(&self, call: &Call<'_>) -> Outgoing {
        OPENAI.render(call)
    }

    fn reply<'b>(&self, body: &'b [u8], asked: &Asked) -> Result<Whole<'b>, Fault> {
        OPENAI.reply(body, asked)
    }

    fn stream(&self, asked: Asked) -> Box<dyn Stream> {
        OPENAI.stream(asked)
    }
}
