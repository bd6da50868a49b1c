//! Calls that the worker makes in the name of many streams.
//!
//! Envoy gives the answer to a call to the context in whose callback it was made, and to nobody if that is gone. Streams
//! go; so these calls are made in a callback of the gateway role's root, for which a stream that wants one rings.

use std::cell::RefCell;
use std::collections::HashMap;

use crate::flow::call::{Call, Outcome};
use crate::flow::{Head, pool};
use crate::host::{bell, calls, waiting, worker};

#[derive(Default)]
struct Errands {
    to_do: Vec<Call>,
    /// Envoy's number of each call; the root that made it, and the worker's number.
    under_way: HashMap<u32, (u32, usize)>,
}

thread_local! {
    static ERRANDS: RefCell<Errands> = RefCell::default();
}

/// Makes a call as soon as the root is called; if the bell is broken, at its next tick.
pub fn run(call: Call) {
    ERRANDS.with_borrow_mut(|errands| errands.to_do.push(call));
    bell::ring();
}

/// The bell rang, or time has passed: the root with this number is called.
pub fn make(root: u32) {
    let to_do = ERRANDS.with_borrow_mut(|errands| std::mem::take(&mut errands.to_do));
    for call in to_do {
        match calls::dispatch(&call) {
            Some(token) => ERRANDS.with_borrow_mut(|errands| {
                errands.under_way.insert(token, (root, call.number));
            }),
            None => tell(root, call.number, None),
        }
    }
}

/// Whether a call of this root's is under way.
pub fn calls(root: u32) -> bool {
    ERRANDS.with_borrow(|errands| errands.under_way.values().any(|(caller, _)| *caller == root))
}

/// A call has ended. `false` if it was none of these.
pub fn ended(root: u32, token: u32, headers: usize, size: usize) -> bool {
    let call = ERRANDS.with_borrow_mut(|errands| errands.under_way.remove(&token));
    if let Some((_, number)) = call {
        tell(root, number, calls::outcome(headers, size));
    }
    call.is_some()
}

fn tell(root: u32, number: usize, outcome: Outcome) {
    let news = worker::with_world(root, None, Head::default, |world| pool::returned(number, outcome, world));
    waiting::tell(news.unwrap_or_default());
}
