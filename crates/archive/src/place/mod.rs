//! Where blobs and names lie.

mod bundle;
pub mod directory;
mod lock;
pub(crate) mod patient;
#[cfg(feature = "remote")]
mod remote;
pub(crate) mod whole;

use std::io::Read;
use std::time::{Duration, SystemTime};

use ctrlz_core::digest::Digest;

use crate::image::{Bounds, Index, Manifest, read_limited};
use crate::{ArchiveError, Checked, Descriptor};

pub use bundle::Bundle;
pub use directory::{BlobWriter, Directory};
pub use patient::Patient;
#[cfg(feature = "remote")]
pub use remote::{Login, Object, Registry};

/// Bytes from somewhere.
pub type Bytes = Box<dyn Read + Send>;

/// A blob by name and size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Blob {
    /// The SHA-256 of its bytes.
    pub digest: Digest,
    /// How many they are.
    pub size: u64,
}

impl From<&Descriptor> for Blob {
    fn from(descriptor: &Descriptor) -> Self {
        Self { digest: descriptor.digest, size: descriptor.size }
    }
}

/// What a name has to mean before it is given a new meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// Anything, or nothing.
    Any,
    /// Nothing.
    Absent,
    /// The manifest of that digest.
    Is(Digest),
}

/// A manifest that has a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The name.
    pub name: String,
    /// The manifest.
    pub descriptor: Descriptor,
}

/// A blob that a place holds, as garbage collection sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// Which one.
    pub blob: Blob,
    /// When it was written.
    pub written: SystemTime,
}

/// While one of these lives, nothing that was found or written after its making is collected.
pub trait Hold: Send {
    /// Called after names were published: tells which of `blobs` a collection that was under way
    /// took away. They have to be written again, after which this is asked again.
    ///
    /// # Errors
    /// When the place does not answer.
    fn lost(&self, blobs: &[Blob]) -> Result<Vec<Blob>, ArchiveError>;
}

/// A blob's bytes from an offset on, as often as they are needed. They are read by the thread that
/// asks.
pub type Source<'a> = dyn Fn(u64) -> Result<Box<dyn Read + Send + 'a>, ArchiveError> + Sync + 'a;

/// Where blobs and names lie. Every method may be called from several threads at once.
///
/// What a place gives is not checked by it: [`open_checked`] and [`read_manifest`] do that.
pub trait Place: Send + Sync {
    /// The address, for people. It holds no secret.
    fn address(&self) -> String;

    /// Keeps collection away.
    ///
    /// # Errors
    /// When the place cannot be written to, or a collection does not end.
    fn hold(&self) -> Result<Box<dyn Hold + '_>, ArchiveError>;

    /// The size of a blob that is there.
    ///
    /// # Errors
    /// When the place does not answer.
    fn find(&self, digest: &Digest) -> Result<Option<u64>, ArchiveError>;

    /// The bytes of a blob from offset `from` on.
    ///
    /// # Errors
    /// [`ArchiveError::Missing`] when it is not there.
    fn read(&self, blob: &Blob, from: u64) -> Result<Bytes, ArchiveError>;

    /// Writes a blob, going on where an earlier try ended when that is possible. It appears whole
    /// or not at all. `sent` is told how many bytes were taken over each time.
    ///
    /// # Errors
    /// [`ArchiveError::Damaged`] when the source gives other bytes than the name promises.
    fn write(
        &self,
        blob: &Blob,
        source: &Source<'_>,
        sent: &(dyn Fn(u64) + Sync),
    ) -> Result<(), ArchiveError>;

    /// All names.
    ///
    /// # Errors
    /// When the place does not answer or its index is malformed.
    fn names(&self) -> Result<Vec<Named>, ArchiveError>;

    /// Everything that the place's index leads to, with or without a name: what must not be
    /// collected.
    ///
    /// # Errors
    /// When the place does not answer or its index is malformed.
    fn roots(&self) -> Result<Vec<Descriptor>, ArchiveError>;

    /// The manifest of that name.
    ///
    /// # Errors
    /// When the place does not answer or its index is malformed.
    fn resolve(&self, name: &str) -> Result<Option<Descriptor>, ArchiveError>;

    /// The bytes of a manifest, at most [`Bounds::MANIFEST`], not checked.
    ///
    /// # Errors
    /// [`ArchiveError::Missing`] when it is not there.
    fn manifest(&self, descriptor: &Descriptor) -> Result<Vec<u8>, ArchiveError>;

    /// Stores a manifest that no name leads to yet, such as one that an index names.
    ///
    /// # Errors
    /// When the place cannot be written to.
    fn store_manifest(&self, manifest: &Descriptor, bytes: &[u8]) -> Result<(), ArchiveError>;

    /// Stores a manifest, all of whose blobs are there, and gives it a name.
    ///
    /// # Errors
    /// [`ArchiveError::Moved`] when the name does not mean what was expected; nothing is changed.
    fn publish(
        &self,
        name: &str,
        manifest: &Descriptor,
        bytes: &[u8],
        expect: Expect,
    ) -> Result<(), ArchiveError>;

