//! What an overlay mount would show, without mounting it.
//!
//! The rules are overlayfs's (kernel: Documentation/filesystems/overlayfs.rst): the topmost entry
//! wins; directories of one path merge until one is opaque, a whiteout or something else is
//! there; a whiteout hides. Copied-up directories are never redirected, since the mounts have
//! `redirect_dir` off. Like the mount, a view does not look through other mounts in the base: a
//! mount point is an empty directory.

use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeSet, HashMap};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use ctrlz_core::path::RelPath;
use ctrlz_core::workspace::WorkspaceError;
use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags};

use crate::access::is_denied;
use crate::layer::{is_opaque, is_whiteout};
use crate::manifest::{Manifest, Record};
use crate::node::{Place, Version, entries, failed, version, version_at};

/// Longest path handed to the kernel in one piece.
pub(crate) const PIECE: usize = 3000;

/// An entry of a view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// Where it can be read. For a directory: the topmost of the merged ones.
    pub disk_path: PathBuf,
    /// Its version there.
    pub version: Version,
    /// The layer's directory that it lies in; `None` in the base.
    pub layer: Option<PathBuf>,
}

/// What one layer's manifest says, ready to be asked.
#[derive(Debug, Default)]
pub(crate) struct Index {
    entries: HashMap<RelPath, (Version, bool)>,
    names: HashMap<RelPath, Vec<OsString>>,
}

impl Index {
    /// Of a manifest's records.
    pub(crate) fn new<'a>(records: impl IntoIterator<Item = &'a Record>) -> Self {
        let mut index = Self::default();
        for record in records {
            let (Some(entry), Some(parent)) = (record.entry, record.path.parent()) else {
                continue;
            };
            index.entries.insert(record.path.clone(), (entry, record.opaque));
            index.names.entry(parent).or_default().push(record.path.file_name().to_owned());
        }
        index
    }
}

/// A layer as a view uses it.
#[derive(Debug)]
pub(crate) struct Layer {
    directory: PathBuf,
    root: bool,
    manifest: Option<PathBuf>,
    index: OnceCell<Index>,
    /// Whether to ask the index and not the disk.
    indexed: bool,
}

impl Layer {
    /// The layer in `directory`; `root` when its root directory's own metadata count. The
    /// manifest is read only where the layer's own permissions keep us out.
    pub(crate) fn on_disk(directory: PathBuf, root: bool, manifest: PathBuf) -> Self {
        let manifest = Some(manifest);
        Self { directory, root, manifest, index: OnceCell::new(), indexed: false }
    }

    /// The layer in `directory`, of which everything is known already.
    pub(crate) fn indexed(directory: PathBuf, root: bool, index: Index) -> Self {
        Self { directory, root, manifest: None, index: OnceCell::from(index), indexed: true }
    }

    /// The layer in `directory`, to which something is written just now. What its permissions keep us out
    /// of is an error.
    pub(crate) fn open(directory: PathBuf) -> Self {
        let (root, manifest, index, indexed) = (false, None, OnceCell::new(), false);
        Self { directory, root, manifest, index, indexed }
    }

    /// Whether what the disk does not tell is known.
    fn is_known(&self) -> bool {
        self.manifest.is_some()
    }

    fn index(&self) -> Result<&Index, WorkspaceError> {
        if let Some(index) = self.index.get() {
            return Ok(index);
        }
        let index = match &self.manifest {
            Some(path) => Index::new(&Manifest::read(path)?.records),
            None => Index::default(),
        };
        Ok(self.index.get_or_init(|| index))
    }

    fn version(&self, path: &RelPath) -> Result<Option<Version>, WorkspaceError> {
        if !self.indexed {
            match quick_version(&path.below(&self.directory)) {
                Err(error) if is_denied(&error) && self.is_known() => {}
                result => return result,
            }
        }
        Ok(self.index()?.entries.get(path).map(|(version, _)| *version))
    }

