//! The layers of a snapshot, written or found.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufReader, Write};
use std::path::{Path, PathBuf};

use ctrlz_core::archive::{Dialect, Stratum};
use ctrlz_core::digest::Digest;
use ctrlz_core::path::RelPath;
use ctrlz_core::snapshot::SnapshotScope;

use super::memory::{Made, Memory};
use super::{Archiver, LayerRecord, Part, Record, Role, Subject, Watch, merge};
use crate::background::Background;
use crate::base::Survey;
use crate::crypt::{KeyId, Sealer};
use crate::entry::{Entry, Kind, Metadata};
use crate::image::{Coding, LayerForm, annotation};
use crate::layer::{LayerOptions, LayerWritten, Member, write_layer, write_members};
use crate::place::{Blob, Directory};
use crate::{ArchiveError, Descriptor, Losses};

/// How often a layer is begun anew because of files that are being changed.
const TRIES: usize = 64;

/// Writes one layer, and its listing.
type WriteLayer<'a> = dyn FnMut(
        &LayerOptions,
        &mut (dyn Write + Send),
        &mut dyn Write,
    ) -> Result<LayerWritten, ArchiveError>
    + 'a;

/// An archive under way.
pub(super) struct Writing<'a> {
    archiver: &'a Archiver<'a>,
    memory: Memory,
    watch: &'a Watch<'a>,
    pub(super) tree: Option<Digest>,
    pub(super) written: (u64, u64),
    pub(super) reused: (u64, u64),
    pub(super) losses: Losses,
}

/// The layers of a tree, and their listings.
#[derive(Default)]
struct Tree {
    bases: Vec<Made>,
    sealed: Vec<(Made, LayerRecord)>,
    drivers: Vec<Option<Vec<u8>>>,
    listings: Vec<PathBuf>,
}

impl<'a> Writing<'a> {
    pub(super) fn new(archiver: &'a Archiver<'a>, memory: Memory, watch: &'a Watch<'a>) -> Self {
        let losses = Losses::default();
        Self { archiver, memory, watch, tree: None, written: (0, 0), reused: (0, 0), losses }
    }

    /// All layers of the snapshot, lowest first.
    pub(super) fn parts(&mut self, subject: &Subject<'_>) -> Result<Vec<Part>, ArchiveError> {
        let mut tree = Tree::default();
        if subject.scope != SnapshotScope::StateOnly {
            for stratum in subject.strata {
                match (&stratum.id, stratum.dialect) {
                    (None, Dialect::Plain) if subject.scope == SnapshotScope::Incremental => {}
                    (None, Dialect::Plain) => self.base(stratum, &mut tree)?,
                    _ => self.sealed(stratum, &mut tree)?,
                }
            }
        }
        let listing = match subject.scope {
            SnapshotScope::Full => Some(self.listing(&tree)?),
            SnapshotScope::Incremental | SnapshotScope::StateOnly => None,
        };
        let layers = tree.sealed.iter().enumerate().map(|(number, (_, record))| LayerRecord {
            setup: number < subject.setup,
            ..record.clone()
        });
        let layers = layers.collect();
        let of = (subject.sandbox, subject.snapshot);
        let record = Record::new(subject.scope, of, self.tree, layers, &self.losses);
        let made = self
            .blob(|options, out| record.write(&tree.drivers, listing.as_deref(), options, out))?;
        let mut parts = vec![part(made, Role::Record, None)];
        if let Some(state) = subject.state {
            let made = self.blob(|options, out| write_state(state, options, out))?;
            parts.push(part(made, Role::State, None));
        }
        parts.extend(tree.bases.into_iter().map(|made| part(made, Role::Base, None)));
        let sealed = tree.sealed.into_iter();
        parts.extend(sealed.map(|(made, record)| part(made, Role::Sealed, record.id)));
        Ok(parts)
    }

    /// Makes the listing of the tree of those of its layers.
    fn listing(&mut self, tree: &Tree) -> Result<PathBuf, ArchiveError> {
        let mut inputs = Vec::new();
        for path in &tree.listings {
            inputs.push(BufReader::new(File::open(path).map_err(ArchiveError::io("open", path))?));
        }
        let listing = self.memory.new_listing()?;
        let mut out = io::BufWriter::new(listing.file);
        self.tree = Some(merge(inputs, &mut out)?);
        out.flush().map_err(ArchiveError::io("write", &listing.path))?;
        Ok(listing.path)
    }

