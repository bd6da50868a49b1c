//! Messages become turns.
//!
//! Gemini knows two roles that take turns, `user` and `model`, and a `systemInstruction` beside them. So system and
//! developer messages are hoisted from wherever they stood, and neighbours of one role share a turn. The result of a tool
//! belongs to the user's turn and names the function, not the call; what it holds besides text stands behind all results.

use std::borrow::Cow;
use std::collections::HashMap;

use super::models::Signature;
use super::parts::{self, Part, Parts};
use crate::chat::Request;
use crate::json::{Doc, Value, Writer};
use crate::vendor::Unsupported;
use crate::vendor::call_id;

/// All messages of a request.
#[derive(Default)]
pub(super) struct Conversation<'r> {
    system: Vec<Part<'r>>,
    turns: Vec<Turn<'r>>,
    /// The names of the functions called so far, by the ids of the calls.
    called: HashMap<Cow<'r, str>, Value<'r>>,
}

struct Turn<'r> {
    role: Role,
    pieces: Vec<Piece<'r>>,
}

#[derive(Clone, Copy, PartialEq)]
enum Role {
    User,
    Model,
}

enum Piece<'r> {
    Part(Part<'r>),
    /// A call; `arguments` is the text of a JSON object.
    Call {
        name: Value<'r>,
        arguments: String,
        signature: Signed,
    },
    /// A result; `response` is the text of a JSON object.
    Result {
        name: Value<'r>,
        response: String,
    },
}

/// How the model signed a call.
enum Signed {
    With(String),
    /// Only the first of several calls is signed.
    Before,
    Lost,
}

