//! `keys`.

use std::net::SocketAddr;
use std::rc::Rc;

use sha2::{Digest, Sha256};

use super::{PLAIN, check_name, check_names, unknown};
use crate::config::problem::Problems;
use crate::config::{Config, DEMO_KEY, Key, Permission, read, written};
use crate::limit::Rules;

/// Every key, if all are right.
pub(super) fn keys(
    written: &written::Written,
    listen: Option<SocketAddr>,
    problems: &mut Problems,
) -> Option<Vec<Rc<Key>>> {
    let names: Vec<&str> = written.keys.iter().map(|key| key.name.as_str()).collect();
    check_names("keys", &names, PLAIN, problems);
    let digests: Vec<_> = written
        .keys
        .iter()
        .enumerate()
        .map(|(i, key)| problems.keep(format!("keys[{i}].sha256"), digest(&key.sha256, listen)))
        .collect();
    for (i, digest) in digests.iter().enumerate().filter(|(_, digest)| digest.is_some()) {
        if let Some(first) = digests.iter().position(|other| other == digest).filter(|first| *first < i) {
            problems.note(format!("keys[{i}].sha256"), format!("is the digest of keys[{first}] too"));
        }
    }
    let names = Names { models: written.models.iter().map(|model| model.name.as_str()).collect() };
    let checked: Vec<_> = written
        .keys
        .iter()
        .zip(digests)
        .enumerate()
        .map(|(i, (key, sha256))| one_key(key, sha256, &format!("keys[{i}]."), &names, problems).map(Rc::new))
        .collect();
    checked.into_iter().collect()
}

/// What a key may refer to, by name; the index of a name is that of the thing.
struct Names<'n> {
    models: Vec<&'n str>,
}

/// All of a key but its name and its digest, which are known not to be another's. Paths begin with `at`.
fn one_key(
    key: &written::Key,
    sha256: Option<[u8; 32]>,
    at: &str,
    names: &Names<'_>,
    problems: &mut Problems,
) -> Option<Key> {
    let models = permission("model", key.models.as_deref(), &format!("{at}models"), &names.models, problems)?;
    Some(Key {
        name: key.name.clone(),
        sha256: sha256?,
        tenant: None,
        models,
        vendors: Permission::All,
        expires: None,
        enabled: true,
        admin: false,
        rules: Rules::default(),
    })
}

impl Config {
    /// A key that is kept elsewhere: a JSON object like one of `keys`, but for the digest, by which it was found.
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
        let names = Names { models: self.models.iter().map(|model| model.name.as_str()).collect() };
        let key = one_key(&written, Some(sha256), "", &names, &mut problems);
        key.filter(|_| problems.is_empty()).ok_or(problems)
    }
}

/// The text is not repeated: somebody may have put the key itself here.
fn digest(text: &str, listen: Option<SocketAddr>) -> Result<[u8; 32], String> {
    let digest = from_hex(text).ok_or("must be 64 hex digits; `weir key` makes a key and prints them")?;
    let elsewhere = listen.is_some_and(|address| !address.ip().is_loopback());
    if elsewhere && digest == <[u8; 32]>::from(Sha256::digest(DEMO_KEY)) {
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

fn permission(
    what: &str,
    allowed: Option<&[String]>,
    at: &str,
    known: &[&str],
    problems: &mut Problems,
) -> Option<Permission> {
    let Some(names) = allowed else { return Some(Permission::All) };
    if names.is_empty() {
        problems.note(at, format!("allows nothing; leave it out to allow every {what}"));
    }
    let mut indices = Vec::new();
    for (i, name) in names.iter().enumerate() {
        let position = known.iter().position(|known| known == name);
        let index = position.ok_or_else(|| unknown(what, name, known.iter().copied()));
        indices.push(problems.keep(format!("{at}[{i}]"), index));
    }
    indices.into_iter().collect::<Option<Vec<usize>>>().map(Permission::Only)
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
