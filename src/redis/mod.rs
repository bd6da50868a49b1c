//! Redis, as far as it can be known without a connection: commands and replies.
//!
//! Weir speaks RESP2, because that is what Envoy's Redis proxy speaks. A command is a list of byte strings; a reply is
//! a tree, and an error can sit anywhere in it: when one node of a cluster is gone, an array holds its error beside the
//! values of the others.
//!
//! [`resp`] is the language, [`line`] decides what is said when, [`breaker`] whether anything is, after how the last calls
//! ended ([`ending`]). How the bytes travel is `src/host`'s affair.

pub mod breaker;
pub mod ending;
pub mod line;
pub mod resp;
mod script;

pub use script::Script;

/// The cluster by which Envoy leads a pipeline of commands to Redis.
pub const BRIDGE: &str = "weir_redis_bridge";

/// A command: its name, then its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    script: Option<&'static Script>,
    words: Vec<Vec<u8>>,
}

/// How a script is named in a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Naming {
    /// By its digest: short, but Redis may not know it.
    Digest,
    /// By its whole text.
    Text,
}

impl Command {
    /// A command of these words.
    pub fn new(words: &[&[u8]]) -> Command {
        Command { script: None, words: words.iter().map(|word| word.to_vec()).collect() }
    }

    /// Runs a script on these keys, with these arguments after them.
    pub fn script(script: &'static Script, keys: &[&str], arguments: impl IntoIterator<Item = String>) -> Command {
        let keys = std::iter::once(keys.len().to_string()).chain(keys.iter().map(|key| (*key).to_owned()));
        Command { script: Some(script), words: keys.chain(arguments).map(String::into_bytes).collect() }
    }

    /// Its words, the name first.
    pub fn words(&self, naming: Naming) -> impl ExactSizeIterator<Item = &[u8]> {
        let head = match (self.script, naming) {
            (None, _) => Vec::new(),
            (Some(script), Naming::Digest) => vec!["EVALSHA", script.digest()],
            (Some(script), Naming::Text) => vec!["EVAL", script.text()],
        };
        let words = head.into_iter().map(str::as_bytes).chain(self.words.iter().map(Vec::as_slice));
        words.collect::<Vec<_>>().into_iter()
    }
}

/// Whether Redis is there, as far as the last calls to it say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// It answers.
    Answers,
    /// It counts as absent until it answers a probe.
    Absent,
}

/// What Redis, or Envoy in its place, answers to one command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// `+OK`
    Text(String),
    /// `-ERR ..`; Envoy's own are `-upstream failure` and `-no upstream host`.
    Error(String),
    /// `:5`
    Integer(i64),
    /// `$3 abc`
    Bulk(Vec<u8>),
    /// `$-1` or `*-1`
    Nil,
    /// `*2 ..`
    Array(Vec<Reply>),
}

impl Reply {
    /// The error that says that the command was not carried out for now: Envoy did not reach Redis, or Redis is not fit
    /// to serve. Every other error is Redis's own judgement of the command, and would be the same next time. In an
    /// array one such error is enough.
    pub fn unheard(&self) -> Option<&str> {
        match self {
            Reply::Error(text) => UNHEARD.iter().any(|start| text.starts_with(start)).then_some(text),
            Reply::Array(items) => items.iter().find_map(Reply::unheard),
            _ => None,
        }
    }
}

impl Reply {
    /// Whether Redis does not know a script by its digest. It has done nothing, then.
    pub fn lacks_script(&self) -> bool {
        matches!(self, Reply::Error(text) if text.starts_with("NOSCRIPT"))
    }
}

/// How such errors begin: first Envoy's own, then those of Redis.
const UNHEARD: [&str; 16] = [
    "upstream failure",
    "upstream protocol error",
    "no upstream host",
    "finished with ",
    "LOADING",
    "BUSY ",
    "CLUSTERDOWN",
    "MASTERDOWN",
    "READONLY",
    "TRYAGAIN",
    "MOVED ",
    "ASK ",
    "NOAUTH",
    "WRONGPASS",
    "ERR max number of clients",
    "ERR AUTH",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test;

    #[test]
    fn tells_absence_from_judgement() {
        for (text, unheard) in [
            ("upstream failure", true),
            ("no upstream host", true),
            ("LOADING Redis is loading the dataset in memory", true),
            ("NOAUTH Authentication required.", true),
            ("WRONGTYPE Operation against a key holding the wrong kind of value", false),
            ("ERR unknown command", false),
            ("NOSCRIPT No matching script", false),
        ] {
            let reply = Reply::Error(text.to_owned());
            assert_eq!(reply.unheard().is_some(), unheard, "{text}");
            assert_eq!(Reply::Array(vec![Reply::Nil, reply]).unheard().is_some(), unheard, "{text}");
        }
        assert_eq!(Reply::Text("LOADING".to_owned()).unheard(), None);
    }
}
