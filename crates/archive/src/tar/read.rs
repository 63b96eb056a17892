//! The reader. Whatever two programs could understand in two ways is refused.

use std::ffi::OsStr;
use std::io::{BufRead, ErrorKind};
use std::os::unix::ffi::OsStrExt;

use ctrlz_core::path::RelPath;

use super::header::{BLOCK, Block, Header, old_sparse_map, padding};
use super::limits::Limits;
use super::pax::Records;
use super::segments::{self, Decimals};
use crate::entry::{Entry, FileTime, Kind, Metadata, Segment};
use crate::error::ArchiveError;

/// How many zeros may follow the end: tapes have records of some blocks.
const RECORD: u64 = 1 << 20;

/// An entry, and what the archive says of it beyond that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The entry. Whiteouts are files with their names here; see [`Entry::in_layer`].
    pub entry: Entry,
    /// Keywords whose meaning is not kept.
    pub words: Vec<String>,
}

/// Reads the entries of an archive one after the other.
#[derive(Debug)]
pub struct Reader<R> {
    input: R,
    limits: Limits,
    /// How many bytes were read, for messages.
    at: u64,
    entries: u64,
    /// What is left of the entry's data, and the padding after it.
    data: u64,
    padding: u64,
    ended: bool,
}

/// What comes before an entry and belongs to it.
#[derive(Default)]
struct Before {
    pax: Option<Records>,
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
}

impl<R: BufRead> Reader<R> {
    /// Reads from `input`, which is not compressed.
    pub fn new(input: R, limits: Limits) -> Self {
        Self { input, limits, at: 0, entries: 0, data: 0, padding: 0, ended: false }
    }

    /// The next entry; `None` at the end. Data of the entry before that was not read is skipped.
    ///
    /// # Errors
    /// [`ArchiveError::Malformed`] and [`ArchiveError::Refused`], or what the stream says.
    pub fn next_entry(&mut self) -> Result<Option<Item>, ArchiveError> {
        self.skip_data()?;
        let mut before = Before::default();
        while !self.ended {
            let block = self.block()?;
            if block.iter().all(|byte| *byte == 0) {
                if before.pax.is_some() || before.path.is_some() || before.link.is_some() {
                    return Err(self.malformed("it ends where an entry should be"));
                }
                self.end()?;
                break;
            }
            let header = Header::parse(&block).map_err(|why| self.malformed(&why))?;
            let size = header.size().map_err(|why| self.malformed(&why))?;
            match header.kind() {
                b'x' => {
                    let text = self.text(size)?;
                    if before.pax.is_some() {
                        return Err(self.malformed("two extended headers for one entry"));
                    }
                    let mut records = Records::default();
                    records
                        .parse(&text, self.limits.segments)
                        .map_err(|why| self.malformed(&why))?;
                    before.pax = Some(records);
                }
                b'g' => self.global(size)?,
                kind @ (b'L' | b'K') => {
                    let mut text = self.text(size)?;
                    if text.last() == Some(&0) {
                        text.pop();
                    }
                    let name = if kind == b'L' { &mut before.path } else { &mut before.link };
                    if text.contains(&0) || name.replace(text).is_some() {
                        return Err(self.malformed("a long name is not as GNU tar writes it"));
                    }
                }
                _ => return self.entry(&header, size, before).map(Some),
            }
        }
        Ok(None)
    }

    /// Some of the entry's data, as it lies there: a sparse file's segments one after the other.
    /// Empty at its end. [`Self::consume`] goes on.
    ///
    /// # Errors
    /// When the archive ends too early, or what the stream says.
    pub fn content(&mut self) -> Result<&[u8], ArchiveError> {
        if self.data == 0 {
            return Ok(&[]);
        }
        let (data, at) = (self.data, self.at);
        let bytes = fill(&mut self.input)?;
        if bytes.is_empty() {
            return Err(truncated(at));
        }
        let length = usize::try_from(data).unwrap_or(usize::MAX).min(bytes.len());
        Ok(bytes.get(..length).unwrap_or_default())
    }

    /// Goes on behind `length` bytes of what [`Self::content`] gave.
    pub fn consume(&mut self, length: usize) {
        self.input.consume(length);
        self.at += length as u64;
        self.data = self.data.saturating_sub(length as u64);
    }