    /// Takes a name away; its manifest and blobs stay until they are collected. Whether it was
    /// there.
    ///
    /// # Errors
    /// When the place does not answer or cannot do that.
    fn withdraw(&self, name: &str) -> Result<bool, ArchiveError>;

    /// Begins a collection: nobody else collects, and no new [`Hold`] is given where a place can
    /// promise that, until the answer is dropped.
    ///
    /// # Errors
    /// [`ArchiveError::Busy`] when somebody writes or collects and does not end within `patience`.
    fn sweep(&self, patience: Duration) -> Result<Box<dyn Sweep + '_>, ArchiveError>;
}

/// A collection under way.
pub trait Sweep {
    /// Everything that is there under a blob's name.
    ///
    /// # Errors
    /// When the place does not answer.
    fn held(&self) -> Result<Vec<Held>, ArchiveError>;

    /// Removes blobs; the bytes that became free.
    ///
    /// # Errors
    /// When one cannot be removed.
    fn remove(&self, blobs: &[Blob]) -> Result<u64, ArchiveError>;

    /// Removes what unfinished writes left that are older than `grace`: how many, and their bytes.
    ///
    /// # Errors
    /// When one cannot be removed.
    fn remove_unfinished(&self, grace: Duration, dry: bool) -> Result<(u64, u64), ArchiveError>;
}

/// Reads a blob so that its size and digest are checked on the way.
///
/// # Errors
/// When it is missing.
pub fn open_checked(place: &dyn Place, blob: &Blob) -> Result<Checked<Bytes>, ArchiveError> {
    Ok(Checked::new(place.read(blob, 0)?, blob.digest, blob.size))
}

/// Reads all of a small blob, checked.
///
/// # Errors
/// When it is missing, damaged or larger than `limit`.
pub fn read_small(place: &dyn Place, blob: &Blob, limit: u64) -> Result<Vec<u8>, ArchiveError> {
    if blob.size > limit {
        let what = format!("it is said to have {} bytes, more than {limit}", blob.size);
        return Err(ArchiveError::damaged(blob.digest, what));
    }
    read_limited(open_checked(place, blob)?, limit, "a blob")
}

/// Writes a small blob.
///
/// # Errors
/// When the place cannot be written to.
pub fn write_small(place: &dyn Place, blob: &Blob, bytes: &[u8]) -> Result<(), ArchiveError> {
    if place.find(&blob.digest)? == Some(blob.size) {
        return Ok(());
    }
    let source = |from: u64| -> Result<Box<dyn Read + Send + '_>, ArchiveError> {
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        Ok(Box::new(bytes.get(from..).unwrap_or_default()))
    };
    place.write(blob, &source, &|_| ())
}

/// The bytes of a manifest or a nested index, checked.
///
/// # Errors
/// When it is missing or damaged.
pub fn manifest_bytes(place: &dyn Place, of: &Descriptor) -> Result<Vec<u8>, ArchiveError> {
    if of.size > Bounds::MANIFEST {
        let what = format!("a manifest of {} bytes", of.size);
        return Err(ArchiveError::damaged(of.digest, what));
    }
    let bytes = place.manifest(of)?;
    let mut checked = Checked::new(bytes.as_slice(), of.digest, of.size);
    read_limited(&mut checked, Bounds::MANIFEST, "the manifest")
}

/// Reads the manifest of an image, checked. Its errors name the blob.
///
/// # Errors
/// When it is missing, damaged or malformed.
pub fn read_manifest(place: &dyn Place, of: &Descriptor) -> Result<Manifest, ArchiveError> {
    let bytes = manifest_bytes(place, of)?;
    Manifest::parse(&bytes, &of.media_type).map_err(|error| naming(of, error))
}

/// Reads an index that lies in a place as a blob, checked. Its errors name the blob.
///
/// # Errors
/// When it is missing, damaged or malformed.
pub fn read_index(place: &dyn Place, of: &Descriptor) -> Result<Index, ArchiveError> {
    let bytes = manifest_bytes(place, of)?;
    Index::parse(&bytes, Bounds::MANIFEST).map_err(|error| naming(of, error))
}

/// The manifest that has a name; an error when none has.
///
/// # Errors
/// When the place does not answer or has no such name.
pub fn require(place: &dyn Place, name: &str) -> Result<Descriptor, ArchiveError> {
    let unnamed = || ArchiveError::Unnamed { place: place.address(), name: name.to_owned() };
    place.resolve(name)?.ok_or_else(unnamed)
}

/// `error` with the name of the blob that it is about.
pub(crate) fn naming(of: &Descriptor, error: ArchiveError) -> ArchiveError {
    match error {
        ArchiveError::Malformed { what, why } => {
            ArchiveError::Malformed { what, why: format!("{why} (blob {})", of.digest) }
        }
        other => other,
    }
}

/// Whether what a name means is what was expected.
pub(crate) fn meets(
    place: &dyn Place,
    name: &str,
    found: Option<Digest>,
    expect: Expect,
) -> Result<(), ArchiveError> {
    let met = match expect {
        Expect::Any => true,
        Expect::Absent => found.is_none(),
        Expect::Is(digest) => found == Some(digest),
    };
    if met {
        return Ok(());
    }
    Err(ArchiveError::Moved { place: place.address(), name: name.to_owned() })
}
