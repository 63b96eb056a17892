//! Regular files: small ones gathered and written by several threads, large ones as they come.

use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use ctrlz_core::path::RelPath;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::keep::Keep;
use super::remove::remove;
use crate::entry::Metadata;
use crate::error::ArchiveError;
use crate::loss::Losses;

/// How many threads write.
pub(super) const THREADS: usize = 2;
/// How many batches go round.
pub(super) const BATCHES: usize = 6;
/// A batch is full with so many bytes, files or open directories.
const BYTES: usize = 1 << 19;
const FILES: usize = 256;
const DIRECTORIES: usize = 24;

/// A file to be written.
#[derive(Debug)]
struct Job {
    directory: Arc<OwnedFd>,
    name: Vec<u8>,
    path: RelPath,
    metadata: Metadata,
    content: Range<usize>,
}

/// Files that one thread writes.
#[derive(Debug, Default)]
pub(super) struct Batch {
    content: Vec<u8>,
    jobs: Vec<Job>,
    directories: usize,
}

impl Batch {
    fn is_full(&self) -> bool {
        self.content.len() >= BYTES || self.jobs.len() >= FILES || self.directories >= DIRECTORIES
    }
}

/// What all threads of a layer share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) keep: Keep,
    /// Whether what a lower layer has at a path is replaced; else nothing may be there.
    pub(super) replace: bool,
    pub(super) tree: PathBuf,
    failed: AtomicBool,
    error: Mutex<Option<ArchiveError>>,
    losses: Mutex<Losses>,
    pending: Mutex<usize>,
    done: Condvar,
}

impl Shared {
    pub(super) fn new(keep: Keep, replace: bool, tree: PathBuf) -> Self {
        Self {
            keep,
            replace,
            tree,
            failed: AtomicBool::new(false),
            error: Mutex::default(),
            losses: Mutex::default(),
            pending: Mutex::default(),
            done: Condvar::new(),
        }
    }

