//! A whole reply becomes an answer; and what the stream shares with it: parts, tokens and the reasons to stop.

use std::borrow::Cow;

use crate::chat::answer::{Answer, Finish, Head, ToolCall, Usage};
use crate::chat::tally;
use crate::json::{Doc, Kind, Value, Writer};
use crate::vendor::call_id;
use crate::vendor::failure::Reported;
use crate::vendor::{Asked, Fault, Whole};

/// Reads a reply with all its candidates, in the order of their indices. A prompt that was blocked has none.
pub(super) fn read(body: &[u8], asked: &Asked) -> Result<Whole<'static>, Fault> {
    const REPLY: Fault = Fault::Unreadable("a Gemini reply");
    let doc = Doc::parse(body.to_vec()).map_err(|_| REPLY)?;
    let reply = doc.root();
    if reply.given("error").is_some() {
        return Err(Fault::Reported(Reported::read(reply)));
    }
    let mut candidates: Vec<_> = reply.given("candidates").into_iter().flat_map(Value::items).collect();
    candidates.sort_by_key(|candidate| index(*candidate));
    let head = head(reply, asked);
    let mut answers: Vec<_> =
        candidates.into_iter().map(|candidate| (answer(candidate, head.clone()), logprobs(candidate))).collect();
    if let Some(blocked) = blocked(reply).filter(|_| answers.is_empty()) {
        answers.push((empty(head, blocked), None));
    }
    let Some(((first, logprobs), others)) = answers.split_first_mut() else {
        return Err(REPLY);
    };
    first.usage = usage(reply);
    let mut tally = first.tally();
    if first.usage.is_none() {
        tally.written += others.iter().map(|(other, _)| other.tally().written).sum::<u64>();
    }
    Ok(Whole { body: Cow::Owned(first.render_with(logprobs.as_deref(), others)), tally })
}

fn empty(head: Head, stop: Stop) -> Answer {
    Answer {
        head,
        text: String::new(),
        reasoning: String::new(),
        refusal: stop.explanation,
        tool_calls: Vec::new(),
        finish: stop.finish,
        usage: None,
    }
}

fn answer(candidate: Value<'_>, head: Head) -> Answer {
    let stop = Stop::read(candidate).unwrap_or(Stop { finish: Finish::Stop, explanation: String::new() });
    let (choice, mut answer) = (index(candidate), empty(head, stop));
    for part in parts(candidate) {
        match Said::read(part) {
            Some(Said::Text(text)) => answer.text.push_str(&text),
            Some(Said::Thought(text)) => answer.reasoning.push_str(&text),
            Some(Said::Call { name, arguments }) => {
                let id = call_id::make(&answer.head.id, choice, answer.tool_calls.len(), part);
                answer.tool_calls.push(ToolCall { id, name: name.into_owned(), arguments });
            }
            None => {}
        }
    }
    answer.finish = finish(answer.finish, answer.tool_calls.len());
    answer
}

/// Id and model as the vendor says, the time as Weir does: a reply carries none.
pub(super) fn head(reply: Value<'_>, asked: &Asked) -> Head {
    Head {
        id: reply.text("responseId").unwrap_or_default().into_owned(),
        created: asked.created,
        model: reply.text("modelVersion").map_or_else(|| asked.model.clone(), Into::into),
    }
}

/// Which choice a candidate is; the first one often does not say.
pub(super) fn index(candidate: Value<'_>) -> u64 {
    candidate.get("index").and_then(Value::as_u64).unwrap_or(0)
}

/// The parts of a candidate.
pub(super) fn parts<'d>(candidate: Value<'d>) -> impl Iterator<Item = Value<'d>> {
    let parts = candidate.get("content").and_then(|content| content.get("parts"));
    parts.into_iter().flat_map(Value::items)
}

