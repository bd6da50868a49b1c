//! What is worth keeping.
//!
//! A kept answer is given again as if the vendor had just said it. So it must be one that the vendor could say again:
//! an answer that a filter cut or withheld may be let through next time, and one that broke off helps nobody. An answer
//! that reached its maximum of tokens is kept: the maximum is a part of the key, and whoever asks again would get no
//! longer one. A model that says by itself that it will not answer has answered.

use crate::chat::{Request, Task, embeddings};
use crate::json::{Doc, Value};

/// Why an answer is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfit {
    /// It is, or has in it, an error.
    Error,
    /// It has no choices.
    Empty,
    /// A choice has no message, or did not end in a way that is known.
    Unfinished,
    /// A filter withheld some of it, or objected to the prompt.
    Filtered,
}

impl Unfit {
    /// A word for headers and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Unfit::Error => "error",
            Unfit::Empty => "empty",
            Unfit::Unfinished => "unfinished",
            Unfit::Filtered => "filtered",
        }
    }
}

/// Whether a whole answer, a `chat.completion` or a list of vectors, may be kept.
pub fn keepable(task: Task, answer: &Doc) -> Result<(), Unfit> {
    let root = answer.root();
    if root.given("error").is_some() {
        return Err(Unfit::Error);
    }
    if task == Task::Embeddings {
        return if embeddings::is_whole(answer) { Ok(()) } else { Err(Unfit::Empty) };
    }
    let choices = root.get("choices").filter(|choices| choices.is_array() && !choices.is_empty());
    choices.ok_or(Unfit::Empty)?.items().try_for_each(whole)?;
    let mut prompts = root.get("prompt_filter_results").into_iter().flat_map(Value::items);
    if prompts.any(filtered) { Err(Unfit::Filtered) } else { Ok(()) }
}

/// Whether a request leaves nothing to chance, as far as a client can say so. The vendor may still; but who asks for
/// the likeliest answer does not mind to get the same again. Tools and searches look at a world that changes. A vector
/// of a text is always the same.
pub fn deterministic(request: &Request) -> bool {
    if request.task() == Task::Embeddings {
        return true;
    }
    let root = request.root();
    let greedy = root.given("temperature").and_then(Value::as_f64) == Some(0.0);
    let looks = ["tools", "functions", "web_search_options"];
    // Not even an empty list of tools is one; an empty wish for a search is.
    let looks = looks.iter().filter_map(|name| root.given(name)).any(|given| given.is_object() || !given.is_empty());
    greedy && !looks
}

fn whole(choice: Value<'_>) -> Result<(), Unfit> {
    if choice.given("error").is_some() {
        return Err(Unfit::Error);
    }
    match choice.text("finish_reason").as_deref() {
        Some("content_filter") => Err(Unfit::Filtered),
        _ if filtered(choice) => Err(Unfit::Filtered),
        Some("stop" | "length" | "tool_calls" | "function_call")
            if choice.get("message").is_some_and(Value::is_object) =>
        {
            Ok(())
        }
        _ => Err(Unfit::Unfinished),
    }
}

