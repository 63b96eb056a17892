//! The writer: the same entries give the same bytes.

use std::io::{self, Write};

use super::header::{BLOCK, Encoder, padding};
use super::pax;
use crate::entry::{Entry, Kind, Segment};

/// What the name of a deleted entry is given to say so (OCI image specification 1.1, layer.md).
pub(crate) const WHITEOUT: &[u8] = b".wh.";
/// What a directory holds that hides all that lower layers have there.
pub(crate) const OPAQUE: &[u8] = b".wh..wh..opq";

/// Writes entries as a tar archive. After [`Writer::start`] of a file its data follows in
/// [`Writer::content`], as much as [`Kind::data`] says.
#[derive(Debug)]
pub struct Writer<W: Write> {
    out: W,
    records: Vec<u8>,
    /// What is still to come of the entry's data, and the padding after it.
    data: u64,
    padding: usize,
}

impl<W: Write> Writer<W> {
    /// Writes to `out`.
    pub fn new(out: W) -> Self {
        Self { out, records: Vec::new(), data: 0, padding: 0 }
    }

    /// Begins an entry.
    ///
    /// # Errors
    /// Those of the stream; also when the data of the entry before is not complete.
    pub fn start(&mut self, entry: &Entry) -> io::Result<()> {
        self.check_complete()?;
        let mut map = Vec::new();
        let data = entry.kind.data();
        if let Kind::File { size, segments: Some(segments) } = &entry.kind {
            map = sparse_map(*size, segments);
        }
        let header = self.header(entry, map.len() as u64 + data);
        if !self.records.is_empty() {
            let mut block = Encoder::new(b'x');
            // Where the name of the file stood, each would have to be compressed a second time.
            block.path(b"PaxHeaders/0");
            block.mode(0o644);
            block.uid(0);
            block.gid(0);
            block.mtime(0);
            if !block.size(self.records.len() as u64) {
                return Err(io::Error::other("an entry has more than 8 GiB of attributes"));
            }
            self.out.write_all(&block.finish())?;
            self.out.write_all(&self.records)?;
            self.pad(padding(self.records.len() as u64))?;
        }
        self.out.write_all(&header)?;
        self.out.write_all(&map)?;
        self.data = data;
        self.padding = padding(data);
        if data == 0 { Ok(()) } else { self.end_if_complete() }
    }

    /// The header block; what it cannot say is left in `self.records`.
    fn header(&mut self, entry: &Entry, size: u64) -> [u8; BLOCK] {
        let records = &mut self.records;
        records.clear();
        let (mut block, link) = match &entry.kind {
            Kind::File { .. } | Kind::Whiteout | Kind::Opaque => (Encoder::new(b'0'), None),
            Kind::HardLink { target } => (Encoder::new(b'1'), Some(target.as_bytes())),
            Kind::Symlink { target } => (Encoder::new(b'2'), Some(target.as_slice())),
            Kind::CharDevice { .. } => (Encoder::new(b'3'), None),
            Kind::BlockDevice { .. } => (Encoder::new(b'4'), None),
            Kind::Directory => (Encoder::new(b'5'), None),
            Kind::Fifo => (Encoder::new(b'6'), None),
        };
        if let Kind::CharDevice { major, minor } | Kind::BlockDevice { major, minor } = entry.kind {
            // Linux's numbers have 12 and 20 bits, so they fit.
            block.device(major, minor);
        }
        let path = name(entry);
        let sparse = match &entry.kind {
            Kind::File { size, segments: Some(_) } => Some(size),
            _ => None,
        };
        if sparse.is_some() {
            let (directory, file) = split(&path);
            // What unpacks it without knowing holes finds a file of this name.
            block.path(&[directory, b"GNUSparseFile.0/", file].concat());
        } else if !block.path(&path) {
            pax::put(records, b"path", &path);
        }
        if let Some(link) = link
            && !block.link(link)
        {
            pax::put(records, b"linkpath", link);
        }
        let meta = &entry.metadata;
        block.mode(meta.mode);
        if !block.uid(meta.uid) {
            pax::put(records, b"uid", meta.uid.to_string().as_bytes());
        }
        if !block.gid(meta.gid) {
            pax::put(records, b"gid", meta.gid.to_string().as_bytes());
        }
        if !block.size(size) {
            pax::put(records, b"size", size.to_string().as_bytes());
        }
        let whole = block.mtime(meta.mtime.seconds);
        if !whole || meta.mtime.nanoseconds != 0 {
            pax::put(records, b"mtime", pax::time(meta.mtime).as_bytes());
        }
        if let Some(size) = sparse {
            pax::put(records, b"GNU.sparse.major", b"1");
            pax::put(records, b"GNU.sparse.minor", b"0");
            pax::put(records, b"GNU.sparse.name", &path);
            pax::put(records, b"GNU.sparse.realsize", size.to_string().as_bytes());
        }
        for attribute in &meta.attributes {
            pax::put_attribute(records, attribute);
        }
        block.finish()
    }

