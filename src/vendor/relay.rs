//! Running a stream through its translation: bytes in any cut, bytes for the client out.

use super::{Fault, Stream};
use crate::chat::sse::{Broken, Decoder, Event};
use crate::chat::{Tally, answer};

/// A stream under translation.
pub struct Relay {
    decoder: Decoder,
    events: Vec<Event>,
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

impl Relay {
    /// Nothing has been read yet.
    pub fn new(stream: Box<dyn Stream>) -> Relay {
        Relay { decoder: Decoder::default(), events: Vec::new(), stream, progress: Progress::Answering }
    }

    /// Translates the next bytes; appends what they yield to `out`, also before an error. After an error nothing
    /// more may be fed.
    pub fn feed(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
        if self.progress == Progress::Done {
            return Ok(());
        }
        let broken = self.decoder.feed(bytes, &mut self.events);
        self.translate(out)?;
        match self.progress {
            Progress::Done => Ok(()),
            Progress::Answering => broken.map_err(Fault::from),
        }
    }

    /// The end of input: completes the answer, or says that it is not whole. What the end tore apart so that it cannot
    /// be read is dropped: whether something is missing, the format knows.
    pub fn end(&mut self, out: &mut Vec<u8>) -> Result<(), Fault> {
        if self.progress == Progress::Answering {
            let _ = self.decoder.end(&mut self.events);
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
        for event in self.events.drain(..) {
            match event {
                Event::Comment => answer::keep_alive(out),
                Event::Message { name, data } => self.stream.event(&name, &data, out)?,
            }
            if out.ends_with(answer::DONE) {
                self.progress = Progress::Done;
                break;
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
