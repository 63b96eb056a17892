//! Where things lie in the store.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use ctrlz_core::id::{OperationId, SandboxId};
use ctrlz_core::time::Timestamp;
use ctrlz_core::workspace::WorkspaceError;
use rustix::fs::{CWD, Mode, RenameFlags};
use rustix::io::Errno;
use rustix::time::ClockId;
use serde::{Serialize, de::DeserializeOwned};

use super::tree::{CopyId, CopyTree, TreeRecord};
use crate::manifest::Manifest;
use crate::node::{failed, remove_tree, version};
use crate::view::{Index, Layer, View};

/// The directory of the driver.
///
/// ```text
/// trees/ID/root            a copy, never changed again; not there when its files are another's
/// trees/ID/record          see TreeRecord
/// trees/ID/manifest        see crate::manifest: all entries, and those of the base for an origin
/// making/PID-N/            a tree that is being made; becomes trees/ID by rename
/// heads/SANDBOX/           the same for the operation under way
/// commits/OP/transaction   see crate::live
/// commits/OP/request       what was to be committed
/// commits/OP/result        the answer
/// origins/DIGEST           the last copy of the base of which this is the BLAKE3
/// lock                     held shared by every driver that makes trees here
/// empty/                   what lies below a complete copy
/// ```
#[derive(Debug)]
pub(super) struct Store {
    dir: PathBuf,
}

/// A copy with all that is known of it.
#[derive(Debug)]
pub(super) struct Loaded {
    pub id: CopyId,
    pub record: TreeRecord,
    pub manifest: Manifest,
    /// Where its files lie.
    pub root: PathBuf,
}

/// Now. Not the coarse clock: since Linux 6.13 a file's stamp may lie between two ticks.
pub(super) fn now() -> Timestamp {
    let now = rustix::time::clock_gettime(ClockId::Realtime);
    Timestamp::from_parts(now.tv_sec, now.tv_nsec)
}

/// The first digits of the running kernel's boot id.
pub(super) fn boot() -> String {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    // Without /proc no copy is from this boot, so each is checked.
    text.chars().filter(char::is_ascii_hexdigit).take(12).collect()
}

/// Makes a directory that only we may use, with those above it; nothing to do when it is there.
pub(super) fn make_directory(path: &Path) -> Result<(), WorkspaceError> {
    match rustix::fs::mkdir(path, Mode::from_raw_mode(0o700)) {
        Err(Errno::NOENT) => {
            let Some(parent) = path.parent() else {
                return Err(failed("create the directory", path)(Errno::NOENT));
            };
            make_directory(parent)?;
            make_directory(path)
        }
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(failed("create the directory", path)(errno)),
    }
}

/// Writes `path` whole or not at all.
pub(super) fn write_json(path: &Path, value: &impl Serialize) -> Result<(), WorkspaceError> {
    let text = serde_json::to_vec(value).map_err(failed("write", path))?;
    let new = path.with_extension("new");
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&new)
        .map_err(failed("create", &new))?;
    file.write_all(&text).and_then(|()| file.sync_all()).map_err(failed("write", &new))?;
    std::fs::rename(&new, path).map_err(failed("write", path))
}

