//! The folder of one launch: FIFOs for the standard streams, where an overlay is mounted for containerd to
//! see, what covers what is hidden, and where process 1 tells the end.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use ctrlz_core::driver::Shim;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::mount::{UnmountFlags, unmount};
use serde::{Deserialize, Serialize};

use crate::folder::{self, Folder};

/// How the names of these folders begin.
const PREFIX: &str = "ctrlz-containerd-";

/// Which container belongs to a folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Note {
    pub(super) socket: PathBuf,
    pub(super) shim: Shim,
    /// The container's name.
    pub(super) name: String,
}

/// The folder. It stays until [`remove`] is called.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) note: Note,
    folder: Folder,
}

impl Place {
    /// What process 1 tells, in the folder for it.
    pub(super) const REPORT: &str = "report";

    pub(super) fn make(shim: Shim, socket: &Path) -> io::Result<Self> {
        let folder = Folder::make(PREFIX)?;
        let note = Note { socket: socket.to_owned(), shim, name: folder.container.clone() };
        let place = Self { note, folder };
        match place.fill() {
            Ok(()) => Ok(place),
            Err(error) => {
                remove(&place.folder.path);
                Err(error)
            }
        }
    }

    /// The folder that another process made at `path`.
    pub(super) fn open(path: &Path) -> Option<Self> {
        let note: Note = Folder::read_note(path)?;
        let folder = Folder::of(path.to_owned(), &note.name)?;
        Some(Self { note, folder })
    }

    fn fill(&self) -> io::Result<()> {
        self.folder.note(&self.note)?;
        for (path, mode) in
            [(self.workspace(), 0o700), (self.empty_directory(), 0o555), (self.told(), 0o700)]
        {
            DirBuilder::new().mode(mode).create(path)?;
        }
        File::create(self.empty_file())?;
        let mode = Mode::from_raw_mode(0o600);
        for path in self.streams() {
            mknodat(CWD, &path, FileType::Fifo, mode, 0)?;
        }
        Ok(())
    }

    /// Where the launch lies for the process that speaks for the container.
    pub(super) fn launch(&self) -> PathBuf {
        self.folder.path.join("launch")
    }

    pub(super) fn path(&self) -> &Path {
        &self.folder.path
    }

    pub(super) fn container(&self) -> &str {
        &self.note.name
    }

    pub(super) fn launcher(&self) -> &str {
        &self.folder.launcher
    }

    pub(super) fn workspace(&self) -> PathBuf {
        self.folder.path.join(WORKSPACE)
    }

    pub(super) fn empty_directory(&self) -> PathBuf {
        self.folder.path.join("empty")
    }

    pub(super) fn empty_file(&self) -> PathBuf {
        self.folder.path.join("none")
    }

    pub(super) fn told(&self) -> PathBuf {
        self.folder.path.join("told")
    }

    pub(super) fn report(&self) -> PathBuf {
        self.told().join(Self::REPORT)
    }

    /// Standard input, output and error.
    pub(super) fn streams(&self) -> [PathBuf; 3] {
        ["0", "1", "2"].map(|name| self.folder.path.join(name))
    }
}

const WORKSPACE: &str = "workspace";

/// Removes a folder: first what is mounted in it. As long as something is, the folder stays, since what is
/// mounted is the user's.
pub(super) fn remove(folder: &Path) {
    let workspace = folder.join(WORKSPACE);
    while unmount(&workspace, UnmountFlags::DETACH).is_ok() {}
    if fs::remove_dir(&workspace).is_ok() || !workspace.exists() {
        let _ = fs::remove_dir_all(folder);
    }
}

/// The folders of this user whose processes are gone, each with its note if it has one.
pub(super) fn abandoned() -> Vec<(PathBuf, Option<Note>)> {
    folder::abandoned(PREFIX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workspace_is_not_removed_with_its_folder() {
        let place = Place::make(Shim::Runc, Path::new("/s")).expect("make");
        // As what is still mounted would be: not empty.
        fs::write(place.workspace().join("file"), "mine").expect("write");
        remove(place.path());
        assert!(place.workspace().join("file").exists() && place.streams()[0].exists());
        fs::remove_file(place.workspace().join("file")).expect("remove");
        remove(place.path());
        assert!(!place.path().exists());
    }
}
