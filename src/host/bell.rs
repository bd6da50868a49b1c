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
    queue: u32,
    rung: bool,
}

/// From here on, the root context that is called now is the one to be called.
pub fn hang() {
    let queue = hostcalls::register_shared_queue(&QUEUE.with(String::clone)).ok();
    BELL.set(queue.map(|queue| Bell { queue, rung: false }));
}

/// Has the root called, if nobody has yet.
pub fn ring() {
    if let Some(Bell { queue, rung: false }) = BELL.get() {
        BELL.set(Some(Bell { queue, rung: hostcalls::enqueue_shared_queue(queue, Some(b"!")).is_ok() }));
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
