//! Removing whatever has a name, to any depth.

use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir};
use rustix::io::Errno;

use crate::descent::{Closed, Descent};
use crate::error::ArchiveError;

/// Removes what was restored at `path`, whatever modes it has; nothing to do when it is not there.
///
/// # Errors
/// When something of it cannot be removed.
pub fn remove_tree(path: &Path) -> Result<(), ArchiveError> {
    let above = path.parent().unwrap_or(Path::new("/"));
    let name = path.file_name().unwrap_or_default();
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let above =
        rustix::fs::open(above, flags, Mode::empty()).map_err(ArchiveError::io("open", above))?;
    remove(above, name.as_bytes()).map_err(ArchiveError::io("remove", path))
}

/// Removes `name` in `directory` with all that is in it; nothing to do when it is not there. Links
/// are not followed.
pub(super) fn remove(directory: impl AsFd, name: &[u8]) -> Result<(), Errno> {
    match rustix::fs::unlinkat(&directory, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(errno) => return Err(errno),
    }
    match rustix::fs::unlinkat(&directory, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::NOTEMPTY | Errno::EXIST) => {}
        Err(errno) => return Err(errno),
    }
    let top = rustix::io::fcntl_dupfd_cloexec(&directory, 0)?;
    let mut at = Descent::new(top, Closed::Unseal);
    at.enter(name)?;
    let mut names = vec![name.to_vec()];
    let mut buffer = Vec::with_capacity(1 << 15);
    while let Some(here) = names.last() {
        match first_directory(&at, &mut buffer)? {
            Some(inner) => {
                at.enter(&inner)?;
                names.push(inner);
            }
            None => {
                at.leave()?;
                rustix::fs::unlinkat(at.here(), here.as_slice(), AtFlags::REMOVEDIR)?;
                names.pop();
            }
        }
    }
    Ok(())
}

/// Removes all that is no directory, up to the first directory with something in it.
fn first_directory(at: &Descent, buffer: &mut Vec<u8>) -> Result<Option<Vec<u8>>, Errno> {
    // The descriptor may have been read before.
    let here = rustix::fs::openat(
        at.here(),
        ".",
        rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC,
        rustix::fs::Mode::empty(),
    )?;
    let mut entries = RawDir::new(&here, buffer.spare_capacity_mut());
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let flags = match entry.file_type() {
            FileType::Directory => AtFlags::REMOVEDIR,
            _ => AtFlags::empty(),
        };
        match rustix::fs::unlinkat(at.here(), name, flags) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(Errno::NOTEMPTY | Errno::EXIST | Errno::ISDIR | Errno::PERM) => {
                return Ok(Some(name.to_bytes().to_vec()));
            }
            Err(errno) => return Err(errno),
        }
    }
    Ok(None)
}

/// Removes what is in `directory`, except for the names that `kept` knows.
pub(super) fn clear(
    directory: impl AsFd,
    mut kept: impl FnMut(&[u8]) -> bool,
) -> Result<(), Errno> {
    let here = rustix::fs::openat(
        &directory,
        ".",
        rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC,
        rustix::fs::Mode::empty(),
    )?;
    let mut names = Vec::new();
    let mut buffer = Vec::with_capacity(1 << 15);
    let mut entries = RawDir::new(&here, buffer.spare_capacity_mut());
    while let Some(entry) = entries.next() {
        names.push(entry?.file_name().to_bytes().to_vec());
    }
    for name in names {
        if !matches!(name.as_slice(), b"." | b"..") && !kept(&name) {
            remove(&directory, &name)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rustix::fs::{CWD, Mode, OFlags};

    use super::*;

    #[test]
    fn removes_trees_and_not_what_links_lead_to() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let at = |path: &str| dir.path().join(path);
        std::fs::create_dir_all(at("tree/a/b/c")).expect("mkdir");
        std::fs::create_dir_all(at("other/x")).expect("mkdir");
        std::fs::write(at("tree/a/b/file"), "x").expect("write");
        std::os::unix::fs::symlink("../../other", at("tree/a/link")).expect("link");
        let open = rustix::fs::openat(CWD, dir.path(), OFlags::DIRECTORY, Mode::empty());
        let open = open.expect("open");
        remove(&open, b"tree").expect("remove");
        assert!(!at("tree").exists() && at("other/x").exists());
        remove(&open, b"tree").expect("nothing to do");
    }

    #[test]
    fn depth_does_not_matter() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let open = rustix::fs::openat(CWD, dir.path(), OFlags::DIRECTORY, Mode::empty());
        let mut at = Descent::new(open.expect("open"), Closed::Refuse);
        let deep = vec![&[b'd'; 100][..]; 3000].join(&b'/');
        at.go(&deep, |at, name, _| rustix::fs::mkdirat(at.here(), name, Mode::RWXU)).expect("go");
        drop(at);
        let open = rustix::fs::openat(CWD, dir.path(), OFlags::DIRECTORY, Mode::empty());
        remove(open.expect("open"), &[b'd'; 100]).expect("remove");
        assert_eq!(std::fs::read_dir(dir.path()).expect("list").count(), 0);
    }
}
