//! The one call that changes the live directory: renameat2(2).

use std::os::fd::{AsRawFd, BorrowedFd};

use ctrlz_core::workspace::WorkspaceError;
use rustix::fs::{Mode, RenameFlags};
use rustix::io::Errno;

use crate::fault;
use crate::node::{Handle, Place, Version, failed, version_at};

/// Moves `from` to the free name `to`. The inner error is what the kernel says of the names: that
/// one is missing, or that the other is taken.
pub(super) fn shift(from: Place<'_>, to: Place<'_>) -> Result<Result<(), Errno>, WorkspaceError> {
    rename(from, to, RenameFlags::NOREPLACE)
}

/// Lets two entries change places; readers always find one of them.
pub(super) fn exchange(a: Place<'_>, b: Place<'_>) -> Result<Result<(), Errno>, WorkspaceError> {
    rename(a, b, RenameFlags::EXCHANGE)
}

fn rename(
    from: Place<'_>,
    to: Place<'_>,
    flags: RenameFlags,
) -> Result<Result<(), Errno>, WorkspaceError> {
    let live = if from.shown.as_os_str().len() < to.shown.as_os_str().len() { from } else { to };
    fault::point("rename").map_err(failed("move", live.shown))?;
    let rename =
        || rustix::fs::renameat_with(from.directory, from.name, to.directory, to.name, flags);
    let result = match rename() {
        // A directory that its owner may not write to cannot change its parent, nor its entries.
        Err(Errno::ACCESS) => writable(from, || {
            writable(to, || open_to_us(from.directory, || open_to_us(to.directory, rename)))
        }),
        result => result,
    };
    match result {
        Ok(()) => {
            fault::point("renamed").map_err(failed("move", live.shown))?;
            Ok(Ok(()))
        }
        Err(errno @ (Errno::NOENT | Errno::EXIST | Errno::NOTDIR | Errno::LOOP)) => Ok(Err(errno)),
        Err(errno) => Err(failed("move", live.shown)(errno)),
    }
}

/// Runs `act` while the owner may write to the directory `place`, and gives it its mode back. What
/// is no closed directory of ours is left alone.
pub(super) fn writable<T>(
    place: Place<'_>,
    act: impl FnOnce() -> Result<T, Errno>,
) -> Result<T, Errno> {
    let Ok(handle) = Handle::open(place) else { return act() };
    let mode = handle.version.permissions();
    let ours = handle.version.uid == rustix::process::geteuid().as_raw();
    if !handle.version.is_directory() || !ours || mode & 0o200 != 0 {
        return act();
    }
    handle.set_permissions(mode | 0o200)?;
    let result = act();
    handle.set_permissions(mode)?;
    result
}

/// Runs `act` while the owner may write to the open directory, if it is ours, and gives it its mode
/// back. A crash in between leaves it writable for its owner.
pub(super) fn open_to_us<T>(
    directory: BorrowedFd<'_>,
    act: impl FnOnce() -> Result<T, Errno>,
) -> Result<T, Errno> {
    let status = rustix::fs::fstat(directory)?;
    let mode = status.st_mode & 0o7777;
    if status.st_uid != rustix::process::geteuid().as_raw() || mode & 0o200 != 0 {
        return act();
    }
    // The descriptor may be O_PATH, which fchmod refuses.
    let through = format!("/proc/self/fd/{}", directory.as_raw_fd());
    let set = |mode| rustix::fs::chmod(through.as_str(), Mode::from_raw_mode(mode));
    set(mode | 0o200)?;
    let result = act();
    set(mode)?;
    result
}

/// Ends what a crash in [`writable`] left: a directory that is `wanted` but for the owner's write
/// permission.
pub(super) fn close_again(place: Place<'_>, wanted: &Version) -> Result<(), WorkspaceError> {
    let Some(now) = version_at(place)? else { return Ok(()) };
    if wanted.is_directory()
        && now.ino == wanted.ino
        && now.mode != wanted.mode
        && now.mode == wanted.mode | 0o200
    {
        Handle::open(place)?
            .set_permissions(wanted.mode)
            .map_err(failed("keep the mode of", place.shown))?;
    }
    Ok(())
}
