//! Running a stream through its translation: bytes in any cut, bytes for the client out.

use super::event_stream::{self, Frame};
use super::failure::Reported;
use super::{Fault, Framing, Stream};
use crate::chat::sse::{self, Event};
use crate::chat::{Tally, answer};

/// A stream under translation.
pub struct Relay {
    reader: Reader,
    stream: Box<dyn Stream>,
}

/// What cuts the bytes, and what it has cut.
enum Reader {
    Events(sse::Decoder, Vec<Event>),
    Frames(event_stream::Decoder, Vec<Frame>),
}

impl Relay {
    /// Nothing has been read yet.
    pub fn new(stream: Box<dyn Stream>) -> Relay {
        let reader = match stream.framing() {
            Framing::Events => Reader::Events(sse::Decoder::default(), Vec::new()),
            Framing::Frames => Reader::Frames(event_stream::Decoder::default(), Vec::new()),
        };
        Relay { reader, stream }
    }

    /// How its vendor cuts the stream.
    pub fn framing(&self) -> Framing {
        self.stream.framing()
    }

    /// Translates the next bytes; appends what they yield to `out`, also before an error. After an error nothing
    /// more may be fed.
    pub fn feed(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
        if self.stream.is_over() {
            return Ok(());
        }
        let broken = match &mut self.reader {
            Reader::Events(decoder, events) => decoder.feed(bytes, events).map_err(Fault::from),
            Reader::Frames(decoder, frames) => decoder.feed(bytes, frames).map_err(Fault::from),
        };
        self.translate(out)?;
        if self.stream.is_over() { Ok(()) } else { broken }
    }

    /// The end of input: completes the answer, or says that it is not whole. What the end tore apart so that it cannot
    /// be read is dropped: whether something is missing, the format knows.
    pub fn end(&mut self, out: &mut Vec<u8>) -> Result<(), Fault> {
        if let Reader::Events(decoder, events) = &mut self.reader {
            let _ = decoder.end(events);
        }
        match self.translate(out) {
            Err(Fault::Unreadable(_)) => {}
            outcome => outcome?,
        }
        self.stream.end(out)
    }

    /// The tokens of what has come so far.
    pub fn tally(&self) -> Tally {
        self.stream.tally()
    }

    /// Whether something of the answer itself has come.
    pub fn spoke(&self) -> bool {
        self.stream.spoke()
    }

    fn translate(&mut self, out: &mut Vec<u8>) -> Result<(), Fault> {
        match &mut self.reader {
            Reader::Events(_, events) => events.drain(..).try_for_each(|event| match event {
                Event::Comment if self.stream.is_over() => Ok(()),
                Event::Comment => {
                    answer::keep_alive(out);
                    Ok(())
                }
                Event::Message { name, data } => self.stream.event(&name, &data, out),
            }),
            Reader::Frames(_, frames) => frames.drain(..).try_for_each(|frame| match frame {
                Frame::Event { name, data } => self.stream.event(&name, &data, out),
                Frame::Exception { name, data } => {
                    Err(Fault::Reported(Reported { kind: name, ..Reported::parse(data.as_bytes()) }))
                }
                Frame::Error { code, message } => {
                    Err(Fault::Reported(Reported { kind: code, message, ..Reported::default() }))
                }
            }),
        }
    }
}

impl From<sse::Broken> for Fault {
    fn from(broken: sse::Broken) -> Fault {
        match broken {
            sse::Broken::TooLong => Fault::TooLong,
            sse::Broken::NotUtf8 => Fault::Unreadable("a stream of UTF-8"),
        }
    }
}

impl From<event_stream::Broken> for Fault {
    fn from(broken: event_stream::Broken) -> Fault {
        match broken {
            event_stream::Broken::TooLong => Fault::TooLong,
            event_stream::Broken::Corrupt => Fault::Unreadable("a stream of Amazon's frames"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::Task;
    use crate::chat::request::Delivery;
    use crate::test;
    use crate::vendor::{Asked, Format, openai::OPENAI};

    #[test]
    fn what_comes_after_the_end_is_not_read() {
        let asked = Asked {
            task: Task::Chat,
            model: String::new(),
            id: String::new(),
            created: 0,
            delivery: Delivery::Stream { usage: false },
        };
        let last = r#"data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}]}"#;
        let good = format!("{last}\n\ndata: [DONE]\n\n").into_bytes();
        let long = [b"data: ".to_vec(), vec![b'x'; 2 << 20]].concat();
        for after in [&b": wait\n\ndata: {oh no\n\n"[..], b"\xff\xfe\n\n", &long] {
            for cut in [0, good.len()] {
                let (mut relay, mut out) = (Relay::new(OPENAI.stream(asked.clone())), Vec::new());
                let bytes = [&good[..], after].concat();
                relay.feed(bytes.get(..cut).unwrap(), &mut out).unwrap();
                relay.feed(bytes.get(cut..).unwrap(), &mut out).unwrap();
                relay.end(&mut out).unwrap();
                assert!(out.ends_with(b"data: [DONE]\n\n"), "{cut}");
            }
        }
    }
}
