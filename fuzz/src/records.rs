//! Records: what Redis answers, and what is kept there and in the memory that workers share.

use std::cell::RefCell;
use std::time::Duration;

use weir::cache::l1::{L1, NotKept, SET_BYTES};
use weir::cache::{Entry, Key, Normal, key};
use weir::chat::Request;
use weir::config::{Config, parse_yaml};
use weir::redis::Reply;
use weir::redis::resp::{Nonsense, Parser};
use weir::store::{Memory, Store};

use super::cuts;

/// Replies are the same however the bytes are cut.
pub(crate) fn replies(bytes: &[u8]) {
    let whole = read(&[bytes]);
    for pieces in cuts(bytes) {
        match (&whole, read(&pieces)) {
            // What was whole before the nonsense depends on what came together.
            (Err(one), Err(other)) => assert_eq!(*one, other),
            (one, other) => assert_eq!(*one, other, "other replies when cut"),
        }
    }
}

fn read(pieces: &[&[u8]]) -> Result<(Vec<Reply>, bool), Nonsense> {
    let mut parser = Parser::default();
    let mut replies = Vec::new();
    for piece in pieces {
        replies.extend(parser.feed(piece)?);
    }
    Ok((replies, parser.is_between_replies()))
}

/// A kept answer is what was kept under this key, or none; and what was read would be written as it stood.
pub(crate) fn kept_answer(bytes: &[u8]) {
    let key = a_key();
    if let Some(entry) = Entry::decode(&key, bytes) {
        assert_eq!(entry.encode(&key), bytes);
    }
    // No fuzzer finds 32 bytes of a key and 16 of a checksum: they are given to it.
    let record = [&[1], key.bytes().as_slice(), bytes, &[0; 16]].concat();
    if let Some(entry) = Entry::read(&key, &record) {
        let written = entry.encode(&key);
        assert_eq!(written.get(..written.len() - 16), record.get(..record.len() - 16), "another record");
        assert_eq!(Entry::decode(&key, &written), Some(entry));
    }
}

fn a_key() -> Key {
    let body = br#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#;
    let request = Request::parse(body.to_vec()).unwrap_or_else(|refusal| panic!("{}", refusal.message));
    key("key:a", "m", &request, Normal::default())
}

/// Whatever an index says, what is kept next is found, and the set stays within its bytes.
pub(crate) fn kept_index(bytes: &[u8]) {
    let store = Shelf::default();
    store.save("cache/set/0", bytes, None);
    let (l1, key, now) = (L1::new(SET_BYTES as u64), [7; 32], Duration::from_secs(1_800_000_000));
    assert!(l1.lookup(&store, &key, now).is_none(), "nothing was kept");
    let kept = vec![b'x'; 1 + bytes.len() * 37 % 20_000];
    match l1.insert(&store, &key, &kept, now + Duration::from_secs(60), now) {
        Ok(_) => assert_eq!(l1.lookup(&store, &key, now), Some(kept)),
        Err(why) => assert_eq!(why, NotKept::Retired),
    }
    let held: usize = store.sizes.borrow().iter().map(|(_, size)| size).sum();
    assert!(held <= SET_BYTES + bytes.len(), "{held} bytes are kept in a set");
    let _ = l1.usage(&store, now);
    l1.remove(&store, &key);
    assert!(l1.lookup(&store, &key, now).is_none(), "what was removed is found");
}

/// A store that knows how much is in it.
#[derive(Default)]
struct Shelf {
    memory: Memory,
    sizes: RefCell<Vec<(String, usize)>>,
}

impl Store for Shelf {
    fn load(&self, name: &str) -> (Option<Vec<u8>>, Option<u32>) {
        self.memory.load(name)
    }

    fn save(&self, name: &str, record: &[u8], stamp: Option<u32>) -> bool {
        let saved = self.memory.save(name, record, stamp);
        if saved {
            let mut sizes = self.sizes.borrow_mut();
            sizes.retain(|(known, _)| known != name);
            sizes.push((name.to_owned(), record.len()));
        }
        saved
    }
}

/// A client's key, as it is kept in Redis: a good one, or every mistake with a text.
pub(crate) fn kept_key(bytes: &[u8]) {
    thread_local! {
        static CONFIG: Config = parse_yaml(CONFIGURED).unwrap_or_else(|problems| panic!("{problems}"));
    }
    CONFIG.with(|config| match config.stored_key([7; 32], bytes) {
        Ok(key) => assert!(key.sha256 == [7; 32] && !key.name.is_empty()),
        Err(problems) => assert!(!problems.is_empty() && !problems.to_string().trim().is_empty()),
    });
}

const CONFIGURED: &str = r#"
listen: 127.0.0.1:3000
vendors: [{name: echo, kind: echo}]
models: [{name: echo, serve: [{vendor: echo}]}]
redis: {urls: ["redis://127.0.0.1:6379"]}
tenants: [{name: t}]
"#;
