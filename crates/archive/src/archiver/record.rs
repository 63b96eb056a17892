//! The lowest layer of a snapshot at rest: what it is, and what its tree is checked with.
//!
//! ```text
//! .ctrlz/record.json    see [`Record`]
//! .ctrlz/layers/N       what the workspace driver wrote down about sealed layer N, from 0
//! .ctrlz/listing        the tree, see crate::listing
//! ```

use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::Path;

use ctrlz_core::digest::Digest;
use ctrlz_core::path::RelPath;
use ctrlz_core::sandbox::Sandbox;
use ctrlz_core::snapshot::{Snapshot, SnapshotScope};
use serde::{Deserialize, Serialize};

use crate::entry::{Entry, Kind, Metadata};
use crate::image::Tag;
use crate::layer::{LayerOptions, LayerWritten, Member, read_members, write_members};
use crate::{ArchiveError, Limits, Losses};

const FORMAT: &str = "ctrlz snapshot 1";

/// How large the record, and the drivers' records together, may be.
const MOST: u64 = 256 << 20;

/// What a snapshot at rest is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    format: String,
    /// What of the snapshot is here.
    pub scope: SnapshotScope,
    /// The snapshot as the store knew it.
    pub snapshot: Snapshot,
    /// Its sandbox, as of the archive.
    pub sandbox: Sandbox,
    /// The digest of the listing; `None` where there is none, since the tree is not whole here.
    pub tree: Option<Digest>,
    /// The sealed layers, lowest first.
    pub layers: Vec<LayerRecord>,
    /// What could not be kept in the layers; the first [`Self::LOSSES`] are named. `None` where that
    /// was not written down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub losses: Option<Losses>,
}

/// One sealed layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerRecord {
    /// Its name in the store; `None` for what had none.
    pub id: Option<String>,
    /// Whether the root directory's own attributes are part of it.
    pub root: bool,
    /// Whether it is a whole tree and lies on nothing.
    pub whole: bool,
    /// Whether the sandbox's setup left it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub setup: bool,
}

/// What a snapshot's record says, and what the workspace driver wrote down about each of its sealed
/// layers.
pub type Whole = (Record, Vec<Option<Vec<u8>>>);

impl Record {
    /// How many losses are named.
    pub const LOSSES: usize = 100;

    /// Of a snapshot whose tree is made of `layers`, has the digest `tree`, and is without `losses`.
    #[must_use]
    pub fn new(
        scope: SnapshotScope,
        (sandbox, snapshot): (&Sandbox, &Snapshot),
        tree: Option<Digest>,
        layers: Vec<LayerRecord>,
        losses: &Losses,
    ) -> Self {
        let (snapshot, sandbox) = (snapshot.clone(), sandbox.clone());
        let losses = Some(losses.shortened(Self::LOSSES));
        Self { format: FORMAT.to_owned(), scope, snapshot, sandbox, tree, layers, losses }
    }

    /// Errs when `name` is that of another snapshot: somebody exchanged names. A name of another form
    /// than ours is one that somebody gave it.
    pub(super) fn check_name(&self, name: &str) -> Result<(), ArchiveError> {
        let number = self.snapshot.id.0.unsigned_abs();
        match Tag::of_snapshot(self.sandbox.name.as_str(), number) {
            Ok(own) if own.as_str() != name && Tag::is_of_snapshot(name) => {
                let (name, of) = (name.to_owned(), own.to_string());
                Err(ArchiveError::Misnamed { name, of })
            }
            _ => Ok(()),
        }
    }

