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

/// Lets threads share so many arenas (mallopt(3), `M_ARENA_MAX`), of which there would be eight for each
/// processor: each keeps what was freed in it, whoever needs it next. Does nothing with another C library.
pub fn share_arenas(most: u8) {
    #[cfg(target_env = "gnu")]
    // SAFETY: it may be called by any thread at any time; the number is in its range.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, libc::c_int::from(most));
    }
    #[cfg(not(target_env = "gnu"))]
    let _ = most;
}
