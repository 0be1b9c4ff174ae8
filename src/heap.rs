//! What the C library's allocator keeps of memory that was freed.
//!
//! By default it gives each thread a heap of its own and keeps what is freed there. A model that is loaded by one thread and
//! dropped by another would then stay in memory in part, more with each reload. And where the kernel makes huge pages of
//! whatever it finds (Debian's for ARM does), it fills up again what was given back.

/// One heap for all threads of this process from now on, in pages of the usual size. Threads that carry pictures allocate next
/// to nothing.
pub fn keep_small() {
    // Kernels without huge pages refuse, and need not be asked.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: takes two numbers, no pointer, and may be called at any time; a value that it does not take changes nothing.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Gives memory that was freed back to the system. Takes some milliseconds, in which others may wait to allocate: for the
/// moment after a model was dropped.
pub fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: takes a number, no pointer, and may be called at any time from any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}
