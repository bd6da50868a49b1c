//! OpenAI's format, which is the one in the middle, and the vendors that speak it more or less.
//!
//! Each of them is a row, a [`Compatible`]: where the vendor is, what it does, and its [repairs](fix) as data. The row
//! of OpenAI itself has none: its requests and answers are relayed, unknown fields pass untouched in both directions.
//! What a row does not name passes in the same way. Only the places that a repair is about are changed, and not a byte
//! else.
//!
//! Three things are rewritten for all: the model's name, where the vendor calls it differently; the ids of tool calls that
//! Weir made longer than OpenAI takes them; and `stream_options`, so
//! that a stream ends with the count of its tokens. The chunk with that count is not passed on to a client that did not
//! ask for it; what a vendor may put into the other chunks then, a `"usage":null`, is: OpenAI's own do that, and clients
//! that read usage at all read it there. A server that refuses `stream_options` is told nothing with `stream_usage:
//! false`; a vendor that counts unasked is never told. And one is taken out: the thoughts of Anthropic's models in a
//! history ([`edits::forget_thoughts`]).

pub mod answer;
pub mod fix;
mod request;
mod stream;

use std::borrow::Cow;

use super::edits::{self, Edits};
use super::failure::Reported;
use super::{Asked, Call, Credential, Fault, Format, Home, Outgoing, Stream, Unsupported, Whole};
use crate::chat::tally::{self, Counted, Tally};
use crate::chat::{Request, Task, Usage, embeddings};
use crate::json::{Doc, Value};
pub use answer::{Answers, Ending, Reasoning};
pub use fix::{Fix, Fixes};
pub use request::{CallIds, Nulls, Requests};

/// A vendor that speaks OpenAI's format.
#[derive(Debug, Clone, Copy)]
pub struct Compatible {
    /// The word for it in `weir.yaml`, and in the table of prices.
    pub kind: &'static str,
    /// The word of OpenTelemetry's conventions for it, where that is another.
    pub provider: Option<&'static str>,
    /// Where it is.
    pub home: Home,
    /// What it can be asked to do.
    pub tasks: &'static [Task],
    /// When it counts the tokens of a stream.
    pub counts: Counts,
    /// What it wants differently in a request.
    pub requests: Requests,
    /// What it says differently in an answer; `None` if it keeps to OpenAI's words.
    pub answers: Option<Answers>,
}

/// When a vendor counts the tokens of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counts {
    /// If `stream_options` asks for it.
    IfAsked,
    /// Always.
    Always,
}

/// `kind: openai`, and the row that all others are but for what they name. It has no home: most servers of other people
/// are of this kind, and a forgotten `url` must not bring their key to OpenAI.
pub const OPENAI: Compatible = Compatible {
    kind: "openai",
    provider: None,
    home: Home::Anywhere,
    tasks: &[Task::Chat, Task::Embeddings],
    counts: Counts::IfAsked,
    requests: Requests::AS_RECEIVED,
    answers: None,
};

impl Format for Compatible {
    fn kind(&self) -> &'static str {
        self.kind
    }

    fn provider(&self) -> &'static str {
        self.provider.unwrap_or(self.kind)
    }

    fn home(&self) -> Home {
        self.home
    }

    fn asks_for_usage(&self) -> bool {
        self.counts == Counts::IfAsked
    }

    fn credential(&self) -> Credential {
        Credential { header: "authorization", prefix: "Bearer " }
    }

    fn offers(&self, task: Task) -> bool {
        self.tasks.contains(&task)
    }

    fn accepts(&self, request: &Request) -> Result<(), Unsupported> {
        self.requests.accept(request)
    }

    fn render(&self, call: &Call<'_>) -> Outgoing {
        let body = request::body(&self.requests, self.counts, call);
        Outgoing { path: [call.base, call.request.task().path()].concat(), headers: &[], body }
    }

    fn dropped(&self, call: &Call<'_>) -> Vec<String> {
        edits::forgotten(call.request)
    }

    fn reply<'b>(&self, body: &'b [u8], asked: &Asked) -> Result<Whole<'b>, Fault> {
        match asked.task {
            Task::Chat => completion(body, self.answers.as_ref()),
            Task::Embeddings => {
                let tally = embeddings::tally(body).ok_or(Fault::Unreadable("a list of embeddings"))?;
                Ok(Whole { body: Cow::Borrowed(body), tally })
            }
        }
    }

    fn stream(&self, asked: Asked) -> Box<dyn Stream> {
        Box::new(stream::Relay::new(asked.delivery, self.answers))
    }
}

