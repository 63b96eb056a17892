//! Beginning to bring a large file to the disk while it is still being written, so that whoever
//! waits for all of it in the end waits for little.

use std::num::NonZeroU64;
use std::os::fd::AsFd;

use rustix::fs::{Advice, fadvise};

/// After how many bytes the kernel is told to begin with them.
const STRIDE: u64 = 8 << 20;

/// How far a file is on its way to the disk.
#[derive(Debug, Default)]
pub(crate) struct WriteBehind {
    begun: u64,
}

impl WriteBehind {
    /// The file is written up to `end`.
    pub(crate) fn written(&mut self, file: impl AsFd, end: u64) {
        let length = end.saturating_sub(self.begun);
        if length < STRIDE {
            return;
        }
        // Linux answers this advice by starting to write what is dirty, without waiting; it drops
        // only what is on the disk already, so that the file stays in memory. Where it is not
        // taken, the end takes longer.
        let _ = fadvise(file, self.begun, NonZeroU64::new(length), Advice::DontNeed);
        self.begun = end;
    }
}
