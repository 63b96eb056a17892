//! Measuring what a running sandbox uses, for the limits that no kernel mechanism holds here.

use std::fs;
use std::path::{Path, PathBuf};

use ctrlz_core::health::least_free;
use ctrlz_core::isolation::IsolationError;
use ctrlz_core::limits::{LimitKind, Limits};
use ctrlz_core::operation::Stopped;
use ctrlz_core::size::ByteSize;
use rustix::process::Pid;

use super::descendants;

/// The store's file system keeps this much free: 1/64 of it, at most 256 MiB, so that ctrlz itself
/// can still write its journal.
const RESERVE_SHARE: u64 = 64;
const RESERVE_MOST: u64 = 256 << 20;

/// What a name and its inode cost, about; an empty file takes no block of its own.
const ENTRY: u64 = 512;

/// What is measured again and again while the command runs.
#[derive(Debug)]
pub(super) struct Meter {
    process_1: Pid,
    written: PathBuf,
    disk: Option<u64>,
    memory: Option<u64>,
    free_at_start: u64,
    total_at_start: u64,
}

impl Meter {
    /// A meter for the sandbox of `process_1`. `memory` says whether memory must be measured.
    pub(super) fn new(process_1: Pid, written: &Path, limits: &Limits, memory: bool) -> Self {
        let (free_at_start, total_at_start) = free_bytes(written).unwrap_or((u64::MAX, 0));
        Self {
            process_1,
            written: written.to_owned(),
            disk: limits.disk.map(|size| size.0),
            memory: limits.memory.map(|size| size.0).filter(|_| memory),
            free_at_start,
            total_at_start,
        }
    }

    /// Errs when less is free than `least`, or than a small disk has to keep free.
    pub(super) fn check_free(&self, least: Option<ByteSize>) -> Result<(), IsolationError> {
        let Some(least) = least else { return Ok(()) };
        let least = least_free(least, self.total_at_start);
        let free = ByteSize(self.free_at_start);
        if free < least { Err(IsolationError::StoreFull { free, least }) } else { Ok(()) }
    }

    /// Whether anything but the store's free space is measured, so that it is worth looking
    /// often.
    pub(super) fn is_demanding(&self) -> bool {
        self.disk.is_some() || self.memory.is_some()
    }

    /// What is exceeded now, if anything.
    pub(super) fn exceeded(&self) -> Option<Stopped> {
        if let Some((free, total)) = free_bytes(&self.written) {
            let reserve = (total / RESERVE_SHARE).min(RESERVE_MOST);
            // A disk that was nearly full before is not this command's doing.
            if free < reserve && free < self.free_at_start {
                return Some(Stopped::StoreFull);
            }
            let may_exceed = self.disk.is_some_and(|most| {
                self.free_at_start.saturating_sub(free) > most || most < (64 << 20)
            });
            // Free space is cheap to ask but shared with others, so it only says when to count.
            if may_exceed && self.disk.is_some_and(|most| self.used_disk() > most) {
                return Some(Stopped::Limit(LimitKind::Disk));
            }
        }
        let most = self.memory?;
        let used = descendants::memory(&descendants::of(self.process_1), most);
        (used > most).then_some(Stopped::Limit(LimitKind::Memory))
    }

    fn used_disk(&self) -> u64 {
        used_bytes(&self.written) + descendants::deleted(&descendants::of(self.process_1))
    }
}

/// Free for this user, and total.
fn free_bytes(path: &Path) -> Option<(u64, u64)> {
    let status = rustix::fs::statvfs(path).ok()?;
    Some((status.f_bavail * status.f_frsize, status.f_blocks * status.f_frsize))
}

/// Allocated bytes of a tree, each file counted once for each name, with [`ENTRY`] for the name.
pub(super) fn used_bytes(directory: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let mut pending = vec![directory.to_owned()];
    let mut total = 0;
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            total += metadata.blocks() * 512 + ENTRY;
            if metadata.is_dir() {
                pending.push(entry.path());
            }
        }
    }
    total
}
