//! The changes between two views.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::File;
use std::io::Read;
use std::path::Path;

use ctrlz_core::changeset::{Change, ChangeKind, Changeset, FileType};
use ctrlz_core::path::RelPath;
use ctrlz_core::workspace::WorkspaceError;
use rustix::fs::{Mode, OFlags};

use crate::access::{Opened, is_denied};
use crate::node::{Version, failed, file_type, metadata, same_content, same_xattrs};
use crate::view::{Found, PIECE, View};

/// How much of two files is compared at a time, in bytes.
const CHUNK: usize = 1 << 15;

/// The paths at which two views may differ.
#[derive(Debug, Default)]
pub(crate) struct Candidates {
    /// Entries of the layers that only one of them has.
    pub paths: BTreeSet<RelPath>,
    /// Those of them that hide what lower layers have below the path: whiteouts, opaque
    /// directories, and whatever is no directory.
    pub covers: HashSet<RelPath>,
}

/// What `to` has that `from` has not, as far as it lies at the candidates or below their covers.
///
/// # Errors
/// When an entry cannot be read.
pub(crate) fn changes(
    from: &View,
    to: &View,
    candidates: &Candidates,
) -> Result<Changeset, WorkspaceError> {
    let (seen, expanded) = (HashSet::new(), HashSet::new());
    let mut diff = Diff { from, to, seen, expanded, changes: BTreeMap::new() };
    for path in &candidates.paths {
        diff.path(path, candidates.covers.contains(path))?;
    }
    Ok(Changeset { changes: diff.changes.into_values().collect() })
}

struct Diff<'a> {
    from: &'a View,
    to: &'a View,
    /// Paths that were compared.
    seen: HashSet<RelPath>,
    /// Those of them below which everything was compared.
    expanded: HashSet<RelPath>,
    changes: BTreeMap<RelPath, Change>,
}

impl Diff<'_> {
    /// Compares one path and, when `deep`, everything below it.
    fn path(&mut self, path: &RelPath, deep: bool) -> Result<(), WorkspaceError> {
        let mut pending = vec![(path.clone(), deep)];
        while let Some((path, deep)) = pending.pop() {
            if self.expanded.contains(&path) || (!deep && self.seen.contains(&path)) {
                continue;
            }
            let before = self.from.lookup(&path)?;
            let after = self.to.lookup(&path)?;
            let directories = (is_directory(before.as_ref()), is_directory(after.as_ref()));
            if self.seen.insert(path.clone()) {
                self.compare(&path, before.as_ref(), after.as_ref())?;
            }
            let names: BTreeSet<_> = match directories {
                (false, false) => continue,
                (true, true) if !deep => continue,
                // Made of the same directories, they show the same.
                (true, true) if self.from.sources(&path)? == self.to.sources(&path)? => continue,
                _ => {
                    let (from, to) = (self.from.children(&path)?, self.to.children(&path)?);
                    from.into_iter().chain(to).map(|(name, _)| name).collect()
                }
            };
            self.expanded.insert(path.clone());
            pending.extend(names.iter().map(|name| (path.child(name), true)));
        }
        Ok(())
    }

    fn compare(
        &mut self,
        path: &RelPath,
        before: Option<&Found>,
        after: Option<&Found>,
    ) -> Result<(), WorkspaceError> {
        let kind = match (before, after) {
            (None, None) => return Ok(()),
            (None, Some(_)) => ChangeKind::Added,
            (Some(_), None) => ChangeKind::Deleted,
            (Some(before), Some(after)) => match difference(path, before, after)? {
                Some(kind) => kind,
                None => return Ok(()),
            },
        };
        let file = |found: &&Found| found.version.is_file();
        let change = Change {
            path: path.clone(),
            kind,
            before: before.map(|found| metadata(&found.version)),
            after: after.map(|found| metadata(&found.version)),
            old_content: before.filter(file).map(|found| found.disk_path.clone()),
            new_content: after.filter(file).map(|found| found.disk_path.clone()),
        };
        self.changes.insert(path.clone(), change);
        Ok(())
    }
}

fn is_directory(found: Option<&Found>) -> bool {
    found.is_some_and(|found| found.version.is_directory())
}

