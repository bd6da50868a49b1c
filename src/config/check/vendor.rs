//! `vendors`.

use super::limits::rules;
use super::{Form, PLAIN, check_names};
use crate::config::problem::Problems;
use crate::config::{AwsKeys, Endpoint, Secret, Signing, Vendor, written};
use crate::vendor::{FORMATS, Format, Home, StreamUsage, format};

/// Every vendor, if all are right.
pub(super) fn vendors(written: &written::Written, form: Form, problems: &mut Problems) -> Option<Vec<Vendor>> {
    let names: Vec<&str> = written.vendors.iter().map(|vendor| vendor.name.as_str()).collect();
    check_names("vendors", &names, PLAIN, problems);
    let vendors = written.vendors.iter().enumerate();
    let checked: Vec<_> = vendors.map(|(i, v)| one_vendor(v, form, &format!("vendors[{i}]"), problems)).collect();
    checked.into_iter().collect()
}

/// Credentials are only asked for in the file: where they are kept is none of the filter's business.
fn one_vendor(written: &written::Vendor, form: Form, at: &str, problems: &mut Problems) -> Option<Vendor> {
    let format = problems.keep(format!("{at}.kind"), kind(&written.kind));
    let built_in = format.is_some_and(|format| format.kind() == ECHO);
    let home = format.map_or(Home::Anywhere, Format::home);
    let region = region(written, home, at, problems);
    let in_region = region.and_then(|region| home.in_region(region));
    let own = in_region.as_deref().or(home.url());
    let url = written.url.as_deref().or(own).map(|url| problems.keep(format!("{at}.url"), url.parse()));
    let signing = signing(written, home, region, at, problems);
    if form == Form::File && written.credential.is_none() && matches!(home, Home::Regional(..)) {
        problems.note(format!("{at}.credential"), NO_KEYS);
    }
    let bearer = written.credential.as_ref().filter(|credential| credential.aws.is_none());
    let credential = bearer.map(|c| problems.keep(format!("{at}.credential"), secret(c)));
    if built_in {
        let extra = [("url", url.is_some()), ("credential", credential.is_some())];
        for (field, _) in extra.iter().filter(|(_, given)| *given) {
            problems.note(format!("{at}.{field}"), "the echo vendor is built in and takes none");
        }
    } else if url.is_none() && !matches!(home, Home::Regional(..)) {
        problems.note(format!("{at}.url"), "missing");
    } else if let (None, None, Home::Hosted(home), Form::File) = (&written.url, &credential, home, form) {
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
        signing,
        api_version,
        ca_file,
        stream_usage: if written.stream_usage == Some(false) { StreamUsage::AsReceived } else { StreamUsage::Asked },
        rules: rules?,
    })
}

/// The region of a vendor that has one. It stands in a host's name, and in every signature.
fn region<'w>(written: &'w written::Vendor, home: Home, at: &str, problems: &mut Problems) -> Option<&'w str> {
    let at = format!("{at}.region");
    let signed = written.credential.as_ref().is_some_and(|credential| credential.aws.is_some());
    match (home, written.region.as_deref()) {
        (Home::Regional(..), None) if written.url.is_none() || signed => {
            problems.note(at, "missing: the AWS region, for example eu-central-1");
            None
        }
        (Home::Regional(..), Some(region)) => {
            problems.keep(at, is_region(region).then_some(region).ok_or_else(|| A_REGION.to_owned()))
        }
        (_, Some(_)) => {
            problems.note(at, format!("only the kinds {} take one", kinds(is_regional)));
            None
        }
        (_, None) => None,
    }
}

fn is_regional(format: &dyn Format) -> bool {
    matches!(format.home(), Home::Regional(..))
}

/// A label of a DNS name, as all of them are.
fn is_region(region: &str) -> bool {
    let letters = region.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    letters && (1..=32).contains(&region.len()) && !region.starts_with('-') && !region.ends_with('-')
}

const A_REGION: &str = "must be the name of an AWS region, for example eu-central-1";

/// How requests are signed, if they are.
fn signing(
    written: &written::Vendor,
    home: Home,
    region: Option<&str>,
    at: &str,
    problems: &mut Problems,
) -> Option<Signing> {
    let at = format!("{at}.credential");
    match (home, &written.credential) {
        (Home::Regional(..), Some(written::Credential { aws: Some(words), env: None, file: None })) => {
            let keys = problems.keep(format!("{at}.aws"), aws_keys(words))?;
            Some(Signing { region: region?.to_owned(), keys })
        }
        (Home::Regional(..), Some(written::Credential { aws: Some(_), .. })) => {
            problems.note(at, "must be one of {env: NAME}, {file: /path} and {aws: ..}");
            None
        }
        (_, Some(written::Credential { aws: Some(_), .. })) => {
            problems.note(format!("{at}.aws"), format!("only the kinds {} take it", kinds(is_regional)));
            None
        }
        _ => None,
    }
}

const NO_KEYS: &str = "missing: {env: NAME} or {file: /path} of a Bedrock API key, or {aws: environment}, {aws: found} or \
                       {aws: /path} to sign requests";

fn aws_keys(words: &str) -> Result<AwsKeys, String> {
    match words {
        "environment" => Ok(AwsKeys::Environment),
        "found" => Ok(AwsKeys::Found),
        path if path.starts_with('/') => Ok(AwsKeys::File(path.to_owned())),
        _ => Err("must be environment, found, or the absolute path of a file with the keys".to_owned()),
    }
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
    if written.aws.is_some() {
        return Err(A_SECRET.to_owned());
    }
    match (&written.env, &written.file) {
        (Some(name), None) if is_variable(name) => Ok(Secret::Env(name.clone())),
        (Some(_), None) => Err("env must be the name of an environment variable".to_owned()),
        (None, Some(path)) if !path.is_empty() => Ok(Secret::File(path.clone())),
        _ => Err(A_SECRET.to_owned()),
    }
}

const A_SECRET: &str = "must be {env: NAME} or {file: /path}";

fn is_variable(name: &str) -> bool {
    let word = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    word && !name.is_empty() && !name.starts_with(|first: char| first.is_ascii_digit())
}

/// The kind that Weir answers itself.
pub(super) const ECHO: &str = "echo";
/// The only kind whose API is versioned by its caller.
pub(super) const AZURE: &str = "azure";
