//! The fields that Bedrock has no counterpart for, unless they say what is the default anyway.

use crate::json::Value;
use crate::vendor::Unsupported;
use crate::vendor::anthropic::parts::blank;

/// Finds the first field of the body's top level that cannot be expressed.
pub(super) fn check(root: Value<'_>) -> Result<(), Unsupported> {
    for (field, beyond) in FIELDS {
        if root.given(field).is_some_and(beyond) {
            return Err(Unsupported::new(*field));
        }
    }
    check_stop(root.given("stop"))
}

/// Whether a value, which is not null, is beyond Bedrock.
type Beyond = fn(Value<'_>) -> bool;

const FIELDS: &[(&str, Beyond)] = &[
    ("n", |v| v.as_u64() != Some(1)),
    ("logprobs", |v| v.as_bool() != Some(false)),
    ("top_logprobs", |v| v.as_u64() != Some(0)),
    ("logit_bias", |v| !v.is_empty()),
    ("presence_penalty", |v| v.as_f64() != Some(0.0)),
    ("frequency_penalty", |v| v.as_f64() != Some(0.0)),
    ("temperature", |v| v.as_f64().is_none_or(|t| t > 1.0)),
    ("modalities", |v| v.items().any(|item| item.as_str().as_deref() != Some("text"))),
    ("audio", |v| !v.is_empty()),
    // An empty object asks for a search with default options.
    ("web_search_options", |_| true),
    ("moderation", |v| ["input", "output"].iter().any(|side| blocks(v, side))),
    ("functions", |v| !v.is_empty()),
    ("function_call", |v| !matches!(v.as_str().as_deref(), Some("none" | "auto"))),
    ("reasoning_effort", |v| !v.as_str().is_some_and(|word| EFFORTS.contains(&&*word))),
];

/// OpenAI's words for how hard to think.
const EFFORTS: &[&str] = &["none", "minimal", "low", "medium", "high", "xhigh", "max"];

fn blocks(moderation: Value<'_>, side: &str) -> bool {
    let mode = moderation.get("policy").and_then(|policy| policy.get(side)).and_then(|rule| rule.text("mode"));
    mode.as_deref() == Some("block")
}

fn check_stop(stop: Option<Value<'_>>) -> Result<(), Unsupported> {
    if stop.is_some_and(|stop| stop.is_string() && blank(stop)) {
        return Err(Unsupported::new("stop"));
    }
    match stop.into_iter().flat_map(Value::items).position(blank) {
        Some(i) => Err(Unsupported::new(format!("stop[{i}]"))),
        None => Ok(()),
    }
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
            ("n", &["1", "null"][..], &["2", "128"][..]),
            ("logprobs", &["false", "null"], &["true"]),
            ("top_logprobs", &["0"], &["1"]),
            ("logit_bias", &["{}"], &[r#"{"1":1}"#]),
            ("presence_penalty", &["0", "0.0", "-0"], &["0.1", "-2"]),
            ("frequency_penalty", &["0e0"], &["2"]),
            ("temperature", &["0", "1", "1.0"], &["1.01", "2"]),
            ("modalities", &["[]", r#"["text"]"#], &[r#"["text","audio"]"#]),
            ("audio", &["null", "{}"], &[r#"{"voice":"alloy","format":"wav"}"#]),
            ("web_search_options", &["null"], &["{}"]),
            (
                "moderation",
                &[r#"{"model":"m"}"#, r#"{"policy":{"output":{"mode":"score"}}}"#],
                &[r#"{"policy":{"input":{"mode":"block"}}}"#, r#"{"policy":{"output":{"mode":"block"}}}"#],
            ),
            ("functions", &["[]"], &[r#"[{"name":"f"}]"#]),
            ("function_call", &[r#""none""#, r#""auto""#], &[r#"{"name":"f"}"#]),
            ("reasoning_effort", &[r#""none""#, r#""max""#], &[r#""utmost""#]),
            ("stop", &["[]", r#""\nHuman:""#], &[r#""""#, r#"" \n""#]),
        ] {
            for value in taken {
                assert_eq!(refused(field, value), None, "{field}: {value}");
            }
            for value in beyond {
                assert_eq!(refused(field, value).as_deref(), Some(field), "{value}");
            }
        }
        assert_eq!(refused("stop", r#"["a"," "]"#).as_deref(), Some("stop[1]"));
    }
}
