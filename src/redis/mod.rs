//! Redis, as far as it can be known without a connection: commands and replies.
//!
//! Weir speaks RESP2, because that is what Envoy's Redis proxy speaks. A command is a list of byte strings; a reply is
//! a tree, and an error can sit anywhere in it: when one node of a cluster is gone, an array holds its error beside the
//! values of the others.

/// A command: its name, then its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command(pub Vec<Vec<u8>>);

impl Command {
    /// A command of these words.
    pub fn new(words: &[&[u8]]) -> Command {
        Command(words.iter().map(|word| word.to_vec()).collect())
    }
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
