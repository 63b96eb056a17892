//! The one place that wires the store and the drivers to the engine.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use ctrlz_core::actor::Actor;
use ctrlz_core::id::SnapshotId;
use ctrlz_core::name::SandboxName;
use ctrlz_core::sandbox::Sandbox;
use ctrlz_core::store::Store;
use ctrlz_core::workspace::WorkspaceDriver;
use ctrlz_engine::SandboxCore;
use ctrlz_engine::tracker::{Recorder, StateTracker};
use ctrlz_isolation::Isolator;
use ctrlz_store::SqliteMonitor;
use ctrlz_workspace::{CopyDriver, Duplication, OverlayDriver};

use crate::failure::{Failure, OWN_FAILURE, REFUSED};
use crate::isolation::Isolation;
use crate::store::OpenStore;
use crate::{actor, clock, commands, places};

/// An open store and its drivers.
pub(crate) struct Context {
    pub(crate) directory: PathBuf,
    pub(crate) isolation: Isolation,
    store: OpenStore,
    samples: SqliteMonitor,
    overlay: OverlayDriver,
    btrfs: CopyDriver,
    zfs: CopyDriver,
    reflink: CopyDriver,
    copy: CopyDriver,
}

/// What to do when another process uses a sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WhenBusy {
    /// Say so and wait.
    Wait,
    /// Wait, and say nothing.
    WaitSilently,
    /// Fail.
    Fail,
}

/// The driver `zfs` with its bookkeeping in `directory`, and its datasets below the one that
/// `CTRLZ_ZFS_DATASET` names.
pub(crate) fn zfs(directory: &Path) -> CopyDriver {
    match std::env::var("CTRLZ_ZFS_DATASET") {
        Ok(parent) if !parent.is_empty() => CopyDriver::zfs_below(&parent, directory),
        _ => CopyDriver::by(Duplication::Zfs, directory),
    }
}

impl Context {
    /// Opens the store; makes it when there is none.
    pub(crate) fn open() -> Result<Self, Failure> {
        Self::open_with(Isolator::default())
    }

    /// Opens the store, with a driver that may have begun already.
    pub(crate) fn open_with(isolation: Isolator) -> Result<Self, Failure> {
        Self::open_at(places::store()?, Isolation::Own(isolation), actor::current())
    }

    /// Opens the store in `directory`, for whoever acts; makes it when there is none.
    pub(crate) fn open_at(
        directory: PathBuf,
        isolation: Isolation,
        actor: Actor,
    ) -> Result<Self, Failure> {
        // Somebody may have lost the database and kept the rest.
        let was_there = directory.join("store.db").exists();
        let context = Self {
            isolation,
            store: crate::store::open_as(&directory, actor)?,
            samples: SqliteMonitor::of(&directory),
            overlay: OverlayDriver::new(&directory),
            btrfs: CopyDriver::by(Duplication::Btrfs, &directory.join("subvolumes")),
            zfs: zfs(&directory.join("datasets")),
            reflink: CopyDriver::by(Duplication::Reflink, &directory.join("reflinks")),
            copy: CopyDriver::new(&directory.join("copies")),
            directory,
        };
        if !was_there {
            context.pass_over_old_ids()?;
        }
        Ok(context)
    }

    /// What commits of a lost database left is never taken for something of a new one.
    fn pass_over_old_ids(&self) -> Result<(), Failure> {
        let mut newest = None;
        for driver in self.workspaces() {
            newest = newest.max(driver.newest_commit()?);
        }
        match newest {
            Some(newest) => Ok(self.store.reserve_ids(newest, SnapshotId(0))?),
            None => Ok(()),
        }
    }

    /// Errs when somebody else could change what a new sandbox is made of.
    pub(crate) fn check_ownership(&self) -> Result<(), Failure> {
        let failed = |error: std::io::Error| Failure::caused(OWN_FAILURE, "store", &error);
        let found = self.directory.metadata().map_err(failed)?;
        let (owner, mode) = (found.uid(), found.mode() & 0o7777);
        let user = rustix::process::geteuid().as_raw();
        let why = if owner != user {
            format!("it belongs to user {owner}, and you are user {user}")
        } else if mode & 0o022 != 0 {
            format!("others may write there (mode {mode:o})")
        } else {
            return Ok(());
        };
        let message = format!("the store {} is not yours alone: {why}", self.directory.display());
        Err(Failure::new(OWN_FAILURE, "store-ownership", message)
            .hint("make it yours with chown and chmod go-w, or choose another by CTRLZ_HOME"))
    }

