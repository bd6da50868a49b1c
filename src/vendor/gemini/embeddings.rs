//! Vectors: OpenAI's embeddings as Gemini's `batchEmbedContents`, which is asked for one text as for many.
//!
//! From Google's pages on embeddings (ai.google.dev/api/embeddings): each request of a batch names the model again, and
//! has one content; the answer has the vectors in the same order, as numbers, and tokens only where the API is new enough
//! to count them. OpenAI's own clients ask for base64, so that is made here; and they read `usage`, so tokens that nobody
//! counted are estimated there. What they cost is estimated, too, as for every answer that was not counted.

use std::borrow::Cow;

use crate::chat::Request;
use crate::chat::Usage;
use crate::chat::embeddings::Input;
use crate::chat::tally::{self, Counted, Tally};
use crate::json::{Doc, Kind, Value, Writer};
use crate::unit;
use crate::vendor::failure::Reported;
use crate::vendor::{Asked, Fault, Unsupported, Wanted, Whole};

/// Gemini cuts texts into tokens itself, and takes so many at once.
pub(super) fn check(request: &Request) -> Result<(), Unsupported> {
    let inputs = request.inputs();
    let beyond = inputs.len() > MOST || inputs.iter().any(|input| matches!(input, Input::Tokens(_)));
    if beyond {
        return Err(Unsupported::new("input"));
    }
    match request.root().given(TASK_TYPE) {
        Some(kind) if !kind.is_string() => Err(Unsupported::new(TASK_TYPE)),
        _ => Ok(()),
    }
}

/// More is an error of the API: "at most 100 requests can be in one batch".
const MOST: usize = 100;

/// Gemini's own: what the vectors are for. OpenAI has no such field, so a client that has one means Gemini.
const TASK_TYPE: &str = "task_type";

/// The body for the model of this name, which says itself where it stands.
pub(super) fn render(request: &Request, model: &str) -> Vec<u8> {
    let root = request.root();
    let mut w = Writer::onto(Vec::with_capacity(request.body().len() + 256));
    w.object(|w| {
        w.key("requests").array(|w| {
            for input in request.inputs() {
                w.object(|w| {
                    w.key("model").string(model);
                    w.key("content").object(|w| {
                        w.key("parts").array(|w| w.object(|w| w.key("text").raw(input.value().raw())));
                    });
                    for (theirs, ours) in [("outputDimensionality", "dimensions"), ("taskType", TASK_TYPE)] {
                        if let Some(value) = root.given(ours) {
                            w.key(theirs).raw(value.raw());
                        }
                    }
                });
            }
        });
    });
    w.finish()
}

