//! Whether a directory is what a listing says.

use std::io::BufRead;
use std::os::fd::OwnedFd;
use std::path::Path;

use ctrlz_core::path::RelPath;
use rustix::fs::{CWD, FileType, Mode, OFlags};

use super::line::{Line, Shown, write_line};
use super::merge::Lines;
use crate::descent::{Closed, Descent};
use crate::entry::{Entry, Kind};
use crate::error::ArchiveError;
use crate::layer::Links;
use crate::source::{Opener, Walk, read_at};

/// What a directory is compared for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scope {
    /// Owner and group. An ordinary user cannot restore those of others.
    pub owner: bool,
    /// Attributes that only root may set: `trusted.` and `security.`.
    pub privileged: bool,
}

impl Default for Scope {
    fn default() -> Self {
        Self { owner: true, privileged: true }
    }
}

/// One way in which a path is not what the listing says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Which path.
    pub path: RelPath,
    /// What the listing says, in its words: `mode=0644`; nothing for a path that should not be
    /// there.
    pub expected: Option<String>,
    /// What is there.
    pub found: Option<String>,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: ", self.path)?;
        match (&self.expected, &self.found) {
            (Some(expected), Some(found)) => write!(f, "{found}, expected {expected}"),
            (Some(expected), None) => write!(f, "nothing, expected {expected}"),
            (None, Some(found)) => write!(f, "{found}, expected nothing"),
            (None, None) => f.write_str("differs"),
        }
    }
}

/// The outcome of a comparison.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Compared {
    /// How many paths the listing has.
    pub paths: u64,
    /// Bytes of content that were read.
    pub bytes: u64,
    /// The first [`Compared::SHOWN`] differences, in the order of the paths.
    pub differences: Vec<Difference>,
    /// How many there are in all.
    pub total: u64,
}

impl Compared {
    /// How many differences are named.
    pub const SHOWN: usize = 1000;

    fn add(&mut self, path: &RelPath, expected: Option<&str>, found: Option<&str>) {
        self.total += 1;
        if self.differences.len() < Self::SHOWN {
            let (expected, found) = (expected.map(str::to_owned), found.map(str::to_owned));
            self.differences.push(Difference { path: path.clone(), expected, found });
        }
    }
}

/// Compares everything below `directory`, whiteouts being device nodes there, with the listing of
/// a tree.
///
/// # Errors
/// When the listing is damaged or something cannot be read.
pub fn compare(
    listing: impl BufRead,
    directory: &Path,
    scope: Scope,
) -> Result<Compared, ArchiveError> {
    let mut lines = Lines::new(listing)?;
    let mut tree = Tree::open(directory)?;
    let mut compared = Compared::default();
    let (mut expected, mut found) = (lines.next_line()?, tree.next_line()?);
    loop {
        let order = match (&expected, &found) {
            (None, None) => break,
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(expected), Some(found)) => expected.path.cmp(&found.path),
        };
        match order {
            std::cmp::Ordering::Less => {
                if let Some(line) = &expected {
                    compared.add(&line.path, Some(&line.word), None);
                }
            }
            std::cmp::Ordering::Greater => {
                if let Some(line) = &found {
                    compared.add(&line.path, None, Some(&line.word));
                }
            }
            std::cmp::Ordering::Equal => {
                if let (Some(expected), Some(found)) = (&expected, &found) {
                    fields(expected, found, scope, &mut compared);
                }
            }
        }
        if order.is_le() {
            compared.paths += 1;
            expected = lines.next_line()?;
        }
        if order.is_ge() {
            found = tree.next_line()?;
        }
    }
    compared.bytes = tree.bytes;
    Ok(compared)
}

/// Adds what differs between two lines of one path.
fn fields(expected: &Line, found: &Line, scope: Scope, compared: &mut Compared) {
    let path = &expected.path;
    if expected.word != found.word {
        compared.add(path, Some(&expected.word), Some(&found.word));
        return;
    }
    if expected.first != found.first {
        let name = |line: &Line| {
            line.first.as_ref().map_or_else(
                || "a file of its own".to_owned(),
                |first| format!("a name of {first}"),
            )
        };
        compared.add(path, Some(&name(expected)), Some(&name(found)));
    }
    let key = |field: &str| field.rsplit_once('=').map_or(field, |(key, _)| key).to_owned();
    let asked = |field: &&String| {
        let owner = field.starts_with("uid=") || field.starts_with("gid=");
        let privileged = field.starts_with("x.trusted.") || field.starts_with("x.security.");
        (scope.owner || !owner) && (scope.privileged || !privileged)
    };
    for field in expected.fields.iter().filter(asked) {
        if !found.fields.contains(field) {
            let other = found.fields.iter().find(|other| key(other) == key(field));
            compared.add(path, Some(field), other.map(String::as_str));
        }
    }
    for field in found.fields.iter().filter(asked) {
        if !expected.fields.iter().any(|other| key(other) == key(field)) {
            compared.add(path, None, Some(field));
        }
    }
}

