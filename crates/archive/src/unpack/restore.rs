//! The restore of a tree, layer by layer.

use std::io::Read;
use std::os::fd::OwnedFd;
use std::sync::Mutex;
use std::sync::mpsc::sync_channel;

use ctrlz_core::digest::Digest;
use ctrlz_core::path::RelPath;
use rustix::io::Errno;

use super::absent::Absent;
use super::apply::Apply;
use super::digest::{check, hash};
use super::files::{BATCHES, Files, Shared, THREADS};
use super::keep::Keep;
use super::partial::Partial;
use super::target::Target;
use crate::ahead::{CHUNKS, Feed, pump};
use crate::codec::Decoder;
use crate::descent::{Closed, Descent};
use crate::entry::Metadata;
use crate::error::ArchiveError;
use crate::layer::Counts;
use crate::loss::Losses;
use crate::tar::{Limits, Reader};

/// A directory whose owner, mode, attributes and time are set at the end, since everything that is
/// made in it would change or forbid something of that.
#[derive(Debug)]
pub(super) struct Directory {
    pub(super) path: RelPath,
    /// `None` for one that no layer tells of and that had to be made.
    pub(super) metadata: Option<Metadata>,
}

/// A restore under way. Dropped before [`Restore::finish`], it leaves nothing.
#[derive(Debug)]
pub struct Restore {
    pub(super) target: Target,
    partial: Partial,
    keep: Keep,
    pub(super) layers: usize,
    pub(super) directories: Vec<Directory>,
    pub(super) counts: Counts,
    pub(super) losses: Losses,
    pub(super) absent: Absent,
    broken: bool,
}

/// A layer that was applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The SHA-256 of the tar archive, when one was expected: the same.
    pub diff_id: Option<Digest>,
    /// Compressed bytes that were read.
    pub compressed_size: u64,
}

/// A tree that was restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// What was made; what a higher layer replaced is counted too.
    pub counts: Counts,
    /// What could not be kept, by path.
    pub losses: Losses,
}

impl Restore {
    /// Prepares `DIRECTORY.partial`.
    ///
    /// # Errors
    /// When something is at the directory or beside it already, or nothing can be made there.
    pub fn begin(target: Target) -> Result<Self, ArchiveError> {
        let partial = Partial::create(&target.directory)?;
        let keep = Keep::new(target.ownership.clone());
        Ok(Self {
            target,
            partial,
            keep,
            layers: 0,
            directories: Vec::new(),
            counts: Counts::default(),
            losses: Losses::default(),
            absent: Absent::default(),
            broken: false,
        })
    }

    /// Applies the next layer, lowest first: `layer` is its blob, compressed as it may be. With
    /// `diff_id` the digest of what comes out of it is checked.
    ///
    /// # Errors
    /// When the layer is damaged, refused or beyond the limits, or something cannot be made. The
    /// restore is of no use then.
    pub fn apply(
        &mut self,
        layer: &mut (dyn Read + Send),
        limits: &Limits,
        diff_id: Option<&Digest>,
    ) -> Result<Applied, ArchiveError> {
        let replace = self.layers > 0;
        self.run(layer, limits, diff_id, replace, |apply, reader| apply.layer(reader))
            .inspect(|_| self.layers += 1)
    }

    /// Whether [`Self::apply_again`] is needed: some of the paths that were asked for are further
    /// names of files that were not.
    #[must_use]
    pub fn is_incomplete(&self) -> bool {
        !self.absent.is_empty()
    }

    /// Goes through the layers once more for what [`Self::is_incomplete`] tells of; `index` counts
    /// them from the lowest, which is 0. After all of them the restore is complete.
    ///
    /// # Errors
    /// As [`Self::apply`].
    pub fn apply_again(
        &mut self,
        index: usize,
        layer: &mut (dyn Read + Send),
        limits: &Limits,
        diff_id: Option<&Digest>,
    ) -> Result<Applied, ArchiveError> {
        self.run(layer, limits, diff_id, true, |apply, reader| apply.absent(reader, index))
    }

