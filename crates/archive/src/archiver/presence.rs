//! What lies under a snapshot's name already, and what may take its place.
//!
//! A live folder is archived as it is at that moment. So what was archived of it then cannot be
//! made once more when the folder has moved on, and is never replaced by something else.

use ctrlz_core::archive::{Dialect, Stratum};
use ctrlz_core::digest::Digest;
use ctrlz_core::snapshot::SnapshotScope;

use super::memory::Memory;
use super::{Archived, Archiver, Subject, whole_record};
use crate::base::Survey;
use crate::image::{Assembled, Manifest, Role, Tag, annotation, roles_in_order};
use crate::place::{Blob, Place, read_manifest};
use crate::snapshot::Snapshot;
use crate::{ArchiveError, Descriptor};

/// What lies under a name.
pub(super) enum Presence {
    /// All that is wanted.
    Whole(Box<Archived>),
    /// Less than that, or nothing: what is made now takes its place when it is this.
    Wanting(Must),
}

/// What an image must be to take a name.
pub(super) enum Must {
    /// No folder depends on it.
    Anything,
    /// Of this tree.
    Tree(Digest),
    /// With these tars of the tree's layers, of which all that is known is what they were.
    Tars(Vec<Digest>),
    /// With these blobs of the tree's layers.
    Blobs(Vec<Digest>),
    /// Nothing is known of it but that a live folder may have been in it.
    Unknown,
}

impl Must {
    pub(super) fn allows(
        &self,
        tree: Option<&Digest>,
        assembled: &Assembled,
    ) -> Result<bool, ArchiveError> {
        Ok(match self {
            Self::Anything => true,
            Self::Tree(expected) => tree == Some(expected),
            Self::Tars(expected) => {
                of_tree(&assembled.manifest, &assembled.config.rootfs.diff_ids)? == *expected
            }
            Self::Blobs(expected) => {
                of_tree(&assembled.manifest, &blobs(&assembled.manifest))? == *expected
            }
            Self::Unknown => false,
        })
    }
}

fn blobs(manifest: &Manifest) -> Vec<Digest> {
    manifest.layers.iter().map(|layer| layer.digest).collect()
}

/// Those of the layers' digests that are of the files.
fn of_tree(manifest: &Manifest, digests: &[Digest]) -> Result<Vec<Digest>, ArchiveError> {
    of_roles(manifest, digests, &[Role::Base, Role::Sealed])
}

fn of_roles(
    manifest: &Manifest,
    digests: &[Digest],
    wanted: &[Role],
) -> Result<Vec<Digest>, ArchiveError> {
    let roles = roles_in_order(&manifest.layers)?;
    let found = roles.into_iter().zip(digests).filter(|(role, _)| wanted.contains(role));
    Ok(found.map(|(_, digest)| *digest).collect())
}

/// How much a scope holds.
fn rank(scope: SnapshotScope) -> u8 {
    match scope {
        SnapshotScope::StateOnly => 0,
        SnapshotScope::Incremental => 1,
        SnapshotScope::Full => 2,
    }
}

