//! What is known of an answer's tokens: what its vendor counted, and how much text came.
//!
//! Vendors count at the end, if at all, and an answer that was cut short was never counted. So whoever reads an answer
//! keeps a [`Tally`] of it, which is right at every moment: from it the tokens can be told, or estimated.

use super::answer::{Answer, Delta, Thought, Usage};
use super::request::MOST_TOKENS;
use crate::json::Value;

/// The tokens of an answer, or of as much of it as has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// What the vendor counted.
    pub counted: Counted,
    /// Bytes of text, reasoning, refusals and tool calls that came. Not kept of a whole answer that was counted.
    pub written: u64,
}

/// How much of an answer its vendor has counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Counted {
    /// Nothing.
    #[default]
    Nothing,
    /// The prompt. What the usage says of the answer is no more than its beginning.
    Prompt(Usage),
    /// Prompt and answer.
    All(Usage),
}

impl Usage {
    /// The member `usage` of an answer or a chunk in OpenAI's format. `None` if it is absent, or if prompt or answer are
    /// no plausible number of tokens: negative, fractional, no number, or beyond [`MOST_TOKENS`]. Money hangs on these.
    /// Details that are no such number, which only make the prompt cheaper or dearer, count as none.
    pub fn read(holder: Value<'_>) -> Option<Usage> {
        let usage = holder.given("usage")?;
        let detail = |list: &str, name: &str| usage.get(list).and_then(|list| tokens(list, name)).unwrap_or(0);
        let prompt = tokens(usage, "prompt_tokens")?;
        let completion = tokens(usage, "completion_tokens")?;
        let cached = detail("prompt_tokens_details", "cached_tokens").min(prompt);
        Some(Usage {
            prompt,
            completion,
            cached,
            cache_write: detail("prompt_tokens_details", "cache_write_tokens").min(prompt - cached),
            reasoning: detail("completion_tokens_details", "reasoning_tokens").min(completion),
        })
    }
}

impl Answer {
    /// Its tokens.
    pub fn tally(&self) -> Tally {
        match self.usage {
            Some(usage) => Tally { counted: Counted::All(usage), written: 0 },
            None => Tally { counted: Counted::Nothing, written: self.written() },
        }
    }

    fn written(&self) -> u64 {
        let calls: usize = self.tool_calls.iter().map(|call| call.name.len() + call.arguments.len()).sum();
        (self.text.len() + self.reasoning.len() + self.refusal.len() + calls) as u64
    }
}

impl Delta<'_> {
    /// How many bytes of it the model wrote.
    pub fn written(&self) -> u64 {
        match self {
            Delta::Role | Delta::Thought { piece: Thought::Signature(_) | Thought::Redacted(_), .. } => 0,
            Delta::Thought { piece: Thought::Text(text), .. } => text.len() as u64,
            Delta::Text(text) | Delta::Reasoning(text) | Delta::Refusal(text) => text.len() as u64,
            Delta::Call { name, .. } => name.len() as u64,
            Delta::Arguments { piece, .. } => piece.len() as u64,
        }
    }
}

/// A plausible number of tokens.
pub fn tokens(usage: Value<'_>, name: &str) -> Option<u64> {
    usage.get(name)?.as_u64().filter(|tokens| *tokens <= MOST_TOKENS)
}

/// How many bytes the model wrote in a message, or in a piece of one, in OpenAI's format.
pub fn written(message: Value<'_>) -> u64 {
    message
        .members()
        .map(|(name, value)| match &*name {
            "content" | "refusal" | "reasoning_content" | "reasoning" => length(value),
            "tool_calls" => value.items().map(call).sum(),
            "function_call" => called(value),
            _ => 0,
        })
        .sum()
}

fn call(call: Value<'_>) -> u64 {
    let custom = call.get("custom").map_or(0, |custom| member(custom, "name") + member(custom, "input"));
    call.get("function").map_or(0, called) + custom
}

