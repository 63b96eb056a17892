//! Media types: what a blob is.

use crate::MediaType;

/// The media types that ctrlz writes or understands.
pub mod media {
    /// An index of manifests.
    pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
    /// An image manifest.
    pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    /// An image config.
    pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
    /// The config of a manifest that is no image: `{}`.
    pub const EMPTY: &str = "application/vnd.oci.empty.v1+json";
    /// A layer: tar.
    pub const TAR: &str = "application/vnd.oci.image.layer.v1.tar";
    /// A layer: tar, gzip.
    pub const TAR_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
    /// A layer: tar, zstd.
    pub const TAR_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
    /// Docker's name for an index.
    pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
    /// Docker's name for a manifest.
    pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
    /// Docker's name for a config.
    pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
    /// An encrypted snapshot, as the type of the whole.
    pub const SEALED_SNAPSHOT: &str = "application/vnd.ctrlz.snapshot.v1+age";
    /// An encrypted config, with the words about the layers and the snapshot's name.
    pub const SEALED_CONFIG: &str = "application/vnd.ctrlz.config.v1+json+age";
    /// An encrypted layer: tar, age.
    pub const SEALED_TAR: &str = "application/vnd.ctrlz.layer.v1.tar+age";
    /// An encrypted layer: tar, gzip, age.
    pub const SEALED_TAR_GZIP: &str = "application/vnd.ctrlz.layer.v1.tar+gzip+age";
    /// An encrypted layer: tar, zstd, age.
    pub const SEALED_TAR_ZSTD: &str = "application/vnd.ctrlz.layer.v1.tar+zstd+age";
    /// The data keys of a place, as the type of the whole.
    pub const KEYS: &str = "application/vnd.ctrlz.keys.v1";
    /// One data key, encrypted to its owners.
    pub const KEY: &str = "application/vnd.ctrlz.key.v1+age";
}

/// How the tar of a layer is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// It is not.
    None,
    /// gzip (RFC 1952).
    Gzip,
    /// zstd (RFC 8878).
    Zstd,
}

impl From<crate::codec::Compression> for Coding {
    fn from(compression: crate::codec::Compression) -> Self {
        match compression {
            crate::codec::Compression::Zstd { .. } => Self::Zstd,
            crate::codec::Compression::Gzip { .. } => Self::Gzip,
            crate::codec::Compression::None => Self::None,
        }
    }
}

/// What stands around the tar of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerForm {
    /// Next to the tar.
    pub coding: Coding,
    /// Whether age stands around that.
    pub encrypted: bool,
}

/// Every media type of a layer and its form; for each form the first one is what ctrlz writes.
const LAYERS: [(&str, Coding, bool); 12] = [
    (media::TAR, Coding::None, false),
    (media::TAR_GZIP, Coding::Gzip, false),
    (media::TAR_ZSTD, Coding::Zstd, false),
    (media::SEALED_TAR, Coding::None, true),
    (media::SEALED_TAR_GZIP, Coding::Gzip, true),
    (media::SEALED_TAR_ZSTD, Coding::Zstd, true),
    ("application/vnd.docker.image.rootfs.diff.tar", Coding::None, false),
    ("application/vnd.docker.image.rootfs.diff.tar.gzip", Coding::Gzip, false),
    ("application/vnd.docker.image.rootfs.diff.tar.zstd", Coding::Zstd, false),
    // Layers that must not be handed on; what lies there is a layer like any other.
    ("application/vnd.oci.image.layer.nondistributable.v1.tar", Coding::None, false),
    ("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", Coding::Gzip, false),
    ("application/vnd.oci.image.layer.nondistributable.v1.tar+zstd", Coding::Zstd, false),
];

impl LayerForm {
    /// The form that a media type tells of; `None` when it is no layer's.
    #[must_use]
    pub fn of(media_type: &MediaType) -> Option<Self> {
        LAYERS
            .iter()
            .find(|(name, ..)| *name == media_type.0)
            .map(|&(_, coding, encrypted)| Self { coding, encrypted })
    }

    /// The media type that ctrlz gives to layers of this form.
    #[must_use]
    pub fn media_type(self) -> MediaType {
        let Self { coding, encrypted } = self;
        MediaType::from(match (coding, encrypted) {
            (Coding::None, false) => media::TAR,
            (Coding::Gzip, false) => media::TAR_GZIP,
            (Coding::Zstd, false) => media::TAR_ZSTD,
            (Coding::None, true) => media::SEALED_TAR,
            (Coding::Gzip, true) => media::SEALED_TAR_GZIP,
            (Coding::Zstd, true) => media::SEALED_TAR_ZSTD,
        })
    }

    /// The same layer with or without age around it.
    #[must_use]
    pub fn encrypted(self, encrypted: bool) -> Self {
        Self { encrypted, ..self }
    }
}

impl From<&str> for MediaType {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl MediaType {
    /// Whether a blob of this type names further blobs as an index does.
    #[must_use]
    pub fn is_index(&self) -> bool {
        [media::INDEX, media::DOCKER_LIST].contains(&self.0.as_str())
    }

    /// Whether a blob of this type names further blobs as an image manifest does.
    #[must_use]
    pub fn is_manifest(&self) -> bool {
        [media::MANIFEST, media::DOCKER_MANIFEST].contains(&self.0.as_str())
    }
}

impl std::fmt::Display for MediaType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_as_the_same_form() {
        for (_, coding, encrypted) in LAYERS {
            let form = LayerForm { coding, encrypted };
            assert_eq!(LayerForm::of(&form.media_type()), Some(form));
        }
        assert_eq!(LayerForm::of(&MediaType::from(media::CONFIG)), None);
    }
}
