//! The grammar of what runs commands.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::OnceLock;

use clap::{ArgAction, Args, FromArgMatches, ValueEnum};
use ctrlz_core::driver::Isolation;
use ctrlz_core::isolation::Network;
use ctrlz_core::name::SandboxName;
use ctrlz_core::size::ByteSize;
use ctrlz_core::span::Span;
use ctrlz_core::workspace_choice::WorkspaceChoice;

use super::Conflict;
use crate::failure::{Failure, OWN_FAILURE};
use crate::root::Pull;

/// `ctrlz run`
#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    /// The root: `host` (read-only), `overlay` (copy-on-write), a folder, a tar file, an image as
    /// podman and docker save it, with `:NAME` behind it where there are several, or one of a
    /// registry: `docker://HOST/NAME:TAG`
    #[arg(long, value_name = "ROOT")]
    pub(crate) root: Option<PathBuf>,
    /// When a registry is asked for the image of `--root`
    #[arg(long, value_enum, default_value_t, value_name = "WHEN", requires = "root")]
    pub(crate) pull: Pull,
    /// What keeps the trees of a new sandbox: `overlay`, `btrfs`, `reflink`, `copy`, or `auto` for
    /// the cheapest that can be had; see docs/workspaces.md
    #[arg(long, value_name = "DRIVER")]
    pub(crate) workspace: Option<WorkspaceChoice>,
    /// Throw away this folder's uncommitted changes first
    #[arg(long)]
    pub(crate) fresh: bool,
    #[command(flatten)]
    pub(crate) how: CommandArguments,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

/// `ctrlz exec`
#[derive(Debug, Args)]
pub(crate) struct ExecArguments {
    /// The sandbox
    pub(crate) sandbox: SandboxName,
    #[command(flatten)]
    pub(crate) how: CommandArguments,
    /// At a service: the confirmation that somebody approved for this command
    #[arg(long, value_name = "ID")]
    pub(crate) confirmation: Option<String>,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

/// `ctrlz shell`
#[derive(Debug, Args)]
pub(crate) struct ShellArguments {
    /// The sandbox; that of this folder when left out
    pub(crate) sandbox: Option<SandboxName>,
    #[command(flatten)]
    pub(crate) how: CommandArguments,
}

/// How a command runs.
#[derive(Debug, Clone, Args)]
pub(crate) struct CommandArguments {
    /// Commit when the command succeeds; take its changes back when it fails
    #[arg(long, overrides_with = "no_commit")]
    pub(crate) commit: bool,
    /// Do not commit, whatever the configuration says
    #[arg(long, hide = true)]
    pub(crate) no_commit: bool,
    /// With --commit: what to do where someone else changed the folder meanwhile
    #[arg(long, value_enum, default_value_t = Conflict::Fail)]
    pub(crate) conflict: Conflict,
    /// Take a snapshot before the command (the default)
    #[arg(long, overrides_with = "no_snapshot")]
    pub(crate) snapshot: bool,
    /// Take no snapshot; undo works all the same
    #[arg(long)]
    pub(crate) no_snapshot: bool,
    /// Stop the command after this time: `90`, `10m`, `2h`
    #[arg(long, value_name = "TIME")]
    pub(crate) timeout: Option<Span>,
    /// The most memory for all its processes together: `512M`, `2G`
    #[arg(long, value_name = "SIZE")]
    pub(crate) memory: Option<ByteSize>,
    /// The most processors: `1`, `0.5`
    #[arg(long, value_name = "N", value_parser = positive)]
    pub(crate) cpus: Option<f64>,
    /// The most processes and threads
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) pids: Option<u32>,
    /// The most that it may add to the workspace
    #[arg(long, value_name = "SIZE")]
    pub(crate) disk: Option<ByteSize>,
    /// The most open files of each process
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(8..))]
    pub(crate) open_files: Option<u64>,
    /// The most output, standard output and error together
    #[arg(long, value_name = "SIZE")]
    pub(crate) max_output: Option<ByteSize>,
    /// Set a variable, or pass one on by its name
    #[arg(long, short, value_name = "NAME[=VALUE]")]
    pub(crate) env: Vec<OsString>,
    /// The network
    #[arg(long, value_enum)]
    pub(crate) net: Option<NetworkWord>,
    /// What isolates the command: `native`, `oci:RUNTIME` (such as oci:runc), `engine:podman:IMAGE`,
    /// `engine:docker:IMAGE`, `wasm`, `systemd`, or a level: dev, standard or strict
    #[arg(long, value_name = "DRIVER")]
    pub(crate) isolation: Option<Isolation>,
    /// The working folder inside
    #[arg(long, short = 'w', value_name = "FOLDER")]
    pub(crate) workdir: Option<PathBuf>,
    /// The profile: development, testing, production or high-security
    #[arg(long, value_name = "PROFILE")]
    pub(crate) profile: Option<String>,
    /// Keep a capability, such as NET_BIND_SERVICE
    #[arg(long, value_name = "CAPABILITY")]
    pub(crate) cap_add: Vec<String>,
    /// Hide a file or folder of the host
    #[arg(long, value_name = "PATH")]
    pub(crate) hide: Vec<PathBuf>,
    /// Show one that is hidden by default
    #[arg(long, value_name = "PATH")]
    pub(crate) show: Vec<PathBuf>,
    /// Answer the question about a command of high risk with yes, where the profile lets it
    #[arg(long, short)]
    pub(crate) yes: bool,
    /// Run it though its risk is critical; only in the profile development
    #[arg(long)]
    pub(crate) allow_critical: bool,
    /// When to print a summary on standard error
    #[arg(long, value_enum, default_value_t = SummaryWhen::Auto, value_name = "WHEN")]
    pub(crate) summary: SummaryWhen,
    /// Fail at once when another ctrlz uses the sandbox, instead of waiting
    #[arg(long, action = ArgAction::SetTrue)]
    pub(crate) no_wait: bool,
}

/// `--net`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum NetworkWord {
    /// Nothing but loopback
    None,
    /// The host's
    Host,
}

impl From<NetworkWord> for Network {
    fn from(word: NetworkWord) -> Self {
        match word {
            NetworkWord::None => Self::None,
            NetworkWord::Host => Self::Host,
        }
    }
}

/// `--summary`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SummaryWhen {
    /// On a terminal; elsewhere only when something stood in the command's way
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

impl CommandArguments {
    /// As if none were given.
    pub(crate) fn plain() -> Result<Self, Failure> {
        // The service asks for them with every operation, and making the grammar takes longer than judging.
        static PLAIN: OnceLock<CommandArguments> = OnceLock::new();
        if let Some(plain) = PLAIN.get() {
            return Ok(plain.clone());
        }
        let grammar = Self::augment_args(clap::Command::new("plain").no_binary_name(true));
        let matches = grammar.try_get_matches_from(std::iter::empty::<OsString>());
        let plain = matches
            .and_then(|matches| Self::from_arg_matches(&matches))
            .map_err(|error| Failure::caused(OWN_FAILURE, "arguments", &error))?;
        Ok(PLAIN.get_or_init(|| plain).clone())
    }
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && number > 0.0 => Ok(number),
        _ => Err("expected a number above 0, such as 1 or 0.5".to_owned()),
    }
}