    fn is_opaque(&self, path: &RelPath) -> Result<bool, WorkspaceError> {
        if !self.indexed {
            match is_opaque(&path.below(&self.directory)) {
                Err(error) if is_denied(&error) && self.is_known() => {}
                result => return result,
            }
        }
        Ok(self.index()?.entries.get(path).is_some_and(|(_, opaque)| *opaque))
    }

    fn names(&self, path: &RelPath) -> Result<Vec<OsString>, WorkspaceError> {
        if !self.indexed {
            match entries(&path.below(&self.directory)) {
                Err(error) if is_denied(&error) && self.is_known() => {}
                result => return result,
            }
        }
        Ok(self.index()?.names.get(path).cloned().unwrap_or_default())
    }
}

/// The members that make up a merged directory, topmost first; `layers.len()` is the base.
type Members = Rc<[usize]>;

/// A merged tree.
#[derive(Debug)]
pub(crate) struct View {
    base: PathBuf,
    layers: Vec<Layer>,
    /// Directories that were resolved; `None` where no directory is.
    directories: RefCell<HashMap<RelPath, Option<Members>>>,
}

impl View {
    /// `layers`, topmost first, on `base`.
    pub(crate) fn new(base: PathBuf, layers: Vec<Layer>) -> Self {
        Self { base, layers, directories: RefCell::default() }
    }

    /// What lies below all layers.
    pub(crate) fn base(&self) -> &Path {
        &self.base
    }

    /// What is at `path`.
    ///
    /// # Errors
    /// When a directory cannot be looked into.
    pub(crate) fn lookup(&self, path: &RelPath) -> Result<Option<Found>, WorkspaceError> {
        let Some(parent) = path.parent() else { return self.root() };
        match self.members(&parent)? {
            Some(members) => self.resolve(&members, path),
            None => Ok(None),
        }
    }

    /// What is in the directory at `path`, sorted by name; empty when there is no directory.
    ///
    /// # Errors
    /// When a directory cannot be read.
    pub(crate) fn children(
        &self,
        path: &RelPath,
    ) -> Result<Vec<(OsString, Found)>, WorkspaceError> {
        let Some(members) = self.members(path)? else { return Ok(Vec::new()) };
        let mut names = BTreeSet::new();
        for member in members.iter() {
            match self.layers.get(*member) {
                Some(layer) => names.extend(layer.names(path)?),
                None => names.extend(entries(&path.below(&self.base))?),
            }
        }
        let mut children = Vec::with_capacity(names.len());
        for name in names {
            if let Some(found) = self.resolve(&members, &path.child(&name))? {
                children.push((name, found));
            }
        }
        Ok(children)
    }

    /// The directories on disk that make up the directory at `path`, topmost first; `None` when
    /// no directory is there. Two views with the same answer show the same below.
    pub(crate) fn sources(&self, path: &RelPath) -> Result<Option<Vec<PathBuf>>, WorkspaceError> {
        let Some(members) = self.members(path)? else { return Ok(None) };
        Ok(Some(members.iter().map(|member| path.below(self.directory(*member))).collect()))
    }

    fn directory(&self, member: usize) -> &Path {
        self.layers.get(member).map_or(&self.base, |layer| &layer.directory)
    }

    fn root(&self) -> Result<Option<Found>, WorkspaceError> {
        let layer = self.layers.iter().find(|layer| layer.root);
        let directory = layer.map_or(&self.base, |layer| &layer.directory);
        Ok(quick_version(directory)?.map(|version| Found {
            disk_path: directory.clone(),
            version,
            layer: layer.map(|layer| layer.directory.clone()),
        }))
    }

    fn members(&self, path: &RelPath) -> Result<Option<Members>, WorkspaceError> {
        if let Some(members) = self.directories.borrow().get(path) {
            return Ok(members.clone());
        }
        // Down from the nearest known directory above, since the depth has no bound.
        let mut unknown = Vec::new();
        let mut at = path.clone();
        let mut known = loop {
            if let Some(members) = self.directories.borrow().get(&at) {
                break members.clone();
            }
            match at.parent() {
                Some(parent) => unknown.push(std::mem::replace(&mut at, parent)),
                None => break Some((0..=self.layers.len()).collect()),
            }
        };
        while let Some(next) = unknown.pop() {
            known = match known {
                Some(members) => {
                    self.resolve(&members, &next)?;
                    self.directories.borrow().get(&next).cloned().flatten()
                }
                None => None,
            };
            self.directories.borrow_mut().insert(next, known.clone());
        }
        Ok(known)
    }

