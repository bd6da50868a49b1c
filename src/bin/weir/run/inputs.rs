//! What a configuration is made from: the file, and the files that it names.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sha2::{Digest, Sha256};
use weir::config::Secret;
use weir::unit::hex;

use crate::site::Site;

/// The state of all of it at one moment. Two that are the same make the same configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inputs {
    text: Option<Vec<u8>>,
    files: Vec<(PathBuf, Option<Stamp>)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    length: u64,
    modified: Option<SystemTime>,
}

impl Inputs {
    /// Looks at a configuration file and at the files with credentials that it named when it was last read, those that
    /// were not there included.
    pub fn look(file: &Path, site: &Site) -> Inputs {
        let present = site.config.vendors.iter().filter_map(|vendor| vendor.credential.as_ref());
        let secrets = present.chain(site.left_out.iter().map(|out| &out.missing));
        let named = secrets.filter_map(|secret| match secret {
            Secret::File(path) => Some(PathBuf::from(path)),
            Secret::Env(_) => None,
        });
        Inputs { text: fs::read(file).ok(), files: named.map(|path| (path.clone(), stamp(&path))).collect() }
    }

    /// Whether the configuration file is the same.
    pub fn has_the_text_of(&self, other: &Inputs) -> bool {
        self.text == other.text
    }

    /// The version that Envoy is told: the first part of a digest.
    pub fn version(&self) -> String {
        version(self.text.as_deref().unwrap_or_default())
    }
}

/// The version of a configuration of this text.
pub fn version(text: &[u8]) -> String {
    hex(Sha256::digest(text).get(..6).unwrap_or_default())
}

fn stamp(path: &Path) -> Option<Stamp> {
    let file = fs::metadata(path).ok()?;
    Some(Stamp { length: file.len(), modified: file.modified().ok() })
}