fn called(function: Value<'_>) -> u64 {
    member(function, "name") + member(function, "arguments")
}

fn member(object: Value<'_>, name: &str) -> u64 {
    object.get(name).map_or(0, length)
}

fn length(value: Value<'_>) -> u64 {
    value.as_str().map_or(0, |text| text.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Doc;
    use crate::test;

    fn usage(text: &str) -> Option<Usage> {
        Usage::read(Doc::parse(format!(r#"{{"usage":{text}}}"#).into_bytes()).unwrap().root())
    }

    #[test]
    fn reads_openais_usage() {
        let text = r#"{"prompt_tokens":100,"completion_tokens":20,"total_tokens":120,
            "prompt_tokens_details":{"cached_tokens":60,"cache_write_tokens":30},
            "completion_tokens_details":{"reasoning_tokens":15}}"#;
        let all = Usage { prompt: 100, completion: 20, cached: 60, cache_write: 30, reasoning: 15 };
        assert_eq!(usage(text), Some(all));
        let plain = Usage { prompt: 3, completion: 0, ..Usage::default() };
        assert_eq!(usage(r#"{"prompt_tokens":3.0,"completion_tokens":0,"prompt_tokens_details":null}"#), Some(plain));
    }

    #[test]
    fn nonsense_is_no_report() {
        for text in ["null", "7", "\"12\"", "[]", "{}", r#"{"prompt_tokens":3}"#, r#"{"completion_tokens":3}"#] {
            assert_eq!(usage(text), None, "{text}");
        }
        for number in ["null", "-1", "1.5", "\"7\"", "20000001", "1e30", "[1]", "true"] {
            assert_eq!(usage(&format!(r#"{{"prompt_tokens":{number},"completion_tokens":1}}"#)), None, "{number}");
            assert_eq!(usage(&format!(r#"{{"prompt_tokens":1,"completion_tokens":{number}}}"#)), None, "{number}");
        }
    }

    #[test]
    fn a_part_is_not_more_than_its_whole() {
        let details = |cached: &str, write: &str| {
            let details = format!(r#"{{"cached_tokens":{cached},"cache_write_tokens":{write}}}"#);
            usage(&format!(r#"{{"prompt_tokens":10,"completion_tokens":1,"prompt_tokens_details":{details}}}"#))
                .map(|usage| (usage.cached, usage.cache_write))
        };
        for (cached, write, read) in [
            ("4", "5", (4, 5)),
            ("4", "7", (4, 6)),
            ("11", "5", (10, 0)),
            ("-1", "\"x\"", (0, 0)),
            ("null", "1e99", (0, 0)),
        ] {
            assert_eq!(details(cached, write), Some(read), "{cached} {write}");
        }
        let thought = r#""completion_tokens_details":{"reasoning_tokens":9}"#;
        let thought = usage(&format!(r#"{{"prompt_tokens":10,"completion_tokens":1,{thought}}}"#));
        assert_eq!(thought.map(|usage| usage.reasoning), Some(1));
    }

    #[test]
    fn measures_what_was_written() {
        for (message, bytes) in [
            (r#"{"role":"assistant","content":"abc"}"#, 3),
            (r#"{"content":"\u00e9\n","refusal":null}"#, 3),
            (r#"{"reasoning_content":"ab","refusal":"c","content":null}"#, 3),
            (r#"{"tool_calls":[{"index":0,"id":"x","function":{"name":"ab","arguments":"{}"}}]}"#, 4),
            (r#"{"tool_calls":[{"custom":{"name":"ab","input":"cde"}}],"function_call":{"name":"f"}}"#, 6),
            ("{}", 0),
            (r#"{"content":[1],"tool_calls":3}"#, 0),
        ] {
            let doc = Doc::parse(message.as_bytes().to_vec()).unwrap();
            assert_eq!(written(doc.root()), bytes, "{message}");
        }
    }
}
