//! The grammar of `ctrlz state`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use ctrlz_config::KeySource;
use ctrlz_core::name::SandboxName;
use ctrlz_core::state_store::ImportConflict;

#[derive(Debug, Args)]
pub(crate) struct StateArguments {
    #[command(subcommand)]
    pub(crate) action: StateAction,
    /// The sandbox; that of this folder when left out
    #[arg(long, global = true, value_name = "SANDBOX")]
    pub(crate) sandbox: Option<SandboxName>,
    /// The state that belongs to no sandbox and outlives them all
    #[arg(long, global = true, conflicts_with = "sandbox")]
    pub(crate) global: bool,
    /// Where the secret key of encrypted values is: `file:PATH`, `env:NAME`, `command:COMMAND` or
    /// `keyring:NAME`; what the configuration says (`state.key`) when left out
    #[arg(long, global = true, value_name = "KEYSPEC")]
    pub(crate) with_key: Option<KeySource>,
}

impl StateArguments {
    /// Whether all that it does is to write more into the store.
    pub(crate) fn only_takes_space(&self) -> bool {
        matches!(self.action, StateAction::Put { .. } | StateAction::Import { .. })
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum StateAction {
    /// Print a value
    Get {
        /// The key
        key: String,
        /// As of this version
        #[arg(long, value_name = "N", conflicts_with = "at")]
        version: Option<u64>,
        /// As of a snapshot (`snap-3`), before an operation (`op-7`), or at a time
        /// (`2026-01-31T12:00:00Z`)
        #[arg(long, value_name = "WHEN")]
        at: Option<String>,
    },
    /// Write a value
    Put {
        /// The key
        key: String,
        /// The value; standard input when left out
        value: Option<String>,
        /// Only if the key was last written at this version; 0: only if it is absent
        #[arg(long, value_name = "N")]
        expect: Option<u64>,
        /// Encrypt the value, and those that replace it until the key is deleted
        #[arg(long)]
        sensitive: bool,
    },
    /// Delete a key
    Delete {
        /// The key
        key: String,
        /// Only if the key was last written at this version
        #[arg(long, value_name = "N")]
        expect: Option<u64>,
    },
    /// List the keys
    List {
        /// As of this version
        #[arg(long, value_name = "N", conflicts_with = "at")]
        version: Option<u64>,
        /// As of a snapshot (`snap-3`), before an operation (`op-7`), or at a time
        /// (`2026-01-31T12:00:00Z`)
        #[arg(long, value_name = "WHEN")]
        at: Option<String>,
    },
    /// List all versions of a key
    History {
        /// The key
        key: String,
    },
    /// Encrypt all encrypted values, in all sandboxes and versions, with another key
    ///
    /// All of them in one step: after a crash, all are under the one key or all under the other.
    /// Afterwards the old key opens nothing in the store any more; earlier exports still need it.
    Rotate {
        /// Where the key is that opens the values
        #[arg(long, value_name = "KEYSPEC")]
        from: KeySource,
        /// Where the key is that they are encrypted with from now on; what the configuration says
        /// when left out
        #[arg(long, value_name = "KEYSPEC")]
        to: Option<KeySource>,
    },
    /// Check every version of every key against its checksum and the journal
    ///
    /// No secret key is needed. The exit code is 1 when something is wrong.
    Verify {
        /// In all sandboxes, and outside of them
        #[arg(long, conflicts_with_all = ["sandbox", "global"])]
        all: bool,
    },
    /// Mend what `verify` finds, from the journal and from good copies; drop nothing
    ///
    /// The exit code is 1 when something could not be mended.
    Repair {
        /// In all sandboxes, and outside of them
        #[arg(long, conflicts_with_all = ["sandbox", "global"])]
        all: bool,
        /// An export that may have good copies of values
        #[arg(long, value_name = "FILE")]
        from: Option<PathBuf>,
    },
    /// Make the state what the journal tells of it
    ///
    /// The exit code is 1 when something is, or stays, different.
    Rebuild {
        /// In all sandboxes, and outside of them
        #[arg(long, conflicts_with_all = ["sandbox", "global"])]
        all: bool,
        /// Only compare
        #[arg(long, conflicts_with = "drop_unknown")]
        check: bool,
        /// Drop entries that no operation in the journal wrote
        #[arg(long)]
        drop_unknown: bool,
    },
    /// Write all histories into a file; encrypted values stay encrypted
    Export {
        /// The file, which must not exist; standard output when left out
        file: Option<PathBuf>,
        /// All sandboxes, and what is outside of them
        #[arg(long, conflicts_with_all = ["sandbox", "global"])]
        all: bool,
    },
    /// Merge histories from an export: all of them or, when something is in the way, none
    ///
    /// Each namespace goes to the sandbox of its name. With --sandbox or --global, an export of one
    /// namespace goes there.
    Import {
        /// The export; `-` for standard input
        file: PathBuf,
        /// Show what would be done, and do nothing
        #[arg(long)]
        dry_run: bool,
        /// What to do with keys whose history here is another
        #[arg(long, value_enum, default_value_t = OnConflict::Fail)]
        on_conflict: OnConflict,
    },
}

/// What to do with keys whose history is another here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum OnConflict {
    /// Write nothing and name them
    Fail,
    /// Leave them as they are here
    Skip,
    /// Write the import's history after the one that is here
    Theirs,
}

impl From<OnConflict> for ImportConflict {
    fn from(what: OnConflict) -> Self {
        match what {
            OnConflict::Fail => Self::Fail,
            OnConflict::Skip => Self::Skip,
            OnConflict::Theirs => Self::Theirs,
        }
    }
}