/// Reads a reply with one vector for each input.
pub(super) fn read(body: &[u8], asked: &Asked, wanted: &Wanted<'_>) -> Result<Whole<'static>, Fault> {
    const REPLY: Fault = Fault::Unreadable("a list of Gemini's embeddings");
    let doc = Doc::parse(body.to_vec()).map_err(|_| REPLY)?;
    if doc.root().given("error").is_some() {
        return Err(Fault::Reported(Reported::read(doc.root())));
    }
    let vectors: Vec<_> = doc.root().get("embeddings").into_iter().flat_map(Value::items).collect();
    let vectors: Option<Vec<_>> = vectors.into_iter().map(|vector| vector.get("values").filter(is_vector)).collect();
    let vectors = vectors.filter(|vectors| vectors.len() == wanted.request.inputs().len()).ok_or(REPLY)?;
    let counted = doc.root().given("usageMetadata").and_then(|usage| tally::tokens(usage, "promptTokenCount"));
    let base64 = wanted.request.root().text("encoding_format").as_deref() == Some("base64");
    let tokens = counted.unwrap_or(wanted.tokens);
    let mut w = Writer::onto(Vec::with_capacity(body.len()));
    w.object(|w| {
        w.key("object").string("list");
        w.key("data").array(|w| {
            for (index, vector) in vectors.into_iter().enumerate() {
                w.object(|w| {
                    w.key("object").string("embedding");
                    w.key("index").number(index as u64);
                    w.key("embedding");
                    if base64 { w.string(&packed(vector)) } else { w.raw(vector.raw()) }
                });
            }
        });
        w.key("model").string(&asked.model);
        w.key("usage").object(|w| {
            w.key("prompt_tokens").number(tokens);
            w.key("total_tokens").number(tokens);
        });
    });
    let counted = counted.map_or(Counted::Nothing, |prompt| Counted::All(Usage { prompt, ..Usage::default() }));
    Ok(Whole { body: Cow::Owned(w.finish()), tally: Tally { counted, written: 0 } })
}

fn is_vector(values: &Value<'_>) -> bool {
    values.is_array() && !values.is_empty() && values.items().all(|number| number.kind() == Kind::Number)
}

/// 32-bit floats, the least byte first, as OpenAI packs them.
fn packed(vector: Value<'_>) -> String {
    let numbers = vector.items().filter_map(Value::as_f64);
    unit::base64(&numbers.flat_map(|number| (number as f32).to_le_bytes()).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::Task;
    use crate::chat::request::Delivery;
    use crate::test;

    fn request(fields: &str) -> Request {
        Request::read(Task::Embeddings, format!(r#"{{"model":"m",{fields}}}"#).into_bytes()).unwrap()
    }

    fn told(fields: &str, body: &str) -> Result<(String, Tally), Fault> {
        let asked = Asked {
            task: Task::Embeddings,
            model: "m".into(),
            id: String::new(),
            created: 1,
            delivery: Delivery::Whole,
        };
        let whole = read(body.as_bytes(), &asked, &Wanted { request: &request(fields), tokens: 5 })?;
        Ok((String::from_utf8(whole.body.into_owned()).unwrap(), whole.tally))
    }

    #[test]
    fn takes_a_hundred_texts_and_no_tokens() {
        let many = |count| format!(r#""input":[{}]"#, vec!["\"a\""; count].join(","));
        for (fields, param) in [
            (r#""input":"a""#.to_owned(), None),
            (many(100), None),
            (many(101), Some("input")),
            (r#""input":[1,2]"#.to_owned(), Some("input")),
            (r#""input":[[1],[2]]"#.to_owned(), Some("input")),
            (r#""input":"a","task_type":"CLUSTERING""#.to_owned(), None),
            (r#""input":"a","task_type":7"#.to_owned(), Some("task_type")),
        ] {
            assert_eq!(check(&request(&fields)).err().map(|e| e.param).as_deref(), param, "{fields:.40}");
        }
    }

    #[test]
    fn says_it_in_either_encoding() {
        let body = r#"{"embeddings":[{"values":[1, -0.50]},{"values":[2]}]}"#;
        let answer = |one: &str, two: &str| {
            let item =
                |index: u8, vector: &str| format!(r#"{{"object":"embedding","index":{index},"embedding":{vector}}}"#);
            let usage = r#""usage":{"prompt_tokens":5,"total_tokens":5}"#;
            let answer =
                format!(r#"{{"object":"list","data":[{},{}],"model":"m",{usage}}}"#, item(0, one), item(1, two));
            Ok((answer, Tally::default()))
        };
        let both = r#""input":["a","b"]"#;
        assert_eq!(told(both, body), answer("[1, -0.50]", "[2]"));
        let packed = told(&format!(r#"{both},"encoding_format":"base64""#), body);
        assert_eq!(packed, answer(r#""AACAPwAAAL8=""#, r#""AAAAQA==""#));
    }

    #[test]
    fn counts_what_was_counted() {
        let body = r#"{"embeddings":[{"values":[1]}],"usageMetadata":{"promptTokenCount":3}}"#;
        let (text, tally) = told(r#""input":"a""#, body).unwrap();
        assert!(text.ends_with(r#""usage":{"prompt_tokens":3,"total_tokens":3}}"#), "{text}");
        assert_eq!(tally.counted, Counted::All(Usage { prompt: 3, ..Usage::default() }));
    }

    #[test]
    fn another_number_of_vectors_is_no_answer() {
        for body in [
            "{}",
            r#"{"embeddings":[]}"#,
            r#"{"embeddings":[{"values":[1]},{"values":[1]}]}"#,
            r#"{"embeddings":[{"values":[]}]}"#,
            r#"{"embeddings":[{"values":["1"]}]}"#,
            r#"{"embeddings":[{}]}"#,
            "<html>",
        ] {
            assert!(matches!(told(r#""input":"a""#, body), Err(Fault::Unreadable(_))), "{body}");
        }
        let error = r#"{"error":{"code":429,"message":"no","status":"RESOURCE_EXHAUSTED"}}"#;
        assert!(matches!(told(r#""input":"a""#, error), Err(Fault::Reported(_))));
    }
}