    /// Writes the layer.
    pub(super) fn write(
        &self,
        drivers: &[Option<Vec<u8>>],
        listing: Option<&Path>,
        options: &LayerOptions,
        out: &mut (dyn Write + Send),
    ) -> Result<LayerWritten, ArchiveError> {
        let json = serde_json::to_vec_pretty(self)
            .map_err(|error| ArchiveError::malformed("the record", error))?;
        let mut small: Vec<(String, &[u8])> = Vec::new();
        for (index, record) in drivers.iter().enumerate() {
            if let Some(record) = record {
                small.push((format!(".ctrlz/layers/{index}"), record));
            }
        }
        // In the byte order of the paths, as in every layer.
        small.sort();
        let mut entries = vec![directory(".ctrlz")?];
        if !small.is_empty() {
            entries.push(directory(".ctrlz/layers")?);
        }
        let mut contents: Vec<Box<dyn Read>> = Vec::new();
        contents.extend(entries.iter().map(|_| Box::new(std::io::empty()) as Box<dyn Read>));
        for (path, bytes) in &small {
            entries.push(file(path, bytes.len() as u64)?);
            contents.push(Box::new(*bytes));
        }
        if let Some(listing) = listing {
            let open = File::open(listing).map_err(ArchiveError::io("open", listing))?;
            let size = open.metadata().map_err(ArchiveError::io("read", listing))?.len();
            entries.push(file(".ctrlz/listing", size)?);
            contents.push(Box::new(BufReader::new(open)));
        }
        entries.push(file(".ctrlz/record.json", json.len() as u64)?);
        contents.push(Box::new(json.as_slice()));
        let members = entries
            .into_iter()
            .zip(contents.iter_mut())
            .map(|(entry, content)| Member { entry, content: content.as_mut() });
        write_members(members, options, out)
    }

    /// Reads the layer; `listing`, where it is wanted, gets the listing.
    pub(super) fn read(
        layer: &mut dyn Read,
        mut listing: Option<&mut dyn Write>,
    ) -> Result<Whole, ArchiveError> {
        let mut json = None;
        let mut drivers: Vec<(usize, Vec<u8>)> = Vec::new();
        let mut left = MOST;
        let mut take = |data: &mut dyn Read| {
            let mut bytes = Vec::new();
            let mut limited = data.take(left.saturating_add(1));
            limited.read_to_end(&mut bytes).map_err(|error| ArchiveError::stream("read", error))?;
            left = left.checked_sub(bytes.len() as u64).ok_or_else(|| {
                ArchiveError::malformed("the record", format!("it has more than {MOST} bytes"))
            })?;
            Ok::<_, ArchiveError>(bytes)
        };
        read_members(layer, &Limits::default(), |entry, data| {
            let path = entry.path.to_string();
            if path == ".ctrlz/record.json" {
                json = Some(take(data)?);
            } else if path == ".ctrlz/listing" {
                if let Some(listing) = &mut listing {
                    std::io::copy(data, listing)
                        .map_err(|error| ArchiveError::stream("read", error))?;
                }
            } else if let Some(index) = path.strip_prefix(".ctrlz/layers/")
                && let Ok(index) = index.parse::<usize>()
            {
                drivers.push((index, take(data)?));
            }
            Ok(())
        })?;
        let json = json.ok_or_else(|| ArchiveError::malformed("the record", "it is not there"))?;
        let record: Self = serde_json::from_slice(&json)
            .map_err(|error| ArchiveError::malformed("the record", error))?;
        if record.format != FORMAT {
            let why = format!("its format `{}` is not known here", record.format.escape_debug());
            return Err(ArchiveError::malformed("the record", why));
        }
        let mut found = vec![None; record.layers.len()];
        for (index, bytes) in drivers {
            if let Some(slot) = found.get_mut(index) {
                *slot = Some(bytes);
            }
        }
        Ok((record, found))
    }
}

fn entry(path: &str, kind: Kind, mode: u32) -> Result<Entry, ArchiveError> {
    let path =
        RelPath::parse(path).map_err(|error| ArchiveError::malformed("the record", error))?;
    Ok(Entry { path, kind, metadata: Metadata { mode, ..Metadata::default() } })
}

fn directory(path: &str) -> Result<Entry, ArchiveError> {
    entry(path, Kind::Directory, 0o700)
}

fn file(path: &str, size: u64) -> Result<Entry, ArchiveError> {
    entry(path, Kind::file(size), 0o600)
}
