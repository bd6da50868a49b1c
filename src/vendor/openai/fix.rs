//! Repairs of a request as data: what a vendor does with a member that OpenAI defines.
//!
//! A member that no fix names passes as it is. One that a fix names and that is null says nothing and is left out, as
//! not every vendor takes a null for its default.

use super::request::Nulls;
use crate::json::Value;
use crate::vendor::edits::Edits;

/// The members of an object, and what becomes of each.
pub type Fixes = &'static [(&'static str, Fix)];

/// What becomes of a member.
#[derive(Debug, Clone, Copy)]
pub enum Fix {
    /// It has another name here, and takes the place of a member that has this name already.
    Named(&'static str),
    /// It is left out: the answer is the same without it.
    LeftOut,
    /// There is no such thing here: the request is refused if the value asks for something, else the member is left out.
    Refused(fn(Value<'_>) -> bool),
    /// Not every value is taken: the request is refused if this one is beyond the vendor.
    Bounded(fn(Value<'_>) -> bool),
    /// Some of its words have others.
    Words(&'static [(&'static str, &'static str)]),
}

/// The first member that asks for what the vendor does not have.
pub(super) fn refused(fixes: Fixes, object: Value<'_>) -> Option<&'static str> {
    let beyond = |(name, fix): &&(&'static str, Fix)| match fix {
        Fix::Refused(beyond) | Fix::Bounded(beyond) => object.given(name).is_some_and(beyond),
        Fix::Named(_) | Fix::LeftOut | Fix::Words(_) => false,
    };
    fixes.iter().find(beyond).map(|(name, _)| *name)
}

/// Repairs the members of an object.
pub(super) fn apply(fixes: Fixes, nulls: Nulls, object: Value<'_>, edits: &mut Edits<'_>) {
    if fixes.is_empty() && nulls == Nulls::Default {
        return;
    }
    for (name, value) in object.entries().filter(|(_, value)| !value.is_null()) {
        match name.as_str().and_then(|name| find(fixes, &name)) {
            Some(Fix::Named(theirs)) => edits.replace(name, |w| w.string(theirs)),
            Some(Fix::Words(words)) => {
                let word = value.as_str().and_then(|word| words.iter().find(|(ours, _)| *ours == word));
                if let Some((_, theirs)) = word {
                    edits.replace(value, |w| w.string(theirs));
                }
            }
            Some(Fix::LeftOut | Fix::Refused(_) | Fix::Bounded(_)) | None => {}
        }
    }
    edits.remove(object, |name, value| match find(fixes, name) {
        Some(Fix::LeftOut | Fix::Refused(_)) => true,
        Some(Fix::Named(_) | Fix::Bounded(_) | Fix::Words(_)) => value.is_null() || is_taken(fixes, object, name),
        None => value.is_null() && nulls == Nulls::Mistake || is_taken(fixes, object, name),
    });
}

fn find(fixes: Fixes, name: &str) -> Option<Fix> {
    fixes.iter().find(|(known, _)| *known == name).map(|(_, fix)| *fix)
}

/// Whether another member is going to have this name.
fn is_taken(fixes: Fixes, object: Value<'_>, name: &str) -> bool {
    let takes = |(ours, fix): &(&str, Fix)| matches!(fix, Fix::Named(theirs) if *theirs == name && object.given(ours).is_some());
    fixes.iter().any(takes)
}

/// Whether a value asks for something: what OpenAI's fields with a neutral value have in common.
pub mod asks {
    use crate::json::{Kind, Value};

    /// Any value at all.
    pub fn always(_: Value<'_>) -> bool {
        true
    }

    /// More than nothing: no `false`, no zero, no empty list or object.
    pub fn something(value: Value<'_>) -> bool {
        match value.kind() {
            Kind::Null => false,
            Kind::Bool => value.as_bool() == Some(true),
            Kind::Number => value.as_f64() != Some(0.0),
            Kind::Plain | Kind::Escaped => true,
            Kind::Array | Kind::Object => !value.is_empty(),
        }
    }

    /// More than one of something, as `n` does.
    pub fn several(value: Value<'_>) -> bool {
        value.as_u64() != Some(1)
    }

    /// More than text, as `modalities` does.
    pub fn more_than_text(value: Value<'_>) -> bool {
        value.items().any(|item| item.as_str().as_deref() != Some("text"))
    }

    /// That a function be called, as `function_call` does.
    pub fn a_call(value: Value<'_>) -> bool {
        !matches!(value.as_str().as_deref(), Some("none" | "auto"))
    }

    /// That a legacy function has answered, as `role` does.
    pub fn a_function(value: Value<'_>) -> bool {
        value.as_str().as_deref() == Some("function")
    }

    /// That tools be chosen otherwise than the model likes, as `tool_choice` does.
    pub fn a_choice(value: Value<'_>) -> bool {
        value.as_str().as_deref() != Some("auto")
    }

    /// That there be no more than one call at once, as `parallel_tool_calls` does.
    pub fn one_at_a_time(value: Value<'_>) -> bool {
        value.as_bool() != Some(true)
    }

    /// That a schema be kept to, as `response_format` does.
    pub fn a_schema(value: Value<'_>) -> bool {
        value.text("type").as_deref() == Some("json_schema")
    }

    /// That an answer be stopped, as `moderation` does.
    pub fn blocking(value: Value<'_>) -> bool {
        let policy = value.get("policy");
        let mode = |side| policy.and_then(|policy| policy.get(side)).and_then(|rule| rule.text("mode"));
        ["input", "output"].into_iter().any(|side| mode(side).as_deref() == Some("block"))
    }

    /// Anything but text, as `input` does.
    pub fn tokens(value: Value<'_>) -> bool {
        value.items().any(|item| !item.is_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Doc;
    use crate::test;

    const FIXES: Fixes = &[
        ("max_completion_tokens", Fix::Named("max_tokens")),
        ("user", Fix::LeftOut),
        ("n", Fix::Refused(asks::several)),
        ("response_format", Fix::Bounded(asks::a_schema)),
        ("tool_choice", Fix::Words(&[("required", "any")])),
    ];

    fn doc(text: &str) -> Doc {
        Doc::parse(text.as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn changes_what_it_names() {
        for (before, after) in [
            (r#"{"a":1,"max_completion_tokens":5}"#, r#"{"a":1,"max_tokens":5}"#),
            (r#"{"max_tokens":9,"max_completion_tokens":5}"#, r#"{"max_tokens":5}"#),
            (r#"{"max_completion_tokens":5,"max_tokens":9}"#, r#"{"max_tokens":5}"#),
            (r#"{"max_completion_tokens":null,"max_tokens":9}"#, r#"{"max_tokens":9}"#),
            (r#"{"user":"u","n":1,"x":{"user":"u"}}"#, r#"{"x":{"user":"u"}}"#),
            (r#"{"n":null,"response_format":null,"tool_choice":null,"seed":null}"#, r#"{"seed":null}"#),
            (r#"{"tool_choice":"required","response_format":{}}"#, r#"{"tool_choice":"any","response_format":{}}"#),
            (r#"{"tool_choice":{"type":"function"}}"#, r#"{"tool_choice":{"type":"function"}}"#),
            (r#"{"\u0075ser":"u","tool_choice":"auto"}"#, r#"{"tool_choice":"auto"}"#),
        ] {
            let doc = doc(before);
            let mut edits = Edits::new(before.as_bytes());
            apply(FIXES, Nulls::Default, doc.root(), &mut edits);
            assert_eq!(String::from_utf8_lossy(&edits.applied()), after);
        }
    }

    #[test]
    fn refuses_what_asks_for_something() {
        for (text, name) in [
            (r#"{"n":2}"#, Some("n")),
            (r#"{"n":1,"response_format":{"type":"json_object"}}"#, None),
            (r#"{"response_format":{"type":"json_schema"}}"#, Some("response_format")),
            (r#"{"n":null,"max_completion_tokens":1,"user":"u","tool_choice":"required"}"#, None),
        ] {
            assert_eq!(refused(FIXES, doc(text).root()), name, "{text}");
        }
    }

    #[test]
    fn knows_a_neutral_value() {
        type Asks = fn(Value<'_>) -> bool;
        let cases: &[(Asks, &[&str], &[&str])] = &[
            (
                asks::something,
                &["null", "false", "0", "-0.0", "[]", "{}"],
                &["true", "0.1", "\"\"", "[0]", r#"{"1":1}"#],
            ),
            (asks::several, &["1", "1.0"], &["2", "0", "\"1\""]),
            (asks::more_than_text, &["[]", r#"["text"]"#], &[r#"["text","audio"]"#, "[1]"]),
            (asks::a_call, &[r#""none""#, r#""auto""#], &[r#"{"name":"f"}"#]),
            (asks::a_function, &[r#""user""#, r#""tool""#], &[r#""function""#]),
            (asks::a_choice, &[r#""auto""#], &[r#""none""#, r#""required""#, "{}"]),
            (asks::one_at_a_time, &["true"], &["false"]),
            (asks::a_schema, &["{}", r#"{"type":"json_object"}"#], &[r#"{"type":"json_schema"}"#]),
            (
                asks::blocking,
                &["{}", r#"{"policy":{"input":{"mode":"score"}}}"#],
                &[r#"{"policy":{"output":{"mode":"block"}}}"#],
            ),
            (asks::tokens, &[r#""a""#, r#"["a","b"]"#], &["[1]", "[[1]]"]),
            (asks::always, &[], &["{}"]),
        ];
        for (i, (asks, neutral, asking)) in cases.iter().enumerate() {
            neutral.iter().for_each(|text| assert!(!asks(doc(text).root()), "{i}: {text}"));
            asking.iter().for_each(|text| assert!(asks(doc(text).root()), "{i}: {text}"));
        }
    }
}
