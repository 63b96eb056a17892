//! Launching for a process that must not clone namespaces itself: a service, which has many threads.
//!
//! ```text
//!   service (many threads)             launcher (one thread)
//!   LauncherDriver ── one socket ────► forks a worker for each launch
//!        │                                   │
//!        └── a socket for each launch ──► worker ── clones ──► process 1 ──► command
//! ```
//!
//! The *launcher* is the program of the service, started anew by [`LauncherDriver::start`] before
//! anything of it is in memory. It has one thread, opens nothing, and ends with the service: when its
//! socket closes, it waits for its workers and is gone. For each launch it is sent one end of a new
//! socket, forks a *worker* and forgets it; so launches do not wait for each other.
//!
//! A worker is to [`crate::native`] what `ctrlz run` is: the process with one thread that clones
//! process 1 and waits for the command. Its standard streams, its signals and its working directory are
//! the launch's own and not the service's; process 1 begins a session, of which a given terminal is the
//! controlling one. Over its socket it is sent the launch and the
//! streams, tells of process 1, is told to start the command, asks the observer, and tells the end.
//! So every part of [`Prepared`] means the same as without a launcher.
//!
//! # Ready workers
//!
//! After a launch, the launcher forks workers for the next ones like it: they begin a process 1 in
//! advance, as [`NativeDriver::expect`] does, and wait for a socket. What was true of the host when such a
//! process 1 began may be so no more. Therefore it gets its standard streams with its task, and a new
//! list of the host's listening sockets to hide; and the launcher ends those that are ready when anything
//! is mounted or unmounted, since they have a copy of the mounts. A launch on a terminal, or with some
//! processors only, gets a worker of its own, since process 1 has to inherit these.
//!
//! What takes long and can be shared is given to them: the table of the host's mounts, until it changes, and
//! network namespaces in which nothing happened (`networks.rs`).
//!
//! # Who dies with whom
//!
//! A worker whose socket closes takes the sandbox down, as a dropped [`Prepared`] does; so does the
//! death of the service. A launcher that is killed takes its workers along, a worker process 1, and
//! that all in the sandbox (`PR_SET_PDEATHSIG`). The service then answers [`IsolationError::Lost`],
//! having seen process 1 end. The next launch starts a new launcher.
//!
//! # What is trusted
//!
//! Launcher and worker do what they are told by whoever holds the other end of their socket. Nobody
//! can connect to it: it is one of a pair, of which the service keeps one end, and of which no command
//! gets a copy. The launcher checks that its own end was made by the same user. The service trusts
//! that the other end is its own program: messages are read as what they should be, or not at all,
//! and have 8 MiB at most. Nothing that a sandbox can write goes over these sockets but
//! what process 1 reports, which the worker has read as numbers.
//!
//! [`NativeDriver::expect`]: crate::native::NativeDriver::expect
//! [`Prepared`]: ctrlz_core::isolation::Prepared
//! [`IsolationError::Lost`]: ctrlz_core::isolation::IsolationError::Lost

mod driver;
mod message;
mod networks;
mod prepared;
mod process;
mod wire;
mod worker;

pub use driver::LauncherDriver;
pub(crate) use message::{Request, Told};
pub(crate) use prepared::Launched;
pub use process::{ARGUMENT, run};
pub(crate) use wire::{Wire, pair};
pub(crate) use worker::run_in_groups;
