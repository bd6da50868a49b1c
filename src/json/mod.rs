//! JSON as Weir needs it: parsed once into a flat list of nodes, read through cheap cursors, copied verbatim.
//!
//! A gateway reads a few members of a body, refuses what two readers could understand differently, and passes the rest
//! on untouched. A tree of owned values is wrong for that: it costs an allocation per string, loses 64-bit integers and
//! the sender's own spelling of a number, and forgets where a member stood. So a [`Doc`] keeps the text and, for every
//! value, its kind and its span. A [`Value`] is a cursor into it: [`Value::raw`] is the exact text to relay, and the
//! typed readers decode on demand.
//!
//! Parsing is strict where leniency is dangerous: UTF-8, RFC 8259 grammar, no duplicate member names (compared after
//! unescaping), no lone surrogates, at most [`MAX_DEPTH`] levels and [`MAX_VALUES`] values.

mod parse;
mod write;

use std::borrow::Cow;

pub use parse::{Error, MAX_DEPTH, MAX_VALUES};
pub use write::Writer;

/// A parsed document: its text, and where every value in it stands.
#[derive(Debug)]
pub struct Doc {
    text: String,
    nodes: Vec<Node>,
}

/// One value. The members of an object follow it as name, value, name, value; the items of an array follow it likewise.
#[derive(Debug, Clone, Copy)]
struct Node {
    kind: Kind,
    start: u32,
    end: u32,
    /// The index of the first node after this value and everything in it.
    next: u32,
}

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `null`
    Null,
    /// `true` or `false`
    Bool,
    /// A number, kept as the sender spelled it.
    Number,
    /// A string whose text between the quotes is its value.
    Plain,
    /// A string with escapes.
    Escaped,
    /// `[..]`
    Array,
    /// `{..}`
    Object,
}

impl Doc {
    /// Parses a whole document. Errors say what is wrong and where.
    pub fn parse(bytes: Vec<u8>) -> Result<Doc, Error> {
        let text = String::from_utf8(bytes).map_err(|e| Error::not_utf8(e.utf8_error().valid_up_to()))?;
        let nodes = parse::nodes(&text)?;
        Ok(Doc { text, nodes })
    }

    /// The document's only top-level value.
    pub fn root(&self) -> Value<'_> {
        Value { doc: self, at: 0 }
    }

    /// The text the document was parsed from.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text alone, for whoever has remembered the spans that matter.
    pub fn into_text(self) -> String {
        self.text
    }
}

/// A cursor to one value of a [`Doc`].
#[derive(Clone, Copy)]
pub struct Value<'d> {
    doc: &'d Doc,
    at: usize,
}

impl<'d> Value<'d> {
    /// What the value is.
    pub fn kind(self) -> Kind {
        self.node().kind
    }

