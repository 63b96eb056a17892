//! Everything below a directory, in the byte order of the paths.

use std::cmp::Ordering;
use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;

use ctrlz_core::path::RelPath;
use rustix::fs::{FileType, RawDir};
use rustix::io::Errno;

use crate::descent::{Closed, Descent};

/// What the walk comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// A name in a directory. Its type is what the directory says, and may be
    /// [`FileType::Unknown`].
    Entry(FileType),
    /// All names of a directory are known and none of them was told yet. Only when asked for, and
    /// only where there is a character device among them.
    Devices,
}

/// A name in a directory: where it lies in the text of names, and what it is.
#[derive(Debug, Clone, Copy)]
struct Name {
    start: usize,
    length: usize,
    file_type: FileType,
    /// Not the directory itself but what is in it, which comes later: between `a` and `a/b` come
    /// `a-` and `a.c`, since `-` and `.` sort before `/`.
    inside: bool,
}

#[derive(Debug, Default)]
struct Level {
    names: Vec<u8>,
    /// Backwards: the next one is the last.
    pending: Vec<Name>,
    /// How long the path of the directory is.
    path: usize,
    devices: bool,
}

impl Level {
    fn name(&self, name: Name) -> &[u8] {
        self.names.get(name.start..name.start + name.length).unwrap_or_default()
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Walk {
    descent: Descent,
    levels: Vec<Level>,
    /// The path of the entry that was told last.
    path: Vec<u8>,
    hidden: Vec<RelPath>,
    tell_devices: bool,
    buffer: Vec<u8>,
    /// The directory that was told last, to be entered next.
    open: Option<OwnedFd>,
    started: bool,
}

impl Walk {
    /// Begins at the open directory `top`. `hidden` paths and what is in them are passed over.
    pub(crate) fn new(
        top: OwnedFd,
        closed: Closed,
        mut hidden: Vec<RelPath>,
        tell_devices: bool,
    ) -> Self {
        hidden.sort();
        Self {
            descent: Descent::new(top, closed),
            levels: Vec::new(),
            path: Vec::new(),
            hidden,
            tell_devices,
            buffer: Vec::with_capacity(1 << 16),
            open: None,
            started: false,
        }
    }

    /// The path of the entry that was told last, without a `/` around it.
    pub(crate) fn path(&self) -> RelPath {
        // Names of a directory joined by `/` are a path already.
        RelPath::parse(OsStr::from_bytes(&self.path)).unwrap_or_default()
    }

    /// The name of the entry that was told last.
    pub(crate) fn name(&self) -> &[u8] {
        let start = self.levels.last().map_or(0, |level| level.path);
        let start = if start == 0 { 0 } else { start + 1 };
        self.path.get(start..).unwrap_or_default()
    }

    /// The directory in which it lies.
    pub(crate) fn descent(&self) -> &Descent {
        &self.descent
    }

    /// All character devices of the directory of which [`Step::Devices`] was told, sorted.
    pub(crate) fn devices(&self) -> Vec<Vec<u8>> {
        let Some(level) = self.levels.last() else { return Vec::new() };
        let names = level.pending.iter().rev();
        let devices = names.filter(|name| is_device(name.file_type));
        devices.map(|name| level.name(*name).to_vec()).collect()
    }

    /// The directory `directory`, which is the entry that was told last and is now open, so that
    /// it does not have to be opened again.
    pub(crate) fn offer(&mut self, directory: OwnedFd) {
        self.open = Some(directory);
    }

    /// Passes over what is in the directory that was told last.
    pub(crate) fn stay_out(&mut self) {
        let name = self.name().to_vec();
        if let Some(level) = self.levels.last_mut() {
            let names = std::mem::take(&mut level.names);
            level.pending.retain(|pending| {
                let this = names.get(pending.start..pending.start + pending.length);
                !(pending.inside && this == Some(&name))
            });
            level.names = names;
        }
    }

    /// Goes on to the next entry; `None` at the end.
    ///
    /// # Errors
    /// When a directory cannot be read; [`Self::path`] says which.
    pub(crate) fn step(&mut self) -> Result<Option<Step>, Errno> {
        if !self.started {
            self.started = true;
            self.list(0)?;
            if self.levels.last().is_some_and(|level| level.devices) {
                return Ok(Some(Step::Devices));
            }
        }
        loop {
            let Some(level) = self.levels.last_mut() else { return Ok(None) };
            self.path.truncate(level.path);
            let Some(name) = level.pending.pop() else {
                self.levels.pop();
                if !self.levels.is_empty() {
                    self.descent.leave()?;
                }
                continue;
            };
            if !self.path.is_empty() {
                self.path.push(b'/');
            }
            let text = level.names.get(name.start..name.start + name.length).unwrap_or_default();
            self.path.extend_from_slice(text);
            if !name.inside {
                // What was offered for a directory whose content comes later.
                self.open = None;
                if self.is_hidden() {
                    self.stay_out();
                    continue;
                }
                return Ok(Some(Step::Entry(name.file_type)));
            }
            let text = text.to_vec();
            // Only the directory that was told just before this can have been offered.
            match self.open.take() {
                Some(fd) => self.descent.enter_open(&text, fd),
                None => match self.descent.enter(&text) {
                    Ok(()) => {}
                    // What had the name was no directory, or is gone.
                    Err(Errno::NOTDIR | Errno::LOOP | Errno::NOENT) => continue,
                    Err(errno) => return Err(errno),
                },
            }
            self.list(self.path.len())?;
            if self.levels.last().is_some_and(|level| level.devices) {
                return Ok(Some(Step::Devices));
            }
        }
    }

    fn is_hidden(&self) -> bool {
        !self.hidden.is_empty()
            && self.hidden.binary_search_by(|path| path.as_bytes().cmp(&self.path)).is_ok()
    }

    /// Reads the names of the directory that is stood in.
    fn list(&mut self, path: usize) -> Result<(), Errno> {
        let mut level = Level { path, ..Level::default() };
        let mut entries = RawDir::new(self.descent.here(), self.buffer.spare_capacity_mut());
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let text = entry.file_name().to_bytes();
            if matches!(text, b"." | b"..") {
                continue;
            }
            let file_type = entry.file_type();
            let name =
                Name { start: level.names.len(), length: text.len(), file_type, inside: false };
            level.devices |= self.tell_devices && is_device(file_type);
            level.names.extend_from_slice(text);
            level.pending.push(name);
            if matches!(file_type, FileType::Directory | FileType::Unknown) {
                level.pending.push(Name { inside: true, ..name });
            }
        }
        let names = &level.names;
        let text =
            |name: &Name| names.get(name.start..name.start + name.length).unwrap_or_default();
        level.pending.sort_unstable_by(|a, b| order((text(b), b.inside), (text(a), a.inside)));
        self.levels.push(level);
        Ok(())
    }
}

/// Compares two names, each with a `/` at its end or without.
fn order((a, a_slash): (&[u8], bool), (b, b_slash): (&[u8], bool)) -> Ordering {
    let common = a.len().min(b.len());
    let ((a, a_rest), (b, b_rest)) = (a.split_at(common), b.split_at(common));
    let slash = |there: bool| there.then_some(&b'/');
    a.cmp(b)
        .then_with(|| a_rest.iter().chain(slash(a_slash)).cmp(b_rest.iter().chain(slash(b_slash))))
}

fn is_device(file_type: FileType) -> bool {
    matches!(file_type, FileType::CharacterDevice | FileType::Unknown)
}

#[cfg(test)]
mod tests {
    use rustix::fs::{CWD, Mode, OFlags};

