//! Where things lie in the store.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use ctrlz_core::id::{OperationId, SandboxId};
use ctrlz_core::snapshot::Tree;
use ctrlz_core::time::Timestamp;
use ctrlz_core::workspace::WorkspaceError;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use rustix::time::ClockId;
use serde::{Serialize, de::DeserializeOwned};

use super::duplicate::Duplication;
use super::tree::{CopyId, CopyTree, TreeRecord};
use super::zfs::Datasets;
use crate::fault;
use crate::manifest::Manifest;
use crate::node::{failed, open_directory, version};
use crate::view::{Index, Layer, View};

/// The directory of a driver.
///
/// ```text
/// trees/ID/root            a copy (a subvolume of driver `btrfs`; of driver `zfs` a link to where its dataset is mounted),
///                          never changed again; not there when its files are another's
/// trees/ID/record          see TreeRecord
/// trees/ID/manifest        see crate::manifest: all entries, and those of the base for an origin
/// trees/ID/told            what super::arrival writes for those who keep the tree elsewhere
/// making/PID-N/            a tree that is being made; becomes trees/ID by rename. Or a landing
/// heads/SANDBOX/           the same for the operation under way
/// commits/OP/transaction   see crate::live
/// commits/OP/request       what was to be committed
/// commits/OP/result        the answer
/// commits/OP/taken-back    the only one of a commit that was taken back: what that moved
/// origins/DIGEST           the last copy of the base of which this is the BLAKE3
/// mounted/NAME             where the dataset NAME of driver `zfs` is mounted, see super::zfs
/// container                the dataset that holds those
/// lock                     held shared by every driver that makes trees here
/// empty/                   what lies below a complete copy
/// ```
#[derive(Debug)]
pub(super) struct Store {
    dir: PathBuf,
    duplication: Duplication,
    /// Those of driver `zfs`.
    datasets: Option<Datasets>,
    /// Whether the file system was seen to do what the driver needs.
    pub(super) works: AtomicBool,
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

fn move_new(from: &Path, to: &Path) -> Result<(), Errno> {
    rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE)
}

impl Store {
    pub(super) fn new(duplication: Duplication, dir: &Path) -> Self {
        let works = AtomicBool::new(duplication == Duplication::Copy);
        let datasets = (duplication == Duplication::Zfs).then(|| Datasets::new(dir, None));
        Self { dir: dir.to_owned(), duplication, datasets, works }
    }

    /// A store of driver `zfs`, with its datasets below `parent`.
    pub(super) fn below(parent: &str, dir: &Path) -> Self {
        let datasets = Some(Datasets::new(dir, Some(parent.to_owned())));
        Self { datasets, ..Self::new(Duplication::Zfs, dir) }
    }

    pub(super) fn datasets(&self) -> Option<&Datasets> {
        self.datasets.as_ref()
    }

    pub(super) fn duplication(&self) -> Duplication {
        self.duplication
    }

