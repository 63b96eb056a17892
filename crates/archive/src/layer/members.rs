//! Layers of a few files that are no part of a tree, such as an archive's record.

use std::io::{Read, Write};

use super::options::{Counts, LayerOptions, LayerWritten};
use super::pipeline::through;
use crate::codec::Decoder;
use crate::entry::{Entry, Kind};
use crate::error::ArchiveError;
use crate::loss::Losses;
use crate::tar::{Limits, Reader, Writer};

/// An entry and its content, of as many bytes as the entry says.
pub struct Member<'a> {
    /// The entry.
    pub entry: Entry,
    /// Its content; nothing is read of what has none.
    pub content: &'a mut dyn Read,
}

impl std::fmt::Debug for Member<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Member").field("entry", &self.entry).finish_non_exhaustive()
    }
}

/// Writes a layer of `members`, in their order.
///
/// # Errors
/// When a stream fails or a content is shorter than its entry says.
pub fn write_members<'a>(
    members: impl IntoIterator<Item = Member<'a>>,
    options: &LayerOptions,
    out: &mut (dyn Write + Send),
) -> Result<LayerWritten, ArchiveError> {
    through(options, out, |chunks| {
        let failed = |error| ArchiveError::stream("write", error);
        let mut tar = Writer::new(chunks);
        let mut counts = Counts::default();
        for Member { entry, content } in members {
            tar.start(&entry).map_err(failed)?;
            counts.count(&entry.kind);
            let mut left = entry.kind.data();
            counts.bytes += left;
            while left > 0 {
                let length = tar.content_by(|chunks| {
                    chunks.fill(left, |room| content.read(room).map_err(Failed::Read))
                });
                match length {
                    Ok(0) => {
                        let path = entry.path.as_path().to_owned();
                        let source = std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
                        return Err(ArchiveError::Io { action: "read", path, source });
                    }
                    Ok(length) => left -= length as u64,
                    Err(Failed::Read(error)) => return Err(ArchiveError::stream("read", error)),
                    Err(Failed::Write(error)) => return Err(failed(error)),
                }
            }
        }
        let size = tar.finish().and_then(super::chunks::Chunks::finish).map_err(failed)?;
        Ok((counts, Losses::default(), size))
    })
}

enum Failed {
    Read(std::io::Error),
    Write(std::io::Error),
}

impl From<std::io::Error> for Failed {
    fn from(error: std::io::Error) -> Self {
        Self::Write(error)
    }
}

/// Reads a layer member by member: `take` gets each entry and, where it is a file, its data.
///
/// # Errors
/// When the layer is damaged or beyond the limits, or what `take` answers.
pub fn read_members(
    layer: &mut dyn Read,
    limits: &Limits,
    mut take: impl FnMut(&Entry, &mut dyn Read) -> Result<(), ArchiveError>,
) -> Result<(), ArchiveError> {
    let decoder = Decoder::new(layer, limits.clone())?;
    let mut reader =
        Reader::new(std::io::BufReader::with_capacity(1 << 16, decoder), limits.clone());
    while let Some(item) = reader.next_entry()? {
        // Nobody needs holes here.
        if matches!(item.entry.kind, Kind::File { segments: Some(_), .. }) {
            let path = item.entry.path.as_path().to_owned();
            let why = "it has holes, and is to be read as one piece".to_owned();
            return Err(ArchiveError::Refused { path, why });
        }
        take(&item.entry, &mut reader)?;
    }
    Ok(())
}
