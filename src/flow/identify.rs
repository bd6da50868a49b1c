//! Who is calling, wherever the key is kept.
//!
//! A key of the file is known at once, and Redis is never asked about it. Any other digest is looked up in Redis, if
//! there is one: as `weir:key:` and the digest in hex, a JSON object like an entry of the file's `keys`. What Redis says
//! is remembered for a moment ([`auth::memory`]); what it cannot say because it is absent, it said earlier, or the
//! client is told to try again - never that its key is wrong.

use std::rc::Rc;

use crate::auth::{self, Digest, Recalled};
use crate::config::Key;
use crate::flow::{Effect, Head, World};
use crate::redis::{Command, Reply};
use crate::refusal::Refusal;

/// What a request's headers say of its key.
#[derive(Debug)]
pub enum Identity {
    /// It is this one, and it may be used now.
    Known(Rc<Key>),
    /// Redis has to be asked whose digest this is.
    Unknown(Digest),
}

/// The key that a request shows.
pub fn identify(head: &Head, world: &mut World<'_>) -> Result<Identity, Refusal> {
    let api_keys: Vec<_> = head.values("x-api-key").collect();
    let authorizations: Vec<_> = head.values("authorization").collect();
    let digest = auth::digest(auth::shown(&api_keys, &authorizations)?);
    let now = world.now();
    let key = match auth::identify(&world.config.keys, &digest) {
        Some(key) => Rc::clone(key),
        None if world.config.redis.is_none() => return Err(stranger()),
        None => match world.keys.recall(&digest, now) {
            Recalled::Key(key) => key,
            Recalled::Nobody => return Err(stranger()),
            Recalled::Stale(_) | Recalled::Nothing => return Ok(Identity::Unknown(digest)),
        },
    };
    auth::check(&key, now).map(|()| Identity::Known(key))
}

/// What to ask Redis.
pub fn question(digest: &Digest) -> Effect {
    Effect::Ask(vec![Command::new(&[b"GET", auth::place(digest).as_bytes()])])
}

/// What Redis says: the key, or why there is none. The operator is told of what is there and no key.
pub fn conclude(
    digest: Digest,
    replies: Option<Vec<Reply>>,
    world: &mut World<'_>,
) -> (Result<Rc<Key>, Refusal>, Vec<Effect>) {
    let now = world.now();
    let (key, warning) = match heard(&digest, replies, world) {
        Heard::Nothing => match world.keys.recall(&digest, now) {
            Recalled::Key(key) | Recalled::Stale(key) => (Ok(key), Vec::new()),
            Recalled::Nobody => (Err(stranger()), Vec::new()),
            Recalled::Nothing => (Err(Refusal::key_store_absent()), Vec::new()),
        },
        Heard::Key(key) => {
            world.keys.learn(digest, Some(&key), now);
            (Ok(key), Vec::new())
        }
        Heard::Nobody(warning) => {
            world.keys.learn(digest, None, now);
            (Err(stranger()), warning.map(|text| Effect::Log(log::Level::Warn, text)).into_iter().collect())
        }
    };
    (key.and_then(|key| auth::check(&key, now).map(|()| key)), warning)
}

enum Heard {
    Nothing,
    Key(Rc<Key>),
    Nobody(Option<String>),
}

fn heard(digest: &Digest, replies: Option<Vec<Reply>>, world: &World<'_>) -> Heard {
    let Some(reply) = replies.and_then(|replies| replies.into_iter().next()) else { return Heard::Nothing };
    if reply.unheard().is_some() {
        return Heard::Nothing;
    }
    let problem = match reply {
        Reply::Nil => return Heard::Nobody(None),
        Reply::Bulk(json) => match world.config.stored_key(*digest, &json) {
            Ok(key) => return Heard::Key(Rc::new(key)),
            Err(problems) => problems.to_string(),
        },
        Reply::Error(text) => text,
        Reply::Text(_) | Reply::Integer(_) | Reply::Array(_) => "not a string".to_owned(),
    };
    let problem: String = problem.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST_PROBLEM).collect();
    Heard::Nobody(Some(format!("the key {}.. in Redis is refused: {problem}", auth::hint(digest))))
}

fn stranger() -> Refusal {
    Refusal::unauthorized("this API key is not known")
}

/// In characters: some mistakes, not a page of them.
const LONGEST_PROBLEM: usize = 300;
