//! A Redis of one's own, and as much of its protocol as a test needs.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::time::Duration;

use weir::redis::{Command, Naming, Reply};

/// A Redis that ends with the test.
pub struct Server {
    process: Child,
    connection: BufReader<TcpStream>,
}

impl Server {
    /// Starts one on a free port, which keeps nothing on disk.
    pub fn start() -> Server {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = std::process::Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", "", "--appendonly", "no"]);
        let process = command.stdout(Stdio::null()).spawn();
        let process = process.unwrap_or_else(|error| panic!("redis-server: {error}; apt-get install redis-server"));
        let connection = BufReader::new(connect(port));
        Server { process, connection }
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
    }
}

fn connect(port: u16) -> TcpStream {
    for _ in 0..500 {
        if let Ok(connection) = TcpStream::connect(("127.0.0.1", port)) {
            connection.set_nodelay(true).unwrap();
            return connection;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("redis-server does not listen on port {port}");
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

fn read(connection: &mut BufReader<TcpStream>) -> Reply {
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
