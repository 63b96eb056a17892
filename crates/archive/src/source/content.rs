//! The bytes of regular files: small ones in one go, large ones piece by piece, holes left out.

use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::SeekFrom;
use rustix::io::Errno;
use rustix::time::ClockId;

use super::node::Version;
use crate::entry::Segment;

/// Up to this size a file is read before anything is written of it.
pub(crate) const SMALL: u64 = 1 << 18;

/// The clock that stamps files goes forward every 10 ms at the slowest, in nanoseconds with some
/// room.
pub(crate) const TICK: u32 = 20_000_000;

/// How many parts of one file are told apart. In a file with more of them the rest counts as data.
const MOST: usize = 1 << 17;

/// Where the data of `file` lies; `None` when there are no holes.
pub(crate) fn segments(
    file: BorrowedFd<'_>,
    size: u64,
    blocks: u64,
) -> Result<Option<Vec<Segment>>, Errno> {
    if size == 0 || blocks.saturating_mul(512) >= size {
        return Ok(None);
    }
    let mut segments = Vec::new();
    let mut end = 0;
    while end < size {
        let offset = match rustix::fs::seek(file, SeekFrom::Data(end)) {
            Ok(start) => start.min(size),
            // No data from here on.
            Err(Errno::NXIO) => break,
            // A file system that knows no holes.
            Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok(None),
            Err(errno) => return Err(errno),
        };
        if offset == size {
            break;
        }
        end = match segments.len() {
            MOST.. => size,
            _ => rustix::fs::seek(file, SeekFrom::Hole(offset))?.min(size),
        };
        if end <= offset {
            // It was cut just now; whoever reads it will see that.
            break;
        }
        segments.push(Segment { offset, length: end - offset });
    }
    match segments.as_slice() {
        [Segment { offset: 0, length }] if *length == size => Ok(None),
        _ => Ok(Some(segments)),
    }
}

/// Reads at `offset` until there are `expected` bytes or no more of them. `to` may be longer, to
/// see whether there are more than expected, without asking once more at the end.
pub(crate) fn read_at(
    file: impl AsFd,
    to: &mut [u8],
    offset: u64,
    expected: usize,
) -> Result<usize, Errno> {
    let mut done = 0;
    while done < expected {
        let room = to.get_mut(done..).unwrap_or_default();
        match rustix::io::pread(&file, room, offset + done as u64) {
            Ok(0) => break,
            Ok(length) => done += length,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(done)
}

/// Whether a change that happens from now on surely gets another time than `version` has: its own
/// is older than the coarsest tick of the clock that stamps files.
pub(crate) fn is_settled(version: &Version) -> bool {
    let now = rustix::time::clock_gettime(ClockId::Realtime);
    let nanoseconds = |seconds: i64, nanoseconds: i64| {
        i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds)
    };
    let ctime = nanoseconds(version.ctime.seconds, version.ctime.nanoseconds.into());
    ctime + i128::from(TICK) < nanoseconds(now.tv_sec, now.tv_nsec)
}

/// What `file` is now.
pub(crate) fn version(file: impl AsFd) -> Result<Version, Errno> {
    rustix::fs::fstat(file).map(|stat| Version::new(&stat))
}
