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
    progress: Progress,
}

/// How far it has come.
#[derive(PartialEq)]
enum Progress {
    Answering,
    /// The client has its `[DONE]`: nothing that follows is for it, and nothing that is wrong with that.
    Done,
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
        Relay { reader, stream, progress: Progress::Answering }
    }

    /// How its vendor cuts the stream.
    pub fn framing(&self) -> Framing {
        self.stream.framing()
    }

    /// Translates the next bytes; appends what they yield to `out`, also before an error. After an error nothing
    /// more may be fed.
    pub fn feed(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
        if self.progress == Progress::Done {
            return Ok(());
        }
        let broken = match &mut self.reader {
            Reader::Events(decoder, events) => decoder.feed(bytes, events).map_err(Fault::from),
            Reader::Frames(decoder, frames) => decoder.feed(bytes, frames).map_err(Fault::from),
        };
        self.translate(out)?;
        match self.progress {
            Progress::Done => Ok(()),
            Progress::Answering => broken,
        }
    }

    /// The end of input: completes the answer, or says that it is not whole. What the end tore apart so that it cannot
    /// be read is dropped: whether something is missing, the format knows.
    pub fn end(&mut self, out: &mut Vec<u8>) -> Result<(), Fault> {
        if self.progress == Progress::Answering {
            if let Reader::Events(decoder, events) = &mut self.reader {
                let _ = decoder.end(events);
            }
            match self.translate(out) {
                Err(Fault::Unreadable(_)) => {}
                outcome => outcome?,
            }
        }
        match self.progress {
            Progress::Done => Ok(()),
            Progress::Answering => self.stream.end(out),
        }
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
        let Relay { reader, stream, progress } = self;
        match reader {
            Reader::Events(_, events) => tell(events.drain(..), progress, out, |event, out| match event {
                Event::Comment => {
                    answer::keep_alive(out);
                    Ok(())
                }
                Event::Message { name, data } => stream.event(&name, &data, out),
            }),
            Reader::Frames(_, frames) => tell(frames.drain(..), progress, out, |frame, out| match frame {
                Frame::Event { name, data } => stream.event(&name, &data, out),
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

/// Tells the stream of what was cut, until the client has its `[DONE]`.
fn tell<P>(
    mut pieces: impl Iterator<Item = P>,
    progress: &mut Progress,
    out: &mut Vec<u8>,
    mut one: impl FnMut(P, &mut Vec<u8>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    pieces.try_for_each(|piece| {
        if *progress == Progress::Answering {
            one(piece, out)?;
        }
        if out.ends_with(answer::DONE) {
            *progress = Progress::Done;
        }
        Ok(())
    })
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
    use crate::vendor::{Asked, format};

    const ANSWER: &[u8] = b"data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"x\"},\
        \"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";

    #[test]
    fn nothing_follows_the_end() {
        for after in [&b"\xff\n"[..], b"data: {oh no\n\n", b": alive\n\n", b"data: \xff", &[b'x'; 3 << 20]] {
            for cut in [0, ANSWER.len() - 1, ANSWER.len()] {
                let asked = Asked {
                    task: Task::Chat,
                    model: "m".to_owned(),
                    id: String::new(),
                    created: 1,
                    delivery: Delivery::Stream { usage: false },
                };
                let mut relay = Relay::new(format("openai").unwrap().stream(asked));
                let (bytes, mut out) = ([ANSWER, after].concat(), Vec::new());
                let (head, tail) = bytes.split_at(cut);
                assert_eq!(relay.feed(head, &mut out), Ok(()));
                assert_eq!(relay.feed(tail, &mut out), Ok(()));
                assert_eq!((relay.end(&mut out), &*out), (Ok(()), ANSWER));
            }
        }
    }
}
