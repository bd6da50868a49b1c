//! Amazon's event streams: bytes in any cut, frames out.
//!
//! What AWS sends instead of server-sent events, as `application/vnd.amazon.eventstream`; the layout is that of the
//! Smithy specification, "Amazon Event Stream". All numbers are big-endian:
//!
//! | bytes | what |
//! |---|---|
//! | 4 | the length of the whole frame |
//! | 4 | the length of its headers |
//! | 4 | the CRC-32 of these eight bytes |
//! | | headers: a length (1 byte) and a name, a type (1 byte) and a value of it |
//! | | the payload |
//! | 4 | the CRC-32 of everything before |
//!
//! Both sums are checked. A length is believed only after the first of them, and never above [`MAX_FRAME`]; so memory is
//! bounded however a stream is made, and one whose bytes were changed on the way is not read on.

use crate::chat::sse::MAX_EVENT;

/// The largest frame that is read, in bytes. Amazon allows 16 MiB; what Bedrock sends are pieces of an answer, and they
/// are held to what other vendors' events are.
pub const MAX_FRAME: usize = MAX_EVENT;

/// One frame. What no message of Bedrock's has, such as other headers, is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// A piece of the answer.
    Event {
        /// The header `:event-type`.
        name: String,
        /// The payload.
        data: String,
    },
    /// An error that the API's description knows; nothing follows it.
    Exception {
        /// The header `:exception-type`.
        name: String,
        /// The payload.
        data: String,
    },
    /// An error of any other kind; nothing follows it.
    Error {
        /// The header `:error-code`.
        code: String,
        /// The header `:error-message`.
        message: String,
    },
}

/// Why a stream cannot be read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// A frame of more than [`MAX_FRAME`] bytes.
    TooLong,
    /// A wrong sum, a length that cannot be, headers that are none, or a payload that is no UTF-8.
    Corrupt,
}

/// Cuts a byte stream into frames.
#[derive(Debug, Default)]
pub struct Decoder {
    /// The frame that has begun.
    held: Vec<u8>,
    /// Its length, once its first twelve bytes are here.
    length: Option<usize>,
}

impl Decoder {
    /// Reads the next bytes and appends the frames that they complete to `frames`.
    pub fn feed(&mut self, mut bytes: &[u8], frames: &mut Vec<Frame>) -> Result<(), Broken> {
        while !bytes.is_empty() {
            let missing = self.length.unwrap_or(PRELUDE).saturating_sub(self.held.len());
            let (now, later) = bytes.split_at_checked(missing).unwrap_or((bytes, &[]));
            self.held.extend_from_slice(now);
            bytes = later;
            match self.length {
                _ if now.len() < missing => {}
                None => self.length = Some(length(&self.held)?),
                Some(_) => {
                    frames.extend(frame(&self.held)?);
                    self.held.clear();
                    self.length = None;
                }
            }
        }
        Ok(())
    }

    /// Whether the bytes so far end with a whole frame.
    pub fn is_between_frames(&self) -> bool {
        self.held.is_empty()
    }
}

/// The two lengths and their sum.
const PRELUDE: usize = 12;
/// The sum at the end.
const SUM: usize = 4;

/// The length of a frame that begins with these twelve bytes.
fn length(prelude: &[u8]) -> Result<usize, Broken> {
    let (lengths, sum) = prelude.split_last_chunk::<SUM>().ok_or(Broken::Corrupt)?;
    if crc32fast::hash(lengths) != u32::from_be_bytes(*sum) {
        return Err(Broken::Corrupt);
    }
    let (total, headers) = (number(lengths)?, number(lengths.get(4..).unwrap_or_default())?);
    if total > MAX_FRAME {
        return Err(Broken::TooLong);
    }
    let least = headers.checked_add(PRELUDE + SUM).ok_or(Broken::Corrupt)?;
    if total < least { Err(Broken::Corrupt) } else { Ok(total) }
}

/// A whole frame; `None` for one that says nothing of itself, which readers are to pass over.
fn frame(bytes: &[u8]) -> Result<Option<Frame>, Broken> {
    let (body, sum) = bytes.split_last_chunk::<SUM>().ok_or(Broken::Corrupt)?;
    if crc32fast::hash(body) != u32::from_be_bytes(*sum) {
        return Err(Broken::Corrupt);
    }
    let headers = number(body.get(4..).unwrap_or_default())?;
    let (headers, payload) =
        body.get(PRELUDE..).and_then(|rest| rest.split_at_checked(headers)).ok_or(Broken::Corrupt)?;
    let said = Said::read(headers)?;
    let payload = || String::from_utf8(payload.to_vec()).map_err(|_| Broken::Corrupt);
    Ok(match said.message.as_str() {
        "event" => Some(Frame::Event { name: said.event, data: payload()? }),
        "exception" => Some(Frame::Exception { name: said.exception, data: payload()? }),
        "error" => Some(Frame::Error { code: said.code, message: said.text }),
        _ => None,
    })
}

