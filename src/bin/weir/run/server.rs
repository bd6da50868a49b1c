//! A Redis for the time of `weir run`, where `weir.yaml` names one on this machine and nobody has started it.
//!
//! It listens on the loopback address alone, keeps nothing on disk and ends with the gateway. Redis is optional: where
//! this does not work, the gateway runs without, and says so.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use weir::config::{Endpoint, Redis};

use super::find;
use crate::redis::secret;

/// A running Redis. Dropping it ends it.
pub struct Server {
    child: Child,
    log: Option<JoinHandle<String>>,
}

impl Server {
    /// Starts a Redis if the configuration wants one that `weir run` can be, and says what came of it.
    pub fn start(redis: Option<&Redis>) -> (Option<Server>, Option<String>) {
        let Some((redis, address)) = redis.and_then(|redis| Some((redis, vacant(redis)?))) else { return (None, None) };
        match find::redis_server().and_then(|binary| Server::run(&binary, redis, address)) {
            Ok(server) => {
                (Some(server), Some(format!("Redis: started one on {address}, which forgets everything at the end")))
            }
            Err(problem) => (
                None,
                Some(format!("warning: nothing answers at {address}, so the gateway runs without Redis: {problem}")),
            ),
        }
    }

    fn run(binary: &Path, redis: &Redis, address: SocketAddr) -> Result<Server, String> {
        let settings = settings(redis, address)?;
        let problem = |error| format!("cannot start {}: {error}", binary.display());
        let mut command = Command::new(binary);
        // The configuration comes on standard input, since everybody on the machine can read arguments.
        command.arg("-").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().map_err(problem)?;
        let (input, log) = (child.stdin.take(), child.stdout.take().map(drain));
        let mut server = Server { child, log };
        // The end of input starts it, so the pipe is closed here. Why one does not read, its end tells better.
        let _ = input.map(|mut input| input.write_all(settings.as_bytes()));
        server.until_ready(address).map(|()| server)
    }

    fn until_ready(&mut self, address: SocketAddr) -> Result<(), String> {
        let started = Instant::now();
        while started.elapsed() < PATIENCE {
            if let Ok(Some(status)) = self.child.try_wait() {
                let said = self.log.take().and_then(|log| log.join().ok()).unwrap_or_default();
                return Err(format!("redis-server ended at once ({status}). It says:\n{}", said.trim_end()));
            }
            if answers(address) {
                return Ok(());
            }
            thread::sleep(TICK);
        }
        Err("redis-server started, and does not listen".to_owned())
    }

