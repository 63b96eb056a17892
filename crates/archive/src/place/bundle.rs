//! A place that is one file: an OCI image layout in a tar (`oci-archive`), to read from.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ctrlz_core::digest::{Algorithm, Digest};
use serde::Deserialize;

use super::{Blob, Bytes, Expect, Hold, Named, Place, Source, Sweep};
use crate::image::files::{Files, Part};
use crate::image::{Bounds, Index, IndexEntry, parse, read_limited};
use crate::{ArchiveError, Descriptor};

/// An OCI image layout in a tar file, or in a directory that nobody may write to. What is in it can
/// be listed, checked, restored and brought to another place.
#[derive(Debug)]
pub struct Bundle {
    path: PathBuf,
    files: Files,
    index: Index,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Layout {
    image_layout_version: String,
}

impl Bundle {
    /// Opens the file at `path`. It must not be changed as long as it is open.
    ///
    /// # Errors
    /// When it cannot be read, or holds no image layout.
    pub fn open(path: &Path) -> Result<Self, ArchiveError> {
        let files = Files::open(path)?;
        if !files.has("oci-layout") {
            let why = format!("{} has no `oci-layout` in it", path.display());
            return Err(ArchiveError::malformed("the image", why));
        }
        let layout = files.small("oci-layout", 4096, "oci-layout")?;
        let layout: Layout = parse(&layout, 4096, "oci-layout")?;
        if !layout.image_layout_version.starts_with("1.") {
            let why = format!("version `{}`, not 1", layout.image_layout_version.escape_debug());
            return Err(ArchiveError::malformed("oci-layout", why));
        }
        let index = files.small("index.json", Bounds::INDEX, "index.json")?;
        let index = Index::parse(&index, Bounds::INDEX)?;
        Ok(Self { path: path.to_owned(), files, index })
    }

    fn refuse<T>(&self, what: &'static str) -> Result<T, ArchiveError> {
        let why = "it is a file to read from; import what is in it and work with that".to_owned();
        Err(ArchiveError::Unsupported { place: self.address(), what, why })
    }

    fn name_of(blob: &Digest) -> Result<String, ArchiveError> {
        if blob.algorithm != Algorithm::Sha256 {
            return Err(ArchiveError::Missing(*blob));
        }
        Ok(format!("blobs/sha256/{}", blob.hex()))
    }

    fn open_blob(&self, digest: &Digest) -> Result<(Part, u64), ArchiveError> {
        let name = Self::name_of(digest)?;
        if !self.files.has(&name) {
            return Err(ArchiveError::Missing(*digest));
        }
        self.files.open_file(&name)
    }
}

/// Tools leave the name out where there is one image only; it gets one that says which it is.
fn name(entry: &IndexEntry) -> String {
    entry.name().map_or_else(
        || {
            let hex = entry.descriptor.digest.hex();
            format!("unnamed-{}", hex.get(..12).unwrap_or(&hex))
        },
        str::to_owned,
    )
}

impl Place for Bundle {
    fn address(&self) -> String {
        self.path.display().to_string()
    }

    fn hold(&self) -> Result<Box<dyn Hold + '_>, ArchiveError> {
        self.refuse("be written to")
    }

    fn find(&self, digest: &Digest) -> Result<Option<u64>, ArchiveError> {
        match self.open_blob(digest) {
            Ok((_, size)) => Ok(Some(size)),
            Err(ArchiveError::Missing(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn read(&self, blob: &Blob, from: u64) -> Result<Bytes, ArchiveError> {
        let (mut reader, _) = self.open_blob(&blob.digest)?;
        reader.skip(from);
        Ok(Box::new(reader))
    }

    fn write(
        &self,
        _: &Blob,
        _: &Source<'_>,
        _: &(dyn Fn(u64) + Sync),
    ) -> Result<(), ArchiveError> {
        self.refuse("be written to")
    }

    fn names(&self) -> Result<Vec<Named>, ArchiveError> {
        let entries = self.index.manifests.iter().cloned();
        Ok(entries.map(|entry| Named { name: name(&entry), descriptor: entry.unnamed() }).collect())
    }

    fn roots(&self) -> Result<Vec<Descriptor>, ArchiveError> {
        Ok(self.index.manifests.iter().map(|entry| entry.descriptor.clone()).collect())
    }

    fn resolve(&self, wanted: &str) -> Result<Option<Descriptor>, ArchiveError> {
        let found = self.index.manifests.iter().find(|entry| name(entry) == wanted);
        Ok(found.cloned().map(IndexEntry::unnamed))
    }

    fn manifest(&self, descriptor: &Descriptor) -> Result<Vec<u8>, ArchiveError> {
        read_limited(self.open_blob(&descriptor.digest)?.0, Bounds::MANIFEST, "the manifest")
    }

    fn store_manifest(&self, _: &Descriptor, _: &[u8]) -> Result<(), ArchiveError> {
        self.refuse("be written to")
    }

    fn publish(&self, _: &str, _: &Descriptor, _: &[u8], _: Expect) -> Result<(), ArchiveError> {
        self.refuse("be written to")
    }

    fn withdraw(&self, _: &str) -> Result<bool, ArchiveError> {
        self.refuse("be written to")
    }

    fn sweep(&self, _: Duration) -> Result<Box<dyn Sweep + '_>, ArchiveError> {
        self.refuse("be collected")
    }
}
