//! One pass over the text, no recursion: the stack is a list of open brackets, bounded by [`MAX_DEPTH`].

use std::collections::HashSet;
use std::fmt;

use super::{Kind, Node};

/// How deep arrays and objects may nest. serde_json's own limit; the deepest JSON Schemas in use stay below 40.
pub const MAX_DEPTH: usize = 128;

/// How many values a document may hold, member names included. At 16 bytes a node this bounds the list at 16 MiB;
/// a conversation of 8 MiB holds some thousands.
pub const MAX_VALUES: usize = 1 << 20;

/// Why a text is not JSON that Weir accepts, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    why: Why,
    line: usize,
    column: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Why {
    NotUtf8,
    End,
    Unexpected(char),
    BadNumber,
    BadString,
    BadEscape,
    Trailing,
    TooDeep,
    TooMany,
    Duplicate(String),
}

impl Error {
    pub(super) fn not_utf8(offset: usize) -> Error {
        Error { why: Why::NotUtf8, line: 0, column: offset }
    }

    fn at(text: &str, offset: usize, why: Why) -> Error {
        let before = text.as_bytes().get(..offset).unwrap_or_default();
        let line = before.iter().filter(|b| **b == b'\n').count() + 1;
        let column = before.iter().rev().take_while(|b| **b != b'\n').count() + 1;
        Error { why, line, column }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.why {
            Why::NotUtf8 => return write!(f, "invalid UTF-8 at byte {}", self.column),
            Why::End => f.write_str("unexpected end"),
            Why::Unexpected(c) => write!(f, "unexpected {c:?}"),
            Why::BadNumber => f.write_str("malformed number"),
            Why::BadString => f.write_str("control character in a string"),
            Why::BadEscape => f.write_str("malformed escape in a string"),
            Why::Trailing => f.write_str("text after the end"),
            Why::TooDeep => write!(f, "nested deeper than {MAX_DEPTH} levels"),
            Why::TooMany => write!(f, "more than {MAX_VALUES} values"),
            Why::Duplicate(name) => write!(f, "duplicate key {name:?}"),
        }?;
        write!(f, " at line {} column {}", self.line, self.column)
    }
}

impl std::error::Error for Error {}

/// Checks the text and lists its values in order of appearance.
pub(super) fn nodes(text: &str) -> Result<Vec<Node>, Error> {
    let mut parser =
        Parser { text, at: 0, nodes: Vec::with_capacity(text.len() / 16 + 16), open: Vec::with_capacity(8) };
    match parser.document() {
        Ok(()) => Ok(parser.nodes),
        Err(why) => Err(Error::at(text, parser.at, why)),
    }
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
    nodes: Vec<Node>,
    /// The nodes of the arrays and objects that are not closed yet.
    open: Vec<u32>,
}

