//! Unpacked images that no sandbox uses any more, and what was left of those that were begun.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, DirEntry, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use ctrlz_archive::unpack::remove_tree;
use ctrlz_core::time::Timestamp;

use super::images;
use crate::context::Context;
use crate::failure::Failure;

/// What stands behind a directory's name in that of the file whose time is that of its last use.
const USED: &str = "used";

/// For how long one stays that no sandbox uses: whoever has just unpacked it may be about to make one,
/// and what was fetched yesterday is likely to be wanted today.
const GRACE_NANOSECONDS: i128 = 24 * 3600 * 1_000_000_000;

/// Bytes of a block in `stat` (st_blocks).
const BLOCK: u64 = 512;

/// What went, or would go.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unused {
    /// Directories.
    pub(crate) roots: u64,
    /// Their bytes on the disk.
    pub(crate) bytes: u64,
}

/// Notes that `directory` is about to be used. Without that note, the time when it was made counts.
pub(super) fn note_use(directory: &Path) {
    let note = directory.with_extension(USED);
    let open = |create| File::options().write(true).create(create).truncate(false).open(&note);
    if let Ok(note) = open(directory.is_dir()) {
        let _ = note.set_modified(SystemTime::now());
    }
}

/// Removes what no sandbox uses `now`, as far as `more` allows. What cannot be looked at stays.
pub(crate) fn collect(
    context: &Context,
    now: Timestamp,
    dry_run: bool,
    more: &dyn Fn() -> bool,
) -> Result<Unused, Failure> {
    let mut unused = Unused::default();
    let images = context.directory.join("images");
    let Ok(entries) = fs::read_dir(&images) else { return Ok(unused) };
    let (trees, beside): (Vec<DirEntry>, Vec<DirEntry>) =
        entries.filter_map(Result::ok).partition(|entry| entry.path().extension().is_none());
    for tree in trees.iter().map(DirEntry::path) {
        if !more() {
            return Ok(unused);
        }
        if is_old(&tree, now) && !in_use(context)?.contains(&tree) {
            let bytes = size(&tree);
            if dry_run || remove(context, &tree, now)? {
                unused.roots += 1;
                unused.bytes = unused.bytes.saturating_add(bytes);
            }
        }
    }
    if !dry_run {
        beside.iter().for_each(|entry| remove_left(&entry.path(), now));
    }
    Ok(unused)
}

/// The directories that sandboxes start from.
fn in_use(context: &Context) -> Result<BTreeSet<PathBuf>, Failure> {
    Ok(context.store().sandboxes()?.into_iter().map(|sandbox| sandbox.base).collect())
}

/// Removes one, unless somebody uses it after all: `false`.
fn remove(context: &Context, tree: &Path, now: Timestamp) -> Result<bool, Failure> {
    // Whoever wants it from here on waits until it is gone, and unpacks it anew.
    let lock = tree.with_extension("lock");
    let Ok(held) = images::locked(&lock) else { return Ok(false) };
    let gone = tree.with_extension("gone");
    let removed = fs::rename(tree, &gone).is_ok();
    // Somebody may have seen it there just before that.
    let wanted = removed && (used_lately(tree, now) || in_use(context)?.contains(tree));
    if wanted {
        let _ = fs::rename(&gone, tree);
    }
    let _ = fs::remove_file(&lock);
    drop(held);
    if !removed || wanted {
        return Ok(false);
    }
    remove_tree(&gone)?;
    for word in ["id", USED] {
        let _ = fs::remove_file(tree.with_extension(word));
    }
    Ok(true)
}

/// Removes what lies beside directories and belongs to none: of an interrupted removal or fetch, or the
/// note of one that is gone.
fn remove_left(path: &Path, now: Timestamp) {
    let tree = path.with_extension("");
    match path.extension().and_then(OsStr::to_str) {
        Some("gone") => drop(remove_tree(path)),
        Some("partial" | "layout") if changed_long_ago(path, now) => {
            let lock = path.with_extension("lock");
            if let Ok(held) = images::locked(&lock) {
                let _ = remove_tree(path);
                let _ = fs::remove_file(&lock);
                drop(held);
            }
        }
        Some("id" | "used") if !tree.exists() && changed_long_ago(path, now) => {
            let _ = fs::remove_file(path);
        }
        // `ref` names a directory of another name; one that leads nowhere is a few bytes, and is
        // written anew by whoever fetches it.
        _ => {}
    }
}

/// Whether nobody has used it for so long.
fn is_old(tree: &Path, now: Timestamp) -> bool {
    changed_long_ago(tree, now) && !used_lately(tree, now)
}

fn used_lately(tree: &Path, now: Timestamp) -> bool {
    let note = fs::metadata(tree.with_extension(USED));
    note.is_ok_and(|note| !long_ago(Timestamp::from_parts(note.mtime(), note.mtime_nsec()), now))
}

/// By its status, which nothing sets: other times are those of the image.
fn changed_long_ago(path: &Path, now: Timestamp) -> bool {
    let status = fs::symlink_metadata(path);
    status.is_ok_and(|s| long_ago(Timestamp::from_parts(s.ctime(), s.ctime_nsec()), now))
}

/// A time in the future is that of a clock that was wrong: not long ago.
fn long_ago(time: Timestamp, now: Timestamp) -> bool {
    i128::from(now.0) - i128::from(time.0) >= GRACE_NANOSECONDS
}

/// Bytes on the disk of all that is below.
fn size(tree: &Path) -> u64 {
    let mut open = vec![tree.to_owned()];
    let mut bytes = 0_u64;
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).into_iter().flatten().filter_map(Result::ok) {
            let Ok(status) = entry.metadata() else { continue };
            if status.is_dir() {
                open.push(entry.path());
            }
            bytes = bytes.saturating_add(
                status.blocks() * BLOCK / if status.is_dir() { 1 } else { status.nlink().max(1) },
            );
        }
    }
    bytes
}
