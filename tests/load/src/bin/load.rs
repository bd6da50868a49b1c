//! Clients of every manner, and an exact account of what became of each request.
//!
//! `load --port 3000 --kinds FILE --connections 32 --seconds 60 --pace 0` goes on until its time is over or its standard
//! input ends, and lets every request that is under way end. The file has a line for each kind of request, with tabs
//! between: name, weight, manner, key, path, body. In the body `<NEW>` becomes a mark that no other request has, `<OLD>`
//! one of fifty; an answer must bear the mark of its request.
//!
//! | manner | what the client does |
//! |---|---|
//! | `reads` | asks and reads |
//! | `slowly` | sends its body in ten pieces, and reads with pauses |
//! | `leaves` | closes the connection a moment after it has asked |
//! | `turns` | closes it at the first piece of the answer |
//!
//! At its end it prints, with tabs between: `count`, kind, outcome, how many; and for every tenth of a second `bin`, its
//! number, how many good answers, how many others, the longest in milliseconds; for every client `client`, and how many of
//! its requests got no good answer; and the first fifty that were lost, as `lost`, when, kind, why. An outcome is a status; `cut`, a stream that ended with an error event; `broken`, an answer that
//! began and had no end; `left`; `unheard`, a connection that ended before the first byte; `unreachable`, none was made;
//! `silent`, no answer in half a minute; `wrong`, the answer of another, or none that can be understood.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use weir_load::{Wire, find, flag};

const PATIENCE: Duration = Duration::from_secs(30);
const LOST_TOLD: usize = 50;

static STOP: AtomicBool = AtomicBool::new(false);
static NEXT: AtomicU64 = AtomicU64::new(1_000);

struct Kind {
    name: String,
    weight: u64,
    manner: String,
    key: String,
    path: String,
    body: String,
}

#[derive(Default)]
struct Account {
    counts: BTreeMap<(String, String), u64>,
    bins: BTreeMap<u128, (u64, u64, u128)>,
    lost: Vec<(u128, String, String)>,
    clients: Vec<u64>,
}

fn main() -> io::Result<()> {
    let number = |name: &str, or: u64| flag(name).and_then(|word| word.parse().ok()).unwrap_or(or);
    let port = number("--port", 0) as u16;
    let pace = Duration::from_micros(number("--pace", 0));
    let file = std::fs::read_to_string(flag("--kinds").ok_or(io::Error::other("no --kinds"))?)?;
    let kinds: Arc<Vec<Kind>> = Arc::new(file.lines().filter_map(kind).collect());
    let began = Instant::now();
    let clients: Vec<_> = (0..number("--connections", 16))
        .map(|seed| {
            let kinds = Arc::clone(&kinds);
            thread::spawn(move || client(port, &kinds, began, pace, seed))
        })
        .collect();
    thread::spawn(|| {
        while io::stdin().read(&mut [0; 64]).is_ok_and(|count| count > 0) {}
        STOP.store(true, Relaxed);
    });
    let end = began + Duration::from_secs(number("--seconds", 10));
    while Instant::now() < end && !STOP.load(Relaxed) {
        thread::sleep(Duration::from_millis(10));
    }
    STOP.store(true, Relaxed);
    let mut sum = Account::default();
    for client in clients {
        sum.add(client.join().map_err(|_| io::Error::other("a client panicked"))?);
    }
    sum.print();
    Ok(())
}

fn kind(line: &str) -> Option<Kind> {
    let [name, weight, manner, key, path, body] = line.splitn(6, '\t').collect::<Vec<_>>().try_into().ok()?;
    let [name, manner, key, path, body] = [name, manner, key, path, body].map(str::to_owned);
    Some(Kind { name, weight: weight.parse().ok()?, manner, key, path, body })
}

fn client(port: u16, kinds: &[Kind], start: Instant, pace: Duration, seed: u64) -> Account {
    let (mut account, mut dice, mut wire) = (Account::default(), Dice(seed + 1), None);
    let all: u64 = kinds.iter().map(|kind| kind.weight).sum();
    while !STOP.load(Relaxed) {
        let mut draw = dice.roll() % all.max(1);
        let Some(kind) = kinds.iter().find(|kind| {
            let found = draw < kind.weight;
            draw = draw.saturating_sub(kind.weight);
            found
        }) else {
            break;
        };
        let began = Instant::now();
        let fresh = wire.take().map_or_else(|| connect(port), Ok);
        let outcome = match fresh {
            Ok(mut open) => {
                let (outcome, reusable) = exchange(&mut open, kind, &mut dice);
                if reusable {
                    wire = Some(open);
                }
                outcome
            }
            Err(_) => {
                thread::sleep(Duration::from_millis(10));
                "unreachable".to_owned()
            }
        };
        account.note(start, began, kind, outcome);
        thread::sleep(pace);
    }
    account
}

fn connect(port: u16) -> io::Result<Wire> {
    let stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Wire::new(stream)
}

