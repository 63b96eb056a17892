//! The output of a process on disk: records in segments, of which the oldest go first.
//!
//! A segment is named after the offset of its first byte. A record is told from what a crash left of one
//! by its checksum, and tells its own offset: what lies between two of them is no longer there, or could
//! not be written.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use rustix::fs::statvfs;

use super::{Piece, Stream};

/// How a segment begins.
const MARK: &[u8; 8] = b"ctrlzlg1";
/// The end of a segment's name.
const SUFFIX: &str = ".log";
/// Checksum, length, stream and offset of a record.
const HEADER: usize = 4 + 4 + 1 + 8;
/// The largest record.
const RECORD: usize = 16 << 10;
/// How many segments a log has at most, and how large each is at least and at most.
const PARTS: u64 = 8;
const SMALLEST: u64 = 64 << 10;
const LARGEST: u64 = 1 << 20;
/// How much of a disk is left to others: of a small one a twentieth.
const LEFT: u64 = 64 << 20;

/// What a log in a folder is written with.
#[derive(Debug)]
pub(super) struct Writer {
    folder: PathBuf,
    /// How many bytes all segments together may take.
    most: u64,
    /// The offset of each segment's first byte and its size on disk, the oldest first.
    segments: VecDeque<(u64, u64)>,
    /// The newest one.
    file: Option<File>,
}

impl Writer {
    /// For a folder that has no log.
    pub(super) fn new(folder: PathBuf, most: u64) -> Self {
        Self { folder, most, segments: VecDeque::new(), file: None }
    }

    /// Adds what was written, all of it or nothing; answers how many bytes that took. With `is_crowded`
    /// only the newest two segments stay.
    pub(super) fn append(&mut self, pieces: &[Piece], is_crowded: bool) -> io::Result<u64> {
        let Some(first) = pieces.first() else { return Ok(0) };
        let records = encode(pieces);
        let part = (self.most / PARTS).clamp(SMALLEST, LARGEST);
        let is_full = self.segments.back().is_none_or(|(_, size)| *size >= part);
        if is_full || self.file.is_none() {
            self.begin(first.offset)?;
        }
        let (Some(file), Some((_, size))) = (self.file.as_mut(), self.segments.back_mut()) else {
            return Err(io::Error::other("the log has no segment"));
        };
        if let Err(error) = file.write_all(&records) {
            // Half a record would hide those behind it.
            if file.set_len(*size).is_err() {
                self.file = None;
            }
            return Err(error);
        }
        *size += records.len() as u64;
        self.drop_oldest(is_crowded);
        Ok(records.len() as u64)
    }

    fn begin(&mut self, offset: u64) -> io::Result<()> {
        self.file = None;
        let disk = statvfs(&self.folder)?;
        let bytes = |blocks: u64| blocks.saturating_mul(disk.f_frsize);
        if bytes(disk.f_bavail) < LEFT.min(bytes(disk.f_blocks) / 20) {
            return Err(io::Error::new(ErrorKind::StorageFull, "the disk is nearly full"));
        }
        let path = self.folder.join(format!("{offset:020}{SUFFIX}"));
        // Appended to, so that what was cut off is written over.
        let mut options = OpenOptions::new();
        let mut file = options.append(true).create(true).mode(0o600).open(&path)?;
        // One of that name is what could not be written before.
        file.set_len(0)?;
        self.segments.retain(|(first, _)| *first != offset);
        if let Err(error) = file.write_all(MARK) {
            let _ = fs::remove_file(&path);
            return Err(error);
        }
        self.segments.push_back((offset, MARK.len() as u64));
        self.file = Some(file);
        Ok(())
    }

    fn drop_oldest(&mut self, is_crowded: bool) {
        let mut size: u64 = self.segments.iter().map(|(_, size)| size).sum();
        while self.segments.len() > 1 && (size > self.most || is_crowded && self.segments.len() > 2)
        {
            let Some((first, of_it)) = self.segments.pop_front() else { return };
            // One that stays is removed with the folder.
            let _ = fs::remove_file(self.folder.join(format!("{first:020}{SUFFIX}")));
            size -= of_it;
        }
    }
}

