//! Bringing an image from one place to another.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use ctrlz_core::digest::Digest;

use crate::place::patient::publish_again;
use crate::place::whole::Whole;
use crate::place::{self, Blob, Bytes, Expect, Place};
use crate::{ArchiveError, Descriptor};

/// How to bring it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transfer {
    /// How many blobs are under way at once.
    pub concurrency: usize,
    /// How often one thing is tried.
    pub tries: u32,
    /// How long to wait before the second try; each time twice as long, half a minute at most.
    pub pause: Duration,
    /// What the name has to mean where the image goes.
    pub expect: Expect,
}

impl Default for Transfer {
    fn default() -> Self {
        let pause = Duration::from_millis(250);
        Self { concurrency: 3, tries: 6, pause, expect: Expect::Any }
    }
}

/// What is under way.
#[derive(Debug)]
pub enum Event<'a> {
    /// How much there is to bring, before the first blob: blobs and bytes, and what of these is
    /// there already.
    Planned {
        /// Blobs and bytes in all.
        total: (u64, u64),
        /// Those that are there.
        there: (u64, u64),
    },
    /// So many bytes of a blob were taken over. After a failed try they may come again.
    Bytes {
        /// Which blob.
        digest: Digest,
        /// How many.
        bytes: u64,
    },
    /// A blob is there.
    Done {
        /// Which one.
        digest: Digest,
    },
    /// Something failed and is tried again.
    Again {
        /// What went wrong.
        error: &'a ArchiveError,
        /// The next try's number.
        try_number: u32,
    },
}

/// What a transfer came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Transferred {
    /// Blobs sent, and their bytes.
    pub sent: (u64, u64),
    /// Blobs that were there already, and their bytes.
    pub there: (u64, u64),
}

/// Told what happens, from several threads.
pub type Progress<'a> = dyn Fn(Event<'_>) + Sync + 'a;

impl Transfer {
    /// Brings the image `name` from one place to another, where it gets the name `to_name`. Blobs
    /// that are there are not sent; those that are sent are checked on the way. The name appears
    /// when all of it is there.
    ///
    /// Memory: some hundred KiB for each blob under way, and what a remote place needs.
    ///
    /// # Errors
    /// When a place does not answer after all tries, a blob is missing or damaged, or the name does
    /// not mean what was expected. What arrived stays and is not sent again.
    pub fn image(
        &self,
        (from, name): (&dyn Place, &str),
        (to, to_name): (&dyn Place, &str),
        progress: &Progress<'_>,
    ) -> Result<Transferred, ArchiveError> {
        let root = self.again(progress, || place::require(from, name))?;
        self.described((from, root), (to, to_name), progress)
    }

    /// As [`Self::image`], of the image or index that a descriptor tells of.
    ///
    /// # Errors
    /// As [`Self::image`].
    pub fn described(
        &self,
        (from, root): (&dyn Place, Descriptor),
        (to, to_name): (&dyn Place, &str),
        progress: &Progress<'_>,
    ) -> Result<Transferred, ArchiveError> {
        let hold = self.again(progress, || to.hold())?;
        let image = self.again(progress, || Whole::read(from, &root))?;
        let mut total = Transferred::default();
        let mut missing = self.missing(to, &image.blobs, progress, &mut total)?;
        self.send(from, to, &missing, progress)?;
        for (descriptor, bytes) in &image.inner {
            self.again(progress, || to.store_manifest(descriptor, bytes))?;
        }
        let (named, mut is_first) = ((to_name, &root, image.bytes.as_slice()), true);
        self.again(progress, || publish_again(to, named, self.expect, &mut is_first))?;
        // Someone may have collected a blob that was there when it was looked for.
        loop {
            let all: Vec<Blob> = image.blobs.iter().map(Blob::from).collect();
            let lost = self.again(progress, || hold.lost(&all))?;
            if lost.is_empty() {
                return Ok(total);
            }
            missing = lost;
            self.send(from, to, &missing, progress)?;
            for blob in &missing {
                count(&mut total.sent, blob.size);
            }
        }
    }

    /// Which blobs are not there yet.
    fn missing(
        &self,
        to: &dyn Place,
        blobs: &[Descriptor],
        progress: &Progress<'_>,
        total: &mut Transferred,
    ) -> Result<Vec<Blob>, ArchiveError> {
        let mut missing = Vec::new();
        for blob in blobs.iter().map(Blob::from) {
            if self.again(progress, || to.find(&blob.digest))? == Some(blob.size) {
                count(&mut total.there, blob.size);
            } else {
                count(&mut total.sent, blob.size);
                missing.push(blob);
            }
        }
        let sum = (total.sent.0 + total.there.0, total.sent.1.saturating_add(total.there.1));
        progress(Event::Planned { total: sum, there: total.there });
        Ok(missing)
    }

