//! Mounting a workspace where the host sees it: for a daemon that is told paths.

use std::io;
use std::path::Path;

use ctrlz_core::workspace::WorkspaceMount;
use rustix::mount::MountAttrFlags;

use super::mounts::{attach, new_filesystem, open_host};
use super::overlay;

/// Mounts an overlay at `target`, an existing directory. A bound workspace is on the host already:
/// nothing happens.
pub(crate) fn mount_overlay(workspace: &WorkspaceMount, target: &Path) -> io::Result<()> {
    let WorkspaceMount::Overlay { lower_dirs, upper_dir, work_dir } = workspace else {
        return Ok(());
    };
    let empty = new_filesystem("tmpfs", &[], MountAttrFlags::MOUNT_ATTR_RDONLY)?;
    let overlay = overlay::mount(lower_dirs, upper_dir, work_dir, &empty).map_err(|error| {
        io::Error::new(error.source.kind(), format!("{}: {}", error.step, error.source))
    })?;
    attach(overlay, open_host(target)?)
}
