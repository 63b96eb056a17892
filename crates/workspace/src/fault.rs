//! Points at which a test can kill the process or make a step fail.
//!
//! Compiled in only for this crate's tests and under the feature `faults`, which no release
//! turns on; elsewhere a point costs nothing. The environment variable `CTRLZ_FAULT` says what
//! happens, in the form `NAME:N[:ACTION]`: at the `N`-th passing (from 1) of the point `NAME`, or
//! of any point when `NAME` is `any`. `ACTION` is `kill` (SIGKILL to the own process, the
//! default), `enospc` or `eio` (the step fails with that error). Several are separated by commas
//! and count on their own. With `CTRLZ_FAULT=count:FILE`
//! every passing appends the point's name and a newline to `FILE`, so that a suite knows how many
//! there are.

use std::io;

/// Passes the point `name`.
///
/// # Errors
/// The one that `CTRLZ_FAULT` asks for.
#[cfg(any(test, feature = "faults"))]
pub fn point(name: &str) -> io::Result<()> {
    enabled::point(name)
}

/// Passes the point `name`, which does nothing without the feature `faults`.
///
/// # Errors
/// None.
#[cfg(not(any(test, feature = "faults")))]
#[inline]
pub fn point(_name: &str) -> io::Result<()> {
    Ok(())
}

#[cfg(any(test, feature = "faults"))]
mod enabled {
    use std::io::{self, Write as _};
    use std::path::PathBuf;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    use rustix::io::Errno;
    use rustix::process::{Signal, getpid, kill_process};

    enum Fault {
        Count(PathBuf),
        At { name: String, passing: u64, passed: AtomicU64, action: Option<Errno> },
    }

    static FAULTS: OnceLock<Vec<Fault>> = OnceLock::new();

    fn parse(text: &str) -> Option<Fault> {
        if let Some(file) = text.strip_prefix("count:") {
            return Some(Fault::Count(PathBuf::from(file)));
        }
        let mut parts = text.split(':');
        let name = parts.next()?.to_owned();
        let passing = parts.next()?.parse().ok()?;
        let action = match parts.next() {
            None | Some("kill") => None,
            Some("enospc") => Some(Errno::NOSPC),
            Some("eio") => Some(Errno::IO),
            Some(_) => return None,
        };
        Some(Fault::At { name, passing, passed: AtomicU64::new(0), action })
    }

    pub(super) fn point(name: &str) -> io::Result<()> {
        let faults = FAULTS.get_or_init(|| {
            let text = std::env::var("CTRLZ_FAULT").unwrap_or_default();
            text.split(',').filter_map(parse).collect()
        });
        faults.iter().try_for_each(|fault| pass(fault, name))
    }

    fn pass(fault: &Fault, point: &str) -> io::Result<()> {
        match fault {
            Fault::Count(file) => {
                let mut file = std::fs::OpenOptions::new().append(true).create(true).open(file)?;
                writeln!(file, "{point}")
            }
            Fault::At { name, passing, passed, action } => {
                if name != "any" && name != point {
                    return Ok(());
                }
                if passed.fetch_add(1, Ordering::SeqCst) + 1 != *passing {
                    return Ok(());
                }
                match action {
                    Some(errno) => Err((*errno).into()),
                    None => Ok(kill_process(getpid(), Signal::KILL)?),
                }
            }
        }
    }
}
