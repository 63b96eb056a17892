//! Writing a blob: small ones at once, large ones in parts.

use std::fs;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;

use object_store::multipart::PartId;
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutPayload};
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;

use super::Object;
use crate::ArchiveError;
use crate::place::{Blob, Place, Source};
use crate::sha256::Sha256;

/// The bytes of a part; S3 takes none below 5 MiB but the last.
const PART: u64 = 8 << 20;

/// The most parts of one object (S3).
const PARTS: u64 = 10_000;

/// How many bytes of parts may be in memory, over all blobs of a place.
const BUDGET: u64 = 40 << 20;

/// Memory for parts. Whoever reads one first takes its share.
#[derive(Debug, Clone)]
pub(super) struct Budget(Arc<Semaphore>);

impl Budget {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(usize::try_from(BUDGET >> 20).unwrap_or(40))))
    }
}

/// An upload in parts that another process can go on with.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Note {
    id: String,
    part_size: u64,
    /// The parts that are there, in order from the first.
    parts: Vec<String>,
}

/// Writes a blob from its source.
pub(super) fn write(
    place: &Object,
    blob: &Blob,
    source: &Source<'_>,
    sent: &(dyn Fn(u64) + Sync),
) -> Result<(), ArchiveError> {
    if blob.size <= PART {
        return write_at_once(place, blob, source, sent);
    }
    let upload = Upload::begin(place, blob)?;
    let is_resumed = !upload.note.parts.is_empty();
    match upload.run(source, sent) {
        // Another process that went on with the same upload has ended it.
        Err(_) if place.find(&blob.digest).is_ok_and(|size| size == Some(blob.size)) => Ok(()),
        // The store may have given up an upload that is older than it keeps them.
        Err(error) if is_resumed && !error.is_transient() => {
            Upload::begin(place, blob)?.run(source, sent)
        }
        other => other,
    }
}

fn write_at_once(
    place: &Object,
    blob: &Blob,
    source: &Source<'_>,
    sent: &(dyn Fn(u64) + Sync),
) -> Result<(), ArchiveError> {
    let _permit = permit(place, blob.size)?;
    let mut bytes = Vec::new();
    let mut input = source(0)?.take(blob.size.saturating_add(1));
    read_all(&mut input, &mut bytes)?;
    let mut hasher = Sha256::new();
    hasher.update(&bytes);
    compare(blob, hasher, u64::try_from(bytes.len()).unwrap_or(u64::MAX))?;
    let key = place.blob_key(&blob.digest);
    place
        .runtime
        .wait(place.store.put(&key, PutPayload::from(bytes)))
        .map_err(place.failed(format!("write blob {} to", blob.digest)))?;
    sent(blob.size);
    Ok(())
}

fn read_all(input: &mut dyn Read, bytes: &mut Vec<u8>) -> Result<(), ArchiveError> {
    input.read_to_end(bytes).map(drop).map_err(ArchiveError::io("read a source for", "an upload"))
}

fn compare(blob: &Blob, hasher: Sha256, read: u64) -> Result<(), ArchiveError> {
    let what = match read.cmp(&blob.size) {
        std::cmp::Ordering::Less => format!("the source has only {read} of {} bytes", blob.size),
        std::cmp::Ordering::Greater => format!("the source has more than {} bytes", blob.size),
        std::cmp::Ordering::Equal if hasher.finish() == blob.digest => return Ok(()),
        std::cmp::Ordering::Equal => "the source has other bytes".to_owned(),
    };
    Err(ArchiveError::damaged(blob.digest, what))
}

/// Waits until there is memory for `size` bytes.
fn permit(place: &Object, size: u64) -> Result<OwnedSemaphorePermit, ArchiveError> {
    let share = u32::try_from(size.min(BUDGET).div_ceil(1 << 20).max(1)).unwrap_or(1);
    let semaphore = Arc::clone(&place.budget.0);
    place.runtime.wait(semaphore.acquire_many_owned(share)).map_err(|error| {
        ArchiveError::io("wait for memory for", "an upload")(io::Error::other(error))
    })
}

