//! The members of an object, as they grow piece by piece.

use std::collections::BTreeMap;
use std::mem;

use crate::json::{Kind, Value, Writer};

/// Members in the order in which they first came.
#[derive(Debug, Default)]
pub(super) struct Members(Vec<(String, Member)>);

#[derive(Debug)]
enum Member {
    /// A value that is no increment, as JSON.
    Raw(String),
    /// A text whose pieces are joined.
    Text(String),
    /// The items of a list as JSON, with commas between.
    List(String),
    /// An object whose members grow.
    Object(Members),
    /// Tool calls, or thinking blocks, by their index.
    Calls(BTreeMap<u64, Members>),
}

/// How many bytes may still be gathered.
#[derive(Debug)]
pub(super) struct Room(usize);

impl Room {
    pub(super) fn new(bytes: usize) -> Room {
        Room(bytes)
    }

    /// Uses some of it; nothing if there is not so much.
    pub(super) fn take(&mut self, bytes: usize) -> Option<()> {
        self.0 = self.0.checked_sub(bytes)?;
        Some(())
    }
}

/// The texts that come in pieces; all others come whole.
const JOINED: &[&str] =
    &["content", "refusal", "reasoning_content", "reasoning", "thinking", "signature", "arguments", "input"];

/// The lists whose items come in pieces.
const INDEXED: &[&str] = &["tool_calls", "thinking_blocks"];

impl Members {
    /// Members that are there before anything came.
    pub(super) fn of(members: &[(&str, &str)]) -> Members {
        Members(members.iter().map(|(name, raw)| ((*name).to_owned(), Member::Raw((*raw).to_owned()))).collect())
    }

    /// Sets a member, unless an earlier one said something.
    pub(super) fn first(&mut self, name: &str, value: Value<'_>, room: &mut Room) -> Option<()> {
        match self.find(name) {
            Some(Member::Raw(raw)) if says_nothing(raw) => self.last(name, value, room),
            Some(_) => Some(()),
            None => self.last(name, value, room),
        }
    }

    /// Sets a member, unless this one says nothing.
    pub(super) fn last(&mut self, name: &str, value: Value<'_>, room: &mut Room) -> Option<()> {
        self.slot(name, room)?.replace(value, room)
    }

    /// Adds an increment to a member: pieces of texts that come in pieces, and lists, are appended; objects grow member
    /// by member, and tool calls each for itself. Of everything else the last that says something counts.
    pub(super) fn grow(&mut self, name: &str, value: Value<'_>, room: &mut Room) -> Option<()> {
        let slot = self.slot(name, room)?;
        let begun = match value.kind() {
            Kind::Plain | Kind::Escaped if JOINED.contains(&name) => Member::Text(String::new()),
            Kind::Array if INDEXED.contains(&name) => Member::Calls(BTreeMap::new()),
            Kind::Array => Member::List(String::new()),
            Kind::Object => Member::Object(Members::default()),
            _ => return slot.replace(value, room),
        };
        if mem::discriminant(slot) != mem::discriminant(&begun) {
            *slot = begun;
        }
        slot.append(value, room)
    }

    /// Whether a member is absent, or has said nothing.
    pub(super) fn is_null(&self, name: &str) -> bool {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.is_none_or(|(_, member)| matches!(member, Member::Raw(raw) if raw == "null"))
    }

    /// Forgets a member.
    pub(super) fn remove(&mut self, name: &str) {
        self.0.retain(|(known, _)| known != name);
    }

    pub(super) fn render(&self, w: &mut Writer) {
        for (name, member) in &self.0 {
            let w = w.key(name);
            match member {
                // A stream begins with an empty text; a message that only refuses or calls something has none.
                Member::Text(text) if name == "content" && text.is_empty() && self.says_otherwise() => w.null(),
                Member::Text(text) => w.string(text),
                Member::Raw(raw) => w.raw(raw),
                Member::List(items) if items.is_empty() => w.array(|_| {}),
                Member::List(items) => w.array(|w| w.raw(items)),
                Member::Object(members) => w.object(|w| members.render(w)),
                Member::Calls(calls) => {
                    w.array(|w| calls.values().for_each(|call| w.object(|w| call.render(w))));
                }
            }
        }
    }

    /// Whether this is a message that refuses, or wants something called.
    fn says_otherwise(&self) -> bool {
        self.0.iter().any(|(name, member)| match member {
            Member::Calls(calls) => name == "tool_calls" && !calls.is_empty(),
            Member::Object(_) => name == "function_call",
            Member::Text(text) => name == "refusal" && !text.is_empty(),
            Member::Raw(_) | Member::List(_) => false,
        })
    }

    fn find(&self, name: &str) -> Option<&Member> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, member)| member)
    }

    /// The member of a name, null if it is new.
    fn slot(&mut self, name: &str, room: &mut Room) -> Option<&mut Member> {
        let at = match self.0.iter().position(|(known, _)| known == name) {
            Some(at) => at,
            None => {
                room.take(name.len() + mem::size_of::<(String, Member)>())?;
                self.0.push((name.to_owned(), Member::Raw("null".to_owned())));
                self.0.len() - 1
            }
        };
        self.0.get_mut(at).map(|(_, member)| member)
    }
}

impl Member {
    fn replace(&mut self, value: Value<'_>, room: &mut Room) -> Option<()> {
        match self {
            Member::Raw(raw) if raw == "null" || !says_nothing(value.raw()) => {
                room.0 = room.0.saturating_add(raw.len());
                room.take(value.raw().len())?;
                value.raw().clone_into(raw);
            }
            // A scalar where there was something that grows.
            _ if !says_nothing(value.raw()) => {
                room.take(value.raw().len())?;
                *self = Member::Raw(value.raw().to_owned());
            }
            _ => {}
        }
        Some(())
    }

    /// The value is of the kind that this member gathers.
    fn append(&mut self, value: Value<'_>, room: &mut Room) -> Option<()> {
        match self {
            Member::Text(text) => {
                let piece = value.as_str()?;
                room.take(piece.len())?;
                text.push_str(&piece);
                Some(())
            }
            Member::List(items) => value.items().try_for_each(|item| {
                room.take(item.raw().len() + 1)?;
                if !items.is_empty() {
                    items.push(',');
                }
                items.push_str(item.raw());
                Some(())
            }),
            Member::Object(members) => value.members().try_for_each(|(name, value)| members.grow(&name, value, room)),
            Member::Calls(calls) => value.items().try_for_each(|item| call(calls, item, room)),
            Member::Raw(_) => None,
        }
    }
}

/// A piece of a tool call. One without an index, which some vendors send whole, is a call of its own.
fn call(calls: &mut BTreeMap<u64, Members>, piece: Value<'_>, room: &mut Room) -> Option<()> {
    let next = calls.last_key_value().map_or(Some(0), |(last, _)| last.checked_add(1));
    let index = piece.get("index").and_then(Value::as_u64).or(next)?;
    if !calls.contains_key(&index) {
        room.take(mem::size_of::<Members>())?;
    }
    let call = calls.entry(index).or_default();
    piece.members().filter(|(name, _)| name != "index").try_for_each(|(name, value)| call.grow(&name, value, room))
}

/// Vendors repeat a member whose value they have given before, or have not yet, as one of these.
fn says_nothing(raw: &str) -> bool {
    matches!(raw, "null" | "\"\"" | "0")
}
