//! Streams that wait for each other.
//!
//! One stream's step may have news for others, whose steps may have news for more: all of it goes through one queue, and
//! from there to a few streams at a time, each time in a callback of its own.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use proxy_wasm::hostcalls;

use crate::flow::Head;
use crate::flow::flight::{self, News, Stream};
use crate::host::bell::{self, AT_ONCE};
use crate::host::{stream, worker};

/// A stream that waits. The effective context is its own while it hears.
pub trait Listener {
    /// This is the news.
    fn hear(self: Rc<Self>, news: News);
}

thread_local! {
    static WAITING: RefCell<HashMap<Stream, Rc<dyn Listener>>> = RefCell::default();
    static NEWS: RefCell<VecDeque<(Stream, News)>> = RefCell::default();
}

/// A stream waits.
pub fn wait(stream: Stream, listener: Rc<dyn Listener>) {
    WAITING.with_borrow_mut(|waiting| waiting.insert(stream, listener));
}

/// A stream is over.
pub fn forget(stream: Stream) {
    WAITING.with_borrow_mut(|waiting| waiting.remove(&stream));
}

/// There is news for streams.
pub fn tell(news: impl IntoIterator<Item = (Stream, News)>) {
    let some = NEWS.with_borrow_mut(|queue| {
        queue.extend(news);
        !queue.is_empty()
    });
    if some {
        bell::ring();
    }
}

/// Tells the next streams, from within the root context.
pub fn deliver(root: Stream) {
    for _ in 0..AT_ONCE {
        let Some((stream, news)) = NEWS.with_borrow_mut(VecDeque::pop_front) else { break };
        let listener = WAITING.with_borrow_mut(|waiting| waiting.remove(&stream));
        match listener {
            Some(listener) if hostcalls::set_effective_context(stream).is_ok() => listener.hear(news),
            _ => {
                let effects = worker::with_world(root, None, Head::default, |world| flight::unheard(news, world));
                effects.into_iter().flatten().for_each(stream::apply);
            }
        }
    }
    let _ = hostcalls::set_effective_context(root);
    tell([]);
}
