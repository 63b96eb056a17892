//! Keeping the mount short however many layers a tree has.
//!
//! The kernel takes 500 lower directories, and each costs a look-up for every name that is not
//! found. So the lowest layers of a long chain are merged into one directory, used only for
//! mounting: the tree keeps all its layers, and any of them can still be taken out. Regular files
//! are linked, not copied; inside a sandbox `st_nlink` of such a file counts the merged names too.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use ctrlz_core::workspace::WorkspaceError;
use rustix::fs::{AtFlags, CWD, RenameFlags};
use rustix::io::Errno;

use super::store::{Store, make_directory, now};
use super::tree::{LayerId, LayerKind, OverlayTree};
use crate::access::{Opened, is_denied};
use crate::layer::{is_opaque, is_whiteout, make_whiteout, set_opaque};
use crate::node::{copy_metadata, copy_sealed_node, entries, failed, remove_tree, version};

/// The most layers that are mounted as they are.
pub(super) const MAX_LAYERS: usize = 48;
/// Layers are merged this many at a time, so that a growing chain is merged seldom.
const BLOCK: usize = 32;

/// The directories to mount above the base, topmost first.
pub(super) fn lower_dirs(
    store: &Store,
    tree: &OverlayTree,
) -> Result<Vec<PathBuf>, WorkspaceError> {
    let layers = own_layers(tree);
    let mut directories = Vec::new();
    let mut rest = layers.as_slice();
    if layers.len() > MAX_LAYERS {
        let (merged, above) = layers.split_at((layers.len() - 1) / BLOCK * BLOCK);
        directories.push(merge_layers(store, merged)?);
        rest = above;
    }
    directories.extend(rest.iter().map(|id| store.layer(id)));
    directories.reverse();
    Ok(directories)
}

/// From so many layers on, a merge is worth making ahead of the mount that needs it.
const AHEAD: usize = MAX_LAYERS - 8;

