//! A vendor that answers from memory: `vendor --port 4000 --name a`.
//!
//! It speaks the formats of OpenAI and Anthropic. What it is to do stands in the prompt, since no header of a client
//! reaches a vendor: `[[pieces=50 gap=1000]]` is a stream of so many pieces, with so many microseconds between two;
//! `[[a:500]]` is a fault of the vendor `a`. Only the first and last two kilobytes of a body are looked at.
//!
//! | fault | what it does |
//! |---|---|
//! | a number | answers with this status |
//! | `close` | closes the connection without an answer |
//! | `cut` | closes it in the middle of an answer |
//! | `stop` | ends a stream in an orderly way, but in its middle; a whole answer is as ever |
//! | `hang` | says nothing until the other side leaves |
//! | `slow` | waits for 300 ms, and answers |
//! | `nonsense` | answers 200 with a web page |
//!
//! `GET /counts` says what it has done.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use weir_load::{Wire, find, flag, mark};

/// About a kilobyte, as an answer to a short question is.
const SAID: &str = "Nobody has measured this sentence for its beauty. ";
const TIMES: usize = 14;
const LOOKED_AT: usize = 2 << 10;

static REQUESTS: AtomicU64 = AtomicU64::new(0);
static ANSWERED: AtomicU64 = AtomicU64::new(0);
static FAULTS: AtomicU64 = AtomicU64::new(0);
static ABANDONED: AtomicU64 = AtomicU64::new(0);

fn main() -> io::Result<()> {
    let name = flag("--name").unwrap_or_else(|| "vendor".to_owned());
    let port: u16 = flag("--port").and_then(|port| port.parse().ok()).ok_or(io::Error::other("no --port"))?;
    for stream in TcpListener::bind(("127.0.0.1", port))?.incoming() {
        let (stream, name) = (stream?, name.clone());
        thread::Builder::new().stack_size(256 << 10).spawn(move || serve(stream, &name))?;
    }
    Ok(())
}

fn serve(stream: TcpStream, name: &str) -> io::Result<()> {
    let mut wire = Wire::new(stream)?;
    while let Some(head) = wire.head()? {
        let body = wire.body(&head)?;
        if head.path() == "/counts" {
            wire.stream.write_all(&whole(200, "application/json", &counts()))?;
            continue;
        }
        REQUESTS.fetch_add(1, Relaxed);
        let asked = Asked::new(head.path(), &body, name);
        let done = asked.answer(&mut wire.stream);
        let counter = match (&done, asked.fault.is_empty() || asked.fault == "slow") {
            (Err(_), _) => &ABANDONED,
            (Ok(_), true) => &ANSWERED,
            (Ok(_), false) => &FAULTS,
        };
        counter.fetch_add(1, Relaxed);
        if !done? {
            break;
        }
    }
    Ok(())
}

