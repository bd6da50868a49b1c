//! YAML for people: short collections on one line, long texts as blocks, the virtual machine written once.
//!
//! Envoy runs one virtual machine for all filters whose `vm_config` is the same to the byte. It is therefore written
//! where it first occurs and referred to by an anchor everywhere else, so that nobody can edit one of five copies.
//! A member with the key [`NOTE`] becomes a comment.

use serde_json::{Map, Value};

/// The key of a member that is a comment.
pub const NOTE: &str = "#";

/// The value as a YAML document.
pub fn write(value: &Value) -> String {
    let mut yaml = Yaml { out: String::new(), anchored: false };
    yaml.block(value, 0);
    yaml.out
}

struct Yaml {
    out: String,
    anchored: bool,
}

impl Yaml {
    /// The entries of a collection, one or more lines each; the first line is already indented.
    fn block(&mut self, value: &Value, depth: usize) {
        match value {
            Value::Object(members) => self.members(members, depth),
            Value::Array(items) => self.items(items, depth),
            scalar => self.line(&flow(scalar)),
        }
    }

    fn members(&mut self, members: &Map<String, Value>, depth: usize) {
        for (i, (key, value)) in members.iter().enumerate() {
            if i > 0 {
                self.indent(depth);
            }
            match value {
                Value::String(text) if key == NOTE => self.line(&["# ", text].concat()),
                _ if key == SHARED => self.shared(value, depth),
                _ => {
                    self.out.push_str(&scalar(key));
                    self.out.push(':');
                    self.child(value, depth + 1);
                }
            }
        }
    }

    fn shared(&mut self, value: &Value, depth: usize) {
        if std::mem::replace(&mut self.anchored, true) {
            return self.line("vm_config: *vm");
        }
        self.line("vm_config: &vm");
        self.indent(depth + 1);
        self.block(value, depth + 1);
    }

    fn items(&mut self, items: &[Value], depth: usize) {
        for (i, item) in items.iter().enumerate() {
            if i > 0 {
                self.indent(depth);
            }
            match on_one_line(item, depth) {
                Some(line) => self.line(&["- ", &line].concat()),
                None => {
                    self.out.push_str("- ");
                    self.block(item, depth + 1);
                }
            }
        }
    }

    /// What follows `key:`.
    fn child(&mut self, value: &Value, depth: usize) {
        if let Value::String(text) = value
            && text.contains('\n')
        {
            return self.literal(text, depth);
        }
        match on_one_line(value, depth) {
            Some(line) => self.line(&[" ", &line].concat()),
            None => {
                self.line("");
                self.indent(depth);
                self.block(value, depth);
            }
        }
    }

    fn literal(&mut self, text: &str, depth: usize) {
        self.line(" |-");
        for line in text.lines() {
            self.indent(depth);
            self.line(line);
        }
    }

    fn indent(&mut self, depth: usize) {
        self.out.push_str(&"  ".repeat(depth));
    }

    fn line(&mut self, text: &str) {
        self.out.push_str(text);
        self.out.push('\n');
    }
}

/// The value in flow style, if it is a scalar or short enough and holds nothing that needs lines of its own.
fn on_one_line(value: &Value, depth: usize) -> Option<String> {
    let line = flow(value);
    let is_scalar = !matches!(value, Value::Object(_) | Value::Array(_));
    (is_scalar || line.len() + 2 * depth <= WIDTH && !needs_lines(value)).then_some(line)
}

fn needs_lines(value: &Value) -> bool {
    match value {
        Value::Object(members) => {
            members.contains_key(NOTE) || members.contains_key(SHARED) || members.values().any(needs_lines)
        }
        Value::Array(items) => items.iter().any(needs_lines),
        Value::String(text) => text.contains('\n'),
        _ => false,
    }
}

fn flow(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let members: Vec<String> = members.iter().map(|(k, v)| [&scalar(k), ": ", &flow(v)].concat()).collect();
            format!("{{{}}}", members.join(", "))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::String(text) => scalar(text),
        other => other.to_string(),
    }
}

/// Without quotes only where no reader of any YAML version can take the text for something else.
fn scalar(text: &str) -> String {
    if is_word(text) || is_seconds(text) { text.to_owned() } else { Value::from(text).to_string() }
}

fn is_word(text: &str) -> bool {
    let first = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == '/');
    let rest = text.chars().all(|c| c.is_ascii_alphanumeric() || "_./-".contains(c));
    let reserved = ["true", "false", "yes", "no", "on", "off", "y", "n", "null"];
    first && rest && !reserved.contains(&&*text.to_ascii_lowercase())
}

/// `20s`, `0.1s`
fn is_seconds(text: &str) -> bool {
    text.strip_suffix('s').is_some_and(|number| {
        number.starts_with(|c: char| c.is_ascii_digit()) && number.chars().all(|c| c.is_ascii_digit() || c == '.')
    })
}

/// The member that is the same wherever it occurs.
const SHARED: &str = "vm_config";
const WIDTH: usize = 112;

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn writes_what_people_like_to_read() {
        let vm = json!({"vm_id": "weir", "configuration": "{\n\"a\": 1\n}"});
        let value = json!({
            "a": [{"b": "20s", "on": true}, {"#": "why", "c": {}}],
            "first": {"vm_config": vm, "x": "@type: y"},
            "second": [{"vm_config": vm}],
        });
        let expected = "a:
  - {b: 20s, \"on\": true}
  - # why
    c: {}
first:
  vm_config: &vm
    vm_id: weir
    configuration: |-
      {
      \"a\": 1
      }
  x: \"@type: y\"
second:
  - vm_config: *vm
";
        assert_eq!(write(&value), expected);
    }

    #[test]
    fn any_text_comes_back() {
        for text in [
            "",
            "no",
            "1e3",
            "0x1F",
            "a: b",
            "-",
            "*",
            "# x",
            "\"",
            "\\",
            "'",
            "\t",
            "ü",
            "1.0",
            ".5",
            "~",
            "2001-01-01",
        ] {
            let read: Value = serde_saphyr::from_str(&write(&json!({"text": text}))).unwrap();
            assert_eq!(read, json!({"text": text}));
        }
    }
}
