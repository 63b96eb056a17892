//! From inodes to a tar archive and its listing.

use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

use ctrlz_core::archive::{Dialect, Stratum};
use ctrlz_core::path::RelPath;
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

use super::chunks::Chunks;
use super::links::Links;
use super::options::{Changing, Counts, LayerOptions, Unreadable};
use super::pipeline::stratum_closed;
use crate::descent::{Closed, Descent};
use crate::entry::{Entry, Kind, Metadata, Segment};
use crate::error::ArchiveError;
use crate::listing::{HEAD, Shown, write_line};
use crate::loss::{Losses, Lost};
use crate::source::{Node, Opener, SMALL, TICK, Walk, is_settled, read_at, segments, version};
use crate::tar::{WHITEOUT, Writer};

/// How often a small file that changes is read again.
const TRIES: u32 = 6;

/// How a walk goes on behind an entry.
#[derive(Debug)]
pub(crate) enum Then {
    /// In the order of the paths.
    GoOn,
    /// The same; the entry was a directory and is open.
    Offer(OwnedFd),
    /// What is in it is passed over.
    StayOut,
}

/// See the module.
pub(crate) struct Pack<'a> {
    stratum: &'a Stratum,
    options: &'a LayerOptions,
    tar: Writer<Chunks>,
    listing: &'a mut dyn Write,
    line: String,
    lines: Vec<u8>,
    opener: Opener,
    closed: Closed,
    links: Links,
    small: Vec<u8>,
    counts: Counts,
    losses: Losses,
    /// For each directory that may hold whiteouts in the form of files: its path. Inner ones last.
    whiteout_files: Vec<RelPath>,
}

impl<'a> Pack<'a> {
    pub(super) fn new(
        stratum: &'a Stratum,
        options: &'a LayerOptions,
        chunks: Chunks,
        listing: &'a mut dyn Write,
    ) -> Result<Self, ArchiveError> {
        let closed = stratum_closed(stratum);
        Ok(Self {
            stratum,
            options,
            tar: Writer::new(chunks),
            listing,
            line: String::new(),
            lines: HEAD.to_vec(),
            opener: Opener::new(closed),
            closed,
            links: Links::default(),
            small: vec![0; usize::try_from(SMALL).unwrap_or(0) + 1],
            counts: Counts::default(),
            losses: Losses::default(),
            whiteout_files: Vec::new(),
        })
    }

    fn is_live(&self) -> bool {
        self.stratum.id.is_none()
    }

    fn is_overlay(&self) -> bool {
        self.stratum.dialect == Dialect::Overlay
    }

    fn disk(&self, path: &RelPath) -> PathBuf {
        path.below(&self.stratum.directory)
    }

    /// The directory of the part itself, where `at` stands.
    pub(crate) fn root(&mut self, at: &Descent) -> Result<(), ArchiveError> {
        let path = RelPath::root();
        let node =
            self.opener.here(at).map_err(ArchiveError::io("read", &self.stratum.directory))?;
        if self.stratum.root || node.notes.opaque {
            self.directory(node, path).map(drop)
        } else {
            self.note_whiteout_files(&node, &path);
            Ok(())
        }
    }