    /// Where the machine code of WebAssembly modules is kept.
    pub(crate) fn compiled(&self) -> PathBuf {
        self.directory.join("compiled")
    }

    pub(crate) fn store(&self) -> &dyn Store {
        &self.store
    }

    /// From now on it is somebody else who acts.
    pub(crate) fn act_as(&mut self, actor: Actor) {
        crate::store::inner(&mut self.store).act_as(actor);
    }

    /// The store stays open when the command has ended.
    pub(crate) fn keep_open(&mut self) {
        crate::store::inner(&mut self.store).keep_open();
    }

    /// What operations used.
    pub(crate) fn tracker(&self) -> StateTracker<'_> {
        StateTracker::new(&self.store, self.isolation.driver(), &self.samples)
    }

    /// What is wrong with the history of usage, in words.
    pub(crate) fn check_samples(&self) -> Vec<String> {
        self.samples.check().unwrap_or_else(|error| vec![ctrlz_engine::in_full(&error)])
    }

    /// The workspace drivers, the cheapest first (see docs/decisions/0015-which-workspace-driver.md), but
    /// for one that `CTRLZ_WORKSPACE` prefers.
    pub(crate) fn workspaces(&self) -> [&dyn WorkspaceDriver; 5] {
        let mut all: [&dyn WorkspaceDriver; 5] =
            [&self.overlay, &self.btrfs, &self.zfs, &self.reflink, &self.copy];
        if let Some(word) = std::env::var_os("CTRLZ_WORKSPACE") {
            all.sort_by_key(|driver| word != driver.name());
        }
        all
    }

    /// The drivers of complete trees, which need something of the file system of the store.
    pub(crate) fn complete_trees(&self) -> [&CopyDriver; 4] {
        [&self.btrfs, &self.zfs, &self.reflink, &self.copy]
    }

    /// Calls `action` with the engine.
    pub(crate) fn with_core<T>(
        &self,
        when_busy: WhenBusy,
        action: impl FnOnce(&SandboxCore<'_>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let waiting = |sandbox: &Sandbox, holder: u32| {
            if when_busy == WhenBusy::Wait {
                eprintln!(
                    "ctrlz: sandbox `{}` is in use by process {holder}; waiting for it",
                    sandbox.name
                );
            }
            when_busy != WhenBusy::Fail
        };
        let drivers = self.workspaces();
        let recorder = Recorder {
            samples: &self.samples,
            is_recorded_elsewhere: &|| commands::is_daemon_running(&self.directory),
            now: &clock::now,
            frozen: &commands::tell_frozen,
        };
        let core = SandboxCore::new(&self.store, &drivers, self.isolation.driver(), &waiting);
        let lost = |part: &str, landing: &Path| commands::lost(&self.directory, part, landing);
        let post =
            |sandbox: &Sandbox, most| commands::watchman::post(&self.directory, sandbox, most);
        let core = core.recording(recorder).reading(&commands::contents_seen);
        let memories = self.directory.join("memories");
        action(&core.mending(&lost).watching(&post).remembering(&memories))
    }

    /// The sandbox of that name, or the one of this folder that was used last.
    pub(crate) fn sandbox(&self, name: Option<&SandboxName>) -> Result<Sandbox, Failure> {
        if let Some(name) = name {
            return Ok(self.store.sandbox_named(name.as_str())?);
        }
        let folder = places::working_folder()?;
        let here = self.store.sandboxes_of_folder(&folder)?.into_iter().next();
        here.ok_or_else(|| {
            let message = format!("there is no sandbox of {}", folder.display());
            let failure = Failure::new(REFUSED, "no-sandbox", message);
            let above = folder.ancestors().skip(1).find(|above| {
                self.store.sandboxes_of_folder(above).is_ok_and(|found| !found.is_empty())
            });
            failure.hint(match above {
                Some(above) => format!("there is one of {}: go there", above.display()),
                None => "`ctrlz run -- COMMAND` makes one; `ctrlz ls` lists all".to_owned(),
            })
        })
    }
}
