//! Everything that an image consists of.

use std::collections::BTreeSet;

use super::Place;
use crate::image::{Bounds, Index, Manifest};
use crate::{ArchiveError, Descriptor};

/// Everything that an image consists of.
pub(crate) struct Whole {
    /// The bytes of the manifest or index that has the name.
    pub(crate) bytes: Vec<u8>,
    /// The manifests below an index, which have to be there before it.
    pub(crate) inner: Vec<(Descriptor, Vec<u8>)>,
    /// Everything else, each once.
    pub(crate) blobs: Vec<Descriptor>,
}

impl Whole {
    /// Reads what `root` leads to.
    pub(crate) fn read(from: &dyn Place, root: &Descriptor) -> Result<Self, ArchiveError> {
        let mut whole = Self { bytes: Vec::new(), inner: Vec::new(), blobs: Vec::new() };
        let mut seen = BTreeSet::new();
        let mut open = vec![(root.clone(), 0)];
        while let Some((descriptor, depth)) = open.pop() {
            if depth > Bounds::NESTING || whole.inner.len() > Bounds::LAYERS {
                let why = format!("blob {} lies too deep in indexes", descriptor.digest);
                return Err(ArchiveError::malformed("the index", why));
            }
            if !seen.insert(descriptor.digest.bytes) {
                continue;
            }
            let bytes = super::manifest_bytes(from, &descriptor)?;
            if descriptor.media_type.is_index() {
                let index = Index::parse(&bytes, Bounds::MANIFEST)
                    .map_err(|error| super::naming(&descriptor, error))?;
                open.extend(index.manifests.into_iter().map(|e| (e.descriptor, depth + 1)));
            } else {
                let manifest = Manifest::parse(&bytes, &descriptor.media_type)
                    .map_err(|error| super::naming(&descriptor, error))?;
                for blob in manifest.blobs() {
                    if seen.insert(blob.digest.bytes) {
                        whole.blobs.push(blob.clone());
                    }
                }
            }
            if depth > 0 {
                whole.inner.push((descriptor, bytes));
            } else {
                whole.bytes = bytes;
            }
        }
        // An index can be stored when what it leads to is there.
        whole.inner.reverse();
        Ok(whole)
    }
}
