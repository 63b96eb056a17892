//! The image for a host, where a place has it for several.

use ctrlz_core::digest::Digest;

use super::{Bounds, ImageConfig, Platform};
use crate::place::{self, Blob, Place};
use crate::{ArchiveError, Descriptor};

/// An image as its manifest and config tell it, before any layer is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// Its manifest.
    pub manifest: Descriptor,
    /// The SHA-256 of its config, which other tools call the id of the image.
    pub id: Digest,
    /// Its config, which names the content of each layer.
    pub config: ImageConfig,
}

impl Chosen {
    /// The image for `host` that `of` leads to: itself, or one of an index.
    ///
    /// # Errors
    /// When the place does not answer, an index has no image or several for the host, or a document
    /// is missing, damaged or malformed.
    pub fn of(from: &dyn Place, of: Descriptor, host: &Platform) -> Result<Self, ArchiveError> {
        let mut manifest = of;
        for _ in 0..Bounds::NESTING {
            if !manifest.media_type.is_index() {
                return Self::described(from, manifest);
            }
            let index = place::read_index(from, &manifest)?;
            manifest = index.choose(None, host)?.descriptor.clone();
        }
        Err(ArchiveError::malformed("the index", "indexes lie too deep in indexes"))
    }

    fn described(from: &dyn Place, manifest: Descriptor) -> Result<Self, ArchiveError> {
        let read = place::read_manifest(from, &manifest)?;
        if read.is_sealed() {
            let why = "it is an encrypted snapshot: restore it with its key, it is no base";
            return Err(ArchiveError::malformed("the image", why));
        }
        let config = place::read_small(from, &Blob::from(&read.config), Bounds::CONFIG)?;
        let config = ImageConfig::parse(&config, read.layers.len())?;
        Ok(Self { manifest, id: read.config.digest, config })
    }
}
