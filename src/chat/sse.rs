//! Server-sent events: bytes in any cut, events out.
//!
//! The grammar is WHATWG HTML's, section 9.2: lines end in CR, LF or CRLF, also when a CRLF is cut in two; one leading
//! BOM is dropped; several data lines join with LF; a comment starts with a colon. Two departures, both what the OpenAI
//! and Anthropic SDKs do: an event that the end of input interrupts is delivered, and one of more than [`MAX_EVENT`]
//! bytes is an error instead of unbounded memory.

/// The largest event that is read, in bytes. Big tool arguments and images reach some hundred kilobytes.
pub const MAX_EVENT: usize = 1 << 20;

/// One event, or a sign of life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// An event with data; `name` is empty where the stream names none.
    Message {
        /// The field `event`.
        name: String,
        /// The fields `data`, joined with LF.
        data: String,
    },
    /// A comment line, which vendors send to keep a connection alive.
    Comment,
}

/// Why a stream cannot be read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// An event of more than [`MAX_EVENT`] bytes.
    TooLong,
    /// A line that is not UTF-8.
    NotUtf8,
}

/// Cuts a byte stream into events.
#[derive(Debug, Default)]
pub struct Decoder {
    /// The line that has begun, without its end.
    line: Vec<u8>,
    name: String,
    /// The data lines so far, each followed by LF.
    data: String,
    /// Whether the last byte read was a CR, so that a LF now belongs to it.
    after_cr: bool,
    /// Whether any line has been read, after which a BOM is no BOM.
    begun: bool,
}

impl Decoder {
    /// Reads the next bytes and appends the events that they complete to `events`.
    pub fn feed(&mut self, mut bytes: &[u8], events: &mut Vec<Event>) -> Result<(), Broken> {
        if self.after_cr && !bytes.is_empty() {
            bytes = bytes.strip_prefix(b"\n").unwrap_or(bytes);
            self.after_cr = false;
        }
        while let Some(end) = bytes.iter().position(|b| matches!(b, b'\n' | b'\r')) {
            let (line, rest) = bytes.split_at_checked(end).unwrap_or_default();
            self.grow(line)?;
            self.end_line(events)?;
            bytes = match rest.strip_prefix(b"\r\n") {
                Some(rest) => rest,
                None => {
                    self.after_cr = rest == b"\r";
                    rest.get(1..).unwrap_or_default()
                }
            };
        }
        self.grow(bytes)
    }

    /// The end of input: delivers the event that was not finished by an empty line.
    pub fn end(&mut self, events: &mut Vec<Event>) -> Result<(), Broken> {
        if !self.line.is_empty() {
            self.end_line(events)?;
        }
        self.dispatch(events);
        Ok(())
    }

    fn grow(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        if self.line.len() + self.data.len() + bytes.len() > MAX_EVENT {
            return Err(Broken::TooLong);
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    fn end_line(&mut self, events: &mut Vec<Event>) -> Result<(), Broken> {
        let line = std::mem::take(&mut self.line);
        let mut text = std::str::from_utf8(&line).map_err(|_| Broken::NotUtf8)?;
        if !self.begun {
            text = text.strip_prefix('\u{feff}').unwrap_or(text);
            self.begun = true;
        }
        if text.is_empty() {
            self.dispatch(events);
        } else if text.starts_with(':') {
            events.push(Event::Comment);
        } else {
            let (field, value) = text.split_once(':').unwrap_or((text, ""));
            self.field(field, value.strip_prefix(' ').unwrap_or(value));
        }
        // The buffer goes on serving: a stream of thousands of lines allocates once.
        self.line = line;
        self.line.clear();
        Ok(())
    }

    fn field(&mut self, field: &str, value: &str) {
        match field {
            "data" => {
                self.data.reserve(value.len() + 1);
                self.data.push_str(value);
                self.data.push('\n');
            }
            "event" => {
                self.name.clear();
                self.name.push_str(value);
            }
            _ => {}
        }
    }

    fn dispatch(&mut self, events: &mut Vec<Event>) {
        let name = std::mem::take(&mut self.name);
        let mut data = std::mem::take(&mut self.data);
        if data.pop().is_some() {
            events.push(Event::Message { name, data });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test;

    fn decode(pieces: &[&[u8]]) -> Vec<Event> {
        let (mut decoder, mut events) = (Decoder::default(), Vec::new());
        for piece in pieces {
            decoder.feed(piece, &mut events).unwrap();
        }
        decoder.end(&mut events).unwrap();
        events
    }

    fn message(name: &str, data: &str) -> Event {
        Event::Message { name: name.to_owned(), data: data.to_owned() }
    }

    const STREAM: &[u8] = "\u{feff}data: one\n\n: hello\r\nevent: two\r\ndata:a\rdata:  b\r\rdata\n\nid: 7\n\n\
        event: gone\n\nretry: 5\ndata: \u{e9}\u{1f600}\r\n\r\ndata: last"
        .as_bytes();

    fn expected() -> Vec<Event> {
        vec![
            message("", "one"),
            Event::Comment,
            message("two", "a\n b"),
            message("", ""),
            message("", "\u{e9}\u{1f600}"),
            message("", "last"),
        ]
    }

    #[test]
    fn reads_every_kind_of_line() {
        assert_eq!(decode(&[STREAM]), expected());
    }

    #[test]
    fn reads_the_same_in_any_two_pieces_and_byte_by_byte() {
        for cut in 0..=STREAM.len() {
            assert_eq!(decode(&[&STREAM[..cut], &STREAM[cut..]]), expected(), "cut at {cut}");
        }
        assert_eq!(decode(&STREAM.chunks(1).collect::<Vec<_>>()), expected());
    }

    #[test]
    fn an_event_is_bounded() {
        let mut decoder = Decoder::default();
        let chunk = vec![b'x'; 64 * 1024];
        let mut events = Vec::new();
        let outcome = (0..).map(|_| decoder.feed(&chunk, &mut events)).find(Result::is_err);
        assert_eq!(outcome, Some(Err(Broken::TooLong)));
        let mut decoder = Decoder::default();
        let line = [b"data: ".as_slice(), &chunk, b"\n"].concat();
        let outcome = (0..).map(|_| decoder.feed(&line, &mut events)).find(Result::is_err);
        assert_eq!(outcome, Some(Err(Broken::TooLong)));
    }

    #[test]
    fn a_line_is_utf8() {
        assert_eq!(Decoder::default().feed(b"data: \xff\n", &mut Vec::new()), Err(Broken::NotUtf8));
    }
}
