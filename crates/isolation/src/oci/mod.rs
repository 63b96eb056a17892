//! OCI runtimes by their command lines: runc, crun, youki and runsc (gVisor).
//!
//! Process 1 of [`crate::native`] builds the root: the host's, read-only, with the workspace, or the
//! workspace alone; with a `/dev`, a `/tmp` and covers as for `native`. It does not enter it, but leaves
//! the rest to the runtime: a bundle (config.md of the OCI runtime specification) lies beside the root,
//! in the file system in memory from which the private places are cut, and so does the runtime's state.
//! So nothing of it lies on the host's disks, and all of it is gone when process 1 is; so are all
//! processes of the container and of the runtime, since they live in its pid namespace. Control
//! groups are those that `native` makes; the runtime makes none.
//!
//! The container is as `native` makes one, as far as the specification has words for it: it has no Landlock.
//! Nobody answers for renames of folders of the base, which therefore fail with `EXDEV` on an overlay
//! (see the module `rename` of `native`).

mod asking;
mod bundle;
mod memory;
mod probe;
mod runtime;
mod seccomp;

use std::io;
use std::os::fd::BorrowedFd;

use ctrlz_core::isolation::{IsolationError, Launch, Prepared};

pub(crate) use bundle::{capabilities, environment, rlimits, text};
pub(crate) use memory::{keep_memory, recall};
pub use probe::{Abilities, Ability, probe};
pub use runtime::{Found, Kind, find};
pub(crate) use seccomp::filter;

use crate::native::{Asker, Bundle, Container, Delegate, Delegated, NativeDriver};

impl Delegate for Found {
    fn delegated(&self, container: &Container<'_>) -> io::Result<Delegated> {
        let bundle = Bundle::new();
        let network = container.launch.network;
        let config = bundle::config(container, self.kind).map_err(io::Error::other)?;
        let config = serde_json::to_vec(&config)?;
        let memory = container.launch.memory.as_deref();
        if let Some(folder) = memory {
            memory::fits(folder, &config)?;
        }
        let remembered = memory::remembered(container.launch)?;
        // A terminal is handed on as long as the runtime lives; the end of what runs in gVisor, only it knows.
        let detaches = self.kind != Kind::Gvisor && !container.terminal;
        Ok(Delegated {
            argv: self.kind.command(&self.path, &bundle, (network, detaches), memory),
            keeping: self.kind.keeping(&self.path, &bundle, (network, remembered)),
            detaches,
            config,
            // crun does not run where both versions are.
            sees_groups: self.kind != Kind::Crun,
            joins_processes: self.kind != Kind::Gvisor,
            protections: self.kind.protections(),
        })
    }

    fn keeps_positions(&self) -> bool {
        self.kind == Kind::Gvisor
    }

    fn processes(&self) -> u32 {
        match self.kind {
            Kind::Crun => 2,
            // Threads of the Go runtime; those of a Rust program that waits.
            Kind::Runc | Kind::Youki => 20,
            // Each thread of the container is one of the host's, and each processor has some more.
            Kind::Gvisor => 200,
        }
    }
}

/// As [`ctrlz_core::isolation::IsolationDriver::prepare`], by this runtime.
pub(crate) fn prepare(
    native: &NativeDriver,
    runtime: &Found,
    (asker, launch): (Option<Asker>, Launch),
    begun: &mut dyn FnMut(u32, BorrowedFd<'_>) -> io::Result<()>,
) -> Result<Box<dyn Prepared>, IsolationError> {
    native.prepare_by(Some(runtime), (asker, launch), begun)
}
