//! An image manifest (OCI image specification 1.1, manifest.md).

use std::collections::{BTreeMap, BTreeSet};

use ctrlz_core::digest::{Algorithm, Digest};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::form::{LayerForm, media};
use super::role::annotation;
use super::{Bounds, document};
use crate::sha256::Sha256;
use crate::{ArchiveError, Descriptor, MediaType};

/// An image manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Always 2.
    pub schema_version: u32,
    /// What it is; tools before version 1.1 leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<MediaType>,
    /// What it is when it is no image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<MediaType>,
    /// The config.
    pub config: Descriptor,
    /// The layers, lowest first.
    pub layers: Vec<Descriptor>,
    /// Words about it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// What other tools wrote and ctrlz has no use for.
    #[serde(flatten)]
    pub other: BTreeMap<String, Value>,
}

const WHAT: &str = "the manifest";

impl Manifest {
    /// Reads a manifest that an index or a registry calls `media_type`.
    ///
    /// # Errors
    /// When it is larger than [`Bounds::MANIFEST`], no JSON, of another version or kind, or what it
    /// names cannot be.
    pub fn parse(bytes: &[u8], media_type: &MediaType) -> Result<Self, ArchiveError> {
        let manifest: Self = document::parse(bytes, Bounds::MANIFEST, WHAT)?;
        let refuse = |why: String| Err(ArchiveError::malformed(WHAT, why));
        if manifest.schema_version != 2 {
            return refuse(format!("its version is {}, not 2", manifest.schema_version));
        }
        if !media_type.is_manifest() {
            return refuse(format!("it is called `{media_type}`"));
        }
        if let Some(own) = manifest.media_type.as_ref().filter(|own| *own != media_type) {
            return refuse(format!("it calls itself `{own}` and is called `{media_type}`"));
        }
        // One document that is a manifest to one reader and an index to another hides what it is.
        if manifest.other.contains_key("manifests") {
            return refuse("it has `manifests`, which is an index's".to_owned());
        }
        if manifest.layers.len() > Bounds::LAYERS {
            return refuse(format!("it has {} layers", manifest.layers.len()));
        }
        manifest.check_blobs()?;
        Ok(manifest)
    }

    fn check_blobs(&self) -> Result<(), ArchiveError> {
        let refuse = |why: String| Err(ArchiveError::malformed(WHAT, why));
        let mut total: u64 = 0;
        let mut sizes = BTreeMap::new();
        for blob in self.blobs() {
            let Descriptor { digest, size, .. } = blob;
            if digest.algorithm != Algorithm::Sha256 {
                return refuse(format!("blob {digest} is named by another function than SHA-256"));
            }
            total = total.saturating_add(*size);
            if total > Bounds::BLOB {
                return refuse(format!("blob {digest} is said to have {size} bytes"));
            }
            if sizes.insert(digest.bytes, *size).is_some_and(|other| other != *size) {
                return refuse(format!("it gives two sizes for blob {digest}"));
            }
        }
        let Descriptor { digest, size, .. } = &self.config;
        if *size > Bounds::CONFIG {
            return refuse(format!("its config {digest} is said to have {size} bytes"));
        }
        Ok(())
    }

    /// The form of each layer.
    ///
    /// # Errors
    /// When one is no layer that ctrlz can unpack; the error names it.
    pub fn forms(&self) -> Result<Vec<LayerForm>, ArchiveError> {
        let form = |layer: &Descriptor| {
            LayerForm::of(&layer.media_type).ok_or_else(|| {
                let Descriptor { media_type, digest, .. } = layer;
                let why =
                    format!("layer {digest} is a `{media_type}`, not a tar, tar+gzip or tar+zstd");
                ArchiveError::malformed(WHAT, why)
            })
        };
        self.layers.iter().map(form).collect()
    }

    /// Everything that it names: the config, then the layers.
    pub fn blobs(&self) -> impl Iterator<Item = &Descriptor> {
        std::iter::once(&self.config).chain(&self.layers)
    }

    /// The same, each blob once.
    #[must_use]
    pub fn distinct_blobs(&self) -> Vec<&Descriptor> {
        let mut seen = BTreeSet::new();
        self.blobs().filter(|blob| seen.insert(blob.digest.bytes)).collect()
    }

