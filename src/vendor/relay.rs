//! Running a stream through its translation: bytes in any cut, bytes for the client out.

use super::{Fault, Stream};
use crate::chat::sse::{Broken, Decoder, Event};
use crate::chat::{Tally, answer};

/// A stream under translation.
pub struct Relay {
    decoder: Decoder,
    events: Vec<Event>,
    stream: Box<dyn Stream>,
}

impl Relay {
    /// Nothing has been read yet.
    pub fn new(stream: Box<dyn Stream>) -> Relay {
        Relay { decoder: Decoder::default(), events: Vec::new(), stream }
    }

    /// Translates the next bytes; appends what they yield to `out`, also before an error. After an error nothing
    /// more may be fed.
    pub fn feed(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
        let broken = self.decoder.feed(bytes, &mut self.events);
        self.translate(out)?;
        broken.map_err(Fault::from)
    }

    /// The end of input: completes the answer, or says that it is not whole. What the end tore apart so that it cannot
    /// be read is dropped: whether something is missing, the format knows.
    pub fn end(&mut self, out: &mut Vec<u8>) -> Result<(), Fault> {
        let _ = self.decoder.end(&mut self.events);
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
        for event in self.events.drain(..) {
            match event {
                Event::Comment => answer::keep_alive(out),
                Event::Message { name, data } => self.stream.event(&name, &data, out)?,
            }
        }
        Ok(())
    }
}

impl From<Broken> for Fault {
    fn from(broken: Broken) -> Fault {
        match broken {
            Broken::TooLong => Fault::TooLong,
            Broken::NotUtf8 => Fault::Unreadable("a stream of UTF-8"),
        }
    }
}