    /// What has the name `name` where `at` stands; answers how a walk goes on.
    pub(crate) fn entry(
        &mut self,
        at: &Descent,
        path: RelPath,
        name: &[u8],
        file_type: FileType,
    ) -> Result<Then, ArchiveError> {
        let mut node = match self.opener.open(at, name, file_type) {
            Ok(Ok(node)) => node,
            // It went between being listed and being opened, as if a moment earlier.
            Ok(Err(_)) if self.is_live() => return Ok(Then::GoOn),
            Ok(Err(_)) => return Err(ArchiveError::io("read", self.disk(&path))(Errno::NOENT)),
            Err(Errno::ACCESS) if self.may_skip() => {
                self.losses.add(&path, Lost::Unreadable);
                return Ok(Then::StayOut);
            }
            Err(errno) => return Err(ArchiveError::io("read", self.disk(&path))(errno)),
        };
        if self.is_overlay() {
            if node.is_whiteout(self.holds_whiteout_files(&path)) {
                self.whiteout_line(&path)?;
                // A device was told by the archive when its directory began.
                if matches!(node.kind, Some(Kind::File { .. })) {
                    self.whiteout(&path)?;
                }
                return Ok(Then::GoOn);
            }
            if node.notes.elsewhere {
                let why = "overlayfs keeps what it shows somewhere else (redirect or metacopy)";
                let (path, why) = (self.disk(&path), why.to_owned());
                return Err(ArchiveError::Refused { path, why });
            }
        }
        self.tell_notes(&node, &path);
        if name.starts_with(WHITEOUT) {
            self.losses.add(&path, Lost::Name);
            return Ok(Then::StayOut);
        }
        match &node.kind {
            None => {
                self.losses.add(&path, Lost::Socket);
                Ok(Then::GoOn)
            }
            Some(Kind::Directory) => self.directory(node, path),
            Some(_) => {
                if let Some(first) = self.links.further(&node) {
                    self.further_name(&mut node, path, &first)?;
                } else if matches!(node.kind, Some(Kind::File { .. })) {
                    self.file(node, path)?;
                } else {
                    self.special(node, path)?;
                }
                Ok(Then::GoOn)
            }
        }
    }

    fn may_skip(&self) -> bool {
        self.is_live() && self.options.unreadable == Unreadable::Skip
    }

    /// Notes of another overlay, which are not kept.
    fn tell_notes(&mut self, node: &Node, path: &RelPath) {
        let notes = node.notes;
        let foreign = notes.nested
            || !self.is_overlay()
                && (notes.opaque || notes.whiteouts || notes.whiteout || notes.elsewhere);
        if foreign {
            let name = "overlay".to_owned();
            self.losses.add(path, Lost::Attribute { name });
        }
    }

    fn note_whiteout_files(&mut self, node: &Node, path: &RelPath) {
        self.whiteout_files.retain(|outer| path.is_within(outer));
        if self.is_overlay() && node.notes.whiteouts {
            self.whiteout_files.push(path.clone());
        }
    }

    fn holds_whiteout_files(&self, path: &RelPath) -> bool {
        self.whiteout_files.iter().any(|directory| path.is_child_of(directory))
    }

    fn directory(&mut self, mut node: Node, path: RelPath) -> Result<Then, ArchiveError> {
        self.note_whiteout_files(&node, &path);
        let opaque = self.is_overlay() && node.notes.opaque;
        let entry = Entry { path, kind: Kind::Directory, metadata: node.metadata() };
        self.start(&entry)?;
        self.list(&entry, Shown { opaque, ..Shown::default() })?;
        if opaque {
            let mark = Entry { kind: Kind::Opaque, metadata: Metadata::default(), ..entry };
            self.start(&mark)?;
        }
        // What is closed has to stay open while it is walked through, which the walk sees to.
        let open = node.open.filter(|_| self.closed == Closed::Refuse);
        Ok(open.map_or(Then::GoOn, Then::Offer))
    }

    /// All whiteouts of a directory, before what is in it.
    pub(crate) fn whiteouts(&mut self, walk: &mut Walk) -> Result<(), ArchiveError> {
        let directory = walk.path();
        for name in walk.devices() {
            let stat = rustix::fs::statat(
                walk.descent().here(),
                name.as_slice(),
                rustix::fs::AtFlags::SYMLINK_NOFOLLOW,
            );
            let path = directory.child(std::os::unix::ffi::OsStrExt::from_bytes(name.as_slice()));
            let stat = stat.map_err(ArchiveError::io("read", self.disk(&path)))?;
            let device = FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice;
            if device && stat.st_rdev == 0 {
                self.whiteout(&path)?;
            }
        }
        Ok(())
    }

