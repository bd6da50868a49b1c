//! How hard to think: OpenAI's `reasoning_effort` in Anthropic's three ways of saying it.
//!
//! The word is a wish, so it is left out where a model cannot be told, and where thinking is barred by something that
//! the client asked for in so many words: a sampling parameter, a tool that must be called, a low token limit, or (on
//! models that count thinking in tokens) a tool call that the client sends back without the thoughts that led to it. A
//! client that knows Anthropic sends `thinking`, and then that is what counts.

use std::borrow::Cow;

use super::models::Thinking;
use super::parts::copy;
use crate::json::{Value, Writer};

/// What else in a request decides whether the model may think.
pub(in crate::vendor) struct Room {
    /// The model's way.
    pub(in crate::vendor) thinking: Thinking,
    /// The token limit, thinking included.
    pub(in crate::vendor) max_tokens: u64,
    /// Whether sampling and choice of tools leave thinking allowed.
    pub(in crate::vendor) allowed: bool,
    /// Whether the last tool calls came back without their thoughts.
    pub(in crate::vendor) thoughtless: bool,
}

/// What a model is told.
pub(in crate::vendor) struct Advice<'r> {
    thinking: Told<'r>,
    /// Anthropic's word, for the member `output_config`.
    pub(in crate::vendor) effort: Option<Cow<'r, str>>,
}

enum Told<'r> {
    Nothing,
    Own(Value<'r>),
    Adaptive,
    Budget(u64),
}

impl<'r> Advice<'r> {
    /// Reads the client's wish.
    pub(in crate::vendor) fn read(root: Value<'r>, room: &Room) -> Advice<'r> {
        let own = root.given("thinking").map_or(Told::Nothing, Told::Own);
        let Some(word) = root.text("reasoning_effort").filter(|word| word != "none") else {
            return Advice { thinking: own, effort: None };
        };
        let word = if word == "minimal" { "low".into() } else { word };
        let thinking = match (own, room.thinking) {
            (Told::Own(own), _) => Told::Own(own),
            (_, Thinking::Adaptive) if room.allowed => Told::Adaptive,
            (_, Thinking::Budget) if room.allowed && !room.thoughtless => budget(&word, room.max_tokens),
            _ => Told::Nothing,
        };
        let effort = matches!(room.thinking, Thinking::Adaptive | Thinking::Effort).then_some(word);
        Advice { thinking, effort }
    }

    /// Whether the model hears nothing of it.
    pub(in crate::vendor) fn is_silent(&self) -> bool {
        matches!(self.thinking, Told::Nothing | Told::Own(_)) && self.effort.is_none()
    }

    /// Writes the member `thinking`.
    pub(in crate::vendor) fn render(&self, w: &mut Writer) {
        match self.thinking {
            Told::Nothing => {}
            Told::Own(own) => copy("thinking", Some(own), w),
            Told::Adaptive => w.key("thinking").object(|w| w.key("type").string("adaptive")),
            Told::Budget(tokens) => w.key("thinking").object(|w| {
                w.key("type").string("enabled");
                w.key("budget_tokens").number(tokens);
            }),
        }
    }
}

/// A budget must stay below the limit for the whole answer.
fn budget(word: &str, max_tokens: u64) -> Told<'static> {
    match wanted(word).min(max_tokens.saturating_sub(1)) {
        tokens if tokens >= LEAST => Told::Budget(tokens),
        _ => Told::Nothing,
    }
}

/// Anthropic's least budget.
const LEAST: u64 = 1024;

/// Powers of two from the least on, the same as in the gateways that clients come from.
fn wanted(word: &str) -> u64 {
    match word {
        "medium" => 2 * LEAST,
        "high" => 4 * LEAST,
        "xhigh" => 8 * LEAST,
        "max" => 16 * LEAST,
        _ => LEAST,
    }
}