    /// Looks `path` up in the members of its parent, and remembers what it is made of when it is
    /// a directory.
    fn resolve(&self, parent: &[usize], path: &RelPath) -> Result<Option<Found>, WorkspaceError> {
        let mut found: Option<Found> = None;
        let mut merged = Vec::new();
        for member in parent {
            let layer = self.layers.get(*member);
            let disk = || path.below(self.directory(*member));
            let version = match layer {
                Some(layer) => layer.version(path)?,
                None => quick_version(&disk())?,
            };
            let Some(version) = version else { continue };
            if is_whiteout(&version) {
                break;
            }
            let directory = version.is_directory();
            if !directory && found.is_some() {
                break;
            }
            if found.is_none() {
                let layer = layer.map(|layer| layer.directory.clone());
                found = Some(Found { disk_path: disk(), version, layer });
            }
            if !directory {
                return Ok(found);
            }
            match layer {
                Some(layer) => {
                    merged.push(*member);
                    if layer.is_opaque(path)? {
                        break;
                    }
                }
                None if is_mount_point(&disk())? => {}
                None => merged.push(*member),
            }
        }
        if found.is_some() {
            self.directories.borrow_mut().insert(path.clone(), Some(merged.into()));
        }
        Ok(found)
    }
}

/// [`version`] with one call for a path of usual length.
pub(crate) fn quick_version(path: &Path) -> Result<Option<Version>, WorkspaceError> {
    if path.as_os_str().len() > PIECE {
        return version(path);
    }
    version_at(Place::new(&CWD, path, path))
}

