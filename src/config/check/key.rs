//! `tenants` and `keys`.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, UNIX_EPOCH};

use sha2::{Digest, Sha256};

use super::cache::{self, Gateway};
use super::limits::rules;
use super::{Form, PLAIN, check_name, check_names, unknown, weights};
use crate::config::problem::Problems;
use crate::config::{Config, DEMO_KEY, Key, Permission, Tenant, read, written};

/// Every tenant, if all are right.
pub(super) fn tenants(written: &written::Written, problems: &mut Problems) -> Option<Vec<Tenant>> {
    let names: Vec<&str> = written.tenants.iter().map(|tenant| tenant.name.as_str()).collect();
    check_names("tenants", &names, PLAIN, problems);
    let one = |(i, tenant): (usize, &written::Tenant)| {
        let at = format!("tenants[{i}]");
        let rules = rules(tenant.limits.as_ref(), tenant.budget_usd.as_ref(), &at, problems)?;
        Some(Tenant { name: tenant.name.clone(), rules })
    };
    let checked: Vec<_> = written.tenants.iter().enumerate().map(one).collect();
    checked.into_iter().collect()
}

/// Every key, if all are right.
pub(super) fn keys(
    written: &written::Written,
    form: Form,
    listen: Option<SocketAddr>,
    problems: &mut Problems,
) -> Option<Vec<Rc<Key>>> {
    let names: Vec<&str> = written.keys.iter().map(|key| key.name.as_str()).collect();
    check_names("keys", &names, PLAIN, problems);
    let demo = match (written.demo_key, listen) {
        (written::DemoKey::Loopback, Some(address)) if !address.ip().is_loopback() => Demo::Refused,
        _ => Demo::Taken,
    };
    let digests: Vec<_> = written
        .keys
        .iter()
        .enumerate()
        .map(|(i, key)| problems.keep(format!("keys[{i}].sha256"), digest(&key.sha256, demo)))
        .collect();
    for (i, digest) in digests.iter().enumerate().filter(|(_, digest)| digest.is_some()) {
        if let Some(first) = digests.iter().position(|other| other == digest).filter(|first| *first < i) {
            problems.note(format!("keys[{i}].sha256"), format!("is the digest of keys[{first}] too"));
        }
    }
    let known = Known {
        tenants: written.tenants.iter().map(|tenant| tenant.name.as_str()).collect(),
        models: written.models.iter().map(|model| model.name.as_str()).collect(),
        vendors: written.vendors.iter().map(|vendor| vendor.name.as_str()).collect(),
        form,
        cache: Gateway::of(written.cache.as_ref()),
    };
    let keys = written.keys.iter().zip(digests).enumerate();
    let checked: Vec<_> =
        keys.map(|(i, (key, sha256))| one_key(key, sha256, &format!("keys[{i}]"), &known, problems)).collect();
    checked.into_iter().map(|key| key.map(Rc::new)).collect()
}

/// The names that a key may refer to.
struct Known<'a> {
    tenants: Vec<&'a str>,
    models: Vec<&'a str>,
    vendors: Vec<&'a str>,
    form: Form,
    cache: Gateway,
}

/// One key, whose name and digest were checked by the caller.
fn one_key(
    written: &written::Key,
    sha256: Option<[u8; 32]>,
    at: &str,
    known: &Known,
    problems: &mut Problems,
) -> Option<Key> {
    let tenant = written.tenant.as_ref().map(|name| {
        let position = known.tenants.iter().position(|tenant| tenant == name);
        let index = position.ok_or_else(|| unknown("tenant", name, known.tenants.iter().copied()));
        problems.keep(field(at, "tenant"), index)
    });
    let models = permission("model", written.models.as_deref(), &known.models, at, known.form, problems);
    let vendors = permission("vendor", written.vendors.as_deref(), &known.vendors, at, known.form, problems);
    let expires = written.expires.as_ref().map(|text| problems.keep(field(at, "expires"), moment(text)));
    let rules = rules(written.limits.as_ref(), written.budget_usd.as_ref(), at, problems);
    let cache = cache::own(written.cache.as_ref(), &field(at, "cache"), known.cache, problems);
    let weights = written.weights.as_ref().map(|own| weights(own, &field(at, "weights"), problems));
    Some(Key {
        name: written.name.clone(),
        sha256: sha256?,
        cache,
        weights,
        tenant: tenant.map_or(Some(None), |tenant| tenant.map(Some))?,
        models: models?,
        vendors: vendors?,
        expires: expires.map_or(Some(None), |expires| expires.map(Some))?,
        enabled: written.enabled,
        admin: written.admin,
        rules: rules?,
    })
}

