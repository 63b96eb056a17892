//! A directory or a tar file as files by name.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};

use crate::ArchiveError;

/// The largest number of entries in a tar with an image; the largest images have some hundred.
const ENTRIES: usize = 100_000;

/// How many links may lead to a file.
const LINKS: usize = 8;

/// A directory or a tar file as files by name.
#[derive(Debug)]
pub(crate) enum Files {
    /// A directory. No name leads out of it, through a link or otherwise.
    Directory { path: PathBuf, directory: File },
    /// A tar file.
    Tar { path: PathBuf, file: Arc<File>, members: BTreeMap<String, Member> },
}

/// A member of a tar file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Member {
    File {
        at: u64,
        size: u64,
    },
    /// Older versions of docker link to a layer that is there under another name.
    Link(String),
}

/// Some bytes of a file, read from their own position.
#[derive(Debug)]
pub(crate) struct Part {
    file: Arc<File>,
    at: u64,
    end: u64,
}

impl Read for Part {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let length = left.min(buffer.len());
        let read = self.file.read_at(buffer.get_mut(..length).unwrap_or_default(), self.at)?;
        if read == 0 && length > 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file ends too early"));
        }
        self.at += u64::try_from(read).unwrap_or(0);
        Ok(read)
    }
}

impl Part {
    /// Passes over bytes without reading them.
    pub(crate) fn skip(&mut self, bytes: u64) {
        self.at = self.at.saturating_add(bytes).min(self.end);
    }
}

impl Files {
    pub(crate) fn open(path: &Path) -> Result<Self, ArchiveError> {
        let file = File::open(path).map_err(ArchiveError::io("open", path))?;
        let status = file.metadata().map_err(ArchiveError::io("open", path))?;
        if status.is_dir() {
            return Ok(Self::Directory { path: path.to_owned(), directory: file });
        }
        if !status.is_file() {
            let why = format!("{} is neither a directory nor a file", path.display());
            return Err(ArchiveError::malformed("the image", why));
        }
        if is_compressed(&file).map_err(ArchiveError::io("read", path))? {
            let why = format!("{} is compressed; decompress it first", path.display());
            return Err(ArchiveError::malformed("the image", why));
        }
        Self::tar(file, path)
    }

    /// A tar file that is open already and not compressed; `path` is for messages.
    pub(crate) fn tar(file: File, path: &Path) -> Result<Self, ArchiveError> {
        let end = file.metadata().map_err(ArchiveError::io("look at", path))?.len();
        let file = Arc::new(file);
        let whole = Part { file: Arc::clone(&file), at: 0, end };
        let members = members(whole).map_err(|error| {
            ArchiveError::malformed("the image", format!("{}: {error}", path.display()))
        })?;
        Ok(Self::Tar { path: path.to_owned(), file, members })
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        match self {
            Self::Directory { .. } => self.open_file(name).is_ok(),
            Self::Tar { members, .. } => members.contains_key(name),
        }
    }

    /// The bytes of a file, and how many they are.
    pub(crate) fn open_file(&self, name: &str) -> Result<(Part, u64), ArchiveError> {
        match self {
            Self::Directory { path, directory } => {
                let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
                let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
                let file = openat2(directory, name, flags, Mode::empty(), beneath)
                    .map_err(|errno| ArchiveError::io("open", path.join(name))(errno))?;
                let file = File::from(file);
                let status = file.metadata().map_err(ArchiveError::io("open", path.join(name)))?;
                if !status.is_file() {
                    let why = format!("{} is no file", path.join(name).display());
                    return Err(ArchiveError::malformed("the image", why));
                }
                let size = status.len();
                Ok((Part { file: Arc::new(file), at: 0, end: size }, size))
            }
            Self::Tar { path, file, members } => {
                let mut name = name;
                for _ in 0..LINKS {
                    match members.get(name) {
                        Some(Member::Link(target)) => name = target,
                        Some(Member::File { at, size }) => {
                            let end = at.saturating_add(*size);
                            return Ok((Part { file: Arc::clone(file), at: *at, end }, *size));
                        }
                        None => break,
                    }
                }
                let why = format!("{} has no file `{}`", path.display(), name.escape_debug());
                Err(ArchiveError::malformed("the image", why))
            }
        }
    }
}

