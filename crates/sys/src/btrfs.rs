//! Subvolumes of btrfs (btrfs-ioctl(2)): making, snapshotting and removing them by name.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;

/// The inode number of the root directory of every subvolume.
pub const SUBVOLUME_ROOT: u64 = 256;
/// The inode number of the empty directory that a snapshot has in place of a subvolume inside.
pub const SUBVOLUME_LEFT_OUT: u64 = 2;

// _IOW(0x94, number, 4096 bytes), as linux/btrfs.h has them.
const SUBVOL_CREATE_V2: u64 = 0x5000_9418;
const SNAP_CREATE_V2: u64 = 0x5000_9417;
const SNAP_DESTROY: u64 = 0x5000_940f;
// _IOR and _IOW(0x94, number, 8 bytes).
const SUBVOL_GETFLAGS: u64 = 0x8008_9419;
const SUBVOL_SETFLAGS: u64 = 0x4008_941a;
const READ_ONLY: u64 = 1 << 1;
const NOCOW: i64 = 0x0080_0000;

/// `struct btrfs_ioctl_vol_args_v2`.
#[repr(C)]
struct VolumeArguments2 {
    fd: i64,
    transid: u64,
    flags: u64,
    unused: [u64; 4],
    name: [u8; 4040],
}

/// `struct btrfs_ioctl_vol_args`.
#[repr(C)]
struct VolumeArguments {
    fd: i64,
    name: [u8; 4088],
}

const _: () = assert!(size_of::<VolumeArguments2>() == 4096);
const _: () = assert!(size_of::<VolumeArguments>() == 4096);

/// Whether a directory lies on btrfs.
///
/// # Errors
/// As fstatfs(2).
pub fn is_btrfs(directory: impl AsFd) -> io::Result<bool> {
    Ok(rustix::fs::fstatfs(directory)?.f_type as u64 == 0x9123_683e)
}

/// Makes an empty subvolume as `name` in `directory`; it has the mode 0777 without the umask.
///
/// # Errors
/// `ENOTTY` where the file system is not btrfs, `EEXIST`, and as mkdir(2).
pub fn create_subvolume(directory: impl AsFd, name: &OsStr) -> io::Result<()> {
    let arguments = arguments2(name, 0)?;
    // SAFETY: SUBVOL_CREATE_V2 reads a btrfs_ioctl_vol_args_v2, which `VolumeArguments2` is.
    unsafe { control(directory.as_fd(), SUBVOL_CREATE_V2, &arguments) }
}

/// Makes a writable snapshot of `source`, the root of a subvolume, as `name` in `directory`. What
/// is in subvolumes inside of it is not in the snapshot.
///
/// # Errors
/// `EXDEV` from another file system, `EPERM` when the source belongs to somebody else, `EINVAL`
/// when it is no subvolume, and as mkdir(2).
pub fn snapshot_subvolume(source: impl AsFd, directory: impl AsFd, name: &OsStr) -> io::Result<()> {
    let arguments = arguments2(name, i64::from(source.as_fd().as_raw_fd()))?;
    // SAFETY: SNAP_CREATE_V2 reads a btrfs_ioctl_vol_args_v2, which `VolumeArguments2` is; the
    // descriptor in it is open as long as `source` is borrowed.
    unsafe { control(directory.as_fd(), SNAP_CREATE_V2, &arguments) }
}

/// Removes the subvolume `name` of `directory` with all that is in it.
///
/// # Errors
/// `EPERM` for ordinary users unless the file system is mounted with `user_subvol_rm_allowed`,
/// `ENOTEMPTY` when another subvolume is inside, `EINVAL` when it is no subvolume.
pub fn remove_subvolume(directory: impl AsFd, name: &OsStr) -> io::Result<()> {
    let mut arguments = VolumeArguments { fd: 0, name: [0; 4088] };
    put(name, &mut arguments.name)?;
    // SAFETY: SNAP_DESTROY reads a btrfs_ioctl_vol_args, which `VolumeArguments` is.
    unsafe { control(directory.as_fd(), SNAP_DESTROY, &arguments) }
}