/// As records; what was written to one stream without a break is together.
fn encode(pieces: &[Piece]) -> Vec<u8> {
    let mut records = Vec::new();
    let mut left = pieces;
    while let Some(first) = left.first() {
        let (mut taken, mut size) = (1, first.bytes.len());
        let mut rest = left.iter().skip(1);
        while let Some(next) = rest.next()
            && next.stream == first.stream
            && next.offset == first.offset + size as u64
            && size + next.bytes.len() <= RECORD
        {
            (taken, size) = (taken + 1, size + next.bytes.len());
        }
        let (together, others) = left.split_at(taken);
        left = others;
        let mut body = Vec::with_capacity(HEADER + size);
        body.extend((size as u32).to_le_bytes());
        body.push(number(first.stream));
        body.extend(first.offset.to_le_bytes());
        together.iter().for_each(|piece| body.extend_from_slice(&piece.bytes));
        records.extend(crc32fast::hash(&body).to_le_bytes());
        records.extend(body);
    }
    records
}

fn number(stream: Stream) -> u8 {
    match stream {
        Stream::Output => 1,
        Stream::Error => 2,
    }
}

/// The records of a segment, up to the first that is not whole.
struct Records<'a>(&'a [u8]);

impl<'a> Records<'a> {
    fn of(segment: &'a [u8]) -> Self {
        Self(segment.strip_prefix(MARK).unwrap_or_default())
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = (Stream, u64, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (sum, rest) = self.0.split_first_chunk()?;
        let (length, behind) = rest.split_first_chunk()?;
        let (stream, behind) = behind.split_first()?;
        let (offset, behind) = behind.split_first_chunk()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        let (bytes, behind) = behind.split_at_checked(length)?;
        let body = rest.get(..rest.len() - behind.len())?;
        if crc32fast::hash(body) != u32::from_le_bytes(*sum) {
            return None;
        }
        let stream = match stream {
            1 => Stream::Output,
            2 => Stream::Error,
            _ => return None,
        };
        self.0 = behind;
        Some((stream, u64::from_le_bytes(*offset), bytes))
    }
}

/// The offsets at which segments begin, in order.
fn segments(folder: &Path) -> io::Result<Vec<u64>> {
    let mut found: Vec<u64> = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        found.extend(name.to_str().and_then(|name| name.strip_suffix(SUFFIX)?.parse::<u64>().ok()));
    }
    found.sort_unstable();
    Ok(found)
}

/// A segment's bytes; none when it was dropped meanwhile.
fn segment(folder: &Path, first: u64) -> io::Result<Vec<u8>> {
    match fs::read(folder.join(format!("{first:020}{SUFFIX}"))) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        read => read,
    }
}

/// What was written between `from` and `until`, as far as it is there; of more than `most` bytes the
/// beginning.
pub(super) fn read(folder: &Path, from: u64, until: u64, most: usize) -> io::Result<Vec<Piece>> {
    let all = segments(folder)?;
    let at = all.partition_point(|first| *first <= from).saturating_sub(1);
    let (mut found, mut size) = (Vec::new(), 0);
    for first in all.into_iter().skip(at).take_while(|first| *first < until) {
        for (stream, offset, bytes) in Records::of(&segment(folder, first)?) {
            if offset + bytes.len() as u64 <= from {
                continue;
            }
            if offset >= until || size >= most {
                return Ok(found);
            }
            let piece = Piece { stream, offset, bytes: Bytes::copy_from_slice(bytes) }.behind(from);
            size += piece.bytes.len();
            found.push(piece);
        }
    }
    Ok(found)
}

/// Of what was written before `until`, as much as the last `most` bytes of each stream need, and a record
/// more.
pub(super) fn tail(folder: &Path, until: u64, most: usize) -> io::Result<Vec<Piece>> {
    let mut found = VecDeque::new();
    let (mut output, mut error) = (0, 0);
    for first in segments(folder)?.into_iter().rev() {
        let bytes = segment(folder, first)?;
        let records: Vec<_> = Records::of(&bytes).collect();
        for (stream, offset, bytes) in records.into_iter().rev() {
            let size = match stream {
                Stream::Output => &mut output,
                Stream::Error => &mut error,
            };
            // One that goes beyond it ends there.
            let length = usize::try_from(until.saturating_sub(offset)).unwrap_or(usize::MAX);
            let bytes = bytes.get(..length).unwrap_or(bytes);
            if !bytes.is_empty() && *size < most {
                *size += bytes.len();
                found.push_front(Piece { stream, offset, bytes: Bytes::copy_from_slice(bytes) });
            }
        }
        if output >= most && error >= most {
            break;
        }
    }
    Ok(found.into())
}

/// Up to where it was written, as far as that is there.
pub(super) fn end(folder: &Path) -> io::Result<u64> {
    for first in segments(folder)?.into_iter().rev() {
        let bytes = segment(folder, first)?;
        if let Some((_, offset, bytes)) = Records::of(&bytes).last() {
            return Ok(offset + bytes.len() as u64);
        }
    }
    Ok(0)
}

#[cfg(test)]
mod tests;
