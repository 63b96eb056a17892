//! The config of an image (OCI image specification 1.1, config.md).

use std::collections::BTreeMap;

use ctrlz_core::digest::Digest;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Bounds, Platform, document};
use crate::ArchiveError;

/// The config of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageConfig {
    /// When the image was made, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// The processor, by Go's name.
    pub architecture: String,
    /// The operating system, by Go's name.
    pub os: String,
    /// Which kind of the processor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// How to run it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<Execution>,
    /// What its layers are when nothing stands around them.
    pub rootfs: RootFs,
    /// How each layer came to be.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<History>,
    /// What other tools wrote and ctrlz has no use for.
    #[serde(flatten)]
    pub other: BTreeMap<String, Value>,
}

/// How to run an image.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Execution {
    /// User or uid, with or without a group.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// The environment, `NAME=value`.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// What always stands first on the command line.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub entrypoint: Vec<String>,
    /// What follows when nothing else is asked for.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub cmd: Vec<String>,
    /// Where it runs.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub working_dir: String,
    /// What other tools wrote and ctrlz has no use for.
    #[serde(flatten)]
    pub other: BTreeMap<String, Value>,
}

/// What the layers are when nothing stands around them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootFs {
    /// Always `layers`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The SHA-256 of each layer's tar, lowest first.
    #[serde(default, deserialize_with = "or_default")]
    pub diff_ids: Vec<Digest>,
}

/// How a layer came to be.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct History {
    /// When, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// By which command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// Whether it changed no file and has no layer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub empty_layer: bool,
    /// What other tools wrote and ctrlz has no use for.
    #[serde(flatten)]
    pub other: BTreeMap<String, Value>,
}

/// Docker writes `null` for what is empty.
fn or_default<'de, T: Deserialize<'de> + Default, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

impl ImageConfig {
    /// Reads the config of an image with `layers` layers.
    ///
    /// # Errors
    /// When it is larger than [`Bounds::CONFIG`], no JSON, or does not fit to the layers.
    pub fn parse(bytes: &[u8], layers: usize) -> Result<Self, ArchiveError> {
        const WHAT: &str = "the image config";
        let config: Self = document::parse(bytes, Bounds::CONFIG, WHAT)?;
        let refuse = |why: String| Err(ArchiveError::malformed(WHAT, why));
        let (kind, ids) = (&config.rootfs.kind, config.rootfs.diff_ids.len());
        if kind != "layers" {
            return refuse(format!("its root consists of `{}`", kind.escape_debug()));
        }
        if ids != layers {
            return refuse(format!("it tells of {ids} layers, the manifest of {layers}"));
        }
        Ok(config)
    }

    /// The machine that it is for.
    #[must_use]
    pub fn platform(&self) -> Platform {
        Platform {
            architecture: self.architecture.clone(),
            os: self.os.clone(),
            variant: self.variant.clone(),
        }
    }
}
