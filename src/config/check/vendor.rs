//! `vendors`.

use super::limits::rules;
use super::{PLAIN, check_names};
use crate::config::problem::Problems;
use crate::config::{Endpoint, Secret, Vendor, written};
use crate::vendor::{FORMATS, Format, Home, StreamUsage, format};

/// Every vendor, if all are right.
pub(super) fn vendors(written: &written::Written, problems: &mut Problems) -> Option<Vec<Vendor>> {
    let names: Vec<&str> = written.vendors.iter().map(|vendor| vendor.name.as_str()).collect();
    check_names("vendors", &names, PLAIN, problems);
    let checked: Vec<_> =
        written.vendors.iter().enumerate().map(|(i, v)| one_vendor(v, &format!("vendors[{i}]"), problems)).collect();
    checked.into_iter().collect()
}

fn one_vendor(written: &written::Vendor, at: &str, problems: &mut Problems) -> Option<Vendor> {
    let format = problems.keep(format!("{at}.kind"), kind(&written.kind));
    let built_in = format.is_some_and(|format| format.kind() == ECHO);
    let home = format.map_or(Home::Anywhere, Format::home);
    let url = written.url.as_deref().or(home.url()).map(|url| problems.keep(format!("{at}.url"), url.parse()));
    let credential = written.credential.as_ref().map(|c| problems.keep(format!("{at}.credential"), secret(c)));
    if built_in {
        let extra = [("url", url.is_some()), ("credential", credential.is_some())];
        for (field, _) in extra.iter().filter(|(_, given)| *given) {
            problems.note(format!("{at}.{field}"), "the echo vendor is built in and takes none");
        }
    } else if url.is_none() {
        problems.note(format!("{at}.url"), "missing");
    } else if let (None, None, Home::Hosted(home)) = (&written.url, &credential, home) {
        problems.note(format!("{at}.credential"), format!("missing: nobody is answered without one at {home}"));
    }
    let api_version = written.api_version.clone();
    if api_version.is_some() && format.is_some_and(|format| format.kind() != AZURE) {
        problems.note(format!("{at}.api_version"), "only the kind azure takes one");
    }
    if written.stream_usage.is_some() && format.is_some_and(|format| !format.asks_for_usage()) {
        problems.note(
            format!("{at}.stream_usage"),
            format!("only the kinds {} take one", kinds(|format| format.asks_for_usage())),
        );
    }
    let endpoint = url.flatten();
    if written.ca_file.is_some() && !endpoint.as_ref().is_none_or(|url: &Endpoint| url.tls) {
        problems.note(format!("{at}.ca_file"), "only an https url takes one");
    }
    let ca_file = written.ca_file.clone();
    let rules = rules(written.limits.as_ref(), None, at, problems);
    Some(Vendor {
        name: written.name.clone(),
        format: format?,
        endpoint,
        credential: credential.flatten(),
        api_version,
        ca_file,
        stream_usage: if written.stream_usage == Some(false) { StreamUsage::AsReceived } else { StreamUsage::Asked },
        rules: rules?,
    })
}

fn kind(kind: &str) -> Result<&'static dyn Format, String> {
    format(kind).ok_or_else(|| {
        let known = kinds(|_| true);
        format!("unknown kind {kind:?}, one of {known}")
    })
}

/// The kinds of which something is true.
fn kinds(is: impl Fn(&dyn Format) -> bool) -> String {
    let kinds: Vec<&str> = FORMATS.iter().filter(|format| is(**format)).map(|format| format.kind()).collect();
    kinds.join(", ")
}

pub(super) fn secret(written: &written::Credential) -> Result<Secret, String> {
    match (&written.env, &written.file) {
        (Some(name), None) if is_variable(name) => Ok(Secret::Env(name.clone())),
        (Some(_), None) => Err("env must be the name of an environment variable".to_owned()),
        (None, Some(path)) if !path.is_empty() => Ok(Secret::File(path.clone())),
        _ => Err("must be {env: NAME} or {file: /path}".to_owned()),
    }
}

fn is_variable(name: &str) -> bool {
    let word = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    word && !name.is_empty() && !name.starts_with(|first: char| first.is_ascii_digit())
}

/// The kind that Weir answers itself.
pub(super) const ECHO: &str = "echo";
/// The only kind whose API is versioned by its caller.
pub(super) const AZURE: &str = "azure";
