//! YAML for people: short collections on one line, long texts as blocks, what must be the same everywhere written once.
//!
//! Envoy runs one virtual machine for all filters whose `vm_config` is the same to the byte, and what the gateway calls
//! itself must meet the same filters as a client. They are therefore written where they first occur and referred to by
//! an anchor everywhere else, so that nobody can edit one of several copies.
//! A member with the key [`NOTE`] becomes a comment.

use serde_json::{Map, Value};

/// The key of a member that is a comment.
pub const NOTE: &str = "#";

/// The value as a YAML document.
pub fn write(value: &Value) -> String {
    let mut yaml = Yaml { out: String::new(), root: value, anchored: Vec::new() };
    yaml.block(value, 0);
    yaml.out
}

struct Yaml<'v> {
    out: String,
    root: &'v Value,
    anchored: Vec<(&'v str, &'v Value)>,
}

impl<'v> Yaml<'v> {
    /// The entries of a collection, one or more lines each; the first line is already indented.
    fn block(&mut self, value: &'v Value, depth: usize) {
        match value {
            Value::Object(members) => self.members(members, depth),
            Value::Array(items) => self.items(items, depth),
            scalar => self.line(&flow(scalar)),
        }
    }

    fn members(&mut self, members: &'v Map<String, Value>, depth: usize) {
        for (i, (key, value)) in members.iter().enumerate() {
            if i > 0 {
                self.indent(depth);
            }
            match value {
                Value::String(text) if key == NOTE => self.line(&["# ", text].concat()),
                _ => {
                    self.out.push_str(&scalar(key));
                    self.out.push(':');
                    self.member(key, value, depth);
                }
            }
        }
    }

    /// What follows `key:`: an anchor and the value where a shared one first occurs, an alias where it does so again.
    fn member(&mut self, key: &'v str, value: &'v Value, depth: usize) {
        let Some((_, name)) = SHARED.iter().find(|(shared, _)| *shared == key) else {
            return self.child(value, depth + 1);
        };
        match self.anchored.iter().find(|(anchored, _)| *anchored == key) {
            Some((_, first)) if *first == value => self.line(&[" *", name].concat()),
            Some(_) => self.child(value, depth + 1),
            None if times(self.root, key, value) < 2 => self.child(value, depth + 1),
            None => {
                self.anchored.push((key, value));
                self.line(&[" &", name].concat());
                self.indent(depth + 1);
                self.block(value, depth + 1);
            }
        }
    }

    fn items(&mut self, items: &'v [Value], depth: usize) {
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
    fn child(&mut self, value: &'v Value, depth: usize) {
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
        self.line(if text.ends_with('\n') { " |" } else { " |-" });
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

/// In how many places a member has this value.
fn times(within: &Value, key: &str, value: &Value) -> usize {
    match within {
        Value::Object(members) => {
            let here = usize::from(members.get(key) == Some(value));
            here + members.values().map(|member| times(member, key, value)).sum::<usize>()
        }
        Value::Array(items) => items.iter().map(|item| times(item, key, value)).sum(),
        _ => 0,
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
            members.keys().any(|key| key == NOTE || SHARED.iter().any(|(shared, _)| shared == key))
                || members.values().any(needs_lines)
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

/// Members that may be the same in several places, and the names of their anchors.
const SHARED: [(&str, &str); 5] = [
    ("vm_config", "vm"),
    ("capability_restriction_config", "capabilities"),
    ("filters", "filters"),
    ("route_config", "routes"),
    ("http_filters", "chain"),
];
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
            "third": [{"filters": [{"a": 2}]}, {"filters": [{"a": 1}]}, {"filters": [{"a": 1}]}],
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
third:
  - filters: [{a: 2}]
  - filters: &filters
      - {a: 1}
  - filters: *filters
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
