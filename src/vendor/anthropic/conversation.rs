//! Messages become turns.
//!
//! Anthropic knows two roles that take turns, and a `system` beside them. So system and developer messages are hoisted
//! from wherever they stood, neighbours of one role share a turn, and the result of a tool is part of the user's turn,
//! where it must stand before everything else.

use std::borrow::Cow;
use std::collections::HashSet;

use super::parts::{self, Block, Parts};
use super::thoughts::{self, Thought};
use crate::chat::Request;
use crate::json::{Doc, Value, Writer};
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

/// A `tool_result`. OpenAI's format has no word for one that is an error; a client of Anthropic's says it.
struct Outcome<'r> {
    call: Value<'r>,
    content: Vec<Block<'r>>,
    mark: Option<Value<'r>>,
    failed: Option<Value<'r>>,
}

/// A `tool_use`.
struct Use<'r> {
    id: Value<'r>,
    name: Value<'r>,
    /// The text of a JSON object, with no white space around it.
    input: String,
}

impl<'r> Conversation<'r> {
    /// Reads the messages; the error is the path of what Anthropic cannot be told.
    pub(super) fn read(request: &'r Request) -> Result<Conversation<'r>, Unsupported> {
        let mut conversation = Conversation::default();
        for (i, message) in request.messages().enumerate() {
            conversation.add(message, &format!("messages[{i}]"))?;
        }
        // To invent a user's turn would change what was asked.
        if conversation.turns.is_empty() { Err(Unsupported::new("messages")) } else { Ok(conversation) }
    }

    /// Whether the last tool calls came back without the thoughts that led to them.
    pub(super) fn is_thoughtless(&self) -> bool {
        let last = self.turns.iter().rev().find_map(|turn| match turn {
            Turn::Assistant { thoughts, calls, .. } if !calls.is_empty() => Some(thoughts),
            _ => None,
        });
        last.is_some_and(Vec::is_empty)
    }

    fn add(&mut self, message: Value<'r>, path: &str) -> Result<(), Unsupported> {
        match message.text("role").as_deref() {
            Some("system" | "developer") => self.system.extend(parts::read(message, path, Parts::Text)?),
            Some("user") => self.add_user(parts::read(message, path, Parts::Any)?, None),
            Some("assistant") => self.add_assistant(message, path)?,
            Some("tool") => self.add_result(message, path)?,
            _ => return Err(Unsupported::new(format!("{path}.role"))),
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

    fn add_result(&mut self, message: Value<'r>, path: &str) -> Result<(), Unsupported> {
        let unknown = || Unsupported::new(format!("{path}.tool_call_id"));
        let call = message.get("tool_call_id").ok_or_else(unknown)?;
        if !call.as_str().is_some_and(|id| self.issued.contains(&id)) {
            return Err(unknown());
        }
        let content = parts::read(message, path, Parts::Any)?;
        let failed = message.given("is_error").filter(|failed| failed.as_bool() == Some(true));
        self.add_user(Vec::new(), Some(Outcome { call, content, mark: message.given("cache_control"), failed }));
        Ok(())
    }

    fn add_assistant(&mut self, message: Value<'r>, path: &str) -> Result<(), Unsupported> {
        if let Some(field) = ["audio", "function_call"].into_iter().find(|field| message.given(field).is_some()) {
            return Err(Unsupported::new(format!("{path}.{field}")));
        }
        let mut said = parts::read(message, path, Parts::Text)?;
        said.extend(message.given("refusal").and_then(Block::text));
        let (thought, asked) = (thoughts::of_history(message, path)?, uses(message, path)?);
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
    pub(super) fn render(&self, w: &mut Writer) {
        if !self.system.is_empty() {
            w.key("system").array(|w| self.system.iter().for_each(|block| block.render(w)));
        }
        w.key("messages").array(|w| self.turns.iter().for_each(|turn| turn.render(w)));
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

/// The arguments, which OpenAI keeps as a text that need not be JSON, as the object that Anthropic demands.
fn input(function: Value<'_>) -> Option<String> {
    let text = function.text("arguments")?.into_owned();
    if text.trim().is_empty() {
        return Some("{}".to_owned());
    }
    let doc = Doc::parse(text.into_bytes()).ok()?;
    doc.root().is_object().then(|| doc.root().raw().to_owned())
}

impl Turn<'_> {
    fn render(&self, w: &mut Writer) {
        w.object(|w| match self {
            Turn::User { results, blocks } => {
                w.key("role").string("user");
                w.key("content").array(|w| {
                    results.iter().for_each(|result| result.render(w));
                    blocks.iter().for_each(|block| block.render(w));
                });
            }
            Turn::Assistant { thoughts, blocks, calls } => {
                w.key("role").string("assistant");
                w.key("content").array(|w| {
                    thoughts.iter().for_each(|thought| thought.render(w));
                    blocks.iter().for_each(|block| block.render(w));
                    calls.iter().for_each(|call| call.render(w));
                });
            }
        });
    }
}

impl Outcome<'_> {
    fn render(&self, w: &mut Writer) {
        w.object(|w| {
            w.key("type").string("tool_result");
            render_id(self.call, w.key("tool_use_id"));
            if !self.content.is_empty() {
                w.key("content").array(|w| self.content.iter().for_each(|block| block.render(w)));
            }
            parts::copy("is_error", self.failed, w);
            parts::copy("cache_control", self.mark, w);
        });
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
            w.key("type").string("tool_use");
            render_id(self.id, w.key("id"));
            w.key("name").raw(self.name.raw());
            w.key("input").raw(&self.input);
        });
    }
}
