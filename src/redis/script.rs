//! Scripts, which Redis knows by their digest once it has seen them.

use std::sync::OnceLock;

use sha1::{Digest, Sha1};

use crate::unit::hex;

/// A Lua script.
#[derive(Debug)]
pub struct Script {
    source: &'static str,
    sent: OnceLock<Sent>,
}

#[derive(Debug)]
struct Sent {
    text: String,
    digest: String,
}

impl Script {
    /// The script with this source.
    pub const fn new(source: &'static str) -> Script {
        Script { source, sent: OnceLock::new() }
    }

    /// Its text, without what only its readers need.
    pub fn text(&self) -> &str {
        &self.sent().text
    }

    /// By which Redis knows it: the SHA-1 of its text in hex.
    pub fn digest(&self) -> &str {
        &self.sent().digest
    }

    fn sent(&self) -> &Sent {
        self.sent.get_or_init(|| {
            let lines = self.source.lines().map(str::trim);
            let text = lines.filter(|line| !line.is_empty() && !line.starts_with("--")).collect::<Vec<_>>().join("\n");
            let digest = hex(&Sha1::digest(text.as_bytes()));
            Sent { text, digest }
        })
    }
}

impl PartialEq for Script {
    fn eq(&self, other: &Script) -> bool {
        self.source == other.source
    }
}

impl Eq for Script {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test;

    #[test]
    fn is_sent_without_its_comments() {
        let script = Script::new("-- why\n  return 1\n\nreturn 2 -- both\n");
        assert_eq!(script.text(), "return 1\nreturn 2 -- both");
        assert_eq!(Script::new("return 1").digest(), "e0e1f9fabfc9d4800c877a703b823ac0578ff8db", "as SCRIPT LOAD says");
    }
}
