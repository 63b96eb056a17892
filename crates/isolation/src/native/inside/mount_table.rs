//! Which file systems the host has mounted where (proc_pid_mountinfo(5)).

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use crate::native::whole;

/// The mount points of the root as it is now.
#[derive(Debug, Clone)]
pub(crate) struct MountTable(Vec<u8>);

impl MountTable {
    pub(crate) fn read() -> io::Result<Self> {
        whole::bytes("/proc/self/mountinfo").map(Self)
    }

    /// The mount points below `directory`, without `directory` itself and without those that lie
    /// below another one of the answer.
    pub(super) fn below(&self, directory: &Path) -> Vec<PathBuf> {
        let mut points = self.all_below(directory);
        points.dedup_by(|point, above| point.starts_with(&*above));
        points
    }

    /// All mount points below `directory`, without `directory` itself, the outer ones first.
    pub(crate) fn all_below(&self, directory: &Path) -> Vec<PathBuf> {
        let mut points: Vec<PathBuf> = (self.0)
            .split(|byte| *byte == b'\n')
            .filter_map(|line| line.split(|byte| *byte == b' ').nth(4))
            .map(unescape)
            .filter(|point| point != directory && point.starts_with(directory))
            .collect();
        points.sort();
        points.dedup();
        points
    }
}

/// Undoes the octal escapes.
fn unescape(text: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        let octal = after.get(..3).filter(|_| *first == b'\\').and_then(|digits| {
            digits.iter().try_fold(0u32, |n, d| {
                d.checked_sub(b'0').filter(|d| *d < 8).map(|d| n * 8 + u32::from(d))
            })
        });
        match octal.and_then(|n| u8::try_from(n).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(3..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    PathBuf::from(OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_are_unescaped() {
        assert_eq!(unescape(br"/mnt/a\040b\134c"), Path::new(r"/mnt/a b\c"));
        assert_eq!(unescape(br"/x\9\04"), Path::new(r"/x\9\04"));
    }

    #[test]
    fn finds_the_topmost_mounts_of_the_host() {
        let all = MountTable::read().expect("readable").below(Path::new("/"));
        assert!(all.contains(&PathBuf::from("/proc")), "{all:?}");
        assert!(!all.iter().any(|point| point == Path::new("/")));
        let nested = |a: &PathBuf| all.iter().any(|b| a != b && a.starts_with(b));
        assert!(!all.iter().any(nested), "{all:?}");
    }
}