/// The layers that the next mounts of a long chain merge; nothing while it is short.
fn ahead<'l>(layers: &'l [&'l LayerId]) -> Option<&'l [&'l LayerId]> {
    layers.get(..layers.len() / BLOCK * BLOCK).filter(|_| layers.len() >= AHEAD)
}

fn own_layers(tree: &OverlayTree) -> Vec<&LayerId> {
    tree.layers.iter().filter(|id| id.kind() != LayerKind::Mark).collect()
}

/// See [`ctrlz_core::workspace::WorkspaceDriver::is_chain_long`].
pub(super) fn is_long(store: &Store, tree: &OverlayTree) -> Result<bool, WorkspaceError> {
    match ahead(&own_layers(tree)) {
        Some(layers) => Ok(!is_directory(&merged_path(store, layers))?),
        None => Ok(false),
    }
}

/// See [`ctrlz_core::workspace::WorkspaceDriver::merge`].
pub(super) fn merge_ahead(store: &Store, tree: &OverlayTree) -> Result<bool, WorkspaceError> {
    let waits = is_long(store, tree)?;
    if let Some(layers) = ahead(&own_layers(tree)).filter(|_| waits) {
        merge_layers(store, layers)?;
    }
    Ok(waits)
}

/// One directory that shows what `layers`, lowest first, show together on any base.
fn merge_layers(store: &Store, layers: &[&LayerId]) -> Result<PathBuf, WorkspaceError> {
    let target = merged_path(store, layers);
    if is_directory(&target)? {
        return Ok(target);
    }
    make_directory(&store.merged())?;
    let mut sources = Vec::new();
    let mut rest = layers;
    // What was merged before is a layer like any other.
    let shorter = layers.split_at_checked(layers.len().saturating_sub(BLOCK));
    if let Some((before, above)) = shorter.filter(|(before, _)| !before.is_empty()) {
        let before = merged_path(store, before);
        if is_directory(&before)? {
            sources.push(before);
            rest = above;
        }
    }
    for id in rest {
        if id.kind().commit().is_none() {
            store.mark_linked(id)?;
        }
        sources.push(store.layer(id));
    }
    sources.reverse();

    let name = target.file_name().unwrap_or(OsStr::new("merged")).to_owned();
    let mut unfinished = name.clone();
    unfinished.push(format!(".{:x}.{:x}", std::process::id(), now().0));
    let unfinished = store.merged().join(unfinished);
    make_directory(&unfinished)?;
    let merged = merge(&sources, &unfinished, &store.commits()).and_then(|()| {
        match rustix::fs::renameat_with(CWD, &unfinished, CWD, &target, RenameFlags::NOREPLACE) {
            Ok(()) => Ok(true),
            // Someone else made the same in the meantime.
            Err(Errno::EXIST | Errno::NOTEMPTY) => Ok(false),
            Err(errno) => Err(failed("put the merged layer in place at", &target)(errno)),
        }
    });
    if !matches!(merged, Ok(true)) {
        remove_tree(&unfinished)?;
    }
    merged.map(|_| target)
}

/// Where the merge of `layers` lies. The boot is part of it, since nothing of it is flushed.
pub(super) fn merged_path(store: &Store, layers: &[&LayerId]) -> PathBuf {
    let mut hasher = blake3::Hasher::new();
    for id in layers {
        hasher.update(id.as_str().as_bytes());
        // What was merged of a damaged layer is not used once the layer is mended. What cannot be
        // read counts as one more mending, of which at worst the same is merged again.
        match std::fs::read(store.beside(id, super::mend::MENDED)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            text => _ = hasher.update(b" ").update(&text.unwrap_or_default()),
        }
        hasher.update(b"\n");
    }
    let digest = hasher.finalize().to_hex();
    store.merged().join(format!("{}-{}", store.boot(), digest.get(..32).unwrap_or_default()))
}

/// The merges that mounting `tree` and what comes after it would use, for [`super::collect`].
pub(super) fn merged_of(store: &Store, tree: &OverlayTree) -> Vec<PathBuf> {
    let layers = own_layers(tree);
    let used = layers.get(..layers.len().saturating_sub(1) / BLOCK * BLOCK);
    let used = used.filter(|_| layers.len() > MAX_LAYERS);
    used.into_iter().chain(ahead(&layers)).map(|layers| merged_path(store, layers)).collect()
}

fn is_directory(path: &Path) -> Result<bool, WorkspaceError> {
    Ok(version(path)?.is_some_and(|version| version.is_directory()))
}

/// A directory whose entries are being merged.
struct Level {
    /// What it is made of, topmost first.
    sources: Vec<PathBuf>,
    target: PathBuf,
    pending: std::vec::IntoIter<std::ffi::OsString>,
    /// Keeps closed sources open while their entries are read.
    _opened: Vec<Opened>,
}

impl Level {
    fn new(sources: Vec<PathBuf>, target: PathBuf) -> Result<Self, WorkspaceError> {
        let mut names = BTreeSet::new();
        let mut opened = Vec::new();
        for source in &sources {
            match entries(source) {
                Err(error) if is_denied(&error) => {
                    opened.push(Opened::open_one(source)?);
                    names.extend(entries(source)?);
                }
                result => names.extend(result?),
            }
        }
        let pending = names.into_iter().collect::<Vec<_>>().into_iter();
        Ok(Self { sources, target, pending, _opened: opened })
    }
}

/// Fills the new directory `target` with what `sources`, topmost first, show together. Whiteouts
/// and opaque marks stay, since they are about what lies below. Files below `shared` are copied:
/// a file that a commit replaced may have names in the live directory, and is counted by them.
fn merge(sources: &[PathBuf], target: &Path, shared: &Path) -> Result<(), WorkspaceError> {
    let mut levels = vec![Level::new(sources.to_vec(), target.to_owned())?];
    while let Some(level) = levels.last_mut() {
        let Some(name) = level.pending.next() else {
            let done = levels.pop();
            // Times and mode last, when nothing more is made inside.
            if let (Some(done), false) = (done, levels.is_empty())
                && let Some(top) = done.sources.first()
            {
                copy_metadata(top, &done.target)?;
            }
            continue;
        };
        let target = level.target.join(&name);
        if let Some(sources) = merge_entry(&level.sources, &name, &target, shared)? {
            levels.push(Level::new(sources, target)?);
        }
    }
    Ok(())
}

/// Makes one entry. For a directory: what it is made of.
fn merge_entry(
    sources: &[PathBuf],
    name: &OsStr,
    target: &Path,
    shared: &Path,
) -> Result<Option<Vec<PathBuf>>, WorkspaceError> {
    let mut merged = Vec::new();
    let mut cut = false;
    for source in sources {
        let source = source.join(name);
        let Some(entry) = version(&source)? else { continue };
        if !entry.is_directory() {
            if merged.is_empty() {
                if is_whiteout(&entry) {
                    make_whiteout(target)?;
                } else {
                    if source.starts_with(shared) {
                        copy_sealed_node(&source, target)?;
                    } else {
                        link(&source, target)?;
                    }
                }
                return Ok(None);
            }
            cut = true;
            break;
        }
        cut = match is_opaque(&source) {
            Err(error) if is_denied(&error) => {
                let _opened = Opened::open_one(&source)?;
                is_opaque(&source)?
            }
            result => result?,
        };
        merged.push(source);
        if cut {
            break;
        }
    }
    if merged.is_empty() {
        return Ok(None);
    }
    make_directory(target)?;
    if cut {
        set_opaque(target)?;
    }
    Ok(Some(merged))
}

fn link(source: &Path, target: &Path) -> Result<(), WorkspaceError> {
    match rustix::fs::linkat(CWD, source, CWD, target, AtFlags::empty()) {
        Ok(()) => Ok(()),
        // Too many names, or not ours to link (proc_sys_fs(5), protected_hardlinks).
        Err(Errno::MLINK | Errno::PERM | Errno::XDEV) => copy_sealed_node(source, target),
        Err(errno) => Err(failed("link from a layer to", target)(errno)),
    }
}
