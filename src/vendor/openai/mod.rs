//! OpenAI: the format in the middle, so a relay. Unknown fields pass untouched in both directions.
//!
//! Two things are rewritten: the model's name, where the vendor calls it differently, and `stream_options`, so that a
//! stream ends with the count of its tokens. The chunk with that count is not passed on to a client that did not ask
//! for it; what a vendor may put into the other chunks then, a `"usage":null`, is: OpenAI's own do that, and clients
//! that read usage at all read it there. A server that refuses `stream_options` is told nothing with `stream_usage:
//! false`. And one is taken out: the thoughts of Anthropic's models in a history ([`edits::forget_thoughts`]).

mod stream;

use std::borrow::Cow;

use super::edits::{self, Edits};
use super::{Asked, Body, Call, Credential, Fault, Format, Outgoing, Stream, StreamUsage, Unsupported, Whole};
use crate::chat::tally::{self, Counted, Tally};
use crate::chat::{Request, Task, Usage, embeddings};
use crate::json::{Doc, Value};

/// `kind: openai`, and every vendor that speaks the same.
pub struct OpenAi;

impl Format for OpenAi {
    fn kind(&self) -> &'static str {
        "openai"
    }

    fn credential(&self) -> Credential {
        Credential { header: "authorization", prefix: "Bearer " }
    }

    fn offers(&self, _: Task) -> bool {
        true
    }

    fn accepts(&self, _: &Request) -> Result<(), Unsupported> {
        Ok(())
    }

    fn render(&self, call: &Call<'_>) -> Outgoing {
        Outgoing { path: [call.base, call.request.task().path()].concat(), headers: &[], body: body(call) }
    }

    fn dropped(&self, call: &Call<'_>) -> Vec<String> {
        edits::forgotten(call.request)
    }

    fn reply<'b>(&self, body: &'b [u8], asked: &Asked) -> Result<Whole<'b>, Fault> {
        let tally = match asked.task {
            Task::Chat => read(body),
            Task::Embeddings => embeddings::tally(body).ok_or(Fault::Unreadable("a list of embeddings")),
        };
        tally.map(|tally| Whole { body: Cow::Borrowed(body), tally })
    }

    fn stream(&self, asked: Asked) -> Box<dyn Stream> {
        Box::new(stream::Relay::new(asked.delivery))
    }
}

/// The client's body with the vendor's name of the model, and the wish for usage.
fn body(call: &Call<'_>) -> Body {
    let mut edits = Edits::new(call.request.body());
    edits::rename(call, &mut edits);
    edits::forget_thoughts(call.request, &mut edits);
    if call.stream_usage == StreamUsage::Asked {
        edits::ask_for_usage(call, &mut edits);
    }
    edits.body()
}

/// The tokens of a successful body, which is a completion: an object with choices.
fn read(body: &[u8]) -> Result<Tally, Fault> {
    const COMPLETION: Fault = Fault::Unreadable("a chat completion");
    let doc = Doc::parse(body.to_vec()).map_err(|_| COMPLETION)?;
    let choices = doc.root().get("choices").filter(|choices| choices.is_array() && !choices.is_empty());
    let choices = choices.ok_or(COMPLETION)?;
    Ok(match Usage::read(doc.root()) {
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

    fn sent(text: &str, model: &str, stream_usage: StreamUsage) -> String {
        let request = Request::parse(text.as_bytes().to_vec()).unwrap();
        let outgoing = OpenAi.render(&Call { request: &request, model, base: "/v1", api_version: None, stream_usage });
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
            read(format!(r#"{{"choices":[{{"message":{message}}},{{"message":{message}}}]{more}}}"#).as_bytes())
                .unwrap()
        };
        let usage = Usage { prompt: 7, completion: 2, ..Usage::default() };
        let counted = tally(r#","usage":{"prompt_tokens":7,"completion_tokens":2}"#);
        assert_eq!(counted, Tally { counted: Counted::All(usage), written: 0 });
        assert_eq!(tally(r#","usage":null"#), Tally { counted: Counted::Nothing, written: 6 });
    }
}
