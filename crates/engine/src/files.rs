//! Files of a sandbox, without a command: looking at them, and changing them.
//!
//! Paths are those that a command in the sandbox would use. Links are followed as they lead there: out of
//! the workspace leads none, and what is hidden from commands is not there.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use ctrlz_core::changeset::{ChangeCounts, FileType, Metadata};
use ctrlz_core::id::OperationId;
use ctrlz_core::operation::{OperationKind, Outcome};
use ctrlz_core::path::RelPath;
use ctrlz_core::sandbox::Sandbox;
use ctrlz_core::store::Durability;
use ctrlz_core::workspace::{Edit, TreeView, WorkspaceError};

use crate::core::SandboxCore;
use crate::error::EngineError;
use crate::operation::Effect;

/// How many links are followed, as the kernel does (path_resolution(7)).
const LINKS: usize = 40;

/// Why something was not done with a file.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// Nothing is there.
    #[error("there is no file `{}`", .0.display())]
    Absent(PathBuf),
    /// A folder was wanted, or is on the way, and something else is there.
    #[error("`{}` is no folder", .0.display())]
    NoFolder(PathBuf),
    /// A file was wanted, and a folder is there.
    #[error("`{}` is a folder", .0.display())]
    Folder(PathBuf),
    /// A file was wanted, and something else is there.
    #[error("`{}` is no regular file", .0.display())]
    NoFile(PathBuf),
    /// Something is there already.
    #[error("`{}` is there already", .0.display())]
    Exists(PathBuf),
    /// A folder cannot be moved into itself.
    #[error("`{}` lies in what is to be moved there", .0.display())]
    Within(PathBuf),
    /// The folder has too much in it for one operation without a command.
    #[error("the folder `{}` has too much in it", .0.display())]
    TooMuch(PathBuf),
    /// The folder has something in it.
    #[error("the folder `{}` is not empty", .0.display())]
    NotEmpty(PathBuf),
    /// It lies outside of the workspace.
    #[error("`{}` lies outside of the workspace", .0.display())]
    Outside(PathBuf),
    /// Links lead in a circle.
    #[error("`{}`: too many links", .0.display())]
    Links(PathBuf),
    /// It is not what whoever asked believes it to be.
    #[error("`{}` is not as expected", .0.display())]
    Unexpected(PathBuf),
    /// A mode keeps commands out, too, or it is hidden from them.
    #[error("`{}` is closed to commands in this sandbox", .0.display())]
    Closed(PathBuf),
    /// No file can have that name.
    #[error("`{}` can be the name of no file here", .0.display())]
    Name(PathBuf),
    /// The store's file system is full.
    #[error("there is no room for `{}`", .0.display())]
    NoRoom(PathBuf),
}

impl FileError {
    /// What a failed file operation says of a path that somebody asked for.
    fn of_path(path: PathBuf, error: WorkspaceError) -> EngineError {
        use std::io::ErrorKind::{
            InvalidFilename, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull,
        };
        let WorkspaceError::Io { source, .. } = &error else { return error.into() };
        match source.kind() {
            PermissionDenied | ReadOnlyFilesystem => Self::Closed(path).into(),
            StorageFull | QuotaExceeded => Self::NoRoom(path).into(),
            InvalidFilename => Self::Name(path).into(),
            _ => error.into(),
        }
    }
}

/// What a write did.
#[derive(Debug, Clone, PartialEq)]
pub struct FileReport {
    /// The operation under which it is journaled.
    pub operation: OperationId,
    /// What changed.
    pub counts: ChangeCounts,
}

/// A place that a path leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spot {
    /// The place, without links.
    pub path: RelPath,
    /// What is there.
    pub entry: Option<Metadata>,
}

/// What a failed look at `path` says.
fn at_path(path: &RelPath) -> impl FnOnce(WorkspaceError) -> EngineError + '_ {
    |error| FileError::of_path(path.as_path().to_owned(), error)
}

/// The path that an edit is about.
fn path_of(edit: &Edit) -> PathBuf {
    let path = match edit {
        Edit::Write { path, .. } | Edit::MakeFolder { path, .. } => path,
        Edit::Remove { path } | Edit::Move { to: path, .. } => path,
    };
    path.as_path().to_owned()
}

/// How far a path leads.
struct Way {
    spot: Spot,
    /// What is left of it behind the first thing that is not there.
    rest: VecDeque<OsString>,
}

/// The files of a sandbox as they are.
pub struct Files<'a> {
    view: &'a dyn TreeView,
    mount_point: &'a Path,
    hidden: Vec<RelPath>,
}

impl std::fmt::Debug for Files<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Files").field("mount_point", &self.mount_point).finish_non_exhaustive()
    }
}

