//! Changes to a head that no command makes: what a command would have left there.

mod folder;

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use ctrlz_core::path::RelPath;
use ctrlz_core::workspace::{Edit, WorkspaceError};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, Timespec, Timestamps, UTIME_NOW};
use rustix::io::Errno;

use crate::fault;
use crate::layer::{is_whiteout, make_whiteout, set_opaque};
use crate::node::{Version, copy_metadata, failed, remove_tree, version};
use crate::view::{Found, View};

/// What a new file and a new folder may be used for, when nobody says.
const FILE: u32 = 0o644;
const FOLDER: u32 = 0o755;
/// Bits that whoever writes to a file takes from it (write(2)).
const SET_ID: u32 = 0o6000;
/// The attribute that a write takes away (capabilities(7)).
const CAPABILITIES: &str = "security.capability";

/// A head that is changed.
pub(crate) struct Editor<'a> {
    /// What is written: a layer on top of `below`, or all of the tree when there is nothing below.
    pub(crate) root: &'a Path,
    pub(crate) below: Option<&'a View>,
    /// What `root` shows on top of `below`, as it is when it is asked for.
    pub(crate) merged: &'a dyn Fn() -> Result<View, WorkspaceError>,
    /// A name on the same file system where a file is made before it takes another one's place; beside
    /// that one when there is none.
    pub(crate) staging: Option<PathBuf>,
}

