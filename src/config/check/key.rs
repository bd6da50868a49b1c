//! `keys`.

use std::net::SocketAddr;
use std::rc::Rc;

use sha2::{Digest, Sha256};

use super::{PLAIN, check_names, unknown};
use crate::config::problem::Problems;
use crate::config::{DEMO_KEY, Key, Permission, written};
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
    let checked: Vec<_> = written
        .keys
        .iter()
        .zip(digests)
        .enumerate()
        .map(|(i, (key, sha256))| {
            let models = permission(key, &format!("keys[{i}].models"), &written.models, problems)?;
            Some(Rc::new(Key {
                name: key.name.clone(),
                sha256: sha256?,
                tenant: None,
                models,
                vendors: Permission::All,
                expires: None,
                enabled: true,
                admin: false,
                rules: Rules::default(),
            }))
        })
        .collect();
    checked.into_iter().collect()
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

fn permission(key: &written::Key, at: &str, models: &[written::Model], problems: &mut Problems) -> Option<Permission> {
    let Some(names) = &key.models else { return Some(Permission::All) };
    if names.is_empty() {
        problems.note(at, "allows nothing; leave it out to allow every model");
    }
    let mut indices = Vec::new();
    for (i, name) in names.iter().enumerate() {
        let position = models.iter().position(|model| model.name == *name);
        let index = position.ok_or_else(|| unknown("model", name, models.iter().map(|model| &*model.name)));
        indices.push(problems.keep(format!("{at}[{i}]"), index));
    }
    indices.into_iter().collect::<Option<Vec<usize>>>().map(Permission::Only)
}