impl Config {
    /// A key that is kept elsewhere: a JSON object like one of `keys`, but for the digest, by which it was found. A vendor
    /// that it names may have been left out for want of a credential, so that it is not known here.
    pub fn stored_key(&self, sha256: [u8; 32], json: &[u8]) -> Result<Key, Problems> {
        // To the reader, an array of the fields in their order would be as good.
        if json.trim_ascii_start().first() != Some(&b'{') {
            return Err(Problems::one("", "must be a JSON object"));
        }
        let (written, mut problems): (written::Key, Problems) = read::json(json)?;
        check_name("name", &written.name, PLAIN, &mut problems);
        if !written.sha256.is_empty() {
            problems.note("sha256", "a stored key has none: it is found by it");
        }
        let known = Known {
            tenants: self.tenants.iter().map(|tenant| tenant.name.as_str()).collect(),
            models: self.models.iter().map(|model| model.name.as_str()).collect(),
            vendors: self.vendors.iter().map(|vendor| vendor.name.as_str()).collect(),
            form: Form::File,
            // It may be meant for another gateway, too.
            cache: Gateway::Keeps,
        };
        let key = one_key(&written, Some(sha256), "", &known, &mut problems);
        key.filter(|_| problems.is_empty()).ok_or(problems)
    }
}

/// Whether the demo key may be one of the keys.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Demo {
    Taken,
    Refused,
}

/// The text is not repeated: somebody may have put the key itself here.
fn digest(text: &str, demo: Demo) -> Result<[u8; 32], String> {
    let digest = from_hex(text).ok_or("must be 64 hex digits; `weir key` makes a key and prints them")?;
    if demo == Demo::Refused && digest == <[u8; 32]>::from(Sha256::digest(DEMO_KEY)) {
        return Err("this is the demo key, which everybody knows: it is only taken while `listen` is a loopback \
                    address; make a key with `weir key`"
            .to_owned());
    }
    Ok(digest)
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let nibbles: Option<Vec<u8>> = text.chars().map(|c| c.to_digit(16).and_then(|n| u8::try_from(n).ok())).collect();
    let bytes: Vec<u8> =
        nibbles?.chunks(2).map(|pair| pair.iter().fold(0, |byte, nibble| byte << 4 | nibble)).collect();
    bytes.try_into().ok().filter(|_| text.len() == 64)
}

/// Which of the known models or vendors are named. In the rendered form nobody may be left, like in a model.
fn permission(
    what: &str,
    names: Option<&[String]>,
    known: &[&str],
    at: &str,
    form: Form,
    problems: &mut Problems,
) -> Option<Permission> {
    let Some(names) = names else { return Some(Permission::All) };
    if names.is_empty() && form == Form::File {
        problems.note(field(at, &format!("{what}s")), format!("allows nothing; leave it out to allow every {what}"));
    }
    let mut indices = Vec::new();
    for (i, name) in names.iter().enumerate() {
        let position = known.iter().position(|known| known == name);
        let index = position.ok_or_else(|| unknown(what, name, known.iter().copied()));
        let index = problems.keep(field(at, &format!("{what}s[{i}]")), index);
        if index.is_some() && indices.contains(&index) {
            problems.note(field(at, &format!("{what}s[{i}]")), "is listed twice");
        }
        indices.push(index);
    }
    indices.into_iter().collect::<Option<Vec<usize>>>().map(Permission::Only)
}

/// Since the Unix epoch.
fn moment(text: &str) -> Result<Duration, String> {
    let moment = humantime::parse_rfc3339(text).ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    moment.ok_or_else(|| "must be a moment in UTC, for example 2027-01-31T00:00:00Z".to_owned())
}

/// The path of a field of the thing at `at`; a stored key stands alone.
fn field(at: &str, name: &str) -> String {
    if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") }
}

#[cfg(test)]
mod tests {
    use crate::config::{Permission, parse_json};
    use crate::test;

    #[test]
    fn a_stored_key_is_checked_like_one_of_the_file() {
        let config = r#"{"vendors":[{"name":"e","kind":"echo"}],
            "models":[{"name":"m","serve":[{"vendor":"e"}]},{"name":"n","serve":[{"vendor":"e"}]}]}"#;
        let config = parse_json(config.as_bytes()).unwrap();
        let key = config.stored_key([7; 32], br#" {"name":"a","models":["n"]}"#).unwrap();
        assert_eq!((key.name.as_str(), key.sha256, key.models), ("a", [7; 32], Permission::Only(vec![1])));
        assert!(config.stored_key([7; 32], br#"{"name":"a"}"#).is_ok_and(|key| key.models == Permission::All));
        for (json, problem) in [
            ("", "must be a JSON object"),
            ("null", "must be a JSON object"),
            (r#"["a"]"#, "must be a JSON object"),
            ("{}", "name: missing"),
            (r#"{"name":"a b"}"#, "name: must be 1 to 64 letters, digits or any of ._-"),
            (r#"{"name":"a","models":[]}"#, "models: allows nothing; leave it out to allow every model"),
            (r#"{"name":"","models":["x"]}"#, "name: missing\nmodels[0]: there is no model \"x\", only m, n"),
            (r#"{"name":"a","sha256":"00"}"#, "sha256: a stored key has none: it is found by it"),
            (r#"{"name":"a","model":["m"]}"#, "model: unknown key"),
        ] {
            assert_eq!(config.stored_key([7; 32], json.as_bytes()).unwrap_err().to_string(), problem, "{json}");
        }
        for json in ["{", "{}}", r#"{"name":"a"}x"#, r#"{"name":1}"#, "\u{feff}{}"] {
            assert!(config.stored_key([7; 32], json.as_bytes()).is_err(), "{json}");
        }
    }
}
