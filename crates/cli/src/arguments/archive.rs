//! The grammar of `ctrlz push`, `pull`, `archive`, `export`, `import`, `verify` and `drill`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use ctrlz_core::id::SnapshotId;
use ctrlz_core::name::SandboxName;
use ctrlz_core::snapshot::SnapshotScope;

/// What opens an encrypted archive, beside what archive.yaml says.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct KeyArguments {
    /// A file of age identities or an SSH key that opens the archive (may be given several times)
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) identity: Vec<PathBuf>,
    /// The file whose first line is the archive's passphrase
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) passphrase_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct PushArguments {
    /// The snapshots; when left out, where the sandbox stands now
    pub(crate) snapshots: Vec<SnapshotId>,
    /// The sandbox, when it is not the one of this folder
    #[arg(long, value_name = "NAME", conflicts_with = "snapshots")]
    pub(crate) sandbox: Option<SandboxName>,
    /// What of the snapshot; when left out, what it was taken for
    #[arg(long, value_enum)]
    pub(crate) scope: Option<ArchiveScope>,
    /// Where to send it besides, instead of the copies in archive.yaml: a directory, s3://…,
    /// gs://…, az://…, or registry://HOST/NAME
    #[arg(long, value_name = "PLACE")]
    pub(crate) to: Vec<String>,
    /// Take files that cannot be read for absent, and tell them
    #[arg(long)]
    pub(crate) skip_unreadable: bool,
    #[command(flatten)]
    pub(crate) keys: KeyArguments,
}

/// What of a snapshot is archived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ArchiveScope {
    /// The folder, the changes on it and the state: it can be restored anywhere
    Full,
    /// The changes and the state: it returns to a folder that is there
    Incremental,
    /// The state alone
    StateOnly,
}

impl From<ArchiveScope> for SnapshotScope {
    fn from(scope: ArchiveScope) -> Self {
        match scope {
            ArchiveScope::Full => Self::Full,
            ArchiveScope::Incremental => Self::Incremental,
            ArchiveScope::StateOnly => Self::StateOnly,
        }
    }
}

/// Where a snapshot at rest lies.
#[derive(Debug, Clone, Args)]
pub(crate) struct FromArgument {
    /// The place, when it is not the archive of this host: a directory, s3://…, gs://…, az://…, or
    /// registry://HOST/NAME
    #[arg(long, value_name = "PLACE", global = true)]
    pub(crate) from: Option<String>,
}

/// Where a snapshot comes back to.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Destination {
    /// Restore the files into this folder, which must not exist, and nothing else
    #[arg(long, value_name = "FOLDER")]
    pub(crate) to: Option<PathBuf>,
    /// With --to: only this path and what is in it (may be given several times)
    #[arg(long, value_name = "PATH", requires = "to")]
    pub(crate) path: Vec<PathBuf>,
    /// The sandbox that gets it, when it is not one of the same name; made when there is none
    #[arg(long, value_name = "NAME", conflicts_with = "to")]
    pub(crate) sandbox: Option<SandboxName>,
    /// The folder that the sandbox is of, when it is not where it was
    #[arg(long, value_name = "FOLDER", conflicts_with = "to")]
    pub(crate) base: Option<PathBuf>,
    /// With --base: the folder is empty, and is filled with what the sandbox began with
    #[arg(long, hide = true, requires = "base")]
    pub(crate) anew: bool,
    /// Begin in a process that may handle files of many owners
    #[arg(long, hide = true)]
    pub(crate) many_owners: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PullArguments {
    /// The snapshot's name in the archive, as `ctrlz archive ls` shows it
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) from: FromArgument,
    #[command(flatten)]
    pub(crate) destination: Destination,
    #[command(flatten)]
    pub(crate) keys: KeyArguments,
}