    fn run(
        &mut self,
        layer: &mut (dyn Read + Send),
        limits: &Limits,
        diff_id: Option<&Digest>,
        replace: bool,
        with: impl FnOnce(&mut Apply<'_>, &mut Reader<Feed>) -> Result<(), ArchiveError>,
    ) -> Result<Applied, ArchiveError> {
        self.check()?;
        self.broken = true;
        let tree = self.partial.tree()?;
        let shared = Shared::new(self.keep.clone(), replace, self.partial.shown());
        let mut decoder = Decoder::new(layer, limits.clone())?;
        let (to_hash, from_decoder) = sync_channel(CHUNKS);
        let (back, empty) = sync_channel(CHUNKS);
        let (to_write, batches) = sync_channel(BATCHES);
        let (written, reusable) = sync_channel(BATCHES);
        let batches = Mutex::new(batches);
        let (shared_ref, batches_ref, decoder_ref) = (&shared, &batches, &mut decoder);
        let found = std::thread::scope(|scope| {
            scope.spawn(move || pump(decoder_ref, &to_hash, &empty));
            let (from, hashing) = match diff_id {
                Some(_) => {
                    let (to, from) = sync_channel(2);
                    (from, Some(scope.spawn(move || hash(&from_decoder, &to))))
                }
                None => (from_decoder, None),
            };
            for _ in 0..THREADS {
                let written = written.clone();
                scope.spawn(move || shared_ref.work(batches_ref, &written));
            }
            drop(written);
            let applied = (|| {
                let files = Files::new(shared_ref, to_write, reusable);
                let mut reader = Reader::new(Feed::new(from, back), limits.clone());
                let mut apply = Apply::new(self, tree, files);
                with(&mut apply, &mut reader)?;
                apply.finish()
            })();
            let found = hashing.map(|thread| {
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            });
            // A file that could not be written is the reason for what followed from it.
            match shared_ref.take_error() {
                Some(error) => Err(error),
                None => applied.map(|()| found),
            }
        })?;
        let diff_id = found.map(|found| check(found, diff_id)).transpose()?;
        self.losses.append(shared.take_losses());
        self.broken = false;
        Ok(Applied { diff_id, compressed_size: decoder.read_bytes() })
    }

    fn check(&self) -> Result<(), ArchiveError> {
        if self.broken {
            let why = "one of its layers failed".to_owned();
            return Err(ArchiveError::Malformed { what: "this restore", why });
        }
        Ok(())
    }

    /// Gives the directories what they carry, and the tree its name.
    ///
    /// # Errors
    /// When that fails, or a layer failed before. Nothing is left then.
    pub fn finish(mut self) -> Result<Restored, ArchiveError> {
        self.check()?;
        if let Some(path) = self.absent.unmet() {
            let why = "the file that it is another name of was not found".to_owned();
            return Err(ArchiveError::Refused { path: path.as_path().to_owned(), why });
        }
        self.finish_directories()?;
        let mut losses = self.losses;
        losses.first.sort_by(|a, b| a.path.cmp(&b.path));
        self.partial.publish(self.target.durable)?;
        Ok(Restored { counts: self.counts, losses })
    }

    /// From the deepest up, since a mode may close what is below it.
    fn finish_directories(&mut self) -> Result<(), ArchiveError> {
        let tree: OwnedFd = self.partial.tree()?;
        let mut at = Descent::new(tree, Closed::Refuse);
        let mut directories = std::mem::take(&mut self.directories);
        // The last one told of a path counts; sorting keeps the order among equals.
        directories.reverse();
        directories.sort_by(|a, b| b.path.cmp(&a.path));
        directories.dedup_by(|later, first| later.path == first.path);
        let is_root_told = directories.last().is_some_and(|last| last.path.is_root());
        if !is_root_told {
            directories.push(Directory { path: RelPath::root(), metadata: None });
        }
        for Directory { path, metadata } in directories {
            let failed = |errno: Errno| {
                let path = path.below(&self.partial.shown());
                ArchiveError::io("set the attributes of", path)(errno)
            };
            match at.go(path.as_bytes(), |_, _, errno| Err(errno)) {
                Ok(()) => {}
                // A higher layer removed or replaced it.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => continue,
                Err(errno) => return Err(failed(errno)),
            }
            match metadata {
                Some(metadata) => {
                    self.keep.on_open(at.here(), &path, &metadata, None, &mut self.losses)
                }
                None => rustix::fs::fchmod(at.here(), rustix::fs::Mode::from_raw_mode(0o755)),
            }
            .map_err(failed)?;
        }
        Ok(())
    }
}
