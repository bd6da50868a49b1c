//! Vectors of no meaning: the same for the same input, of length one, and far from each other for different inputs.

use crate::account::estimate;
use crate::chat::Request;
use crate::chat::embeddings::Input;
use crate::flow::Reply;
use crate::json::Writer;
use crate::refusal::Refusal;
use crate::unit;

/// The answer to a request for embeddings.
pub(super) fn answer(request: &Request) -> Result<Reply, Refusal> {
    let (root, inputs) = (request.root(), request.inputs());
    let dimensions = root.given("dimensions").and_then(|number| usize::try_from(number.as_u64()?).ok()).unwrap_or(FEW);
    if inputs.len().saturating_mul(dimensions) > MOST {
        let most = format!("times the number of inputs may be at most {MOST} at this vendor");
        return Err(Refusal::invalid("dimensions", &most));
    }
    let base64 = root.text("encoding_format").as_deref() == Some("base64");
    let tokens = estimate::prompt(request);
    let mut w = Writer::default();
    w.object(|w| {
        w.key("object").string("list");
        w.key("data").array(|w| {
            for (index, input) in inputs.into_iter().enumerate() {
                w.object(|w| {
                    w.key("object").string("embedding");
                    w.key("index").number(index as u64);
                    w.key("embedding");
                    write(&vector(input, dimensions), base64, w);
                });
            }
        });
        w.key("model").string(request.model());
        w.key("usage").object(|w| {
            w.key("prompt_tokens").number(tokens);
            w.key("total_tokens").number(tokens);
        });
    });
    Ok(Reply { status: 200, headers: vec![("content-type", "application/json".into())], body: w.finish() })
}

fn write(vector: &[f32], base64: bool, w: &mut Writer) {
    match base64 {
        true => w.string(&unit::base64(&vector.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<_>>())),
        false => w.array(|w| vector.iter().for_each(|number| w.raw(&number.to_string()))),
    }
}

/// A hash of the input, as long as it has to be, read as numbers between -1 and 1.
fn vector(input: Input<'_>, dimensions: usize) -> Vec<f32> {
    let mut hasher = blake3::Hasher::new();
    match input {
        Input::Text(value) => hasher.update(value.as_str().unwrap_or_default().as_bytes()),
        Input::Tokens(list) => list
            .items()
            .filter_map(|token| token.as_u64())
            .fold(&mut hasher, |hasher, token| hasher.update(&token.to_le_bytes())),
    };
    let mut bytes = vec![0; dimensions * 2];
    hasher.finalize_xof().fill(&mut bytes);
    // Odd, so that none is 0 and neither is their length.
    let numbers = bytes.as_chunks().0.iter().map(|pair| f64::from(i16::from_le_bytes(*pair) | 1));
    let length = numbers.clone().map(|number| number * number).sum::<f64>().sqrt();
    numbers.map(|number| (number / length) as f32).collect()
}

/// Enough to look at.
const FEW: usize = 8;
/// Numbers in one answer: some three megabytes, so that nobody asks for more than a reply may hold.
const MOST: usize = 1 << 18;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::Task;
    use crate::test;

    fn body(fields: &str) -> String {
        let request = format!(r#"{{"model":"m",{fields}}}"#).into_bytes();
        String::from_utf8(answer(&Request::read(Task::Embeddings, request).unwrap()).unwrap().body).unwrap()
    }

    #[test]
    fn the_same_input_has_the_same_vector() {
        let text = body(r#""input":["a","\u0061","b"],"dimensions":3"#);
        let vectors: Vec<_> = text.split("\"embedding\":[").skip(1).filter_map(|rest| rest.split(']').next()).collect();
        let [one, same, other] = vectors[..] else { panic!("{text}") };
        assert!(one == same && one != other, "{text}");
        let numbers: Vec<f64> = one.split(',').map(|number| number.parse().unwrap()).collect();
        let length: f64 = numbers.iter().map(|number| number * number).sum();
        assert!(numbers.len() == 3 && (length - 1.0).abs() < 1e-6, "{one}");
        assert!(text.ends_with(r#""model":"m","usage":{"prompt_tokens":3,"total_tokens":3}}"#), "{text}");
        assert_ne!(body(r#""input":[1,2]"#), body(r#""input":[1,3]"#));
        assert!(body(r#""input":"a","encoding_format":"base64","dimensions":1"#).contains(r#""embedding":"AACAPw==""#));
    }

    #[test]
    fn an_answer_has_an_end() {
        let many = format!(r#"{{"model":"m","input":["a","b"],"dimensions":{}}}"#, 65_536);
        assert!(answer(&Request::read(Task::Embeddings, many.clone().into_bytes()).unwrap()).is_ok());
        let more = many.replace(r#"["a","b"]"#, r#"["a","b","c","d","e"]"#);
        let refusal = answer(&Request::read(Task::Embeddings, more.into_bytes()).unwrap()).unwrap_err();
        assert_eq!(refusal.param.as_deref(), Some("dimensions"));
    }
}
