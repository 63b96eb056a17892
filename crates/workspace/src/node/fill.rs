//! Filling a directory with what another one has, by several threads.
//!
//! The threads share a list of directories, each with the path from the root, and what lies in one of
//! them is put in place by whoever took it. What has several names, and what directories are to look
//! like when they are full, waits until that is done. Where paths do not lead everywhere (one is longer
//! than the kernel takes, or a directory is closed to us) one thread does it by a cursor.

use std::collections::HashMap;
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use ctrlz_core::path::RelPath;
use ctrlz_core::workspace::WorkspaceError;
use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::copy::{Source, Unreadable, clone_node_at, copy_node_at, create, finish_directory_at};
use super::tree::{PutNode, copy};
use super::{
    Place, entries, entries_at, failed, open_directory, open_parent, remove_tree, version_at,
};

/// How many names of one directory a thread takes at once.
const HANDFUL: usize = 256;
/// Below this many entries another thread costs more than it saves.
const FEW: usize = 200;
/// More threads only wait for each other in the file system.
const MOST_THREADS: usize = 8;

/// What is done with the bytes of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    /// Blocks are shared where possible.
    Copied,
    /// Blocks are shared, or it is an error.
    Shared,
}

/// Puts everything in the directory `from` into `to`, an empty directory that we made, and makes that
/// what `from` is. Hard links inside stay hard links. The source is only read; another mount inside is
/// an error, `from` itself may be one. `about` says how many entries there are, about.
///
/// # Errors
/// As [`super::copy_node`]; what was made before the error stays.
pub(crate) fn fill_tree(
    from: &Path,
    to: &Path,
    (unreadable, content): (Unreadable, Content),
    about: usize,
) -> Result<(), WorkspaceError> {
    let put = match content {
        Content::Copied => copy_node_at,
        Content::Shared => clone_node_at,
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(MOST_THREADS);
    let threads = if about < FEW { 1 } else { threads };
    match Job::new(from, to, unreadable, put).and_then(|job| job.run(threads)) {
        Err(error) if unreadable.unseals() && needs_a_cursor(&error) => {
            for name in entries(to)? {
                remove_tree(&to.join(name))?;
            }
            copy(from, to, unreadable, put)
        }
        result => result,
    }
}

fn needs_a_cursor(error: &WorkspaceError) -> bool {
    let errors = [Errno::NAMETOOLONG, Errno::ACCESS].map(|errno| Some(errno.raw_os_error()));
    matches!(error, WorkspaceError::Io { source, .. } if errors.contains(&source.raw_os_error()))
}

struct Job<'a> {
    from: &'a Path,
    to: &'a Path,
    from_root: OwnedFd,
    to_root: OwnedFd,
    unreadable: Unreadable,
    put: PutNode,
    work: Mutex<Work>,
    changed: Condvar,
}

#[derive(Default)]
struct Work {
    /// A directory, with some of its names or, when that is nothing, all of them.
    pending: Vec<(RelPath, Option<Vec<OsString>>)>,
    busy: usize,
    failure: Option<WorkspaceError>,
    /// Directories that were made, each after those above it.
    made: Vec<RelPath>,
    /// What has several names, by inode.
    linked: HashMap<(u64, u64), Vec<RelPath>>,
}

impl<'a> Job<'a> {
    fn new(
        from: &'a Path,
        to: &'a Path,
        unreadable: Unreadable,
        put: PutNode,
    ) -> Result<Self, WorkspaceError> {
        let work = Work { pending: vec![(RelPath::root(), None)], ..Work::default() };
        Ok(Self {
            from,
            to,
            from_root: open_directory(from, OFlags::RDONLY)?,
            to_root: open_directory(to, OFlags::RDONLY)?,
            unreadable,
            put,
            work: Mutex::new(work),
            changed: Condvar::new(),
        })
    }

    fn run(self, threads: usize) -> Result<(), WorkspaceError> {
        std::thread::scope(|scope| {
            for _ in 1..threads {
                scope.spawn(|| self.work());
            }
            self.work();
        });
        let mut work = std::mem::take(&mut *self.lock());
        if let Some(error) = work.failure {
            return Err(error);
        }
        for names in work.linked.values_mut() {
            names.sort_unstable();
            self.link(names)?;
        }
        while let Some(directory) = work.made.pop() {
            self.finish(&directory)?;
        }
        let (from, to) = (open_parent(self.from)?, open_parent(self.to)?);
        finish_directory_at(
            Place::new(&from.0, &from.1, self.from),
            Place::new(&to.0, &to.1, self.to),
            self.unreadable,
        )
    }

