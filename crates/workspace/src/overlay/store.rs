//! Where things lie in the store, and how a tree's text becomes a view.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use ctrlz_core::digest::Digest;
use ctrlz_core::id::{OperationId, SandboxId};
use ctrlz_core::path::RelPath;
use ctrlz_core::time::Timestamp;
use ctrlz_core::workspace::WorkspaceError;
use rustix::fs::{CWD, Mode, RenameFlags};
use rustix::io::Errno;
use rustix::time::ClockId;

use super::tree::{LayerId, LayerKind, OverlayTree};
use crate::diff::Candidates;
use crate::layer::is_whiteout;
use crate::manifest::{Manifest, Record};
use crate::node::failed;
use crate::view::{Index, Layer, View};

/// The directory of the driver.
///
/// ```text
/// layers/ID            what one operation wrote: an upper directory, never changed again
/// layers/ID.manifest   see crate::manifest
/// layers/ID.linked     there when files of the layer have further names in merged/
/// layers/ID.survived   there when the layer was found whole in a later boot
/// layers/ID.told       the manifest for those who keep the layer elsewhere, where that differs
/// layers/ID.mended     there when the layer was replaced: when that was
/// heads/SANDBOX/       upper and work of the operation under way, and spent of the one before
/// masks/DIGEST         see super::mask
/// merged/BOOT-DIGEST   many layers as one, for mounting; can be made again at any time
/// commits/OPERATION/   a commit's transaction and what it replaced
/// landings/            see super::landing
/// ```
#[derive(Debug)]
pub(super) struct Store {
    dir: PathBuf,
    real_dir: OnceLock<PathBuf>,
    boot: OnceLock<String>,
}

/// Now. Not the coarse clock: since Linux 6.13 a file's stamp may lie between two ticks.
pub(super) fn now() -> Timestamp {
    let now = rustix::time::clock_gettime(ClockId::Realtime);
    Timestamp::from_parts(now.tv_sec, now.tv_nsec)
}

/// Makes a directory that only we may use, with those above it; nothing to do when it is there.
pub(super) fn make_directory(path: &Path) -> Result<(), WorkspaceError> {
    match rustix::fs::mkdir(path, Mode::from_raw_mode(0o700)) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(Errno::NOENT) => {
            let Some(parent) = path.parent() else {
                return Err(failed("create the directory", path)(Errno::NOENT));
            };
            make_directory(parent)?;
            match rustix::fs::mkdir(path, Mode::from_raw_mode(0o700)) {
                Ok(()) | Err(Errno::EXIST) => Ok(()),
                Err(errno) => Err(failed("create the directory", path)(errno)),
            }
        }
        Err(errno) => Err(failed("create the directory", path)(errno)),
    }
}

