//! How many files a service may have open: each client has one, and each operation several.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::failure::{Failure, OWN_FAILURE};

/// How many it takes where it may.
const WANTED: u64 = 1 << 16;
/// With fewer, the stores, the launcher and a few operations leave nothing for clients.
const LEAST: u64 = 256;

/// Errs when the user may not have as many as a service needs.
pub(super) fn require() -> Result<(), Failure> {
    match getrlimit(Resource::Nofile).maximum {
        Some(most) if most < LEAST => {
            let message = format!("a service may have {most} files open here, and needs {LEAST}");
            Err(Failure::new(OWN_FAILURE, "descriptors", message)
                .detail(format!("{most} is the hard limit (RLIMIT_NOFILE), which ctrlz cannot raise"))
                .hint(
                    "raise it for what starts the service: `LimitNOFILE=` of a systemd unit, `--ulimit \
                     nofile=` of a container, `nofile` in /etc/security/limits.conf",
                ))
        }
        _ => Ok(()),
    }
}

/// Takes more than a shell gives to what it starts, where the user may have more. Commands have as many
/// as before: the launcher was started already.
pub(super) fn take() {
    let known = getrlimit(Resource::Nofile);
    let most = known.maximum.unwrap_or(WANTED).min(WANTED);
    if known.current.is_some_and(|current| current < most) {
        // With fewer it serves fewer at once.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(most), ..known });
    }
}
