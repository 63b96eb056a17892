//! The command line's grammar.

mod archive;
mod check;
mod events;
mod hook;
mod logs;
mod monitor;
mod policy;
mod run;
mod serve;
mod snapshots;
mod state;

use std::path::PathBuf;

use clap::{Args, FromArgMatches, Parser, Subcommand};
use clap_complete::Shell;
use ctrlz_core::id::{OperationId, SnapshotId};
use ctrlz_core::name::SandboxName;
use ctrlz_core::workspace::ConflictStrategy;
use ctrlz_core::workspace_choice::WorkspaceChoice;

use crate::root::Pull;

pub(crate) use archive::{
    ArchiveAction, ArchiveArguments, ArchiveScope, Destination, DrillArguments, ExportArguments,
    ExportFormat, FromArgument, ImportArguments, KeyArguments, KeysAction, PullArguments,
    PushArguments, RecipientArguments, VerifyArguments,
};
pub(crate) use check::{CheckArguments, LanguageWord};
pub(crate) use events::{
    AuditAction, AuditArguments, DaemonArguments, EventsArguments, HealthArguments, SinksAction,
    SinksArguments,
};
pub(crate) use hook::{
    Agent, HookAction, HookArguments, HookOptions, InstallArguments, OnHigh, OnLow,
    SettingsArguments, UninstallArguments,
};
pub(crate) use logs::LogsArguments;
pub(crate) use monitor::{SortBy, StatsArguments, TopArguments};
pub(crate) use policy::{PolicyAction, PolicyArguments, Tool};
pub(crate) use run::{CommandArguments, ExecArguments, RunArguments, ShellArguments, SummaryWhen};
pub(crate) use serve::{
    ApproveArguments, McpArguments, ServeArguments, TlsArguments, TokenAction, TokenArguments,
};
pub(crate) use snapshots::{
    GcArguments, SnapshotAction, SnapshotArguments, SnapshotsArguments, TagChange,
};
pub(crate) use state::{StateAction, StateArguments};