    /// The entry of a whiteout in the archive.
    pub(crate) fn whiteout(&mut self, path: &RelPath) -> Result<(), ArchiveError> {
        self.start(&gone(path))
    }

    /// The line of a whiteout in the listing, where other lines' order wants it.
    pub(crate) fn whiteout_line(&mut self, path: &RelPath) -> Result<(), ArchiveError> {
        self.list(&gone(path), Shown::default())
    }

    fn further_name(
        &mut self,
        node: &mut Node,
        path: RelPath,
        first: &super::links::First,
    ) -> Result<(), ArchiveError> {
        let kind = Kind::HardLink { target: first.path.clone() };
        let mut entry = Entry { path, kind, metadata: node.metadata() };
        self.start(&entry)?;
        if let Some(kind) = node.kind.take() {
            entry.kind = kind;
        }
        let shown = Shown { blake3: first.blake3, first: Some(&first.path), ..Shown::default() };
        self.list(&entry, shown)
    }

    fn special(&mut self, mut node: Node, path: RelPath) -> Result<(), ArchiveError> {
        self.links.add(&node, &path, None);
        let names = node.version.nlink > 1;
        let metadata = node.metadata();
        let Some(kind) = node.kind else { return Ok(()) };
        let entry = Entry { path, kind, metadata };
        self.start(&entry)?;
        self.list(&entry, Shown { names, ..Shown::default() })
    }

    fn file(&mut self, mut node: Node, path: RelPath) -> Result<(), ArchiveError> {
        let Some(open) = node.open.take() else { return Ok(()) };
        let held = self.is_live() && self.options.held.contains(&path);
        let open = if held {
            self.hold(&open, &mut node, &path)?
        } else {
            self.settle(&open, &mut node, &path)?;
            open
        };
        let failed = |pack: &Self, errno: Errno| ArchiveError::io("read", pack.disk(&path))(errno);
        let holes = segments(open.as_fd(), node.version.size, node.blocks)
            .map_err(|errno| failed(self, errno))?;
        let small = node.version.size <= SMALL && holes.is_none();
        let blake3 = if small {
            self.small_file(&open, &mut node, &path, held)?
        } else {
            let kind = Kind::File { size: node.version.size, segments: holes };
            let entry = Entry { path: path.clone(), kind, metadata: node.metadata() };
            self.start(&entry)?;
            let settled = is_settled(&node.version);
            let blake3 = self.stream(&open, &entry).map_err(|error| self.at(&path, error))?;
            if self.is_live() && !held {
                let after = version(&open).map_err(|errno| failed(self, errno))?;
                if !settled || !after.same_content(&node.version) {
                    self.changed(&path)?;
                }
            }
            let names = node.version.nlink > 1;
            self.list(&entry, Shown { blake3: Some(blake3), names, ..Shown::default() })?;
            blake3
        };
        self.links.add(&node, &path, Some(blake3));
        Ok(())
    }

    /// Waits until a file was last changed so long ago that another change would show. One that
    /// goes on changing shows that by itself.
    fn settle(
        &mut self,
        open: &OwnedFd,
        node: &mut Node,
        path: &RelPath,
    ) -> Result<(), ArchiveError> {
        if self.is_live() && !is_settled(&node.version) {
            std::thread::sleep(Duration::from_nanos(u64::from(TICK)));
            node.version = version(open).map_err(ArchiveError::io("read", self.disk(path)))?;
        }
        Ok(())
    }