    /// The name of the driver whose store it is.
    pub(super) fn driver(&self) -> &'static str {
        self.duplication.name()
    }

    /// Reads a tree's text.
    pub(super) fn parse(&self, tree: &Tree) -> Result<CopyTree, WorkspaceError> {
        CopyTree::parse(self.driver(), tree)
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

    /// Removes a directory that [`Self::make`] made in this process.
    pub(super) fn clear_made(&self, made: &Path) -> Result<(), WorkspaceError> {
        let pid = format!("{}-", rustix::process::getpid().as_raw_nonzero());
        let name = made.strip_prefix(self.makings()).ok().and_then(Path::to_str);
        if name.is_none_or(|name| !name.starts_with(&pid) || name.contains('/')) {
            let why = "it is no directory that this driver gave out to restore something in";
            let refused = std::io::Error::new(std::io::ErrorKind::InvalidInput, why);
            return Err(failed("use", made)(refused));
        }
        self.remove(made)
    }

    /// Makes a tree of the directory `made`, which holds `root` unless the record names another
    /// copy's files. On failure everything is where it was.
    pub(super) fn keep(
        &self,
        made: &Path,
        record: &TreeRecord,
        manifest: &Manifest,
    ) -> Result<CopyId, WorkspaceError> {
        self.furnish(made, record, manifest)?;
        self.name(made)
    }

    /// Writes to `made` what lies beside a tree's files.
    pub(super) fn furnish(
        &self,
        made: &Path,
        record: &TreeRecord,
        manifest: &Manifest,
    ) -> Result<(), WorkspaceError> {
        make_directory(&self.trees())?;
        write_json(&made.join("record"), record)?;
        let at = made.join("manifest");
        if version(&at)?.is_some() {
            std::fs::remove_file(&at).map_err(failed("remove", &at))?;
        }
        manifest.write(&at).map(drop)
    }

    /// [`Self::keep`] under the name `wanted`, when nothing has it, and on disk.
    pub(super) fn keep_on_disk(
        &self,
        made: &Path,
        record: &TreeRecord,
        manifest: &Manifest,
        wanted: Option<CopyId>,
    ) -> Result<CopyId, WorkspaceError> {
        self.furnish(made, record, manifest)?;
        let trees = self.trees();
        let open = open_directory(&trees, OFlags::RDONLY)?;
        rustix::fs::syncfs(&open).map_err(failed("sync", &trees))?;
        fault::point("adopt-synced").map_err(failed("sync", &trees))?;
        let taken = match wanted {
            Some(id) => match move_new(made, &self.tree(&id)) {
                Ok(()) => Some(id),
                Err(Errno::EXIST) => None,
                Err(errno) => return Err(failed("keep as a tree", made)(errno)),
            },
            None => None,
        };
        let id = taken.map_or_else(|| self.name(made), Ok)?;
        fault::point("adopt-moved").map_err(failed("sync", &trees))?;
        rustix::fs::fsync(&open).map_err(failed("sync", &trees))?;
        Ok(id)
    }

    /// Moves a directory that was restored to where a tree is made, for which its owner must be
    /// able to write to it.
    pub(super) fn take_in(&self, from: &Path, to: &Path) -> Result<(), WorkspaceError> {
        let mode = version(from)?.map_or(0, |version| version.permissions());
        let moved = move_new(from, to);
        if moved != Err(Errno::ACCESS) {
            return moved.map_err(failed("take in", from));
        }
        let set = |path: &Path, mode| rustix::fs::chmod(path, Mode::from_raw_mode(mode));
        set(from, mode | 0o200).map_err(failed("make writable", from))?;
        let moved = move_new(from, to);
        set(if moved.is_ok() { to } else { from }, mode)
            .map_err(failed("set the mode of", from))?;
        moved.map_err(failed("take in", from))
    }

    /// Errs unless a directory was restored to `path`, in a landing.
    pub(super) fn check_landed(&self, path: &Path) -> Result<(), WorkspaceError> {
        let real = |path: &Path| path.canonicalize().ok();
        let inside = match (real(&self.makings()), path.parent().and_then(real)) {
            // Above it is a landing or something in one.
            (Some(makings), Some(above)) => above != makings && above.starts_with(&makings),
            _ => false,
        };
        let damaged = |what| WorkspaceError::Damaged { what, path: path.to_owned() };
        if !version(path)?.is_some_and(|version| version.is_directory()) {
            return Err(damaged("a part that was to be restored is missing"));
        }
        if !inside || path.file_name().is_none() {
            return Err(damaged("a part was not restored in a landing"));
        }
        Ok(())
    }

    fn name(&self, made: &Path) -> Result<CopyId, WorkspaceError> {
        let time = now().0;
        let mut turn = 0;
        loop {
            let id = CopyId::new(time, turn);
            let to = self.tree(&id);
            match move_new(made, &to) {
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
            let _ = self.remove(&made);
        }
        result
    }

    /// What is known of a copy.
    pub(super) fn load(&self, id: &CopyId) -> Result<Loaded, WorkspaceError> {
        let record = self.record(id)?;
        let files = record.files.as_ref().unwrap_or(id);
        let root = self.files(&self.tree(files))?;
        let manifest = Manifest::read(&self.tree(id).join("manifest"))?;
        if !version(&root)?.is_some_and(|version| version.is_directory()) {
            return Err(WorkspaceError::Damaged {
                what: "the files of a tree are gone",
                path: root,
            });
        }
        Ok(Loaded { id: id.clone(), record, manifest, root })
    }

    /// Notes that a copy is used again, so that no other process's collection takes it for one that
    /// nobody can be using.
    pub(super) fn use_again(&self, id: &CopyId) -> Result<(), WorkspaceError> {
        let path = self.tree(id);
        let now = rustix::fs::Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW };
        let times = rustix::fs::Timestamps { last_access: now, last_modification: now };
        rustix::fs::utimensat(CWD, &path, &times, AtFlags::empty())
            .map_err(failed("set the times of", &path))
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
