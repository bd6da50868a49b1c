//! `tls`, `cors` and `trusted_proxies`.

use std::net::IpAddr;
use std::time::Duration;

use crate::config::door::{Cidr, Cors, Origins, Tls};
use crate::config::problem::Problems;
use crate::config::{address, written};
use crate::unit::Span;

/// The certificate. Whether its files are there and good is for the machine to say that they are on.
pub(super) fn tls(written: &written::Tls, problems: &mut Problems) -> Option<Tls> {
    let file = |field: &str, path: &str, problems: &mut Problems| match path {
        "" => problems.keep(format!("tls.{field}"), Err("missing".to_owned())),
        path if !path.starts_with('/') => {
            problems.keep(format!("tls.{field}"), Err("must be an absolute path".to_owned()))
        }
        path => Some(path.to_owned()),
    };
    let cert_file = file("cert_file", &written.cert_file, problems);
    let key_file = file("key_file", &written.key_file, problems);
    Some(Tls { cert_file: cert_file?, key_file: key_file? })
}

/// Whose pages may ask.
pub(super) fn cors(written: &written::Cors, problems: &mut Problems) -> Option<Cors> {
    let Span(max_age) = written.max_age;
    if max_age > LONGEST {
        problems.note("cors.max_age", format!("must be at most {}", Span(LONGEST)));
    }
    Some(Cors { origins: origins(&written.origins, problems)?, max_age })
}

fn origins(written: &[String], problems: &mut Problems) -> Option<Origins> {
    if written.is_empty() {
        problems.note("cors.origins", "at least one is needed, for example https://app.example.com");
    }
    if written == ["*"] {
        return Some(Origins::All);
    }
    let checked: Vec<_> = written
        .iter()
        .enumerate()
        .map(|(i, text)| problems.keep(format!("cors.origins[{i}]"), address::origin(text).map(|()| text.clone())))
        .collect();
    checked.into_iter().collect::<Option<_>>().map(Origins::Only)
}

/// The proxies whose word is taken for where a client is.
pub(super) fn proxies(written: &[String], problems: &mut Problems) -> Option<Vec<Cidr>> {
    let checked: Vec<_> = written
        .iter()
        .enumerate()
        .map(|(i, text)| problems.keep(format!("trusted_proxies[{i}]"), cidr(text)))
        .collect();
    checked.into_iter().collect()
}

/// `10.0.0.0/8`, or one address.
fn cidr(text: &str) -> Result<Cidr, String> {
    let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
    let first: IpAddr = address.parse().map_err(|_| A_RANGE.to_owned())?;
    let most = if first.is_ipv4() { 32 } else { 128 };
    let digits = |bits: &&str| !bits.is_empty() && bits.bytes().all(|byte| byte.is_ascii_digit());
    let bits = match bits {
        None => most,
        Some(bits) => Some(bits).filter(digits).and_then(|bits| bits.parse().ok()).ok_or(A_RANGE)?,
    };
    match bits {
        0 => Err("trusts everybody, so anybody could claim to be anybody".to_owned()),
        bits if bits > most => Err(A_RANGE.to_owned()),
        bits if masked(first, bits) != first => Err(format!("must be {}/{bits}", masked(first, bits))),
        bits => Ok(Cidr { first, bits }),
    }
}

/// The address without the bits beyond these.
fn masked(address: IpAddr, bits: u8) -> IpAddr {
    match address {
        IpAddr::V4(ip) => {
            let gone = 32_u32.saturating_sub(bits.into());
            IpAddr::V4((ip.to_bits() & u32::MAX.checked_shl(gone).unwrap_or(0)).into())
        }
        IpAddr::V6(ip) => {
            let gone = 128_u32.saturating_sub(bits.into());
            IpAddr::V6((ip.to_bits() & u128::MAX.checked_shl(gone).unwrap_or(0)).into())
        }
    }
}

const A_RANGE: &str = "must be a range of addresses, for example 10.0.0.0/8, or one address";
/// No browser remembers for longer.
const LONGEST: Duration = Duration::from_secs(24 * 3600);