    /// Brings blobs, several at once. The first error ends all of it; blobs under way end at their
    /// next block.
    fn send(
        &self,
        from: &dyn Place,
        to: &dyn Place,
        blobs: &[Blob],
        progress: &Progress<'_>,
    ) -> Result<(), ArchiveError> {
        // Large ones first, so that none of them is under way alone at the end.
        let mut queue: Vec<Blob> = blobs.to_vec();
        queue.sort_by_key(|blob| std::cmp::Reverse(blob.size));
        let queue = Mutex::new(VecDeque::from(queue));
        let failed: Mutex<Option<ArchiveError>> = Mutex::new(None);
        let stop = AtomicBool::new(false);
        let next = || queue.lock().ok().and_then(|mut queue| queue.pop_front());
        let work = || {
            while let Some(blob) = next().filter(|_| !stop.load(Ordering::Relaxed)) {
                if let Err(error) = self.send_one(from, to, &blob, &stop, progress) {
                    stop.store(true, Ordering::Relaxed);
                    if let Ok(mut first) = failed.lock() {
                        first.get_or_insert(error);
                    }
                }
            }
        };
        thread::scope(|scope| {
            for _ in 1..self.concurrency.clamp(1, 16).min(blobs.len().max(1)) {
                scope.spawn(work);
            }
            work();
        });
        match failed.into_inner() {
            Ok(None) => Ok(()),
            Ok(Some(error)) => Err(error),
            Err(_) => Err(stopped()),
        }
    }

    fn send_one(
        &self,
        from: &dyn Place,
        to: &dyn Place,
        blob: &Blob,
        stop: &AtomicBool,
        progress: &Progress<'_>,
    ) -> Result<(), ArchiveError> {
        let sent = |bytes| progress(Event::Bytes { digest: blob.digest, bytes });
        let source = |at: u64| -> Result<Box<dyn Read + Send + '_>, ArchiveError> {
            let inner = Some(from.read(blob, at)?);
            Ok(Box::new(Resuming { transfer: self, from, blob, at, inner, stop, progress }))
        };
        self.again(progress, || {
            if stop.load(Ordering::Relaxed) {
                return Err(stopped());
            }
            to.write(blob, &source, &sent)
        })?;
        progress(Event::Done { digest: blob.digest });
        Ok(())
    }

    /// Does something again while what goes wrong may pass.
    fn again<T>(
        &self,
        progress: &Progress<'_>,
        mut action: impl FnMut() -> Result<T, ArchiveError>,
    ) -> Result<T, ArchiveError> {
        let mut pause = self.pause;
        let mut try_number = 1;
        loop {
            match action() {
                Err(error) if error.is_transient() && try_number < self.tries => {
                    try_number += 1;
                    progress(Event::Again { error: &error, try_number });
                    thread::sleep(pause);
                    pause = (pause * 2).min(Duration::from_secs(30));
                }
                other => return other,
            }
        }
    }
}

fn count((number, bytes): &mut (u64, u64), size: u64) {
    *number = number.saturating_add(1);
    *bytes = bytes.saturating_add(size);
}

fn stopped() -> ArchiveError {
    let source = io::Error::other("it was given up because another blob failed");
    ArchiveError::Io { action: "send", path: "a blob".into(), source }
}

/// A blob's bytes. Where the connection breaks, it is gone on with; once another blob has failed, it
/// ends with an error.
struct Resuming<'a> {
    transfer: &'a Transfer,
    from: &'a dyn Place,
    blob: &'a Blob,
    /// How far it was read.
    at: u64,
    /// `None` when the connection broke.
    inner: Option<Bytes>,
    stop: &'a AtomicBool,
    progress: &'a Progress<'a>,
}

impl Read for Resuming<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.transfer.again(self.progress, || {
            if self.stop.load(Ordering::Relaxed) {
                return Err(stopped());
            }
            let mut inner = match self.inner.take() {
                Some(inner) => inner,
                None => self.from.read(self.blob, self.at)?,
            };
            let length = loop {
                match inner.read(buffer) {
                    Ok(length) => break length,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => {
                        let path = format!("blob {}", self.blob.digest);
                        return Err(ArchiveError::io("read", path)(error));
                    }
                }
            };
            self.inner = Some(inner);
            Ok(length)
        })?;
        self.at = self.at.saturating_add(u64::try_from(length).unwrap_or(0));
        Ok(length)
    }
}
