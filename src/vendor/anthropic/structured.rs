//! Answers in JSON: OpenAI's `response_format` in Anthropic's two ways of keeping that promise.
//!
//! A strict schema goes as `output_config.format` to a model that knows structured outputs. In all other cases - an older
//! model, a schema that is not strict and so may hold what Anthropic's compiler refuses, `json_object`, which has no schema
//! at all - the answer is demanded as the input of a tool, which is always a JSON object, and is told as text on its way
//! back. A client's own tools stay: then the model must call one of them or give its answer, and a client that itself
//! demands a call gets that call, which is no text and so holds to no format.

use super::models::{Model, Structured};
use super::parts::copy;
use super::tools::render_schema;
use crate::json::{Value, Writer};
use crate::vendor::Unsupported;

/// The name of the tool whose input is the answer. A client's own tool of this name is refused.
pub(super) const TOOL: &str = "weir_json_answer";

/// What the client wants the text of an answer to be.
#[derive(Clone, Copy)]
pub(super) enum Promise<'r> {
    /// Any text.
    Text,
    /// A JSON object.
    Object,
    /// A JSON object of a schema: the member `json_schema`.
    Schema(Value<'r>),
}

/// A tool that takes the answer.
pub(super) struct Form<'r> {
    schema: Option<Value<'r>>,
    description: Option<Value<'r>>,
}

impl<'r> Promise<'r> {
    /// Reads `response_format`. A schema of something else than an object is beyond Anthropic, and OpenAI's strict
    /// schemas are none either.
    pub(super) fn read(root: Value<'r>) -> Result<Promise<'r>, Unsupported> {
        let Some((format, kind)) = root.given("response_format").and_then(|format| Some((format, format.get("type")?)))
        else {
            return Ok(Promise::Text);
        };
        match kind.as_str().as_deref() {
            Some("text") => Ok(Promise::Text),
            Some("json_object") => Ok(Promise::Object),
            Some("json_schema") => {
                let given = format.get("json_schema").filter(|given| given.is_object());
                let given = given.ok_or_else(|| Unsupported::new("response_format.json_schema"))?;
                match given.given("schema").is_none_or(is_of_object) {
                    true => Ok(Promise::Schema(given)),
                    false => Err(Unsupported::new("response_format.json_schema.schema")),
                }
            }
            _ => Err(Unsupported::new("response_format")),
        }
    }

    /// The schema, where the model holds to it by itself.
    pub(super) fn native(self, model: &Model) -> Option<Value<'r>> {
        match self {
            Promise::Schema(given) if model.structured == Structured::Natively => {
                given.get("schema").filter(|_| given.get("strict").and_then(Value::as_bool) == Some(true))
            }
            _ => None,
        }
    }

    /// The tool, where the model needs one.
    pub(super) fn form(self, model: &Model) -> Option<Form<'r>> {
        match self {
            Promise::Text => None,
            Promise::Object => Some(Form { schema: None, description: None }),
            Promise::Schema(_) if self.native(model).is_some() => None,
            Promise::Schema(given) => {
                let description = given.given("description").filter(|text| text.is_string());
                Some(Form { schema: given.given("schema"), description })
            }
        }
    }
}

fn is_of_object(schema: Value<'_>) -> bool {
    schema.is_object() && schema.get("type").is_none_or(|kind| kind.as_str().as_deref() == Some("object"))
}

impl Form<'_> {
    /// Writes the tool.
    pub(super) fn render(&self, w: &mut Writer) {
        w.object(|w| {
            w.key("name").string(TOOL);
            match self.description {
                Some(_) => copy("description", self.description, w),
                None => w.key("description").string("Takes the whole answer to the user, as a JSON object."),
            }
            match self.schema {
                Some(_) => render_schema(self.schema, w),
                None => w.key("input_schema").raw(r#"{"type":"object","additionalProperties":true}"#),
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Doc;
    use crate::test;

    /// The way in which a promise is kept, or the field at fault.
    fn kept(format: &str, model: &str) -> String {
        let doc = Doc::parse(format!(r#"{{"response_format":{format}}}"#).into_bytes()).unwrap();
        let model = Model::named(model);
        let promise = match Promise::read(doc.root()) {
            Ok(promise) => promise,
            Err(unsupported) => return unsupported.param,
        };
        match (promise.native(&model), promise.form(&model)) {
            (None, None) => "text".to_owned(),
            (Some(_), None) => "native".to_owned(),
            (None, Some(_)) => "tool".to_owned(),
            (Some(_), Some(_)) => "both".to_owned(),
        }
    }

    #[test]
    fn keeps_a_promise_as_the_model_can() {
        let (new, old) = ("claude-sonnet-4-5", "claude-sonnet-4");
        let strict = r#"{"type":"json_schema","json_schema":{"name":"x","strict":true,"schema":{"type":"object"}}}"#;
        let loose = r#"{"type":"json_schema","json_schema":{"name":"x","schema":{"properties":{}}}}"#;
        let other = r#"{"type":"json_schema","json_schema":{"name":"x","schema":{"type":"array"}}}"#;
        for (format, model, expected) in [
            ("null", new, "text"),
            ("{}", new, "text"),
            (r#"{"type":"text"}"#, new, "text"),
            (r#"{"type":"json_object"}"#, new, "tool"),
            (strict, new, "native"),
            (strict, old, "tool"),
            (loose, new, "tool"),
            (r#"{"type":"json_schema","json_schema":{"name":"x","strict":true}}"#, new, "tool"),
            (other, new, "response_format.json_schema.schema"),
            (r#"{"type":"json_schema"}"#, new, "response_format.json_schema"),
            (r#"{"type":"grammar"}"#, new, "response_format"),
            (r#"{"type":7}"#, new, "response_format"),
        ] {
            assert_eq!(kept(format, model), expected, "{format} {model}");
        }
    }
}