/// A successful body, which is a completion: an object with choices.
fn completion<'b>(body: &'b [u8], answers: Option<&Answers>) -> Result<Whole<'b>, Fault> {
    let doc = Doc::parse(body.to_vec()).map_err(|_| COMPLETION)?;
    let told = tally(doc.root())?;
    let Some(answers) = answers else { return Ok(Whole { body: Cow::Borrowed(body), tally: told }) };
    let mut edits = Edits::new(body);
    answers.whole(doc.root(), &mut edits)?;
    let Cow::Owned(body) = edits.applied() else { return Ok(Whole { body: Cow::Borrowed(body), tally: told }) };
    let doc = Doc::parse(body).map_err(|_| COMPLETION)?;
    let tally = tally(doc.root())?;
    Ok(Whole { body: Cow::Owned(doc.into_text().into_bytes()), tally })
}

const COMPLETION: Fault = Fault::Unreadable("a chat completion");

/// The tokens of a completion.
fn tally(root: Value<'_>) -> Result<Tally, Fault> {
    let choices = root.get("choices").filter(|choices| choices.is_array() && !choices.is_empty());
    let Some(choices) = choices else {
        return Err(Reported::instead(root).map_or(COMPLETION, Fault::Reported));
    };
    Ok(match Usage::read(root) {
        Some(usage) => Tally { counted: Counted::All(usage), written: 0 },
        None => Tally { counted: Counted::Nothing, written: written(choices, "message") },
    })
}

/// How many bytes the model wrote in all choices; `member` is what holds the text in each.
fn written(choices: Value<'_>, member: &str) -> u64 {
    choices.items().filter_map(|choice| choice.get(member)).map(tally::written).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test;
    use crate::vendor::StreamUsage;

    fn sent(text: &str, model: &str, stream_usage: StreamUsage) -> String {
        let request = Request::parse(text.as_bytes().to_vec()).unwrap();
        let outgoing = OPENAI.render(&Call { request: &request, model, base: "/v1", api_version: None, stream_usage });
        assert_eq!(outgoing.path, "/v1/chat/completions");
        String::from_utf8(outgoing.body.apply(text.as_bytes()).into_owned()).unwrap()
    }

    #[test]
    fn changes_the_name_of_the_model_and_not_a_byte_else() {
        let text = r#"{ "x": 1e2, "model" : "gpt-4" ,"messages":[{"role":"user","content":"\u00e9"}],"seed":9007199254740993}"#;
        assert_eq!(sent(text, "gpt-4", StreamUsage::Asked), text);
        assert_eq!(sent(text, "my \"gpt\"", StreamUsage::Asked), text.replace(r#""gpt-4""#, r#""my \"gpt\"""#));
    }

    #[test]
    fn asks_for_usage_where_it_may() {
        let text = r#"{"model":"m","messages":[{"role":"user","content":"x"}],"stream":true}"#;
        let asking = text.replacen('{', r#"{"stream_options":{"include_usage":true},"#, 1);
        assert_eq!(sent(text, "m", StreamUsage::Asked), asking);
        assert_eq!(sent(text, "m", StreamUsage::AsReceived), text);
    }

    #[test]
    fn a_reply_is_counted_or_measured() {
        let tally = |more: &str| {
            let message = r#"{"role":"assistant","content":"abc"}"#;
            let text = format!(r#"{{"choices":[{{"message":{message}}},{{"message":{message}}}]{more}}}"#);
            completion(text.as_bytes(), None).unwrap().tally
        };
        let usage = Usage { prompt: 7, completion: 2, ..Usage::default() };
        let counted = tally(r#","usage":{"prompt_tokens":7,"completion_tokens":2}"#);
        assert_eq!(counted, Tally { counted: Counted::All(usage), written: 0 });
        assert_eq!(tally(r#","usage":null"#), Tally { counted: Counted::Nothing, written: 6 });
    }
}
