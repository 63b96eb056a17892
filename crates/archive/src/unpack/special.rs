//! What is neither a file nor a directory.

use std::os::fd::AsFd;

use ctrlz_core::path::RelPath;
use rustix::fs::{FileType, Mode};
use rustix::io::Errno;

use super::apply::name;
use super::files::Shared;
use super::target::Devices;
use crate::entry::{Entry, Kind};
use crate::error::ArchiveError;
use crate::loss::{Losses, Lost};

/// Makes a link, a FIFO or a device node in `directory`; answers whether it was made.
pub(super) fn special(
    shared: &Shared,
    directory: impl AsFd,
    entry: &Entry,
    devices: Devices,
    losses: &mut Losses,
) -> Result<bool, ArchiveError> {
    let directory = directory.as_fd();
    let Entry { path, kind, metadata } = entry;
    let name = name(path);
    match kind {
        Kind::Symlink { target } => shared.make(directory, name, path, || {
            rustix::fs::symlinkat(target.as_slice(), directory, name)
        })?,
        Kind::Fifo => node(shared, directory, name, path, FileType::Fifo, 0)?,
        Kind::CharDevice { major, minor } | Kind::BlockDevice { major, minor } => {
            let file_type = match kind {
                Kind::CharDevice { .. } => FileType::CharacterDevice,
                _ => FileType::BlockDevice,
            };
            match devices {
                Devices::Refuse => {
                    let why = "it is a device node, and these are not restored unless asked for";
                    let path = path.as_path().to_owned();
                    return Err(ArchiveError::Refused { path, why: why.to_owned() });
                }
                Devices::Skip => {
                    losses.add(path, Lost::Device);
                    return Ok(false);
                }
                Devices::Make => {}
            }
            let number = rustix::fs::makedev(*major, *minor);
            match node(shared, directory, name, path, file_type, number) {
                Err(ArchiveError::Io { source, .. })
                    if source.raw_os_error() == Some(Errno::PERM.raw_os_error()) =>
                {
                    losses.add(path, Lost::Device);
                    return Ok(false);
                }
                made => made?,
            }
        }
        _ => return Ok(false),
    }
    let is_link = matches!(kind, Kind::Symlink { .. });
    shared
        .keep
        .on_name(directory, name, path, metadata, is_link, losses)
        .map_err(ArchiveError::io("set the attributes of", path.below(&shared.tree)))?;
    Ok(true)
}

/// Makes a node that only we may use until it has its mode.
pub(super) fn node(
    shared: &Shared,
    directory: impl AsFd,
    name: &[u8],
    path: &RelPath,
    file_type: FileType,
    number: rustix::fs::Dev,
) -> Result<(), ArchiveError> {
    let mode = Mode::RUSR | Mode::WUSR;
    shared.make(&directory, name, path, || {
        rustix::fs::mknodat(&directory, name, file_type, mode, number)
    })
}