    /// A layer that never changes, or a commit's backup, which may.
    fn sealed(&mut self, stratum: &Stratum, tree: &mut Tree) -> Result<(), ArchiveError> {
        let place = self.archiver.place;
        let found = match &stratum.id {
            Some(id) => self.memory.find(id, place, |made| self.archiver.is_usable(made))?,
            None => None,
        };
        let (made, listing) = match found {
            Some(found) => {
                self.reuse(&found.0);
                found
            }
            None => {
                let (made, listing) = self.layer(&mut |options, out, listing| {
                    write_layer(stratum, options, out, listing)
                })?;
                match &stratum.id {
                    Some(id) => {
                        let listing = self.memory.keep(id, &made, listing)?;
                        (made, listing)
                    }
                    None => (made, listing.path),
                }
            }
        };
        self.losses.append(made.losses.clone());
        let driver = match &stratum.record {
            Some(path) => Some(fs::read(path).map_err(ArchiveError::io("read", path))?),
            None => None,
        };
        let record = LayerRecord {
            id: stratum.id.clone(),
            root: stratum.root,
            whole: stratum.dialect == Dialect::Plain,
            setup: false,
        };
        tree.sealed.push((made, record));
        tree.drivers.push(driver);
        tree.listings.push(listing);
        Ok(())
    }

    /// The live folder: the layers that hold it, and one more with what differs.
    fn base(&mut self, stratum: &Stratum, tree: &mut Tree) -> Result<(), ArchiveError> {
        let index = self.memory.base(&stratum.directory);
        let unreadable = self.archiver.options.unreadable;
        let mut survey = Survey::take(stratum, &index, unreadable)?;
        let mut found = Vec::new();
        for name in survey.layers() {
            let usable = |made: &Descriptor| self.archiver.is_usable(made);
            found.extend(self.memory.find(name, self.archiver.place, usable)?);
        }
        if found.len() < survey.layers().len() {
            // One of them is gone, and with it what lay on it.
            found.clear();
            drop(survey);
            match fs::remove_file(&index) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(ArchiveError::io("remove", &index)(error));
                }
                _ => {}
            }
            survey = Survey::take(stratum, &index, unreadable)?;
        }
        // The topmost layer tells what of the folder could not be kept.
        let mut lost = found.last().map(|(made, _)| made.losses.clone()).unwrap_or_default();
        for (made, listing) in found {
            self.reuse(&made);
            tree.bases.push(made);
            tree.listings.push(listing);
        }
        if survey.is_unchanged() {
            self.losses.append(lost);
            return survey.keep(None);
        }
        let (mut made, listing) =
            self.layer(&mut |options, out, listing| survey.write(options, out, listing))?;
        survey.outdate(&mut lost);
        lost.append(std::mem::take(&mut made.losses));
        made.losses = lost.clone();
        self.losses.append(lost);
        let name = crate::random::word().map_err(ArchiveError::io("name", &index))?;
        let name = format!("base-{name}");
        tree.listings.push(self.memory.keep(&name, &made, listing)?);
        tree.bases.push(made);
        survey.keep(Some(name))
    }

    fn reuse(&mut self, made: &Made) {
        self.reused.0 += 1;
        self.reused.1 = self.reused.1.saturating_add(made.descriptor.size);
    }

    /// A layer of a directory, and its listing. Files that do not hold still are copied first, and
    /// it is begun anew.
    fn layer(
        &mut self,
        write: &mut WriteLayer<'_>,
    ) -> Result<(Made, super::memory::Listing), ArchiveError> {
        let mut held = self.archiver.options.held.clone();
        for _ in 0..TRIES {
            let mut listing = self.memory.new_listing()?;
            let options = LayerOptions { held: held.clone(), ..self.archiver.options.clone() };
            let mut buffered = io::BufWriter::new(&mut listing.file);
            let made = self.blob_by(&options, |options, out| write(options, out, &mut buffered));
            match made {
                Err(ArchiveError::Changing { path }) if held.insert(path.clone()) => {}
                Err(error) => return Err(error),
                Ok(made) => {
                    buffered.flush().map_err(ArchiveError::io("write", &listing.path))?;
                    drop(buffered);
                    self.watch.checked()?;
                    return Ok((made, listing));
                }
            }
        }
        Err(ArchiveError::Changing { path: held.pop_last().unwrap_or_default() })
    }

    fn blob(
        &mut self,
        fill: impl FnOnce(&LayerOptions, &mut (dyn Write + Send)) -> Result<LayerWritten, ArchiveError>,
    ) -> Result<Made, ArchiveError> {
        self.blob_by(&self.archiver.options.clone(), fill)
    }

    /// Writes one layer as a blob.
    fn blob_by(
        &mut self,
        options: &LayerOptions,
        fill: impl FnOnce(&LayerOptions, &mut (dyn Write + Send)) -> Result<LayerWritten, ArchiveError>,
    ) -> Result<Made, ArchiveError> {
        // The place computes the digest of what lies there.
        let options = LayerOptions { digest: false, ..options.clone() };
        let (blob, layer) = put(self.archiver, self.watch, |out| fill(&options, out))?;
        let encrypted = self.archiver.keys.is_some();
        let form = LayerForm { coding: Coding::from(options.compression), encrypted };
        let mut annotations = BTreeMap::new();
        if let Some(keys) = self.archiver.keys {
            annotations.insert(annotation::KEY.to_owned(), keys.current()?.id().to_string());
        }
        self.written.0 += 1;
        self.written.1 = self.written.1.saturating_add(blob.size);
        let Blob { digest, size } = blob;
        let media_type = form.media_type();
        let descriptor = Descriptor { media_type, digest, size, annotations };
        Ok(Made { descriptor, diff_id: layer.diff_id, losses: layer.losses })
    }
}

