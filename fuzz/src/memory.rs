//! How much memory a decoder takes.
//!
//! The allocator counts, for each thread, what is held and how much it was at most. Growing a list holds its old and its
//! new bytes for a moment, as the system's allocator may.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// How many bytes a decoder may hold for each byte that it is given. Half of an index of JSON are commas: a value has two
/// bytes of text and sixteen of index, the list that grows holds them twice and a half, and so does each further index
/// that a law makes to check a result.
const FOR_EACH_BYTE: usize = 256;

/// How many bytes besides: buffers, tables, an error's text.
const BESIDES: usize = 256 << 10;

/// Runs `work`, which reads `given` bytes; panics if it takes more memory than that allows.
pub fn bounded(given: usize, work: impl FnOnce()) {
    let before = HELD.get();
    MOST.set(before);
    work();
    let most = usize::try_from(MOST.get() - before).unwrap_or(0);
    assert!(most <= given * FOR_EACH_BYTE + BESIDES, "{most} bytes were held to read {given}");
}

/// How many bytes `work` leaves behind in what it returns.
pub fn held<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = HELD.get();
    let result = work();
    (result, usize::try_from(HELD.get() - before).unwrap_or(0))
}

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

fn count(bytes: isize) {
    // A thread that is ending has no counters any more.
    let _ = HELD.try_with(|held| {
        held.set(held.get() + bytes);
        let _ = MOST.try_with(|most| most.set(most.get().max(held.get())));
    });
}

fn signed(size: usize) -> isize {
    isize::try_from(size).unwrap_or(isize::MAX)
}

// SAFETY: everything is the system's allocator's; counting does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(signed(layout.size()));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(-signed(layout.size()));
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(signed(size));
        count(-signed(layout.size()));
        // SAFETY: as above.
        unsafe { System.realloc(at, layout, size) }
    }
}
