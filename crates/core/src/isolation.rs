//! What the engine asks of an isolation driver.

use std::ffi::OsString;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::limits::{LimitKind, Limits};
use crate::operation::CommandReport;
use crate::workspace::WorkspaceMount;

/// What went wrong before or around a command. A command that fails by itself is no error.
#[derive(Debug, thiserror::Error)]
pub enum IsolationError {
    /// A step of the set-up failed. The command did not run.
    #[error("cannot set up the sandbox: {step}")]
    Setup {
        /// What failed, with the path or number it failed on.
        step: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A demanded protection or limit cannot be had on this host. The command did not run.
    #[error("{what} cannot be enforced here: {reason}")]
    Unenforceable {
        /// The protection or limit.
        what: String,
        /// Why not.
        reason: String,
    },
    /// The program does not exist.
    #[error("{}: no such program", program.display())]
    NotFound {
        /// What was looked for.
        program: PathBuf,
    },
    /// The program cannot be executed.
    #[error("{} cannot be executed", program.display())]
    NotExecutable {
        /// The program.
        program: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The command ran, but how it ended is unknown.
    #[error("lost the sandbox: {what}")]
    Lost {
        /// What happened.
        what: String,
    },
}

/// What the sandbox's processes see of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Network {
    /// A network of their own with nothing but loopback.
    #[default]
    None,
    /// The host's.
    Host,
}

/// Which root the processes see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RootView {
    /// The host's, read-only, with the workspace mounted at this path.
    Host {
        /// Where the workspace appears: an existing directory of the host.
        workspace_at: PathBuf,
    },
    /// The workspace is the root. What the host has mounted below it is not shown, unless
    /// `host_mounts` asks for it, read-only.
    Workspace {
        /// Show the host's other file systems, read-only (for `--root overlay`).
        host_mounts: bool,
    },
}

/// One command to run in isolation.
#[derive(Debug, Clone)]
pub struct Launch {
    /// The root.
    pub root: RootView,
    /// The workspace.
    pub workspace: WorkspaceMount,
    /// See [`crate::workspace::Head::written`].
    pub written: PathBuf,
    /// Host paths to hide, those that exist; read-only empty files and directories replace them.
    pub hidden: Vec<PathBuf>,
    /// The working directory, as seen inside.
    pub workdir: PathBuf,
    /// The program and its arguments; a program without `/` is looked up in `PATH`.
    pub argv: Vec<OsString>,
    /// The whole environment.
    pub env: Vec<(OsString, OsString)>,
    /// The network.
    pub network: Network,
    /// The limits.
    pub limits: Limits,
    /// Capabilities to keep, by their kernel names without `CAP_`.
    pub keep_capabilities: Vec<String>,
}

/// How one protection or limit is held on this host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enforcement {
    /// The protection or limit.
    pub what: String,
    /// The mechanism, such as `cgroup v1 memory`; `None` when it cannot be had.
    pub by: Option<String>,
    /// What a user should know about it: its cost, its weakness, or how to get a better one.
    pub note: String,
}

/// What an isolation driver can do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IsolationCapabilities {
    /// Works without root.
    pub rootless: bool,
    /// Can keep and bring back the memory of processes.
    pub memory_snapshot: bool,
    /// Can freeze and thaw processes.
    pub pause: bool,
    /// Networks that it offers.
    pub networks: Vec<Network>,
    /// Limits that it holds on this host.
    pub limits: Vec<LimitKind>,
}

/// A command that is ready to run: everything is set up, nothing is executed yet. Dropping it
/// takes everything down: then no process of the sandbox is alive and its mounts are gone.
pub trait Prepared {
    /// Executes the command and waits for its end; to be called once. When it returns, nothing in
    /// the sandbox writes any more.
    ///
    /// # Errors
    /// When the program could not be executed, or its end could not be learned.
    fn run(&mut self) -> Result<CommandReport, IsolationError>;
}

/// Runs commands in isolation.
pub trait IsolationDriver {
    /// The driver's name.
    fn name(&self) -> &'static str;

    /// What it can do here.
    fn capabilities(&self) -> IsolationCapabilities;

    /// How every protection and limit is held on this host.
    fn survey(&self) -> Vec<Enforcement>;

    /// Fails when one of `limits` cannot be held here.
    ///
    /// # Errors
    /// [`IsolationError::Unenforceable`] for the first of them.
    fn check(&self, limits: &Limits) -> Result<(), IsolationError>;

    /// Starts setting up `launch`. The set-up may go on while the caller writes its journal; its
    /// errors come from [`Prepared::run`].
    ///
    /// `begun` learns the process with which everything in the sandbox ends, before that process
    /// touches anything: its id and a descriptor of it (pidfd_open(2)).
    ///
    /// # Errors
    /// When it cannot be begun, or `begun` fails.
    fn prepare(
        &self,
        launch: Launch,
        begun: &mut dyn FnMut(u32, BorrowedFd<'_>) -> io::Result<()>,
    ) -> Result<Box<dyn Prepared>, IsolationError>;
}