    /// A file that is read before anything is written of it, so that it can be read again.
    fn small_file(
        &mut self,
        open: &OwnedFd,
        node: &mut Node,
        path: &RelPath,
        held: bool,
    ) -> Result<blake3::Hash, ArchiveError> {
        let mut tries = 0;
        let length = loop {
            let size = usize::try_from(node.version.size).unwrap_or(usize::MAX);
            let settled = !self.is_live() || is_settled(&node.version);
            let read = read_at(open, &mut self.small, 0, size)
                .map_err(ArchiveError::io("read", self.disk(path)))?;
            if !self.is_live() || held {
                if read == size {
                    break read;
                }
                return Err(ArchiveError::Changing { path: path.clone() });
            }
            let after = version(open).map_err(ArchiveError::io("read", self.disk(path)))?;
            if read == size && settled && after.same_content(&node.version) {
                break read;
            }
            tries += 1;
            if tries == TRIES || after.size > SMALL {
                self.changed(path)?;
                node.version = after;
                break read.min(self.small.len().saturating_sub(1));
            }
            node.version = after;
            std::thread::sleep(Duration::from_millis(10 << tries));
        };
        let names = node.version.nlink > 1;
        let kind = Kind::file(length as u64);
        let entry = Entry { path: path.clone(), kind, metadata: node.metadata() };
        self.start(&entry)?;
        let bytes = self.small.get(..length).unwrap_or_default();
        let blake3 = blake3::hash(bytes);
        self.tar.content(bytes).map_err(|error| ArchiveError::stream("write", error))?;
        self.counts.bytes += length as u64;
        self.list(&entry, Shown { blake3: Some(blake3), names, ..Shown::default() })?;
        Ok(blake3)
    }

    /// Passes on the data of `entry`, which was started, and answers the digest of its content.
    fn stream(&mut self, open: &OwnedFd, entry: &Entry) -> Result<blake3::Hash, Failed> {
        let Kind::File { size, segments } = &entry.kind else { return Ok(blake3::hash(b"")) };
        let whole = [Segment { offset: 0, length: *size }];
        let segments = segments.as_deref().unwrap_or(&whole);
        let mut hasher = blake3::Hasher::new();
        let mut at = 0;
        for segment in segments {
            zeros(&mut hasher, segment.offset - at);
            at = segment.offset;
            let end = segment.offset + segment.length;
            while at < end {
                let length = self.tar.content_by::<Failed>(|chunks| {
                    chunks.fill(end - at, |room| {
                        let done = read_at(open, room, at, room.len()).map_err(Failed::Read)?;
                        // A file that was cut meanwhile is filled up, since its size is written
                        // already.
                        room.get_mut(done..).unwrap_or_default().fill(0);
                        hasher.update(room);
                        Ok(room.len())
                    })
                })?;
                at += length as u64;
                self.counts.bytes += length as u64;
            }
        }
        zeros(&mut hasher, size - at);
        Ok(hasher.finalize())
    }

    fn at(&self, path: &RelPath, error: Failed) -> ArchiveError {
        match error {
            Failed::Read(errno) => ArchiveError::io("read", self.disk(path))(errno),
            Failed::Write(error) => ArchiveError::stream("write", error),
        }
    }

    fn changed(&mut self, path: &RelPath) -> Result<(), ArchiveError> {
        match self.options.changing {
            Changing::Refuse => Err(ArchiveError::Changing { path: path.clone() }),
            Changing::Take => {
                self.losses.add(path, Lost::Changed);
                Ok(())
            }
        }
    }

    /// A copy of a file without a name, all of one moment where the file system can share blocks;
    /// else read until it held still, or as it is after some tries.
    fn hold(
        &mut self,
        open: &OwnedFd,
        node: &mut Node,
        path: &RelPath,
    ) -> Result<OwnedFd, ArchiveError> {
        let scratch = self.options.scratch.clone().unwrap_or_else(std::env::temp_dir);
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let copy = rustix::fs::open(&scratch, flags, Mode::RUSR | Mode::WUSR)
            .map_err(ArchiveError::io("create a file in", &scratch))?;
        let failed = |pack: &Self, errno: Errno| ArchiveError::io("copy", pack.disk(path))(errno);
        for try_again in (0..TRIES).rev() {
            self.settle(open, node, path)?;
            let before = version(open).map_err(|errno| failed(self, errno))?;
            rustix::fs::ftruncate(&copy, 0).map_err(|errno| failed(self, errno))?;
            let settled = is_settled(&before);
            let cloned = rustix::fs::ioctl_ficlone(&copy, open).is_ok();
            if !cloned {
                self.copy(open, &copy).map_err(|errno| failed(self, errno))?;
            }
            let after = version(open).map_err(|errno| failed(self, errno))?;
            let whole = cloned || settled && before.same_content(&after);
            if whole || try_again == 0 {
                if !whole {
                    self.changed(path)?;
                }
                let stat = rustix::fs::fstat(&copy).map_err(|errno| failed(self, errno))?;
                node.version.mtime = after.mtime;
                node.version.size = u64::try_from(stat.st_size).unwrap_or(0);
                node.blocks = u64::try_from(stat.st_blocks).unwrap_or(0);
                break;
            }
        }
        Ok(copy)
    }

