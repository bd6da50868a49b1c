//! The calls of streams: who made which, so that its answer finds its way.
//!
//! Envoy gives an answer to the context in whose callback the call was made. That is most often the stream itself; but a
//! stream that goes on in somebody else's callback, because Redis told it something, makes its calls there.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use proxy_wasm::hostcalls;
use proxy_wasm::types::{BufferType, MapType};

use crate::flow::Head;
use crate::flow::call::{Call, Outcome, Returned};

/// A stream on hold. The effective context is the stream's while it is answered.
pub trait Calling {
    /// This has come of the call with this number.
    fn answered(self: Rc<Self>, number: usize, outcome: Outcome);
}

/// A stream that has made calls.
struct Caller {
    stream: Rc<dyn Calling>,
    /// Envoy's number of each call, and the stream's.
    numbers: HashMap<u32, usize>,
}

thread_local! {
    static CALLERS: RefCell<HashMap<u32, Caller>> = RefCell::default();
}

/// Makes a call for the stream with this id. `false` if nothing will come of it.
pub fn make(id: u32, stream: Rc<dyn Calling>, call: &Call) -> bool {
    let Some(token) = dispatch(call) else { return false };
    CALLERS.with_borrow_mut(|callers| {
        let caller = callers.entry(id).or_insert_with(|| Caller { stream, numbers: HashMap::new() });
        caller.numbers.insert(token, call.number);
    });
    true
}

/// Makes a call; Envoy's number of it.
pub(super) fn dispatch(call: &Call) -> Option<u32> {
    let headers = call.headers.iter().map(|(name, value)| (*name, &**value)).collect();
    hostcalls::dispatch_http_call(call.cluster, headers, Some(&call.body), Vec::new(), call.timeout).ok()
}

/// A call has ended, and the context with this id is told. `false` if it was not a stream's.
pub fn ended(told: u32, token: u32, headers: usize, size: usize) -> bool {
    let Some((id, stream, number)) = find(told, token) else { return false };
    if hostcalls::set_effective_context(id).is_ok() {
        stream.answered(number, outcome(headers, size));
    }
    let _ = hostcalls::set_effective_context(told);
    true
}

/// A stream is over.
pub fn forget(id: u32) {
    CALLERS.with_borrow_mut(|callers| callers.remove(&id));
}

fn find(told: u32, token: u32) -> Option<(u32, Rc<dyn Calling>, usize)> {
    CALLERS.with_borrow_mut(|callers| {
        let made_it =
            |callers: &HashMap<u32, Caller>, id| callers.get(&id).is_some_and(|c| c.numbers.contains_key(&token));
        let id = if made_it(callers, told) { told } else { *callers.keys().find(|id| made_it(callers, **id))? };
        let caller = callers.get_mut(&id)?;
        Some((id, Rc::clone(&caller.stream), caller.numbers.remove(&token)?))
    })
}

/// A call that was reset, or had no end in time, comes back without headers.
pub(super) fn outcome(headers: usize, size: usize) -> Outcome {
    if headers == 0 {
        return None;
    }
    let head = Head(hostcalls::get_map_bytes(MapType::HttpCallResponseHeaders).ok()?);
    let body = match size {
        0 => Vec::new(),
        size => hostcalls::get_buffer(BufferType::HttpCallResponseBody, 0, size).ok()?.unwrap_or_default(),
    };
    Some(Returned { status: head.status(), head, body })
}