impl Store {
    pub(super) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), real_dir: OnceLock::new(), boot: OnceLock::new() }
    }

    /// Errs when `base` is the store or lies in it: what the driver writes there is not the
    /// user's. A base that holds the store is fine.
    pub(super) fn check_outside(&self, base: &Path) -> Result<(), WorkspaceError> {
        let real = base.canonicalize().unwrap_or_else(|_| base.to_owned());
        if real.starts_with(self.real_dir().unwrap_or(&self.dir)) {
            let reason = format!("it lies in {}, where ctrlz keeps its data", self.dir.display());
            return Err(WorkspaceError::Base { path: base.to_owned(), reason });
        }
        Ok(())
    }

    /// Locked shared by whoever may make layers, exclusively by a collection.
    pub(super) fn lock(&self) -> PathBuf {
        self.dir.join("lock")
    }

    /// The directory without symbolic links in its path; `None` while it does not exist.
    pub(super) fn real_dir(&self) -> Option<&Path> {
        if self.real_dir.get().is_none()
            && let Ok(real) = self.dir.canonicalize()
        {
            return Some(self.real_dir.get_or_init(|| real));
        }
        self.real_dir.get().map(PathBuf::as_path)
    }

    pub(super) fn masks(&self) -> PathBuf {
        self.dir.join("masks")
    }

    pub(super) fn layers(&self) -> PathBuf {
        self.dir.join("layers")
    }

    pub(super) fn heads(&self) -> PathBuf {
        self.dir.join("heads")
    }

    pub(super) fn head(&self, sandbox: SandboxId) -> PathBuf {
        self.heads().join(sandbox.to_string())
    }

    pub(super) fn landings(&self) -> PathBuf {
        self.dir.join("landings")
    }

    pub(super) fn merged(&self) -> PathBuf {
        self.dir.join("merged")
    }

    pub(super) fn commits(&self) -> PathBuf {
        self.dir.join("commits")
    }

    pub(super) fn transaction(&self, operation: OperationId) -> PathBuf {
        self.commits().join(operation.to_string())
    }

    /// The directory of a layer.
    pub(super) fn layer(&self, id: &LayerId) -> PathBuf {
        match id.kind() {
            LayerKind::Inverse(operation) => self.transaction(operation).join("inverse"),
            LayerKind::Names(operation) => self.commits().join(format!("{operation}.names")),
            _ => self.layers().join(id.as_str()),
        }
    }

    /// A file beside a layer; `what` is one of the words above.
    pub(super) fn beside(&self, id: &LayerId, what: &str) -> PathBuf {
        match id.kind() {
            LayerKind::Inverse(operation) => {
                self.commits().join(format!("{operation}.inverse.{what}"))
            }
            LayerKind::Names(operation) => self.commits().join(format!("{operation}.names.{what}")),
            _ => self.layers().join(format!("{id}.{what}")),
        }
    }

    /// The first eight digits of the running kernel's boot id.
    pub(super) fn boot(&self) -> &str {
        self.boot.get_or_init(|| {
            let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
            let text = text.unwrap_or_default();
            let digits: String = text.chars().filter(char::is_ascii_hexdigit).take(8).collect();
            // Without /proc no layer is from this boot, so each is checked.
            if digits.is_empty() { "0".to_owned() } else { digits }
        })
    }

    pub(super) fn manifest(&self, id: &LayerId) -> Result<Manifest, WorkspaceError> {
        Manifest::read(&self.beside(id, "manifest"))
    }

    /// Whether the root directory's own metadata are part of a layer.
    pub(super) fn has_root(&self, id: &LayerId) -> Result<bool, WorkspaceError> {
        match id.kind() {
            LayerKind::Sealed | LayerKind::Mark | LayerKind::Names(_) => Ok(false),
            LayerKind::SealedWithRoot => Ok(true),
            LayerKind::Inverse(_) => Ok(self.manifest(id)?.root),
        }
    }

    fn lazy_layer(&self, id: &LayerId) -> Result<Layer, WorkspaceError> {
        Ok(Layer::on_disk(self.layer(id), self.has_root(id)?, self.beside(id, "manifest")))
    }

    /// What `tree` shows. Layers are looked at on disk, for a few look-ups.
    pub(super) fn view(&self, tree: &OverlayTree) -> Result<View, WorkspaceError> {
        let layers = tree.layers.iter().rev().filter(|id| id.kind() != LayerKind::Mark);
        let mut layers = layers.map(|id| self.lazy_layer(id)).collect::<Result<Vec<_>, _>>()?;
        layers.extend(self.mask_layer(&tree.base));
        Ok(View::new(tree.base.clone(), layers))
    }

    /// What `tree` shows with one more layer on top.
    pub(super) fn view_with(&self, tree: &OverlayTree, top: Layer) -> Result<View, WorkspaceError> {
        let mut layers = vec![top];
        for id in tree.layers.iter().rev().filter(|id| id.kind() != LayerKind::Mark) {
            layers.push(self.lazy_layer(id)?);
        }
        layers.extend(self.mask_layer(&tree.base));
        Ok(View::new(tree.base.clone(), layers))
    }

    /// What two trees of one base show, and where that may differ.
    pub(super) fn compared(
        &self,
        from: &OverlayTree,
        to: &OverlayTree,
    ) -> Result<(View, View, Candidates), WorkspaceError> {
        from.same_base(to)?;
        let shared = shared_layers(&from.layers, &to.layers);
        let mut candidates = Candidates::default();
        let mut view = |tree: &OverlayTree| -> Result<View, WorkspaceError> {
            let mut layers = Vec::new();
            for (at, id) in tree.layers.iter().enumerate() {
                if id.kind() == LayerKind::Mark {
                    continue;
                }
                if at < shared {
                    layers.push(self.lazy_layer(id)?);
                    continue;
                }
                let manifest = self.manifest(id)?;
                add_candidates(&mut candidates, manifest.root, &manifest.records);
                let index = Index::new(&manifest.records);
                layers.push(Layer::indexed(self.layer(id), manifest.root, index));
            }
            layers.reverse();
            layers.extend(self.mask_layer(&tree.base));
            Ok(View::new(tree.base.clone(), layers))
        };
        Ok((view(from)?, view(to)?, candidates))
    }

    /// Keeps the directory `written` (nothing for a [`LayerKind::Mark`]) as a new layer.
    ///
    /// The manifest comes first: a crash in between leaves a manifest that nothing names, or a
    /// layer that nothing names; the tree before stays as it was. Answers the manifest's digest, too.
    pub(super) fn keep(
        &self,
        kind: LayerKind,
        written: Option<&Path>,
        manifest: &Manifest,
    ) -> Result<(LayerId, Digest), WorkspaceError> {
        let (id, digest) = self.name(kind, manifest)?;
        if let Some(written) = written
            && let Err(errno) = move_directory(written, &self.layer(&id))
        {
            // The first error is the one to tell; an orphan is collected later.
            let _ = std::fs::remove_file(self.beside(&id, "manifest"));
            return Err(failed("seal as a layer", written)(errno));
        }
        Ok((id, digest))
    }

    /// Gives a layer that is to come a new name, which its manifest keeps for it.
    pub(super) fn name(
        &self,
        kind: LayerKind,
        manifest: &Manifest,
    ) -> Result<(LayerId, Digest), WorkspaceError> {
        make_directory(&self.layers())?;
        let time = now().0;
        let mut turn = 0;
        loop {
            let id = LayerId::new(kind, self.boot(), time, turn);
            match manifest.write(&self.beside(&id, "manifest")) {
                Ok(digest) => return Ok((id, digest)),
                Err(error) if is_taken(&error) && turn < 1 << 16 => turn += 1,
                Err(error) => return Err(error),
            }
        }
    }
}

