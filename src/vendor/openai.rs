//! OpenAI chat completions: the format in the middle, so a relay. Unknown fields pass untouched in both directions; the
//! only thing rewritten is the model's name, where the vendor calls it differently.

use std::borrow::Cow;

use super::failure::Reported;
use super::{Asked, Body, Call, Credential, Fault, Format, Outgoing, Stream, Unsupported};
use crate::chat::{Request, answer};
use crate::json::{Doc, Value, Writer};

/// `kind: openai`, and every vendor that speaks the same.
pub struct OpenAi;

impl Format for OpenAi {
    fn kind(&self) -> &'static str {
        "openai"
    }

    fn credential(&self) -> Credential {
        Credential { header: "authorization", prefix: "Bearer " }
    }

    fn accepts(&self, _: &Request) -> Result<(), Unsupported> {
        Ok(())
    }

    fn render(&self, call: &Call<'_>) -> Outgoing {
        Outgoing { path: [call.base, "/chat/completions"].concat(), headers: &[], body: renamed(call) }
    }

    fn reply<'b>(&self, body: &'b [u8], _: &Asked) -> Result<Cow<'b, [u8]>, Fault> {
        check(body).map(|()| Cow::Borrowed(body))
    }

    fn stream(&self, _: Asked) -> Box<dyn Stream> {
        Box::new(Relay::Answering(Choices::default()))
    }
}

/// The client's body with the vendor's name of the model.
pub(super) fn renamed(call: &Call<'_>) -> Body {
    let Some(model) = call.request.root().get("model").filter(|_| call.model != call.request.model()) else {
        return Body::AsReceived;
    };
    let span = model.span();
    let before = call.request.body().get(..span.start).unwrap_or_default();
    let mut w = Writer::default();
    w.string(call.model);
    Body::Prefix { replaced: span.end, with: [before, &w.finish()].concat() }
}

/// A successful body is a completion: an object with choices.
fn check(body: &[u8]) -> Result<(), Fault> {
    const COMPLETION: Fault = Fault::Unreadable("a chat completion");
    let doc = Doc::parse(body.to_vec()).map_err(|_| COMPLETION)?;
    match doc.root().get("choices") {
        Some(choices) if choices.is_array() && !choices.is_empty() => Ok(()),
        _ => Err(COMPLETION),
    }
}

/// How far a relayed stream has come.
#[derive(Debug, PartialEq)]
enum Relay {
    Answering(Choices),
    /// `[DONE]` was relayed; what follows is not for the client.
    Done,
}

/// The choices of an answer, a bit for each index; OpenAI allows 128.
#[derive(Debug, Default, PartialEq)]
struct Choices {
    begun: u128,
    finished: u128,
}

impl Choices {
    fn note(&mut self, chunk: Value<'_>) {
        for choice in chunk.get("choices").into_iter().flat_map(Value::items) {
            let index = choice.get("index").and_then(Value::as_u64).unwrap_or(0);
            let bit = 1u128.checked_shl(u32::try_from(index).unwrap_or(u32::MAX)).unwrap_or(0);
            self.begun |= bit;
            if choice.given("finish_reason").is_some() {
                self.finished |= bit;
            }
        }
    }

    fn complete(&self) -> bool {
        self.begun != 0 && self.begun == self.finished
    }
}

impl Stream for Relay {
    fn event(&mut self, _: &str, data: &str, out: &mut Vec<u8>) -> Result<(), Fault> {
        let Relay::Answering(choices) = self else { return Ok(()) };
        if data.trim() == "[DONE]" {
            *self = Relay::Done;
            answer::done(out);
            return Ok(());
        }
        let doc = Doc::parse(data.as_bytes().to_vec()).map_err(|_| Fault::Unreadable("a stream of JSON"))?;
        let chunk = doc.root();
        if chunk.given("error").is_some() {
            return Err(Fault::Reported(Reported::read(chunk)));
        }
        if !chunk.get("choices").is_some_and(Value::is_array) {
            return Err(Fault::Unreadable("a stream of chat completion chunks"));
        }
        choices.note(chunk);
        answer::relay(data, out);
        Ok(())
    }

    /// Some vendors end without `[DONE]`; when every choice has its finish reason, they have said everything.
    fn end(&mut self, out: &mut Vec<u8>) -> Result<(), Fault> {
        match self {
            Relay::Answering(choices) if choices.complete() => {
                answer::done(out);
                Ok(())
            }
            Relay::Answering(_) => Err(Fault::CutOff),
            Relay::Done => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test;

    fn body(text: &str, model: &str) -> String {
        let request = Request::parse(text.as_bytes().to_vec()).unwrap();
        let outgoing = OpenAi.render(&Call { request: &request, model, base: "/v1", api_version: None });
        assert_eq!(outgoing.path, "/v1/chat/completions");
        String::from_utf8(outgoing.body.apply(text.as_bytes()).into_owned()).unwrap()
    }

    #[test]
    fn changes_the_name_of_the_model_and_not_a_byte_else() {
        let text = r#"{ "x": 1e2, "model" : "gpt-4" ,"messages":[{"role":"user","content":"\u00e9"}],"seed":9007199254740993}"#;
        assert_eq!(body(text, "gpt-4"), text);
        assert_eq!(body(text, "my \"gpt\""), text.replace(r#""gpt-4""#, r#""my \"gpt\"""#));
    }

    #[test]
    fn a_stream_that_ends_too_early_is_cut_off() {
        let piece = r#"{"choices":[{"delta":{"content":"a"},"finish_reason":null}]}"#;
        let last = r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#;
        for (events, end) in [
            (&[piece][..], Err(Fault::CutOff)),
            (&[], Err(Fault::CutOff)),
            (&[piece, last], Ok(())),
            (&[piece, last, "[DONE] "], Ok(())),
            (&[piece, "[DONE]", "rubbish"], Ok(())),
            (&[piece, r#"{"choices":[{"index":1,"delta":{}}]}"#, last], Err(Fault::CutOff)),
        ] {
            let (mut stream, mut out) = (Relay::Answering(Choices::default()), Vec::new());
            events.iter().for_each(|data| stream.event("", data, &mut out).unwrap());
            assert_eq!(stream.end(&mut out), end);
            let text = String::from_utf8(out).unwrap();
            assert_eq!(text.matches("data: [DONE]\n\n").count(), usize::from(end.is_ok()), "{text}");
        }
    }

    #[test]
    fn json_that_is_no_chunk_is_refused() {
        for data in [r#"{"object":"list"}"#, "[]", "7", r#"{"choices":null}"#] {
            let mut stream = Relay::Answering(Choices::default());
            assert!(matches!(stream.event("", data, &mut Vec::new()), Err(Fault::Unreadable(_))), "{data}");
        }
    }

    #[test]
    fn an_error_event_is_an_error() {
        let mut stream = Relay::Answering(Choices::default());
        let fault = stream.event("", r#"{"error":{"message":"boom","code":503}}"#, &mut Vec::new());
        assert!(matches!(fault, Err(Fault::Reported(reported)) if reported.message == "boom"));
    }
}
