//! The bell: whoever rings it has the gateway role's root called as soon as the present callback is over.
//!
//! It is a shared queue that only this worker's root reads; what is in it does not matter.

use std::cell::Cell;

use proxy_wasm::hostcalls;

use crate::host::worker;

/// How many streams are told something in one callback. What a stream does then, Envoy carries out after the callback,
/// and the next stream's within that of the one before: with some four hundred at once, the stack of a worker ends.
pub const AT_ONCE: usize = 16;

thread_local! {
    static BELL: Cell<Option<Bell>> = const { Cell::new(None) };
    /// The name of this VM's queue. All VMs of all workers register theirs in one place.
    static QUEUE: String = format!("weir-bell-{}-{:x}", worker::clock().as_nanos(), worker::random());
}

#[derive(Clone, Copy)]
struct Bell {
    root: u32,
    /// The queue, unless Envoy did not give one: then the root's tick is all there is.
    queue: Option<u32>,
    rung: bool,
}

/// From here on, the root context that is called now, which has this number, is the one to be called.
pub fn hang(root: u32) {
    let queue = hostcalls::register_shared_queue(&QUEUE.with(String::clone)).ok();
    BELL.set(Some(Bell { root, queue, rung: false }));
}

/// Which root is the one to be called, if any is.
pub fn whose() -> Option<u32> {
    BELL.get().map(|bell| bell.root)
}

/// A root goes.
pub fn take_down(root: u32) {
    if whose() == Some(root) {
        BELL.set(None);
    }
}

/// Has the root called, if nobody has yet.
pub fn ring() {
    if let Some(bell @ Bell { queue: Some(queue), rung: false, .. }) = BELL.get() {
        BELL.set(Some(Bell { rung: hostcalls::enqueue_shared_queue(queue, Some(b"!")).is_ok(), ..bell }));
    }
}

/// The root is called, by this queue.
pub fn answered(queue: u32) {
    while let Ok(Some(_)) = hostcalls::dequeue_shared_queue(queue) {}
    forget();
}

/// Whatever was rung, the root is called now, so that nothing depends on it.
pub fn forget() {
    BELL.set(BELL.get().map(|bell| Bell { rung: false, ..bell }));
}
