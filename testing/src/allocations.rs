//! An allocator that counts what is asked of it, in the whole process and by each thread.
//!
//! A test program that needs it makes [`Counting`] its global allocator.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

static BY_PROCESS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static BY_THREAD: Cell<Allocated> = const { Cell::new(Allocated { count: 0, bytes: 0 }) };
    /// More than 0 while what this thread allocates is not counted as its own.
    static UNCOUNTED: Cell<u32> = const { Cell::new(0) };
}

/// What was asked for so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allocated {
    /// Allocations and reallocations.
    pub count: u64,
    /// Bytes that they asked for; what was freed since counts too.
    pub bytes: usize,
}

/// Allocations of all threads.
pub fn by_process() -> u64 {
    BY_PROCESS.load(Ordering::Relaxed)
}

/// Allocations of the calling thread, but for those while it had an [`Uncounted`].
pub fn by_this_thread() -> Allocated {
    BY_THREAD.get()
}

/// While this lives, what the thread allocates is not counted as its own: a fake's work is not the program's.
pub struct Uncounted(());

impl Uncounted {
    /// Nothing that the calling thread allocates counts as its own until this is dropped.
    pub fn begin() -> Uncounted {
        UNCOUNTED.set(UNCOUNTED.get() + 1);
        Uncounted(())
    }
}

impl Drop for Uncounted {
    fn drop(&mut self) {
        UNCOUNTED.set(UNCOUNTED.get() - 1);
    }
}

/// The system's allocator, counting.
pub struct Counting;

impl Counting {
    fn count(size: usize) {
        BY_PROCESS.fetch_add(1, Ordering::Relaxed);
        // A thread that ends has no counters any more.
        if UNCOUNTED.try_with(Cell::get).unwrap_or(1) == 0 {
            let _ = BY_THREAD.try_with(|all| {
                let Allocated { count, bytes } = all.get();
                all.set(Allocated { count: count + 1, bytes: bytes + size });
            });
        }
    }
}

// SAFETY: every call is the system allocator's; the counters are plain numbers.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Counting::count(layout.size());
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        Counting::count(layout.size());
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        Counting::count(size);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(memory, layout, size) }
    }
    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(memory, layout) }
    }
}
