//! Collecting a directory, with the lock held alone.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use ctrlz_core::digest::Digest;
use rustix::fs::{FlockOperation, flock};

use super::super::lock::Lock;
use super::{Directory, remove_if_there, sync_directory};
use crate::ArchiveError;
use crate::place::{Blob, Held, Sweep};

pub(super) struct Sweeping<'a> {
    place: &'a Directory,
    _lock: Lock,
}

impl<'a> Sweeping<'a> {
    pub(super) fn new(place: &'a Directory, lock: Lock) -> Self {
        Self { place, _lock: lock }
    }
}

/// The regular files in a directory.
fn files(directory: &Path) -> Result<Vec<(fs::DirEntry, fs::Metadata)>, ArchiveError> {
    let list = || -> io::Result<Vec<_>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let status = entry.metadata()?;
            if status.is_file() {
                found.push((entry, status));
            }
        }
        Ok(found)
    };
    list().map_err(ArchiveError::io("list", directory))
}

impl Sweep for Sweeping<'_> {
    fn held(&self) -> Result<Vec<Held>, ArchiveError> {
        let held = |(entry, status): (fs::DirEntry, fs::Metadata)| {
            let name = entry.file_name();
            let digest: Digest = format!("sha256:{}", name.to_str()?).parse().ok()?;
            let written = status.modified().ok()?;
            Some(Held { blob: Blob { digest, size: status.len() }, written })
        };
        Ok(files(&self.place.blobs())?.into_iter().filter_map(held).collect())
    }

    fn remove(&self, blobs: &[Blob]) -> Result<u64, ArchiveError> {
        let mut freed: u64 = 0;
        for blob in blobs {
            let path = self.place.blob_path(&blob.digest);
            if remove_if_there(&path).map_err(ArchiveError::io("remove", path))? {
                freed = freed.saturating_add(blob.size);
            }
        }
        sync_directory(&self.place.blobs())?;
        Ok(freed)
    }

    fn remove_unfinished(&self, grace: Duration, dry: bool) -> Result<(u64, u64), ArchiveError> {
        let (mut count, mut bytes) = (0, 0);
        for (entry, status) in files(&self.place.own("partial"))? {
            let path = entry.path();
            let age = status.modified().ok().and_then(|t| SystemTime::now().duration_since(t).ok());
            if age.is_none_or(|age| age < grace) || is_being_written(&path) {
                continue;
            }
            if !dry {
                remove_if_there(&path).map_err(ArchiveError::io("remove", &path))?;
            }
            (count, bytes) = (count + 1, status.len().saturating_add(bytes));
        }
        if !dry {
            self.remove_unfinished_index()?;
        }
        Ok((count, bytes))
    }
}

impl Sweeping<'_> {
    /// What a kill left of a change of the index; the next change would replace it as well.
    fn remove_unfinished_index(&self) -> Result<(), ArchiveError> {
        let _lock = self.place.lock_index()?;
        for name in ["index.json.new", "oci-layout.new"] {
            let path = self.place.own(name);
            remove_if_there(&path).map_err(ArchiveError::io("remove", &path))?;
        }
        Ok(())
    }
}

/// Whether somebody writes to a file without holding the place's lock.
fn is_being_written(path: &Path) -> bool {
    File::open(path)
        .is_ok_and(|file| flock(&file, FlockOperation::NonBlockingLockExclusive).is_err())
}