impl Archiver<'_> {
    /// Whether a snapshot that lies there whole has the live folder as it is now.
    ///
    /// # Errors
    /// When the folder or what is remembered of it cannot be read.
    pub fn is_current(
        &self,
        subject: &Subject<'_>,
        there: &Archived,
    ) -> Result<bool, ArchiveError> {
        let is_live =
            |stratum: &&Stratum| stratum.id.is_none() && stratum.dialect == Dialect::Plain;
        let Some(live) = subject.strata.iter().find(is_live) else { return Ok(true) };
        if there.scope != SnapshotScope::Full {
            return Ok(true);
        }
        let memory = Memory::open(self.memory)?;
        let index = memory.base(&live.directory);
        let survey = Survey::take(live, &index, self.options.unreadable)?;
        if !survey.is_unchanged() {
            return Ok(false);
        }
        let mut now = Vec::new();
        for name in survey.layers() {
            let found = memory.find(name, self.place, |made| self.is_usable(made))?;
            now.extend(found.map(|(made, _)| made.descriptor.digest));
        }
        let manifest = &there.snapshot.manifest;
        Ok(of_roles(manifest, &blobs(manifest), &[Role::Base])? == now)
    }

    /// What lies under the name that the subject would get.
    ///
    /// # Errors
    /// When it is another snapshot, or cannot be read.
    pub(super) fn presence(
        &self,
        name: &Tag,
        subject: &Subject<'_>,
    ) -> Result<(Presence, Option<Snapshot>), ArchiveError> {
        match Snapshot::find_there(self.place, name.as_str(), self.keys) {
            Ok(None) => Ok((Presence::Wanting(Must::Anything), None)),
            Ok(Some(there)) => Ok((self.judged(subject, &there)?, Some(there))),
            Err(error @ ArchiveError::Missing(_)) => match self.place.resolve(name.as_str())? {
                None => Err(error),
                Some(named) => {
                    let must = match self.manifest_of(&named, subject) {
                        Some(manifest) if !manifest.is_sealed() => {
                            Must::Blobs(of_tree(&manifest, &blobs(&manifest))?)
                        }
                        _ => Must::Unknown,
                    };
                    Ok((Presence::Wanting(must), None))
                }
            },
            Err(error) => Err(error),
        }
    }

    /// The manifest that is named, when it is there and of a snapshot that was taken at the time.
    fn manifest_of(&self, named: &Descriptor, subject: &Subject<'_>) -> Option<Manifest> {
        let created = subject.snapshot.created.rfc3339();
        let manifest = read_manifest(self.place, named).ok();
        manifest.filter(|found| found.annotations.get(annotation::CREATED) == Some(&created))
    }

    fn judged(&self, subject: &Subject<'_>, there: &Snapshot) -> Result<Presence, ArchiveError> {
        let taken = || {
            let (place, name) = (self.place.address(), there.name.clone());
            ArchiveError::Taken { place, name }
        };
        let mut whole = true;
        // Its configuration was read already, from a blob or from the encrypted document.
        for layer in &there.manifest.layers {
            let blob = Blob::from(layer);
            whole &= self.place.find(&blob.digest)? == Some(blob.size);
        }
        let record = match whole_record(self.place, there, self.keys) {
            Ok((record, _)) => record,
            // What it was of is told by the time it was taken, as far as that goes.
            Err(_)
                if !whole && there.config.created == Some(subject.snapshot.created.rfc3339()) =>
            {
                let tars = of_tree(&there.manifest, &there.config.rootfs.diff_ids)?;
                return Ok(Presence::Wanting(Must::Tars(tars)));
            }
            Err(_) if !whole => return Err(taken()),
            Err(error) => return Err(error),
        };
        let same = record.snapshot.id == subject.snapshot.id
            && record.snapshot.created == subject.snapshot.created
            && record.sandbox.created == subject.sandbox.created;
        if !same {
            return Err(taken());
        }
        if !whole || rank(record.scope) < rank(subject.scope) {
            return Ok(Presence::Wanting(match (record.scope, record.tree) {
                // What is left of more is worth more than less of it.
                (scope, _) if rank(subject.scope) < rank(scope) => Must::Unknown,
                (SnapshotScope::Full, Some(tree)) => Must::Tree(tree),
                (SnapshotScope::Full, None) => Must::Unknown,
                _ => Must::Anything,
            }));
        }
        let reused = there.manifest.layers.iter().map(|layer| layer.size).sum();
        let number = there.manifest.layers.len() as u64;
        Ok(Presence::Whole(Box::new(Archived {
            snapshot: there.clone(),
            scope: record.scope,
            was_there: true,
            tree: record.tree,
            written: (0, 0),
            reused: (number, reused),
            losses: record.losses.unwrap_or_default(),
        })))
    }
}
