//! Addresses as `weir.yaml` has them: where Weir listens and where vendors are.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use super::{Admin, Endpoint};

/// The address where clients connect.
pub(super) fn listen(text: &str) -> Result<SocketAddr, String> {
    match text.parse::<SocketAddr>() {
        Ok(address) if address.port() != 0 => Ok(address),
        _ => Err("must be an IP address and a port, for example 127.0.0.1:3000 or 0.0.0.0:3000".to_owned()),
    }
}

impl FromStr for Admin {
    type Err = String;

    fn from_str(text: &str) -> Result<Admin, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            let fits = path.starts_with('/') && path.len() <= UNIX_PATH_MAX;
            return if fits { Ok(Admin::Unix(path.to_owned())) } else { Err(A_SOCKET.to_owned()) };
        }
        match text.parse::<SocketAddr>() {
            Ok(address) if address.ip().is_loopback() && address.port() != 0 => Ok(Admin::Loopback(address)),
            Ok(address) if address.port() != 0 => Err(format!("{address} can be reached from elsewhere; {A_LOOPBACK}")),
            _ => Err(A_LOOPBACK.to_owned()),
        }
    }
}

/// A Unix socket: a file, or `@` and a name of Linux's abstract namespace.
pub(super) fn socket(text: &str) -> Result<String, String> {
    let named = text.strip_prefix('@').is_some_and(|name| !name.is_empty());
    let fits = (named || text.starts_with('/')) && text.len() <= UNIX_PATH_MAX && !text.contains(char::is_control);
    if fits { Ok(text.to_owned()) } else { Err("must be an absolute path or @name, of at most 107 bytes".to_owned()) }
}

/// A node of Redis: `redis://host:6379`, or `rediss://` for TLS. Errors never repeat the url.
pub(super) fn redis(url: &str) -> Result<Endpoint, String> {
    let (tls, rest) = match (url.strip_prefix("rediss://"), url.strip_prefix("redis://")) {
        (Some(rest), _) => (true, rest),
        (_, Some(rest)) => (false, rest),
        _ => return Err("must begin with redis:// or rediss://".to_owned()),
    };
    if rest.contains('@') {
        return Err("must hold no user and no password; those go into `username` and `password`".to_owned());
    }
    let (host, port) = split_port(rest.strip_suffix('/').unwrap_or(rest))
        .map_err(|_| "must be a host and a port and nothing else, for example redis://127.0.0.1:6379".to_owned())?;
    Ok(Endpoint { tls, host, port: port.unwrap_or(6379), path: String::new() })
}

/// An origin as browsers send it, RFC 6454 section 6.2: `scheme://host`, with a port that is not the scheme's own. `null`
/// is that of pages that have none, such as files.
pub(super) fn origin(text: &str) -> Result<(), String> {
    if text == "null" {
        return Ok(());
    }
    if text == "*" {
        return Err("stands for all origins and must stand alone".to_owned());
    }
    let (scheme, authority) = text.split_once("://").ok_or(AN_ORIGIN)?;
    let letters = scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    if !letters || !scheme.starts_with(|first: char| first.is_ascii_alphabetic()) {
        return Err(AN_ORIGIN.to_owned());
    }
    if authority.contains('/') {
        return Err("must end after the host, without a path".to_owned());
    }
    let (_, port) = split_port(authority).map_err(|_| AN_ORIGIN)?;
    match (scheme, port) {
        ("http", Some(port @ 80)) | ("https", Some(port @ 443)) => {
            Err(format!("browsers leave out :{port} here, so must this"))
        }
        _ if text.bytes().any(|byte| byte.is_ascii_uppercase()) => {
            Err("must be in lower case, as browsers send it".to_owned())
        }
        _ => Ok(()),
    }
}

/// Errors never repeat the url, because it might hold a password.
impl FromStr for Endpoint {
    type Err = String;

    fn from_str(url: &str) -> Result<Endpoint, String> {
        let (tls, rest) = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (_, Some(rest)) => (false, rest),
            _ => return Err("must begin with https:// or http://".to_owned()),
        };
        let (authority, path) = rest.find('/').and_then(|slash| rest.split_at_checked(slash)).unwrap_or((rest, ""));
        if rest.contains(['?', '#']) {
            return Err("must have no query and no fragment".to_owned());
        }
        if authority.contains('@') {
            return Err("must hold no user and no password; a credential goes into `credential`".to_owned());
        }
        let (host, port) = split_port(authority)?;
        if !path.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("has a path with characters that a url cannot hold".to_owned());
        }
        let port = port.unwrap_or(if tls { 443 } else { 80 });
        Ok(Endpoint { tls, host, port, path: path.trim_end_matches('/').to_owned() })
    }
}

