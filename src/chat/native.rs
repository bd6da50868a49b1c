//! How an answer ended in its vendor's own words, where OpenAI's say less.
//!
//! OpenAI's list of reasons is closed, and strict clients refuse any other: that a stop sequence ended an answer is only
//! `stop` there. So the choice says the rest beside its `finish_reason`, in `native_finish_reason`, which is OpenRouter's
//! name for it, and `stop_sequence`. Clients of Anthropic's Messages are told; others pass over what they do not know.

use std::borrow::Cow;

use crate::json::{Value, Writer};

/// The vendor's own words, where they say more; empty where not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Native {
    /// One of [`REASONS`].
    pub reason: Option<&'static str>,
    /// What the model had written when it was stopped, where the vendor says so.
    pub sequence: Option<String>,
}

/// Anthropic's reasons to stop that OpenAI has no word for.
const REASONS: [&str; 3] = [STOP_SEQUENCE, "pause_turn", "model_context_window_exceeded"];

const STOP_SEQUENCE: &str = "stop_sequence";

impl Native {
    /// Of a reason in Anthropic's words, which are Bedrock's, too, and the sequence that stopped the model.
    pub fn new(reason: &str, sequence: Option<Cow<'_, str>>) -> Native {
        let reason = REASONS.into_iter().find(|known| *known == reason);
        let sequence = sequence.filter(|_| reason == Some(STOP_SEQUENCE)).map(Cow::into_owned);
        Native { reason, sequence }
    }

    /// What a choice says; `None` if it says nothing of it.
    pub fn read(choice: Value<'_>) -> Option<Native> {
        let reason = choice.text("native_finish_reason")?;
        Some(Native::new(&reason, choice.text("stop_sequence")))
    }

    /// Writes the members of a choice, where there is something to say.
    pub(super) fn render(&self, w: &mut Writer) {
        if let Some(reason) = self.reason {
            w.key("native_finish_reason").string(reason);
        }
        if let Some(sequence) = &self.sequence {
            w.key("stop_sequence").string(sequence);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Doc;
    use crate::test;

    #[test]
    fn says_only_what_is_lost_otherwise() {
        for (choice, rendered) in [
            (
                r#"{"native_finish_reason":"stop_sequence","stop_sequence":"\u0045ND"}"#,
                r#"{"native_finish_reason":"stop_sequence","stop_sequence":"END"}"#,
            ),
            (
                r#"{"native_finish_reason":"stop_sequence","stop_sequence":null}"#,
                r#"{"native_finish_reason":"stop_sequence"}"#,
            ),
            (
                r#"{"native_finish_reason":"pause_turn","stop_sequence":"a"}"#,
                r#"{"native_finish_reason":"pause_turn"}"#,
            ),
            (r#"{"native_finish_reason":"STOP","stop_sequence":"a"}"#, "{}"),
            (r#"{"native_finish_reason":7}"#, "{}"),
            (r#"{"finish_reason":"stop","stop_sequence":"a"}"#, "{}"),
        ] {
            let doc = Doc::parse(choice.as_bytes().to_vec()).unwrap();
            let mut w = Writer::default();
            w.object(|w| Native::read(doc.root()).unwrap_or_default().render(w));
            assert_eq!(String::from_utf8(w.finish()).unwrap(), rendered, "{choice}");
        }
    }
}