/// Run anything as a transaction: isolated while it runs, looked at afterwards, kept or undone.
///
/// `ctrlz run -- COMMAND` runs a command in the folder you stand in. Nothing in the folder changes
/// until `ctrlz commit`; `ctrlz diff` shows what would; `ctrlz undo` takes the last step back,
/// whatever it was.
#[derive(Debug, Parser)]
#[command(name = "ctrlz", version, max_term_width = 100, disable_help_subcommand = true)]
pub(crate) struct Arguments {
    /// Print one JSON object instead of text (see docs/json.md)
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// Do it at this service instead: http://HOST:PORT, https://HOST or unix:///PATH/service.sock
    ///
    /// CTRLZ_SERVER says the same for all commands. The token stands in CTRLZ_TOKEN, or in the file
    /// that CTRLZ_TOKEN_FILE names. See docs/service.md.
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) server: Option<String>,

    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Arguments {
    /// Understands this process's command line.
    pub(crate) fn read() -> Result<Self, clap::Error> {
        Self::read_run().map_or_else(Self::try_parse, Ok)
    }

    /// Understands `ctrlz run` without building the grammar of all other commands, which takes
    /// longer than opening the store. `None` for everything else and for mistakes, which the whole
    /// grammar explains.
    fn read_run() -> Option<Self> {
        let mut words = std::env::args_os().skip(1);
        words.next().filter(|word| word == "run")?;
        let json = clap::Arg::new("json").long("json").action(clap::ArgAction::SetTrue);
        let grammar = clap::Command::new("run").no_binary_name(true).disable_help_flag(true);
        let matches =
            RunArguments::augment_args(grammar).arg(json).try_get_matches_from(words).ok()?;
        let arguments = RunArguments::from_arg_matches(&matches).ok()?;
        let json = matches.get_flag("json");
        Some(Self { json, server: None, command: Command::Run(arguments) })
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a command in the sandbox of this folder
    Run(RunArguments),
    /// Show what a sandbox's uncommitted changes are
    Diff(DiffArguments),
    /// Bring a sandbox's changes to the real folder
    Commit(CommitArguments),
    /// Throw uncommitted changes away (undo brings them back)
    Discard(SandboxArgument),
    /// Take the last operation back, whatever it was
    Undo(UndoArguments),
    /// Bring back what was undone last
    Redo(RedoArguments),
    /// Make a sandbox with a name
    New(NewArguments),
    /// Run a command in a named sandbox
    Exec(ExecArguments),
    /// Open a shell in a sandbox
    Shell(ShellArguments),
    /// List the sandboxes
    Ls,
    /// Remove a sandbox
    Rm(RemoveArguments),
    /// Freeze what runs in a sandbox, and let nothing begin in it until it is resumed
    Suspend(SuspendArguments),
    /// Let a suspended sandbox go on
    Resume(ResumeArguments),
    /// Remember where a sandbox stands
    Snapshot(SnapshotArguments),
    /// List a sandbox's snapshots
    Snapshots(SnapshotsArguments),
    /// Let old snapshots and old files go, as the retention policy says, and give their space back
    ///
    /// Each decision is told with its reason. Snapshots that a user took or tagged `keep` stay, and
    /// so does what anything else needs: the present point, forks, other snapshots. Commands do the
    /// same now and then by themselves.
    Gc(GcArguments),
    /// Archive a snapshot as an OCI image, on this host and in other places
    ///
    /// The archive lies beside the store, or where `place:` of archive.yaml says. What lies there
    /// already is not written again, so the second snapshot of a folder is small.
    Push(PushArguments),
    /// Bring a snapshot back from an archive, to its sandbox or into a new folder
    Pull(PullArguments),
    /// List, remove and encrypt what is archived
    Archive(ArchiveArguments),
    /// Write a snapshot to one file, for other programs and other machines
    Export(ExportArguments),
    /// Bring a snapshot back from one file
    Import(ImportArguments),
    /// Read what is archived and compare it with its digests
    ///
    /// The exit code is 1 when something is damaged or missing.
    Verify(VerifyArguments),
    /// Restore archived snapshots for a moment and compare them file by file
    ///
    /// The exit code is 1 when one cannot be restored, or is not what was archived.
    Drill(DrillArguments),
    /// Return to a snapshot, whole or for some paths
    Rollback(RollbackArguments),
    /// Copy a sandbox
    Fork(ForkArguments),
    /// List a sandbox's operations
    Log(LogArguments),
    /// Show one operation
    Show(ShowArguments),
    /// Show what a process of a service wrote (with --server)
    ///
    /// What commands write here goes to whoever runs them, and is kept nowhere.
    Logs(LogsArguments),
    /// Read and write a sandbox's versioned state
    State(StateArguments),
    /// Tell what a sandbox did and used, and what is usual for it
    Stats(StatsArguments),
    /// Show what the running sandboxes use, again and again
    ///
    /// Keys: q ends; c, m, p, f, d, t and n sort by CPU, memory, processes, open files, disk, time and
    /// name; r turns the order round. Without a terminal it is shown once.
    Top(TopArguments),
    /// Tell what this host can enforce, line by line, and what a probe inside a sandbox showed
    ///
    /// The exit code is 1 when a protection is not in force, or something is missing that
    /// `environment:` of ctrlz.yaml asks for.
    Doctor(DoctorArguments),
    /// Tell what is wrong with the host or the store, and what to do
    ///
    /// The exit code is 0 when all is well, 1 with a warning, 2 when something is critical.
    Health(HealthArguments),
    /// Finish or take back what a crash left
    ///
    /// With --emergency: contain a sandbox whose health checks fail, end what runs in it, return to
    /// the last point that is known to be good, and watch it longer. The exit code is 1 when the
    /// checks still fail afterwards.
    Recover(RecoverArguments),
    /// Let a contained sandbox use a network again
    Release(ReleaseArguments),
    /// Show what happened, and follow what happens
    Events(EventsArguments),
    /// List the sinks that events are sent on to, test them, and deliver
    Sinks(SinksArguments),
    /// Offer all of this over the network, to many users
    Serve(ServeArguments),
    /// Offer sandboxes to an agent over standard input and output (Model Context Protocol)
    ///
    /// An MCP client starts it: see docs/mcp.md for how to add it to one.
    Mcp(McpArguments),
    /// Let an operation run, once, that waits for a confirmation
    ///
    /// It is asked on the terminal.
    Approve(ApproveArguments),
    /// Make, list and revoke the tokens with which the service is used
    Token(TokenArguments),
    /// Do in the background what commands do by the way, until a signal ends it
    ///
    /// Events are sent on as they happen, the event log is signed every five minutes, a change of the
    /// configuration is noticed, and so is what is wrong with the host or the store. Without it,
    /// commands send events on after they have ended.
    Daemon(DaemonArguments),
    /// Verify, sign and export the log of everything that happened
    Audit(AuditArguments),
    /// Judge a command or a script without running it
    ///
    /// With several words after `--`, a program and its arguments are judged as `ctrlz run` would
    /// get them; with one word alone, it is a whole text of the shell, as `sh -c` would get it.
    ///
    /// The exit code is 0 when it is allowed (low and medium risk), 3 when somebody has to confirm
    /// it (high), 4 when it is blocked (critical), and 125 when it could not be judged.
    Check(CheckArguments),
    /// Answer a coding agent that asks before it acts, and install that in its settings
    ///
    /// Critical operations are denied, and so is everything when the hook itself fails: it then
    /// ends with exit code 2, which agents take for a denial.
    Hook(HookArguments),
    /// Show, check, begin and import rules of the validator
    Policy(PolicyArguments),
    /// Show the configuration in force
    Config(ConfigArguments),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Write the manual pages into a folder
    Man {
        /// The folder, which must exist
        folder: PathBuf,
    },
}

impl Command {
    /// Whether it lets something happen that sinks are told of.
    pub(crate) fn acts(&self) -> bool {
        matches!(
            self,
            Self::Run(_)
                | Self::Exec(_)
                | Self::Shell(_)
                | Self::Commit(_)
                | Self::Discard(_)
                | Self::Undo(_)
                | Self::Redo(_)
                | Self::New(_)
                | Self::Rm(_)
                | Self::Fork(_)
                | Self::Suspend(_)
                | Self::Resume(_)
                | Self::Snapshot(_)
                | Self::Rollback(_)
                | Self::State(_)
                | Self::Gc(_)
                | Self::Release(_)
                | Self::Recover(_)
                | Self::Push(_)
                | Self::Pull(_)
                | Self::Import(_)
        )
    }

    /// Whether all that it does is to write more into the store, without running anything.
    pub(crate) fn only_takes_space(&self) -> bool {
        match self {
            Self::New(_)
            | Self::Fork(_)
            | Self::Push(_)
            | Self::Import(_)
            | Self::Drill(_)
            | Self::Snapshot(SnapshotArguments { action: None, .. }) => true,
            Self::State(arguments) => arguments.only_takes_space(),
            _ => false,
        }
    }

    /// Whether somebody whose disk is full would turn to it.
    pub(crate) fn gives_space_back(&self) -> bool {
        match self {
            // It may archive, for which no reserve is meant.
            Self::Archive(arguments) => !matches!(arguments.action, ArchiveAction::Apply { .. }),
            Self::Discard(_)
            | Self::Undo(_)
            | Self::Rollback(_)
            | Self::Rm(_)
            | Self::Gc(_)
            | Self::Snapshot(SnapshotArguments { action: Some(_), .. })
            | Self::Recover(_) => true,
            _ => false,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct SandboxArgument {
    /// The sandbox; that of this folder when left out
    pub(crate) sandbox: Option<SandboxName>,
}

#[derive(Debug, Args)]
pub(crate) struct DiffArguments {
    #[command(flatten)]
    pub(crate) sandbox: SandboxArgument,
    /// Show changed lines of text files
    #[arg(long, short = 'p')]
    pub(crate) patch: bool,
    /// What this operation changed, instead of all uncommitted changes
    #[arg(long, value_name = "OP", conflicts_with = "since")]
    pub(crate) operation: Option<OperationId>,
    /// What changed since this snapshot
    #[arg(long, value_name = "SNAP")]
    pub(crate) since: Option<SnapshotId>,
    /// Against the real folder, with what the commands of `setup:` left
    #[arg(long, conflicts_with_all = ["operation", "since"])]
    pub(crate) base: bool,
    /// Only these paths, relative to the workspace
    #[arg(long = "path", value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct CommitArguments {
    #[command(flatten)]
    pub(crate) sandbox: SandboxArgument,
    /// Only these paths and what lies below them
    #[arg(long = "path", value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// What to do where someone else changed the folder meanwhile
    #[arg(long, value_enum, default_value_t = Conflict::Fail)]
    pub(crate) conflict: Conflict,
    /// Show what would be done, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// What to do with conflicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Conflict {
    /// Write nothing and name them
    Fail,
    /// Leave the folder's version of those paths
    Theirs,
    /// Write the sandbox's version; the folder's is kept for undo
    Ours,
    /// Leave the folder's version and write the sandbox's beside it
    KeepBoth,
}

impl From<Conflict> for ConflictStrategy {
    fn from(conflict: Conflict) -> Self {
        match conflict {
            Conflict::Fail => Self::Fail,
            Conflict::Theirs => Self::Theirs,
            Conflict::Ours => Self::Ours,
            Conflict::KeepBoth => Self::KeepBoth,
        }
    }
}

impl From<ConflictStrategy> for Conflict {
    fn from(strategy: ConflictStrategy) -> Self {
        match strategy {
            ConflictStrategy::Fail => Self::Fail,
            ConflictStrategy::Theirs => Self::Theirs,
            ConflictStrategy::Ours => Self::Ours,
            ConflictStrategy::KeepBoth => Self::KeepBoth,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct UndoArguments {
    #[command(flatten)]
    pub(crate) sandbox: SandboxArgument,
    /// This operation alone, while later ones stay
    #[arg(long, value_name = "OP")]
    pub(crate) operation: Option<OperationId>,
    /// When a commit is undone: what to do where someone changed the folder since
    #[arg(long, value_enum, default_value_t = Conflict::Fail)]
    pub(crate) conflict: Conflict,
}

#[derive(Debug, Args)]
pub(crate) struct RedoArguments {
    #[command(flatten)]
    pub(crate) sandbox: SandboxArgument,
    /// When a commit is brought back: what to do where someone changed the folder since
    #[arg(long, value_enum, default_value_t = Conflict::Fail)]
    pub(crate) conflict: Conflict,
}

#[derive(Debug, Args)]
pub(crate) struct NewArguments {
    /// Its name
    pub(crate) name: SandboxName,
    /// The folder that it starts from: this one when left out; at a service an absolute path there, or
    /// an empty folder of its own
    #[arg(long, value_name = "FOLDER")]
    pub(crate) base: Option<PathBuf>,
    /// The root: `host`, `overlay`, a folder, a tar file, an image as podman and docker save it,
    /// with `:NAME` behind it where there are several, or one of a registry: `docker://HOST/NAME:TAG`
    #[arg(long, value_name = "ROOT")]
    pub(crate) root: Option<PathBuf>,
    /// When a registry is asked for the image of `--root`
    #[arg(long, value_enum, default_value_t, value_name = "WHEN", requires = "root")]
    pub(crate) pull: Pull,
    /// What keeps its trees: `overlay`, `btrfs`, `reflink`, `copy`, or `auto` for the cheapest that
    /// can be had; see docs/workspaces.md
    #[arg(long, value_name = "DRIVER")]
    pub(crate) workspace: Option<WorkspaceChoice>,
}

#[derive(Debug, Args)]
pub(crate) struct RemoveArguments {
    /// The sandbox
    pub(crate) sandbox: SandboxName,
    /// Also when it has uncommitted changes
    #[arg(long, short)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DoctorArguments {
    /// Probe anew, whatever is known already
    #[arg(long)]
    pub(crate) probe: bool,
    /// Measure what each driver costs here, which takes some seconds
    #[arg(long)]
    pub(crate) cost: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SuspendArguments {
    /// The sandbox
    pub(crate) sandbox: SandboxName,
    /// Why, for those who meet it later
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ResumeArguments {
    /// The sandbox
    pub(crate) sandbox: SandboxName,
}

#[derive(Debug, Args)]
pub(crate) struct RollbackArguments {
    /// The sandbox, and the snapshot (`snap-3`) or operation (`op-7`: the point before it); the
    /// sandbox of this folder when only one is given
    #[arg(num_args = 1..=2, value_names = ["SANDBOX", "TARGET"], required = true)]
    pub(crate) words: Vec<String>,
    /// Only these paths and what lies below them
    #[arg(long = "path", value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Show what would change, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Check every file of the snapshot first, not only its layers
    #[arg(long)]
    pub(crate) verify: bool,
    /// Run the health checks of ctrlz.yaml afterwards; the exit code is 1 when one fails
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) check: bool,
    /// Then let the command go on whose memory the snapshot has, in the foreground
    #[arg(long, conflicts_with_all = ["dry_run", "paths", "check"])]
    pub(crate) memory: bool,
    /// With --memory: approve the command, as for `ctrlz exec`
    #[arg(long, requires = "memory")]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RecoverArguments {
    /// Return this sandbox to the last point that is known to be good
    #[arg(long, value_name = "SANDBOX")]
    pub(crate) emergency: Option<SandboxName>,
    /// What is wrong; needed when no health check fails
    #[arg(long, value_name = "TEXT", requires = "emergency")]
    pub(crate) reason: Option<String>,
    /// Return to this snapshot, whether it is known to be good or not
    #[arg(long, value_name = "SNAP", requires = "emergency")]
    pub(crate) to: Option<SnapshotId>,
    /// Make the sandboxes that are not here from an archive: that of this host, or the place given
    #[arg(long, value_name = "PLACE", num_args = 0..=1, conflicts_with = "emergency")]
    #[expect(clippy::option_option, reason = "whether it was given, and with what")]
    pub(crate) from_archive: Option<Option<String>>,
    #[command(flatten)]
    pub(crate) keys: KeyArguments,
}

#[derive(Debug, Args)]
pub(crate) struct ReleaseArguments {
    /// The sandbox
    pub(crate) sandbox: SandboxName,
}

#[derive(Debug, Args)]
pub(crate) struct ForkArguments {
    /// The sandbox to copy
    pub(crate) sandbox: SandboxName,
    /// The copy's name
    pub(crate) name: SandboxName,
}

#[derive(Debug, Args)]
pub(crate) struct LogArguments {
    #[command(flatten)]
    pub(crate) sandbox: SandboxArgument,
    /// How many
    #[arg(long, short = 'n', value_name = "N", default_value_t = 30)]
    pub(crate) limit: u32,
}

#[derive(Debug, Args)]
pub(crate) struct ShowArguments {
    /// The operation
    pub(crate) operation: OperationId,
    /// Show changed lines of text files
    #[arg(long, short = 'p')]
    pub(crate) patch: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ConfigArguments {
    #[command(subcommand)]
    pub(crate) action: ConfigAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigAction {
    /// Show the merged result, and where each value comes from
    Show {
        /// As if this profile were chosen
        #[arg(long)]
        profile: Option<String>,
    },
}
