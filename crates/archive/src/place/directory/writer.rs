//! Writing a blob whose name is known only at its end.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;

use rustix::fs::{FlockOperation, flock};

use super::{Directory, new_file, random_word};
use crate::ArchiveError;
use crate::place::Blob;
use crate::sha256::Sha256;
use crate::write_behind::WriteBehind;

/// A blob that becomes whole with [`BlobWriter::finish`]; dropped before, it never was. Large
/// writes are best: there is no buffer between the caller and the file.
#[derive(Debug)]
pub struct BlobWriter {
    place: Directory,
    /// `None` once it was finished.
    path: Option<PathBuf>,
    file: File,
    hasher: Sha256,
    size: u64,
    behind: WriteBehind,
}

impl BlobWriter {
    pub(super) fn begin(place: Directory) -> Result<Self, ArchiveError> {
        place.make_own_directories()?;
        let path = place.own("partial").join(format!("new-{}", random_word()?));
        let file = new_file(&path).map_err(ArchiveError::io("create", &path))?;
        // Collection leaves files alone that somebody writes to, whatever their age.
        flock(&file, FlockOperation::NonBlockingLockExclusive)
            .map_err(|errno| ArchiveError::io("lock", &path)(errno))?;
        let (hasher, behind) = (Sha256::new(), WriteBehind::default());
        Ok(Self { place, path: Some(path), file, hasher, size: 0, behind })
    }

    /// Makes it a blob.
    ///
    /// # Errors
    /// When it cannot be brought to the disk.
    pub fn finish(mut self) -> Result<Blob, ArchiveError> {
        let digest = std::mem::replace(&mut self.hasher, Sha256::new()).finish();
        if let Some(path) = &self.path {
            self.place.settle(&self.file, path, &digest)?;
            self.path = None;
        }
        Ok(Blob { digest, size: self.size })
    }
}

impl Write for BlobWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let failed = |error: io::Error| -> io::Error {
            let path = self.path.clone().unwrap_or_default();
            ArchiveError::Io { action: "write", path, source: error }.into()
        };
        let length = self.file.write(bytes).map_err(failed)?;
        self.hasher.update(bytes.get(..length).unwrap_or_default());
        self.size = self.size.saturating_add(u64::try_from(length).unwrap_or(0));
        self.behind.written(&self.file, self.size);
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for BlobWriter {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            let _ = fs::remove_file(path);
        }
    }
}
