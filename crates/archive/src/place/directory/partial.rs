//! A blob that is not whole yet: where an earlier writer ended, the next one goes on.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use rustix::fs::{FlockOperation, flock};

use super::{Directory, is_same, new_file, random_word};
use crate::ArchiveError;
use crate::place::{Blob, Source};
use crate::sha256::Sha256;

/// How much is read at once.
const STEP: usize = 256 << 10;

/// How often to try again when the file is taken away or finished between two steps.
const TRIES: usize = 16;

/// A file that nobody else writes to.
pub(super) struct Partial<'a> {
    place: &'a Directory,
    blob: Blob,
    path: PathBuf,
    file: File,
}

impl<'a> Partial<'a> {
    /// The file with a blob's beginning; an empty one when there is none, or when somebody else
    /// writes to it right now.
    pub(super) fn take(place: &'a Directory, blob: &Blob) -> Result<Self, ArchiveError> {
        let path = place.own("partial").join(blob.digest.hex());
        let failed = |path: &PathBuf| ArchiveError::io("write", path.clone());
        for _ in 0..TRIES {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits() as i32)
                .open(&path)
                .map_err(failed(&path))?;
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(rustix::io::Errno::WOULDBLOCK) => break,
                Err(errno) => return Err(failed(&path)(errno.into())),
            }
            // Whoever had it before may have made it a blob since it was opened.
            if is_same(&file, &path).map_err(failed(&path))? {
                return Ok(Self { place, blob: *blob, path, file });
            }
        }
        let path = path.with_extension(random_word()?);
        let file = new_file(&path).map_err(failed(&path))?;
        Ok(Self { place, blob: *blob, path, file })
    }

    /// Fills it from `source` and makes it a blob.
    pub(super) fn fill(
        mut self,
        source: &Source<'_>,
        sent: &(dyn Fn(u64) + Sync),
    ) -> Result<(), ArchiveError> {
        let (mut hasher, mut have) = self.resume()?;
        loop {
            let resumed = have > 0;
            self.append(&mut hasher, have, source, sent)?;
            if hasher.finish() == self.blob.digest {
                return self.place.settle(&self.file, &self.path, &self.blob.digest);
            }
            self.restart()?;
            if !resumed {
                let _ = fs::remove_file(&self.path);
                return Err(ArchiveError::damaged(self.blob.digest, "the source has other bytes"));
            }
            // The beginning may not have outlived a crash: once more, from the first byte.
            (hasher, have) = (Sha256::new(), 0);
        }
    }

    /// What is there already.
    fn resume(&mut self) -> Result<(Sha256, u64), ArchiveError> {
        let failed = |error| ArchiveError::io("read", self.path.clone())(error);
        let mut hasher = Sha256::new();
        let length = self.file.metadata().map_err(failed)?.len();
        if length > self.blob.size {
            self.restart()?;
            return Ok((hasher, 0));
        }
        let mut buffer = vec![0; STEP];
        let mut have: u64 = 0;
        loop {
            let read = match self.file.read(&mut buffer) {
                Ok(0) => return Ok((hasher, have)),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(ArchiveError::io("read", self.path.clone())(error)),
            };
            hasher.update(buffer.get(..read).unwrap_or_default());
            have = have.saturating_add(u64::try_from(read).unwrap_or(0));
        }
    }

    fn restart(&mut self) -> Result<(), ArchiveError> {
        let restarted =
            self.file.set_len(0).and_then(|()| self.file.seek(SeekFrom::Start(0)).map(drop));
        restarted.map_err(ArchiveError::io("write", self.path.clone()))
    }

    fn append(
        &mut self,
        hasher: &mut Sha256,
        from: u64,
        source: &Source<'_>,
        sent: &(dyn Fn(u64) + Sync),
    ) -> Result<(), ArchiveError> {
        let Blob { digest, size } = self.blob;
        if from == size {
            return Ok(());
        }
        let mut input = source(from)?;
        let mut buffer = vec![0; STEP];
        let mut have = from;
        loop {
            let read = match input.read(&mut buffer) {
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    return Err(ArchiveError::of(error, |source| ArchiveError::Io {
                        action: "read a source for",
                        path: self.path.clone(),
                        source,
                    }));
                }
            };
            have = have.saturating_add(u64::try_from(read).unwrap_or(0));
            if have > size || read == 0 && have < size {
                let _ = fs::remove_file(&self.path);
                let what = if read == 0 { "fewer" } else { "more" };
                let what = format!("the source has {what} than {size} bytes");
                return Err(ArchiveError::damaged(digest, what));
            }
            if read == 0 {
                return Ok(());
            }
            let bytes = buffer.get(..read).unwrap_or_default();
            hasher.update(bytes);
            self.file.write_all(bytes).map_err(ArchiveError::io("write", self.path.clone()))?;
            sent(u64::try_from(read).unwrap_or(0));
        }
    }
}
