//! Layers from elsewhere.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::path::Path;

use ctrlz_core::archive::Arrival;
use ctrlz_core::path::RelPath;
use ctrlz_core::snapshot::Tree;
use ctrlz_core::time::Timestamp;
use ctrlz_core::workspace::WorkspaceError;
use rustix::fs::{AtFlags, CWD, FlockOperation, OFlags};

use super::collect::{layer_of, turn};
use super::head::check_base;
use super::landing::check_landed;
use super::store::{Store, is_taken, make_directory, move_directory, now};
use super::transfer::{Told, transferred};
use super::tree::{LayerId, LayerKind, bare};
use super::verify::whole_since_boot;
use super::walk::{add_base, walk};
use crate::fault;
use crate::manifest::{Manifest, Record};
use crate::node::{entries, failed, file_type, open_directory};
use crate::view::quick_version;

/// See [`ctrlz_core::workspace::WorkspaceDriver::holds`].
pub(super) fn holds(store: &Store, part: &str) -> Result<bool, WorkspaceError> {
    let own = |id: &LayerId| id.kind().commit().is_none();
    match named(part).filter(own) {
        Some(id) => Ok(held(store, &id)?.is_some()),
        None => Ok(false),
    }
}

/// The manifest of a layer that is there and whole. Whoever asks may use it: for some time it is
/// not old.
fn held(store: &Store, id: &LayerId) -> Result<Option<Manifest>, WorkspaceError> {
    let path = store.beside(id, "manifest");
    if quick_version(&path)?.is_none() {
        return Ok(None);
    }
    let _turn = turn(store, FlockOperation::LockShared)?;
    match whole_since_boot(store, id).and_then(|()| store.manifest(id)) {
        Ok(manifest) => {
            let now = rustix::fs::Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW };
            let times = rustix::fs::Timestamps { last_access: now, last_modification: now };
            rustix::fs::utimensat(CWD, &path, &times, AtFlags::SYMLINK_NOFOLLOW)
                .map_err(failed("set the times of", &path))?;
            Ok(Some(manifest))
        }
        Err(WorkspaceError::Damaged { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The layer of that name, when it is one that collection knows, too.
fn named(text: &str) -> Option<LayerId> {
    // Longer than any name that we give, and than a file's may be with what stands beside it.
    if text.len() > 128 {
        return None;
    }
    let (id, _) = layer_of(OsStr::new(text))?;
    id.filter(|id| id.as_str() == text)
}

/// The name that a part keeps; none when it has none or one that does not fit it.
pub(super) fn name_of(part: &Arrival) -> Option<LayerId> {
    let fits = |id: &LayerId| match id.kind() {
        LayerKind::SealedWithRoot => part.root,
        LayerKind::Sealed | LayerKind::Mark => !part.root,
        LayerKind::Inverse(_) | LayerKind::Names(_) => false,
    };
    part.id.as_deref().and_then(named).filter(fits)
}

/// The manifest of a part that consists of nothing else, when it was restored as an empty directory.
pub(super) fn mark_of(part: &Arrival, name: &LayerId) -> Result<Option<Manifest>, WorkspaceError> {
    let record = part.record.as_deref().filter(|_| name.kind() == LayerKind::Mark);
    let record = record.and_then(Manifest::parse).filter(|record| !record.root);
    Ok(match record {
        Some(record) if entries(&part.directory)?.is_empty() => Some(record),
        _ => None,
    })
}

/// A part, before it is a layer.
enum Part<'a> {
    Held(LayerId),
    Landed { part: &'a Arrival, name: Option<LayerId>, described: usize, moves: bool },
}

/// See [`ctrlz_core::workspace::WorkspaceDriver::adopt`].
pub(super) fn adopt(store: &Store, base: &Path, parts: &[Arrival]) -> Result<Tree, WorkspaceError> {
    check_base(base)?;
    store.check_outside(base)?;
    let mut looked_at = Vec::with_capacity(parts.len());
    let mut told = Vec::with_capacity(parts.len());
    let mut names = HashSet::new();
    for part in parts {
        let name = name_of(part);
        if let Some(name) = &name
            && !names.insert(name.clone())
        {
            let (what, path) = ("a part is named twice in one tree", store.layer(name));
            return Err(WorkspaceError::Damaged { what, path });
        }
        if let Some(id) = &name
            && let Some(manifest) = held(store, id)?
        {
            told.push(Told { manifest, by_record: true });
            looked_at.push(Part::Held(id.clone()));
            continue;
        }
        check_landed(store, &part.directory)?;
        let mark = match &name {
            Some(name) => mark_of(part, name)?,
            None => None,
        };
        looked_at.push(Part::Landed { part, name, described: told.len(), moves: mark.is_none() });
        told.push(match mark {
            Some(manifest) => Told { manifest: no_later(manifest), by_record: true },
            None => describe(part, base)?,
        });
    }
    let mark = transferred(base, &told)?;

    make_directory(&store.layers())?;
    let mut coming = Coming { store, waiting: Vec::new() };
    let mut layers = Vec::with_capacity(parts.len() + 1);
    if let Some(mark) = mark {
        layers.push(store.keep(LayerKind::Mark, None, &mark)?.0);
    }
    for part in looked_at {
        match part {
            Part::Held(id) => layers.push(id),
            Part::Landed { part, name, described, moves } => {
                let Some(told) = told.get(described) else { continue };
                let from = moves.then_some(part.directory.as_path());
                let kind = match (moves, part.root) {
                    (false, _) => LayerKind::Mark,
                    (true, false) => LayerKind::Sealed,
                    (true, true) => LayerKind::SealedWithRoot,
                };
                let name = name.filter(|id| id.kind() == kind);
                layers.push(coming.name(name, kind, from, told)?);
            }
        }
    }
    coming.arrive()?;
    bare(base).with_layers(layers).text()
}

/// Layers that have a name and a manifest and are not in their place yet. Dropped, they lose both.
struct Coming<'a> {
    store: &'a Store,
    /// Those without files come from nowhere.
    waiting: Vec<(LayerId, Option<&'a Path>)>,
}

impl<'a> Coming<'a> {
    fn name(
        &mut self,
        wanted: Option<LayerId>,
        kind: LayerKind,
        from: Option<&'a Path>,
        told: &Told,
    ) -> Result<LayerId, WorkspaceError> {
        let id = match wanted {
            Some(id) => self.take(id, &told.manifest)?,
            None => None,
        };
        let id = match id {
            Some(id) => id,
            None => self.store.name(kind, &told.manifest)?.0,
        };
        self.waiting.push((id.clone(), from));
        fault::point("adopt-named").map_err(failed("take in", self.store.layer(&id)))?;
        Ok(id)
    }

    /// Takes a name of which nothing is there.
    fn take(&self, id: LayerId, manifest: &Manifest) -> Result<Option<LayerId>, WorkspaceError> {
        if quick_version(&self.store.layer(&id))?.is_some() {
            return Ok(None);
        }
        match manifest.write(&self.store.beside(&id, "manifest")) {
            Ok(_) => Ok(Some(id)),
            Err(error) if is_taken(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Moves all to their places, once they are on disk.
    fn arrive(mut self) -> Result<(), WorkspaceError> {
        let layers = self.store.layers();
        let open = open_directory(&layers, OFlags::RDONLY)?;
        rustix::fs::syncfs(&open).map_err(failed("sync", &layers))?;
        fault::point("adopt-synced").map_err(failed("sync", &layers))?;
        while let Some((id, from)) = self.waiting.last() {
            if let Some(from) = from {
                move_directory(from, &self.store.layer(id)).map_err(failed("take in", from))?;
            }
            self.waiting.pop();
            fault::point("adopt-moved").map_err(failed("sync", &layers))?;
        }
        rustix::fs::fsync(&open).map_err(failed("sync", &layers))
    }
}

impl Drop for Coming<'_> {
    fn drop(&mut self) {
        for (id, _) in &self.waiting {
            // What stays is collected later.
            let _ = std::fs::remove_file(self.store.beside(id, "manifest"));
        }
    }
}

/// The manifest of a part as it lies in the landing.
fn describe(part: &Arrival, base: &Path) -> Result<Told, WorkspaceError> {
    let mut records = walk(&part.directory)?;
    let after = Timestamp(now().0.saturating_add(1));
    let record = part.record.as_deref().and_then(Manifest::parse);
    if let Some(record) = record.filter(|record| record.root == part.root)
        && let Some(records) = with_bases(&records, &record)
    {
        let manifest = no_later(Manifest { records, ..record });
        return Ok(Told { manifest, by_record: true });
    }
    add_base(&mut records, base, after)?;
    let manifest = Manifest { since: after, root: part.root, records };
    Ok(Told { manifest, by_record: false })
}

/// A manifest that is not from the future, which would let every later change in the base pass.
fn no_later(manifest: Manifest) -> Manifest {
    Manifest { since: manifest.since.min(Timestamp(now().0.saturating_add(1))), ..manifest }
}

/// `found` with what `record` tells of the base; nothing when that is the record of something else.
/// What was lost on the way, such as a device that only root can make, is missing without harm.
fn with_bases(found: &[Record], record: &Manifest) -> Option<Vec<Record>> {
    let mut told: HashMap<&RelPath, &Record> = HashMap::with_capacity(record.records.len());
    for record in &record.records {
        if told.insert(&record.path, record).is_some() {
            return None;
        }
    }
    let mut records = Vec::with_capacity(found.len());
    for now in found {
        let then = told.remove(&now.path)?;
        let (now_entry, then_entry) = (now.entry?, then.entry?);
        if file_type(&now_entry) != file_type(&then_entry) || now.opaque != then.opaque {
            return None;
        }
        records.push(Record { base: then.base, raced: then.raced, ..now.clone() });
    }
    // What only tells about the base.
    let rest = record.records.iter().filter(|record| record.entry.is_none());
    records.extend(rest.cloned());
    Some(records)
}