/// The lines that a directory would have.
struct Tree<'a> {
    directory: &'a Path,
    walk: Walk,
    opener: Opener,
    links: Links,
    started: bool,
    buffer: Vec<u8>,
    bytes: u64,
}

impl<'a> Tree<'a> {
    fn open(directory: &'a Path) -> Result<Self, ArchiveError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let top = rustix::fs::openat(CWD, directory, flags, Mode::empty())
            .map_err(ArchiveError::io("open", directory))?;
        // What an ordinary user restored may be closed to its owner by its own mode.
        let closed = match rustix::process::geteuid().is_root() {
            true => Closed::Refuse,
            false => Closed::Unseal,
        };
        Ok(Self {
            directory,
            walk: Walk::new(top, closed, Vec::new(), false),
            opener: Opener::new(closed),
            links: Links::default(),
            started: false,
            buffer: vec![0; 1 << 18],
            bytes: 0,
        })
    }

    fn next_line(&mut self) -> Result<Option<Line>, ArchiveError> {
        if !self.started {
            self.started = true;
            let node = self.opener.here(self.walk.descent());
            let node = node.map_err(ArchiveError::io("read", self.directory))?;
            return self.line(RelPath::root(), node).map(Some);
        }
        loop {
            let step = self.walk.step();
            let path = self.walk.path();
            let failed = |errno| ArchiveError::io("read", path.below(self.directory))(errno);
            let file_type = match step.map_err(failed)? {
                None => return Ok(None),
                Some(crate::source::Step::Entry(file_type)) => file_type,
                Some(crate::source::Step::Devices) => continue,
            };
            let node = open(&mut self.opener, self.walk.descent(), self.walk.name(), file_type);
            let failed = |errno| ArchiveError::io("read", path.below(self.directory))(errno);
            match node.map_err(failed)? {
                Some(node) => return self.line(path, node).map(Some),
                None => continue,
            }
        }
    }

    fn line(&mut self, path: RelPath, mut node: crate::source::Node) -> Result<Line, ArchiveError> {
        let further = self.links.further(&node);
        let blake3 = match (&further, &node.open, &node.kind) {
            (Some(further), ..) => further.blake3,
            (None, Some(open), Some(Kind::File { .. })) => Some(self.hash(open, &path)?),
            _ => None,
        };
        if further.is_none() && node.kind != Some(Kind::Directory) {
            self.links.add(&node, &path, blake3);
        }
        let metadata = node.metadata();
        let mut text = String::new();
        let kind = node.kind.take();
        let socket = kind.is_none();
        let entry = Entry { path, kind: kind.unwrap_or(Kind::Fifo), metadata };
        let first = further.as_ref().map(|further| &further.path);
        write_line(&entry, Shown { blake3, first, ..Shown::default() }, &mut text);
        let mut line = Line::parse(text.trim_end_matches('\n')).ok_or_else(|| {
            let why = "a line of our own is none".to_owned();
            ArchiveError::Malformed { what: "a listing", why }
        })?;
        if socket {
            line.word = "socket".to_owned();
        }
        Ok(line)
    }

    fn hash(&mut self, open: &OwnedFd, path: &RelPath) -> Result<blake3::Hash, ArchiveError> {
        let mut hasher = blake3::Hasher::new();
        let mut at = 0;
        loop {
            let most = self.buffer.len();
            let length = read_at(open, &mut self.buffer, at, most)
                .map_err(ArchiveError::io("read", path.below(self.directory)))?;
            hasher.update(self.buffer.get(..length).unwrap_or_default());
            at += length as u64;
            self.bytes += length as u64;
            if length < most {
                return Ok(hasher.finalize());
            }
        }
    }
}

fn open(
    opener: &mut Opener,
    at: &Descent,
    name: &[u8],
    file_type: FileType,
) -> Result<Option<crate::source::Node>, rustix::io::Errno> {
    opener.open(at, name, file_type).map(Result::ok)
}
