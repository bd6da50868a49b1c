//! The Envoy process: started, watched, and stopped with its owner.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A running Envoy. Dropping it kills it, so that no way out of `weir run` leaves one behind.
pub struct Envoy {
    child: Child,
    log: Arc<Mutex<Log>>,
    reader: Option<JoinHandle<()>>,
}

/// What Envoy says: kept while it starts, passed on afterwards.
enum Log {
    Kept(VecDeque<String>),
    PassedOn,
}

impl Envoy {
    /// Starts Envoy with a bootstrap configuration. A listener that changes while it runs serves those who are connected
    /// for as long as `drain`, and asks them to connect again as soon as they have their answer.
    pub fn start(binary: &Path, bootstrap: &Path, concurrency: u32, drain: Duration) -> Result<Envoy, String> {
        let mut child = Command::new(binary)
            .arg("--config-path")
            .arg(bootstrap)
            .args(["--concurrency", &concurrency.to_string(), "--log-level", "warn", "--disable-hot-restart"])
            .args(["--component-log-level", QUIET])
            .args(["--drain-strategy", "immediate", "--drain-time-s", &drain.as_secs().to_string()])
            .args(["--file-flush-interval-msec", LINES])
            .stdin(Stdio::null())
            .stdout(Stdio::inherit())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot start {}: {error}", binary.display()))?;
        let log = Arc::new(Mutex::new(Log::Kept(VecDeque::new())));
        let reader = child.stderr.take().map(|stderr| read(stderr, Arc::clone(&log)));
        Ok(Envoy { child, log, reader })
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// The errors that it has logged so far, or everything if it called nothing an error.
    pub fn errors(&mut self) -> String {
        if self.ended().is_some() {
            self.drain();
        }
        let log = lock(&self.log);
        let Log::Kept(lines) = &*log else { return String::new() };
        let errors = lines.iter().filter(|line| line.contains("[error]") || line.contains("[critical]"));
        let errors: Vec<&str> = errors.map(String::as_str).collect();
        if errors.is_empty() {
            lines.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
        } else {
            errors.join("\n")
        }
    }

    /// From here on what Envoy logs is shown, beginning with what it has logged already.
    pub fn speak_up(&self) {
        if let Log::Kept(lines) = std::mem::replace(&mut *lock(&self.log), Log::PassedOn) {
            lines.iter().for_each(|line| pass_on(line));
        }
    }

    /// Asks Envoy to end and waits for it. That it was asked is not worth the line that Envoy writes about it.
    pub fn stop(mut self) -> Result<(), String> {
        *lock(&self.log) = Log::Kept(VecDeque::new());
        if let Ok(pid) = i32::try_from(self.child.id()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
        let asked = Instant::now();
        while self.ended().is_none() {
            if asked.elapsed() > PATIENCE {
                return Err("Envoy did not end when asked and was killed".to_owned());
            }
            thread::sleep(Duration::from_millis(20));
        }
        self.drain();
        Ok(())
    }

    /// The last words of a process that has ended.
    fn drain(&mut self) {
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        if self.ended().is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn read(stderr: ChildStderr, log: Arc<Mutex<Log>>) -> JoinHandle<()> {
    thread::spawn(move || {
        for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).into_owned();
            match &mut *lock(&log) {
                Log::PassedOn => pass_on(&line),
                Log::Kept(lines) => {
                    lines.push_back(line);
                    if lines.len() > KEPT {
                        lines.pop_front();
                    }
                }
            }
        }
    })
}

/// Whoever closed our standard error does not want to read it.
fn pass_on(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// A thread that panicked while it held the log has not harmed it.
fn lock(log: &Mutex<Log>) -> MutexGuard<'_, Log> {
    log.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is deprecated in what Weir writes is not for its users to hear: where the capabilities stand has another place since
/// 1.40, which 1.39 does not know.
const QUIET: &str = "misc:error";

/// Milliseconds after which a line of the access log is written at the latest; Envoy's own ten seconds are long for whoever
/// watches.
const LINES: &str = "500";
/// How many lines are kept while Envoy starts.
const KEPT: usize = 1000;
/// Longer than Envoy takes to end with thousands of streams open.
const PATIENCE: Duration = Duration::from_secs(10);
