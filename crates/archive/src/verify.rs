//! Checking what lies in a place, without restoring it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::time::Duration;

use ctrlz_core::digest::Digest;

use crate::archiver::whole_record;
use crate::crypt::Keyring;
use crate::image::{Bounds, Role, annotation, media};
use crate::place::{self, Blob, Named, Place};
use crate::snapshot::Snapshot;
use crate::{ArchiveError, Descriptor, Losses};

/// What to check.
#[derive(Debug, Clone)]
pub struct Verifying<'a> {
    /// Only what these names lead to; everything when there are none.
    pub names: Vec<String>,
    /// Which part of the blobs, 0.0 to 1.0. Manifests, configs and records are always checked.
    pub sample: f64,
    /// Which ones those are; another number chooses others.
    pub seed: u64,
    /// With keys, encrypted blobs are also decrypted.
    pub keys: Option<&'a Keyring>,
}

impl Default for Verifying<'_> {
    fn default() -> Self {
        Self { names: Vec::new(), sample: 1.0, seed: 0, keys: None }
    }
}

/// A blob that is not as it should be.
#[derive(Debug)]
pub struct Fault {
    /// The names that lead to it.
    pub names: Vec<String>,
    /// Which one; `None` when a name itself is at fault.
    pub blob: Option<Digest>,
    /// What is wrong.
    pub error: ArchiveError,
}

/// What a check came to.
#[derive(Debug, Default)]
pub struct Verified {
    /// Names looked at.
    pub names: u64,
    /// Blobs read, and their bytes.
    pub read: (u64, u64),
    /// Blobs left out by the sample, and their bytes.
    pub left_out: (u64, u64),
    /// What is wrong. Empty when all is well.
    pub faults: Vec<Fault>,
    /// The snapshots in which something could not be kept when they were archived, by name.
    pub losses: Vec<(String, Losses)>,
}

/// Blobs, and the names that lead to them.
type Blobs = BTreeMap<[u8; 32], (Descriptor, Vec<String>)>;

/// Checks blobs, telling `progress` the bytes read. What is wrong is collected, not returned as an
/// error, so that one damaged blob hides no other.
///
/// # Errors
/// When the place itself does not answer, or its index is malformed.
pub fn verify(
    place: &dyn Place,
    what: &Verifying<'_>,
    progress: &dyn Fn(u64),
) -> Result<Verified, ArchiveError> {
    let mut verified = Verified::default();
    let mut blobs = Blobs::new();
    let named = place.names()?;
    for missing in what.names.iter().filter(|name| !named.iter().any(|n| n.name == **name)) {
        let error = ArchiveError::Unnamed { place: place.address(), name: missing.clone() };
        verified.faults.push(Fault { names: vec![missing.clone()], blob: None, error });
    }
    for named in named {
        if !what.names.is_empty() && !what.names.contains(&named.name) {
            continue;
        }
        verified.names += 1;
        for (descriptor, error) in
            walk(place, &named.name, &named.descriptor, what.keys, &mut blobs)
        {
            let blob = Some(descriptor.digest);
            verified.faults.push(Fault { names: vec![named.name.clone()], blob, error });
        }
        look_into(place, &named, what.keys, &mut verified)?;
    }
    for (descriptor, names) in blobs.into_values() {
        let always = descriptor.media_type.0 == media::SEALED_CONFIG
            || is_record(&descriptor)
            || descriptor.size <= 4096
            || !descriptor.media_type.0.contains(".layer.");
        if !always && !is_chosen(&descriptor.digest, what) {
            count(&mut verified.left_out, descriptor.size);
            continue;
        }
        count(&mut verified.read, descriptor.size);
        match check(place, &descriptor, what.keys, progress) {
            Ok(()) => {}
            // Without an answer nothing is known of the blob, and the next ones have none either.
            Err(error) if error.is_transient() => return Err(error),
            Err(error) => {
                verified.faults.push(Fault { names, blob: Some(descriptor.digest), error });
            }
        }
    }
    Ok(verified)
}

/// Removes the blobs that are damaged, so that the next push brings them again: what is there under
/// the right name and with the right size is not sent otherwise. How many these were.
///
/// # Errors
/// When somebody writes to the place for longer than there is patience, or a blob cannot be removed.
pub fn discard(
    place: &dyn Place,
    faults: &[Fault],
    patience: Duration,
) -> Result<u64, ArchiveError> {
    let is_damaged = |fault: &&Fault| matches!(fault.error, ArchiveError::Damaged { .. });
    let blobs: BTreeSet<[u8; 32]> =
        faults.iter().filter(is_damaged).filter_map(|fault| Some(fault.blob?.bytes)).collect();
    let blobs: Vec<Blob> =
        blobs.into_iter().map(|bytes| Blob { digest: Digest::sha256(bytes), size: 0 }).collect();
    if !blobs.is_empty() {
        place.sweep(patience)?.remove(&blobs)?;
    }
    Ok(u64::try_from(blobs.len()).unwrap_or(u64::MAX))
}

fn count((number, bytes): &mut (u64, u64), size: u64) {
    *number = number.saturating_add(1);
    *bytes = bytes.saturating_add(size);
}