    use super::*;

    fn walk(path: &std::path::Path, hidden: &[&str]) -> Vec<String> {
        let top = rustix::fs::openat(CWD, path, OFlags::DIRECTORY, Mode::empty()).expect("open");
        let hidden = hidden.iter().map(|path| RelPath::parse(path).expect("valid")).collect();
        let mut walk = Walk::new(top, Closed::Refuse, hidden, false);
        let mut found = Vec::new();
        while walk.step().expect("step").is_some() {
            assert!(walk.path().as_bytes().ends_with(walk.name()));
            found.push(walk.path().to_string());
        }
        found
    }

    #[test]
    fn paths_come_in_byte_order() {
        let dir = tempfile::tempdir().expect("temporary directory");
        for path in ["a/b/c", "a.b/x", "a-/y", "a0/z", "b"] {
            std::fs::create_dir_all(dir.path().join(path)).expect("mkdir");
        }
        for path in ["a/b.c", "a/b/c/d", "a!", "\u{fc}"] {
            std::fs::write(dir.path().join(path), path).expect("write");
        }
        let found = walk(dir.path(), &[]);
        let mut sorted = found.clone();
        sorted.sort_by(|a, b| a.as_bytes().cmp(b.as_bytes()));
        assert_eq!(found, sorted);
        assert_eq!(found.len(), 14, "{found:?}");
    }

    #[test]
    fn what_is_hidden_is_passed_over() {
        let dir = tempfile::tempdir().expect("temporary directory");
        for path in ["a/b/c", "ab", "d/e"] {
            std::fs::create_dir_all(dir.path().join(path)).expect("mkdir");
        }
        assert_eq!(walk(dir.path(), &["a", "d/e"]), ["ab", "d"]);
    }
}
