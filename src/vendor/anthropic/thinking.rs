//! How hard to think: OpenAI's `reasoning_effort` in Anthropic's three ways of saying it.
//!
//! The word is a wish, so it is left out where a model cannot be told, and where thinking is barred by something that
//! the client asked for in so many words: a sampling parameter, a tool that must be called, a low token limit, or (on
//! models that count thinking in tokens) a conversation with tool calls, whose own thoughts would have to be sent back
//! and which OpenAI's format cannot hold. A client that knows Anthropic sends `thinking`, and then that is what counts.

use super::models::Thinking;
use crate::json::{Value, Writer};

/// What else in a request decides whether the model may think.
pub(super) struct Room {
    /// The model's way.
    pub(super) thinking: Thinking,
    /// The token limit, thinking included.
    pub(super) max_tokens: u64,
    /// Whether sampling and choice of tools leave thinking allowed.
    pub(super) allowed: bool,
    /// Whether a tool was called before.
    pub(super) has_calls: bool,
}

/// Writes the members `thinking` and `output_config`.
pub(super) fn render(root: Value<'_>, room: &Room, w: &mut Writer) {
    let own = root.given("thinking");
    super::parts::copy("thinking", own, w);
    let Some(word) = root.text("reasoning_effort").filter(|word| word != "none") else {
        return;
    };
    let word = if word == "minimal" { "low" } else { &word };
    if own.is_none() && room.allowed {
        match room.thinking {
            Thinking::Adaptive => w.key("thinking").object(|w| w.key("type").string("adaptive")),
            Thinking::Budget if !room.has_calls => render_budget(budget(word), room.max_tokens, w),
            Thinking::Budget | Thinking::Effort | Thinking::None => {}
        }
    }
    if matches!(room.thinking, Thinking::Adaptive | Thinking::Effort) {
        w.key("output_config").object(|w| w.key("effort").string(word));
    }
}

/// A budget must stay below the limit for the whole answer.
fn render_budget(budget: u64, max_tokens: u64, w: &mut Writer) {
    let budget = budget.min(max_tokens.saturating_sub(1));
    if budget >= LEAST {
        w.key("thinking").object(|w| {
            w.key("type").string("enabled");
            w.key("budget_tokens").number(budget);
        });
    }
}

/// Anthropic's least budget.
const LEAST: u64 = 1024;

/// Powers of two from the least on, the same as in the gateways that clients come from.
fn budget(word: &str) -> u64 {
    match word {
        "medium" => 2 * LEAST,
        "high" => 4 * LEAST,
        "xhigh" => 8 * LEAST,
        "max" => 16 * LEAST,
        _ => LEAST,
    }
}