/// Whether a file begins as one that gzip or zstd wrote.
pub(super) fn is_compressed(file: &File) -> io::Result<bool> {
    let mut magic = [0; 4];
    let length = file.read_at(&mut magic, 0)?;
    Ok(matches!(magic.get(..length), Some([0x1f, 0x8b, ..] | [0x28, 0xb5, 0x2f, 0xfd])))
}

/// The names of all entries of a tar file, passing over what is in them.
pub(super) fn names(
    file: File,
    end: u64,
    each: impl FnMut(&Path) -> ControlFlow<()>,
) -> io::Result<()> {
    let whole = Part { file: Arc::new(file), at: 0, end };
    names_of(tar::Archive::new(Seeking(whole)).entries_with_seek()?, each)
}

/// The names of all entries of a stream with a tar.
pub(super) fn names_in(
    stream: impl Read,
    each: impl FnMut(&Path) -> ControlFlow<()>,
) -> io::Result<()> {
    names_of(tar::Archive::new(stream).entries()?, each)
}

fn names_of<R: Read>(
    entries: tar::Entries<'_, R>,
    mut each: impl FnMut(&Path) -> ControlFlow<()>,
) -> io::Result<()> {
    for entry in entries {
        let entry = entry?;
        if each(Path::new(OsStr::from_bytes(&entry.path_bytes()))).is_break() {
            break;
        }
    }
    Ok(())
}

/// Where each member of a tar file lies.
fn members(file: Part) -> io::Result<BTreeMap<String, Member>> {
    let end = file.end;
    let mut members = BTreeMap::new();
    let mut archive = tar::Archive::new(Seeking(file));
    for (number, entry) in archive.entries_with_seek()?.enumerate() {
        if number >= ENTRIES {
            return Err(io::Error::other("it has too many entries"));
        }
        let entry = entry?;
        let path = entry.path_bytes();
        let Some(name) = normal(Path::new(""), &path) else { continue };
        let kind = entry.header().entry_type();
        let member = if kind.is_file() || kind.is_contiguous() {
            let (at, size) = (entry.raw_file_position(), entry.size());
            if at.checked_add(size).is_none_or(|last| last > end) {
                return Err(io::Error::other(format!("`{name}` ends beyond the end")));
            }
            Member::File { at, size }
        } else if kind.is_symlink() || kind.is_hard_link() {
            let target = entry.link_name_bytes().unwrap_or_default();
            let base = Path::new(&name).parent().filter(|_| kind.is_symlink());
            match normal(base.unwrap_or(Path::new("")), &target) {
                Some(target) => Member::Link(target),
                None => continue,
            }
        } else {
            continue;
        };
        // With two files of one name, two readers could see two images.
        if let Some(other) = members.insert(name.clone(), member.clone())
            && other != member
        {
            return Err(io::Error::other(format!("`{name}` is in it twice")));
        }
    }
    Ok(members)
}

/// `path` as seen from `base`, without `.` and `..`; `None` when it leaves the archive or is no
/// UTF-8.
fn normal(base: &Path, path: &[u8]) -> Option<String> {
    let path = base.join(OsStr::from_bytes(path));
    let path = ctrlz_core::path::RelPath::parse(path).ok()?;
    path.as_path().to_str().filter(|name| !name.is_empty()).map(str::to_owned)
}

/// A [`Part`] that passes over bytes without reading them.
struct Seeking(Part);

impl Read for Seeking {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl io::Seek for Seeking {
    fn seek(&mut self, to: io::SeekFrom) -> io::Result<u64> {
        let (from, by) = match to {
            io::SeekFrom::Start(at) => (at, 0),
            io::SeekFrom::Current(by) => (self.0.at, by),
            io::SeekFrom::End(by) => (self.0.end, by),
        };
        let at = from.checked_add_signed(by).filter(|at| *at <= self.0.end);
        self.0.at = at.ok_or_else(|| io::Error::other("an entry ends beyond the end"))?;
        Ok(self.0.at)
    }
}