    fn lock(&self) -> MutexGuard<'_, Work> {
        // A thread that panics ends all of them when they are joined.
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        let mut work = self.lock();
        loop {
            if work.failure.is_some() || (work.pending.is_empty() && work.busy == 0) {
                self.changed.notify_all();
                return;
            }
            let Some((directory, names)) = work.pending.pop() else {
                work = self.changed.wait(work).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            work.busy += 1;
            drop(work);
            let done = self.directory(&directory, names);
            work = self.lock();
            work.busy -= 1;
            if let Err(error) = done {
                work.failure.get_or_insert(error);
            }
        }
    }

    /// Puts what is in a directory in place, and leaves the directories in it to whoever comes.
    fn directory(
        &self,
        directory: &RelPath,
        names: Option<Vec<OsString>>,
    ) -> Result<(), WorkspaceError> {
        let from = Side::open(&self.from_root, self.from, directory)?;
        let to = Side::open(&self.to_root, self.to, directory)?;
        let names = match names {
            Some(names) => names,
            None => {
                let mut names = entries_at(&from.fd, &from.shown)?;
                if names.len() > HANDFUL {
                    let rest = names.split_off(HANDFUL);
                    let handfuls = rest.chunks(HANDFUL).map(|names| Some(names.to_vec()));
                    let jobs = handfuls.map(|names| (directory.clone(), names));
                    self.lock().pending.extend(jobs);
                    self.changed.notify_all();
                }
                names
            }
        };
        for name in names {
            let (from_shown, to_shown) = (from.shown.join(&name), to.shown.join(&name));
            let from = Place::new(&from.fd, &name, &from_shown);
            let to = Place::new(&to.fd, &name, &to_shown);
            let Some(version) = version_at(from)? else { continue };
            let path = directory.child(&name);
            if version.is_directory() {
                create(&Source::open(from, self.unreadable)?, from, to)?;
                let mut work = self.lock();
                work.made.push(path.clone());
                work.pending.push((path, None));
                drop(work);
                self.changed.notify_one();
            } else if version.nlink > 1 {
                let inode = (version.dev, version.ino);
                self.lock().linked.entry(inode).or_default().push(path);
            } else {
                (self.put)(from, to, self.unreadable)?;
            }
        }
        Ok(())
    }

    /// Makes one file with all these names.
    fn link(&self, names: &[RelPath]) -> Result<(), WorkspaceError> {
        let Some((first, others)) = names.split_first() else { return Ok(()) };
        self.both(first, |from, to| (self.put)(from, to, self.unreadable))?;
        for other in others {
            self.both(first, |_, first| {
                self.both(other, |_, to| {
                    let flags = AtFlags::empty();
                    rustix::fs::linkat(first.directory, first.name, to.directory, to.name, flags)
                        .map_err(failed("link", to.shown))
                })
            })?;
        }
        Ok(())
    }

    fn finish(&self, directory: &RelPath) -> Result<(), WorkspaceError> {
        self.both(directory, |from, to| finish_directory_at(from, to, self.unreadable))
    }

    /// Calls `act` with an entry's place on both sides.
    fn both<T>(
        &self,
        path: &RelPath,
        act: impl FnOnce(Place<'_>, Place<'_>) -> Result<T, WorkspaceError>,
    ) -> Result<T, WorkspaceError> {
        let above = path.parent().unwrap_or_else(RelPath::root);
        let from = Side::open(&self.from_root, self.from, &above)?;
        let to = Side::open(&self.to_root, self.to, &above)?;
        let name = path.file_name();
        let (from_shown, to_shown) = (path.below(self.from), path.below(self.to));
        act(Place::new(&from.fd, name, &from_shown), Place::new(&to.fd, name, &to_shown))
    }
}

/// An open directory of one of the two trees.
struct Side {
    fd: OwnedFd,
    shown: PathBuf,
}

impl Side {
    /// Opens a directory by its path from the root. Neither a link nor another mount is followed.
    fn open(root: &OwnedFd, shown: &Path, path: &RelPath) -> Result<Self, WorkspaceError> {
        let shown = path.below(shown);
        let name = if path.is_root() { Path::new(".") } else { path.as_path() };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
        let fd = rustix::fs::openat2(root, name, flags, Mode::empty(), resolve)
            .map_err(failed("open the directory", &shown))?;
        Ok(Self { fd, shown })
    }
}