    fn copy(&mut self, from: &OwnedFd, to: &OwnedFd) -> Result<(), Errno> {
        let stat = rustix::fs::fstat(from)?;
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        let blocks = u64::try_from(stat.st_blocks).unwrap_or(0);
        let whole = vec![Segment { offset: 0, length: size }];
        for segment in segments(from.as_fd(), size, blocks)?.unwrap_or(whole) {
            let (mut at, end) = (segment.offset, segment.offset + segment.length);
            while at < end {
                let most = usize::try_from(end - at).unwrap_or(usize::MAX).min(self.small.len());
                let room = self.small.get_mut(..most).unwrap_or_default();
                let length = read_at(from, room, at, most)?;
                if length == 0 {
                    break;
                }
                let mut rest = room.get(..length).unwrap_or_default();
                while !rest.is_empty() {
                    let done = rustix::io::pwrite(to, rest, at)?;
                    at += done as u64;
                    rest = rest.get(done..).unwrap_or_default();
                }
            }
        }
        rustix::fs::ftruncate(to, size)
    }

    fn start(&mut self, entry: &Entry) -> Result<(), ArchiveError> {
        self.counts.count(&entry.kind);
        self.tar.start(entry).map_err(|error| ArchiveError::stream("write", error))
    }

    fn list(&mut self, entry: &Entry, shown: Shown<'_>) -> Result<(), ArchiveError> {
        self.line.clear();
        write_line(entry, shown, &mut self.line);
        self.lines.extend_from_slice(self.line.as_bytes());
        if self.lines.len() > 1 << 16 { self.flush_lines() } else { Ok(()) }
    }

    fn flush_lines(&mut self) -> Result<(), ArchiveError> {
        let written = self.listing.write_all(&self.lines);
        self.lines.clear();
        written.map_err(|error| ArchiveError::stream("write", error))
    }

    /// Ends the archive: what was in it, what could not be, and its size.
    pub(super) fn finish(mut self) -> Result<(Counts, Losses, u64), ArchiveError> {
        self.flush_lines()?;
        let failed = |error| ArchiveError::stream("write", error);
        self.listing.flush().map_err(failed)?;
        let chunks = self.tar.finish().map_err(failed)?;
        let size = chunks.finish().map_err(failed)?;
        Ok((self.counts, self.losses, size))
    }
}

/// Why a file's data could not be passed on.
enum Failed {
    Read(Errno),
    Write(std::io::Error),
}

impl From<std::io::Error> for Failed {
    fn from(error: std::io::Error) -> Self {
        Self::Write(error)
    }
}

fn gone(path: &RelPath) -> Entry {
    Entry { path: path.clone(), kind: Kind::Whiteout, metadata: Metadata::default() }
}

/// Hashes a hole.
fn zeros(hasher: &mut blake3::Hasher, mut length: u64) {
    static ZEROS: [u8; 1 << 16] = [0; 1 << 16];
    while length > 0 {
        let most = usize::try_from(length).unwrap_or(usize::MAX).min(ZEROS.len());
        hasher.update(ZEROS.get(..most).unwrap_or_default());
        length -= most as u64;
    }
}
