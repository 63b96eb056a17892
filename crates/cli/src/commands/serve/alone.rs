//! One service for a store: what it keeps in memory (quotas, lines, what is under way) counts for all clients.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use crate::failure::{Failure, OWN_FAILURE, REFUSED};

/// The file that a service holds as long as it runs. It stays where it is: who removed it would let two in.
const FILE: &str = "service.lock";

/// Takes the store in `directory` for this service, until what it answers is dropped.
pub(super) fn hold(directory: &Path) -> Result<File, Failure> {
    let failed = |error: std::io::Error| Failure::caused(OWN_FAILURE, "serve", &error);
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let file = options.open(directory.join(FILE)).map_err(failed)?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(Errno::WOULDBLOCK) => {
            let message = format!("another service uses the store {}", directory.display());
            Err(Failure::new(REFUSED, "listen", message)
                .hint("use that one, end it, or choose another store by CTRLZ_HOME"))
        }
        Err(errno) => Err(failed(errno.into())),
    }
}
