//! A request on its way: read from the client's, written as Gemini's.

use super::accepts;
use super::conversation::Conversation;
use super::models::{Model, Schema};
use super::schema;
use super::thinking;
use super::tools::Tools;
use crate::chat::Request;
use crate::json::{Value, Writer};
use crate::vendor::Unsupported;

/// Everything that Gemini can be told of a request.
pub(super) struct Draft<'r> {
    request: &'r Request,
    conversation: Conversation<'r>,
    tools: Tools<'r>,
    shape: Shape<'r>,
}

/// The shape of the answer: `response_format`.
enum Shape<'r> {
    Text,
    Json,
    Like(Value<'r>),
}

impl<'r> Draft<'r> {
    /// Reads a request; the error is the first field that Gemini has no counterpart for.
    pub(super) fn read(request: &'r Request) -> Result<Draft<'r>, Unsupported> {
        let root = request.root();
        accepts::check(root)?;
        let (shape, tools) = (Shape::read(root)?, Tools::read(root)?);
        Ok(Draft { request, conversation: Conversation::read(request)?, tools, shape })
    }

    /// The body for this model.
    pub(super) fn render(&self, name: &str) -> Vec<u8> {
        let (root, model) = (self.request.root(), Model::named(name));
        // Most of a request is text that is copied, so its size is a good guess.
        let mut w = Writer::onto(Vec::with_capacity(self.request.body().len() + 256));
        w.object(|w| {
            self.conversation.render(model.signature, w);
            self.tools.render(model.schema, w);
            w.key("generationConfig").object(|w| {
                COPIED.iter().for_each(|(theirs, ours)| copy(theirs, root.given(ours), w));
                render_numbers(self.request, w);
                render_stop(root.given("stop"), w);
                self.shape.render(model.schema, w);
                thinking::render(root, model.thinking, w);
            });
        });
        w.finish()
    }
}

/// What both sides spell the same, but for the name.
const COPIED: &[(&str, &str)] =
    &[("temperature", "temperature"), ("topP", "top_p"), ("topK", "top_k"), ("seed", "seed")];

/// What is only said where it is not the default: some models refuse the very names of these.
fn render_numbers(request: &Request, w: &mut Writer) {
    let root = request.root();
    if let Some(most) = request.most_tokens() {
        w.key("maxOutputTokens").number(most);
    }
    if let Some(n) = root.given("n").and_then(Value::as_u64).filter(|n| *n > 1) {
        w.key("candidateCount").number(n);
    }
    for (theirs, ours) in [("presencePenalty", "presence_penalty"), ("frequencyPenalty", "frequency_penalty")] {
        copy(theirs, root.given(ours).filter(|penalty| penalty.as_f64() != Some(0.0)), w);
    }
    if root.given("logprobs").and_then(Value::as_bool) == Some(true) {
        w.key("responseLogprobs").bool(true);
        if let Some(most) = root.given("top_logprobs").and_then(Value::as_u64).filter(|most| *most > 0) {
            w.key("logprobs").number(most);
        }
    }
}

fn render_stop(stop: Option<Value<'_>>, w: &mut Writer) {
    match stop.filter(|stop| !stop.is_empty()) {
        None => {}
        Some(list) if list.is_array() => w.key("stopSequences").raw(list.raw()),
        Some(one) => w.key("stopSequences").array(|w| w.raw(one.raw())),
    }
}

impl<'r> Shape<'r> {
    fn read(root: Value<'r>) -> Result<Shape<'r>, Unsupported> {
        let Some(format) = root.given("response_format").filter(|format| !format.is_empty()) else {
            return Ok(Shape::Text);
        };
        match format.text("type").as_deref() {
            Some("text") => Ok(Shape::Text),
            Some("json_object") => Ok(Shape::Json),
            Some("json_schema") => match format.given("json_schema").map(|named| named.given("schema")) {
                None | Some(None) => Ok(Shape::Json),
                Some(Some(schema)) if schema.is_object() => Ok(Shape::Like(schema)),
                Some(Some(_)) => Err(Unsupported::new("response_format.json_schema.schema")),
            },
            _ => Err(Unsupported::new("response_format")),
        }
    }

    fn render(&self, schemas: Schema, w: &mut Writer) {
        if !matches!(self, Shape::Text) {
            w.key("responseMimeType").string("application/json");
        }
        match (self, schemas) {
            (Shape::Like(schema), Schema::Json) => w.key("responseJsonSchema").raw(schema.raw()),
            (Shape::Like(schema), Schema::Subset) => schema::render(*schema, w.key("responseSchema")),
            (Shape::Text | Shape::Json, _) => {}
        }
    }
}

/// Writes a member as the client spelled its value, if there is one.
fn copy(name: &str, value: Option<Value<'_>>, w: &mut Writer) {
    if let Some(value) = value {
        w.key(name).raw(value.raw());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test;

    #[test]
    fn copies_what_is_unchanged_as_it_was_spelled() {
        let body = r#"{"model":"m","messages":[{"role":"user","content":"\u00e9\/"},{"role":"assistant","tool_calls":[
            {"id":"c","type":"function","function":{"name":"f","arguments":" { \"x\": 1e2 }\n"}}]}],"temperature":0.30,
            "tools":[{"type":"function","function":{"name":"f","parameters":{"properties":{ "a": {} } , "x": 1.50 }}}]}"#;
        let request = Request::parse(body.into()).unwrap();
        let sent = String::from_utf8(Draft::read(&request).unwrap().render("gemini-2.5-flash")).unwrap();
        let expected = concat!(
            r#"{"contents":[{"role":"user","parts":[{"text":"\u00e9\/"}]},"#,
            r#"{"role":"model","parts":[{"functionCall":{"name":"f","args":{ "x": 1e2 }}}]}],"#,
            r#""tools":[{"functionDeclarations":[{"name":"f","#,
            r#""parametersJsonSchema":{"properties":{ "a": {} } , "x": 1.50 }}]}],"#,
            r#""generationConfig":{"temperature":0.30}}"#,
        );
        assert_eq!(sent, expected);
    }
}
