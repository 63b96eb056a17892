//! What a manifest says of a blob (OCI image specification 1.1, descriptor.md).

use std::collections::BTreeMap;

use ctrlz_core::digest::Digest;
use serde::{Deserialize, Serialize};

/// What a blob is, as its descriptor writes it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MediaType(pub String);

/// A blob by its digest, size and kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What it is.
    pub media_type: MediaType,
    /// The SHA-256 of the bytes that lie there.
    pub digest: Digest,
    /// How many bytes lie there.
    pub size: u64,
    /// Words about it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}
