//! Envoy's admin interface, asked.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use weir::config::Admin;

/// The values of the statistics whose names this expression finds, with their names.
pub fn statistics(admin: &Admin, names: &str) -> Result<Vec<(String, String)>, String> {
    let page = page(admin, &format!("/stats?filter={names}"))?;
    let pair =
        |line: &str| line.split_once(": ").map(|(name, value)| (name.to_owned(), value.trim_matches('"').to_owned()));
    Ok(page.lines().filter_map(pair).collect())
}

fn page(admin: &Admin, path: &str) -> Result<String, String> {
    let problem = |error| format!("Envoy's admin interface does not answer: {error}");
    let answer = match admin {
        Admin::Loopback(address) => {
            let stream = TcpStream::connect_timeout(address, PATIENCE).map_err(problem)?;
            stream.set_read_timeout(Some(PATIENCE)).map_err(problem)?;
            ask(stream, path)
        }
        Admin::Unix(socket) => {
            let stream = UnixStream::connect(socket).map_err(problem)?;
            stream.set_read_timeout(Some(PATIENCE)).map_err(problem)?;
            ask(stream, path)
        }
    };
    let answer = answer.map_err(problem)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("Envoy's admin interface gave half an answer")?;
    match head.split(' ').nth(1) {
        Some("200") => Ok(dechunked(body)),
        status => Err(format!("Envoy's admin interface answers {} with {}", path, status.unwrap_or("nothing"))),
    }
}

fn ask(mut stream: impl Read + Write, path: &str) -> std::io::Result<String> {
    write!(stream, "GET {path} HTTP/1.1\r\nhost: weir\r\nconnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(LARGEST).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// The admin interface sends all its pages in chunks, RFC 9112 section 7.1.
fn dechunked(mut rest: &str) -> String {
    let mut page = String::new();
    while let Some((size, chunk)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
        let Some(data) = chunk.get(..size).filter(|data| !data.is_empty()) else { break };
        page.push_str(data);
        rest = chunk.get(size..).unwrap_or_default().trim_start_matches("\r\n");
    }
    page
}

/// It is on this machine.
const PATIENCE: Duration = Duration::from_secs(2);
/// Of statistics that a narrow expression finds.
const LARGEST: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn puts_chunks_together() {
        assert_eq!(dechunked("4\r\na: 1\r\n3\r\n\nb:\r\n0\r\n\r\n"), "a: 1\nb:");
        assert_eq!(dechunked("ff\r\ncut"), "");
        assert_eq!(dechunked("no chunks"), "");
    }
}
