//! The tools that the model may call, and which of them it must.

use std::borrow::Cow;

use super::parts::Mark;
use crate::json::{Value, Writer};
use crate::vendor::Unsupported;

/// `tools` and `tool_choice`.
pub(super) struct Tools<'r> {
    /// Tools of type function with a name.
    list: Vec<Value<'r>>,
    choice: Choice<'r>,
}

enum Choice<'r> {
    /// The client did not say.
    Unsaid,
    Auto,
    None,
    Any,
    Tool(Cow<'r, str>),
}

impl<'r> Tools<'r> {
    /// Reads the fields; the error is the path of what Bedrock cannot be told.
    pub(super) fn read(root: Value<'r>) -> Result<Tools<'r>, Unsupported> {
        let mut list = Vec::new();
        for (i, tool) in root.given("tools").into_iter().flat_map(Value::items).enumerate() {
            check(tool).map_err(|field| Unsupported::new(format!("tools[{i}]{field}")))?;
            list.push(tool);
        }
        let choice = read_choice(root.given("tool_choice"), &mut list).filter(|choice| choice.fits(&list));
        let choice = choice.ok_or_else(|| Unsupported::new("tool_choice"))?;
        let one_at_a_time = root.given("parallel_tool_calls").and_then(Value::as_bool) == Some(false);
        if one_at_a_time && !list.is_empty() && !matches!(choice, Choice::None) {
            return Err(Unsupported::new("parallel_tool_calls"));
        }
        Ok(Tools { list, choice })
    }

    /// Whether a conversation with calls in it can be told: Bedrock wants their tools to be there, and has no word for not
    /// calling any.
    pub(super) fn allow_history(&self) -> Result<(), Unsupported> {
        match (&self.choice, self.list.is_empty()) {
            (Choice::None, false) => Err(Unsupported::new("tool_choice")),
            (_, true) => Err(Unsupported::new("tools")),
            _ => Ok(()),
        }
    }

    /// Whether the model has no choice but to call a tool.
    pub(super) fn forced(&self) -> bool {
        matches!(self.choice, Choice::Any | Choice::Tool(_))
    }

    /// Writes the member `toolConfig`, if the model may call any.
    pub(super) fn render(&self, w: &mut Writer) {
        if self.list.is_empty() || matches!(self.choice, Choice::None) {
            return;
        }
        w.key("toolConfig").object(|w| {
            w.key("tools").array(|w| {
                for tool in &self.list {
                    specify(*tool, w);
                    Mark::of(*tool).render(w);
                }
            });
            match &self.choice {
                Choice::Unsaid | Choice::None => {}
                Choice::Auto => w.key("toolChoice").object(|w| w.key("auto").object(|_| {})),
                Choice::Any => w.key("toolChoice").object(|w| w.key("any").object(|_| {})),
                Choice::Tool(name) => {
                    w.key("toolChoice").object(|w| w.key("tool").object(|w| w.key("name").string(name)));
                }
            }
        });
    }
}

impl Choice<'_> {
    /// What is demanded must be there.
    fn fits(&self, list: &[Value<'_>]) -> bool {
        match self {
            Choice::Unsaid | Choice::Auto | Choice::None => true,
            Choice::Any => !list.is_empty(),
            Choice::Tool(wanted) => list.iter().any(|tool| name(*tool).as_ref() == Some(wanted)),
        }
    }
}

/// The field that is wrong, as the end of a path.
fn check(tool: Value<'_>) -> Result<(), &'static str> {
    if tool.text("type").as_deref() != Some("function") {
        return Err(".type");
    }
    let function = tool.get("function").ok_or(".function")?;
    if function.text("name").is_none() {
        return Err(".function.name");
    }
    match function.given("parameters").is_none_or(Value::is_object) {
        true => Ok(()),
        false => Err(".function.parameters"),
    }
}

/// The choice; one among allowed tools shortens the list to them.
fn read_choice<'r>(choice: Option<Value<'r>>, list: &mut Vec<Value<'r>>) -> Option<Choice<'r>> {
    let Some(choice) = choice else {
        return Some(Choice::Unsaid);
    };
    if let Some(word) = choice.as_str() {
        return mode(&word);
    }
    match &*choice.text("type")? {
        "function" => Some(Choice::Tool(choice.get("function")?.text("name")?)),
        "allowed_tools" => {
            let allowed = choice.get("allowed_tools")?;
            let names: Vec<_> = allowed.get("tools")?.items().map(name).collect();
            list.retain(|tool| names.contains(&name(*tool)));
            mode(&allowed.text("mode")?).filter(|_| !list.is_empty())
        }
        _ => None,
    }
}

fn mode<'r>(word: &str) -> Option<Choice<'r>> {
    match word {
        "auto" => Some(Choice::Auto),
        "none" => Some(Choice::None),
        "required" => Some(Choice::Any),
        _ => None,
    }
}

fn name<'r>(tool: Value<'r>) -> Option<Cow<'r, str>> {
    tool.get("function")?.text("name")
}

/// Writes a `toolSpec`. Its description may not be empty.
fn specify(tool: Value<'_>, w: &mut Writer) {
    let Some(function) = tool.get("function") else {
        return;
    };
    let copied = |name: &str| function.given(name).filter(|value| value.raw() != "\"\"");
    w.object(|w| {
        w.key("toolSpec").object(|w| {
            for name in ["name", "description"] {
                if let Some(value) = copied(name) {
                    w.key(name).raw(value.raw());
                }
            }
            w.key("inputSchema").object(|w| schema(function.given("parameters"), w.key("json")));
            if function.given("strict").and_then(Value::as_bool) == Some(true) {
                w.key("strict").bool(true);
            }
        });
    });
}

/// The schema with all its keywords; it must be that of an object.
fn schema(parameters: Option<Value<'_>>, w: &mut Writer) {
    match parameters.filter(|schema| !schema.is_empty()) {
        None => w.raw(r#"{"type":"object","properties":{}}"#),
        Some(schema) if schema.text("type").as_deref() == Some("object") => w.raw(schema.raw()),
        Some(schema) => w.object(|w| {
            w.key("type").string("object");
            for (keyword, value) in schema.members().filter(|(keyword, _)| keyword != "type") {
                w.key(&keyword).raw(value.raw());
            }
        }),
    }
}
