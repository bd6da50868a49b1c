//! A stream of chunks becomes a stream of a message's events.
//!
//! | chunk                          | events                                                                  |
//! |--------------------------------|-------------------------------------------------------------------------|
//! | the first with an id           | message_start; nobody knows the tokens of the prompt yet, so it says 0  |
//! | reasoning, a thinking block    | a thinking or redacted_thinking block                                   |
//! | text, a refusal                | a text block                                                            |
//! | a tool call                    | a tool_use block, its arguments as input_json_delta                     |
//! | a comment                      | ping                                                                    |
//! | an error                       | error, and nothing after it                                             |
//! | `[DONE]`                       | the open blocks stop; message_delta with the tokens, message_stop       |
//!
//! A block of one kind ends where another begins, but tool calls stay open until the end: OpenAI's vendors may give pieces
//! of several by turns, and each event says which block it is of. A stream that breaks off has no message_stop, so no
//! client takes half an answer for a whole one.

use super::{message_id, render_stop, render_usage};
use crate::chat::sse::{Decoder, Event};
use crate::chat::{Native, Usage};
use crate::json::{Doc, Value, Writer};

/// A stream under translation: canonical bytes in any cut in, bytes for the client out.
#[derive(Debug, Default)]
pub struct Telling {
    decoder: Decoder,
    progress: Progress,
}

#[derive(Debug, Default)]
enum Progress {
    #[default]
    Waiting,
    Telling(Message),
    Over,
}

/// A message that has begun.
#[derive(Debug, Default)]
struct Message {
    /// How many blocks have begun.
    blocks: u64,
    /// The thoughts or the text that have not ended.
    open: Option<(Kind, u64)>,
    /// The tool calls: OpenAI's index and that of the block.
    calls: Vec<(u64, u64)>,
    finish: String,
    native: Native,
    usage: Usage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    /// The thinking block of this index.
    Thinking(u64),
}

/// The most tool calls of one message: as many as a vendor's stream may have open.
const MOST_CALLS: usize = 128;

impl Telling {
    /// Translates the next bytes.
    pub fn feed(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let mut events = Vec::new();
        let readable = self.decoder.feed(bytes, &mut events).is_ok();
        self.tell(events, out);
        if !readable {
            self.fail("api_error", "the gateway cannot read its own stream", out);
        }
    }

    /// The end of the stream. What was not finished stays so.
    pub fn end(&mut self, out: &mut Vec<u8>) {
        let mut events = Vec::new();
        let _ = self.decoder.end(&mut events);
        self.tell(events, out);
    }

    fn tell(&mut self, events: Vec<Event>, out: &mut Vec<u8>) {
        for event in events {
            match (event, &mut self.progress) {
                (_, Progress::Over) => return,
                (Event::Comment, _) => told("ping", out, |_| {}),
                (Event::Message { data, .. }, Progress::Telling(message)) if data.trim() == "[DONE]" => {
                    message.finish(out);
                    self.progress = Progress::Over;
                }
                (Event::Message { data, .. }, _) => match Doc::parse(data.into_bytes()) {
                    Ok(doc) => self.chunk(doc.root(), out),
                    Err(_) => self.fail("api_error", "the answer broke off", out),
                },
            }
        }
    }

    fn chunk(&mut self, chunk: Value<'_>, out: &mut Vec<u8>) {
        if let Some(error) = chunk.given("error") {
            let message = error.text("message").unwrap_or_default();
            return self.fail(kind_of_error(error), &message, out);
        }
        if matches!(self.progress, Progress::Waiting) {
            // Azure's first chunk speaks of the prompt, and has no id.
            let Some(id) = chunk.text("id").filter(|id| !id.is_empty()) else { return };
            start(&id, &chunk.text("model").unwrap_or_default(), out);
            self.progress = Progress::Telling(Message::default());
        }
        if let Progress::Telling(message) = &mut self.progress
            && !message.chunk(chunk, out)
        {
            self.fail("api_error", "the answer calls more tools than the gateway tells", out);
        }
    }

    /// Nothing follows an end, and an error is one.
    fn fail(&mut self, kind: &str, message: &str, out: &mut Vec<u8>) {
        if matches!(std::mem::replace(&mut self.progress, Progress::Over), Progress::Over) {
            return;
        }
        told("error", out, |w| {
            w.key("error").object(|w| {
                w.key("type").string(kind);
                w.key("message").string(message);
            });
        });
    }
}

