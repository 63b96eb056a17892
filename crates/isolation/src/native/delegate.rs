//! Leaving the last part to another program: it runs the command in the root that process 1 built.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use ctrlz_core::isolation::Launch;

use super::inside::{Rlimits, STAGE};
use super::protection::Protections;

/// A program to which process 1 leaves the command.
pub(crate) trait Delegate {
    /// What process 1 has to know to start it.
    ///
    /// # Errors
    /// When it cannot run such a container.
    fn delegated(&self, container: &Container<'_>) -> io::Result<Delegated>;

    /// How many processes and threads it has itself, at most.
    fn processes(&self) -> u32;

    /// Whether it writes to files by positions of its own, so that what others write there later would
    /// stand in the place of what it wrote: it gets pipes then.
    fn keeps_positions(&self) -> bool;
}

/// What the program is to make.
#[derive(Debug)]
pub(crate) struct Container<'l> {
    pub(crate) launch: &'l Launch,
    /// Limits that no control group holds.
    pub(crate) rlimits: Rlimits,
    /// Processors are limited by affinity.
    pub(crate) fixed_processors: bool,
    /// Standard input and output are a terminal.
    pub(crate) terminal: bool,
    /// Who the command is, inside.
    pub(crate) user: u32,
    pub(crate) group: u32,
    /// The ids of its user namespace.
    pub(crate) users: Vec<Ids>,
    pub(crate) groups: Vec<Ids>,
}

/// A range of ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ids {
    pub(crate) inside: u32,
    /// As process 1 sees them.
    pub(crate) outside: u32,
    pub(crate) count: u32,
}

/// What process 1 has to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Delegated {
    /// The program, an absolute path of the host, and its arguments.
    pub(crate) argv: Vec<OsString>,
    /// What it reads as `config.json`.
    pub(crate) config: Vec<u8>,
    /// Whether it ends when the command has begun, and leaves that to process 1.
    pub(crate) detaches: bool,
    /// Whether it sees the control groups of the host, read-only; else a host without any.
    pub(crate) sees_groups: bool,
    /// Whether the container joins the pid namespace [`Bundle::processes`], of which there is a `/proc` in
    /// the root; else it makes its own.
    pub(crate) joins_processes: bool,
    /// What it puts in force.
    pub(crate) protections: Protections,
    /// How it keeps the memory of the container, when it does.
    pub(crate) keeping: Option<Keeping>,
}

/// How the memory of a container is kept: command lines of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Keeping {
    /// Halts the container.
    pub(crate) halt: Vec<OsString>,
    /// Writes its memory to the folder [`Self::FOLDER`].
    pub(crate) write: Vec<OsString>,
    /// Lets it go on.
    pub(crate) go_on: Vec<OsString>,
    /// What else is written there, as [`Self::REMEMBERED`].
    pub(crate) remembered: Vec<u8>,
}

impl Keeping {
    /// Stands for the folder in [`Self::write`].
    pub(crate) const FOLDER: &str = "FOLDER";
    /// A [`ctrlz_core::memory::Remembered`] as JSON.
    pub(crate) const REMEMBERED: &str = "remembered.json";
    /// What the program had read as `config.json`.
    pub(crate) const CONFIG: &str = "config.json";
}

/// Where process 1 keeps what it leaves to the program, in a file system in memory that nobody else sees.
#[derive(Debug)]
pub(crate) struct Bundle {
    /// The folder.
    pub(crate) directory: PathBuf,
    /// Where the program keeps its own state.
    pub(crate) state: PathBuf,
    /// What it logs.
    pub(crate) log: PathBuf,
    /// What it logs while it keeps memory.
    pub(crate) keeping_log: PathBuf,
    /// Where it writes the process id of the container.
    pub(crate) process: PathBuf,
    /// The container's name: there is one.
    pub(crate) name: String,
}

impl Bundle {
    /// The root, in the folder.
    pub(crate) const ROOT: &'static str = "root";

    pub(crate) fn new() -> Self {
        let directory = Path::new(STAGE);
        Self {
            directory: directory.to_owned(),
            state: directory.join("state"),
            log: directory.join("log"),
            keeping_log: directory.join("keeping.log"),
            process: directory.join("process"),
            name: format!("ctrlz-{}", std::process::id()),
        }
    }

    /// The socket at which one asks for its memory to be kept.
    pub(crate) fn keeper() -> PathBuf {
        Path::new(STAGE).join("keeper")
    }

    /// A pid namespace for the container.
    pub(crate) fn processes() -> PathBuf {
        Path::new(STAGE).join("processes")
    }

    /// The `/dev` of the root.
    pub(crate) fn devices() -> PathBuf {
        Path::new(STAGE).join(Self::ROOT).join("dev")
    }
}
