//! The grammar of `ctrlz snapshot`, `snapshots` and `gc`.

use clap::{Args, Subcommand, ValueEnum};
use ctrlz_core::id::{OperationId, SnapshotId};
use ctrlz_core::name::SandboxName;
use ctrlz_core::size::ByteSize;
use ctrlz_core::snapshot::{SnapshotKind, SnapshotScope, Tag};
use ctrlz_core::span::Span;

use super::SandboxArgument;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct SnapshotArguments {
    #[command(subcommand)]
    pub(crate) action: Option<SnapshotAction>,
    #[command(flatten)]
    pub(crate) sandbox: SandboxArgument,
    /// What to write beside it
    #[arg(long, short, value_name = "TEXT", default_value = "")]
    pub(crate) message: String,
    /// A word on it; `keep` keeps it whatever its age (may be given several times)
    #[arg(long = "tag", value_name = "TAG")]
    pub(crate) tags: Vec<Tag>,
    /// What a return brings back
    #[arg(long, value_enum, default_value_t = ScopeWord::Full)]
    pub(crate) scope: ScopeWord,
    /// Now, also while a command runs, with what that has written so far; it goes on. Otherwise a
    /// snapshot waits for its end
    #[arg(long)]
    pub(crate) live: bool,
    /// The same with the memory of the command that runs, to go on from there by `ctrlz rollback --memory`
    /// (gVisor alone: `--isolation oci:runsc`)
    #[arg(long)]
    pub(crate) memory: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SnapshotAction {
    /// Put tags on a snapshot (`+TAG`) and take others off (`-TAG`)
    Tag {
        /// The snapshot
        snapshot: SnapshotId,
        /// `+TAG` or `-TAG`
        #[arg(value_name = "±TAG", required = true, allow_hyphen_values = true)]
        changes: Vec<TagChange>,
    },
    /// Remove a snapshot, and what only it needed
    Rm {
        /// The snapshot
        snapshot: SnapshotId,
        /// Also when it is tagged to be kept, or the last point that is known to be good
        #[arg(long, short)]
        force: bool,
    },
}

/// `+TAG` or `-TAG`.
#[derive(Debug, Clone)]
pub(crate) enum TagChange {
    Add(Tag),
    Remove(Tag),
}

impl std::str::FromStr for TagChange {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let tag = |text: &str| text.parse::<Tag>().map_err(|error| error.to_string());
        match (text.strip_prefix('+'), text.strip_prefix('-')) {
            (Some(text), _) => Ok(Self::Add(tag(text)?)),
            (_, Some(text)) => Ok(Self::Remove(tag(text)?)),
            _ => Err("write +TAG to put a tag on it, or -TAG to take one off".to_owned()),
        }
    }
}

/// What a return brings back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ScopeWord {
    /// Files and state
    Full,
    /// Files and state; meant as what came on top of the snapshot before it
    Incremental,
    /// The state alone: no file is kept, and a return touches none
    StateOnly,
}

impl From<ScopeWord> for SnapshotScope {
    fn from(word: ScopeWord) -> Self {
        match word {
            ScopeWord::Full => Self::Full,
            ScopeWord::Incremental => Self::Incremental,
            ScopeWord::StateOnly => Self::StateOnly,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct SnapshotsArguments {
    #[command(flatten)]
    pub(crate) sandbox: SandboxArgument,
    /// Also those taken before operations
    #[arg(long)]
    pub(crate) all: bool,
    /// Only those with this tag (with several: all of them)
    #[arg(long = "tag", value_name = "TAG")]
    pub(crate) tags: Vec<Tag>,
    /// Only those whose message has this text, in capitals or not
    #[arg(long, value_name = "TEXT")]
    pub(crate) text: Option<String>,
    /// Only those taken at this time or later: RFC 3339 (`2026-01-31`, `2026-01-31T12:00:00Z`), or
    /// so long ago (`2h`)
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Only those taken before this time
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    /// Only those that this operation took
    #[arg(long, value_name = "OP")]
    pub(crate) operation: Option<OperationId>,
    /// Only this kind
    #[arg(long, value_enum)]
    pub(crate) kind: Option<KindWord>,
}

/// Why a snapshot was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum KindWord {
    /// The user asked for it
    Manual,
    /// A schedule or a threshold asked for it
    Automatic,
    /// Before an operation
    PreOperation,
    /// What a rollback left behind
    PreRollback,
}

impl From<KindWord> for SnapshotKind {
    fn from(word: KindWord) -> Self {
        match word {
            KindWord::Manual => Self::Manual,
            KindWord::Automatic => Self::Automatic,
            KindWord::PreOperation => Self::PreOperation,
            KindWord::PreRollback => Self::PreRollback,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct GcArguments {
    /// Only this sandbox's past; that of all when left out
    pub(crate) sandbox: Option<SandboxName>,
    /// Tell what would go and why, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Let go what is older, instead of what the configuration says
    #[arg(long, value_name = "TIME")]
    pub(crate) max_age: Option<Span>,
    /// Keep so many snapshots of each kind, instead of what the configuration says
    #[arg(long, value_name = "N")]
    pub(crate) max_snapshots: Option<u32>,
    /// Keep so many bytes of a sandbox's past, instead of what the configuration says
    #[arg(long, value_name = "SIZE")]
    pub(crate) max_bytes: Option<ByteSize>,
    /// The clock is right, although it has jumped ahead: let go what is old by it
    #[arg(long)]
    pub(crate) trust_clock: bool,
}