impl<'a> Files<'a> {
    fn new(view: &'a dyn TreeView, sandbox: &'a Sandbox, hidden: &[PathBuf]) -> Self {
        let mount_point = sandbox.mount_point();
        let within = hidden.iter().filter_map(|path| path.strip_prefix(mount_point).ok());
        let within = within.filter_map(|path| RelPath::parse(path).ok());
        // What covers the workspace as a whole does not hide it.
        let hidden = within.filter(|path| !path.is_root()).collect();
        Self { view, mount_point, hidden }
    }

    /// Where `path` leads: from the workspace on, or the sandbox's root when it begins with `/`. A link
    /// in its last place is followed when `follow`.
    ///
    /// # Errors
    /// When the way there leads through nothing, through what is no folder, or out of the workspace.
    pub fn find(&self, path: &Path, follow: bool) -> Result<Spot, EngineError> {
        let Way { spot, rest } = self.walk(path, follow)?;
        match rest.is_empty() {
            true => Ok(spot),
            false => Err(FileError::Absent(spot.path.as_path().to_owned()).into()),
        }
    }

    /// The same for a place whose folders need not be there: answers those that are not, outermost first.
    ///
    /// # Errors
    /// As [`Self::find`].
    pub fn find_new(&self, path: &Path) -> Result<(Vec<RelPath>, Spot), EngineError> {
        let Way { mut spot, rest } = self.walk(path, true)?;
        let mut missing = Vec::new();
        for name in rest {
            if name == ".." {
                return Err(FileError::Absent(path.to_owned()).into());
            }
            let next = spot.path.child(&name);
            missing.push(std::mem::replace(&mut spot.path, next));
        }
        self.is_open(&spot.path)?;
        Ok((missing, spot))
    }

    /// Errs for what is hidden from commands, or has something hidden in it: a command could not change it,
    /// either.
    ///
    /// # Errors
    /// [`FileError::Closed`]
    pub fn is_open(&self, path: &RelPath) -> Result<(), EngineError> {
        let touches = |hidden: &RelPath| path.is_within(hidden) || hidden.is_within(path);
        match self.hidden.iter().any(touches) {
            true => Err(FileError::Closed(path.as_path().to_owned()).into()),
            false => Ok(()),
        }
    }

    fn walk(&self, path: &Path, follow: bool) -> Result<Way, EngineError> {
        let mut at = RelPath::root();
        let mut left = VecDeque::new();
        self.go(path, path, &mut at, &mut left)?;
        let mut links = 0;
        while let Some(name) = left.pop_front() {
            if name == ".." {
                match at.parent() {
                    Some(parent) => at = parent,
                    None if self.mount_point == Path::new("/") => {}
                    None => return Err(FileError::Outside(path.to_owned()).into()),
                }
                continue;
            }
            let next = at.child(&name);
            let seen = (!self.is_hidden(&next)).then(|| self.view.entry(&next));
            let entry = seen.transpose().map_err(at_path(&next))?.flatten();
            let is_last = left.is_empty();
            match entry.as_ref().map(|entry| entry.file_type) {
                Some(FileType::Symlink) if follow || !is_last => {
                    links += 1;
                    if links > LINKS {
                        return Err(FileError::Links(path.to_owned()).into());
                    }
                    let target = self.view.target(&next).map_err(at_path(&next))?;
                    self.go(Path::new(&target), path, &mut at, &mut left)?;
                }
                _ if is_last => {
                    return Ok(Way { spot: Spot { path: next, entry }, rest: left });
                }
                Some(FileType::Directory) => at = next,
                Some(_) => return Err(FileError::NoFolder(next.as_path().to_owned()).into()),
                None => return Ok(Way { spot: Spot { path: next, entry }, rest: left }),
            }
        }
        let entry = self.view.entry(&at).map_err(at_path(&at))?;
        Ok(Way { spot: Spot { path: at, entry }, rest: left })
    }

    /// Puts the parts of `way` before what is left of one, beginning where it begins.
    fn go(
        &self,
        way: &Path,
        asked: &Path,
        at: &mut RelPath,
        left: &mut VecDeque<OsString>,
    ) -> Result<(), EngineError> {
        if way.as_os_str().as_bytes().contains(&0) {
            return Err(FileError::Absent(asked.to_owned()).into());
        }
        let mut parts = way;
        if way.is_absolute() {
            let outside = || FileError::Outside(asked.to_owned());
            parts = way.strip_prefix(self.mount_point).map_err(|_| outside())?;
            *at = RelPath::root();
        }
        let parts: Vec<&[u8]> = parts.as_os_str().as_bytes().split(|byte| *byte == b'/').collect();
        for part in parts.iter().rev().filter(|part| !matches!(**part, b"" | b"." | b"/")) {
            left.push_front(OsStr::from_bytes(part).to_owned());
        }
        Ok(())
    }