#[derive(Debug, Args)]
pub(crate) struct ArchiveArguments {
    #[command(subcommand)]
    pub(crate) action: ArchiveAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ArchiveAction {
    /// List the snapshots in the archive
    Ls {
        #[command(flatten)]
        from: FromArgument,
        #[command(flatten)]
        keys: KeyArguments,
    },
    /// Take snapshots out of the archive; `archive gc` gives their space back
    Rm {
        /// Their names
        #[arg(required = true)]
        names: Vec<String>,
        #[command(flatten)]
        from: FromArgument,
        #[command(flatten)]
        keys: KeyArguments,
    },
    /// Remove what no snapshot in the archive needs
    Gc {
        #[command(flatten)]
        from: FromArgument,
        /// Only tell what would be removed
        #[arg(long, short = 'n')]
        dry_run: bool,
        /// Also what was written within the last day and belongs to no snapshot
        #[arg(long)]
        now: bool,
    },
    /// Do now what archive.yaml asks for and the daemon does by itself, at the lowest priority
    ///
    /// Snapshots that `snapshots:` names are archived and sent to the copies, the newest ones are
    /// drilled as `drill_every:` says, and of those that nobody asked for, all but the newest
    /// `keep_automatic:` are taken out. The exit code is 1 when something failed, and 75 when it gave
    /// way to somebody who waits for the archive.
    Apply {
        /// End with the process that started it, and leave alone what failed a moment ago
        #[arg(long, hide = true)]
        of_daemon: bool,
    },
    /// Encrypt the archive, and change who can open it
    Keys {
        #[command(subcommand)]
        action: KeysAction,
        #[command(flatten)]
        from: FromArgument,
        #[command(flatten)]
        keys: KeyArguments,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeysAction {
    /// Encrypt everything that is archived from now on
    Init(RecipientArguments),
    /// Tell which data keys there are, and which of them the identities at hand open
    Show,
    /// Accept the data key that the archive has now, after another host has changed it
    Trust,
    /// Encrypt the data keys to others; what lies in the archive is not written again
    ///
    /// Whoever could open the archive before may have kept its keys and opens with them what was
    /// written until now. What is written from now on is encrypted to a new data key, unless
    /// --same-key is given.
    Rotate {
        #[command(flatten)]
        recipients: RecipientArguments,
        /// Make no new data key
        #[arg(long)]
        same_key: bool,
    },
}

/// Who shall be able to open the archive.
#[derive(Debug, Args)]
pub(crate) struct RecipientArguments {
    /// A public key: age1…, or `ssh-ed25519 …` (may be given several times)
    #[arg(long, short, value_name = "KEY")]
    pub(crate) recipient: Vec<String>,
    /// A file of public keys, one a line
    #[arg(long, short = 'R', value_name = "FILE")]
    pub(crate) recipients_file: Vec<PathBuf>,
    /// The file whose first line is the passphrase that shall open it
    #[arg(long, value_name = "FILE")]
    pub(crate) new_passphrase_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ExportArguments {
    /// The snapshot
    pub(crate) snapshot: SnapshotId,
    /// The file, which must not exist; `-` is standard output
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: PathBuf,
    /// What to write, when the file's name does not tell
    #[arg(long, value_enum)]
    pub(crate) format: Option<ExportFormat>,
    /// Take files that cannot be read for absent, and tell them
    #[arg(long)]
    pub(crate) skip_unreadable: bool,
}

/// What an export is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportFormat {
    /// The files, as one tar archive (.tar)
    Tar,
    /// The same, compressed with gzip (.tar.gz, .tgz)
    #[value(name = "tar.gz")]
    TarGzip,
    /// The same, compressed with zstd (.tar.zst, .tzst)
    #[value(name = "tar.zst")]
    TarZstd,
    /// The snapshot as an image with its layers and its state, for `ctrlz import`, podman, skopeo, …
    /// (.oci, .oci.tar)
    OciArchive,
}

#[derive(Debug, Args)]
pub(crate) struct ImportArguments {
    /// The file: an export as `oci-archive`, or a folder with an OCI image layout
    pub(crate) file: PathBuf,
    /// The snapshot's name in it, when it has several
    #[arg(long)]
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) destination: Destination,
    #[command(flatten)]
    pub(crate) keys: KeyArguments,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArguments {
    /// Names of snapshots in the archive; all of them when left out
    pub(crate) names: Vec<String>,
    #[command(flatten)]
    pub(crate) from: FromArgument,
    /// Read only about this share of the layers, others each day
    #[arg(long, value_name = "N%", value_parser = share)]
    pub(crate) sample: Option<f64>,
    /// Remove damaged blobs, so that the next push brings them again
    #[arg(long)]
    pub(crate) discard: bool,
    #[command(flatten)]
    pub(crate) keys: KeyArguments,
}

#[derive(Debug, Args)]
pub(crate) struct DrillArguments {
    /// Names of snapshots in the archive; the newest one of each sandbox when left out
    pub(crate) names: Vec<String>,
    #[command(flatten)]
    pub(crate) from: FromArgument,
    #[command(flatten)]
    pub(crate) keys: KeyArguments,
}

fn share(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text).parse::<f64>();
    match number {
        Ok(share) if share > 0.0 && share <= 100.0 => Ok(share / 100.0),
        _ => Err("expected a share of more than 0% and at most 100%".to_owned()),
    }
}
