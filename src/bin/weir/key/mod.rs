//! `weir key`: client keys. A key is shown once, when it is made, and only its digest is kept: in `weir.yaml`, or
//! ([`kept`]) in Redis, where it works at once and for every gateway that shares it.

mod entry;
mod kept;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use clap::Subcommand;
use sha2::{Digest, Sha256};

use crate::File;
use entry::Entry;

/// What is to be done with keys in Redis.
#[derive(Subcommand)]
pub enum Deed {
    /// Make a key that Redis keeps, and show it
    Add {
        #[command(flatten)]
        file: File,
        #[command(flatten)]
        entry: Box<Entry>,
    },
    /// Take a key out of Redis
    Revoke {
        #[command(flatten)]
        file: File,
        /// The key's name, or its SHA-256 in hex
        key: String,
    },
    /// Show the keys that Redis keeps
    List {
        #[command(flatten)]
        file: File,
    },
}

impl Deed {
    /// Does it; what is to be printed.
    pub fn carry_out(self) -> Result<String, String> {
        let open = |file: File| kept::Keys::open(&file.config);
        match self {
            Deed::Add { file, entry } => {
                let key = Fresh::make()?;
                open(file)?.add(&entry.to_json()?, &key.sha256)?;
                Ok(format!("{key}\nGive the key to its user, it is not kept anywhere: Redis has its digest.\n"))
            }
            Deed::Revoke { file, key } => open(file)?.revoke(&key),
            Deed::List { file } => open(file)?.list(),
        }
    }
}

/// A new key and what to do with it.
pub fn make() -> Result<String, String> {
    let key = Fresh::make()?;
    let sha256 = &key.sha256;
    Ok(format!(
        "{key}
Give the key to its user, it is not kept anywhere. Put this into weir.yaml:

keys:
  - name: NAME
    sha256: {sha256}
"
    ))
}

/// A key that nobody has seen yet.
struct Fresh {
    key: String,
    /// In hex.
    sha256: String,
}

impl Fresh {
    fn make() -> Result<Fresh, String> {
        let mut secret = [0; SECRET];
        getrandom::fill(&mut secret).map_err(|error| format!("this system gives no random numbers: {error}"))?;
        let key = [PREFIX, &BASE64_URL_SAFE_NO_PAD.encode(secret)].concat();
        let sha256 = Sha256::digest(&key).iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Fresh { key, sha256 })
    }
}

impl std::fmt::Display for Fresh {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "key:    {}\nsha256: {}", self.key, self.sha256)
    }
}

/// 256 bits: a digest without salt and stretching is safe only if guessing is hopeless.
const SECRET: usize = 32;
/// By which scanners for leaked secrets recognise a key.
const PREFIX: &str = "weir_";
