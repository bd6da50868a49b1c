//! How hard to think: OpenAI's `reasoning_effort`, or Anthropic's budget, in Gemini's two ways of saying it.
//!
//! The word is a wish, so what a model cannot be told becomes the nearest that it can; only `none` is more than that, and
//! is refused for a model that cannot but think. Whoever asks for thoughts gets to read their summary.

use super::models::Thinking;
use crate::json::{Value, Writer};
use crate::vendor::{Unsupported, edits};

/// Whether a model can do without thinking, if that is what the client wants. One of four levels thinks next to nothing at
/// `minimal`, which is what Google's own surface makes of `none`.
pub(super) fn check(root: Value<'_>, thinking: Thinking) -> Result<(), Unsupported> {
    match thinking {
        Thinking::Budget(1..) | Thinking::TwoLevels | Thinking::ThreeLevels => {}
        Thinking::None | Thinking::Budget(0) | Thinking::FourLevels => return Ok(()),
    }
    match root.text("reasoning_effort").as_deref() {
        Some("none") => Err(Unsupported::new("reasoning_effort")),
        _ => Ok(()),
    }
}

/// Writes the member `thinkingConfig`, if there is anything to say.
pub(super) fn render(root: Value<'_>, thinking: Thinking, w: &mut Writer) {
    let Some(effort) = root.text("reasoning_effort").or_else(|| edits::effort(root).map(Into::into)) else {
        return;
    };
    let said = match thinking {
        Thinking::None => return,
        Thinking::Budget(least) => Said::Budget(budget(&effort, least)),
        Thinking::TwoLevels | Thinking::ThreeLevels | Thinking::FourLevels => Said::Level(level(&effort, thinking)),
    };
    w.key("thinkingConfig").object(|w| {
        if effort != "none" {
            w.key("includeThoughts").bool(true);
        }
        match said {
            Said::Budget(budget) => w.key("thinkingBudget").number(budget),
            Said::Level(level) => w.key("thinkingLevel").string(level),
        }
    });
}

enum Said {
    Budget(u64),
    Level(&'static str),
}

/// The budgets that Google's own OpenAI-compatible surface gives these words; its page on compatibility has the table.
fn budget(effort: &str, least: u64) -> u64 {
    match effort {
        "none" => least,
        "minimal" | "low" => 1024,
        "medium" => 8192,
        _ => 24_576,
    }
}

fn level(effort: &str, thinking: Thinking) -> &'static str {
    match (effort, thinking) {
        ("none" | "minimal", Thinking::FourLevels) => "minimal",
        ("none" | "minimal" | "low", _) => "low",
        ("medium", Thinking::ThreeLevels | Thinking::FourLevels) => "medium",
        _ => "high",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Doc;
    use crate::test;

    #[test]
    fn no_thinking_is_refused_where_there_is_no_such_thing() {
        for (effort, thinking, good) in [
            ("none", Thinking::None, true),
            ("none", Thinking::Budget(0), true),
            ("none", Thinking::Budget(128), false),
            ("minimal", Thinking::Budget(128), true),
            ("none", Thinking::TwoLevels, false),
            ("none", Thinking::ThreeLevels, false),
            ("low", Thinking::ThreeLevels, true),
            ("none", Thinking::FourLevels, true),
        ] {
            let doc = Doc::parse(format!(r#"{{"reasoning_effort":"{effort}"}}"#).into_bytes()).unwrap();
            assert_eq!(check(doc.root(), thinking).is_ok(), good, "{effort} {thinking:?}");
        }
    }

    #[test]
    fn each_model_is_told_in_its_own_way() {
        let (budget, none) = (|n: &str| format!(r#"{{"includeThoughts":true,"thinkingBudget":{n}}}"#), String::new);
        let level = |word: &str| format!(r#"{{"includeThoughts":true,"thinkingLevel":"{word}"}}"#);
        for (effort, thinking, config) in [
            ("high", Thinking::None, none()),
            ("none", Thinking::Budget(0), r#"{"thinkingBudget":0}"#.to_owned()),
            ("none", Thinking::Budget(128), r#"{"thinkingBudget":128}"#.to_owned()),
            ("minimal", Thinking::Budget(128), budget("1024")),
            ("medium", Thinking::Budget(0), budget("8192")),
            ("max", Thinking::Budget(0), budget("24576")),
            ("none", Thinking::FourLevels, r#"{"thinkingLevel":"minimal"}"#.to_owned()),
            ("none", Thinking::TwoLevels, r#"{"thinkingLevel":"low"}"#.to_owned()),
            ("minimal", Thinking::ThreeLevels, level("low")),
            ("medium", Thinking::TwoLevels, level("high")),
            ("medium", Thinking::ThreeLevels, level("medium")),
            ("xhigh", Thinking::FourLevels, level("high")),
        ] {
            let doc = Doc::parse(format!(r#"{{"reasoning_effort":"{effort}"}}"#).into_bytes()).unwrap();
            let mut w = Writer::default();
            w.object(|w| render(doc.root(), thinking, w));
            let expected =
                if config.is_empty() { "{}".to_owned() } else { format!(r#"{{"thinkingConfig":{config}}}"#) };
            assert_eq!(String::from_utf8(w.finish()).unwrap(), expected, "{effort} {thinking:?}");
        }
    }
}
