//! Asking for the kernel's Landlock version (landlock_create_ruleset(2)).

/// The newest Landlock ABI that this kernel has; 0 when it has none, or it is switched off.
#[must_use]
pub fn version() -> i32 {
    /// From linux/landlock.h.
    const LANDLOCK_CREATE_RULESET_VERSION: libc::c_uint = 1;
    // SAFETY: with this flag the kernel demands a null pointer and size 0, and reads nothing.
    let version = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            std::ptr::null::<libc::c_void>(),
            0usize,
            LANDLOCK_CREATE_RULESET_VERSION,
        )
    };
    i32::try_from(version).unwrap_or(0).max(0)
}
