//! Container engines as isolation: podman and docker, by the API on their sockets.
//!
//! ```text
//!   ctrlz ──── create, start ────► engine ──► runc, … ──► process 1: this program, in the image
//!     └───────────────── one socket, and the standard streams ─────────┘
//! ```
//!
//! The engine makes the container: root, namespaces, cgroups, capabilities, its own seccomp profile. What
//! runs in it first is this program ([`run`]), which is mounted there read-only beside a socket. It
//! connects to that socket, and the kernel tells who it is (`SO_PEERCRED`). From then on it is to the
//! launcher what process 1 of [`crate::native`] is: it gets the command and the standard streams themselves
//! by that socket, adds `native`'s seccomp filter and Landlock rules, and reports the end. So
//! - no byte of a stream goes through the engine, and its end harms no command that runs;
//! - when ctrlz is killed, the socket closes, process 1 ends, the container with it, and the engine
//!   removes it, as was asked for when it was made;
//! - what is in force is looked up at the process itself (`in_force.rs`) and not believed;
//! - an overlay workspace is mounted by ctrlz in the mount namespace of the container
//!   and of no other: nothing is left mounted, whoever is killed.
//!
//! Nothing of the engine's is reachable in the container. What is left when ctrlz and engine are killed
//! at once is a container that never ran or has ended: tidying up removes it.

mod client;
mod container;
mod image;
mod in_force;
mod inside;
mod launch;
mod place;
mod probe;
mod tidy;

use std::io;
use std::os::fd::BorrowedFd;

use client::Client;
#[cfg(doc)]
use ctrlz_core::isolation::IsolationDriver;
use ctrlz_core::isolation::{IsolationError, Launch, Prepared};

use crate::native::Asker;

pub use client::Engine;
pub use image::{an_image, load};
pub(crate) use in_force::always as protections;
pub use inside::{ARGUMENT, run};
pub use probe::{Probe, probe};
pub(crate) use tidy::tidy;

/// As [`IsolationDriver::prepare`], by an engine at its usual sockets. The standard streams of this process
/// are those of the launch already.
pub(crate) fn prepare(
    engine: Engine,
    (asker, launch): (Option<Asker>, Launch),
    begun: &mut dyn FnMut(u32, BorrowedFd<'_>) -> io::Result<()>,
) -> Result<Box<dyn Prepared>, IsolationError> {
    let client = Client::connect(engine, &engine.sockets()?)?;
    launch::prepare(&client, launch, asker, begun)
}
