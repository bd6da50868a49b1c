//! Streams that wait for each other.
//!
//! One stream's step may have news for others, whose steps may have news for more: all of it goes through one queue, so
//! that a thousand that wait in a row are told one after the other and not one within the other.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use proxy_wasm::hostcalls;

use crate::flow::flight::{News, Stream};

/// A stream that waits. The effective context is its own while it hears.
pub trait Listener {
    /// This is the news.
    fn hear(self: Rc<Self>, news: News);
}

thread_local! {
    static WAITING: RefCell<HashMap<Stream, Rc<dyn Listener>>> = RefCell::default();
    static NEWS: RefCell<VecDeque<(Stream, News)>> = RefCell::default();
    static TELLING: Cell<bool> = const { Cell::new(false) };
}

/// A stream waits.
pub fn wait(stream: Stream, listener: Rc<dyn Listener>) {
    WAITING.with_borrow_mut(|waiting| waiting.insert(stream, listener));
}

/// A stream is over.
pub fn forget(stream: Stream) {
    WAITING.with_borrow_mut(|waiting| waiting.remove(&stream));
}

/// Tells streams, from within the context `own`. A stream that is gone has no context any more.
pub fn tell(own: Stream, news: impl IntoIterator<Item = (Stream, News)>) {
    NEWS.with_borrow_mut(|queue| queue.extend(news));
    if TELLING.replace(true) {
        return;
    }
    while let Some((stream, news)) = NEWS.with_borrow_mut(VecDeque::pop_front) {
        let listener = WAITING.with_borrow_mut(|waiting| waiting.remove(&stream));
        if let Some(listener) = listener
            && hostcalls::set_effective_context(stream).is_ok()
        {
            listener.hear(news);
        }
    }
    TELLING.set(false);
    let _ = hostcalls::set_effective_context(own);
}
