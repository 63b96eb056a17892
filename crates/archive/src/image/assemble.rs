//! Making the documents of an image whose layers are there.

use std::collections::BTreeMap;

use ctrlz_core::digest::Digest;

use super::form::media;
use super::manifest::describe;
use super::role::annotation;
use super::{Execution, History, ImageConfig, Manifest, Platform, Role, RootFs};
use crate::{ArchiveError, Descriptor, MediaType};

/// One layer of an image to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The blob.
    pub descriptor: Descriptor,
    /// The SHA-256 of its tar.
    pub diff_id: Digest,
    /// What it is of a snapshot.
    pub role: Role,
    /// Its name in the store.
    pub id: Option<String>,
    /// How it came to be: the command that wrote it, ….
    pub created_by: Option<String>,
}

/// The documents of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assembled {
    /// The manifest, which names the config by its digest.
    pub manifest: Manifest,
    /// The config.
    pub config: ImageConfig,
    /// The config's bytes.
    pub config_bytes: Vec<u8>,
}

/// Makes config and manifest of `parts`, lowest first. The same input gives the same bytes.
/// `created` is RFC 3339; an archive has no time of its own.
///
/// # Errors
/// When the layers stand in an order that no snapshot has, or are too many.
pub fn assemble(
    parts: &[Part],
    created: &str,
    platform: &Platform,
    execution: Execution,
    annotations: BTreeMap<String, String>,
) -> Result<Assembled, ArchiveError> {
    let layers: Vec<Descriptor> = parts.iter().map(annotated).collect();
    super::roles_in_order(&layers)?;
    let history = |part: &Part| History {
        created: Some(created.to_owned()),
        created_by: Some(part.created_by.clone().unwrap_or_else(|| {
            format!("ctrlz: {} {}", part.role.word(), part.id.as_deref().unwrap_or_default())
                .trim_end()
                .to_owned()
        })),
        ..History::default()
    };
    let config = ImageConfig {
        created: Some(created.to_owned()),
        architecture: platform.architecture.clone(),
        os: platform.os.clone(),
        variant: platform.variant.clone(),
        config: Some(execution),
        rootfs: RootFs {
            kind: "layers".to_owned(),
            diff_ids: parts.iter().map(|part| part.diff_id).collect(),
        },
        history: parts.iter().map(history).collect(),
        other: BTreeMap::new(),
    };
    let config_bytes = super::to_bytes(&config, "the image config")?;
    let mut annotations = annotations;
    annotations.entry(annotation::CREATED.to_owned()).or_insert_with(|| created.to_owned());
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(MediaType::from(media::MANIFEST)),
        artifact_type: None,
        config: describe(media::CONFIG, &config_bytes),
        layers,
        annotations,
        other: BTreeMap::new(),
    };
    // What could not be read again must not be written.
    Manifest::parse(&manifest.to_bytes()?, &MediaType::from(media::MANIFEST))?;
    ImageConfig::parse(&config_bytes, parts.len())?;
    Ok(Assembled { manifest, config, config_bytes })
}

fn annotated(part: &Part) -> Descriptor {
    let mut descriptor = part.descriptor.clone();
    let words = &mut descriptor.annotations;
    words.insert(annotation::LAYER.to_owned(), part.role.word().to_owned());
    if let Some(id) = &part.id {
        words.insert(annotation::LAYER_ID.to_owned(), id.clone());
    }
    descriptor
}