/// Whether one of the filters that Azure lists beside a choice or a prompt struck.
fn filtered(holder: Value<'_>) -> bool {
    let results = holder.get("content_filter_results").into_iter().flat_map(Value::members);
    results.into_iter().any(|(_, result)| result.get("filtered").and_then(Value::as_bool) == Some(true))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test;

    fn unfit(answer: &str) -> Option<&'static str> {
        keepable(Task::Chat, &Doc::parse(answer.as_bytes().to_vec()).unwrap()).err().map(Unfit::name)
    }

    fn choice(finish: &str, more: &str) -> String {
        format!(r#"{{"index":0,"message":{{"role":"assistant","content":"x"}},"finish_reason":{finish}{more}}}"#)
    }

    #[test]
    fn keeps_what_could_be_said_again() {
        let struck = r#","content_filter_results":{"hate":{"filtered":false},"violence":{"filtered":true}}"#;
        let passed = r#","content_filter_results":{"hate":{"filtered":false},"error":{"code":"x"}}"#;
        for (finish, more, verdict) in [
            (r#""stop""#, "", None),
            (r#""length""#, "", None),
            (r#""tool_calls""#, "", None),
            (r#""function_call""#, "", None),
            (r#""stop""#, passed, None),
            (r#""stop""#, struck, Some("filtered")),
            (r#""content_filter""#, "", Some("filtered")),
            ("null", "", Some("unfinished")),
            (r#""error""#, "", Some("unfinished")),
            ("7", "", Some("unfinished")),
            (r#""stop""#, r#","error":{"code":502}"#, Some("error")),
        ] {
            let one = choice(finish, more);
            assert_eq!(unfit(&format!(r#"{{"choices":[{one}]}}"#)), verdict, "{one}");
            let two = [choice(r#""stop""#, ""), one].join(",");
            assert_eq!(unfit(&format!(r#"{{"choices":[{two}]}}"#)), verdict, "{two}");
        }
    }

    #[test]
    fn keeps_nothing_that_is_no_answer() {
        let good = choice(r#""stop""#, "");
        let prompt = r#"{"prompt_index":0,"content_filter_results":{"jailbreak":{"filtered":true}}}"#;
        for (answer, verdict) in [
            ("{}".to_owned(), "empty"),
            ("[]".to_owned(), "empty"),
            (r#"{"choices":[]}"#.to_owned(), "empty"),
            (r#"{"choices":{"a":1}}"#.to_owned(), "empty"),
            (r#"{"choices":[7]}"#.to_owned(), "unfinished"),
            (r#"{"choices":[{"finish_reason":"stop"}]}"#.to_owned(), "unfinished"),
            (format!(r#"{{"choices":[{good}],"error":{{"message":"x"}}}}"#), "error"),
            (format!(r#"{{"choices":[{good}],"prompt_filter_results":[{prompt}]}}"#), "filtered"),
        ] {
            assert_eq!(unfit(&answer), Some(verdict), "{answer}");
        }
        assert_eq!(unfit(&format!(r#"{{"choices":[{good}],"error":null}}"#)), None);
    }

    #[test]
    fn keeps_vectors() {
        for (answer, verdict) in [
            (r#"{"data":[{"embedding":[1]},{"embedding":"AA=="}]}"#, Ok(())),
            (r#"{"data":[{"embedding":[1]},{"embedding":[]}]}"#, Err(Unfit::Empty)),
            (r#"{"data":[]}"#, Err(Unfit::Empty)),
            (r#"{"choices":[]}"#, Err(Unfit::Empty)),
            (r#"{"data":[{"embedding":[1]}],"error":{}}"#, Err(Unfit::Error)),
        ] {
            assert_eq!(keepable(Task::Embeddings, &Doc::parse(answer.into()).unwrap()), verdict, "{answer}");
        }
    }

    #[test]
    fn knows_what_leaves_nothing_to_chance() {
        for (more, verdict) in [
            ("", false),
            (r#","temperature":0"#, true),
            (r#","temperature":0.0,"tools":[],"functions":null"#, true),
            (r#","temperature":-0e3,"seed":7"#, true),
            (r#","temperature":0.1"#, false),
            (r#","temperature":null"#, false),
            (r#","temperature":0,"tools":[{"type":"function"}]"#, false),
            (r#","temperature":0,"functions":[{"name":"f"}]"#, false),
            (r#","temperature":0,"web_search_options":{}"#, false),
        ] {
            let body = format!(r#"{{"model":"m","messages":[{{"role":"user","content":"x"}}]{more}}}"#);
            assert_eq!(deterministic(&Request::parse(body.into_bytes()).unwrap()), verdict, "{more}");
        }
    }
}
