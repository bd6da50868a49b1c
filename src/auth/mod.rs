//! Who is calling.
//!
//! A client shows its key once, as `x-api-key` or as `Authorization: Bearer`. Weir knows keys only by their SHA-256:
//! the digest of what was shown is compared with every configured one, all bytes of all of them, so the time taken says
//! nothing about how close a guess came. Keys that are kept in Redis are looked up there by the digest, and remembered
//! for a while ([`memory`]).

pub mod memory;

use std::rc::Rc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::config::Key;
use crate::refusal::Refusal;
use crate::unit::hex;
pub use memory::{Digest, Memory, Recalled};

/// The key that a request shows, out of the values of its `x-api-key` and `authorization` headers.
pub fn shown<'h>(api_keys: &[&'h str], authorizations: &[&'h str]) -> Result<&'h str, Refusal> {
    match (api_keys, authorizations) {
        ([], []) => {
            Err(Refusal::unauthorized("no API key: send it as \"x-api-key: KEY\" or \"authorization: Bearer KEY\""))
        }
        ([key], []) => Ok(key.trim()),
        ([], [value]) => {
            bearer(value).ok_or_else(|| Refusal::unauthorized("the authorization header must be \"Bearer KEY\""))
        }
        _ => Err(Refusal::malformed("more than one API key: send one, as x-api-key or as authorization, not both")),
    }
}

/// By what a key is known.
pub fn digest(secret: &str) -> Digest {
    Sha256::digest(secret.as_bytes()).into()
}

/// The key with this digest, in time that does not depend on the digest.
pub fn identify<'k>(keys: &'k [Rc<Key>], digest: &Digest) -> Option<&'k Rc<Key>> {
    let mut found = None;
    for key in keys {
        if same(&key.sha256, digest) {
            found = Some(key);
        }
    }
    found
}

/// Whether a key is taken now: it may be switched off, or its time may be over.
pub fn check(key: &Key, now: Duration) -> Result<(), Refusal> {
    if !key.enabled {
        return Err(Refusal::unauthorized("this API key is disabled"));
    }
    match key.expires {
        Some(expires) if expires <= now => Err(Refusal::unauthorized("this API key expired")),
        _ => Ok(()),
    }
}

/// Where Redis keeps the key with this digest.
pub fn place(digest: &Digest) -> String {
    format!("weir:key:{}", hex(digest))
}

/// What a log may say of a key that has no name: enough to find it, too little to be it.
pub fn hint(digest: &Digest) -> String {
    hex(digest).chars().take(8).collect()
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, secret) = value.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| secret.trim()).filter(|secret| !secret.is_empty())
}

/// Compares all bytes whatever the first ones say; `black_box` keeps the optimizer from stopping early.
fn same(a: &Digest, b: &Digest) -> bool {
    let difference = a.iter().zip(b).fold(0, |difference, (a, b)| difference | (a ^ b));
    std::hint::black_box(difference) == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Permission;
    use crate::test;

    #[test]
    fn takes_one_key_from_one_place() {
        for (api_keys, authorizations, expected) in [
            (&["k"][..], &[][..], Ok("k")),
            (&[], &["Bearer k"], Ok("k")),
            (&[], &["bearer  k "], Ok("k")),
            (&[], &[], Err(401)),
            (&[], &["Basic dTpw"], Err(401)),
            (&[], &["Bearer "], Err(401)),
            (&[], &["k"], Err(401)),
            (&["k"], &["Bearer k"], Err(400)),
            (&["k", "l"], &[], Err(400)),
            (&[], &["Bearer k", "Bearer l"], Err(400)),
        ] {
            let outcome = shown(api_keys, authorizations).map_err(|refusal| refusal.status);
            assert_eq!(outcome, expected, "{api_keys:?} {authorizations:?}");
        }
    }

    pub(super) fn key(name: &str, secret: &str) -> Key {
        Key {
            name: name.to_owned(),
            sha256: Sha256::digest(secret.as_bytes()).into(),
            tenant: None,
            models: Permission::All,
            vendors: Permission::All,
            expires: None,
            enabled: true,
            admin: false,
            rules: Rc::default(),
            cache: Default::default(),
            weights: None,
        }
    }

    #[test]
    fn a_key_has_its_time() {
        let now = Duration::from_secs(1_000);
        let (early, late) = (Some(Duration::from_secs(999)), Some(Duration::from_secs(1_001)));
        for (enabled, expires, expected) in [
            (true, None, None),
            (true, late, None),
            (true, Some(now), Some("this API key expired")),
            (true, early, Some("this API key expired")),
            (false, early, Some("this API key is disabled")),
            (false, None, Some("this API key is disabled")),
        ] {
            let outcome = check(&Key { enabled, expires, ..key("a", "one") }, now);
            let refusal = outcome.err();
            assert_eq!(refusal.as_ref().map(|refusal| refusal.message.as_str()), expected);
            assert!(refusal.is_none_or(|refusal| refusal.status == 401));
        }
    }

    #[test]
    fn a_digest_has_a_place() {
        let digest = digest("k");
        let place = place(&digest);
        assert_eq!(place, "weir:key:8254c329a92850f6d539dd376f4816ee2764517da5e0235514af433164480d7a");
        assert_eq!(hint(&digest), "8254c329");
    }

    #[test]
    fn finds_a_key_by_its_digest() {
        let key = |name, secret| Rc::new(key(name, secret));
        let keys = [key("a", "one"), key("b", "two")];
        let found = |keys, secret| identify(keys, &digest(secret)).map(|key| key.name.as_str());
        assert_eq!(found(&keys, "two"), Some("b"));
        assert_eq!(found(&keys, "three"), None);
        assert_eq!(found(&keys, ""), None);
        assert_eq!(found(&[], "one"), None);
    }
}
