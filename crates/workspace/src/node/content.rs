//! The bytes of regular files, holes kept.

use std::os::fd::AsFd;

use rustix::fs::SeekFrom;
use rustix::io::Errno;

/// Copies all of `from` to the empty `to`: shares the blocks where the file system can, else
/// copies what is data and leaves the holes.
pub(super) fn copy(from: impl AsFd, to: impl AsFd, size: u64) -> Result<(), Errno> {
    if size == 0 {
        return Ok(());
    }
    if rustix::fs::ioctl_ficlone(&to, &from).is_ok() {
        return Ok(());
    }
    overwrite(&from, &to)
}

/// Makes the empty `to` share all blocks of `from`.
pub(crate) fn share_blocks(from: impl AsFd, to: impl AsFd) -> Result<(), Errno> {
    match rustix::fs::ioctl_ficlone(&to, &from) {
        // On btrfs a file that is written in place shares blocks only with one that is, too.
        Err(Errno::INVAL) if ctrlz_sys::btrfs::follow_nocow(&from, &to).unwrap_or(false) => {
            rustix::fs::ioctl_ficlone(&to, &from)
        }
        result => result,
    }
}

/// Copies all of `from` to the empty `to` without sharing blocks, holes kept.
pub(crate) fn overwrite(from: impl AsFd, to: impl AsFd) -> Result<(), Errno> {
    let mut end = 0;
    loop {
        let start = match rustix::fs::seek(&from, SeekFrom::Data(end)) {
            Ok(start) => start,
            // No data from here on: the rest is one hole.
            Err(Errno::NXIO) => break,
            // Without SEEK_DATA the file is taken as data to its end.
            Err(Errno::INVAL | Errno::OPNOTSUPP) if end == 0 => {
                let size = rustix::fs::fstat(&from)?.st_size;
                return copy_range(&from, &to, 0, u64::try_from(size).unwrap_or(0));
            }
            Err(errno) => return Err(errno),
        };
        end = rustix::fs::seek(&from, SeekFrom::Hole(start))?;
        copy_range(&from, &to, start, end)?;
    }
    // A hole at the end is kept by giving the file its size.
    let size = u64::try_from(rustix::fs::fstat(&from)?.st_size).unwrap_or(0);
    if u64::try_from(rustix::fs::fstat(&to)?.st_size).unwrap_or(0) < size {
        rustix::fs::ftruncate(&to, size)?;
    }
    Ok(())
}

fn copy_range(from: &impl AsFd, to: &impl AsFd, start: u64, end: u64) -> Result<(), Errno> {
    let (mut read, mut written) = (start, start);
    while read < end {
        let length = usize::try_from(end - read).unwrap_or(usize::MAX).min(1 << 30);
        match rustix::fs::copy_file_range(from, Some(&mut read), to, Some(&mut written), length) {
            // Some file systems answer 0 where there is data; the other way decides.
            Ok(0) => return copy_bytes(from, to, read, end),
            Ok(_) => {}
            Err(Errno::INTR) => {}
            Err(Errno::XDEV | Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS | Errno::PERM) => {
                return copy_bytes(from, to, read, end);
            }
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

fn copy_bytes(from: &impl AsFd, to: &impl AsFd, start: u64, end: u64) -> Result<(), Errno> {
    let mut buffer = vec![0; 1 << 18];
    let mut at = start;
    while at < end {
        let wanted = usize::try_from(end - at).unwrap_or(usize::MAX).min(buffer.len());
        let room = buffer.get_mut(..wanted).unwrap_or_default();
        let length = match rustix::io::pread(from, room, at) {
            Ok(0) => return Ok(()),
            Ok(length) => length,
            Err(Errno::INTR) => continue,
            Err(errno) => return Err(errno),
        };
        let mut rest = buffer.get(..length).unwrap_or_default();
        while !rest.is_empty() {
            match rustix::io::pwrite(to, rest, at) {
                Ok(0) => return Err(Errno::IO),
                Ok(done) => {
                    at += done as u64;
                    rest = rest.get(done..).unwrap_or_default();
                }
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }
    Ok(())
}