    /// More of the entry's data.
    ///
    /// # Errors
    /// Those of the stream; also when it is more than the entry has.
    pub fn content(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        self.count(bytes.len())
    }

    /// Has `fill` write the next data of the entry into the stream by itself; it answers how much
    /// that was.
    pub(crate) fn content_by<E: From<io::Error>>(
        &mut self,
        fill: impl FnOnce(&mut W) -> Result<usize, E>,
    ) -> Result<usize, E> {
        let length = fill(&mut self.out)?;
        self.count(length)?;
        Ok(length)
    }

    fn count(&mut self, length: usize) -> io::Result<()> {
        if length == 0 {
            return Ok(());
        }
        let rest = self.data.checked_sub(length as u64);
        self.data = rest.ok_or_else(|| io::Error::other("more data than the entry has"))?;
        self.end_if_complete()
    }

    fn end_if_complete(&mut self) -> io::Result<()> {
        if self.data == 0 {
            let length = std::mem::take(&mut self.padding);
            self.pad(length)?;
        }
        Ok(())
    }

    fn pad(&mut self, length: usize) -> io::Result<()> {
        self.out.write_all([0; BLOCK].get(..length).unwrap_or_default())
    }

    fn check_complete(&self) -> io::Result<()> {
        if self.data == 0 {
            return Ok(());
        }
        Err(io::Error::other(format!("{} bytes of an entry are missing", self.data)))
    }

    /// A file with all of its content.
    ///
    /// # Errors
    /// As [`Self::start`] and [`Self::content`].
    pub fn append(&mut self, entry: &Entry, content: &[u8]) -> io::Result<()> {
        self.start(entry)?;
        self.content(content)
    }

    /// Writes the end of the archive; answers the stream.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn finish(mut self) -> io::Result<W> {
        self.check_complete()?;
        self.out.write_all(&[0; 2 * BLOCK])?;
        Ok(self.out)
    }
}

/// The directory part with its `/`, and the rest.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    let at = path.iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1);
    path.split_at_checked(at).unwrap_or((b"", path))
}

/// The name of an entry in the archive.
pub(crate) fn name(entry: &Entry) -> Vec<u8> {
    let path = entry.path.as_bytes();
    match entry.kind {
        Kind::Whiteout => {
            let (directory, file) = split(path);
            [directory, WHITEOUT, file].concat()
        }
        Kind::Opaque if path.is_empty() => OPAQUE.to_vec(),
        Kind::Opaque => [path, b"/", OPAQUE].concat(),
        Kind::Directory if path.is_empty() => b"./".to_vec(),
        Kind::Directory => [path, b"/"].concat(),
        _ => path.to_vec(),
    }
}

/// The map of a sparse file in GNU tar's PAX form 1.0, padded to whole blocks.
fn sparse_map(size: u64, segments: &[Segment]) -> Vec<u8> {
    let end = segments.last().map_or(0, |last| last.offset.saturating_add(last.length));
    // A hole at the end is told by a segment of no length behind it.
    let last = (end < size).then_some(Segment { offset: size, length: 0 });
    let mut map = Vec::new();
    // Writing to memory does not fail.
    let _ = writeln!(map, "{}", segments.len() + usize::from(last.is_some()));
    for segment in segments.iter().chain(&last) {
        let _ = writeln!(map, "{}\n{}", segment.offset, segment.length);
    }
    map.resize(map.len() + padding(map.len() as u64), 0);
    map
}
