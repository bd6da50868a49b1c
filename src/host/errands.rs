//! Calls that the worker makes in the name of many streams.
//!
//! Envoy gives the answer to a call to the context in whose callback it was made, and to nobody if that is gone. Streams
//! go; so these calls are made in a callback of the gateway role's root. A stream that wants one rings, as for Redis: it
//! puts a byte into a shared queue that only this worker's root reads, and Envoy calls the root as soon as the stream's
//! callback is over.

use std::cell::RefCell;
use std::collections::HashMap;

use proxy_wasm::hostcalls;

use crate::flow::call::{Call, Outcome};
use crate::flow::{Head, pool};
use crate::host::{calls, waiting, worker};

#[derive(Default)]
struct Errands {
    bell: Option<u32>,
    to_do: Vec<Call>,
    /// Envoy's number of each call, and the worker's.
    numbers: HashMap<u32, usize>,
}

thread_local! {
    static ERRANDS: RefCell<Errands> = RefCell::default();
    /// The name of this VM's queue. All VMs of all workers register theirs in one place.
    static QUEUE: String = format!("weir-errands-{}-{:x}", worker::clock().as_nanos(), worker::random());
}

/// A root context of the gateway role is there to be called.
pub fn open() {
    let bell = hostcalls::register_shared_queue(&QUEUE.with(String::clone)).ok();
    ERRANDS.with_borrow_mut(|errands| errands.bell = bell);
}

/// Makes a call as soon as the root is called; if the bell is broken, at its next tick.
pub fn run(call: Call) {
    ERRANDS.with_borrow_mut(|errands| {
        errands.to_do.push(call);
        if let Some(bell) = errands.bell {
            let _ = hostcalls::enqueue_shared_queue(bell, Some(b"!"));
        }
    });
}

/// The bell rang, or time has passed: the root with this number is called.
pub fn make(root: u32) {
    let (bell, to_do) = ERRANDS.with_borrow_mut(|errands| (errands.bell, std::mem::take(&mut errands.to_do)));
    while bell.is_some_and(|bell| matches!(hostcalls::dequeue_shared_queue(bell), Ok(Some(_)))) {}
    for call in to_do {
        match calls::dispatch(&call) {
            Some(token) => ERRANDS.with_borrow_mut(|errands| {
                errands.numbers.insert(token, call.number);
            }),
            None => tell(root, call.number, None),
        }
    }
}

/// A call has ended. `false` if it was none of these.
pub fn ended(root: u32, token: u32, headers: usize, size: usize) -> bool {
    let number = ERRANDS.with_borrow_mut(|errands| errands.numbers.remove(&token));
    if let Some(number) = number {
        tell(root, number, calls::outcome(headers, size));
    }
    number.is_some()
}

fn tell(root: u32, number: usize, outcome: Outcome) {
    let news = worker::with_world(root, Head::default, |world| pool::returned(number, outcome, world));
    waiting::tell(root, news.unwrap_or_default());
}