    /// How much of the entry's data is left.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.data
    }

    fn skip_data(&mut self) -> Result<(), ArchiveError> {
        self.data = self.data.saturating_add(std::mem::take(&mut self.padding));
        while self.data > 0 {
            let length = self.content()?.len();
            self.consume(length);
        }
        Ok(())
    }

    fn block(&mut self) -> Result<Block, ArchiveError> {
        let mut block = [0; BLOCK];
        self.exactly(&mut block)?;
        Ok(block)
    }

    fn exactly(&mut self, to: &mut [u8]) -> Result<(), ArchiveError> {
        let mut rest = to;
        while !rest.is_empty() {
            let at = self.at;
            let bytes = fill(&mut self.input)?;
            if bytes.is_empty() {
                return Err(truncated(at));
            }
            let length = bytes.len().min(rest.len());
            let (now, after) = rest.split_at_mut(length);
            now.copy_from_slice(bytes.get(..length).unwrap_or_default());
            self.input.consume(length);
            self.at += length as u64;
            rest = after;
        }
        Ok(())
    }

    /// The content of a header that belongs to the next entry.
    fn text(&mut self, size: u64) -> Result<Vec<u8>, ArchiveError> {
        let most = self.limits.header;
        let length =
            usize::try_from(size).ok().filter(|length| *length <= most).ok_or_else(|| {
                self.malformed(&format!("an extended header of {size} bytes is longer than {most}"))
            })?;
        let mut text = vec![0; length + padding(size)];
        self.exactly(&mut text)?;
        text.truncate(length);
        Ok(text)
    }

    /// A header for all entries that follow. `git archive` writes one, with a comment.
    fn global(&mut self, size: u64) -> Result<(), ArchiveError> {
        let text = self.text(size)?;
        let mut records = Records::default();
        records.parse(&text, self.limits.segments).map_err(|why| self.malformed(&why))?;
        let Records { path, link, size, uid, gid, mtime, attributes, sparse, words } = &records;
        let harmless = path.is_none()
            && link.is_none()
            && size.is_none()
            && (uid.is_none() && gid.is_none() && mtime.is_none())
            && (attributes.is_empty() && words.is_empty())
            && (sparse.name.is_none() && sparse.size.is_none() && !sparse.early);
        if harmless { Ok(()) } else { Err(self.malformed("it has settings for all entries")) }
    }

    fn end(&mut self) -> Result<(), ArchiveError> {
        if self.block()?.iter().any(|byte| *byte != 0) {
            return Err(self.malformed("an empty block is followed by another one"));
        }
        let mut zeros = 0_u64;
        loop {
            let bytes = fill(&mut self.input)?;
            let length = bytes.len();
            if length == 0 {
                self.ended = true;
                return Ok(());
            }
            zeros += length as u64;
            if bytes.iter().any(|byte| *byte != 0) || zeros > RECORD {
                return Err(self.malformed("something follows its end"));
            }
            self.input.consume(length);
            self.at += length as u64;
        }
    }

    fn entry(
        &mut self,
        header: &Header<'_>,
        size: u64,
        before: Before,
    ) -> Result<Item, ArchiveError> {
        self.entries += 1;
        if self.entries > self.limits.entries {
            return Err(self.malformed(&format!("more than {} entries", self.limits.entries)));
        }
        let pax = before.pax.unwrap_or_default();
        let named = pax.sparse.name.as_ref().or(pax.path.as_ref()).or(before.path.as_ref());
        let raw = named.cloned().unwrap_or_else(|| header.path());
        let refused = |why: String| ArchiveError::Refused { path: shown(&raw), why };
        let size = pax.size.unwrap_or(size);
        let mut data = size;
        let kind = match header.kind() {
            b'0' | 0 | b'7' if raw.ends_with(b"/") => Kind::Directory,
            b'0' | 0 | b'7' | b'S' => self.file(header, &pax, size, &mut data, &refused)?,
            b'1' | b'2' => {
                let long = pax.link.or(before.link);
                let target = long.unwrap_or_else(|| header.link().to_vec());
                if target.is_empty() || target.len() > self.limits.path {
                    return Err(refused("it is a link without a sensible target".to_owned()));
                }
                match header.kind() {
                    b'2' => Kind::Symlink { target },
                    _ => {
                        let target = place(&target, self.limits.path)
                            .map_err(|why| refused(format!("the file that it links to {why}")))?;
                        if target.is_root() {
                            return Err(refused("it links to the tree itself".to_owned()));
                        }
                        Kind::HardLink { target }
                    }
                }
            }
            kind @ (b'3' | b'4') => {
                let (major, minor) = header.device().map_err(&refused)?;
                match kind {
                    b'3' => Kind::CharDevice { major, minor },
                    _ => Kind::BlockDevice { major, minor },
                }
            }
            b'5' => Kind::Directory,
            b'6' => Kind::Fifo,
            other => {
                let why = format!("it is of the unknown type {:?}", char::from(other));
                return Err(refused(why));
            }
        };
        if !matches!(kind, Kind::File { .. }) && size != 0 {
            return Err(refused("it has content, which its type cannot have".to_owned()));
        }
        let path =
            place(&raw, self.limits.path).map_err(|why| refused(format!("its name {why}")))?;
        if path.is_root() && kind != Kind::Directory {
            return Err(refused("it would replace the tree itself".to_owned()));
        }
        let metadata = Metadata {
            mode: header.mode().map_err(&refused)?,
            uid: pax.uid.map_or_else(|| header.uid(), Ok).map_err(&refused)?,
            gid: pax.gid.map_or_else(|| header.gid(), Ok).map_err(&refused)?,
            mtime: match pax.mtime {
                Some(mtime) => mtime,
                None => FileTime { seconds: header.mtime().map_err(&refused)?, nanoseconds: 0 },
            },
            attributes: pax.attributes,
        };
        self.data = data;
        self.padding = padding(size) as u64;
        Ok(Item { entry: Entry { path, kind, metadata }, words: pax.words })
    }

    /// A regular file. `data` becomes what is left of `size` behind a sparse file's map.
    fn file(
        &mut self,
        header: &Header<'_>,
        pax: &Records,
        size: u64,
        data: &mut u64,
        refused: &impl Fn(String) -> ArchiveError,
    ) -> Result<Kind, ArchiveError> {
        let sparse = &pax.sparse;
        let (pairs, whole) = match (sparse.major, sparse.minor) {
            (Some(1), Some(0)) => {
                let whole = sparse.size.ok_or_else(|| refused("its size is missing".to_owned()))?;
                (self.map_before_data(data, refused)?, whole)
            }
            (None | Some(0), _) if sparse.early => {
                let whole = sparse.size.ok_or_else(|| refused("its size is missing".to_owned()))?;
                if sparse.map.len() % 2 == 1 {
                    return Err(refused("its map of holes is incomplete".to_owned()));
                }
                let pairs = sparse.map.chunks_exact(2);
                let pair = |pair: &[u64]| match pair {
                    [offset, length] => Some((*offset, *length)),
                    _ => None,
                };
                (pairs.filter_map(pair).collect(), whole)
            }
            (None, None) if header.kind() == b'S' => {
                let ((mut pairs, mut more), whole) = header.old_sparse().map_err(refused)?;
                while more {
                    let block = self.block()?;
                    let (further, again) = old_sparse_map(&block, 0, 21).map_err(refused)?;
                    pairs.extend(further);
                    more = again;
                    if pairs.len() > self.limits.segments {
                        return Err(refused("it has too many holes".to_owned()));
                    }
                }
                (pairs, whole)
            }
            (None, None) => return Ok(Kind::file(size)),
            _ => return Err(refused("its holes are told in an unknown way".to_owned())),
        };
        let pairs = pairs.into_iter().map(|(offset, length)| Segment { offset, length });
        let segments = segments::check(pairs, whole, *data).map_err(refused)?;
        Ok(Kind::File { size: whole, segments: Some(segments) })
    }

    /// The map of form 1.0: decimal numbers, a line each, padded to whole blocks.
    fn map_before_data(
        &mut self,
        data: &mut u64,
        refused: &impl Fn(String) -> ArchiveError,
    ) -> Result<Vec<(u64, u64)>, ArchiveError> {
        let mut numbers = Decimals::new(self.limits.segments);
        while !numbers.complete() {
            *data = data
                .checked_sub(BLOCK as u64)
                .ok_or_else(|| refused("its map of holes is incomplete".to_owned()))?;
            let block = self.block()?;
            numbers.take(&block).map_err(refused)?;
        }
        Ok(numbers.pairs())
    }

    fn malformed(&self, why: &str) -> ArchiveError {
        ArchiveError::Malformed { what: "a layer", why: format!("{why} (before byte {})", self.at) }
    }
}