/// Lets the subvolume with this root be written to.
///
/// # Errors
/// `EPERM` when it belongs to somebody else, `EINVAL` when it is no root of a subvolume.
pub fn make_writable(root: impl AsFd) -> io::Result<()> {
    let mut flags = 0_u64;
    let root = root.as_fd();
    // SAFETY: SUBVOL_GETFLAGS writes 8 bytes to `flags`, which outlives the call.
    let result = unsafe {
        libc::ioctl(root.as_raw_fd(), SUBVOL_GETFLAGS as _, std::ptr::from_mut(&mut flags))
    };
    if result == -1 {
        return Err(io::Error::last_os_error());
    }
    if flags & READ_ONLY == 0 {
        return Ok(());
    }
    // SAFETY: SUBVOL_SETFLAGS reads 8 bytes.
    unsafe { control(root, SUBVOL_SETFLAGS, &(flags & !READ_ONLY)) }
}

/// Takes checksums and copy-on-write from the empty file `to` when `from` has none, so that the two
/// can share blocks. Whether that was so.
///
/// # Errors
/// As `FS_IOC_GETFLAGS` and `FS_IOC_SETFLAGS`.
pub fn follow_nocow(from: impl AsFd, to: impl AsFd) -> io::Result<bool> {
    let flags = |file: BorrowedFd<'_>| rustix::fs::ioctl_getflags(file);
    let nocow = rustix::fs::IFlags::from_bits_retain(NOCOW as _);
    let (theirs, ours) = (flags(from.as_fd())?, flags(to.as_fd())?);
    if theirs.contains(nocow) == ours.contains(nocow) {
        return Ok(false);
    }
    let wanted = if theirs.contains(nocow) { ours | nocow } else { ours & !nocow };
    rustix::fs::ioctl_setflags(&to, wanted)?;
    Ok(true)
}

fn arguments2(name: &OsStr, fd: i64) -> io::Result<VolumeArguments2> {
    let mut arguments =
        VolumeArguments2 { fd, transid: 0, flags: 0, unused: [0; 4], name: [0; 4040] };
    put(name, &mut arguments.name)?;
    Ok(arguments)
}

/// The name, followed by at least one NUL.
fn put(name: &OsStr, room: &mut [u8]) -> io::Result<()> {
    let name = name.as_bytes();
    let refused = || io::Error::from_raw_os_error(libc::EINVAL);
    if name.is_empty() || name.contains(&0) || name.contains(&b'/') || name.len() >= room.len() {
        return Err(refused());
    }
    room.get_mut(..name.len()).ok_or_else(refused)?.copy_from_slice(name);
    Ok(())
}

/// # Safety
/// `request` reads a `T` and nothing else.
unsafe fn control<T>(directory: BorrowedFd<'_>, request: u64, arguments: &T) -> io::Result<()> {
    // SAFETY: the caller states what is read, and `arguments` outlives the call.
    let result =
        unsafe { libc::ioctl(directory.as_raw_fd(), request as _, std::ptr::from_ref(arguments)) };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn where_there_are_no_subvolumes_none_is_made_and_none_removed() {
        let dir = std::env::temp_dir().join(format!("ctrlz-sys-btrfs-{}", std::process::id()));
        fs::create_dir_all(dir.join("plain")).expect("mkdir");
        fs::write(dir.join("plain/f"), "kept").expect("write");
        let open = fs::File::open(&dir).expect("open");
        let name = OsStr::new("plain");
        assert!(remove_subvolume(&open, name).is_err());
        assert!(create_subvolume(&open, name).is_err(), "it is there");
        assert!(snapshot_subvolume(&open, &open, name).is_err(), "it is there");
        assert_eq!(fs::read(dir.join("plain/f")).expect("read"), b"kept");
        for name in ["", "a/b", "a\0b"] {
            assert!(create_subvolume(&open, OsStr::new(name)).is_err(), "{name:?}");
        }
        fs::remove_dir_all(dir).expect("remove");
    }
}
