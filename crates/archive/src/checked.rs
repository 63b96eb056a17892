//! Reading a blob: its size and digest are checked on the way.

use std::io::{self, Read};

use ctrlz_core::digest::Digest;

use crate::ArchiveError;
use crate::sha256::Sha256;

/// A reader that fails unless it gave exactly the bytes that a blob's name and size promise. What
/// it gave before its end must not be believed before its end.
pub struct Checked<R> {
    inner: R,
    digest: Digest,
    size: u64,
    read: u64,
    /// `None` once the digest was compared.
    hasher: Option<Sha256>,
    /// What was wrong, so that whoever reads on after an error meets it again.
    wrong: Option<String>,
}

impl<R> std::fmt::Debug for Checked<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Checked({}, {} of {})", self.digest, self.read, self.size)
    }
}

impl<R: Read> Checked<R> {
    /// Reads the blob named `digest` of `size` bytes from `inner`, which begins with its first byte.
    pub fn new(inner: R, digest: Digest, size: u64) -> Self {
        Self { inner, digest, size, read: 0, hasher: Some(Sha256::new()), wrong: None }
    }

    fn end(&mut self) -> io::Result<usize> {
        let Some(hasher) = self.hasher.take() else { return Ok(0) };
        if self.read != self.size {
            return self.refuse(format!("it ends after {} of {} bytes", self.read, self.size));
        }
        if hasher.finish() != self.digest {
            return self.refuse("it has other bytes".to_owned());
        }
        Ok(0)
    }

    fn refuse(&mut self, what: String) -> io::Result<usize> {
        self.wrong = Some(what.clone());
        Err(ArchiveError::damaged(self.digest, what).into())
    }

    /// Reads what is left and drops it. A decoder may stop before the end of its input; only here
    /// is it known that all of the blob was right.
    ///
    /// # Errors
    /// When it was not, or it cannot be read.
    pub fn finish(mut self) -> Result<(), ArchiveError> {
        let digest = self.digest;
        io::copy(&mut self, &mut io::sink()).map(drop).map_err(|error| {
            ArchiveError::of(error, |e| ArchiveError::damaged(digest, e.to_string()))
        })
    }
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(what) = self.wrong.take() {
            return self.refuse(what);
        }
        if buffer.is_empty() {
            return Ok(0);
        }
        let length = self.inner.read(buffer)?;
        if length == 0 {
            return self.end();
        }
        let bytes = buffer.get(..length).unwrap_or_default();
        self.read = self.read.saturating_add(u64::try_from(length).unwrap_or(u64::MAX));
        if self.read > self.size {
            return self.refuse(format!("it has more than {} bytes", self.size));
        }
        if let Some(hasher) = &mut self.hasher {
            hasher.update(bytes);
        }
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::describe;

    fn told(bytes: &[u8], digest: Digest, size: u64) -> String {
        let mut text = Vec::new();
        match Checked::new(bytes, digest, size).read_to_end(&mut text) {
            Ok(_) => "whole".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn only_the_very_bytes_pass() {
        let blob = describe("x", b"content");
        assert_eq!(told(b"content", blob.digest, 7), "whole");
        let damaged = |what: &str| format!("blob {} is damaged: {what}", blob.digest);
        assert_eq!(told(b"Content", blob.digest, 7), damaged("it has other bytes"));
        assert_eq!(told(b"conten", blob.digest, 7), damaged("it ends after 6 of 7 bytes"));
        assert_eq!(told(b"content!", blob.digest, 7), damaged("it has more than 7 bytes"));
        assert_eq!(told(b"", blob.digest, 7), damaged("it ends after 0 of 7 bytes"));
        assert_eq!(told(b"content", blob.digest, 6), damaged("it has more than 6 bytes"));
    }
}
