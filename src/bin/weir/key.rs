//! `weir key`: a client key, which is shown once, and its digest, which is kept.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

/// A new key and what to do with it.
pub fn make() -> Result<String, String> {
    let mut secret = [0; SECRET];
    getrandom::fill(&mut secret).map_err(|error| format!("this system gives no random numbers: {error}"))?;
    let key = [PREFIX, &BASE64_URL_SAFE_NO_PAD.encode(secret)].concat();
    let digest: String = Sha256::digest(&key).iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!(
        "key:    {key}
sha256: {digest}

Give the key to its user, it is not kept anywhere. Put this into weir.yaml:

keys:
  - name: NAME
    sha256: {digest}
"
    ))
}

/// 256 bits: a digest without salt and stretching is safe only if guessing is hopeless.
const SECRET: usize = 32;
/// By which scanners for leaked secrets recognise a key.
const PREFIX: &str = "weir_";
