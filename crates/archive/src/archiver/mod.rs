//! Snapshots of sandboxes, to rest and back.

mod bring;
mod flatten;
mod memory;
mod presence;
mod record;
mod write;

use std::collections::BTreeMap;
use std::path::Path;

use ctrlz_core::archive::Stratum;
use ctrlz_core::digest::Digest;
use ctrlz_core::sandbox::Sandbox;
use ctrlz_core::snapshot::{Snapshot as Point, SnapshotScope};

use crate::crypt::Keyring;
use crate::image::{Execution, Part, Platform, Role, Tag, annotation, assemble};
use crate::layer::LayerOptions;
use crate::listing::merge;
use crate::place::{Directory, Expect, Place};
use crate::snapshot::Snapshot;
use crate::{ArchiveError, Losses};

pub use bring::{Drilled, drill, restore, restore_layer, state_of, whole_record};
pub use flatten::{flatten, pack};
pub use record::{LayerRecord, Record, Whole};

use memory::Memory;
use presence::Presence;

/// How snapshots are archived.
#[derive(Debug)]
pub struct Archiver<'a> {
    /// Where to.
    pub place: &'a Directory,
    /// Where it is remembered what lies there; a directory of its own for each place.
    pub memory: &'a Path,
    /// What they are encrypted with, when they are.
    pub keys: Option<&'a Keyring>,
    /// How layers are written.
    pub options: LayerOptions,
}

/// What is to be archived.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Whose it is.
    pub sandbox: &'a Sandbox,
    /// The snapshot.
    pub snapshot: &'a Point,
    /// What of it.
    pub scope: SnapshotScope,
    /// What its tree is made of, as the driver says; not looked at for the state alone.
    pub strata: &'a [Stratum],
    /// How many of these on the live folder, from the lowest on, the sandbox's setup left.
    pub setup: usize,
    /// The state at its version, as a file; `None` when there is none.
    pub state: Option<&'a [u8]>,
}

/// Who else has a say while a snapshot is archived.
#[derive(Clone, Copy)]
pub struct Watch<'a> {
    /// Told the bytes that were written, each time.
    pub progress: &'a (dyn Fn(u64) + Sync),
    /// Asked each time that bytes are written: once it says so, archiving ends with
    /// [`ArchiveError::Ended`].
    pub is_over: &'a (dyn Fn() -> bool + Sync),
    /// Asked each time that a layer was read, before it is remembered, and before the snapshot gets
    /// its name: whether what was read is still what was to be archived. When it is not, archiving
    /// ends with [`ArchiveError::Overtaken`] and what this answers.
    pub check: &'a dyn Fn() -> Result<(), String>,
}

impl std::fmt::Debug for Watch<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}

impl Watch<'_> {
    fn checked(&self) -> Result<(), ArchiveError> {
        (self.check)().map_err(ArchiveError::Overtaken)
    }
}

/// A snapshot that was archived.
#[derive(Debug)]
pub struct Archived {
    /// As it lies there.
    pub snapshot: Snapshot,
    /// What of it lies there, which may be more than was asked for.
    pub scope: SnapshotScope,
    /// Whether it lay there already, so that nothing was done.
    pub was_there: bool,
    /// The digest of its tree; `None` when it is not whole there.
    pub tree: Option<Digest>,
    /// Layers that were written, and their bytes.
    pub written: (u64, u64),
    /// Layers that lay there already, and their bytes.
    pub reused: (u64, u64),
    /// What could not be kept.
    pub losses: Losses,
}

impl Archiver<'_> {
    /// Archives a snapshot, of which nothing changes until that is done; `progress` is told the
    /// bytes that were written each time.
    ///
    /// # Errors
    /// When something cannot be read or written, or another snapshot has its name. What was written
    /// until then stays without a name until the place is collected.
    pub fn archive(
        &self,
        subject: &Subject<'_>,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<Archived, ArchiveError> {
        self.archive_watched(subject, &Watch { progress, is_over: &|| false, check: &|| Ok(()) })
    }

    /// Archives a snapshot that somebody watches.
    ///
    /// # Errors
    /// As [`Self::archive`], and when `watch` says so. Layers that were whole by then need not be
    /// written again.
    pub fn archive_watched(
        &self,
        subject: &Subject<'_>,
        watch: &Watch<'_>,
    ) -> Result<Archived, ArchiveError> {
        let memory = Memory::open(self.memory)?;
        let name =
            Tag::of_snapshot(subject.sandbox.name.as_str(), subject.snapshot.id.0.unsigned_abs())?;
        let (must, there) = match self.presence(&name, subject)? {
            (Presence::Whole(archived), _) => return Ok(*archived),
            (Presence::Wanting(must), there) => (must, there),
        };
        let hold = self.place.hold()?;
        let mut writing = write::Writing::new(self, memory, watch);
        let parts = writing.parts(subject)?;
        let created = subject.snapshot.created.rfc3339();
        let mut annotations = BTreeMap::new();
        annotations
            .insert("org.opencontainers.image.title".to_owned(), subject.sandbox.name.to_string());
        if !subject.snapshot.message.is_empty() {
            let message = subject.snapshot.message.clone();
            annotations.insert("org.opencontainers.image.description".to_owned(), message);
        }
        annotations.insert(annotation::LOSSES.to_owned(), writing.losses.total.to_string());
        let execution = Execution {
            cmd: vec!["/bin/sh".to_owned()],
            working_dir: "/".to_owned(),
            ..Execution::default()
        };
        let assembled = assemble(&parts, &created, &Platform::host(), execution, annotations)?;
        if !must.allows(writing.tree.as_ref(), &assembled)? {
            let (place, name) = (self.place.address(), name.to_string());
            return Err(ArchiveError::Irreplaceable { place, name });
        }
        let expect = match self.place.resolve(name.as_str())? {
            Some(known) => Expect::Is(known.digest),
            None => Expect::Absent,
        };
        watch.checked()?;
        let snapshot = Snapshot::publish(self.place, &name, &assembled, self.keys, expect)?;
        if let Some(there) = there.filter(|there| there.reference != snapshot.reference) {
            self.place.withdraw(&there.reference)?;
        }
        drop(hold);
        let write::Writing { tree, written, reused, losses, .. } = writing;
        let scope = subject.scope;
        Ok(Archived { snapshot, scope, was_there: false, tree, written, reused, losses })
    }

    /// Forgets what lies in the place of layers that nothing has any more, neither a live folder
    /// nor a driver: `is_held` says which ones some driver has.
    ///
    /// # Errors
    /// When the memory cannot be read or written.
    pub fn forget(&self, is_held: &dyn Fn(&str) -> bool) -> Result<(), ArchiveError> {
        Memory::open(self.memory)?.forget(is_held)
    }
}
