//! JSON Schema in the subset of OpenAPI's that models before Gemini 2.5 read.
//!
//! References are put in place, `const` becomes an `enum` of one, a list of types becomes `nullable` or `anyOf`. What the
//! subset cannot say is left out, so a schema may become wider and never narrower. References can make a schema endless,
//! or larger without bound, so there is an end to both.

use crate::json::{Value, Writer};

/// Writes a schema.
pub(super) fn render(schema: Value<'_>, w: &mut Writer) {
    Subset { root: schema, left: MOST }.schema(schema, DEPTH, w);
}

/// How many schemas one may hold after its references were put in place.
const MOST: usize = 2000;

/// How deep they may be nested; what is below may be anything.
const DEPTH: usize = 32;

struct Subset<'r> {
    root: Value<'r>,
    /// How many more schemas are written.
    left: usize,
}

impl<'r> Subset<'r> {
    fn schema(&mut self, schema: Value<'r>, depth: usize, w: &mut Writer) {
        w.object(|w| {
            if depth > 0 && self.left > 0 {
                self.left -= 1;
                self.members(schema, depth - 1, w);
            }
        });
    }

    fn members(&mut self, outer: Value<'r>, depth: usize, w: &mut Writer) {
        let schema = self.resolved(outer);
        copy("description", outer.given("description").or_else(|| schema.given("description")), w);
        let alternatives = ["anyOf", "oneOf"].iter().find_map(|word| schema.given(word));
        let (nulls, others): (Vec<_>, Vec<_>) =
            alternatives.into_iter().flat_map(Value::items).partition(|one| types(*one) == ["NULL"]);
        let (null, kinds): (Vec<_>, Vec<_>) = types(schema).into_iter().partition(|kind| *kind == "NULL");
        if !nulls.is_empty() || !null.is_empty() || choices(schema).any(Value::is_null) {
            w.key("nullable").bool(true);
        }
        match kinds.as_slice() {
            _ if !others.is_empty() => {
                w.key("anyOf").array(|w| others.iter().for_each(|one| self.schema(*one, depth, w)));
            }
            [] => {}
            [kind] => self.typed(schema, kind, depth, w),
            several => w.key("anyOf").array(|w| {
                several.iter().for_each(|kind| w.object(|w| self.typed(schema, kind, depth, w)));
            }),
        }
    }

    /// What a reference stands for. Of several schemas that all hold, the first alone is the wider one.
    fn resolved(&self, mut schema: Value<'r>) -> Value<'r> {
        for _ in 0..DEPTH {
            let target = schema.text("$ref").and_then(|pointer| self.find(&pointer));
            let first = || schema.given("allOf").and_then(|all| all.items().next());
            match target.or_else(|| first().filter(|_| types(schema).is_empty())) {
                Some(inner) => schema = inner,
                None => break,
            }
        }
        schema
    }

    /// A place in the same schema: `#/$defs/City`.
    fn find(&self, pointer: &str) -> Option<Value<'r>> {
        let path = pointer.strip_prefix('#')?;
        path.split('/').skip(1).try_fold(self.root, |at, name| at.get(&name.replace("~1", "/").replace("~0", "~")))
    }

    /// The keywords that say something of values of this type.
    fn typed(&mut self, schema: Value<'r>, kind: &str, depth: usize, w: &mut Writer) {
        w.key("type").string(kind);
        let format = schema.given("format");
        copy("format", format.filter(|format| format.as_str().is_some_and(|f| FORMATS.contains(&(kind, &f)))), w);
        match kind {
            "STRING" => words(schema, w),
            "INTEGER" | "NUMBER" => BOUNDS.iter().for_each(|word| copy(word, schema.given(word), w)),
            "ARRAY" => {
                LENGTHS.iter().for_each(|word| copy(word, schema.given(word), w));
                w.key("items");
                match schema.given("items").filter(|items| items.is_object()) {
                    Some(items) => self.schema(items, depth, w),
                    None => w.object(|_| {}),
                }
            }
            "OBJECT" => self.properties(schema, depth, w),
            _ => {}
        }
    }

    fn properties(&mut self, schema: Value<'r>, depth: usize, w: &mut Writer) {
        let Some(properties) = schema.given("properties").filter(|properties| !properties.is_empty()) else {
            return;
        };
        w.key("properties").object(|w| {
            for (name, property) in properties.members() {
                self.schema(property, depth, w.key(&name));
            }
        });
        let required = schema.given("required").into_iter().flat_map(Value::items);
        let known: Vec<_> =
            required.filter(|name| name.as_str().is_some_and(|n| properties.get(&n).is_some())).collect();
        if !known.is_empty() {
            w.key("required").array(|w| known.iter().for_each(|name| w.raw(name.raw())));
        }
    }
}