/// How two entries at `path` differ; `None` when they do not.
///
/// # Errors
/// When one cannot be read.
pub(crate) fn difference(
    path: &RelPath,
    before: &Found,
    after: &Found,
) -> Result<Option<ChangeKind>, WorkspaceError> {
    if before.disk_path == after.disk_path {
        return Ok(None);
    }
    let (old, new) = (&before.version, &after.version);
    let kind = file_type(old);
    if kind != file_type(new) {
        return Ok(Some(ChangeKind::TypeChanged));
    }
    if old.size != new.size && matches!(kind, FileType::File | FileType::Symlink) {
        return Ok(Some(ChangeKind::Modified));
    }
    let content = if kind == FileType::File { same_bytes } else { same_content };
    if kind != FileType::Directory && !same(path, before, after, content)? {
        return Ok(Some(ChangeKind::Modified));
    }
    let same_metadata = (old.permissions(), old.uid, old.gid)
        == (new.permissions(), new.uid, new.gid)
        && (kind == FileType::Directory || same_time(old, new))
        && same(path, before, after, same_xattrs)?;
    Ok((!same_metadata).then_some(ChangeKind::MetadataChanged))
}

/// Whether two entries have the same time, of which a file system that keeps whole seconds may have
/// cut one.
fn same_time(a: &Version, b: &Version) -> bool {
    const SECOND: i64 = 1_000_000_000;
    let (a_time, b_time) = (a.mtime.0, b.mtime.0);
    let cut = a.dev != b.dev && (a_time % SECOND == 0 || b_time % SECOND == 0);
    a_time == b_time || (cut && a_time.div_euclid(SECOND) == b_time.div_euclid(SECOND))
}

/// [`same_content`] of two regular files of one size, with as few calls as that takes: it is asked
/// for every file that an operation wrote.
fn same_bytes(a: &Path, b: &Path) -> Result<bool, WorkspaceError> {
    if a.as_os_str().len().max(b.as_os_str().len()) > PIECE {
        return same_content(a, b);
    }
    let open = |path: &Path| {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        rustix::fs::open(path, flags, Mode::empty()).map(File::from).map_err(failed("read", path))
    };
    let (mut one, mut other) = (open(a)?, open(b)?);
    let (mut left, mut right) = ([0; CHUNK], [0; CHUNK]);
    loop {
        let first = fill(&mut one, &mut left).map_err(failed("read", a))?;
        let second = fill(&mut other, &mut right).map_err(failed("read", b))?;
        if left.get(..first) != right.get(..second) {
            return Ok(false);
        }
        if first < CHUNK {
            return Ok(true);
        }
    }
}