/// Whether another file system, or another part of one, is mounted on the directory.
fn is_mount_point(path: &Path) -> Result<bool, WorkspaceError> {
    if path.as_os_str().len() > PIECE {
        // Mount points are reached by mount(2), which takes no longer path.
        return Ok(false);
    }
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    let stat =
        rustix::fs::statx(CWD, path, flags, StatxFlags::TYPE).map_err(failed("look at", path))?;
    Ok(stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::{make_whiteout, set_opaque};
    use std::fs;

    struct Fixture {
        dir: tempfile::TempDir,
    }

    impl Fixture {
        fn new() -> Self {
            Self { dir: tempfile::tempdir().expect("temporary directory") }
        }

        fn write(&self, path: &str, text: &str) -> &Self {
            let path = self.dir.path().join(path);
            fs::create_dir_all(path.parent().expect("parent")).expect("mkdir");
            fs::write(path, text).expect("write");
            self
        }

        fn whiteout(&self, path: &str) -> &Self {
            let path = self.dir.path().join(path);
            fs::create_dir_all(path.parent().expect("parent")).expect("mkdir");
            make_whiteout(&path).expect("whiteout");
            self
        }

        fn opaque(&self, path: &str) -> &Self {
            let path = self.dir.path().join(path);
            fs::create_dir_all(&path).expect("mkdir");
            set_opaque(&path).expect("opaque");
            self
        }

        /// `layers` topmost first.
        fn view(&self, layers: &[&str]) -> View {
            let layer = |name: &&str| {
                Layer::on_disk(self.dir.path().join(name), false, self.dir.path().join("none"))
            };
            View::new(self.dir.path().join("base"), layers.iter().map(layer).collect())
        }
    }

    fn rel(path: &str) -> RelPath {
        RelPath::parse(path).expect("valid")
    }

    /// The file's text, `/` for a directory, `-` for nothing.
    fn shown(view: &View, path: &str) -> String {
        match view.lookup(&rel(path)).expect("lookup") {
            None => "-".to_owned(),
            Some(found) if found.version.is_directory() => "/".to_owned(),
            Some(found) => fs::read_to_string(found.disk_path).expect("read"),
        }
    }

    fn names(view: &View, path: &str) -> Vec<String> {
        let children = view.children(&rel(path)).expect("children");
        children.into_iter().map(|(name, _)| name.into_string().expect("text")).collect()
    }

    #[test]
    fn topmost_wins_and_directories_merge() {
        let f = Fixture::new();
        f.write("base/d/a", "base").write("base/d/b", "base").write("base/top", "base");
        f.write("one/d/a", "one").write("one/d/c", "one");
        f.write("two/d/c", "two");
        let view = f.view(&["two", "one"]);
        assert_eq!(shown(&view, "d/a"), "one");
        assert_eq!(shown(&view, "d/b"), "base");
        assert_eq!(shown(&view, "d/c"), "two");
        assert_eq!(names(&view, "d"), ["a", "b", "c"]);
        assert_eq!(names(&view, ""), ["d", "top"]);
        assert_eq!(shown(&view, "d/a/below-a-file"), "-");
    }

    #[test]
    fn whiteouts_hide_and_do_not_reach_up() {
        let f = Fixture::new();
        f.write("base/d/a", "base").write("base/d/b", "base").write("base/gone/x", "base");
        f.whiteout("one/d/a").whiteout("one/gone");
        f.write("two/d/a", "two").opaque("two/gone").write("two/gone/y", "two");
        let one = f.view(&["one"]);
        assert_eq!(shown(&one, "d/a"), "-");
        assert_eq!(names(&one, "d"), ["b"]);
        assert_eq!(shown(&one, "gone/x"), "-");
        assert_eq!(names(&one, ""), ["d"]);
        let two = f.view(&["two", "one"]);
        assert_eq!(shown(&two, "d/a"), "two");
        assert_eq!(names(&two, "gone"), ["y"]);
    }

    #[test]
    fn opaque_directories_and_other_types_cut() {
        let f = Fixture::new();
        f.write("base/d/a", "base").write("base/f", "base").write("base/e/a", "base");
        f.opaque("one/d").write("one/d/b", "one").write("one/f/x", "one").write("one/e", "file");
        f.write("two/e/c", "two");
        let one = f.view(&["one"]);
        assert_eq!(names(&one, "d"), ["b"]);
        assert_eq!(shown(&one, "d/a"), "-");
        assert_eq!(names(&one, "f"), ["x"]);
        assert_eq!(shown(&one, "e"), "file");
        assert_eq!(shown(&one, "e/a"), "-");
        // A directory over a file over a directory: the file cuts, even without a mark.
        let two = f.view(&["two", "one"]);
        assert_eq!(names(&two, "e"), ["c"]);
        assert_eq!(shown(&two, "e/a"), "-");
    }

    #[test]
    fn the_index_answers_like_the_disk() {
        let f = Fixture::new();
        f.write("base/d/a", "base").write("one/d/b", "one").whiteout("one/d/a").opaque("one/o");
        f.write("base/o/x", "base");
        let record = |path: &str| {
            let disk = f.dir.path().join("one").join(path);
            Record {
                path: rel(path),
                entry: version(&disk).expect("stat"),
                opaque: path == "o",
                base: None,
                raced: false,
            }
        };
        let records: Vec<_> = ["d", "d/a", "d/b", "o"].map(record).into();
        let layer = Layer::indexed(f.dir.path().join("one"), false, Index::new(&records));
        let indexed = View::new(f.dir.path().join("base"), vec![layer]);
        let disk = f.view(&["one"]);
        for path in ["", "d", "d/a", "d/b", "o", "o/x", "none"] {
            assert_eq!(
                indexed.lookup(&rel(path)).expect("lookup"),
                disk.lookup(&rel(path)).expect("lookup"),
                "{path}"
            );
            assert_eq!(names(&indexed, path), names(&disk, path), "{path}");
        }
    }
}