    fn is_hidden(&self, path: &RelPath) -> bool {
        self.hidden.iter().any(|hidden| path.is_within(hidden))
    }

    /// What is at `path`; see [`Self::find`].
    ///
    /// # Errors
    /// When nothing is.
    pub fn get(&self, path: &Path, follow: bool) -> Result<(RelPath, Metadata), EngineError> {
        let Spot { path: at, entry } = self.find(path, follow)?;
        match entry {
            Some(entry) => Ok((at, entry)),
            None => Err(FileError::Absent(path.to_owned()).into()),
        }
    }

    /// What lies in a folder, sorted by name.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn list(&self, folder: &RelPath) -> Result<Vec<(OsString, Metadata)>, EngineError> {
        let mut found = self.view.children(folder).map_err(at_path(folder))?;
        found.retain(|(name, _)| !self.is_hidden(&folder.child(name)));
        Ok(found)
    }

    /// How many bytes are in the files at and below `path`, when there are at most `most` entries.
    ///
    /// # Errors
    /// When there are more, or a folder cannot be read.
    pub fn bytes(&self, path: &RelPath, most: usize) -> Result<u64, EngineError> {
        let too_much = || FileError::TooMuch(path.as_path().to_owned());
        let (mut bytes, mut left, mut folders) = (0_u64, most, vec![path.clone()]);
        while let Some(folder) = folders.pop() {
            for (name, about) in self.list(&folder)? {
                left = left.checked_sub(1).ok_or_else(too_much)?;
                bytes = bytes.saturating_add(about.size);
                if about.file_type == FileType::Directory {
                    folders.push(folder.child(&name));
                }
            }
        }
        Ok(bytes)
    }

    /// Where a link leads, as it is written.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn target(&self, link: &RelPath) -> Result<OsString, EngineError> {
        self.view.target(link).map_err(at_path(link))
    }

    /// Opens a regular file.
    ///
    /// # Errors
    /// When it is none, or may not be read.
    pub fn open(&self, file: &RelPath) -> Result<OwnedFd, EngineError> {
        self.view.open(file).map_err(at_path(file))
    }
}

impl SandboxCore<'_> {
    /// Looks at a sandbox's files as they are between two operations: what a command is about to change
    /// shows when it has ended. `hidden` are paths as commands in the sandbox see them.
    ///
    /// # Errors
    /// What `look` answers, or when something of the tree is missing.
    pub fn files<T>(
        &self,
        sandbox: &Sandbox,
        hidden: &[PathBuf],
        look: impl FnOnce(&Files<'_>) -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        let view = self.driver_of(sandbox)?.view(&sandbox.point.tree)?;
        look(&Files::new(&*view, sandbox, hidden))
    }

    /// Changes files as an operation of its own. `plan` says what, by what is there once nothing else is
    /// done to the sandbox any more.
    ///
    /// # Errors
    /// What `plan` answers, or a failed file operation; the sandbox is as before then.
    pub fn edit_files(
        &self,
        sandbox: &Sandbox,
        title: String,
        hidden: &[PathBuf],
        plan: impl FnOnce(&Files<'_>) -> Result<Vec<Edit>, EngineError>,
    ) -> Result<FileReport, EngineError> {
        let held = self.hold(sandbox)?;
        let (driver, id, tree) = (held.driver, held.sandbox.id, &held.sandbox.point.tree);
        let edits = {
            let view = driver.view(tree)?;
            plan(&Files::new(&*view, &held.sandbox, hidden))?
        };
        let mut counts = ChangeCounts::default();
        let kind = OperationKind::Write;
        let operation = self.perform(&held, kind, title, None, Durability::Process, |_| {
            let head = driver.begin(id, tree)?;
            let sealed = driver.edit(&head, &edits).and_then(|()| driver.seal(&head));
            let sealed = match sealed {
                Ok(sealed) => sealed,
                Err(error) => {
                    driver.abandon(id)?;
                    // Where the store keeps it is nobody's concern.
                    let path = edits.last().map_or_else(PathBuf::new, path_of);
                    return Err(FileError::of_path(path, error));
                }
            };
            counts = sealed.counts;
            let changeset = sealed.digest;
            let outcome = Outcome { counts: Some(counts), changeset, ..Outcome::default() };
            Ok(Effect { outcome, ..Effect::tree(sealed.tree) })
        })?;
        driver.tidy(id);
        Ok(FileReport { operation: operation.id, counts })
    }
}
