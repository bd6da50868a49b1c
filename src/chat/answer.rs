//! Answers in OpenAI's format, for vendors that speak another: the whole body and the chunks of a stream.

use super::native::Native;
use crate::json::Writer;
use crate::refusal::Refusal;

/// Why the model stopped. OpenAI's enum is closed: strict clients refuse any other word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// A natural end or a stop sequence.
    Stop,
    /// The token limit or the end of the context window.
    Length,
    /// The model wants tools to be called.
    ToolCalls,
    /// The answer was withheld or cut by a filter.
    ContentFilter,
}

impl Finish {
    /// OpenAI's word.
    pub fn name(self) -> &'static str {
        match self {
            Finish::Stop => "stop",
            Finish::Length => "length",
            Finish::ToolCalls => "tool_calls",
            Finish::ContentFilter => "content_filter",
        }
    }
}

/// Tokens of one answer, by OpenAI's definition: cached and cache-written tokens are a part of `prompt`, reasoning
/// tokens a part of `completion`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Everything that was read.
    pub prompt: u64,
    /// Everything that was written.
    pub completion: u64,
    /// Read from the vendor's prompt cache.
    pub cached: u64,
    /// Written to the vendor's prompt cache.
    pub cache_write: u64,
    /// Written as reasoning.
    pub reasoning: u64,
}

impl Usage {
    /// Writes the member `usage`.
    pub(super) fn render(&self, w: &mut Writer) {
        w.key("usage").object(|w| {
            w.key("prompt_tokens").number(self.prompt);
            w.key("completion_tokens").number(self.completion);
            w.key("total_tokens").number(self.prompt.saturating_add(self.completion));
            w.key("prompt_tokens_details").object(|w| {
                w.key("cached_tokens").number(self.cached);
                if self.cache_write > 0 {
                    w.key("cache_write_tokens").number(self.cache_write);
                }
            });
            w.key("completion_tokens_details").object(|w| w.key("reasoning_tokens").number(self.reasoning));
        });
    }
}

/// A call that the model wants made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolCall {
    /// The vendor's id, by which the result refers to the call.
    pub id: String,
    /// The function's name.
    pub name: String,
    /// The arguments, a JSON text.
    pub arguments: String,
}

/// What all chunks of a stream, and a whole answer, share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The vendor's id of the answer.
    pub id: String,
    /// Unix time in seconds.
    pub created: u64,
    /// The model that answered, as the vendor names it.
    pub model: String,
}

/// A whole answer with one choice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Id, time and model.
    pub head: Head,
    /// The text; empty means none.
    pub text: String,
    /// The model's reasoning, which is never part of the text; empty means none.
    pub reasoning: String,
    /// Why the model refused; empty means it did not.
    pub refusal: String,
    /// The calls that the model wants made.
    pub tool_calls: Vec<ToolCall>,
    /// Why it stopped.
    pub finish: Finish,
    /// What it cost in tokens, if the vendor says.
    pub usage: Option<Usage>,
}

impl Answer {
    /// The body of a `chat.completion`.
    pub fn render(&self) -> Vec<u8> {
        self.render_more(&Native::default(), |_| {})
    }

    /// The same, with what only some vendors have: how it ended in their own words, and members of the message that `more`
    /// writes.
    pub fn render_more(&self, native: &Native, more: impl FnOnce(&mut Writer)) -> Vec<u8> {
        self.render_choices(|w| self.render_choice(0, None, native, more, w))
    }

    /// The body of a `chat.completion` with log probabilities, a JSON text, and further choices behind this one, whose
    /// head and usage are this one's.
    pub fn render_with(&self, logprobs: Option<&str>, others: &[(Answer, Option<String>)]) -> Vec<u8> {
        self.render_choices(|w| {
            self.render_choice(0, logprobs, &Native::default(), |_| {}, w);
            for (i, (other, logprobs)) in (1..).zip(others) {
                other.render_choice(i, logprobs.as_deref(), &Native::default(), |_| {}, w);
            }
        })
    }

    fn render_choices(&self, choices: impl FnOnce(&mut Writer)) -> Vec<u8> {
        let mut w = Writer::default();
        w.object(|w| {
            w.key("id").string(&self.head.id);
            w.key("object").string("chat.completion");
            w.key("created").number(self.head.created);
            w.key("model").string(&self.head.model);
            w.key("choices").array(choices);
            if let Some(usage) = &self.usage {
                usage.render(w);
            }
        });
        w.finish()
    }