/// What the headers say.
#[derive(Default)]
struct Said {
    message: String,
    event: String,
    exception: String,
    code: String,
    text: String,
}

impl Said {
    fn read(mut bytes: &[u8]) -> Result<Said, Broken> {
        let mut said = Said::default();
        while !bytes.is_empty() {
            let name = take_counted(&mut bytes, 1)?;
            let value = value(&mut bytes)?;
            let place = match name {
                b":message-type" => &mut said.message,
                b":event-type" => &mut said.event,
                b":exception-type" => &mut said.exception,
                b":error-code" => &mut said.code,
                b":error-message" => &mut said.text,
                _ => continue,
            };
            *place = value.and_then(|text| String::from_utf8(text.to_vec()).ok()).ok_or(Broken::Corrupt)?;
        }
        Ok(said)
    }
}

/// The value of a header, if it is a string; others are only passed over.
fn value<'b>(bytes: &mut &'b [u8]) -> Result<Option<&'b [u8]>, Broken> {
    let width = match take(bytes, 1)? {
        // True and false stand in the type itself.
        [0 | 1] => 0,
        [2] => 1,
        [3] => 2,
        [4] => 4,
        // A number, a time.
        [5 | 8] => 8,
        [6] => return take_counted(bytes, 2).map(|_| None),
        [7] => return take_counted(bytes, 2).map(Some),
        // A UUID.
        [9] => 16,
        _ => return Err(Broken::Corrupt),
    };
    take(bytes, width).map(|_| None)
}

/// Bytes behind their own number, which is `width` bytes wide.
fn take_counted<'b>(bytes: &mut &'b [u8], width: usize) -> Result<&'b [u8], Broken> {
    let count = take(bytes, width)?.iter().fold(0, |count, byte| count << 8 | usize::from(*byte));
    take(bytes, count)
}

fn take<'b>(bytes: &mut &'b [u8], count: usize) -> Result<&'b [u8], Broken> {
    let (taken, rest) = bytes.split_at_checked(count).ok_or(Broken::Corrupt)?;
    *bytes = rest;
    Ok(taken)
}

