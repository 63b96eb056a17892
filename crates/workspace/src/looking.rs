//! Looking into trees for those who do not know how they are kept.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt as _;

use ctrlz_core::changeset::Metadata;
use ctrlz_core::path::RelPath;
use ctrlz_core::workspace::{TreeView, WorkspaceError};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::node::{failed, metadata, version_of};
use crate::view::View;

impl TreeView for View {
    fn entry(&self, path: &RelPath) -> Result<Option<Metadata>, WorkspaceError> {
        Ok(self.lookup(path)?.map(|found| metadata(&found.version)))
    }

    fn children(&self, path: &RelPath) -> Result<Vec<(OsString, Metadata)>, WorkspaceError> {
        let found = Self::children(self, path)?.into_iter();
        Ok(found.map(|(name, found)| (name, metadata(&found.version))).collect())
    }

    fn target(&self, path: &RelPath) -> Result<OsString, WorkspaceError> {
        let link = reach(self, path, OFlags::PATH | OFlags::NOFOLLOW)?;
        let target = rustix::fs::readlinkat(&link, "", Vec::new());
        let target = target.map_err(failed("read the link", path.as_path()))?;
        Ok(OsString::from_vec(target.into_bytes()))
    }

    fn open(&self, path: &RelPath) -> Result<OwnedFd, WorkspaceError> {
        let file = reach(self, path, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK)?;
        if !version_of(&file, path.as_path())?.is_file() {
            return Err(failed("open as a file", path.as_path())(Errno::INVAL));
        }
        Ok(file)
    }
}

/// Opens what is at `path`. The base is a folder in which others work: that a folder on the way becomes
/// a link to somewhere else meanwhile leads nowhere.
fn reach(view: &View, path: &RelPath, how: OFlags) -> Result<OwnedFd, WorkspaceError> {
    let fail = |errno: Errno| failed("open", path.as_path())(errno);
    let found = view.lookup(path)?.ok_or_else(|| fail(Errno::NOENT))?;
    let root = found.layer.as_deref().unwrap_or(view.base());
    let way = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::openat(CWD, root, way, Mode::empty()).map_err(fail)?;
    let within = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    let how = how | OFlags::CLOEXEC;
    rustix::fs::openat2(&root, path.as_path(), how, Mode::empty(), within).map_err(fail)
}