fn counts() -> String {
    let [requests, answered, faults, abandoned] =
        [&REQUESTS, &ANSWERED, &FAULTS, &ABANDONED].map(|counter| counter.load(Relaxed));
    format!(r#"{{"requests":{requests},"answered":{answered},"faults":{faults},"abandoned":{abandoned}}}"#)
}

/// What a request wants.
struct Asked {
    format: Format,
    streams: bool,
    pieces: usize,
    gap: Duration,
    fault: String,
    mark: String,
}

#[derive(Clone, Copy, PartialEq)]
enum Format {
    OpenAi,
    Anthropic,
    Embeddings,
}

impl Asked {
    fn new(path: &str, body: &[u8], name: &str) -> Asked {
        let seen = if body.len() > 2 * LOOKED_AT {
            [&body[..LOOKED_AT], &body[body.len() - LOOKED_AT..]].concat()
        } else {
            body.to_vec()
        };
        let format = match path {
            path if path.ends_with("/messages") => Format::Anthropic,
            path if path.ends_with("/embeddings") => Format::Embeddings,
            _ => Format::OpenAi,
        };
        let streams = [&b"\"stream\":true"[..], b"\"stream\": true"].iter().any(|word| find(&seen, word).is_some());
        Asked {
            format,
            streams,
            pieces: number(&seen, b"pieces=").unwrap_or(5) as usize,
            gap: Duration::from_micros(number(&seen, b"gap=").unwrap_or(0)),
            fault: word(&seen, format!("[[{name}:").as_bytes()),
            mark: String::from_utf8_lossy(mark(&seen).unwrap_or_default()).into_owned(),
        }
    }

    /// Answers; whether the connection goes on.
    fn answer(&self, stream: &mut TcpStream) -> io::Result<bool> {
        match self.fault.as_str() {
            "close" => return Ok(false),
            "hang" => {
                while stream.read(&mut [0; 1024])? > 0 {}
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            "nonsense" => stream.write_all(&whole(200, "text/html", "<html><body>Bad gateway</body></html>"))?,
            "slow" => {
                thread::sleep(Duration::from_millis(300));
                self.say(stream)?;
            }
            fault @ ("cut" | "stop") if self.streams => {
                stream.write_all(STREAM)?;
                let events = self.events();
                events[..events.len() / 2].iter().try_for_each(|event| stream.write_all(&chunk(event)))?;
                if fault == "cut" {
                    return Ok(false);
                }
                stream.write_all(b"0\r\n\r\n")?;
            }
            "cut" => {
                let answer = self.whole();
                stream.write_all(&answer[..answer.len() - 100])?;
                return Ok(false);
            }
            status if !status.is_empty() && status != "stop" => {
                let status = status.parse().map_err(io::Error::other)?;
                let error = r#"{"error":{"message":"The vendor says no.","type":"server_error","code":null}}"#;
                stream.write_all(&whole(status, "application/json", error))?;
            }
            _ => self.say(stream)?,
        }
        Ok(true)
    }

    fn say(&self, stream: &mut TcpStream) -> io::Result<()> {
        if !self.streams {
            return stream.write_all(&self.whole());
        }
        stream.write_all(STREAM)?;
        for event in self.events() {
            if !self.gap.is_zero() {
                thread::sleep(self.gap);
            }
            stream.write_all(&chunk(&event))?;
        }
        stream.write_all(b"0\r\n\r\n")
    }

    fn whole(&self) -> Vec<u8> {
        let said = format!("{}{}", self.mark, SAID.repeat(TIMES));
        let body = match self.format {
            Format::OpenAi => format!(
                r#"{{"id":"chatcmpl-load","object":"chat.completion","created":1760000000,"model":"m","choices":[{{"index":0,"message":{{"role":"assistant","content":"{said}","refusal":null}},"logprobs":null,"finish_reason":"stop"}}],"usage":{{"prompt_tokens":180,"completion_tokens":140,"total_tokens":320}}}}"#
            ),
            Format::Anthropic => format!(
                r#"{{"id":"msg_load","type":"message","role":"assistant","model":"m","content":[{{"type":"text","text":"{said}"}}],"stop_reason":"end_turn","stop_sequence":null,"usage":{{"input_tokens":180,"output_tokens":140}}}}"#
            ),
            Format::Embeddings => {
                let vector = ["0.015625"; 64].join(",");
                format!(
                    r#"{{"object":"list","data":[{{"object":"embedding","index":0,"embedding":[{vector}]}}],"model":"m","usage":{{"prompt_tokens":8,"total_tokens":8}}}}"#
                )
            }
        };
        whole(200, "application/json", &body)
    }

    /// The events of a stream: one for each piece, and what the format puts around them.
    fn events(&self) -> Vec<String> {
        let text = |piece: usize| if piece == 0 { &*self.mark } else { "words, words " };
        let pieces = (0..self.pieces).map(text);
        let chunk = |delta: &str, finish: &str| {
            format!(
                "data: {{\"id\":\"chatcmpl-load\",\"object\":\"chat.completion.chunk\",\"created\":1760000000,\"model\":\"m\",\"choices\":[{{\"index\":0,\"delta\":{delta},\"finish_reason\":{finish}}}]}}\n\n"
            )
        };
        let event = |name: &str, rest: &str| format!("event: {name}\ndata: {{\"type\":\"{name}\"{rest}}}\n\n");
        match self.format {
            Format::Anthropic => {
                let start = r#","message":{"id":"msg_load","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":180,"output_tokens":1}}"#;
                let begin = r#","index":0,"content_block":{"type":"text","text":""}"#;
                let end = r#","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":140}"#;
                let delta = |text| format!(r#","index":0,"delta":{{"type":"text_delta","text":"{text}"}}"#);
                let mut events = vec![event("message_start", start) + &event("content_block_start", begin)];
                events.extend(pieces.map(|text| event("content_block_delta", &delta(text))));
                let stop = event("content_block_stop", r#","index":0"#);
                events.push(stop + &event("message_delta", end) + &event("message_stop", ""));
                events
            }
            _ => {
                let mut events = vec![chunk(r#"{"role":"assistant","content":""}"#, "null")];
                events.extend(pieces.map(|text| chunk(&format!(r#"{{"content":"{text}"}}"#), "null")));
                let usage = "data: {\"id\":\"chatcmpl-load\",\"object\":\"chat.completion.chunk\",\"created\":1760000000,\"model\":\"m\",\"choices\":[],\"usage\":{\"prompt_tokens\":180,\"completion_tokens\":140,\"total_tokens\":320}}\n\n";
                events.push(chunk("{}", "\"stop\"") + usage + "data: [DONE]\n\n");
                events
            }
        }
    }
}

const STREAM: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

fn whole(status: u16, kind: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status} Said\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
        .into_bytes()
}

fn chunk(data: &str) -> Vec<u8> {
    format!("{:x}\r\n{data}\r\n", data.len()).into_bytes()
}

fn number(text: &[u8], name: &[u8]) -> Option<u64> {
    let rest = &text[find(text, name)? + name.len()..];
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit());
    Some(digits.fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')))
}

/// What stands between this and the end of its brackets.
fn word(text: &[u8], before: &[u8]) -> String {
    let Some(begin) = find(text, before) else { return String::new() };
    let rest = &text[begin + before.len()..];
    let end = find(rest, b"]]").unwrap_or(0);
    String::from_utf8_lossy(&rest[..end]).into_owned()
}
