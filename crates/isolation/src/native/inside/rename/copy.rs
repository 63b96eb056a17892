//! Copying a directory within the workspace with everything that rename(2) would keep.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, SeekFrom, Timespec, Timestamps, XattrFlags, chownat, lgetxattr,
    llistxattr, lsetxattr, mknodat, seek, utimensat,
};
use rustix::io::Errno;
use rustix::process::{Gid, Uid};

/// Copies the tree at `from` to `to`, which must not exist. Hard links inside stay links.
pub(super) fn tree(from: &Path, to: &Path) -> io::Result<()> {
    let mut linked: HashMap<(u64, u64), PathBuf> = HashMap::new();
    // Directories get their metadata last, when their entries no longer change their times.
    let mut directories = Vec::new();
    let mut pending = vec![(from.to_owned(), to.to_owned())];
    while let Some((source, target)) = pending.pop() {
        let status = fs::symlink_metadata(&source)?;
        if status.is_dir() {
            fs::create_dir(&target)?;
            for entry in fs::read_dir(&source)? {
                let entry = entry?;
                pending.push((entry.path(), target.join(entry.file_name())));
            }
            directories.push((source, target, status));
            continue;
        }
        let key = (status.dev(), status.ino());
        if let Some(first) = linked.get(&key) {
            fs::hard_link(first, &target)?;
            continue;
        }
        node(&source, &target, &status)?;
        if status.nlink() > 1 {
            linked.insert(key, target);
        }
    }
    for (source, target, status) in directories.into_iter().rev() {
        metadata(&source, &target, &status)?;
    }
    Ok(())
}

fn node(source: &Path, target: &Path, status: &fs::Metadata) -> io::Result<()> {
    match FileType::from_raw_mode(status.mode()) {
        FileType::Symlink => symlink(fs::read_link(source)?, target)?,
        FileType::RegularFile => {
            content(&File::open(source)?, &File::create_new(target)?, status.size())?;
        }
        kind => {
            mknodat(CWD, target, kind, Mode::from_raw_mode(status.mode() & 0o7777), status.rdev())?;
        }
    }
    metadata(source, target, status)
}

/// Copies a file's data and leaves its holes.
fn content(mut reader: &File, mut writer: &File, length: u64) -> io::Result<()> {
    let mut at = 0;
    while at < length {
        let start = match seek(reader, SeekFrom::Data(at)) {
            Ok(start) => start,
            // Nothing but a hole is left.
            Err(Errno::NXIO) => break,
            Err(error) => return Err(error.into()),
        };
        at = seek(reader, SeekFrom::Hole(start))?;
        seek(reader, SeekFrom::Start(start))?;
        seek(writer, SeekFrom::Start(start))?;
        io::copy(&mut io::Read::take(&mut reader, at - start), &mut writer)?;
    }
    writer.set_len(length)
}

fn metadata(source: &Path, target: &Path, status: &fs::Metadata) -> io::Result<()> {
    let own = fs::symlink_metadata(target)?;
    if (own.uid(), own.gid()) != (status.uid(), status.gid()) {
        let (uid, gid) = (Uid::from_raw(status.uid()), Gid::from_raw(status.gid()));
        chownat(CWD, target, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    }
    extended_attributes(source, target)?;
    if !status.is_symlink() {
        rustix::fs::chmod(target, Mode::from_raw_mode(status.mode() & 0o7777))?;
    }
    let time = |seconds, nanoseconds| Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
    let times = Timestamps {
        last_access: time(status.atime(), status.atime_nsec()),
        last_modification: time(status.mtime(), status.mtime_nsec()),
    };
    Ok(utimensat(CWD, target, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

fn extended_attributes(source: &Path, target: &Path) -> io::Result<()> {
    let mut names = vec![0; 65_536];
    let length = match llistxattr(source, &mut names) {
        Ok(length) => length,
        Err(Errno::OPNOTSUPP) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    names.truncate(length);
    let mut value = vec![0; 65_536];
    for name in names.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let name = OsStr::from_bytes(name);
        let length = lgetxattr(source, name, &mut value)?;
        let value = value.get(..length).unwrap_or_default();
        match lsetxattr(target, name, value, XattrFlags::empty()) {
            // Security labels are the kernel's to give.
            Err(_) if name.as_bytes().starts_with(b"security.") => {}
            other => other?,
        }
    }
    Ok(())
}
