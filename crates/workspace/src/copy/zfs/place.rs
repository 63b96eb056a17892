//! On which dataset a directory lies.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use ctrlz_core::workspace::WorkspaceError;
use rustix::fs::{AtFlags, CWD, StatxFlags};

use crate::node::failed;

/// A dataset that is mounted, as far as it is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mounted {
    /// The dataset.
    pub(super) dataset: String,
    /// Where it is mounted.
    pub(super) point: PathBuf,
    /// Whether that is all of it: a directory of it may be mounted elsewhere.
    pub(super) whole: bool,
}

/// The mounted dataset on which `path` lies; `None` when it lies on another file system.
pub(super) fn dataset_of(path: &Path) -> Result<Option<Mounted>, WorkspaceError> {
    let stat = rustix::fs::statx(CWD, path, AtFlags::empty(), StatxFlags::MNT_ID)
        .map_err(failed("look at", path))?;
    let table = Path::new("/proc/self/mountinfo");
    let text = std::fs::read(table).map_err(failed("read", table))?;
    Ok(text.split(|byte| *byte == b'\n').find_map(|line| parse(line, stat.stx_mnt_id)))
}

/// A line of proc_pid_mountinfo(5), when it tells of the mount with this number and that is a dataset.
fn parse(line: &[u8], number: u64) -> Option<Mounted> {
    let fields: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    let [id, _, _, root, point, _, rest @ ..] = fields.as_slice() else { return None };
    let mut behind = rest.iter().skip_while(|field| **field != b"-");
    let (_, kind, source) = (behind.next()?, behind.next()?, behind.next()?);
    // The second is what zfs-fuse says.
    let is_zfs = [&b"zfs"[..], b"fuse.zfs"].contains(kind);
    if !is_zfs || std::str::from_utf8(id).ok()?.parse() != Ok(number) {
        return None;
    }
    Some(Mounted {
        dataset: unescaped(source).into_string().ok()?,
        point: unescaped(point).into(),
        whole: *root == b"/",
    })
}

/// Spaces and the like are written as three octal digits behind a backslash.
fn unescaped(field: &[u8]) -> OsString {
    let mut text = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, behind)) = rest.split_first() {
        let digits = behind.get(..3).filter(|_| *first == b'\\');
        let value = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        match value.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                text.push(byte);
                rest = behind.get(3..).unwrap_or_default();
            }
            None => {
                text.push(*first);
                rest = behind;
            }
        }
    }
    OsString::from_vec(text)
}

/// What names the container of a store below a dataset: a digest of the store's path.
pub(super) fn digest(store: &Path) -> String {
    let digest = blake3::hash(store.as_os_str().as_bytes()).to_hex();
    digest.as_str().chars().take(16).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dataset_is_found_by_the_number_of_its_mount() {
        let at = |line: &str, number| parse(line.as_bytes(), number);
        let found = |dataset: &str, point: &str, whole| {
            Some(Mounted { dataset: dataset.to_owned(), point: point.into(), whole })
        };
        let home = r"41 30 0:39 / /my\040home rw,noatime shared:9 - zfs tank/my\040home rw,xattr";
        assert_eq!(at(home, 41), found("tank/my home", "/my home", true));
        assert_eq!(at(home, 40), None);
        let fuse = "67 68 0:43 /d /z rw - fuse.zfs pool/c/a rw,user_id=0";
        assert_eq!(at(fuse, 67), found("pool/c/a", "/z", false));
        assert_eq!(at("67 68 0:43 / /z rw - ext4 /dev/sda1 rw", 67), None);
        for broken in ["", "67", "67 68 0:43 / /z rw - zfs", "x 68 0:43 / /z rw - zfs a rw"] {
            assert_eq!(at(broken, 67), None, "{broken}");
        }
    }

    #[test]
    fn what_lies_on_no_dataset_has_none() {
        assert_eq!(dataset_of(Path::new("/proc")).expect("look"), None);
        assert!(dataset_of(Path::new("/nowhere/at/all")).is_err());
    }
}
