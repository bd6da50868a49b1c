//! Taking an answer with many vectors apart.

use crate::chat::tally;
use crate::json::{Doc, Value, Writer};

/// What one of those gets for whom it was asked.
#[derive(Debug, PartialEq, Eq)]
pub struct Part {
    /// An answer with its vector alone.
    pub body: Vec<u8>,
    /// Its part of the tokens, if they were counted.
    pub tokens: Option<u64>,
}

/// As many answers as there are weights, which say how the tokens are shared out: not one gets lost. `None` if the
/// answer does not have exactly one vector for each. What else stands in it stands in each.
pub fn split(body: Vec<u8>, weights: &[u64]) -> Option<Vec<Part>> {
    let doc = Doc::parse(body).ok()?;
    let mut places = vec![None; weights.len()];
    for (place, item) in doc.root().get("data")?.items().enumerate() {
        let index = item.get("index").map_or(Some(place as u64), Value::as_u64)?;
        let free = places.get_mut(usize::try_from(index).ok()?).filter(|taken| taken.is_none())?;
        *free = Some(item);
    }
    let counted = doc.root().given("usage").and_then(|usage| tally::tokens(usage, "prompt_tokens"));
    let tokens = counted.map(|counted| apportion(counted, weights));
    let part = |(place, item): (usize, Option<Value<'_>>)| {
        let tokens = tokens.as_ref().and_then(|tokens| tokens.get(place).copied());
        Some(Part { body: render(doc.root(), item?, tokens), tokens })
    };
    places.into_iter().enumerate().map(part).collect()
}

fn render(root: Value<'_>, vector: Value<'_>, tokens: Option<u64>) -> Vec<u8> {
    let mut w = Writer::default();
    copy(root, &mut w, |name, value, w| match (name, tokens) {
        ("data", _) => w.array(|w| {
            copy(vector, w, |name, value, w| match name {
                "index" => w.number(0),
                _ => w.raw(value.raw()),
            });
        }),
        ("usage", Some(tokens)) => copy(value, w, |name, value, w| match name {
            "prompt_tokens" | "total_tokens" => w.number(tokens),
            _ => w.raw(value.raw()),
        }),
        _ => w.raw(value.raw()),
    });
    w.finish()
}

fn copy<'d>(object: Value<'d>, w: &mut Writer, value: impl Fn(&str, Value<'d>, &mut Writer)) {
    w.object(|w| object.members().for_each(|(name, member)| value(&name, member, w.key(&name))));
}

/// Shares a number out by weight, to the last one: each gets what its weight adds to the sum, rounded down.
fn apportion(number: u64, weights: &[u64]) -> Vec<u64> {
    let weights: Vec<u128> = weights.iter().map(|weight| u128::from(*weight).max(1)).collect();
    let all: u128 = weights.iter().sum();
    let mut before = 0;
    let until = |weight: u128| u64::try_from(u128::from(number).saturating_mul(weight) / all.max(1)).unwrap_or(number);
    let share = |weight: &u128| {
        let from = until(before);
        before += weight;
        until(before) - from
    };
    weights.iter().map(share).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test;

    fn texts(body: &str, weights: &[u64]) -> Option<Vec<(String, Option<u64>)>> {
        let parts = split(body.as_bytes().to_vec(), weights)?;
        Some(parts.into_iter().map(|part| (String::from_utf8(part.body).unwrap(), part.tokens)).collect())
    }

    #[test]
    fn each_gets_its_own_vector() {
        let body = r#"{ "object":"list", "data":[{"index":1,"object":"embedding","embedding":[1.50, 2]},
            {"index":0,"object":"embedding","embedding":"AA=="}],"model":"m","usage":{"prompt_tokens":7,"total_tokens":7,"x":1}}"#;
        let answer = |embedding: &str, tokens: u64| {
            let data = format!(r#"[{{"index":0,"object":"embedding","embedding":{embedding}}}]"#);
            let usage = format!(r#"{{"prompt_tokens":{tokens},"total_tokens":{tokens},"x":1}}"#);
            (format!(r#"{{"object":"list","data":{data},"model":"m","usage":{usage}}}"#), Some(tokens))
        };
        assert_eq!(texts(body, &[1, 2]), Some(vec![answer("\"AA==\"", 2), answer("[1.50, 2]", 5)]));
    }

    #[test]
    fn an_answer_of_another_length_is_none() {
        let two = r#"{"data":[{"embedding":[1]},{"embedding":[2]}]}"#;
        assert_eq!(texts(two, &[1, 1]).unwrap()[1], (r#"{"data":[{"embedding":[2]}]}"#.to_owned(), None));
        for (body, weights) in [
            (two, &[1][..]),
            (two, &[1, 1, 1]),
            (r#"{"data":[{"index":0},{"index":0}]}"#, &[1, 1]),
            (r#"{"data":[{"index":0},{"index":2}]}"#, &[1, 1]),
            (r#"{"data":[{"index":0},{"index":"1"}]}"#, &[1, 1]),
            ("{}", &[1, 1]),
            ("[", &[1, 1]),
        ] {
            assert_eq!(texts(body, weights), None, "{body}");
        }
    }

    #[test]
    fn not_a_token_is_lost() {
        for (number, weights, shares) in [
            (10, &[1, 1, 1][..], &[3, 3, 4][..]),
            (2, &[5, 5, 5], &[0, 1, 1]),
            (100, &[0, 99], &[1, 99]),
            (0, &[1, 2], &[0, 0]),
            (20_000_001, &[1 << 40, 1 << 40], &[10_000_000, 10_000_001]),
        ] {
            assert_eq!(apportion(number, weights), shares);
        }
    }
}
