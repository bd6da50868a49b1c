//! A Redis of one's own, and as much of its protocol as a test needs.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use weir::redis::{Command, Naming, Reply};

/// A Redis that ends with the test.
pub struct Server {
    process: Child,
    socket: PathBuf,
    connection: BufReader<UnixStream>,
}

impl Server {
    /// Starts one that keeps nothing on disk, on a socket that nobody else can have: a port that is free now may be
    /// somebody's a moment later.
    pub fn start() -> Server {
        static STARTED: AtomicUsize = AtomicUsize::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let socket = std::env::temp_dir().join(format!("weir-test-{}-{number}.sock", std::process::id()));
        let mut command = std::process::Command::new("redis-server");
        command.args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket"]).arg(&socket);
        let process = command.stdout(Stdio::null()).spawn();
        let process = process.unwrap_or_else(|error| panic!("redis-server: {error}; apt-get install redis-server"));
        let connection = BufReader::new(connect(&socket));
        Server { process, socket, connection }
    }

    /// Sends a command of these words.
    pub fn call(&mut self, words: &[&str]) -> Reply {
        self.send(&Command::new(&words.iter().map(|word| word.as_bytes()).collect::<Vec<_>>()))
    }

    /// Sends a command.
    pub fn send(&mut self, command: &Command) -> Reply {
        self.connection.get_mut().write_all(&render(command)).unwrap();
        read(&mut self.connection)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_file(&self.socket);
    }
}

fn connect(socket: &Path) -> UnixStream {
    for _ in 0..500 {
        if let Ok(connection) = UnixStream::connect(socket) {
            return connection;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("redis-server does not listen at {}", socket.display());
}

/// The bytes of a command.
pub fn render(command: &Command) -> Vec<u8> {
    let words = command.words(Naming::Text);
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend(format!("${}\r\n", word.len()).bytes().chain(word.iter().copied()).chain(*b"\r\n"));
    }
    bytes
}

fn read(connection: &mut BufReader<UnixStream>) -> Reply {
    let mut line = String::new();
    connection.read_line(&mut line).unwrap();
    let (kind, rest) = line.trim_end().split_at(1);
    match (kind, rest) {
        ("+", text) => Reply::Text(text.to_owned()),
        ("-", text) => Reply::Error(text.to_owned()),
        (":", number) => Reply::Integer(number.parse().unwrap()),
        ("$" | "*", "-1") => Reply::Nil,
        ("$", length) => {
            let mut bytes = vec![0; length.parse::<usize>().unwrap() + 2];
            connection.read_exact(&mut bytes).unwrap();
            bytes.truncate(bytes.len() - 2);
            Reply::Bulk(bytes)
        }
        ("*", length) => Reply::Array((0..length.parse::<usize>().unwrap()).map(|_| read(connection)).collect()),
        other => panic!("no reply: {other:?}"),
    }
}