impl Parser<'_> {
    fn document(&mut self) -> Result<(), Why> {
        self.skip_space();
        self.value()?;
        while let Some(container) = self.open.last().copied() {
            self.rest_of(container)?;
        }
        self.skip_space();
        if self.peek().is_some() { Err(Why::Trailing) } else { Ok(()) }
    }

    /// Reads a scalar, or the opening of a container up to the start of its first value.
    fn value(&mut self) -> Result<(), Why> {
        match self.peek().ok_or(Why::End)? {
            b'{' => self.begin(Kind::Object, b'}'),
            b'[' => self.begin(Kind::Array, b']'),
            b'"' => self.string(),
            b't' => self.literal("true", Kind::Bool),
            b'f' => self.literal("false", Kind::Bool),
            b'n' => self.literal("null", Kind::Null),
            b'-' | b'0'..=b'9' => self.number(),
            _ => Err(self.unexpected()),
        }
    }

    fn begin(&mut self, kind: Kind, end: u8) -> Result<(), Why> {
        if self.open.len() == MAX_DEPTH {
            return Err(Why::TooDeep);
        }
        let start = self.at;
        self.at += 1;
        let container = self.push(kind, start)?;
        self.open.push(container);
        self.skip_space();
        match self.peek() {
            Some(byte) if byte == end => self.close(container),
            _ if kind == Kind::Object => self.member(),
            _ => self.value(),
        }
    }

    /// After a value inside a container: the next value, or its end.
    fn rest_of(&mut self, container: u32) -> Result<(), Why> {
        let object = self.nodes.get(container as usize).is_some_and(|node| node.kind == Kind::Object);
        self.skip_space();
        match (self.peek().ok_or(Why::End)?, object) {
            (b',', _) => {
                self.at += 1;
                self.skip_space();
                if object { self.member() } else { self.value() }
            }
            (b'}', true) | (b']', false) => self.close(container),
            _ => Err(self.unexpected()),
        }
    }

    fn member(&mut self) -> Result<(), Why> {
        match self.peek().ok_or(Why::End)? {
            b'"' => self.string()?,
            _ => return Err(self.unexpected()),
        }
        self.skip_space();
        match self.peek().ok_or(Why::End)? {
            b':' => self.at += 1,
            _ => return Err(self.unexpected()),
        }
        self.skip_space();
        self.value()
    }

    fn close(&mut self, container: u32) -> Result<(), Why> {
        self.at += 1;
        let next = self.nodes.len() as u32;
        let mut object = false;
        if let Some(node) = self.nodes.get_mut(container as usize) {
            node.end = self.at as u32;
            node.next = next;
            object = node.kind == Kind::Object;
        }
        self.open.pop();
        if object { self.refuse_duplicates(container as usize + 1) } else { Ok(()) }
    }

    fn refuse_duplicates(&self, first: usize) -> Result<(), Why> {
        const FEW: usize = 12;
        let (mut names, mut count) = ([""; FEW], 0);
        let mut seen = HashSet::new();
        let mut at = first;
        while let Some(name) = self.nodes.get(at) {
            let raw = self.text.get(name.start as usize..name.end as usize).unwrap_or_default();
            if name.kind == Kind::Escaped || count == FEW {
                seen.extend(names.iter().take(count).map(|known| unescaped(known)));
                count = 0;
            }
            let fresh = if seen.is_empty() && name.kind == Kind::Plain {
                let fresh = names.iter().take(count).all(|known| *known != raw);
                if let Some(place) = names.get_mut(count) {
                    *place = raw;
                    count += 1;
                }
                fresh
            } else {
                seen.insert(unescaped(raw))
            };
            if !fresh {
                return Err(Why::Duplicate(unescaped(raw)));
            }
            at = self.nodes.get(at + 1).map_or(usize::MAX, |value| value.next as usize);
        }
        Ok(())
    }

    fn string(&mut self) -> Result<(), Why> {
        let start = self.at;
        let mut kind = Kind::Plain;
        self.at += 1;
        loop {
            let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
            self.at += plain(rest).ok_or(Why::End)?;
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => {
                    kind = Kind::Escaped;
                    self.escape()?;
                }
                _ => return Err(Why::BadString),
            }
        }
        self.at += 1;
        self.push(kind, start).map(drop)
    }

    fn escape(&mut self) -> Result<(), Why> {
        self.at += 1;
        match self.peek().ok_or(Why::End)? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => self.at += 1,
            b'u' => match self.unit()? {
                0xD800..=0xDBFF => {
                    let low = self.text.as_bytes().get(self.at..self.at + 2) == Some(b"\\u");
                    self.at += usize::from(low);
                    if !low || !matches!(self.unit()?, 0xDC00..=0xDFFF) {
                        return Err(Why::BadEscape);
                    }
                }
                0xDC00..=0xDFFF => return Err(Why::BadEscape),
                _ => {}
            },
            _ => return Err(Why::BadEscape),
        }
        Ok(())
    }

    /// The four hexadecimal digits after the `u` that stands here.
    fn unit(&mut self) -> Result<u16, Why> {
        let digits = self.text.as_bytes().get(self.at + 1..self.at + 5).ok_or(Why::End)?;
        let mut unit = 0u16;
        for digit in digits {
            let value = (*digit as char).to_digit(16).ok_or(Why::BadEscape)?;
            unit = unit << 4 | value as u16;
        }
        self.at += 5;
        Ok(unit)
    }

    fn number(&mut self) -> Result<(), Why> {
        let start = self.at;
        self.at += usize::from(self.peek() == Some(b'-'));
        match self.peek() {
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), Some(b'+' | b'-')));
            self.digits()?;
        }
        self.push(Kind::Number, start).map(drop)
    }

    fn digits(&mut self) -> Result<(), Why> {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        let run = rest.iter().take_while(|b| b.is_ascii_digit()).count();
        self.at += run;
        if run == 0 { Err(Why::BadNumber) } else { Ok(()) }
    }

    fn literal(&mut self, word: &str, kind: Kind) -> Result<(), Why> {
        let start = self.at;
        if !self.text.get(start..).is_some_and(|rest| rest.starts_with(word)) {
            return Err(self.unexpected());
        }
        self.at += word.len();
        self.push(kind, start).map(drop)
    }

    fn push(&mut self, kind: Kind, start: usize) -> Result<u32, Why> {
        let index = self.nodes.len();
        if index == MAX_VALUES {
            return Err(Why::TooMany);
        }
        let end = u32::try_from(self.at).map_err(|_| Why::TooMany)?;
        self.nodes.push(Node { kind, start: start as u32, end, next: index as u32 + 1 });
        Ok(index as u32)
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn unexpected(&self) -> Why {
        self.text.get(self.at..).and_then(|rest| rest.chars().next()).map_or(Why::End, Why::Unexpected)
    }
}

