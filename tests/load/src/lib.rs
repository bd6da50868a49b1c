//! What the vendor and the load share: HTTP/1.1 messages on a blocking socket, one thread for each connection.

use std::io::{self, Read};
use std::net::TcpStream;

/// The most that a head may take.
const HEAD: usize = 64 << 10;

/// A connection with what was read from it too early.
pub struct Wire {
    pub stream: TcpStream,
    kept: Vec<u8>,
}

/// A message up to its body.
pub struct Head {
    /// The request or status line.
    pub line: String,
    length: Option<usize>,
    chunked: bool,
    /// The other side will close the connection.
    pub last: bool,
    /// Who answered, as the gateway says it.
    pub vendor: Option<String>,
}

impl Head {
    /// The number in a status line; 0 if there is none.
    pub fn status(&self) -> u16 {
        self.line.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0)
    }

    /// The path in a request line.
    pub fn path(&self) -> &str {
        self.line.split(' ').nth(1).unwrap_or("")
    }
}

impl Wire {
    pub fn new(stream: TcpStream) -> io::Result<Wire> {
        stream.set_nodelay(true)?;
        Ok(Wire { stream, kept: Vec::with_capacity(16 << 10) })
    }

    /// The next head; `None` if the connection ends before its first byte.
    pub fn head(&mut self) -> io::Result<Option<Head>> {
        loop {
            if let Some(end) = find(&self.kept, b"\r\n\r\n") {
                let text = String::from_utf8_lossy(&self.kept[..end]).into_owned();
                self.kept.drain(..end + 4);
                return Ok(Some(parse(&text)));
            }
            if self.kept.len() > HEAD {
                return Err(io::Error::other("a head without an end"));
            }
            if self.more()? == 0 {
                return if self.kept.is_empty() { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
            }
        }
    }

    /// The body of a message.
    pub fn body(&mut self, head: &Head) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        while self.piece(head, &mut body)? {}
        Ok(body)
    }

    /// The next piece of a body, added to what is there; whether more follows.
    pub fn piece(&mut self, head: &Head, body: &mut Vec<u8>) -> io::Result<bool> {
        if !head.chunked {
            let missing = head.length.unwrap_or(0) - body.len();
            self.take(missing, body)?;
            return Ok(false);
        }
        let line = self.line()?;
        let size = usize::from_str_radix(line.split(';').next().unwrap_or("").trim(), 16).map_err(io::Error::other)?;
        self.take(size, body)?;
        self.line()?;
        Ok(size > 0)
    }

    fn take(&mut self, count: usize, into: &mut Vec<u8>) -> io::Result<()> {
        while self.kept.len() < count {
            if self.more()? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        into.extend(self.kept.drain(..count));
        Ok(())
    }

    fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = find(&self.kept, b"\r\n") {
                let line = String::from_utf8_lossy(&self.kept[..end]).into_owned();
                self.kept.drain(..end + 2);
                return Ok(line);
            }
            if self.more()? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    fn more(&mut self) -> io::Result<usize> {
        let mut room = [0; 32 << 10];
        let count = self.stream.read(&mut room)?;
        self.kept.extend_from_slice(&room[..count]);
        Ok(count)
    }
}

fn parse(text: &str) -> Head {
    let mut lines = text.split("\r\n");
    let line = lines.next().unwrap_or("").to_owned();
    let mut head = Head { line, length: None, chunked: false, last: false, vendor: None };
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => head.length = value.parse().ok(),
            "transfer-encoding" => head.chunked = value.eq_ignore_ascii_case("chunked"),
            "connection" => head.last = value.eq_ignore_ascii_case("close"),
            "x-weir-vendor" => head.vendor = Some(value.to_owned()),
            _ => {}
        }
    }
    head
}

/// Where a word begins.
pub fn find(text: &[u8], word: &[u8]) -> Option<usize> {
    let first = *word.first()?;
    let mut from = 0;
    while let Some(step) = text[from..].iter().position(|byte| *byte == first) {
        from += step;
        if text[from..].starts_with(word) {
            return Some(from);
        }
        from += 1;
    }
    None
}

/// The mark that a client puts into a prompt and its vendor into the answer, so that nobody gets another's: a number
/// between two signs that stand nowhere else.
pub fn mark(text: &[u8]) -> Option<&[u8]> {
    let begin = find(text, b"#")?;
    let rest = text.get(begin..begin + 14)?;
    (rest[13] == b'#' && rest[1..13].iter().all(u8::is_ascii_digit)).then_some(rest)
}

/// A word of the command line after this flag.
pub fn flag(name: &str) -> Option<String> {
    let mut words = std::env::args().skip_while(|word| word != name);
    words.next()?;
    words.next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found() {
        for (text, word, place) in [("abc", "c", Some(2)), ("aab", "ab", Some(1)), ("", "a", None), ("ab", "abc", None)]
        {
            assert_eq!(find(text.as_bytes(), word.as_bytes()), place, "{text} {word}");
        }
    }

    #[test]
    fn marks_are_found() {
        for (text, found) in [
            ("say #000000000012# now", Some("#000000000012#")),
            ("say #00000000012# now", None),
            ("#12#", None),
            ("none", None),
        ] {
            assert_eq!(mark(text.as_bytes()), found.map(str::as_bytes), "{text}");
        }
    }

    #[test]
    fn heads_are_read() {
        let head = parse("HTTP/1.1 503 No\r\nContent-Length: 7\r\nconnection: close\r\nx-weir-vendor: a");
        assert_eq!((head.status(), head.length, head.chunked, head.last), (503, Some(7), false, true));
        assert_eq!(head.vendor.as_deref(), Some("a"));
        assert_eq!(parse("POST /v1/messages HTTP/1.1").path(), "/v1/messages");
    }
}
