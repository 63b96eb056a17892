//! The network namespaces of the launcher: those that wait for a worker, and those that one has.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;

use rustix::process::{Pid, WaitStatus};

use crate::native::network_namespace::{NetworkNamespace, enter, own, stays_with_host};

/// The exit code of a worker whose network namespace is as it was when it was new.
pub(super) const AS_NEW: i32 = 64;

/// So many wait for a worker at most.
const MOST_WAITING: usize = 64;

/// So many are lent at most: each is an open descriptor.
const MOST_LENT: usize = 256;

#[derive(Debug)]
pub(super) struct Networks {
    host: File,
    /// Whether workers can be given one: it belongs to no sandbox, and this process may return to the host's.
    /// Root of a user namespace, as in a container, may not enter the network of those who made that.
    may_lend: bool,
    waiting: Vec<NetworkNamespace>,
    lent: HashMap<Pid, NetworkNamespace>,
}

impl Networks {
    pub(super) fn new() -> io::Result<Self> {
        let host = own()?;
        let may_lend = stays_with_host() && enter(host.as_fd()).is_ok();
        Ok(Self { host, may_lend, waiting: Vec::new(), lent: HashMap::new() })
    }

    /// One in which nothing happened yet, if workers can be given one.
    ///
    /// # Errors
    /// When this process cannot leave it again: it must not go on.
    pub(super) fn take(&mut self) -> io::Result<Option<NetworkNamespace>> {
        if self.lent.len() >= MOST_LENT || !self.may_lend {
            return Ok(None);
        }
        if let Some(waiting) = self.waiting.pop() {
            return Ok(Some(waiting));
        }
        let made = NetworkNamespace::make();
        enter(self.host.as_fd())?;
        // Without it the sandbox makes its own.
        Ok(made.ok())
    }

    /// Notes that this worker has it.
    pub(super) fn lend(&mut self, worker: Pid, network: NetworkNamespace) {
        self.lent.insert(worker, network);
    }

    /// A worker has ended, and everything in its sandbox.
    pub(super) fn take_back(&mut self, worker: Pid, status: WaitStatus) {
        let Some(network) = self.lent.remove(&worker) else { return };
        if status.exit_status() == Some(AS_NEW) && self.waiting.len() < MOST_WAITING {
            self.waiting.push(network);
        }
    }

    /// Lets go of those that nobody has.
    pub(super) fn clear(&mut self) {
        self.waiting.clear();
    }
}