impl Editor<'_> {
    /// Makes the changes, in this order.
    pub(crate) fn apply(&self, edits: &[Edit]) -> Result<(), WorkspaceError> {
        for edit in edits {
            let path = match edit {
                Edit::Write { path, .. } | Edit::MakeFolder { path, .. } => path,
                Edit::Remove { path } | Edit::Move { from: path, .. } => path,
            };
            fault::point("edit").map_err(failed("change", path.as_path()))?;
            match edit {
                Edit::Write { path, content, mode } => self.write(path, content, *mode)?,
                Edit::MakeFolder { path, mode } => self.make_folder(path, *mode)?,
                Edit::Remove { path } => self.remove(path)?,
                Edit::Move { from, to } => self.rename(from, to)?,
            }
            fault::point("edited").map_err(failed("change", path.as_path()))?;
        }
        Ok(())
    }

    /// What is at `path` now.
    fn now(&self, path: &RelPath) -> Result<Option<Found>, WorkspaceError> {
        let disk_path = path.below(self.root);
        if let Some(version) = version(&disk_path)? {
            let layer = Some(self.root.to_owned());
            return Ok((!is_whiteout(&version)).then_some(Found { disk_path, version, layer }));
        }
        self.below.map_or(Ok(None), |below| below.lookup(path))
    }

    fn write(
        &self,
        path: &RelPath,
        content: &[u8],
        mode: Option<u32>,
    ) -> Result<(), WorkspaceError> {
        let target = path.below(self.root);
        let former = self.now(path)?;
        self.make_parents(path)?;
        let Some(former) = former else {
            self.clear_mark(&target)?;
            // In its place from the start, so that it gets what its folder gives to what is in it.
            let file = create(&target, FILE)?;
            fill(&file, content, &target)?;
            return mode.map_or(Ok(()), |mode| set_mode(&target, mode));
        };
        let staging = match &self.staging {
            Some(staging) => staging.clone(),
            None => free_name_beside(&target)?,
        };
        remove_tree(&staging)?;
        let file = create(&staging, 0o600)?;
        fill(&file, content, &target)?;
        drop(file);
        copy_metadata(&former.disk_path, &staging)?;
        // Without privileges not even the question whether it can be removed is answered.
        if rustix::fs::lgetxattr(&staging, CAPABILITIES, &mut [0_u8; 256]).is_ok() {
            rustix::fs::lremovexattr(&staging, CAPABILITIES)
                .map_err(failed("take the capabilities of", &target))?;
        }
        let kept = former.version.permissions() & !SET_ID;
        set_mode(&staging, mode.unwrap_or(kept))?;
        let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
        let now = Timestamps { last_access: now, last_modification: now };
        rustix::fs::utimensat(CWD, &staging, &now, AtFlags::empty())
            .map_err(failed("set the times of", &target))?;
        fault::point("edit-staged").map_err(failed("write", &target))?;
        rustix::fs::rename(&staging, &target).map_err(failed("write", &target))
    }

    fn make_folder(&self, path: &RelPath, mode: Option<u32>) -> Result<(), WorkspaceError> {
        let target = path.below(self.root);
        self.make_parents(path)?;
        self.clear_mark(&target)?;
        rustix::fs::mkdir(&target, Mode::from_raw_mode(FOLDER))
            .map_err(failed("create the directory", &target))?;
        if self.below.is_some() {
            // What may have been there before, and was removed, stays so.
            set_opaque(&target)?;
        }
        mode.map_or(Ok(()), |mode| set_mode(&target, mode))
    }

    fn remove(&self, path: &RelPath) -> Result<(), WorkspaceError> {
        let target = path.below(self.root);
        remove_tree(&target)?;
        match self.below {
            Some(below) if below.lookup(path)?.is_some() => {
                self.make_parents(path)?;
                make_whiteout(&target)
            }
            _ => Ok(()),
        }
    }

    fn rename(&self, from: &RelPath, to: &RelPath) -> Result<(), WorkspaceError> {
        let target = to.below(self.root);
        let absent = || failed("move", from.as_path())(Errno::NOENT);
        let source = self.now(from)?.ok_or_else(absent)?;
        self.make_parents(to)?;
        if self.below.is_none() {
            let inode = |version: &Version| (version.dev, version.ino);
            let is_one_file =
                version(&target)?.is_some_and(|there| inode(&there) == inode(&source.version));
            if is_one_file && from != to {
                // rename(2) does nothing then.
                return remove_tree(&source.disk_path);
            }
            return rustix::fs::rename(&source.disk_path, &target)
                .map_err(failed("move to", &target));
        }
        remove_tree(&target)?;
        match source.version.is_directory() {
            true => folder::copy(&(self.merged)()?, from, &target)?,
            false => folder::write(&source, &target)?,
        }
        fault::point("edit-moved").map_err(failed("move", from.as_path()))?;
        self.remove(from)
    }

    /// Makes the folders above `path` in a layer, as they are below it.
    fn make_parents(&self, path: &RelPath) -> Result<(), WorkspaceError> {
        let Some(below) = self.below else { return Ok(()) };
        for above in path.ancestors() {
            let target = above.below(self.root);
            if version(&target)?.is_some() {
                continue;
            }
            let found = below.lookup(&above)?;
            let absent = || failed("find", above.as_path())(Errno::NOENT);
            let found = found.ok_or_else(absent)?;
            if !found.version.is_directory() {
                return Err(failed("enter", above.as_path())(Errno::NOTDIR));
            }
            rustix::fs::mkdir(&target, Mode::from_raw_mode(0o700))
                .map_err(failed("create the directory", &target))?;
            copy_metadata(&found.disk_path, &target)?;
        }
        Ok(())
    }

    /// Removes the mark by which a layer says that nothing is there.
    fn clear_mark(&self, target: &Path) -> Result<(), WorkspaceError> {
        match version(target)? {
            Some(mark) if is_whiteout(&mark) => remove_tree(target),
            _ => Ok(()),
        }
    }
}

/// A name that nothing has, in the same directory.
fn free_name_beside(target: &Path) -> Result<PathBuf, WorkspaceError> {
    let names = (0_u32..).map(|turn| target.with_file_name(format!(".ctrlz-edit-{turn}")));
    for name in names {
        if version(&name)?.is_none() {
            return Ok(name);
        }
    }
    Err(failed("find a name beside", target)(Errno::EXIST))
}

fn create(path: &Path, mode: u32) -> Result<OwnedFd, WorkspaceError> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::from_raw_mode(mode)).map_err(failed("create", path))
}

fn fill(file: &OwnedFd, mut content: &[u8], shown: &Path) -> Result<(), WorkspaceError> {
    while !content.is_empty() {
        match rustix::io::write(file, content) {
            Ok(count) => content = content.get(count..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(failed("write", shown)(errno)),
        }
    }
    Ok(())
}

fn set_mode(path: &Path, mode: u32) -> Result<(), WorkspaceError> {
    rustix::fs::chmod(path, Mode::from_raw_mode(mode)).map_err(failed("set the mode of", path))
}
