//! A whole reply becomes an answer; and what the stream shares with it: tokens and the reasons to stop.

use std::borrow::Cow;

use crate::chat::answer::{Answer, Finish, Head, ToolCall, Usage};
use crate::chat::{Native, tally};
use crate::json::{Doc, Value, Writer};
use crate::vendor::failure::Reported;
use crate::vendor::{Asked, Fault, Whole};

/// Reads a reply. Texts, which citations split into blocks, are joined; blocks of unknown types are left out.
pub(super) fn read(body: &[u8], asked: &Asked) -> Result<Whole<'static>, Fault> {
    const REPLY: Fault = Fault::Unreadable("a Bedrock reply");
    let doc = Doc::parse(body.to_vec()).map_err(|_| REPLY)?;
    let reply = doc.root();
    let Some(message) = reply.get("output").and_then(|output| output.get("message")) else {
        // Errors have a status of their own, unless a machine in front of Bedrock is mistaken.
        let error = ["message", "Message"].iter().any(|name| reply.text(name).is_some());
        return Err(if error { Fault::Reported(Reported::parse(body)) } else { REPLY });
    };
    let content = message.get("content").filter(|content| content.is_array()).ok_or(REPLY)?;
    let mut answer = Answer {
        head: head(asked),
        text: String::new(),
        reasoning: String::new(),
        refusal: String::new(),
        tool_calls: Vec::new(),
        finish: Finish::Stop,
        usage: usage(reply),
    };
    content.items().for_each(|block| add(&mut answer, block));
    let stop = Stop::read(reply);
    answer.finish = finish(stop.finish, answer.tool_calls.len());
    let body = answer.render_more(&stop.native, |w| render_thoughts(content, w));
    Ok(Whole { body: Cow::Owned(body), tally: answer.tally() })
}

fn add(answer: &mut Answer, block: Value<'_>) {
    if let Some(text) = block.text("text") {
        answer.text.push_str(&text);
    } else if let Some(cited) = block.get("citationsContent") {
        let pieces = cited.given("content").into_iter().flat_map(Value::items);
        pieces.filter_map(|piece| piece.text("text")).for_each(|text| answer.text.push_str(&text));
    } else if let Some(thought) = block.get("reasoningContent").and_then(|thought| thought.get("reasoningText")) {
        answer.reasoning.push_str(&thought.text("text").unwrap_or_default());
    } else if let Some(call) = block.get("toolUse") {
        let text = |name: &str| call.text(name).unwrap_or_default().into_owned();
        let arguments = call.given("input").map_or("{}", Value::raw).to_owned();
        answer.tool_calls.push(ToolCall { id: text("toolUseId"), name: text("name"), arguments });
    }
}

/// Writes the member `thinking_blocks`, in Anthropic's words as clients know them, if there are thoughts that can be
/// brought back: those that are signed, and those that nobody else can read.
fn render_thoughts(content: Value<'_>, w: &mut Writer) {
    let thoughts = content.items().filter_map(|block| block.get("reasoningContent"));
    let mut signed = thoughts.filter_map(Signed::read).peekable();
    if signed.peek().is_some() {
        w.key("thinking_blocks").array(|w| signed.for_each(|thought| thought.render(w)));
    }
}

enum Signed<'d> {
    Open { text: Option<Value<'d>>, signature: Value<'d> },
    Redacted(Value<'d>),
}

impl<'d> Signed<'d> {
    fn read(thought: Value<'d>) -> Option<Signed<'d>> {
        let full = |holder: Value<'d>, name: &str| {
            holder.get(name).filter(|text| text.is_string()).filter(|text| text.raw() != "\"\"")
        };
        if let Some(data) = full(thought, "redactedContent") {
            return Some(Signed::Redacted(data));
        }
        let open = thought.get("reasoningText")?;
        Some(Signed::Open { text: full(open, "text"), signature: full(open, "signature")? })
    }

    fn render(&self, w: &mut Writer) {
        w.object(|w| match self {
            Signed::Open { text, signature } => {
                w.key("type").string("thinking");
                w.key("thinking").raw(text.map_or("\"\"", Value::raw));
                w.key("signature").raw(signature.raw());
            }
            Signed::Redacted(data) => {
                w.key("type").string("redacted_thinking");
                w.key("data").raw(data.raw());
            }
        });
    }
}

/// A reply has neither id nor model nor time: the id is that of the request, the rest as asked.
pub(super) fn head(asked: &Asked) -> Head {
    Head { id: ["chatcmpl-", &asked.id].concat(), created: asked.created, model: asked.model.clone() }
}

/// Why the model stopped.
pub(super) struct Stop {
    pub(super) finish: Finish,
    /// The reason in Bedrock's words, which are Anthropic's, where OpenAI has none for it. Bedrock does not say which
    /// sequence it was.
    pub(super) native: Native,
}

impl Stop {
    /// Reads `stopReason`. What went wrong with the model's writing is an end like another, and so is a reason that is
    /// not known yet: no ground to throw the answer away.
    pub(super) fn read(from: Value<'_>) -> Stop {
        let reason = from.text("stopReason").unwrap_or_default();
        let finish = match &*reason {
            "max_tokens" | "model_context_window_exceeded" => Finish::Length,
            "tool_use" => Finish::ToolCalls,
            "guardrail_intervened" | "content_filtered" => Finish::ContentFilter,
            _ => Finish::Stop,
        };
        Stop { finish, native: Native::new(&reason, None) }
    }
}

/// A client that was told to call something would look for it in vain where there is no call.
pub(super) fn finish(said: Finish, calls: usize) -> Finish {
    if said == Finish::ToolCalls && calls == 0 { Finish::Stop } else { said }
}

/// Bedrock's count of tokens, by OpenAI's definition: its input leaves the prompt cache out. What is no plausible count is
/// none, and then nothing is counted.
pub(super) fn usage(holder: Value<'_>) -> Option<Usage> {
    let counts = holder.given("usage")?;
    let count = |name: &str| counts.given(name).map_or(Some(0), |_| tally::tokens(counts, name));
    let (cached, cache_write) = (count("cacheReadInputTokens")?, count("cacheWriteInputTokens")?);
    Some(Usage {
        prompt: tally::tokens(counts, "inputTokens")?.saturating_add(cached).saturating_add(cache_write),
        completion: tally::tokens(counts, "outputTokens")?,
        cached,
        cache_write,
        reasoning: 0,
    })
}
