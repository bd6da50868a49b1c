//! What may stand in `weir.yaml`, as a JSON Schema for editors and as tables for people, both made from the types that
//! read it and from what is said of them.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema, schema_for};
use serde_json::Value;

use super::written::{Concurrent, Written};
use crate::unit::{Bytes, Rate, Span};

/// The JSON Schema.
pub fn schema() -> Value {
    schema_for!(Written).to_value()
}

/// Tables in Markdown: one of all fields, and one for each object that stands in several places.
pub fn reference() -> String {
    let schema = schema();
    let tables = Tables { definitions: schema.get("$defs").unwrap_or(&Value::Null) };
    let mut text = table(&tables.rows("", &schema));
    for (name, said) in SHARED {
        let what = &tables.definitions[name];
        text.push_str(&format!("\n{said}\n\n{}", table(&tables.rows("", what))));
    }
    text
}

/// What stands in several places, and in which.
const SHARED: [(&str, &str); 7] = [
    ("Credential", "`credential` and `password` are one of:"),
    ("Price", "`price`:"),
    ("Weights", "`weights`, of `routing`, a model and a key:"),
    ("Rules", "`limits` of a key, a tenant, a model and a vendor:"),
    ("Bucket", "`requests` and `tokens` of those:"),
    ("Budget", "`budget_usd` of a key and a tenant:"),
    ("CacheRules", "`cache` of a model and a key:"),
];

struct Tables<'s> {
    definitions: &'s Value,
}

struct Row {
    path: String,
    default: String,
    what: String,
}

impl Tables<'_> {
    /// The fields of an object and of what is in them.
    fn rows(&self, path: &str, object: &Value) -> Vec<Row> {
        let fields = object["properties"].as_object().into_iter().flatten();
        fields.flat_map(|(name, field)| self.row(&format!("{path}{name}"), field)).collect()
    }

    fn row(&self, path: &str, field: &Value) -> Vec<Row> {
        let said = field["description"].as_str().unwrap_or_default();
        let (what, default) = match said.split_once("\n\nDefault: ") {
            Some((what, default)) => (what, line(default)),
            None => (said, written(&field["default"])),
        };
        let (list, within) = self.within(field);
        let open = within.filter(|(name, _)| !SHARED.iter().any(|(shared, _)| shared == name));
        let row = Row { path: path.to_owned(), default, what: line(what) };
        match open {
            // Its own fields say what it defaults to.
            Some((_, object)) => {
                let inner = self.rows(&format!("{path}{}.", if list { "[]" } else { "" }), object);
                [Row { default: String::new(), ..row }].into_iter().chain(inner).collect()
            }
            None => vec![row],
        }
    }

    /// The object that a field holds, or each item of a list, by its name.
    fn within<'v>(&'v self, field: &'v Value) -> (bool, Option<(&'v str, &'v Value)>) {
        let one = |value: &'v Value| value["$ref"].as_str().and_then(|name| name.strip_prefix("#/$defs/"));
        let any = |value: &'v Value| value["anyOf"].as_array().into_iter().flatten().find_map(one);
        let (list, name) = match one(field).or_else(|| any(field)) {
            Some(name) => (false, Some(name)),
            None => (true, one(&field["items"])),
        };
        let object = name.map(|name| (name, &self.definitions[name]));
        (list, object.filter(|(_, object)| object["properties"].is_object() && object.get("anyOf").is_none()))
    }
}

fn table(rows: &[Row]) -> String {
    let head = "| field | default | what it is |\n|---|---|---|\n".to_owned();
    let lines = rows.iter().map(|Row { path, default, what }| format!("| `{path}` | {default} | {what} |\n"));
    head + &lines.collect::<String>()
}

fn line(text: &str) -> String {
    text.replace('\n', " ").trim_end_matches('.').to_owned()
}

/// A default as one writes it; what must be written has none.
fn written(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) if text.is_empty() => String::new(),
        Value::Array(items) if items.is_empty() => String::new(),
        Value::String(text) => format!("`{text}`"),
        Value::Object(members) => {
            let members: Vec<String> = members.iter().map(|(name, value)| format!("{name}: {value}")).collect();
            format!("`{{{}}}`", members.join(", "))
        }
        value => format!("`{value}`"),
    }
}

/// A text of this form.
macro_rules! text {
    ($type:ty, $name:literal, $schema:tt) => {
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    };
}

text!(Span, "Span", {"type": "string", "pattern": "^[0-9]+(ms|s|m|h)$"});
text!(Rate, "Rate", {"type": "string", "pattern": "^[0-9]+/(s|min|h|day)$"});
text!(Bytes, "Bytes", {"type": ["string", "integer"], "pattern": "^[0-9]+(B|KiB|MiB|GiB)?$"});
text!(Concurrent, "Concurrent", {"anyOf": [
    {"type": "integer", "minimum": 1},
    {"type": "object", "properties": {"max": {"type": "integer"}, "mode": {"enum": ["enforce", "observe"]}}},
]});