/// An upload in parts.
struct Upload<'a> {
    place: &'a Object,
    blob: &'a Blob,
    key: Path,
    note: Note,
}

/// A part on its way.
type Under = JoinHandle<object_store::Result<PartId>>;

impl<'a> Upload<'a> {
    /// Begins one, or goes on with the one that was noted.
    fn begin(place: &'a Object, blob: &'a Blob) -> Result<Self, ArchiveError> {
        let part_size = PART.max(blob.size.div_ceil(PARTS).next_multiple_of(1 << 20));
        if part_size > BUDGET {
            return Err(ArchiveError::Unsupported {
                place: place.address.clone(),
                what: "take a blob of that size",
                why: format!("{} bytes are more than {PARTS} parts of 40 MiB", blob.size),
            });
        }
        let key = place.blob_key(&blob.digest);
        if let Some(note) = read_note(place, blob).filter(|note| note.part_size == part_size) {
            return Ok(Self { place, blob, key, note });
        }
        let id = place
            .runtime
            .wait(place.multipart.create_multipart(&key))
            .map_err(place.failed(format!("begin to write blob {} to", blob.digest)))?;
        let upload = Self { place, blob, key, note: Note { id, part_size, parts: Vec::new() } };
        upload.save()?;
        Ok(upload)
    }

    fn run(mut self, source: &Source<'_>, sent: &(dyn Fn(u64) + Sync)) -> Result<(), ArchiveError> {
        match self.parts(source, sent).and_then(|()| self.complete()) {
            Ok(()) => {
                self.forget();
                Ok(())
            }
            // What is noted can be gone on with, when what went wrong may pass.
            Err(error) if self.place.notes.is_some() && error.is_transient() => Err(error),
            Err(error) => {
                let abort = self.place.multipart.abort_multipart(&self.key, &self.note.id);
                let _ = self.place.runtime.wait(abort);
                self.forget();
                Err(error)
            }
        }
    }

    /// Reads all of the source, and sends what is not there. All of it, since the digest is
    /// compared before the parts become a blob.
    fn parts(
        &mut self,
        source: &Source<'_>,
        sent: &(dyn Fn(u64) + Sync),
    ) -> Result<(), ArchiveError> {
        let mut input = source(0)?;
        let mut hasher = Sha256::new();
        let mut read: u64 = 0;
        let mut under_way: std::collections::VecDeque<(Under, u64)> = Default::default();
        let there = self.note.parts.len();
        let mut number = 0;
        loop {
            // The last permit may be held by a part of this very blob.
            while under_way.len() >= 2 {
                self.land(&mut under_way, sent)?;
            }
            let permit = permit(self.place, self.note.part_size)?;
            let mut bytes = Vec::new();
            read_all(&mut input.by_ref().take(self.note.part_size), &mut bytes)?;
            let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            if length == 0 {
                break;
            }
            hasher.update(&bytes);
            read = read.saturating_add(length);
            if read > self.blob.size {
                break;
            }
            if number < there {
                sent(length);
            } else {
                let (store, key, id) =
                    (Arc::clone(&self.place.multipart), self.key.clone(), self.note.id.clone());
                let task = self.place.runtime.start(async move {
                    let part = store.put_part(&key, &id, number, PutPayload::from(bytes)).await;
                    drop(permit);
                    part
                });
                under_way.push_back((task, length));
            }
            number += 1;
        }
        while !under_way.is_empty() {
            self.land(&mut under_way, sent)?;
        }
        compare(self.blob, hasher, read)
    }