    fn render_choice(
        &self,
        index: u64,
        logprobs: Option<&str>,
        native: &Native,
        more: impl FnOnce(&mut Writer),
        w: &mut Writer,
    ) {
        w.object(|w| {
            w.key("index").number(index);
            w.key("message").object(|w| {
                self.render_message(w);
                more(w);
            });
            w.key("logprobs").raw(logprobs.unwrap_or("null"));
            w.key("finish_reason").string(self.finish.name());
            native.render(w);
        });
    }

    fn render_message(&self, w: &mut Writer) {
        let given = |text: &'_ str| (!text.is_empty()).then(|| text.to_owned());
        w.key("role").string("assistant");
        w.key("content").string_or_null(given(&self.text).as_deref());
        w.key("refusal").string_or_null(given(&self.refusal).as_deref());
        if !self.reasoning.is_empty() {
            w.key("reasoning_content").string(&self.reasoning);
        }
        if !self.tool_calls.is_empty() {
            w.key("tool_calls").array(|w| {
                for call in &self.tool_calls {
                    w.object(|w| {
                        w.key("id").string(&call.id);
                        w.key("type").string("function");
                        w.key("function").object(|w| {
                            w.key("name").string(&call.name);
                            w.key("arguments").string(&call.arguments);
                        });
                    });
                }
            });
        }
    }
}