    /// The first error of the writing threads.
    pub(super) fn take_error(&self) -> Option<ArchiveError> {
        self.error.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(super) fn take_losses(&self) -> Losses {
        std::mem::take(&mut *self.losses.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn fail(&self, error: ArchiveError) {
        let mut first = self.error.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert(error);
        self.failed.store(true, Ordering::Release);
    }

    /// Writes batches until there are no more.
    pub(super) fn work(&self, batches: &Mutex<Receiver<Batch>>, back: &SyncSender<Batch>) {
        loop {
            let next = batches.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(mut batch) = next else { return };
            let mut losses = Losses::default();
            for job in &batch.jobs {
                if self.failed.load(Ordering::Acquire) {
                    break;
                }
                let content = batch.content.get(job.content.clone()).unwrap_or_default();
                if let Err(error) = self.write(job, content, &mut losses) {
                    self.fail(error);
                }
            }
            if !losses.is_empty() {
                self.losses.lock().unwrap_or_else(PoisonError::into_inner).append(losses);
            }
            batch.jobs.clear();
            batch.content.clear();
            batch.directories = 0;
            let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
            *pending = pending.saturating_sub(1);
            self.done.notify_all();
            drop(pending);
            let _ = back.send(batch);
        }
    }

    fn write(&self, job: &Job, content: &[u8], losses: &mut Losses) -> Result<(), ArchiveError> {
        let failed = |action| ArchiveError::io(action, job.path.below(&self.tree));
        let (file, mode) = self.create(&job.directory, &job.name, &job.path, &job.metadata)?;
        write_at(&file, content, 0).map_err(failed("write"))?;
        self.keep
            .on_open(&file, &job.path, &job.metadata, Some(mode), losses)
            .map_err(failed("set the attributes of"))
    }

    /// Makes an empty file.
    pub(super) fn create(
        &self,
        directory: impl AsFd,
        name: &[u8],
        path: &RelPath,
        metadata: &Metadata,
    ) -> Result<(OwnedFd, Mode), ArchiveError> {
        let mode = self.keep.first_mode(metadata);
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = self
            .make(&directory, name, path, || rustix::fs::openat(&directory, name, flags, mode))?;
        Ok((file, mode))
    }

    /// Runs `make`, which makes `name`; what a lower layer has there is removed first.
    pub(super) fn make<T>(
        &self,
        directory: impl AsFd,
        name: &[u8],
        path: &RelPath,
        make: impl Fn() -> Result<T, Errno>,
    ) -> Result<T, ArchiveError> {
        let made = match make() {
            Err(Errno::EXIST) if self.replace => {
                remove(&directory, name)
                    .map_err(ArchiveError::io("replace", path.below(&self.tree)))?;
                make()
            }
            made => made,
        };
        made.map_err(|errno| match errno {
            Errno::EXIST => twice(path),
            Errno::NAMETOOLONG => ArchiveError::Refused {
                path: path.as_path().to_owned(),
                why: "its name is longer than the file system allows".to_owned(),
            },
            errno => ArchiveError::io("create", path.below(&self.tree))(errno),
        })
    }
}

/// An entry that a layer has told before.
pub(super) fn twice(path: &RelPath) -> ArchiveError {
    let why = "the layer has it twice".to_owned();
    ArchiveError::Refused { path: path.as_path().to_owned(), why }
}

/// Writes all of `bytes` at `offset`.
pub(super) fn write_at(file: impl AsFd, bytes: &[u8], offset: u64) -> Result<(), Errno> {
    let (mut rest, mut at) = (bytes, offset);
    while !rest.is_empty() {
        match rustix::io::pwrite(&file, rest, at) {
            Ok(0) => return Err(Errno::IO),
            Ok(length) => {
                at += length as u64;
                rest = rest.get(length..).unwrap_or_default();
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Hands files to the writing threads.
#[derive(Debug)]
pub(super) struct Files<'a> {
    shared: &'a Shared,
    to: SyncSender<Batch>,
    back: Receiver<Batch>,
    made: usize,
    current: Batch,
}

/// A file whose content is being handed over.
#[derive(Debug)]
pub(super) struct Handed {
    directory: Arc<OwnedFd>,
    name: Vec<u8>,
    path: RelPath,
    metadata: Metadata,
    start: usize,
}

impl<'a> Files<'a> {
    pub(super) fn new(shared: &'a Shared, to: SyncSender<Batch>, back: Receiver<Batch>) -> Self {
        Self { shared, to, back, made: 1, current: Batch::default() }
    }

    /// Begins a file; [`Self::content`] and [`Self::end`] follow.
    pub(super) fn begin(
        &self,
        directory: Arc<OwnedFd>,
        name: &[u8],
        path: RelPath,
        metadata: Metadata,
    ) -> Handed {
        let start = self.current.content.len();
        Handed { directory, name: name.to_vec(), path, metadata, start }
    }

    pub(super) fn content(&mut self, bytes: &[u8]) {
        self.current.content.extend_from_slice(bytes);
    }

    pub(super) fn end(&mut self, file: Handed) -> Result<(), ArchiveError> {
        let batch = &mut self.current;
        let same = |job: &Job| Arc::ptr_eq(&job.directory, &file.directory);
        if !batch.jobs.last().is_some_and(same) {
            batch.directories += 1;
        }
        batch.jobs.push(Job {
            directory: file.directory,
            name: file.name,
            path: file.path,
            metadata: file.metadata,
            content: file.start..batch.content.len(),
        });
        if batch.is_full() { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), ArchiveError> {
        self.check()?;
        if self.current.jobs.is_empty() {
            return Ok(());
        }
        let next = match self.back.try_recv() {
            Ok(batch) => batch,
            Err(_) if self.made < BATCHES => {
                self.made += 1;
                Batch::default()
            }
            Err(_) => self.back.recv().unwrap_or_default(),
        };
        *self.shared.pending.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        let full = std::mem::replace(&mut self.current, next);
        // The threads end only after this.
        let _ = self.to.send(full);
        Ok(())
    }

    /// Errs when a file could not be written.
    fn check(&self) -> Result<(), ArchiveError> {
        if self.shared.failed.load(Ordering::Acquire)
            && let Some(error) = self.shared.take_error()
        {
            return Err(error);
        }
        Ok(())
    }

    /// Waits until everything that was handed over is written.
    pub(super) fn settle(&mut self) -> Result<(), ArchiveError> {
        self.flush()?;
        let mut pending = self.shared.pending.lock().unwrap_or_else(PoisonError::into_inner);
        while *pending > 0 {
            pending = self.shared.done.wait(pending).unwrap_or_else(PoisonError::into_inner);
        }
        drop(pending);
        self.check()
    }

    pub(super) fn shared(&self) -> &'a Shared {
        self.shared
    }
}
