//! What lies in a place already, so that it is not read, compressed and written again.
//!
//! ```text
//! lock                 held by whoever archives
//! layers/NAME.json     a layer's blob and the digest of its tar
//! layers/NAME.listing  its listing
//! bases/DIGEST         an index of a live folder, see crate::base
//! new-N                a listing under way
//! ```
//!
//! All of it can be lost: then it is made again.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use ctrlz_core::digest::Digest;
use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

use crate::place::{Blob, Place};
use crate::{ArchiveError, Descriptor, Losses, base};

/// A layer that was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Made {
    pub(super) descriptor: Descriptor,
    pub(super) diff_id: Digest,
    /// What could not be kept of the directory; for a live folder, of all of it, with the layers
    /// below.
    pub(super) losses: Losses,
}

/// The memory of one place, locked.
#[derive(Debug)]
pub(super) struct Memory {
    directory: PathBuf,
    _lock: File,
    turn: u32,
}

impl Memory {
    /// Opens it; waits for others that archive to the same place.
    pub(super) fn open(directory: &Path) -> Result<Self, ArchiveError> {
        for directory in [directory.to_owned(), directory.join("layers"), directory.join("bases")] {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&directory)
                .map_err(ArchiveError::io("create the directory", directory))?;
        }
        let path = directory.join("lock");
        let mut options = fs::OpenOptions::new();
        options.create(true).truncate(false).write(true).mode(0o600);
        let lock = options.open(&path).map_err(ArchiveError::io("open", &path))?;
        rustix::fs::flock(&lock, FlockOperation::LockExclusive)
            .map_err(ArchiveError::io("lock", &path))?;
        let memory = Self { directory: directory.to_owned(), _lock: lock, turn: 0 };
        memory.tidy()?;
        Ok(memory)
    }

    /// Removes what a crash left.
    fn tidy(&self) -> Result<(), ArchiveError> {
        for path in entries(&self.directory)? {
            let name = path.file_name().map(OsStrExt::as_bytes);
            if name.is_some_and(|name| name.starts_with(b"new-")) {
                fs::remove_file(&path).map_err(ArchiveError::io("remove", &path))?;
            }
        }
        Ok(())
    }

    /// A file for a listing.
    pub(super) fn new_listing(&mut self) -> Result<Listing, ArchiveError> {
        self.turn += 1;
        let path = self.directory.join(format!("new-{}", self.turn));
        let mut options = fs::OpenOptions::new();
        options.create(true).truncate(true).write(true).mode(0o600);
        let file = options.open(&path).map_err(ArchiveError::io("create", &path))?;
        Ok(Listing { path, file })
    }

    /// The index of a live folder.
    pub(super) fn base(&self, folder: &Path) -> PathBuf {
        let name = Digest::blake3(*blake3::hash(folder.as_os_str().as_bytes()).as_bytes());
        self.directory.join("bases").join(name.hex())
    }

    fn file(&self, name: &str, what: &str) -> Option<PathBuf> {
        // A name is a driver's or our own, and never leads elsewhere.
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        let good = !name.is_empty() && name.len() < 200 && name.bytes().all(plain);
        good.then(|| self.directory.join("layers").join(format!("{name}.{what}")))
    }

    /// The layer of that name, when it lies in `place` still, and its listing.
    pub(super) fn find(
        &self,
        name: &str,
        place: &dyn Place,
        wanted: impl FnOnce(&Descriptor) -> bool,
    ) -> Result<Option<(Made, PathBuf)>, ArchiveError> {
        let (Some(json), Some(listing)) = (self.file(name, "json"), self.file(name, "listing"))
        else {
            return Ok(None);
        };
        let Ok(bytes) = fs::read(json) else { return Ok(None) };
        let Ok(made) = serde_json::from_slice::<Made>(&bytes) else { return Ok(None) };
        if !listing.is_file() || !wanted(&made.descriptor) {
            return Ok(None);
        }
        let Blob { digest, size } = Blob::from(&made.descriptor);
        Ok((place.find(&digest)? == Some(size)).then_some((made, listing)))
    }

    /// Remembers a layer; answers where its listing lies now.
    pub(super) fn keep(
        &mut self,
        name: &str,
        made: &Made,
        listing: Listing,
    ) -> Result<PathBuf, ArchiveError> {
        let (Some(json), Some(kept)) = (self.file(name, "json"), self.file(name, "listing")) else {
            return Ok(listing.path);
        };
        let bytes = serde_json::to_vec(made)
            .map_err(|error| ArchiveError::malformed("a layer's note", error))?;
        let mut note = self.new_listing()?;
        note.file.write_all(&bytes).map_err(ArchiveError::io("write", &note.path))?;
        // A listing without a note is nothing, so it comes first.
        fs::rename(&listing.path, &kept).map_err(ArchiveError::io("keep", &kept))?;
        fs::rename(&note.path, &json).map_err(ArchiveError::io("keep", &json))?;
        Ok(kept)
    }

    /// Forgets what is of no use: the layers that are not a live folder's and that `is_held` does
    /// not know, and the folders that are gone.
    pub(super) fn forget(&self, is_held: &dyn Fn(&str) -> bool) -> Result<(), ArchiveError> {
        let mut of_bases = HashSet::new();
        for path in entries(&self.directory.join("bases"))? {
            match base::remembered(&path)? {
                Some((folder, layers)) if folder.is_dir() => of_bases.extend(layers),
                _ => fs::remove_file(&path).map_err(ArchiveError::io("remove", &path))?,
            }
        }
        for path in entries(&self.directory.join("layers"))? {
            let name = path.file_stem().and_then(|name| name.to_str());
            if !name.is_some_and(|name| of_bases.contains(name) || is_held(name)) {
                fs::remove_file(&path).map_err(ArchiveError::io("remove", &path))?;
            }
        }
        Ok(())
    }
}

fn entries(directory: &Path) -> Result<Vec<PathBuf>, ArchiveError> {
    let entries = fs::read_dir(directory)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
    entries.map_err(ArchiveError::io("read", directory))
}

/// A listing under way.
#[derive(Debug)]
pub(super) struct Listing {
    pub(super) path: PathBuf,
    pub(super) file: File,
}
