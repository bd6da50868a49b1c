//! Messages become turns.
//!
//! Bedrock knows two roles that take turns, and a `system` beside them. So system and developer messages are hoisted from
//! wherever they stood, neighbours of one role share a turn, and all results of the calls before are in the one user's
//! turn behind them, before everything else in it.

use std::borrow::Cow;
use std::collections::HashSet;

use super::parts::{self, Block, Mark, Parts};
use crate::chat::Request;
use crate::json::{Doc, Value, Writer};
use crate::vendor::anthropic::thoughts::{self, Thought};
use crate::vendor::{Unsupported, call_id};

/// All messages of a request.
#[derive(Default)]
pub(super) struct Conversation<'r> {
    system: Vec<Block<'r>>,
    turns: Vec<Turn<'r>>,
    /// The ids of the tool calls so far, to which results may refer.
    issued: HashSet<Cow<'r, str>>,
}

enum Turn<'r> {
    User { results: Vec<Outcome<'r>>, blocks: Vec<Block<'r>> },
    Assistant { thoughts: Vec<Thought<'r>>, blocks: Vec<Block<'r>>, calls: Vec<Use<'r>> },
}

/// A `toolResult`. OpenAI's format has no word for one that is an error; a client of Anthropic's says it.
struct Outcome<'r> {
    call: Value<'r>,
    content: Vec<Block<'r>>,
    failed: bool,
    mark: Mark,
}

/// A `toolUse`.
struct Use<'r> {
    id: Value<'r>,
    name: Value<'r>,
    /// The text of a JSON object, with no white space around it.
    input: String,
}

/// Whether a model takes its thoughts back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Memory {
    /// It wants them, signed as they are.
    OfThoughts,
    /// It refuses them.
    OfWords,
}

impl<'r> Conversation<'r> {
    /// Reads the messages; the error is the path of what Bedrock cannot be told.
    pub(super) fn read(request: &'r Request) -> Result<Conversation<'r>, Unsupported> {
        let mut conversation = Conversation::default();
        for (i, message) in request.messages().enumerate() {
            conversation.add(message, i)?;
        }
        // To invent a user's turn would change what was asked.
        if conversation.turns.is_empty() { Err(Unsupported::new("messages")) } else { Ok(conversation) }
    }

    /// Whether tools were called.
    pub(super) fn has_calls(&self) -> bool {
        !self.issued.is_empty()
    }

    /// Whether the last tool calls came back without the thoughts that led to them.
    pub(super) fn is_thoughtless(&self) -> bool {
        let last = self.turns.iter().rev().find_map(|turn| match turn {
            Turn::Assistant { thoughts, calls, .. } if !calls.is_empty() => Some(thoughts),
            _ => None,
        });
        last.is_some_and(Vec::is_empty)
    }

    fn add(&mut self, message: Value<'r>, i: usize) -> Result<(), Unsupported> {
        match message.text("role").as_deref() {
            Some("system" | "developer") => self.system.extend(parts::read(message, i, Parts::Text)?),
            Some("user") => self.add_user(parts::read(message, i, Parts::Any)?, None),
            Some("assistant") => self.add_assistant(message, i)?,
            Some("tool") => self.add_result(message, i)?,
            _ => return Err(Unsupported::new(format!("messages[{i}].role"))),
        }
        Ok(())
    }

    fn add_user(&mut self, blocks: Vec<Block<'r>>, result: Option<Outcome<'r>>) {
        if blocks.is_empty() && result.is_none() {
            return;
        }
        match self.turns.last_mut() {
            Some(Turn::User { results, blocks: before }) => {
                results.extend(result);
                before.extend(blocks);
            }
            _ => self.turns.push(Turn::User { results: result.into_iter().collect(), blocks }),
        }
    }

    fn add_result(&mut self, message: Value<'r>, i: usize) -> Result<(), Unsupported> {
        let unknown = || Unsupported::new(format!("messages[{i}].tool_call_id"));
        let call = message.get("tool_call_id").ok_or_else(unknown)?;
        if !call.as_str().is_some_and(|id| self.issued.contains(&id)) {
            return Err(unknown());
        }
        let content = parts::read(message, i, Parts::Any)?;
        // A mark may not stand inside of a result, only behind it.
        let marked = Mark::of(message) == Mark::CachePoint || content.iter().any(|part| part.mark == Mark::CachePoint);
        let mark = if marked { Mark::CachePoint } else { Mark::None };
        let failed = message.get("is_error").and_then(Value::as_bool) == Some(true);
        self.add_user(Vec::new(), Some(Outcome { call, content, failed, mark }));
        Ok(())
    }

    fn add_assistant(&mut self, message: Value<'r>, i: usize) -> Result<(), Unsupported> {
        if let Some(field) = ["audio", "function_call"].into_iter().find(|field| message.given(field).is_some()) {
            return Err(Unsupported::new(format!("messages[{i}].{field}")));
        }
        let path = format!("messages[{i}]");
        let mut said = parts::read(message, i, Parts::Text)?;
        said.extend(message.given("refusal").and_then(Block::text));
        let (thought, asked) = (thoughts::of_history(message, &path)?, uses(message, &path)?);
        self.issued.extend(asked.iter().filter_map(|call| call.id.as_str()));
        if said.is_empty() && asked.is_empty() {
            return Ok(());
        }
        match self.turns.last_mut() {
            Some(Turn::Assistant { thoughts, blocks, calls }) => {
                thoughts.extend(thought);
                blocks.extend(said);
                calls.extend(asked);
            }
            _ => self.turns.push(Turn::Assistant { thoughts: thought, blocks: said, calls: asked }),
        }
        Ok(())
    }

    /// Writes the members `system` and `messages`.
    pub(super) fn render(&self, memory: Memory, w: &mut Writer) {
        if !self.system.is_empty() {
            w.key("system").array(|w| render_marked(&self.system, w));
        }
        w.key("messages").array(|w| self.turns.iter().for_each(|turn| turn.render(memory, w)));
    }
}

/// The tool calls of an assistant's message.
fn uses<'r>(message: Value<'r>, path: &str) -> Result<Vec<Use<'r>>, Unsupported> {
    let calls = message.given("tool_calls").into_iter().flat_map(Value::items);
    calls.enumerate().map(|(i, call)| read_use(call, &format!("{path}.tool_calls[{i}]"))).collect()
}