impl Archiver<'_> {
    /// Whether a layer that was written earlier can be part of what is written now.
    pub(super) fn is_usable(&self, made: &Descriptor) -> bool {
        let coding = Coding::from(self.options.compression);
        let encrypted = self.keys.is_some();
        let same = LayerForm::of(&made.media_type) == Some(LayerForm { coding, encrypted });
        let opens = match self.keys {
            None => true,
            Some(keys) => matches!(KeyId::of(made), Ok(Some(id)) if keys.get(&id).is_some()),
        };
        same && opens
    }
}

/// Writes a blob of what `fill` writes, encrypted where there are keys.
fn put(
    archiver: &Archiver<'_>,
    watch: &Watch<'_>,
    fill: impl FnOnce(&mut (dyn Write + Send)) -> Result<LayerWritten, ArchiveError>,
) -> Result<(Blob, LayerWritten), ArchiveError> {
    let stream = |error| ArchiveError::stream("write", error);
    let Watch { progress, is_over, .. } = *watch;
    let blob: crate::place::BlobWriter = Directory::begin_blob(archiver.place)?;
    match archiver.keys {
        None => {
            let mut out = Told { out: Background::start(blob).map_err(stream)?, progress, is_over };
            let layer = fill(&mut out)?;
            Ok((out.out.finish().map_err(stream)?.finish()?, layer))
        }
        Some(keys) => {
            let sealer = Sealer::new(blob, keys.current()?).map_err(stream)?;
            let mut out =
                Told { out: Background::start(sealer).map_err(stream)?, progress, is_over };
            let layer = fill(&mut out)?;
            let sealer = out.out.finish().map_err(stream)?;
            Ok((sealer.finish().map_err(stream)?.finish()?, layer))
        }
    }
}

/// A writer that tells how much was written, and ends when it is over.
struct Told<'a, W> {
    out: W,
    progress: &'a (dyn Fn(u64) + Sync),
    is_over: &'a (dyn Fn() -> bool + Sync),
}

impl<W: Write> Write for Told<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if (self.is_over)() {
            return Err(ArchiveError::Ended.into());
        }
        let length = self.out.write(bytes)?;
        (self.progress)(length as u64);
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn part(made: Made, role: Role, id: Option<String>) -> Part {
    Part { descriptor: made.descriptor, diff_id: made.diff_id, role, id, created_by: None }
}

/// The layer with the state.
fn write_state(
    state: &[u8],
    options: &LayerOptions,
    out: &mut (dyn Write + Send),
) -> Result<LayerWritten, ArchiveError> {
    let entry = |path: &Path, kind, mode| -> Result<Entry, ArchiveError> {
        let path =
            RelPath::parse(path).map_err(|error| ArchiveError::malformed("the state", error))?;
        Ok(Entry { path, kind, metadata: Metadata { mode, ..Metadata::default() } })
    };
    let (mut none, mut state_bytes) = (io::empty(), state);
    let directory = entry(Path::new(".ctrlz"), Kind::Directory, 0o700)?;
    let file = entry(Path::new(super::bring::STATE), Kind::file(state.len() as u64), 0o600)?;
    let members = [
        Member { entry: directory, content: &mut none },
        Member { entry: file, content: &mut state_bytes },
    ];
    write_members(members, options, out)
}
