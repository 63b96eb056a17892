//! The marks by which a layer says "deleted" and "nothing from below", as overlayfs defines them
//! for mounts with `userxattr` (kernel: Documentation/filesystems/overlayfs.rst, "Whiteouts and
//! opaque directories").

use std::os::fd::AsFd;
use std::path::Path;

use ctrlz_core::workspace::WorkspaceError;
use rustix::fs::{CWD, FileType, Mode, XattrFlags};
use rustix::io::Errno;

use crate::node::{Version, failed};

/// The attribute that makes a directory of a layer hide what lower layers have at its path.
const OPAQUE: &str = "user.overlay.opaque";

/// Makes the mark that hides `path` of lower layers: a character device 0:0, which needs no
/// privilege (mknod(2) allows it to everyone since Linux 5.8).
pub(crate) fn make_whiteout(path: &Path) -> Result<(), WorkspaceError> {
    rustix::fs::mknodat(CWD, path, FileType::CharacterDevice, Mode::empty(), 0)
        .map_err(failed("mark as deleted", path))
}

/// Whether a layer's entry is such a mark.
pub(crate) fn is_whiteout(version: &Version) -> bool {
    FileType::from_raw_mode(version.mode) == FileType::CharacterDevice && version.rdev == 0
}

/// Makes the directory `directory` hide what lower layers have at its path.
pub(crate) fn set_opaque(directory: &Path) -> Result<(), WorkspaceError> {
    rustix::fs::lsetxattr(directory, OPAQUE, b"y", XattrFlags::empty())
        .map_err(failed("make opaque", directory))
}

/// Whether `directory` hides what lower layers have at its path. The value `x` announces
/// whiteouts in the form of attributes; it does not hide, and ctrlz's mounts never write it.
pub(crate) fn is_opaque(directory: &Path) -> Result<bool, WorkspaceError> {
    hides(directory, |value| rustix::fs::lgetxattr(directory, OPAQUE, value))
}

/// [`is_opaque`] of an open directory.
pub(crate) fn is_open_opaque(directory: impl AsFd, shown: &Path) -> Result<bool, WorkspaceError> {
    hides(shown, |value| rustix::fs::fgetxattr(directory, OPAQUE, value))
}

fn hides(
    shown: &Path,
    read: impl FnOnce(&mut [u8; 4]) -> Result<usize, Errno>,
) -> Result<bool, WorkspaceError> {
    let mut value = [0_u8; 4];
    match read(&mut value) {
        Ok(length) => Ok(value.get(..length) == Some(b"y")),
        Err(Errno::NODATA | Errno::NOTSUP | Errno::RANGE) => Ok(false),
        Err(errno) => Err(failed("read the attributes of", shown)(errno)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::version;

    #[test]
    fn marks_are_read_back() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let gone = dir.path().join("gone");
        make_whiteout(&gone).expect("whiteout");
        assert!(is_whiteout(&version(&gone).expect("stat").expect("there")));
        assert!(!is_whiteout(&version(dir.path()).expect("stat").expect("there")));

        assert!(!is_opaque(dir.path()).expect("read"));
        set_opaque(dir.path()).expect("set");
        assert!(is_opaque(dir.path()).expect("read"));
    }
}