    /// Waits for the part that was sent first.
    fn land(
        &mut self,
        under_way: &mut std::collections::VecDeque<(Under, u64)>,
        sent: &(dyn Fn(u64) + Sync),
    ) -> Result<(), ArchiveError> {
        let Some((task, length)) = under_way.pop_front() else { return Ok(()) };
        let what = format!("write blob {} to", self.blob.digest);
        let part = match self.place.runtime.wait(task) {
            Ok(part) => part.map_err(self.place.failed(what))?,
            Err(error) => {
                return Err(ArchiveError::io("send a part to", &self.place.address)(
                    io::Error::other(error),
                ));
            }
        };
        self.note.parts.push(part.content_id);
        self.save()?;
        sent(length);
        Ok(())
    }

    fn complete(&self) -> Result<(), ArchiveError> {
        let parts = self.note.parts.iter().map(|part| PartId { content_id: part.clone() });
        let complete =
            self.place.multipart.complete_multipart(&self.key, &self.note.id, parts.collect());
        self.place
            .runtime
            .wait(complete)
            .map(drop)
            .map_err(self.place.failed(format!("write blob {} to", self.blob.digest)))
    }

    fn save(&self) -> Result<(), ArchiveError> {
        let Some(path) = note_path(self.place, self.blob) else { return Ok(()) };
        let temporary = path.with_extension("new");
        let write = || -> io::Result<()> {
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent)?;
            }
            let mut file = fs::File::create(&temporary)?;
            file.write_all(&serde_json::to_vec(&self.note)?)?;
            fs::rename(&temporary, &path)
        };
        write().map_err(ArchiveError::io("write", &path))
    }

    fn forget(&self) {
        if let Some(path) = note_path(self.place, self.blob) {
            let _ = fs::remove_file(path);
        }
    }
}

/// Where an upload is noted: by place and blob.
fn note_path(place: &Object, blob: &Blob) -> Option<PathBuf> {
    let address = blake3::hash(format!("{} {}", place.address, place.prefix).as_bytes());
    let name = format!("{}-{}", address.to_hex().get(..16).unwrap_or_default(), blob.digest.hex());
    Some(place.notes.as_ref()?.join(name))
}

fn read_note(place: &Object, blob: &Blob) -> Option<Note> {
    let bytes = fs::read(note_path(place, blob)?).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// Gives up the uploads that were noted here and that nobody went on with for `grace`: how many,
/// and the bytes of their parts.
pub(super) fn give_up_old(
    place: &Object,
    grace: std::time::Duration,
    dry: bool,
) -> Result<(u64, u64), ArchiveError> {
    let Some(directory) = &place.notes else { return Ok((0, 0)) };
    let failed = || ArchiveError::io("list", directory);
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((0, 0)),
        Err(error) => return Err(failed()(error)),
    };
    let (mut count, mut bytes) = (0, 0);
    for entry in entries {
        let entry = entry.map_err(failed())?;
        let age = entry.metadata().and_then(|status| status.modified()).ok();
        let age = age.and_then(|time| std::time::SystemTime::now().duration_since(time).ok());
        let name = entry.file_name();
        let digest = name.to_str().and_then(|name| name.split_once('-'));
        let digest = digest.and_then(|(_, hex)| format!("sha256:{hex}").parse().ok());
        let Some((digest, age)) = digest.zip(age) else { continue };
        let blob = Blob { digest, size: 0 };
        // Notes of other places lie there, too.
        if age < grace || note_path(place, &blob).as_ref() != Some(&entry.path()) {
            continue;
        }
        let Some(note) = read_note(place, &blob) else { continue };
        if !dry {
            let key = place.blob_key(&digest);
            let abort = place.multipart.abort_multipart(&key, &note.id);
            match place.runtime.wait(abort) {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(place.failed("give up an upload to")(error)),
            }
            let _ = fs::remove_file(entry.path());
        }
        let parts = u64::try_from(note.parts.len()).unwrap_or(0);
        (count, bytes) = (count + 1, parts.saturating_mul(note.part_size).saturating_add(bytes));
    }
    Ok((count, bytes))
}
