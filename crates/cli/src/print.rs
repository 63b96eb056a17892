//! Printing to a reader that may be gone.

/// As the standard library's, but a closed pipe is no panic: whoever closed it wants no more, and
/// what was done is done.
macro_rules! println {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($text)*);
    }};
}

/// See [`println`].
macro_rules! eprintln {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), $($text)*);
    }};
}
