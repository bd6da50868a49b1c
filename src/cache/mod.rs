//! The answer cache: an answer that was paid for once is given again to whoever asks for the same.
//!
//! Here is what the cache believes, without a place to keep anything: what "the same" means ([`key()`]), what is kept
//! of an answer and how long it is good for ([`Entry`]), and which answers are worth keeping ([`keepable`]).
//!
//! Two requests are the same if their answers come from the same distribution. So the key holds everything that can
//! change an answer, a field that nobody documented included, and leaves out what cannot: how the JSON is spelled,
//! whether the answer is streamed, who asks, where the vendor keeps its books. In doubt a field is in: a wrong hit
//! gives somebody another question's answer, a wrong miss costs what no cache would have saved.
//!
//! Who shares answers is the *scope*, a part of the key: a key, a tenant, or all. Nothing is ever looked up by less
//! than a whole key, and an entry carries the key that it was kept under, so one tenant cannot read another's answers
//! even if the store mixes them up.
//!
//! An entry may come from another version, from another gateway whose clock is wrong, or from a store that lost half of
//! it. Whatever is not exactly what was written is no entry; nothing here fails, a request just goes to its vendor.

mod entry;
mod keepable;
mod key;
pub mod l1;
pub mod lease;
mod normal;
mod rule;

pub use entry::{Entry, MAX_BYTES};
pub use keepable::{Unfit, deterministic, keepable};
pub use key::{Key, key};
pub use normal::Normal;
pub use rule::{Only, Rule, Rules, Scope};

#[cfg(all(test, not(target_family = "wasm")))]
mod laws;