impl<'r> Conversation<'r> {
    /// Reads the messages; the error is the path of what Gemini cannot be told.
    pub(super) fn read(request: &'r Request) -> Result<Conversation<'r>, Unsupported> {
        let mut conversation = Conversation::default();
        for (i, message) in request.messages().enumerate() {
            conversation.add(message, &format!("messages[{i}]"))?;
        }
        // To invent a user's turn would change what was asked.
        if conversation.turns.is_empty() { Err(Unsupported::new("messages")) } else { Ok(conversation) }
    }

    fn add(&mut self, message: Value<'r>, path: &str) -> Result<(), Unsupported> {
        match message.text("role").as_deref() {
            Some("system" | "developer") => self.system.extend(parts::read(message, path, Parts::Text)?),
            Some("user") => {
                let parts = parts::read(message, path, Parts::Any)?;
                self.say(Role::User, parts.into_iter().map(Piece::Part).collect());
            }
            Some("assistant") => self.add_assistant(message, path)?,
            Some("tool") => self.add_result(message, path)?,
            _ => return Err(Unsupported::new(format!("{path}.role"))),
        }
        Ok(())
    }

    fn say(&mut self, role: Role, pieces: Vec<Piece<'r>>) {
        match self.turns.last_mut() {
            _ if pieces.is_empty() => {}
            Some(turn) if turn.role == role => turn.pieces.extend(pieces),
            _ => self.turns.push(Turn { role, pieces }),
        }
    }

    fn add_assistant(&mut self, message: Value<'r>, path: &str) -> Result<(), Unsupported> {
        if let Some(field) = ["audio", "function_call"].into_iter().find(|field| message.given(field).is_some()) {
            return Err(Unsupported::new(format!("{path}.{field}")));
        }
        let mut said = parts::read(message, path, Parts::Text)?;
        said.extend(message.given("refusal").and_then(parts::text));
        let mut pieces: Vec<_> = said.into_iter().map(Piece::Part).collect();
        for (i, call) in message.given("tool_calls").into_iter().flat_map(Value::items).enumerate() {
            pieces.push(self.read_call(call, i, &format!("{path}.tool_calls[{i}]"))?);
        }
        self.say(Role::Model, pieces);
        Ok(())
    }

    fn read_call(&mut self, call: Value<'r>, i: usize, path: &str) -> Result<Piece<'r>, Unsupported> {
        let at = |field: &str| Unsupported::new(format!("{path}{field}"));
        if call.given("type").is_some_and(|kind| kind.as_str().as_deref() != Some("function")) {
            return Err(at(".type"));
        }
        let function = call.get("function").ok_or_else(|| at(".function"))?;
        let name = function.get("name").filter(|name| name.is_string()).ok_or_else(|| at(".function.name"))?;
        let id = call.text("id").ok_or_else(|| at(".id"))?;
        let signature = match call_id::signature(&id) {
            Some(signature) => Signed::With(signature),
            None if i > 0 => Signed::Before,
            None => Signed::Lost,
        };
        let arguments = arguments(function).ok_or_else(|| at(".function.arguments"))?;
        self.called.insert(id, name);
        Ok(Piece::Call { name, arguments, signature })
    }

    fn add_result(&mut self, message: Value<'r>, path: &str) -> Result<(), Unsupported> {
        let name = message.text("tool_call_id").and_then(|id| self.called.get(&id).copied());
        let name = name.ok_or_else(|| Unsupported::new(format!("{path}.tool_call_id")))?;
        let said = parts::read(message, path, Parts::Any)?;
        let (texts, others): (Vec<_>, Vec<_>) = said.into_iter().partition(|part| matches!(part, Part::Text(_)));
        let response = response(message, &texts);
        let result = Piece::Result { name, response };
        match self.turns.last_mut() {
            // What the user said meanwhile comes behind all results.
            Some(Turn { role: Role::User, pieces }) => {
                let results = pieces.iter().take_while(|piece| matches!(piece, Piece::Result { .. })).count();
                pieces.insert(results, result);
            }
            _ => self.say(Role::User, vec![result]),
        }
        self.say(Role::User, others.into_iter().map(Piece::Part).collect());
        Ok(())
    }

    /// Writes the members `systemInstruction` and `contents`.
    pub(super) fn render(&self, signature: Signature, w: &mut Writer) {
        if !self.system.is_empty() {
            w.key("systemInstruction").object(|w| {
                w.key("parts").array(|w| self.system.iter().for_each(|part| part.render(w)));
            });
        }
        w.key("contents").array(|w| self.turns.iter().for_each(|turn| turn.render(signature, w)));
    }
}

/// The arguments of a call as the text of a JSON object; none at all are an empty one.
fn arguments(function: Value<'_>) -> Option<String> {
    let text = match function.given("arguments") {
        None => return Some("{}".to_owned()),
        Some(arguments) => arguments.as_str()?,
    };
    if text.trim().is_empty() { Some("{}".to_owned()) } else { object(&text) }
}

/// What a tool said, as the text of a JSON object: its own, or one around the text, by the names that Gemini's page on
/// `FunctionResponse` gives for output and errors.
fn response(message: Value<'_>, texts: &[Part<'_>]) -> String {
    let mut said = String::new();
    for part in texts {
        if let Part::Text(text) = part {
            said.push_str(&text.as_str().unwrap_or_default());
        }
    }
    let failed = message.get("is_error").and_then(Value::as_bool) == Some(true);
    let name = if failed { "error" } else { "output" };
    object(&said).filter(|_| !failed).unwrap_or_else(|| {
        let mut w = Writer::default();
        w.object(|w| w.key(name).string(&said));
        String::from_utf8(w.finish()).unwrap_or_default()
    })
}

/// A text that is a JSON object, without the white space around it.
fn object(text: &str) -> Option<String> {
    let doc = Doc::parse(text.as_bytes().to_vec()).ok()?;
    doc.root().is_object().then(|| doc.root().raw().to_owned())
}

impl Turn<'_> {
    fn render(&self, signature: Signature, w: &mut Writer) {
        w.object(|w| {
            w.key("role").string(if self.role == Role::User { "user" } else { "model" });
            w.key("parts").array(|w| self.pieces.iter().for_each(|piece| piece.render(signature, w)));
        });
    }
}

impl Piece<'_> {
    fn render(&self, demanded: Signature, w: &mut Writer) {
        match self {
            Piece::Part(part) => part.render(w),
            Piece::Call { name, arguments, signature } => w.object(|w| {
                w.key("functionCall").object(|w| {
                    w.key("name").raw(name.raw());
                    w.key("args").raw(arguments);
                });
                match signature {
                    Signed::With(signature) => w.key("thoughtSignature").string(signature),
                    Signed::Lost if demanded == Signature::Demanded => {
                        w.key("thoughtSignature").string(call_id::UNSIGNED);
                    }
                    Signed::Lost | Signed::Before => {}
                }
            }),
            Piece::Result { name, response } => w.object(|w| {
                w.key("functionResponse").object(|w| {
                    w.key("name").raw(name.raw());
                    w.key("response").raw(response);
                });
            }),
        }
    }
}