    /// As bytes.
    ///
    /// # Errors
    /// When it grew too large to be read again.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ArchiveError> {
        let bytes = document::to_bytes(self, WHAT)?;
        if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > Bounds::MANIFEST {
            return Err(ArchiveError::malformed(WHAT, "it would grow larger than 4 MiB"));
        }
        Ok(bytes)
    }

    /// Whether it is a snapshot, and not an image of other tools.
    #[must_use]
    pub fn is_snapshot(&self) -> bool {
        let has_role = |layer: &Descriptor| layer.annotations.contains_key(annotation::LAYER);
        self.is_sealed() || self.layers.first().is_some_and(has_role)
    }

    /// Whether it is an encrypted snapshot.
    #[must_use]
    pub fn is_sealed(&self) -> bool {
        self.config.media_type.0 == media::SEALED_CONFIG
    }
}

/// The descriptor of `bytes`.
#[must_use]
pub fn describe(media_type: &str, bytes: &[u8]) -> Descriptor {
    let mut hasher = Sha256::new();
    hasher.update(bytes);
    let digest: Digest = hasher.finish();
    Descriptor {
        media_type: MediaType::from(media_type),
        digest,
        size: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
        annotations: BTreeMap::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        let layer = |content: &[u8]| describe(media::TAR_ZSTD, content);
        Manifest {
            schema_version: 2,
            media_type: Some(MediaType::from(media::MANIFEST)),
            artifact_type: None,
            config: describe(media::CONFIG, b"{}"),
            layers: vec![layer(b"one"), layer(b"two")],
            annotations: BTreeMap::new(),
            other: BTreeMap::from([("subject".to_owned(), Value::Null)]),
        }
    }

    fn told(manifest: &Manifest) -> String {
        let bytes = document::to_bytes(manifest, WHAT).expect("bytes");
        match Manifest::parse(&bytes, &MediaType::from(media::MANIFEST)) {
            Ok(read) => {
                assert_eq!(read, *manifest);
                "taken".to_owned()
            }
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn takes_what_can_be_and_tells_why_not() {
        assert_eq!(told(&manifest()), "taken");
        let refused = |part: &str, change: &dyn Fn(&mut Manifest)| {
            let mut changed = manifest();
            change(&mut changed);
            let told = told(&changed);
            assert!(told.contains(part), "{told}, not {part}");
        };
        refused("its version is 1", &|m| m.schema_version = 1);
        refused("it calls itself `x`", &|m| m.media_type = Some(MediaType::from("x")));
        refused("which is an index's", &|m| {
            m.other.insert("manifests".to_owned(), Value::Array(Vec::new()));
        });
        refused("it has 4097 layers", &|m| m.layers = vec![describe(media::TAR, b"x"); 4097]);
        refused("is said to have 9223372036854775808 bytes", &|m| {
            m.layers.iter_mut().for_each(|layer| layer.size = 1 << 63);
        });
        refused("it gives two sizes", &|m| {
            let mut twice = m.layers.clone();
            twice.iter_mut().for_each(|layer| layer.size += 1);
            m.layers.extend(twice);
        });
        refused("another function than SHA-256", &|m| {
            m.config.digest.algorithm = Algorithm::Blake3;
        });
        refused("its config", &|m| m.config.size = Bounds::CONFIG + 1);
        let mut plain = manifest();
        plain.layers.iter_mut().for_each(|layer| layer.media_type = MediaType::from("text/plain"));
        let error = plain.forms().expect_err("no layer").to_string();
        assert!(error.contains(&plain.layers.first().expect("one").digest.to_string()), "{error}");
    }

    #[test]
    fn a_document_is_not_two_things_at_once() {
        for twice in ["schemaVersion", "layers", "config"] {
            let text = String::from_utf8(manifest().to_bytes().expect("bytes")).expect("text");
            let value: Value = serde_json::from_str(&text).expect("JSON");
            let again =
                format!("{{\"{twice}\":{},{}", value.get(twice).expect("there"), &text[1..]);
            let error = Manifest::parse(again.as_bytes(), &MediaType::from(media::MANIFEST));
            let error = error.expect_err("twice").to_string();
            assert!(error.contains("duplicate field"), "{error}");
        }
        let as_index = Manifest::parse(b"{}", &MediaType::from(media::INDEX));
        assert!(as_index.is_err());
    }
}
