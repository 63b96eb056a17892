//! What another process of ctrlz does for a client: reading and writing archives, which are large and may
//! come from elsewhere, and looking at the whole event log.

use ctrlz_core::id::SnapshotId;
use ctrlz_core::name::SandboxName;
use ctrlz_core::snapshot::SnapshotScope;

/// How many names a title has.
const TOLD: usize = 8;

/// What is to be done, in the caller's store.
#[derive(Debug, Clone, PartialEq)]
pub enum Errand {
    /// Check that the event log is as it was written.
    VerifyLog {
        /// The first event to tell about.
        from: Option<i64>,
        /// The last one.
        to: Option<i64>,
    },
    /// Sign how far the event log has come.
    SignLog,
    /// Tell the key with which it is verified.
    LogKey,
    /// The event log with its signed checkpoints, as JSON lines.
    ExportLog {
        /// The first event.
        from: Option<i64>,
        /// The last one.
        to: Option<i64>,
    },
    /// List the snapshots in the archive.
    List,
    /// Archive snapshots.
    Push {
        /// Which.
        what: Pushed,
        /// How much of them; what they were taken for when it is left out.
        scope: Option<SnapshotScope>,
        /// Take files that cannot be read for absent.
        skip_unreadable: bool,
    },
    /// Bring a snapshot back from the archive.
    Pull {
        /// Its name there.
        name: String,
        /// The sandbox that gets it; made when there is none of that name.
        sandbox: SandboxName,
    },
    /// Take snapshots out of the archive.
    Remove {
        /// Their names.
        names: Vec<String>,
    },
    /// Remove what no snapshot in the archive needs.
    Collect {
        /// Only tell what would go.
        dry_run: bool,
        /// Also what was written within the last day.
        now: bool,
    },
    /// Read what is archived and compare it with its digests.
    Verify {
        /// The snapshots' names; all of them when it is empty.
        names: Vec<String>,
        /// Read only about this share of the layers, more than 0 and at most 1.
        sample: Option<f64>,
        /// Remove damaged blobs.
        discard: bool,
    },
    /// Restore archived snapshots for a moment and compare them.
    Drill {
        /// Their names; the newest of each sandbox when it is empty.
        names: Vec<String>,
    },
}

impl Errand {
    /// One line for people: the command that does the same.
    pub(crate) fn title(&self) -> String {
        let with = |words: &str, names: &[String]| {
            let few = names.iter().take(TOLD).map(String::as_str);
            let more = names.get(TOLD..).filter(|more| !more.is_empty()).map(|_| "…");
            std::iter::once(words).chain(few).chain(more).collect::<Vec<_>>().join(" ")
        };
        match self {
            Self::VerifyLog { .. } => "audit verify".to_owned(),
            Self::SignLog => "audit sign".to_owned(),
            Self::LogKey => "audit key".to_owned(),
            Self::ExportLog { .. } => "audit export".to_owned(),
            Self::List => "archive ls".to_owned(),
            Self::Push { what: Pushed::Sandbox(name), .. } => format!("push --sandbox {name}"),
            Self::Push { what: Pushed::Snapshots(ids), .. } => {
                with("push", &ids.iter().map(ToString::to_string).collect::<Vec<_>>())
            }
            Self::Pull { name, sandbox } => format!("pull --sandbox {sandbox} {name}"),
            Self::Remove { names } => with("archive rm", names),
            Self::Collect { dry_run: false, .. } => "archive gc".to_owned(),
            Self::Collect { dry_run: true, .. } => "archive gc --dry-run".to_owned(),
            Self::Verify { names, .. } => with("verify", names),
            Self::Drill { names } => with("drill", names),
        }
    }

    /// The sandbox that it is about.
    pub(crate) fn sandbox(&self) -> Option<&SandboxName> {
        match self {
            Self::Push { what: Pushed::Sandbox(name), .. } => Some(name),
            Self::Pull { sandbox, .. } => Some(sandbox),
            _ => None,
        }
    }
}

/// What is archived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pushed {
    /// Where a sandbox stands now.
    Sandbox(SandboxName),
    /// These snapshots.
    Snapshots(Vec<SnapshotId>),
}
