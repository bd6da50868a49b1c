//! The tools that the model may call, and which of them it must.

use std::borrow::Cow;

use super::parts::copy;
use super::structured::{Form, TOOL};
use crate::json::{Value, Writer};
use crate::vendor::Unsupported;

/// `tools`, `tool_choice` and `parallel_tool_calls`.
pub(super) struct Tools<'r> {
    /// Tools of type function with a name.
    list: Vec<Value<'r>>,
    choice: Choice<'r>,
    calls: Calls,
}

#[derive(Clone, PartialEq)]
enum Choice<'r> {
    /// The client did not say.
    Unsaid,
    Auto,
    None,
    Any,
    Tool(Cow<'r, str>),
}

/// How many tools the model may call at once.
#[derive(Clone, Copy, PartialEq)]
enum Calls {
    Many,
    One,
}

impl<'r> Tools<'r> {
    /// Reads the three fields; the error is the path of what Anthropic cannot be told.
    pub(super) fn read(root: Value<'r>) -> Result<Tools<'r>, Unsupported> {
        let mut list = Vec::new();
        for (i, tool) in root.given("tools").into_iter().flat_map(Value::items).enumerate() {
            check(tool).map_err(|field| Unsupported::new(format!("tools[{i}]{field}")))?;
            list.push(tool);
        }
        let choice = read_choice(root.given("tool_choice"), &mut list).filter(|choice| choice.fits(&list));
        let calls = match root.given("parallel_tool_calls").and_then(Value::as_bool) {
            Some(false) => Calls::One,
            _ => Calls::Many,
        };
        Ok(Tools { list, choice: choice.ok_or_else(|| Unsupported::new("tool_choice"))?, calls })
    }

    /// Whether the model has no choice but to call a tool.
    pub(super) fn forced(&self) -> bool {
        matches!(self.choice, Choice::Any | Choice::Tool(_))
    }

    /// Writes the members `tools` and `tool_choice`, the latter only beside the former. `form` is a tool that takes the
    /// answer, where there is one.
    pub(super) fn render(&self, form: Option<&Form<'_>>, w: &mut Writer) {
        if self.list.is_empty() && form.is_none() {
            return;
        }
        w.key("tools").array(|w| {
            self.list.iter().for_each(|tool| render_tool(*tool, w));
            form.iter().for_each(|form| form.render(w));
        });
        let (choice, calls) = match form {
            None => (self.choice.clone(), self.calls),
            // One answer, and nothing but it.
            Some(_) if self.list.is_empty() || self.choice == Choice::None => (Choice::Tool(TOOL.into()), Calls::One),
            Some(_) => (Choice::Any, self.calls),
        };
        if choice == Choice::Unsaid && calls == Calls::Many {
            return;
        }
        w.key("tool_choice").object(|w| {
            w.key("type").string(choice.name());
            if let Choice::Tool(name) = &choice {
                w.key("name").string(name);
            }
            if calls == Calls::One && choice != Choice::None {
                w.key("disable_parallel_tool_use").bool(true);
            }
        });
    }
}

impl Choice<'_> {
    /// Without tools none can be demanded.
    fn fits(&self, list: &[Value<'_>]) -> bool {
        !list.is_empty() || matches!(self, Choice::Unsaid | Choice::Auto | Choice::None)
    }

    /// Anthropic's word; what it assumes when nothing is said is `auto`.
    fn name(&self) -> &'static str {
        match self {
            Choice::Unsaid | Choice::Auto => "auto",
            Choice::None => "none",
            Choice::Any => "any",
            Choice::Tool(_) => "tool",
        }
    }
}

/// The field that is wrong, as the end of a path.
fn check(tool: Value<'_>) -> Result<(), &'static str> {
    if tool.text("type").as_deref() != Some("function") {
        return Err(".type");
    }
    let function = tool.get("function").ok_or(".function")?;
    if function.text("name").is_none_or(|name| name == TOOL) {
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

fn render_tool(tool: Value<'_>, w: &mut Writer) {
    let Some(function) = tool.get("function") else {
        return;
    };
    w.object(|w| {
        copy("name", function.get("name"), w);
        copy("description", function.given("description"), w);
        render_schema(function.given("parameters"), w);
        copy("strict", function.given("strict"), w);
        copy("cache_control", tool.given("cache_control"), w);
    });
}

/// The schema with all its keywords; its type is `object`, whatever the client says, because Anthropic takes no other.
pub(super) fn render_schema(parameters: Option<Value<'_>>, w: &mut Writer) {
    w.key("input_schema");
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