/// The number in the first four bytes.
fn number(bytes: &[u8]) -> Result<usize, Broken> {
    let number = bytes.first_chunk().map(|bytes| u32::from_be_bytes(*bytes)).ok_or(Broken::Corrupt)?;
    usize::try_from(number).map_err(|_| Broken::Corrupt)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test;

    /// A header with a string.
    fn header(name: &str, value: &str) -> Vec<u8> {
        let length = (value.len() as u16).to_be_bytes();
        [&[name.len() as u8], name.as_bytes(), &[7], &length, value.as_bytes()].concat()
    }

    fn framed(headers: &[u8], payload: &[u8]) -> Vec<u8> {
        let total = (PRELUDE + headers.len() + payload.len() + SUM) as u32;
        let mut bytes = [total.to_be_bytes(), (headers.len() as u32).to_be_bytes()].concat();
        bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
        bytes.extend([headers, payload].concat());
        bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
        bytes
    }

    fn event(name: &str, payload: &str) -> Vec<u8> {
        let headers = [header(":event-type", name), header(":message-type", "event")].concat();
        framed(&headers, payload.as_bytes())
    }

    fn decode(pieces: &[&[u8]]) -> Result<Vec<Frame>, Broken> {
        let (mut decoder, mut frames) = (Decoder::default(), Vec::new());
        pieces.iter().try_for_each(|piece| decoder.feed(piece, &mut frames))?;
        assert!(decoder.is_between_frames());
        Ok(frames)
    }

    #[test]
    fn reads_the_frame_of_the_specification() {
        // The empty frame and the one with a payload of `{'foo':'bar'}` are in every implementation's test vectors.
        let empty = [0, 0, 0, 16, 0, 0, 0, 0, 5, 194, 72, 235, 125, 152, 200, 255];
        assert_eq!(framed(b"", b""), empty);
        let payload = framed(b"", b"{'foo':'bar'}");
        assert_eq!(payload.get(..12), Some(&[0, 0, 0, 29, 0, 0, 0, 0, 253, 82, 140, 90][..]));
        assert_eq!(payload.last_chunk(), Some(&[195, 101, 57, 54]));
        assert_eq!(decode(&[&empty, &payload]), Ok(Vec::new()));
    }

    #[test]
    fn reads_every_kind_of_frame_in_any_cut() {
        let others = [
            &b"\x01a\x00\x01b\x01\x01c\x02\x07\x01d\x03\x00\x07\x01e\x04\0\0\0\x07\x01f\x05\0\0\0\0\0\0\0\x07"[..],
            b"\x01g\x06\x00\x03\xff\xfe\xfd\x01h\x08\0\0\0\0\0\0\0\x07\x01i\x090123456789abcdef",
            &header(":content-type", "application/json"),
        ]
        .concat();
        let all = [others.clone(), header(":message-type", "event"), header(":event-type", "one")].concat();
        let exception = [header(":message-type", "exception"), header(":exception-type", "e")].concat();
        let error =
            [header(":message-type", "error"), header(":error-code", "c"), header(":error-message", "m")].concat();
        let stream = [
            framed(&all, "\u{e9}".as_bytes()),
            framed(&others, b"\xff"),
            framed(&exception, b"{}"),
            framed(&error, b""),
            event("", ""),
        ]
        .concat();
        let expected = vec![
            Frame::Event { name: "one".into(), data: "\u{e9}".into() },
            Frame::Exception { name: "e".into(), data: "{}".into() },
            Frame::Error { code: "c".into(), message: "m".into() },
            Frame::Event { name: String::new(), data: String::new() },
        ];
        for cut in 0..=stream.len() {
            assert_eq!(decode(&[&stream[..cut], &stream[cut..]]).as_ref(), Ok(&expected), "cut at {cut}");
        }
        assert_eq!(decode(&stream.chunks(1).collect::<Vec<_>>()), Ok(expected));
    }

    #[test]
    fn a_changed_bit_is_noticed() {
        let stream = event("contentBlockDelta", r#"{"delta":{"text":"x"}}"#);
        for place in 0..stream.len() {
            for bit in 0..8 {
                let mut changed = stream.clone();
                changed[place] ^= 1 << bit;
                assert_eq!(decode(&[&changed]), Err(Broken::Corrupt), "bit {bit} of byte {place}");
            }
        }
    }

    #[test]
    fn what_cannot_be_a_frame_is_refused() {
        let prelude = |total: u32, headers: u32| {
            let lengths = [total.to_be_bytes(), headers.to_be_bytes()].concat();
            [lengths.clone(), crc32fast::hash(&lengths).to_be_bytes().to_vec()].concat()
        };
        for (bytes, broken) in [
            (prelude(0, 0), Broken::Corrupt),
            (prelude(15, 0), Broken::Corrupt),
            (prelude(16, 1), Broken::Corrupt),
            (prelude(100, u32::MAX), Broken::Corrupt),
            (prelude(MAX_FRAME as u32 + 1, 0), Broken::TooLong),
            (prelude(u32::MAX, u32::MAX), Broken::TooLong),
            (framed(b"\x05name", b""), Broken::Corrupt),
            (framed(b"\x01a\x0a", b""), Broken::Corrupt),
            (framed(b"\x01a\x07\x00\x09x", b""), Broken::Corrupt),
            (framed(b"\x01a\x07\x00", b""), Broken::Corrupt),
            (framed(b"\x0d:message-type\x01", b""), Broken::Corrupt),
            (framed(b"\x0d:message-type\x07\x00\x01\xff", b""), Broken::Corrupt),
            (framed(&header(":message-type", "event"), b"\xff"), Broken::Corrupt),
            (b"data: {\"not\": \"frames\"}\n\n".to_vec(), Broken::Corrupt),
        ] {
            assert_eq!(decode(&[&bytes]), Err(broken), "{bytes:?}");
        }
    }

    #[test]
    fn holds_no_more_than_a_frame() {
        let (mut decoder, mut frames) = (Decoder::default(), Vec::new());
        let largest = framed(b"", &vec![b'x'; MAX_FRAME - PRELUDE - SUM]);
        for piece in largest.chunks(1 << 16) {
            assert_eq!(decoder.feed(piece, &mut frames), Ok(()));
            assert!(decoder.held.len() <= MAX_FRAME);
        }
        assert!(decoder.is_between_frames());
        assert_eq!(decoder.feed(&event("a", "b"), &mut frames), Ok(()));
        assert_eq!(frames.len(), 1);
    }
}
