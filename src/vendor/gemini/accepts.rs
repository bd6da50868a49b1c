//! The fields that Gemini has no counterpart for, unless they say what is the default anyway.

use crate::json::Value;
use crate::vendor::Unsupported;

/// Finds the first field of the body's top level that cannot be expressed.
pub(super) fn check(root: Value<'_>) -> Result<(), Unsupported> {
    match FIELDS.iter().find(|(field, beyond)| root.given(field).is_some_and(beyond)) {
        Some((field, _)) => Err(Unsupported::new(*field)),
        None => Ok(()),
    }
}

/// Whether a value, which is not null, is beyond Gemini.
type Beyond = fn(Value<'_>) -> bool;

const FIELDS: &[(&str, Beyond)] = &[
    ("n", |v| v.as_u64().is_none_or(|n| n > MOST_CHOICES)),
    ("stop", |v| v.items().count() > MOST_STOPS),
    ("seed", |v| v.raw().parse::<i32>().is_err()),
    ("logit_bias", |v| !v.is_empty()),
    ("modalities", |v| v.items().any(|item| item.as_str().as_deref() != Some("text"))),
    ("audio", |v| !v.is_empty()),
    // An empty object asks for a search with default options.
    ("web_search_options", |_| true),
    ("moderation", |v| ["input", "output"].iter().any(|side| blocks(v, side))),
    ("functions", |v| !v.is_empty()),
    ("function_call", |v| !matches!(v.as_str().as_deref(), Some("none" | "auto"))),
    ("reasoning_effort", |v| !v.as_str().is_some_and(|word| EFFORTS.contains(&&*word))),
];

/// `candidateCount` goes to 8.
const MOST_CHOICES: u64 = 8;

/// `stopSequences` takes 5.
const MOST_STOPS: usize = 5;

/// OpenAI's words for how hard to think.
const EFFORTS: &[&str] = &["none", "minimal", "low", "medium", "high", "xhigh", "max"];

fn blocks(moderation: Value<'_>, side: &str) -> bool {
    let mode = moderation.get("policy").and_then(|policy| policy.get(side)).and_then(|rule| rule.text("mode"));
    mode.as_deref() == Some("block")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Doc;
    use crate::test;

    fn refused(field: &str, value: &str) -> Option<String> {
        let doc = Doc::parse(format!("{{\"{field}\":{value}}}").into_bytes()).unwrap();
        check(doc.root()).err().map(|unsupported| unsupported.param)
    }

    #[test]
    fn refuses_what_is_beyond_and_takes_the_defaults() {
        for (field, taken, beyond) in [
            ("n", &["1", "8", "null"][..], &["9", "128"][..]),
            ("stop", &["\"a\"", "[]", r#"["a","b","c","d","e"]"#], &[r#"["a","b","c","d","e","f"]"#]),
            ("seed", &["0", "-2147483648", "2147483647"], &["2147483648", "9007199254740993"]),
            ("logit_bias", &["{}"], &[r#"{"1":1}"#]),
            ("modalities", &["[]", r#"["text"]"#], &[r#"["text","audio"]"#]),
            ("audio", &["null", "{}"], &[r#"{"voice":"alloy","format":"wav"}"#]),
            ("web_search_options", &["null"], &["{}"]),
            ("moderation", &[r#"{"model":"m"}"#], &[r#"{"policy":{"input":{"mode":"block"}}}"#]),
            ("functions", &["[]"], &[r#"[{"name":"f"}]"#]),
            ("function_call", &[r#""none""#, r#""auto""#], &[r#"{"name":"f"}"#]),
            ("reasoning_effort", &[r#""none""#, r#""max""#], &[r#""utmost""#]),
            ("presence_penalty", &["0", "2"], &[]),
            ("temperature", &["0", "2"], &[]),
        ] {
            for value in taken {
                assert_eq!(refused(field, value), None, "{field}: {value}");
            }
            for value in beyond {
                assert_eq!(refused(field, value).as_deref(), Some(field), "{value}");
            }
        }
    }
}