/// One request: what became of it, and whether the connection can have another.
fn exchange(wire: &mut Wire, kind: &Kind, dice: &mut Dice) -> (String, bool) {
    let mark = if kind.body.contains("<OLD>") { dice.roll() % 50 } else { NEXT.fetch_add(1, Relaxed) };
    let mark = format!("#{mark:012}#");
    let body = kind.body.replace("<NEW>", &mark).replace("<OLD>", &mark);
    let head = format!(
        "POST {} HTTP/1.1\r\nhost: weir\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        kind.path,
        kind.key,
        body.len()
    );
    // Who is refused at once may find the connection closed while it still sends; the answer is there all the same.
    let _ = send(wire, kind, &head, &body);
    if kind.manner == "leaves" {
        thread::sleep(Duration::from_millis(dice.roll() % 20));
        let _ = wire.stream.shutdown(Shutdown::Both);
        return ("left".to_owned(), false);
    }
    match receive(wire, kind, &mark) {
        Ok(outcome) => outcome,
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
            ("silent".to_owned(), false)
        }
        Err(_) => ("unheard".to_owned(), false),
    }
}

fn send(wire: &mut Wire, kind: &Kind, head: &str, body: &str) -> io::Result<()> {
    if kind.manner != "slowly" {
        return wire.stream.write_all([head, body].concat().as_bytes());
    }
    wire.stream.write_all(head.as_bytes())?;
    for piece in body.as_bytes().chunks(body.len() / 10 + 1) {
        thread::sleep(Duration::from_millis(10));
        wire.stream.write_all(piece)?;
    }
    Ok(())
}

fn receive(wire: &mut Wire, kind: &Kind, mark: &str) -> io::Result<(String, bool)> {
    let Some(head) = wire.head()? else { return Ok(("unheard".to_owned(), false)) };
    let mut body = Vec::new();
    loop {
        match wire.piece(&head, &mut body) {
            Ok(false) => break,
            Ok(true) if kind.manner == "turns" => {
                let _ = wire.stream.shutdown(Shutdown::Both);
                return Ok(("left".to_owned(), false));
            }
            Ok(true) if kind.manner == "slowly" => thread::sleep(Duration::from_millis(5)),
            Ok(true) => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                return Ok(("silent".to_owned(), false));
            }
            Err(_) => return Ok(("broken".to_owned(), false)),
        }
    }
    Ok((judge(head.status(), &body, mark, kind), !head.last))
}

/// What a whole answer is.
fn judge(status: u16, body: &[u8], mark: &str, kind: &Kind) -> String {
    let has = |word: &str| find(body, word.as_bytes()).is_some();
    let marked = has(mark) || !kind.body.contains("<NEW>") && !kind.body.contains("<OLD>");
    let streamed = body.starts_with(b"data:") || body.starts_with(b":");
    if status != 200 {
        return if has("\"error\"") { status.to_string() } else { "wrong".to_owned() };
    }
    match (streamed, has("data: [DONE]"), has("\"error\"")) {
        (true, false, true) => "cut".to_owned(),
        (true, true, false) | (false, ..) if marked => "200".to_owned(),
        _ => "wrong".to_owned(),
    }
}

impl Account {
    fn note(&mut self, start: Instant, began: Instant, kind: &Kind, outcome: String) {
        let (at, took) = (began.duration_since(start).as_millis(), began.elapsed().as_millis());
        let bin = self.bins.entry((at + took) / 100).or_default();
        let good = outcome == "200";
        bin.0 += u64::from(good);
        bin.1 += u64::from(!good);
        bin.2 = bin.2.max(took);
        if matches!(&*outcome, "broken" | "unheard" | "silent" | "wrong") && self.lost.len() < LOST_TOLD {
            self.lost.push((at, kind.name.clone(), outcome.clone()));
        }
        *self.counts.entry((kind.name.clone(), outcome)).or_default() += 1;
    }

    fn add(&mut self, other: Account) {
        for (key, count) in other.counts {
            *self.counts.entry(key).or_default() += count;
        }
        self.clients.push(other.bins.values().map(|(_, bad, _)| bad).sum());
        for (number, bin) in other.bins {
            let sum = self.bins.entry(number).or_default();
            *sum = (sum.0 + bin.0, sum.1 + bin.1, sum.2.max(bin.2));
        }
        self.lost.extend(other.lost);
    }

    fn print(&self) {
        for ((kind, outcome), count) in &self.counts {
            println!("count\t{kind}\t{outcome}\t{count}");
        }
        for (number, (good, bad, slowest)) in &self.bins {
            println!("bin\t{number}\t{good}\t{bad}\t{slowest}");
        }
        for bad in &self.clients {
            println!("client\t{bad}");
        }
        for (at, kind, why) in self.lost.iter().take(LOST_TOLD) {
            println!("lost\t{at}\t{kind}\t{why}");
        }
    }
}

/// Numbers that look drawn, the same for the same seed: xorshift64*.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }
}