    fn ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Ok(pid) = i32::try_from(self.child.id())
            && !self.ended()
        {
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
        let asked = Instant::now();
        while !self.ended() && asked.elapsed() < PATIENCE {
            thread::sleep(TICK);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where a Redis could be started: the address of a lone node without TLS on this machine at which nothing answers.
fn vacant(redis: &Redis) -> Option<SocketAddr> {
    let [node] = redis.nodes.as_slice() else { return None };
    let address = loopback(node).filter(|_| !redis.cluster && !node.tls)?;
    (!answers(address)).then_some(address)
}

fn loopback(node: &Endpoint) -> Option<SocketAddr> {
    let ip = if node.host == "localhost" { Some(IpAddr::V4(Ipv4Addr::LOCALHOST)) } else { node.ip() };
    ip.filter(IpAddr::is_loopback).map(|ip| SocketAddr::new(ip, node.port))
}

fn answers(address: SocketAddr) -> bool {
    TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok()
}

/// The configuration of a Redis that nobody else can reach, and that writes nothing.
fn settings(redis: &Redis, address: SocketAddr) -> Result<String, String> {
    // `localhost` may lead to either address; a machine without IPv6 does without the second.
    let named = redis.nodes.first().is_some_and(|node| node.host == "localhost");
    let bind = if named { "127.0.0.1 -::1".to_owned() } else { address.ip().to_string() };
    let port = address.port();
    let mut lines = format!("bind {bind}\nport {port}\nsave \"\"\nappendonly no\ndaemonize no\nloglevel warning\n");
    if let Some(password) = redis.password.as_ref().map(secret).transpose()? {
        match redis.username.as_deref() {
            None | Some("default") => lines.push_str(&format!("requirepass {}\n", quoted(&password))),
            Some(name) => {
                let rule = quoted(&format!(">{password}"));
                lines.push_str(&format!("user default off\nuser {} on {rule} ~* &* +@all\n", quoted(name)));
            }
        }
    }
    Ok(lines)
}

/// A word as Redis reads it, whatever it is made of.
fn quoted(word: &str) -> String {
    let escaped: String = word
        .bytes()
        .map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("\\x{b:02x}") })
        .collect();
    format!("\"{escaped}\"")
}

/// Reads what the server says to its end, so that it never waits for a reader, and keeps the beginning.
fn drain(mut from: ChildStdout) -> JoinHandle<String> {
    const KEPT: u64 = 4096;
    thread::spawn(move || {
        let mut kept = Vec::new();
        let _ = from.by_ref().take(KEPT).read_to_end(&mut kept);
        let _ = std::io::copy(&mut from, &mut std::io::sink());
        String::from_utf8_lossy(&kept).into_owned()
    })
}

/// Redis is up within a tenth of a second, and without data it ends as fast.
const PATIENCE: Duration = Duration::from_secs(5);
/// Too short for a person to notice.
const TICK: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use weir::config::Secret;

    use super::*;

    fn redis(urls: &str, more: &str) -> Redis {
        let yaml = format!(
            "vendors: [{{name: e, kind: echo}}]\nmodels: [{{name: m, serve: [{{vendor: e}}]}}]\nredis: {{urls: [{urls}]{more}}}\n"
        );
        weir::config::parse_yaml(&yaml).unwrap().redis.unwrap()
    }

    #[test]
    fn only_a_redis_of_this_machine_can_be_started() {
        // Port 1 is nobody's.
        for (urls, more, address) in [
            ("'redis://127.0.0.1:1'", "", Some("127.0.0.1:1")),
            ("'redis://localhost:1'", "", Some("127.0.0.1:1")),
            ("'redis://[::1]:1'", "", Some("[::1]:1")),
            ("'rediss://127.0.0.1:1'", "", None),
            ("'redis://10.0.0.1:1'", "", None),
            ("'redis://redis.internal:1'", "", None),
            ("'redis://127.0.0.1:1'", ", cluster: true", None),
            ("'redis://127.0.0.1:1', 'redis://127.0.0.1:2'", ", cluster: true", None),
        ] {
            assert_eq!(vacant(&redis(urls, more)), address.map(|text| text.parse().unwrap()), "{urls}{more}");
        }
    }

    #[test]
    fn the_settings_keep_others_out() {
        let mut redis = redis("'redis://localhost:7'", "");
        let lines = |redis: &Redis| settings(redis, "127.0.0.1:7".parse().unwrap());
        let open = "bind 127.0.0.1 -::1\nport 7\nsave \"\"\nappendonly no\ndaemonize no\nloglevel warning\n";
        assert_eq!(lines(&redis).unwrap(), open);
        let path = std::env::temp_dir().join(format!("weir-test-{}-password", std::process::id()));
        std::fs::write(&path, "p w\"\n").unwrap();
        redis.password = Some(Secret::File(path.display().to_string()));
        assert_eq!(lines(&redis).unwrap(), format!("{open}requirepass \"p\\x20w\\x22\"\n"));
        redis.username = Some("gate".to_owned());
        let user = "user default off\nuser \"gate\" on \"\\x3ep\\x20w\\x22\" ~* &* +@all\n";
        assert_eq!(lines(&redis).unwrap(), format!("{open}{user}"));
        std::fs::remove_file(path).unwrap();
        assert!(lines(&redis).unwrap_err().starts_with("redis.password: cannot read"));
    }
}