/// What a part says to a client of OpenAI's. Code that Google ran itself, and pictures, are nothing to it.
pub(super) enum Said<'d> {
    Text(Cow<'d, str>),
    Thought(Cow<'d, str>),
    /// `arguments` is the text of a JSON object.
    Call {
        name: Cow<'d, str>,
        arguments: String,
    },
}

impl<'d> Said<'d> {
    pub(super) fn read(part: Value<'d>) -> Option<Said<'d>> {
        if let Some(call) = part.given("functionCall") {
            let arguments = call.given("args").filter(|args| args.is_object()).map_or_else(|| "{}".to_owned(), compact);
            return Some(Said::Call { name: call.text("name")?, arguments });
        }
        let text = part.text("text").filter(|text| !text.is_empty())?;
        let thought = part.get("thought").and_then(Value::as_bool) == Some(true);
        Some(if thought { Said::Thought(text) } else { Said::Text(text) })
    }
}

/// A value without the white space around its parts: Gemini indents whole replies, and a client sends the arguments back.
fn compact(value: Value<'_>) -> String {
    let mut w = Writer::default();
    write(value, &mut w);
    String::from_utf8(w.finish()).unwrap_or_default()
}

/// The document's own bound on its depth is one for this.
fn write(value: Value<'_>, w: &mut Writer) {
    match value.kind() {
        Kind::Object => w.object(|w| value.members().for_each(|(name, value)| write(value, w.key(&name)))),
        Kind::Array => w.array(|w| value.items().for_each(|item| write(item, w))),
        _ => w.raw(value.raw()),
    }
}

/// Why the model stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stop {
    pub(super) finish: Finish,
    /// What a refusal gives as its grounds; empty means none.
    pub(super) explanation: String,
}

impl Stop {
    /// Reads `finishReason`; `None` while there is none. A reason that is not known yet is an end like another, and no
    /// ground to throw the answer away.
    pub(super) fn read(candidate: Value<'_>) -> Option<Stop> {
        let reason = candidate.text("finishReason").filter(|reason| *reason != "FINISH_REASON_UNSPECIFIED")?;
        let finish = match &*reason {
            "MAX_TOKENS" => Finish::Length,
            word if FILTERED.contains(&word) => Finish::ContentFilter,
            _ => Finish::Stop,
        };
        let said = candidate.text("finishMessage").filter(|_| finish == Finish::ContentFilter);
        Some(Stop { finish, explanation: said.unwrap_or_default().into_owned() })
    }
}

/// The reasons that mean that an answer was withheld or cut by a filter.
const FILTERED: [&str; 9] = [
    "SAFETY",
    "BLOCKLIST",
    "PROHIBITED_CONTENT",
    "SPII",
    "RECITATION",
    "LANGUAGE",
    "IMAGE_SAFETY",
    "IMAGE_PROHIBITED_CONTENT",
    "IMAGE_RECITATION",
];

/// Gemini ends with `STOP` also where it wants tools to be called.
pub(super) fn finish(reason: Finish, calls: usize) -> Finish {
    if reason == Finish::Stop && calls > 0 { Finish::ToolCalls } else { reason }
}

/// What becomes of a prompt that was blocked.
pub(super) fn blocked(reply: Value<'_>) -> Option<Stop> {
    let feedback = reply.given("promptFeedback")?;
    feedback.text("blockReason").filter(|reason| *reason != "BLOCK_REASON_UNSPECIFIED")?;
    let explanation = feedback.text("blockReasonMessage").unwrap_or_default().into_owned();
    Some(Stop { finish: Finish::ContentFilter, explanation })
}

/// Gemini's count of tokens, by OpenAI's definition. Its answer leaves the thoughts out, its prompt what its own tools
/// brought in; a count of 0 is not written. What is no plausible count is none, and then nothing is counted.
pub(super) fn usage(reply: Value<'_>) -> Option<Usage> {
    let counts = reply.given("usageMetadata")?;
    let count = |name: &str| counts.given(name).map_or(Some(0), |_| tally::tokens(counts, name));
    let prompt = tally::tokens(counts, "promptTokenCount")? + count("toolUsePromptTokenCount")?;
    let reasoning = count("thoughtsTokenCount")?;
    let completion = count("candidatesTokenCount")? + reasoning;
    let cached = count("cachedContentTokenCount").unwrap_or(0).min(prompt);
    Some(Usage { prompt, completion, cached, cache_write: 0, reasoning })
}

/// The log probabilities of a candidate in OpenAI's shape, as JSON text.
pub(super) fn logprobs(candidate: Value<'_>) -> Option<String> {
    let result = candidate.given("logprobsResult")?;
    let chosen = result.given("chosenCandidates").filter(|chosen| chosen.is_array())?;
    let mut tops = result.given("topCandidates").into_iter().flat_map(Value::items);
    let mut w = Writer::default();
    w.object(|w| {
        w.key("content").array(|w| {
            for token in chosen.items() {
                let others = tops.next().and_then(|top| top.given("candidates"));
                w.object(|w| {
                    render_token(token, w);
                    w.key("top_logprobs").array(|w| {
                        for other in others.into_iter().flat_map(Value::items) {
                            w.object(|w| render_token(other, w));
                        }
                    });
                });
            }
        });
        w.key("refusal").null();
    });
    String::from_utf8(w.finish()).ok()
}

fn render_token(token: Value<'_>, w: &mut Writer) {
    let text = token.text("token").unwrap_or_default();
    let logprob = token.get("logProbability").filter(|number| number.kind() == Kind::Number);
    w.key("token").string(&text);
    // A probability of 1 has the logarithm 0, which is not written.
    w.key("logprob").raw(logprob.map_or("0", Value::raw));
    w.key("bytes").array(|w| text.bytes().for_each(|byte| w.number(byte.into())));
}