/// Whether something is at a path already where a new thing was to be made.
pub(super) fn is_taken(error: &WorkspaceError) -> bool {
    matches!(error, WorkspaceError::Io { source, .. }
        if source.kind() == std::io::ErrorKind::AlreadyExists)
}

/// Renames a directory into another one, for which its owner must be able to write to it.
pub(super) fn move_directory(from: &Path, to: &Path) -> Result<(), Errno> {
    let rename = || rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE);
    match rename() {
        Err(Errno::ACCESS) => {
            let mode = Mode::from_raw_mode(rustix::fs::lstat(from)?.st_mode & 0o7777);
            rustix::fs::chmod(from, mode | Mode::WUSR)?;
            let moved = rename();
            rustix::fs::chmod(if moved.is_ok() { to } else { from }, mode)?;
            moved
        }
        result => result,
    }
}

/// How many layers two trees have in common, from the bottom.
pub(super) fn shared_layers(a: &[LayerId], b: &[LayerId]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// Adds a layer's paths, the root's too when `root`.
pub(super) fn add_candidates<'a>(
    candidates: &mut Candidates,
    root: bool,
    records: impl IntoIterator<Item = &'a Record>,
) {
    if root {
        candidates.paths.insert(RelPath::root());
    }
    for record in records {
        if record.entry.is_none() {
            continue;
        }
        if covers(record) {
            candidates.covers.insert(record.path.clone());
        }
        candidates.paths.insert(record.path.clone());
    }
}

/// Whether a layer's entry hides what lower layers have below its path.
pub(super) fn covers(record: &Record) -> bool {
    record.entry.is_some_and(|entry| record.opaque || !entry.is_directory() || is_whiteout(&entry))
}
