//! What the engine asks of an isolation driver.

use std::ffi::OsString;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::driver::Driver;
use crate::limits::{LimitKind, Limits};
use crate::memory::Remembered;
use crate::monitor::{Observer, Reading};
use crate::operation::CommandReport;
use crate::size::ByteSize;
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
    /// What runs in a sandbox could not be frozen, thawed or ended.
    #[error("cannot {action} process {pid} and what it started")]
    Pause {
        /// What was tried.
        action: &'static str,
        /// Process 1 of the sandbox.
        pid: u32,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// There is next to no space where what it writes would go. The command did not run.
    #[error("the disk that holds the store is nearly full: {free} are free, {least} are kept")]
    StoreFull {
        /// Free bytes.
        free: ByteSize,
        /// So many have to be.
        least: ByteSize,
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
    /// An image that a container engine has or gets, read-only, with the workspace mounted at this
    /// path.
    Image {
        /// How the engine is asked for it, such as `debian:12` or `localhost:5000/tools@sha256:…`.
        reference: String,
        /// Where the workspace appears; made when the image has no such directory.
        workspace_at: PathBuf,
    },
}

/// One command to run in isolation.
#[derive(Debug, Clone)]
pub struct Launch {
    /// What isolates it.
    pub driver: Driver,
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
    /// So many bytes have to be free where what it writes goes, or a 64th of that disk when that is
    /// less; `None` for any.
    pub least_free: Option<ByteSize>,
    /// Capabilities to keep, by their kernel names without `CAP_`.
    pub keep_capabilities: Vec<String>,
    /// The standard streams.
    pub streams: Streams,
    /// Nothing begins: what runs goes on from the memory that [`IsolationDriver::keep_memory`] wrote to
    /// this folder. All else must be as it was then, and the files of the workspace, too.
    pub memory: Option<PathBuf>,
    /// The folder of the store in which compiled code is kept, where the driver compiles; `None` for nowhere.
    pub compiled: Option<PathBuf>,
}

/// The standard streams of a command.
#[derive(Debug, Clone, Default)]
pub enum Streams {
    /// Those of the process that launches it. When that process is not a service, its terminal and
    /// its signals are the command's, too.
    #[default]
    Inherited,
    /// These, in a session of its own.
    Given(GivenStreams),
}

/// Standard streams for a command that has nothing to do with those of the process that launches it.
///
/// When [`Prepared::wait`] has returned, all that the command wrote has been written to them. Their
/// other ends see the end of the stream once every copy is closed, among them those in here.
#[derive(Debug, Clone)]
pub struct GivenStreams {
    /// Standard input.
    pub input: Arc<OwnedFd>,
    /// Standard output.
    pub output: Arc<OwnedFd>,
    /// Standard error.
    pub error: Arc<OwnedFd>,
    /// Whether `input` is a terminal that becomes the controlling terminal of the session, so that
    /// what is typed there can send signals (tty_ioctl(4)). It must be nobody's.
    pub terminal: bool,
    /// The reading end of a pipe or socket from which signals for the command come, one byte each:
    /// its number, one of [`Self::SIGNALS`]; any other byte is passed over. What asks a frozen command
    /// to end ends it. A command that was stopped goes on when it gets `SIGCONT`.
    pub signals: Option<Arc<OwnedFd>>,
}

impl GivenStreams {
    /// The numbers that are taken from [`Self::signals`]: the standard signals of signal(7).
    pub const SIGNALS: std::ops::RangeInclusive<u8> = 1..=31;
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
    /// Lets the command begin, and returns at once; to be called once. What the caller does until it
    /// waits must be short: signals and limits wait with it.
    ///
    /// # Errors
    /// When signals cannot be received.
    fn start(&mut self) -> Result<(), IsolationError>;

    /// Waits for the end of the command; to be called once, after [`Self::start`]. When it returns,
    /// nothing in the sandbox writes any more.
    ///
    /// `observer` is asked how the command goes on, for the first time when it has run for as long as
    /// the observer says; until then, nothing is measured for it.
    ///
    /// # Errors
    /// When the program could not be executed, or its end could not be learned.
    fn wait(
        &mut self,
        observer: Option<&mut dyn Observer>,
    ) -> Result<CommandReport, IsolationError>;
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

    /// What the sandbox of a process 1 uses now, seen from outside; `None` when that process is
    /// gone. `process_1` is the id that [`Self::prepare`] told.
    fn measure(&self, process_1: u32) -> Option<Reading>;

    /// The network of the sandbox of a process 1; `None` when that cannot be told.
    fn network_of(&self, process_1: u32) -> Option<Network>;

    /// Freezes the sandbox whose process 1 this is, with all that runs in it. When it returns, none of
    /// them runs any more. Answers how, in words.
    ///
    /// # Errors
    /// [`IsolationError::Pause`]; then they run as before.
    fn freeze(&self, process_1: u32) -> Result<String, IsolationError>;

    /// Lets them go on, but for those that are to stay stopped.
    ///
    /// # Errors
    /// [`IsolationError::Pause`]
    fn thaw(&self, process_1: u32, stay_stopped: &[u32]) -> Result<(), IsolationError>;

    /// Whether they are frozen.
    fn is_frozen(&self, process_1: u32) -> bool;

    /// Those of them that are stopped by a signal.
    fn stopped(&self, process_1: u32) -> Vec<u32>;

    /// Halts what runs in the sandbox of a process 1, writes its memory to `directory`, an empty one,
    /// calls `meanwhile`, and lets it go on, also when this process dies. While `meanwhile` runs, nothing
    /// in the sandbox does, and all that it had written is in its files.
    ///
    /// # Errors
    /// [`IsolationError::Unenforceable`] when what isolates it cannot do that, else
    /// [`IsolationError::Pause`]. It goes on then, and `meanwhile` was not called, unless letting it go on
    /// is what failed.
    fn keep_memory(
        &self,
        process_1: u32,
        directory: &Path,
        meanwhile: &mut dyn FnMut(),
    ) -> Result<(), IsolationError>;

    /// How the command was launched whose memory lies in `directory`, if what runs can go on from it here.
    ///
    /// # Errors
    /// [`IsolationError::Unenforceable`] when it was written by another version of what isolated it, or on
    /// another architecture.
    fn recall(&self, directory: &Path) -> Result<Remembered, IsolationError>;

    /// Ends all of them, frozen or not, and waits for that.
    ///
    /// # Errors
    /// [`IsolationError::Pause`]
    fn end(&self, process_1: u32, process: BorrowedFd<'_>) -> Result<(), IsolationError>;

    /// Removes what launchers that were killed left in the kernel. What it fails to remove, somebody
    /// still uses, or the next call removes.
    fn tidy(&self);

    /// Starts setting up `launch`. The set-up may go on while the caller writes its journal; its
    /// errors come from [`Prepared::wait`].
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