/// Whether a blob belongs to the sample: by its digest and the seed, so that two runs with one seed
/// read the same ones.
fn is_chosen(digest: &Digest, what: &Verifying<'_>) -> bool {
    if what.sample >= 1.0 {
        return true;
    }
    let mut hasher = blake3::Hasher::new();
    hasher.update(&what.seed.to_le_bytes()).update(&digest.bytes);
    let number =
        hasher.finalize().as_bytes().iter().take(4).fold(0u32, |n, b| n << 8 | u32::from(*b));
    f64::from(number) < what.sample * f64::from(u32::MAX)
}

/// Reads what a snapshot says of itself: whether it is the one that has the name, and what could not
/// be kept in it. What is wrong with a blob is told where that is checked.
fn look_into(
    place: &dyn Place,
    named: &Named,
    keys: Option<&Keyring>,
    verified: &mut Verified,
) -> Result<(), ArchiveError> {
    if !named.descriptor.media_type.is_manifest() {
        return Ok(());
    }
    let manifest = match place::read_manifest(place, &named.descriptor) {
        Ok(manifest) if manifest.is_snapshot() => manifest,
        _ => return Ok(()),
    };
    let snapshot = Snapshot::read(place, &named.name, keys);
    if manifest.is_sealed() && snapshot.is_err() {
        // There is no key, or what is wrong was told.
        return Ok(());
    }
    let read = snapshot.and_then(|snapshot| {
        let (record, _) = whole_record(place, &snapshot, keys)?;
        Ok((snapshot.name, record.losses.unwrap_or_default()))
    });
    match read {
        Ok((_, losses)) if losses.is_empty() => {}
        Ok(found) => verified.losses.push(found),
        Err(error) if error.is_transient() => return Err(error),
        Err(error) if is_of_document(&error) => {
            let names = vec![named.name.clone()];
            verified.faults.push(Fault { names, blob: None, error });
        }
        Err(_) => {}
    }
    Ok(())
}

/// Whether it is about what a document says, and not about a blob's bytes.
fn is_of_document(error: &ArchiveError) -> bool {
    matches!(
        error,
        ArchiveError::Misnamed { .. }
            | ArchiveError::Malformed { .. }
            | ArchiveError::Refused { .. }
    )
}

/// The layer with the record, which is read in any case.
fn is_record(blob: &Descriptor) -> bool {
    blob.annotations.get(annotation::LAYER).is_some_and(|word| word == Role::Record.word())
}

/// Adds the blobs that a manifest leads to; the documents on the way are checked. What is wrong
/// with these is returned.
fn walk(
    place: &dyn Place,
    name: &str,
    root: &Descriptor,
    keys: Option<&Keyring>,
    blobs: &mut Blobs,
) -> Vec<(Descriptor, ArchiveError)> {
    let mut faults = Vec::new();
    let mut open = vec![(root.clone(), 0)];
    let mut seen = BTreeSet::new();
    while let Some((descriptor, depth)) = open.pop() {
        if !seen.insert(descriptor.digest.bytes) || depth > Bounds::NESTING {
            continue;
        }
        if descriptor.media_type.is_index() {
            match place::read_index(place, &descriptor) {
                Ok(index) => open
                    .extend(index.manifests.into_iter().map(|entry| (entry.descriptor, depth + 1))),
                Err(error) => faults.push((descriptor, error)),
            }
        } else if descriptor.media_type.is_manifest() {
            match place::read_manifest(place, &descriptor) {
                Ok(manifest) => {
                    for blob in manifest.distinct_blobs() {
                        let known = blobs.entry(blob.digest.bytes);
                        let (_, names) = known.or_insert_with(|| (blob.clone(), Vec::new()));
                        names.push(name.to_owned());
                    }
                    // Only with its key can an encrypted snapshot's manifest be believed.
                    if manifest.is_sealed()
                        && keys.is_some()
                        && let Err(error) = Snapshot::read(place, name, keys)
                    {
                        faults.push((manifest.config, error));
                    }
                }
                Err(error) => faults.push((descriptor, error)),
            }
        } else {
            blobs
                .entry(descriptor.digest.bytes)
                .or_insert_with(|| (descriptor, vec![name.to_owned()]));
        }
    }
    faults
}

fn check(
    place: &dyn Place,
    blob: &Descriptor,
    keys: Option<&Keyring>,
    progress: &dyn Fn(u64),
) -> Result<(), ArchiveError> {
    if let Some(size) = place.find(&blob.digest)?
        && size != blob.size
    {
        let what = format!("it has {size} bytes, not {}", blob.size);
        return Err(ArchiveError::damaged(blob.digest, what));
    }
    // A data key's file is encrypted to people, not to a data key.
    let is_key = blob.media_type.0 == media::KEY;
    let keys = keys.filter(|_| blob.media_type.0.ends_with("+age") && !is_key);
    let mut reader: Box<dyn Read> = match keys {
        Some(_) => Box::new(Snapshot::open_layer(place, blob, keys)?),
        None => Box::new(place::open_checked(place, &Blob::from(blob))?),
    };
    let mut buffer = vec![0; 256 << 10];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(length) => progress(u64::try_from(length).unwrap_or(0)),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => {
                return Err(ArchiveError::of(error, |source| {
                    ArchiveError::damaged(blob.digest, format!("it cannot be read: {source}"))
                }));
            }
        }
    }
}