/// The types of a schema, in Google's words; where it says none, what its keywords hint at.
fn types(schema: Value<'_>) -> Vec<&'static str> {
    let word = |value: Value<'_>| {
        let text = value.as_str()?;
        TYPES.iter().find(|(theirs, _)| *theirs == text).map(|(_, ours)| *ours)
    };
    let hint = || match () {
        () if schema.given("properties").is_some() => Some("OBJECT"),
        () if schema.given("items").is_some() => Some("ARRAY"),
        () if choices(schema).any(Value::is_string) => Some("STRING"),
        () => None,
    };
    match schema.given("type") {
        None => hint().into_iter().collect(),
        Some(list) if list.is_array() => list.items().filter_map(word).collect(),
        Some(one) => word(one).into_iter().collect(),
    }
}

/// What `enum` or `const` allows.
fn choices(schema: Value<'_>) -> impl Iterator<Item = Value<'_>> {
    schema.given("enum").into_iter().flat_map(Value::items).chain(schema.get("const"))
}

/// The words that a string may be. They are all of them or none: fewer would be narrower.
fn words(schema: Value<'_>, w: &mut Writer) {
    let allowed: Vec<_> = choices(schema).filter(|choice| !choice.is_null()).collect();
    if !allowed.is_empty() && allowed.iter().all(|choice| choice.is_string()) {
        w.key("enum").array(|w| allowed.iter().for_each(|choice| w.raw(choice.raw())));
    }
}

fn copy(name: &str, value: Option<Value<'_>>, w: &mut Writer) {
    if let Some(value) = value {
        w.key(name).raw(value.raw());
    }
}

const TYPES: [(&str, &str); 7] = [
    ("string", "STRING"),
    ("number", "NUMBER"),
    ("integer", "INTEGER"),
    ("boolean", "BOOLEAN"),
    ("array", "ARRAY"),
    ("object", "OBJECT"),
    ("null", "NULL"),
];

/// Any other format is refused.
const FORMATS: [(&str, &str); 5] =
    [("STRING", "date-time"), ("INTEGER", "int32"), ("INTEGER", "int64"), ("NUMBER", "float"), ("NUMBER", "double")];

const BOUNDS: [&str; 2] = ["minimum", "maximum"];
const LENGTHS: [&str; 2] = ["minItems", "maxItems"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Doc;
    use crate::test;

    fn converted(schema: &str) -> String {
        let doc = Doc::parse(schema.as_bytes().to_vec()).unwrap();
        let mut w = Writer::default();
        render(doc.root(), &mut w);
        String::from_utf8(w.finish()).unwrap()
    }

    #[test]
    fn says_what_can_be_said() {
        for (schema, expected) in [
            (r#"{"type":"string","format":"date-time","pattern":"x"}"#, r#"{"type":"STRING","format":"date-time"}"#),
            (r#"{"type":"string","format":"email"}"#, r#"{"type":"STRING"}"#),
            (r#"{"type":["integer","null"],"minimum":1}"#, r#"{"nullable":true,"type":"INTEGER","minimum":1}"#),
            (r#"{"type":["string","number"]}"#, r#"{"anyOf":[{"type":"STRING"},{"type":"NUMBER"}]}"#),
            (r#"{"const":"a"}"#, r#"{"type":"STRING","enum":["a"]}"#),
            (r#"{"enum":["a",null]}"#, r#"{"nullable":true,"type":"STRING","enum":["a"]}"#),
            (r#"{"type":"integer","enum":[1,2]}"#, r#"{"type":"INTEGER"}"#),
            (r#"{"enum":["a",1]}"#, r#"{"type":"STRING"}"#),
            (r#"{"type":"array"}"#, r#"{"type":"ARRAY","items":{}}"#),
            (
                r#"{"items":{"type":"boolean"},"maxItems":3}"#,
                r#"{"type":"ARRAY","maxItems":3,"items":{"type":"BOOLEAN"}}"#,
            ),
            (r#"{"anyOf":[{"type":"string"},{"type":"null"}]}"#, r#"{"nullable":true,"anyOf":[{"type":"STRING"}]}"#),
            (
                r##"{"$schema":"x","type":"object","properties":{"c":{"$ref":"#/$defs/C","description":"d"}},
                "required":["c","gone"],"additionalProperties":false,"$defs":{"C":{"type":"string","description":"e"}}}"##,
                r#"{"type":"OBJECT","properties":{"c":{"description":"d","type":"STRING"}},"required":["c"]}"#,
            ),
            (r##"{"allOf":[{"$ref":"#/x"}],"x":{"type":"string"}}"##, r#"{"type":"STRING"}"#),
            (r##"{"$ref":"#"}"##, "{}"),
            (r##"{"$ref":"https://example.com/x"}"##, "{}"),
            (r#"{"type":"unheard"}"#, "{}"),
            ("true", "{}"),
        ] {
            assert_eq!(converted(schema), expected, "{schema}");
        }
    }

    #[test]
    fn an_endless_schema_ends() {
        let once = converted(r##"{"type":"object","properties":{"next":{"$ref":"#"}}}"##);
        assert!(once.len() < 3000, "{}", once.len());
        let twice = converted(r##"{"type":"object","properties":{"a":{"$ref":"#"},"b":{"$ref":"#"}}}"##);
        assert!(twice.len() < 200_000, "{}", twice.len());
    }
}