/// One step of a streamed answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delta<'a> {
    /// The first chunk: the role, and empty content.
    Role,
    /// A piece of the text.
    Text(&'a str),
    /// A piece of the reasoning.
    Reasoning(&'a str),
    /// A piece of a thinking block, which a vendor wants back as it is; `index` counts them from 0.
    Thought {
        /// Which thinking block.
        index: usize,
        /// What comes of it.
        piece: Thought<'a>,
    },
    /// A piece of the refusal.
    Refusal(&'a str),
    /// A tool call begins; `index` counts tool calls from 0.
    Call {
        /// Which tool call.
        index: usize,
        /// The vendor's id of it.
        id: &'a str,
        /// The function's name.
        name: &'a str,
    },
    /// A piece of a tool call's arguments.
    Arguments {
        /// Which tool call.
        index: usize,
        /// The piece of JSON text.
        piece: &'a str,
    },
}

/// Where a step belongs, for vendors that give more than one choice or log probabilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Place<'a> {
    /// The index of the choice.
    pub choice: u64,
    /// The member `logprobs` as JSON text, if there is one.
    pub logprobs: Option<&'a str>,
}

/// A piece of a thinking block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Thought<'a> {
    /// A piece of the reasoning.
    Text(&'a str),
    /// What proves the reasoning to be the vendor's own.
    Signature(&'a str),
    /// Reasoning that only the vendor can read.
    Redacted(&'a str),
}

impl Head {
    /// Appends the chunk for one step of the only choice.
    pub fn delta(&self, delta: Delta<'_>, out: &mut Vec<u8>) {
        self.delta_at(Place::default(), delta, out);
    }

    /// Appends the chunk for one step.
    pub fn delta_at(&self, place: Place<'_>, delta: Delta<'_>, out: &mut Vec<u8>) {
        self.chunk(out, |w| {
            w.key("choices").array(|w| choice(w, place, |w| render_delta(delta, w), |w| w.key("finish_reason").null()));
        });
    }

    /// Appends the chunk that says why the model stopped, of the only choice.
    pub fn finish(&self, finish: Finish, out: &mut Vec<u8>) {
        self.finish_as(finish, &Native::default(), out);
    }

    /// The same, with the vendor's own words for it.
    pub fn finish_as(&self, finish: Finish, native: &Native, out: &mut Vec<u8>) {
        self.end(Place::default(), finish, native, out);
    }

    /// Appends the chunk that says why the model stopped.
    pub fn finish_at(&self, place: Place<'_>, finish: Finish, out: &mut Vec<u8>) {
        self.end(place, finish, &Native::default(), out);
    }

    fn end(&self, place: Place<'_>, finish: Finish, native: &Native, out: &mut Vec<u8>) {
        let end = |w: &mut Writer| {
            w.key("finish_reason").string(finish.name());
            native.render(w);
        };
        self.chunk(out, |w| {
            w.key("choices").array(|w| choice(w, place, |_| {}, end));
        });
    }

    /// Appends the chunk that carries the usage and no choice.
    pub fn usage(&self, usage: &Usage, out: &mut Vec<u8>) {
        self.chunk(out, |w| {
            w.key("choices").array(|_| {});
            usage.render(w);
        });
    }

    fn chunk(&self, out: &mut Vec<u8>, rest: impl FnOnce(&mut Writer)) {
        data(out, |w| {
            w.object(|w| {
                w.key("id").string(&self.id);
                w.key("object").string("chat.completion.chunk");
                w.key("created").number(self.created);
                w.key("model").string(&self.model);
                rest(w);
            });
        });
    }
}

/// Appends the event that ends a good stream.
pub fn done(out: &mut Vec<u8>) {
    out.extend_from_slice(DONE);
}

/// That event.
pub const DONE: &[u8] = b"data: [DONE]\n\n";

/// Appends the event that ends a broken stream. Nothing may follow it, least of all a `[DONE]`: the official SDKs raise
/// on it, and a client that ignores it must not take half an answer for a whole one.
pub fn failed(refusal: &Refusal, out: &mut Vec<u8>) {
    data(out, |w| w.object(|w| refusal.render(w)));
}

/// Appends an event whose data is relayed as it is; line ends in it would tear the event apart, so each starts a new
/// data line.
pub fn relay(text: &str, out: &mut Vec<u8>) {
    for line in text.split('\n') {
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(line.as_bytes());
        out.push(b'\n');
    }
    out.push(b'\n');
}

/// Appends a comment, which clients ignore and proxies take for life.
pub fn keep_alive(out: &mut Vec<u8>) {
    out.extend_from_slice(b": keep-alive\n\n");
}

fn data(out: &mut Vec<u8>, fill: impl FnOnce(&mut Writer)) {
    out.extend_from_slice(b"data: ");
    let mut w = Writer::onto(std::mem::take(out));
    fill(&mut w);
    *out = w.finish();
    out.extend_from_slice(b"\n\n");
}

fn choice(w: &mut Writer, place: Place<'_>, delta: impl FnOnce(&mut Writer), end: impl FnOnce(&mut Writer)) {
    w.object(|w| {
        w.key("index").number(place.choice);
        w.key("delta").object(delta);
        w.key("logprobs").raw(place.logprobs.unwrap_or("null"));
        end(w);
    });
}

fn render_delta(delta: Delta<'_>, w: &mut Writer) {
    match delta {
        Delta::Role => {
            w.key("role").string("assistant");
            w.key("content").string("");
        }
        Delta::Text(text) => w.key("content").string(text),
        Delta::Reasoning(text) => w.key("reasoning_content").string(text),
        Delta::Refusal(text) => w.key("refusal").string(text),
        Delta::Thought { index, piece } => thought(w, index, piece),
        Delta::Call { index, id, name } => tool_call(w, index, |w| {
            w.key("id").string(id);
            w.key("type").string("function");
            w.key("function").object(|w| {
                w.key("name").string(name);
                w.key("arguments").string("");
            });
        }),
        Delta::Arguments { index, piece } => tool_call(w, index, |w| {
            w.key("function").object(|w| w.key("arguments").string(piece));
        }),
    }
}

/// The reasoning stands in `reasoning_content`, too, where most clients look for it.
fn thought(w: &mut Writer, index: usize, piece: Thought<'_>) {
    if let Thought::Text(text) = piece {
        w.key("reasoning_content").string(text);
    }
    w.key("thinking_blocks").array(|w| {
        w.object(|w| {
            w.key("index").number(index as u64);
            let (kind, member, text) = match piece {
                Thought::Text(text) => ("thinking", "thinking", text),
                Thought::Signature(text) => ("thinking", "signature", text),
                Thought::Redacted(text) => ("redacted_thinking", "data", text),
            };
            w.key("type").string(kind);
            w.key(member).string(text);
        });
    });
}

fn tool_call(w: &mut Writer, index: usize, rest: impl FnOnce(&mut Writer)) {
    w.key("tool_calls").array(|w| {
        w.object(|w| {
            w.key("index").number(index as u64);
            rest(w);
        });
    });
}