/// Reads until the buffer is full or the file ends.
fn fill(file: &mut File, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while let Some(room) = buffer.get_mut(filled..).filter(|room| !room.is_empty()) {
        match file.read(room) {
            Ok(0) => break,
            Ok(length) => filled += length,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Asks whether two entries are the same in some way. What a layer's own permissions keep from
/// us is opened for the moment; what the base's keep from us counts as different.
fn same(
    path: &RelPath,
    before: &Found,
    after: &Found,
    ask: fn(&Path, &Path) -> Result<bool, WorkspaceError>,
) -> Result<bool, WorkspaceError> {
    match ask(&before.disk_path, &after.disk_path) {
        Err(error) if is_denied(&error) => {}
        result => return result,
    }
    let open = |found: &Found| match &found.layer {
        Some(layer) => Opened::open(layer, path),
        None => Ok(Opened::default()),
    };
    let (_before, _after) = (open(before)?, open(after)?);
    match ask(&before.disk_path, &after.disk_path) {
        Err(error) if is_denied(&error) => Ok(false),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::{make_whiteout, set_opaque};
    use crate::view::Layer;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    fn view(dir: &Path, layers: &[&str]) -> View {
        let layer = |name: &&str| Layer::on_disk(dir.join(name), false, dir.join("none"));
        View::new(dir.join("base"), layers.iter().map(layer).collect())
    }

    fn write(path: &Path, text: &str) {
        fs::create_dir_all(path.parent().expect("parent")).expect("mkdir");
        fs::write(path, text).expect("write");
    }

    /// Each change as a letter and a path, with the candidates `paths` of which those with a `!`
    /// cover.
    fn diff(dir: &Path, from: &[&str], to: &[&str], paths: &[&str]) -> Vec<String> {
        let mut candidates = Candidates::default();
        for text in paths {
            let path = RelPath::parse(text.trim_end_matches('!')).expect("valid");
            if text.ends_with('!') {
                candidates.covers.insert(path.clone());
            }
            candidates.paths.insert(path);
        }
        let found = changes(&view(dir, from), &view(dir, to), &candidates).expect("diff");
        let letter = |kind| match kind {
            ChangeKind::Added => 'A',
            ChangeKind::Modified => 'M',
            ChangeKind::Deleted => 'D',
            ChangeKind::TypeChanged => 'T',
            ChangeKind::MetadataChanged => 'm',
        };
        found.changes.iter().map(|c| format!("{} {}", letter(c.kind), c.path)).collect()
    }

    #[test]
    fn names_every_kind_of_change() {
        let temporary = tempfile::tempdir().expect("temporary directory");
        let dir = temporary.path();
        for (path, text) in [
            ("base/d/kept", "x"),
            ("base/d/changed", "old"),
            ("base/d/mode", "x"),
            ("base/d/gone/deep/f", "x"),
            ("base/becomes-file/f", "x"),
            ("base/becomes-directory", "x"),
            ("layer/d/changed", "new"),
            ("layer/d/mode", "x"),
            ("layer/new/f", "x"),
            ("layer/becomes-file", "x"),
            ("layer/becomes-directory/f", "x"),
        ] {
            write(&dir.join(path), text);
        }
        make_whiteout(&dir.join("layer/d/gone")).expect("whiteout");
        fs::set_permissions(dir.join("layer/d/mode"), fs::Permissions::from_mode(0o755))
            .expect("chmod");
        let paths = [
            "d",
            "d/changed!",
            "d/mode!",
            "d/gone!",
            "new",
            "new/f!",
            "becomes-file!",
            "becomes-directory",
            "becomes-directory/f!",
        ];
        assert_eq!(
            diff(dir, &[], &["layer"], &paths),
            [
                "T becomes-directory",
                "A becomes-directory/f",
                "T becomes-file",
                "D becomes-file/f",
                "M d/changed",
                "D d/gone",
                "D d/gone/deep",
                "D d/gone/deep/f",
                "m d/mode",
                "A new",
                "A new/f",
            ]
        );
    }

    #[test]
    fn an_unchanged_copy_is_no_change() {
        let temporary = tempfile::tempdir().expect("temporary directory");
        let dir = temporary.path();
        write(&dir.join("base/d/f"), "text");
        fs::create_dir_all(dir.join("layer/d")).expect("mkdir");
        crate::node::copy_node(&dir.join("base/d/f"), &dir.join("layer/d/f")).expect("copy");
        assert_eq!(diff(dir, &[], &["layer"], &["d", "d/f!"]), [""; 0]);
        // Same size and time, other bytes: still seen.
        let stat = rustix::fs::stat(dir.join("base/d/f")).expect("stat");
        fs::write(dir.join("layer/d/f"), "TEXT").expect("write");
        let time = rustix::fs::Timespec { tv_sec: stat.st_mtime, tv_nsec: stat.st_mtime_nsec as _ };
        let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
        rustix::fs::utimensat(
            rustix::fs::CWD,
            dir.join("layer/d/f"),
            &times,
            rustix::fs::AtFlags::empty(),
        )
        .expect("times");
        assert_eq!(diff(dir, &[], &["layer"], &["d", "d/f!"]), ["M d/f"]);
    }

    #[test]
    fn an_opaque_directory_is_compared_in_depth() {
        let temporary = tempfile::tempdir().expect("temporary directory");
        let dir = temporary.path();
        write(&dir.join("base/d/kept"), "same");
        write(&dir.join("base/d/sub/lost"), "x");
        write(&dir.join("layer/d/added"), "x");
        set_opaque(&dir.join("layer/d")).expect("opaque");
        crate::node::copy_node(&dir.join("base/d/kept"), &dir.join("layer/d/kept")).expect("copy");
        assert_eq!(
            diff(dir, &[], &["layer"], &["d!", "d/added!", "d/kept!"]),
            ["A d/added", "D d/sub", "D d/sub/lost"]
        );
        // And back: the layer above hides nothing that the tree below has.
        assert_eq!(
            diff(dir, &["layer"], &[], &["d!", "d/added!", "d/kept!"]),
            ["D d/added", "A d/sub", "A d/sub/lost"]
        );
    }
}
