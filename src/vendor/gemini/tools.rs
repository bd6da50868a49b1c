//! The tools that the model may call, and which of them it must.

use std::borrow::Cow;

use super::models;
use super::schema;
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
    /// Reads the fields; the error is the path of what Gemini cannot be told.
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

    /// Writes the members `tools` and `toolConfig`, the latter only beside the former.
    pub(super) fn render(&self, schemas: models::Schema, w: &mut Writer) {
        if self.list.is_empty() {
            return;
        }
        w.key("tools").array(|w| {
            w.object(|w| {
                w.key("functionDeclarations").array(|w| self.list.iter().for_each(|tool| declare(*tool, schemas, w)));
            });
        });
        let (mode, only) = match &self.choice {
            Choice::Unsaid => return,
            Choice::Auto => ("AUTO", None),
            Choice::None => ("NONE", None),
            Choice::Any => ("ANY", None),
            Choice::Tool(name) => ("ANY", Some(name)),
        };
        w.key("toolConfig").object(|w| {
            w.key("functionCallingConfig").object(|w| {
                w.key("mode").string(mode);
                if let Some(name) = only {
                    w.key("allowedFunctionNames").array(|w| w.string(name));
                }
            });
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

/// A function without parameters has no schema: older models refuse an object without properties.
fn declare(tool: Value<'_>, schemas: models::Schema, w: &mut Writer) {
    let Some(function) = tool.get("function") else {
        return;
    };
    w.object(|w| {
        for field in ["name", "description"] {
            if let Some(value) = function.given(field) {
                w.key(field).raw(value.raw());
            }
        }
        let parameters = function.given("parameters");
        let parameters = parameters.filter(|schema| schema.members().any(|(keyword, value)| says(&keyword, value)));
        match (parameters, schemas) {
            (None, _) => {}
            (Some(schema), models::Schema::Json) => w.key("parametersJsonSchema").raw(schema.raw()),
            (Some(schema), models::Schema::Subset) => schema::render(schema, w.key("parameters")),
        }
    });
}

/// Whether a keyword of a schema says more than that there are arguments.
fn says(keyword: &str, value: Value<'_>) -> bool {
    match keyword {
        "properties" => !value.is_empty(),
        "$ref" | "anyOf" | "oneOf" | "allOf" | "patternProperties" => true,
        "additionalProperties" => value.is_object() || value.as_bool() == Some(true),
        _ => false,
    }
}