    /// The exact text of the value, quotes and brackets included.
    pub fn raw(self) -> &'d str {
        self.doc.text.get(self.span()).unwrap_or_default()
    }

    /// Where [`Value::raw`] stands in [`Doc::text`], in bytes.
    pub fn span(self) -> std::ops::Range<usize> {
        let node = self.node();
        node.start as usize..node.end as usize
    }

    /// The member of an object by name; `None` for everything that is no object.
    pub fn get(self, name: &str) -> Option<Value<'d>> {
        self.entries().find(|(key, _)| key.spells(name)).map(|(_, value)| value)
    }

    /// Whether it is this string. Most names differ in their length already, which costs no look at the text.
    fn spells(self, text: &str) -> bool {
        match self.kind() {
            Kind::Plain => self.span().len() == text.len() + 2 && self.raw().get(1..=text.len()) == Some(text),
            Kind::Escaped => self.as_str().is_some_and(|value| value == text),
            _ => false,
        }
    }

    /// The member of an object by name, where an explicit null counts as absent.
    pub fn given(self, name: &str) -> Option<Value<'d>> {
        self.get(name).filter(|value| !value.is_null())
    }

    /// The member as a string, or `None` when it is absent or of another type.
    pub fn text(self, name: &str) -> Option<Cow<'d, str>> {
        self.get(name)?.as_str()
    }

    /// The members of an object in order; nothing for everything that is no object.
    pub fn members(self) -> impl Iterator<Item = (Cow<'d, str>, Value<'d>)> {
        self.entries().map_while(|(name, value)| Some((name.as_str()?, value)))
    }

    /// The same with the names as values, for whoever needs to know where they stand.
    pub fn entries(self) -> impl Iterator<Item = (Value<'d>, Value<'d>)> {
        let mut inside = self.inside(Kind::Object);
        std::iter::from_fn(move || Some((inside.next()?, inside.next()?)))
    }

    /// The items of an array in order; nothing for everything that is no array.
    pub fn items(self) -> impl Iterator<Item = Value<'d>> {
        self.inside(Kind::Array)
    }

    /// Whether an array or object holds nothing; false for everything else.
    pub fn is_empty(self) -> bool {
        matches!(self.kind(), Kind::Array | Kind::Object) && self.node().next as usize == self.at + 1
    }

    /// Whether the value is `null`.
    pub fn is_null(self) -> bool {
        self.kind() == Kind::Null
    }

    /// Whether the value is an object.
    pub fn is_object(self) -> bool {
        self.kind() == Kind::Object
    }

    /// Whether the value is an array.
    pub fn is_array(self) -> bool {
        self.kind() == Kind::Array
    }

    /// Whether the value is a string.
    pub fn is_string(self) -> bool {
        matches!(self.kind(), Kind::Plain | Kind::Escaped)
    }

    /// The string's value, unescaped; borrowed when it has no escapes.
    pub fn as_str(self) -> Option<Cow<'d, str>> {
        let raw = self.raw();
        match self.kind() {
            Kind::Plain => raw.get(1..raw.len().saturating_sub(1)).map(Cow::Borrowed),
            Kind::Escaped => serde_json::from_str(raw).ok().map(Cow::Owned),
            _ => None,
        }
    }

    /// The Boolean's value.
    pub fn as_bool(self) -> Option<bool> {
        (self.kind() == Kind::Bool).then(|| self.raw() == "true")
    }

    /// The number's value; infinite when it is beyond a double.
    pub fn as_f64(self) -> Option<f64> {
        (self.kind() == Kind::Number).then(|| self.raw().parse().ok()).flatten()
    }

    /// The number's value when it is a non-negative integer, in whatever spelling (`3`, `3.0`, `3e0`) below 2^53.
    pub fn as_u64(self) -> Option<u64> {
        const EXACT: f64 = 9_007_199_254_740_992.0;
        if self.kind() != Kind::Number {
            return None;
        }
        self.raw().parse().ok().or_else(|| {
            let number = self.as_f64()?;
            ((0.0..EXACT).contains(&number) && number.fract() == 0.0).then_some(number as u64)
        })
    }

    fn node(self) -> Node {
        const NOTHING: Node = Node { kind: Kind::Null, start: 0, end: 0, next: 0 };
        self.doc.nodes.get(self.at).copied().unwrap_or(NOTHING)
    }

    fn inside(self, kind: Kind) -> Inside<'d> {
        let node = self.node();
        let end = if node.kind == kind { node.next as usize } else { 0 };
        Inside { doc: self.doc, at: self.at + 1, end }
    }
}

/// The values directly inside an array, or the names and values of an object.
struct Inside<'d> {
    doc: &'d Doc,
    at: usize,
    end: usize,
}

impl<'d> Iterator for Inside<'d> {
    type Item = Value<'d>;

    fn next(&mut self) -> Option<Value<'d>> {
        if self.at >= self.end {
            return None;
        }
        let value = Value { doc: self.doc, at: self.at };
        self.at = value.node().next as usize;
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test;

    fn doc(text: &str) -> Doc {
        Doc::parse(text.as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn reads_members_items_and_scalars() {
        let doc = doc(r#" {"a": [1, "two", null, {"b": true}], "n": -0.5, "caf\u00e9": "\"q\""} "#);
        let root = doc.root();
        let items: Vec<_> = root.get("a").unwrap().items().map(Value::raw).collect();
        assert_eq!(items, ["1", "\"two\"", "null", "{\"b\": true}"]);
        assert_eq!(root.get("n").unwrap().as_f64(), Some(-0.5));
        assert_eq!(root.text("café").unwrap(), "\"q\"");
        assert!(root.get("a").unwrap().items().nth(3).unwrap().get("b").unwrap().as_bool().unwrap());
        assert!(root.get("missing").is_none() && root.get("a").unwrap().get("b").is_none());
    }

    #[test]
    fn keeps_numbers_as_they_were_spelled() {
        let doc = doc("[9007199254740993, 1e2, 1.5, -1, 1e999, 18446744073709551615]");
        let items: Vec<_> = doc.root().items().collect();
        assert_eq!(items[0].as_u64(), Some(9_007_199_254_740_993));
        assert_eq!(items[1].as_u64(), Some(100));
        assert_eq!(items[2].as_u64(), None);
        assert_eq!(items[3].as_u64(), None);
        assert_eq!(items[4].as_f64(), Some(f64::INFINITY));
        assert_eq!(items[5].raw(), "18446744073709551615");
    }

    #[test]
    fn an_explicit_null_is_not_given() {
        let doc = doc(r#"{"stop": null, "n": 1}"#);
        assert!(doc.root().get("stop").is_some() && doc.root().given("stop").is_none());
        assert!(doc.root().given("n").is_some());
    }

    #[test]
    fn knows_what_is_empty() {
        let doc = doc(r#"[[], {}, [0], {"a":0}, "", 0]"#);
        let empty: Vec<_> = doc.root().items().map(Value::is_empty).collect();
        assert_eq!(empty, [true, true, false, false, false, false]);
    }
}