/// The data of the entry that was told last.
impl<R: BufRead> std::io::Read for Reader<R> {
    fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
        let bytes = self.content().map_err(std::io::Error::other)?;
        let length = bytes.len().min(to.len());
        for (to, from) in to.iter_mut().zip(bytes) {
            *to = *from;
        }
        self.consume(length);
        Ok(length)
    }
}

fn truncated(at: u64) -> ArchiveError {
    ArchiveError::Malformed { what: "a layer", why: format!("it ends too early, at byte {at}") }
}

/// What the stream has ready; empty at its end.
fn fill<R: BufRead>(input: &mut R) -> Result<&[u8], ArchiveError> {
    // A loop that returns what it borrows is not understood by the compiler, so this asks twice;
    // a buffer that is filled answers at once.
    loop {
        match input.fill_buf() {
            Ok(_) => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(ArchiveError::stream("read", error)),
        }
    }
    input.fill_buf().map_err(|error| ArchiveError::stream("read", error))
}

fn shown(raw: &[u8]) -> std::path::PathBuf {
    // An error has to stay readable.
    std::path::PathBuf::from(OsStr::from_bytes(raw.get(..raw.len().min(4096)).unwrap_or_default()))
}

/// A name in the archive as a path in the tree.
fn place(raw: &[u8], longest: usize) -> Result<RelPath, String> {
    if raw.is_empty() {
        return Err("is empty".to_owned());
    }
    if raw.len() > longest {
        return Err(format!("is longer than {longest} bytes"));
    }
    if raw.first() == Some(&b'/') {
        return Err("is absolute".to_owned());
    }
    if raw.split(|byte| *byte == b'/').any(|part| part == b"..") {
        return Err("holds `..`".to_owned());
    }
    RelPath::parse(OsStr::from_bytes(raw)).map_err(|error| error.to_string())
}