/// Reads what [`write_json`] wrote.
///
/// # Errors
/// [`WorkspaceError::Damaged`] with `what` when it is not there or not as it was written.
pub(super) fn read_json<T: DeserializeOwned>(
    path: &Path,
    what: &'static str,
) -> Result<T, WorkspaceError> {
    let damaged = || WorkspaceError::Damaged { what, path: path.to_owned() };
    match std::fs::read(path) {
        Ok(text) => serde_json::from_slice(&text).map_err(|_| damaged()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(damaged()),
        Err(error) => Err(failed("read", path)(error)),
    }
}

impl Store {
    pub(super) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn trees(&self) -> PathBuf {
        self.dir.join("trees")
    }

    pub(super) fn heads(&self) -> PathBuf {
        self.dir.join("heads")
    }

    pub(super) fn makings(&self) -> PathBuf {
        self.dir.join("making")
    }

    pub(super) fn tree(&self, id: &CopyId) -> PathBuf {
        self.trees().join(id.as_str())
    }

    pub(super) fn head(&self, sandbox: SandboxId) -> PathBuf {
        self.heads().join(sandbox.to_string())
    }

    pub(super) fn commits(&self) -> PathBuf {
        self.dir.join("commits")
    }

    pub(super) fn commit(&self, operation: OperationId) -> PathBuf {
        self.commits().join(operation.to_string())
    }

    pub(super) fn lock(&self) -> PathBuf {
        self.dir.join("lock")
    }

    /// A new directory in which a tree can be made.
    pub(super) fn make(&self) -> Result<PathBuf, WorkspaceError> {
        make_directory(&self.makings())?;
        let pid = rustix::process::getpid().as_raw_nonzero();
        for turn in 0_u32.. {
            let path = self.makings().join(format!("{pid}-{turn}"));
            match rustix::fs::mkdir(&path, Mode::from_raw_mode(0o700)) {
                Ok(()) => return Ok(path),
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(failed("create the directory", &path)(errno)),
            }
        }
        Err(failed("create a directory in", self.makings())(Errno::EXIST))
    }

    /// Makes a tree of the directory `made`, which holds `root` unless the record names another
    /// copy's files. On failure everything is where it was.
    pub(super) fn keep(
        &self,
        made: &Path,
        record: &TreeRecord,
        manifest: &Manifest,
    ) -> Result<CopyId, WorkspaceError> {
        make_directory(&self.trees())?;
        write_json(&made.join("record"), record)?;
        let at = made.join("manifest");
        if version(&at)?.is_some() {
            std::fs::remove_file(&at).map_err(failed("remove", &at))?;
        }
        manifest.write(&at)?;
        let time = now().0;
        let mut turn = 0;
        loop {
            let id = CopyId::new(time, turn);
            let to = self.tree(&id);
            match rustix::fs::renameat_with(CWD, made, CWD, &to, RenameFlags::NOREPLACE) {
                Ok(()) => return Ok(id),
                Err(Errno::EXIST) if turn < 1 << 16 => turn += 1,
                Err(errno) => return Err(failed("keep as a tree", made)(errno)),
            }
        }
    }

    /// Makes a tree of what `fill` puts into a new directory; nothing is left when it fails.
    pub(super) fn kept(
        &self,
        fill: impl FnOnce(&Path) -> Result<(TreeRecord, Manifest), WorkspaceError>,
    ) -> Result<CopyId, WorkspaceError> {
        let made = self.make()?;
        let result =
            fill(&made).and_then(|(record, manifest)| self.keep(&made, &record, &manifest));
        if result.is_err() {
            // The first error is the one to tell; collection removes what is left.
            let _ = remove_tree(&made);
        }
        result
    }

    /// What is known of a copy.
    pub(super) fn load(&self, id: &CopyId) -> Result<Loaded, WorkspaceError> {
        let record = self.record(id)?;
        let files = record.files.as_ref().unwrap_or(id);
        let root = self.tree(files).join("root");
        let manifest = Manifest::read(&self.tree(id).join("manifest"))?;
        if !version(&root)?.is_some_and(|version| version.is_directory()) {
            return Err(WorkspaceError::Damaged {
                what: "the files of a tree are gone",
                path: root,
            });
        }
        Ok(Loaded { id: id.clone(), record, manifest, root })
    }

    pub(super) fn record(&self, id: &CopyId) -> Result<TreeRecord, WorkspaceError> {
        read_json(&self.tree(id).join("record"), "a tree's record is missing or broken")
    }

    /// The copy that a tree names; `None` for the base as it is.
    pub(super) fn load_tree(&self, tree: &CopyTree) -> Result<Option<Loaded>, WorkspaceError> {
        tree.copy.as_ref().map(|id| self.load(id)).transpose()
    }

    /// The copy of the base that `copy` stands on.
    pub(super) fn origin(&self, copy: &Loaded) -> Result<Loaded, WorkspaceError> {
        self.load(copy.record.origin.as_ref().unwrap_or(&copy.id))
    }

    /// What a complete copy shows.
    pub(super) fn view(&self, root: &Path, manifest: &Manifest) -> Result<View, WorkspaceError> {
        let empty = self.dir.join("empty");
        make_directory(&empty)?;
        let layer = Layer::indexed(root.to_owned(), true, Index::new(&manifest.records));
        Ok(View::new(empty, vec![layer]))
    }

    /// What a tree shows.
    pub(super) fn view_of(
        &self,
        base: &Path,
        copy: Option<&Loaded>,
    ) -> Result<View, WorkspaceError> {
        match copy {
            Some(copy) => self.view(&copy.root, &copy.manifest),
            None => Ok(View::new(base.to_owned(), Vec::new())),
        }
    }
}