impl Endpoint {
    /// The host as an IP address, if it is one.
    pub fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

/// `host`, `host:port`, `[v6]` or `[v6]:port`.
fn split_port(authority: &str) -> Result<(String, Option<u16>), String> {
    let bracketed = authority.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let (host, port) = match bracketed {
        Some((host, "")) => (host, None),
        Some((host, port)) => (host, Some(port.strip_prefix(':').ok_or(BAD_HOST)?)),
        None => authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port))),
    };
    let valid = if bracketed.is_some() { host.parse::<Ipv6Addr>().is_ok() } else { is_host(host) };
    if !valid {
        return Err(BAD_HOST.to_owned());
    }
    Ok((host.to_ascii_lowercase(), port.map(parse_port).transpose()?))
}

fn parse_port(text: &str) -> Result<u16, String> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let port = text.parse().ok().filter(|port| digits && *port != 0);
    port.ok_or_else(|| "has a port that is not between 1 and 65535".to_owned())
}

/// A DNS name of letters, digits, hyphens and underscores (which service names in clusters have), or an IPv4 address.
fn is_host(host: &str) -> bool {
    let is_label = |label: &str| {
        let bytes = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        bytes && (1..=63).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-')
    };
    host.len() <= 253 && host.split('.').all(is_label)
}

/// What fits into `sun_path` of `sockaddr_un` on Linux, its closing zero aside.
const UNIX_PATH_MAX: usize = 107;

const A_SOCKET: &str = "must name a Unix socket by an absolute path of at most 107 bytes";
const A_LOOPBACK: &str = "must be a loopback address and a port, for example 127.0.0.1:9901, or unix:/path";
const AN_ORIGIN: &str =
    "must be a scheme and a host, as browsers send them: https://app.example.com, http://localhost:5173";
const BAD_HOST: &str = "has no valid host";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test;

    #[test]
    fn takes_urls_apart() {
        for (url, tls, host, port, path) in [
            ("https://api.openai.com/v1", true, "api.openai.com", 443, "/v1"),
            ("https://API.example.com/", true, "api.example.com", 443, ""),
            ("http://127.0.0.1:8080/a/b//", false, "127.0.0.1", 8080, "/a/b"),
            ("http://mock_vendor", false, "mock_vendor", 80, ""),
            ("https://[::1]:8443/v1", true, "::1", 8443, "/v1"),
            ("http://[2001:db8::1]", false, "2001:db8::1", 80, ""),
        ] {
            let expected = Endpoint { tls, host: host.to_owned(), port, path: path.to_owned() };
            assert_eq!(url.parse(), Ok(expected), "{url}");
        }
    }

    #[test]
    fn refuses_bad_urls_without_repeating_them() {
        for (url, text) in [
            ("api.openai.com", "must begin with https:// or http://"),
            ("HTTPS://api.openai.com", "must begin with https:// or http://"),
            ("ftp://host", "must begin with https:// or http://"),
            ("https://", "has no valid host"),
            ("https:///v1", "has no valid host"),
            ("https://a..b", "has no valid host"),
            ("https://-a", "has no valid host"),
            ("https://::1", "has no valid host"),
            ("https://[::1", "has no valid host"),
            ("https://[::1]x", "has no valid host"),
            ("https://[not-v6]", "has no valid host"),
            ("https://host:", "has a port that is not between 1 and 65535"),
            ("https://host:0", "has a port that is not between 1 and 65535"),
            ("https://host:+80", "has a port that is not between 1 and 65535"),
            ("https://host:65536", "has a port that is not between 1 and 65535"),
            ("https://host/v1?key=secret", "must have no query and no fragment"),
            ("https://host#part", "must have no query and no fragment"),
            ("https://u:secret@host", "must hold no user and no password; a credential goes into `credential`"),
            ("https://host/a b", "has a path with characters that a url cannot hold"),
            ("https://host/\u{e9}", "has a path with characters that a url cannot hold"),
        ] {
            assert_eq!(url.parse::<Endpoint>(), Err(text.to_owned()), "{url}");
        }
    }

    #[test]
    fn keeps_the_admin_interface_at_home() {
        assert_eq!("127.0.0.1:9901".parse(), Ok(Admin::Loopback(([127, 0, 0, 1], 9901).into())));
        assert!(matches!("[::1]:9901".parse(), Ok(Admin::Loopback(_))));
        assert_eq!("unix:/run/weir.sock".parse(), Ok(Admin::Unix("/run/weir.sock".to_owned())));
        for text in ["0.0.0.0:9901", "10.0.0.1:9901", "127.0.0.1:0", "localhost:9901", "unix:relative", "unix:", ""] {
            assert!(text.parse::<Admin>().is_err(), "{text}");
        }
    }
}
