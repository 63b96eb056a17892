//! Images in one file that travels: an OCI image layout in a tar, which skopeo and podman call
//! `oci-archive`. [`crate::place::Bundle`] reads it.

use std::collections::BTreeSet;
use std::io::{Read, Write};

use ctrlz_core::digest::Digest;
use ctrlz_core::path::RelPath;

use crate::crypt::KEYS;
use crate::entry::{Entry, Kind, Metadata};
use crate::image::{Index, Manifest};
use crate::place::whole::Whole;
use crate::place::{self, Blob, Place};
use crate::tar::Writer;
use crate::{ArchiveError, Descriptor};

/// How much is read at once.
const STEP: usize = 256 << 10;

/// Writes the images that `place` has under `names` as one tar to `out`, each blob once and
/// checked on the way; when one of them is encrypted, with the place's data keys, which are
/// encrypted themselves. The same images give the same bytes. `progress` is told the bytes of blobs.
///
/// # Errors
/// When an image is missing or damaged, or `out` takes no more. What was written is of no use then.
pub fn export(
    place: &dyn Place,
    names: &[&str],
    out: &mut dyn Write,
    progress: &dyn Fn(u64),
) -> Result<(), ArchiveError> {
    let mut names: BTreeSet<&str> = names.iter().copied().collect();
    let mut images = Vec::new();
    for name in names.clone() {
        let root = place::require(place, name)?;
        let whole = Whole::read(place, &root)?;
        if is_sealed(&root, &whole)? && place.resolve(KEYS)?.is_some() && names.insert(KEYS) {
            let root = place::require(place, KEYS)?;
            let keys = Whole::read(place, &root)?;
            images.push((KEYS, root, keys));
        }
        if images.iter().all(|(there, ..)| *there != name) {
            images.push((name, root, whole));
        }
    }
    let mut index = Index::default();
    for (name, root, _) in &images {
        index.set(name, root.clone());
    }
    let mut tar = Writer::new(out);
    small(&mut tar, "oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    small(&mut tar, "index.json", &index.to_bytes()?)?;
    // skopeo gives directories that no entry tells of to root, and fails where it may not.
    for directory in ["blobs", "blobs/sha256"] {
        tar.start(&entry(directory, 0o755, Kind::Directory)?).map_err(failed)?;
    }
    let mut written = BTreeSet::new();
    for (_, root, whole) in &images {
        let manifests = whole.inner.iter().map(|(at, bytes)| (at, bytes));
        for (at, bytes) in manifests.chain([(root, &whole.bytes)]) {
            if written.insert(at.digest.bytes) {
                small(&mut tar, &blob_path(&at.digest), bytes)?;
            }
        }
    }
    for blob in images.iter().flat_map(|(.., whole)| &whole.blobs) {
        if written.insert(blob.digest.bytes) {
            copy(place, blob, &mut tar, progress)?;
        }
    }
    let out = tar.finish().map_err(failed)?;
    out.flush().map_err(failed)
}

fn is_sealed(root: &Descriptor, whole: &Whole) -> Result<bool, ArchiveError> {
    if root.media_type.is_index() {
        return Ok(false);
    }
    Ok(Manifest::parse(&whole.bytes, &root.media_type)?.is_sealed())
}

fn failed(error: std::io::Error) -> ArchiveError {
    ArchiveError::stream("write", error)
}

fn blob_path(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

fn entry(name: &str, mode: u32, kind: Kind) -> Result<Entry, ArchiveError> {
    let path = RelPath::parse(name)
        .map_err(|error| ArchiveError::malformed("a name in the archive", error))?;
    let metadata = Metadata { mode, ..Metadata::default() };
    Ok(Entry { path, kind, metadata })
}

fn small(tar: &mut Writer<&mut dyn Write>, name: &str, bytes: &[u8]) -> Result<(), ArchiveError> {
    let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    tar.append(&entry(name, 0o644, Kind::file(size))?, bytes).map_err(failed)
}

fn copy(
    place: &dyn Place,
    blob: &Descriptor,
    tar: &mut Writer<&mut dyn Write>,
    progress: &dyn Fn(u64),
) -> Result<(), ArchiveError> {
    tar.start(&entry(&blob_path(&blob.digest), 0o644, Kind::file(blob.size))?).map_err(failed)?;
    let mut reader = place::open_checked(place, &Blob::from(blob))?;
    let mut buffer = vec![0; STEP];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(length) => {
                tar.content(buffer.get(..length).unwrap_or_default()).map_err(failed)?;
                progress(u64::try_from(length).unwrap_or(0));
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(ArchiveError::stream("read", error)),
        }
    }
}
