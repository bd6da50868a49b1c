//! RESP2, the language of Redis: commands out, replies back.
//!
//! The parser takes bytes in any cut and believes nothing that it has not seen: a length only says how many bytes are
//! waited for, never how many are set aside, and everything has a bound. What is not RESP2 is [`Nonsense`], after which
//! nothing more can be read: where the next reply would begin is not known.

use std::io::Write;

use super::{Command, Naming, Reply};

/// Appends a command as Redis wants it: an array of byte strings.
pub fn write(command: &Command, naming: Naming, out: &mut Vec<u8>) {
    let words = command.words(naming);
    // Writing to a Vec cannot fail.
    let _ = write!(out, "*{}\r\n", words.len());
    for word in words {
        let _ = write!(out, "${}\r\n", word.len());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
}

/// How many bytes [`write()`] appends at most.
pub fn size(command: &Command, naming: Naming) -> usize {
    command.words(naming).fold(HEADER, |size, word| size.saturating_add(word.len()).saturating_add(HEADER))
}

/// The end of a pipeline: Redis answers `+OK` and closes the connection.
pub const QUIT: &[u8] = b"*1\r\n$4\r\nQUIT\r\n";

/// Why bytes are no replies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nonsense {
    /// No reply begins with this byte.
    Kind,
    /// A number that is none, or a length that cannot be.
    Number,
    /// A byte string that does not end where its length says.
    End,
    /// Arrays within arrays, more than [`MAX_DEPTH`].
    Depth,
    /// More than [`MAX_BYTES`], [`MAX_LINE`] or [`MAX_VALUES`].
    Size,
}

/// Reads replies.
#[derive(Debug, Default)]
pub struct Parser {
    /// What was fed and is not a whole token yet.
    rest: Vec<u8>,
    /// The arrays that are not complete, from the outside in.
    open: Vec<Open>,
    fed: usize,
    values: usize,
}

/// An array that wants more.
#[derive(Debug)]
struct Open {
    items: Vec<Reply>,
    missing: usize,
}

/// The smallest thing that stands for itself.
enum Token {
    Value(Reply),
    Array(usize),
}

impl Parser {
    /// Takes the next bytes and gives the replies that are complete with them.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Vec<Reply>, Nonsense> {
        self.fed = self.fed.saturating_add(bytes.len());
        if self.fed > MAX_BYTES {
            return Err(Nonsense::Size);
        }
        self.rest.extend_from_slice(bytes);
        let mut rest = std::mem::take(&mut self.rest);
        let mut replies = Vec::new();
        let mut left = rest.as_slice();
        while let Some((token, after)) = token(left)? {
            replies.extend(self.place(token)?);
            left = after;
        }
        let read = rest.len() - left.len();
        rest.drain(..read);
        self.rest = rest;
        Ok(replies)
    }

    /// Whether all that was fed was whole replies.
    pub fn is_between_replies(&self) -> bool {
        self.rest.is_empty() && self.open.is_empty()
    }

    /// Puts a token where it belongs; the reply that is complete with it, if one is.
    fn place(&mut self, token: Token) -> Result<Option<Reply>, Nonsense> {
        self.values = self.values.saturating_add(1);
        if self.values > MAX_VALUES {
            return Err(Nonsense::Size);
        }
        match token {
            Token::Value(reply) => Ok(self.close(reply)),
            Token::Array(0) => Ok(self.close(Reply::Array(Vec::new()))),
            Token::Array(_) if self.open.len() >= MAX_DEPTH => Err(Nonsense::Depth),
            Token::Array(missing) => {
                self.open.push(Open { items: Vec::new(), missing });
                Ok(None)
            }
        }
    }

    /// A complete value: an item of the innermost array, which may complete that one in turn.
    fn close(&mut self, mut reply: Reply) -> Option<Reply> {
        while let Some(mut array) = self.open.pop() {
            array.items.push(reply);
            array.missing -= 1;
            if array.missing > 0 {
                self.open.push(array);
                return None;
            }
            reply = Reply::Array(array.items);
        }
        Some(reply)
    }
}

/// What was read, and what follows it.
type Split<'b, T = &'b [u8]> = (T, &'b [u8]);

/// The first token and what follows it; `None` if it is not all there.
fn token(bytes: &[u8]) -> Result<Option<Split<'_, Token>>, Nonsense> {
    let Some((kind, rest)) = bytes.split_first() else { return Ok(None) };
    if !b"+-:$*".contains(kind) {
        return Err(Nonsense::Kind);
    }
    let Some((line, after)) = line(rest)? else { return Ok(None) };
    let text = || String::from_utf8_lossy(line).into_owned();
    let value = match kind {
        b'+' => Reply::Text(text()),
        b'-' => Reply::Error(text()),
        b':' => Reply::Integer(integer(line)?),
        _ => {
            let length = match integer(line)? {
                -1 => return Ok(Some((Token::Value(Reply::Nil), after))),
                length if length < 0 => return Err(Nonsense::Number),
                length => usize::try_from(length).map_err(|_| Nonsense::Size)?,
            };
            return if *kind == b'*' { array(length, after) } else { bulk(length, after) };
        }
    };
    Ok(Some((Token::Value(value), after)))
}

fn array(length: usize, after: &[u8]) -> Result<Option<Split<'_, Token>>, Nonsense> {
    if length > MAX_VALUES { Err(Nonsense::Size) } else { Ok(Some((Token::Array(length), after))) }
}

fn bulk(length: usize, after: &[u8]) -> Result<Option<Split<'_, Token>>, Nonsense> {
    if length > MAX_BYTES {
        return Err(Nonsense::Size);
    }
    let Some((value, after)) = after.split_at_checked(length) else { return Ok(None) };
    match after.split_at_checked(2) {
        Some((b"\r\n", after)) => Ok(Some((Token::Value(Reply::Bulk(value.to_vec())), after))),
        Some(_) => Err(Nonsense::End),
        None => Ok(None),
    }
}

/// The bytes up to the end of the line, and those behind it.
fn line(bytes: &[u8]) -> Result<Option<Split<'_>>, Nonsense> {
    match bytes.iter().take(MAX_LINE + 1).position(|byte| *byte == b'\n') {
        Some(end) => match bytes.split_at_checked(end) {
            Some(([line @ .., b'\r'], [_, after @ ..])) => Ok(Some((line, after))),
            _ => Err(Nonsense::End),
        },
        None if bytes.len() > MAX_LINE => Err(Nonsense::Size),
        None => Ok(None),
    }
}

fn integer(line: &[u8]) -> Result<i64, Nonsense> {
    std::str::from_utf8(line).ok().and_then(|text| text.parse().ok()).ok_or(Nonsense::Number)
}

/// Scripts answer with an array of values, rarely with one array in another.
pub const MAX_DEPTH: usize = 8;
/// Envoy gives up on the answer to a callout beyond this.
pub const MAX_BYTES: usize = 32 << 20;
/// A line is a number, a status or an error message.
pub const MAX_LINE: usize = 64 << 10;
/// A value takes some 32 bytes, so that four mebibytes is what a hostile answer may cost besides its own bytes.
pub const MAX_VALUES: usize = 1 << 17;
/// `$`, a length of up to ten digits, and two line ends.
const HEADER: usize = 15;

#[cfg(test)]
mod tests;