fn read_use<'r>(call: Value<'r>, path: &str) -> Result<Use<'r>, Unsupported> {
    let at = |field: &str| Unsupported::new(format!("{path}{field}"));
    if call.given("type").is_some_and(|kind| kind.as_str().as_deref() != Some("function")) {
        return Err(at(".type"));
    }
    let function = call.get("function").ok_or_else(|| at(".function"))?;
    let string = |object: Value<'r>, name: &str| object.get(name).filter(|value| value.is_string());
    Ok(Use {
        id: string(call, "id").ok_or_else(|| at(".id"))?,
        name: string(function, "name").ok_or_else(|| at(".function.name"))?,
        input: input(function).ok_or_else(|| at(".function.arguments"))?,
    })
}

/// The arguments, which OpenAI keeps as a text that need not be JSON, as the object that models know.
fn input(function: Value<'_>) -> Option<String> {
    let text = function.text("arguments")?.into_owned();
    if text.trim().is_empty() {
        return Some("{}".to_owned());
    }
    let doc = Doc::parse(text.into_bytes()).ok()?;
    doc.root().is_object().then(|| doc.root().raw().to_owned())
}

fn render_marked(blocks: &[Block<'_>], w: &mut Writer) {
    for block in blocks {
        block.render(w);
        block.mark.render(w);
    }
}

impl Turn<'_> {
    fn render(&self, memory: Memory, w: &mut Writer) {
        w.object(|w| match self {
            Turn::User { results, blocks } => {
                w.key("role").string("user");
                w.key("content").array(|w| {
                    results.iter().for_each(|result| result.render(w));
                    render_marked(blocks, w);
                });
            }
            Turn::Assistant { thoughts, blocks, calls } => {
                w.key("role").string("assistant");
                w.key("content").array(|w| {
                    if memory == Memory::OfThoughts {
                        thoughts.iter().for_each(|thought| render_thought(*thought, w));
                    }
                    render_marked(blocks, w);
                    calls.iter().for_each(|call| call.render(w));
                });
            }
        });
    }
}

/// Writes a thinking block in Bedrock's words.
fn render_thought(thought: Thought<'_>, w: &mut Writer) {
    w.object(|w| {
        w.key("reasoningContent").object(|w| match thought {
            Thought::Open { thinking, signature } => w.key("reasoningText").object(|w| {
                w.key("text").raw(thinking.map_or("\"\"", Value::raw));
                w.key("signature").raw(signature.raw());
            }),
            Thought::Redacted { data } => w.key("redactedContent").raw(data.raw()),
        });
    });
}

impl Outcome<'_> {
    fn render(&self, w: &mut Writer) {
        w.object(|w| {
            w.key("toolResult").object(|w| {
                render_id(self.call, w.key("toolUseId"));
                w.key("content").array(|w| self.content.iter().for_each(|block| block.render(w)));
                if self.failed {
                    w.key("status").string("error");
                }
            });
        });
        self.mark.render(w);
    }
}

/// The id of a call as the client spelled it, but without what another vendor wanted back in it.
fn render_id(id: Value<'_>, w: &mut Writer) {
    match id.as_str().as_deref().and_then(call_id::unsigned) {
        Some(short) => w.string(short),
        None => w.raw(id.raw()),
    }
}

impl Use<'_> {
    fn render(&self, w: &mut Writer) {
        w.object(|w| {
            w.key("toolUse").object(|w| {
                render_id(self.id, w.key("toolUseId"));
                w.key("name").raw(self.name.raw());
                w.key("input").raw(&self.input);
            });
        });
    }
}
