//! Socket files of the host. Neither a read-only mount nor Landlock before its version 9 keeps a
//! program from connecting to one, and behind it may stand a server with all of the user's power,
//! such as an agent or a container engine. So those that exist are hidden.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The socket files on which something listens in this network namespace.
pub(super) fn of_host() -> Vec<PathBuf> {
    let table = fs::read("/proc/self/net/unix").unwrap_or_default();
    let mut found: Vec<PathBuf> =
        paths(&table).filter_map(|path| fs::canonicalize(path).ok()).collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// proc_pid_net(5): the eighth column is the path, which abstract sockets begin with `@`.
fn paths(table: &[u8]) -> impl Iterator<Item = &Path> {
    table.split(|byte| *byte == b'\n').filter_map(|line| {
        let start = line.iter().position(|byte| *byte == b'/')?;
        let columns = line.get(..start)?.split(|byte| *byte == b' ').filter(|c| !c.is_empty());
        let path = line.get(start..).filter(|_| columns.count() == 7)?;
        Some(Path::new(OsStr::from_bytes(path)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_paths() {
        let table = b"Num       RefCount Protocol Flags    Type St Inode Path\n\
            000000009c147d70: 00000003 00000000 00000000 0001 03 933177\n\
            0000000062193e31: 00000002 00000000 00010000 0001 01 887669 /home/a b/.docker/x.sock\n\
            0000000062193e32: 00000002 00000000 00010000 0001 01 887670 @/tmp/abstract\n";
        let found: Vec<_> = paths(table).collect();
        assert_eq!(found, [Path::new("/home/a b/.docker/x.sock")]);
    }
}
