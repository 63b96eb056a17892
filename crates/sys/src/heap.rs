//! The C library's heap.

/// Gives the kernel back what is free between allocations (malloc_trim(3)), where the C library can do
/// that: of its own accord it gives back only what is free at the end of an arena. Each arena is locked
/// meanwhile, for some milliseconds when there is much to give back.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it may be called by any thread at any time, and touches only pages without allocations.
    unsafe {
        libc::malloc_trim(0);
    }
}
