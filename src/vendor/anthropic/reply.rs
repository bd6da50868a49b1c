//! A whole message becomes an answer; and what the stream shares with it: tokens and the reasons to stop.

use std::borrow::Cow;

use super::{structured, thoughts};
use crate::chat::Native;
use crate::chat::answer::{Answer, Finish, Head, ToolCall, Usage};
use crate::chat::tally::{self, Counted};
use crate::json::{Doc, Value};
use crate::vendor::failure::Reported;
use crate::vendor::{Asked, Fault, Whole};

/// Reads a message. Texts, which citations and tools split into blocks, are joined; blocks of unknown types and those
/// of tools that Anthropic ran itself are left out, as the client could not answer them.
pub(super) fn read(body: &[u8], asked: &Asked) -> Result<Whole<'static>, Fault> {
    const MESSAGE: Fault = Fault::Unreadable("an Anthropic message");
    let doc = Doc::parse(body.to_vec()).map_err(|_| MESSAGE)?;
    let message = doc.root();
    match message.text("type").as_deref() {
        Some("error") => return Err(Fault::Reported(Reported::read(message))),
        Some("message") => {}
        _ => return Err(MESSAGE),
    }
    let content = message.get("content").filter(|content| content.is_array()).ok_or(MESSAGE)?;
    let stop = Stop::read(message).unwrap_or_default();
    let mut tokens = Tokens::default();
    tokens.update(message);
    let usage = match tokens.counted() {
        Counted::All(usage) => Some(usage),
        Counted::Prompt(_) | Counted::Nothing => None,
    };
    let mut answer = Answer {
        head: head(message, asked),
        text: String::new(),
        reasoning: String::new(),
        refusal: stop.explanation,
        tool_calls: Vec::new(),
        finish: Finish::Stop,
        usage,
    };
    content.items().for_each(|block| add(&mut answer, block));
    if let Some(form) = content.items().find(|block| takes_the_answer(*block)) {
        answer.text = form.given("input").map_or("{}", Value::raw).to_owned();
    }
    answer.finish = finish(stop.finish, answer.tool_calls.len());
    let body = answer.render_more(&stop.native, |w| thoughts::render_answer(content, w));
    Ok(Whole { body: Cow::Owned(body), tally: answer.tally() })
}

fn takes_the_answer(block: Value<'_>) -> bool {
    block.text("type").as_deref() == Some("tool_use") && block.text("name").as_deref() == Some(structured::TOOL)
}

fn add(answer: &mut Answer, block: Value<'_>) {
    let text = |name: &str| block.text(name).unwrap_or_default();
    match &*text("type") {
        "text" => answer.text.push_str(&text("text")),
        "thinking" => answer.reasoning.push_str(&text("thinking")),
        "tool_use" if takes_the_answer(block) => {}
        "tool_use" => answer.tool_calls.push(ToolCall {
            id: text("id").into_owned(),
            name: text("name").into_owned(),
            arguments: block.given("input").map_or("{}", Value::raw).to_owned(),
        }),
        _ => {}
    }
}

/// The finish reason of an answer with so many tool calls. Without any the model stopped for a tool that took the answer,
/// and a client that was told to call something would look for it in vain.
pub(super) fn finish(said: Finish, calls: usize) -> Finish {
    if said == Finish::ToolCalls && calls == 0 { Finish::Stop } else { said }
}

/// Id and model as the vendor says, the time as Weir does: a message carries none.
pub(super) fn head(message: Value<'_>, asked: &Asked) -> Head {
    Head {
        id: message.text("id").unwrap_or_default().into_owned(),
        created: asked.created,
        model: message.text("model").map_or_else(|| asked.model.clone(), Into::into),
    }
}

/// Why the model stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stop {
    pub(super) finish: Finish,
    /// The reason in Anthropic's words, where OpenAI has none for it.
    pub(super) native: Native,
    /// What a refusal gives as its grounds; empty means none.
    pub(super) explanation: String,
}

impl Default for Stop {
    fn default() -> Stop {
        Stop { finish: Finish::Stop, native: Native::default(), explanation: String::new() }
    }
}

impl Stop {
    /// Reads `stop_reason`, `stop_sequence` and `stop_details`; `None` while there is no reason. A reason that is not known yet is an
    /// end like another, and no ground to throw the answer away.
    pub(super) fn read(from: Value<'_>) -> Option<Stop> {
        let reason = from.text("stop_reason")?;
        let finish = match &*reason {
            "max_tokens" | "model_context_window_exceeded" => Finish::Length,
            "tool_use" => Finish::ToolCalls,
            "refusal" => Finish::ContentFilter,
            _ => Finish::Stop,
        };
        let explanation = from.get("stop_details").and_then(|details| details.text("explanation"));
        let native = Native::new(&reason, from.text("stop_sequence"));
        Some(Stop { finish, native, explanation: explanation.unwrap_or_default().into_owned() })
    }
}

/// Anthropic's count of tokens. Its input leaves the prompt cache out, OpenAI's holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Tokens {
    input: Option<u64>,
    cache_read: u64,
    cache_write: u64,
    output: Option<u64>,
    thinking: u64,
}

impl Tokens {
    /// The counts of a message that has only begun: what it says of the answer was counted before there was one.
    pub(super) fn of_start(message: Value<'_>) -> Tokens {
        let mut tokens = Tokens::default();
        tokens.update(message);
        Tokens { output: None, ..tokens }
    }

    /// Takes over the counts of the member `usage`. They are totals, also in the middle of a stream: a new one replaces
    /// the old, one that is missing, null or no plausible number leaves it.
    pub(super) fn update(&mut self, holder: Value<'_>) {
        let Some(usage) = holder.given("usage") else {
            return;
        };
        let details = usage.given("output_tokens_details");
        let take = |name: &str| tally::tokens(usage, name);
        self.input = take("input_tokens").or(self.input);
        self.cache_read = take("cache_read_input_tokens").unwrap_or(self.cache_read);
        self.cache_write = take("cache_creation_input_tokens").unwrap_or(self.cache_write);
        self.output = take("output_tokens").or(self.output);
        let thinking = details.and_then(|details| tally::tokens(details, "thinking_tokens"));
        self.thinking = thinking.unwrap_or(self.thinking);
    }

    /// How much of them is counted.
    pub(super) fn counted(&self) -> Counted {
        match (self.input, self.output) {
            (Some(_), Some(_)) => Counted::All(self.usage()),
            (Some(_), None) => Counted::Prompt(self.usage()),
            (None, _) => Counted::Nothing,
        }
    }

    /// The same by OpenAI's definition; what is not known is 0.
    pub(super) fn usage(&self) -> Usage {
        let completion = self.output.unwrap_or(0);
        Usage {
            prompt: self.input.unwrap_or(0).saturating_add(self.cache_read).saturating_add(self.cache_write),
            completion,
            cached: self.cache_read,
            cache_write: self.cache_write,
            reasoning: self.thinking.min(completion),
        }
    }
}