/// How many bytes of a string stand before the first that means something. Most of a body is the text of prompts and
/// answers, so this is where most of the time of parsing goes; a whole block is looked at without a branch, which the
/// compiler makes a few instructions for 16 bytes.
fn plain(text: &[u8]) -> Option<usize> {
    let (blocks, _) = text.as_chunks::<16>();
    let skip = 16 * blocks.iter().take_while(|block| !block.iter().fold(false, |any, b| any | special(*b))).count();
    let rest = text.get(skip..)?.iter().position(|b| special(*b))?;
    Some(skip + rest)
}

fn special(byte: u8) -> bool {
    (byte < 0x20) | (byte == b'"') | (byte == b'\\')
}

fn unescaped(raw: &str) -> String {
    serde_json::from_str(raw).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use crate::json::Doc;
    use crate::test;

    fn complaint(text: &[u8]) -> String {
        Doc::parse(text.to_vec()).map(drop).unwrap_err().to_string()
    }

    #[test]
    fn accepts_what_serde_json_accepts() {
        for text in [
            "0",
            "-0",
            "1.5e-3",
            "\"\"",
            "[]",
            "{}",
            " [ ] ",
            "[[[]]]",
            "{\"a\":{\"b\":[]}}",
            "true",
            "null",
            r#""\ud83d\ude00 \u00e9 \/ \\ \"""#,
            "{\"\":0}",
            "[1,2,[3],{\"a\":[4]}]",
        ] {
            serde_json::from_str::<serde_json::Value>(text).unwrap();
            let doc = Doc::parse(text.as_bytes().to_vec()).unwrap();
            assert_eq!(doc.root().raw(), text.trim());
        }
    }

    #[test]
    fn refuses_what_serde_json_refuses() {
        for text in [
            "",
            " ",
            "{",
            "[",
            "[1",
            "[1,",
            "[1,]",
            "{\"a\"",
            "{\"a\":",
            "{\"a\":1,",
            "{\"a\":1,}",
            "{1:2}",
            "{a:1}",
            "tru",
            "nul",
            "01",
            "-",
            "1.",
            ".5",
            "1e",
            "+1",
            "\"",
            "\"\\",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\\ud800\"",
            "\"\\udc00\"",
            "\"\\ud800\\u0041\"",
            "\"a\nb\"",
            "[1}",
            "{\"a\":1]",
            "1 2",
            "[] []",
            "NaN",
            "'a'",
            "[1 2]",
        ] {
            assert!(serde_json::from_str::<serde_json::Value>(text).is_err(), "{text}");
            assert!(Doc::parse(text.as_bytes().to_vec()).is_err(), "{text}");
        }
    }

    #[test]
    fn says_what_is_wrong_and_where() {
        for (text, says) in [
            (&b"{\"a\": 1,\n \"b\" 2}"[..], "unexpected '2' at line 2 column 6"),
            (b"{\"a\": ", "unexpected end at line 1 column 7"),
            (b"[\"\xff\"]", "invalid UTF-8 at byte 2"),
            (b"{\"a\":1,\"b\":{\"c\":1,\"\\u0063\":2}}", "duplicate key \"c\" at line 1 column 30"),
        ] {
            assert_eq!(complaint(text), says);
        }
    }

    #[test]
    fn finds_duplicates_among_many_names() {
        let names = |last: &str| {
            let mut text: String = (0..100).map(|i| format!("\"k{i}\":0,")).collect();
            text.push_str(&format!("\"{last}\":0"));
            format!("{{{text}}}").into_bytes()
        };
        assert!(Doc::parse(names("other")).is_ok());
        assert!(complaint(&names("k0")).starts_with("duplicate key \"k0\""));
        assert!(complaint(&names("k99")).starts_with("duplicate key \"k99\""));
    }

    #[test]
    fn bounds_depth_and_number_of_values() {
        let nested = |depth: usize| ["[".repeat(depth), "]".repeat(depth)].concat().into_bytes();
        assert!(Doc::parse(nested(super::MAX_DEPTH)).is_ok());
        assert!(complaint(&nested(10_000)).starts_with("nested deeper than 128 levels"));
        let many = format!("[{}0]", "0,".repeat(super::MAX_VALUES)).into_bytes();
        assert!(complaint(&many).starts_with("more than 1048576 values"));
    }
}