/// Anthropic's word for an error inside a stream, which has no status.
fn kind_of_error(error: Value<'_>) -> &'static str {
    let text = |name: &str| error.text(name).unwrap_or_default();
    match (&*text("type"), &*text("code")) {
        ("overloaded_error", _) | (_, "overloaded" | "overloaded_error") => "overloaded_error",
        ("rate_limit_error" | "requests" | "tokens", _) | (_, "rate_limit_exceeded") => "rate_limit_error",
        (_, "timeout") => "timeout_error",
        ("invalid_request_error", _) => "invalid_request_error",
        _ => "api_error",
    }
}

fn start(id: &str, model: &str, out: &mut Vec<u8>) {
    told("message_start", out, |w| {
        w.key("message").object(|w| {
            w.key("id").string(&message_id(id));
            w.key("type").string("message");
            w.key("role").string("assistant");
            w.key("model").string(model);
            w.key("content").array(|_| {});
            w.key("stop_reason").null();
            w.key("stop_sequence").null();
            render_usage(&Usage::default(), w);
        });
    });
}

impl Message {
    /// Whether it could be told.
    fn chunk(&mut self, chunk: Value<'_>, out: &mut Vec<u8>) -> bool {
        self.usage = Usage::read(chunk).unwrap_or(self.usage);
        let Some(choice) = chunk.get("choices").and_then(|choices| choices.items().next()) else { return true };
        let told = choice.get("delta").is_none_or(|delta| self.delta(delta, out));
        if let Some(finish) = choice.text("finish_reason") {
            self.finish = finish.into_owned();
        }
        // A whole answer that is told as a stream says it before its end.
        if let Some(native) = Native::read(choice) {
            self.native = native;
        }
        told
    }

    fn delta(&mut self, delta: Value<'_>, out: &mut Vec<u8>) -> bool {
        let text = |name: &str| delta.text(name).filter(|text| !text.is_empty());
        match delta.given("thinking_blocks") {
            Some(blocks) => blocks.items().for_each(|block| self.thought(block, out)),
            None => {
                if let Some(reasoning) = text("reasoning_content").or_else(|| text("reasoning")) {
                    self.say(Kind::Thinking(0), "thinking", &reasoning, out);
                }
            }
        }
        for words in ["content", "refusal"].into_iter().filter_map(text) {
            self.say(Kind::Text, "text", &words, out);
        }
        delta.given("tool_calls").into_iter().flat_map(Value::items).all(|call| self.call(call, out))
    }

    fn thought(&mut self, block: Value<'_>, out: &mut Vec<u8>) {
        let index = block.get("index").and_then(Value::as_u64).unwrap_or(0);
        if let Some(data) = block.text("data") {
            self.close(out);
            let at = self.begin(out, |w| {
                w.key("type").string("redacted_thinking");
                w.key("data").string(&data);
            });
            return stop(at, out);
        }
        for member in ["thinking", "signature"] {
            if let Some(piece) = block.text(member).filter(|piece| !piece.is_empty()) {
                self.say(Kind::Thinking(index), member, &piece, out);
            }
        }
    }

    /// A piece of thoughts or text: `member` is what it adds to.
    fn say(&mut self, kind: Kind, member: &str, piece: &str, out: &mut Vec<u8>) {
        let at = match self.open {
            Some((open, at)) if open == kind => at,
            _ => {
                self.close(out);
                let at = self.begin(out, |w| match kind {
                    Kind::Text => {
                        w.key("type").string("text");
                        w.key("text").string("");
                    }
                    Kind::Thinking(_) => {
                        w.key("type").string("thinking");
                        w.key("thinking").string("");
                        w.key("signature").string("");
                    }
                });
                self.open = Some((kind, at));
                at
            }
        };
        delta(at, &[member, "_delta"].concat(), member, piece, out);
    }

    /// A piece of a tool call; the first has its id and name.
    fn call(&mut self, call: Value<'_>, out: &mut Vec<u8>) -> bool {
        let index = call.get("index").and_then(Value::as_u64).unwrap_or(self.calls.len() as u64);
        let function = call.get("function");
        let text = |name: &str| function.and_then(|function| function.text(name)).unwrap_or_default();
        let at = match self.calls.iter().find(|(known, _)| *known == index) {
            Some((_, at)) => *at,
            None if self.calls.len() >= MOST_CALLS => return false,
            None => {
                self.close(out);
                let at = self.begin(out, |w| {
                    w.key("type").string("tool_use");
                    w.key("id").string(&call.text("id").unwrap_or_default());
                    w.key("name").string(&text("name"));
                    w.key("input").object(|_| {});
                });
                self.calls.push((index, at));
                at
            }
        };
        let piece = text("arguments");
        if !piece.is_empty() {
            delta(at, "input_json_delta", "partial_json", &piece, out);
        }
        true
    }

    fn begin(&mut self, out: &mut Vec<u8>, fill: impl FnOnce(&mut Writer)) -> u64 {
        let at = self.blocks;
        self.blocks += 1;
        told("content_block_start", out, |w| {
            w.key("index").number(at);
            w.key("content_block").object(fill);
        });
        at
    }

    /// The thoughts or the text end.
    fn close(&mut self, out: &mut Vec<u8>) {
        if let Some((_, at)) = self.open.take() {
            stop(at, out);
        }
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        self.close(out);
        std::mem::take(&mut self.calls).into_iter().for_each(|(_, at)| stop(at, out));
        told("message_delta", out, |w| {
            w.key("delta").object(|w| render_stop(&self.finish, &self.native, w));
            render_usage(&self.usage, w);
        });
        told("message_stop", out, |_| {});
    }
}

fn delta(at: u64, kind: &str, member: &str, piece: &str, out: &mut Vec<u8>) {
    told("content_block_delta", out, |w| {
        w.key("index").number(at);
        w.key("delta").object(|w| {
            w.key("type").string(kind);
            w.key(member).string(piece);
        });
    });
}

fn stop(at: u64, out: &mut Vec<u8>) {
    told("content_block_stop", out, |w| w.key("index").number(at));
}

/// One event: its name stands in the field and in its data.
fn told(name: &str, out: &mut Vec<u8>, fill: impl FnOnce(&mut Writer)) {
    out.extend_from_slice(["event: ", name, "\ndata: "].concat().as_bytes());
    let mut w = Writer::onto(std::mem::take(out));
    w.object(|w| {
        w.key("type").string(name);
        fill(w);
    });
    *out = w.finish();
    out.extend_from_slice(b"\n\n");
}
