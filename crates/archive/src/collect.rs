//! Collecting what no name leads to.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use ctrlz_core::digest::Digest;
use serde_json::Value;

use crate::image::Bounds;
use crate::place::{self, Blob, Place};
use crate::{ArchiveError, Descriptor, MediaType};

/// How to collect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Collecting {
    /// Blobs written more recently than this stay: somebody may be about to name them.
    pub grace: Duration,
    /// How long to wait for those who write.
    pub patience: Duration,
    /// Only tell what would be removed.
    pub dry_run: bool,
}

impl Default for Collecting {
    fn default() -> Self {
        let (grace, patience) = (Duration::from_secs(24 * 60 * 60), Duration::from_secs(30));
        Self { grace, patience, dry_run: false }
    }
}

/// What a collection came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Collected {
    /// Blobs that some name leads to, and their bytes.
    pub kept: (u64, u64),
    /// Blobs that none leads to and that are too young, and their bytes.
    pub young: (u64, u64),
    /// Blobs removed, and their bytes.
    pub removed: (u64, u64),
    /// Remains of unfinished writes removed, and their bytes.
    pub unfinished: (u64, u64),
}

/// Removes the blobs that no name leads to. Whoever pushes at the same time loses nothing; a kill
/// at any moment leaves nothing that the next collection does not remove.
///
/// # Errors
/// When somebody writes for longer than there is patience, or a manifest is missing, damaged or
/// malformed: what it leads to is not known then, and nothing is removed.
pub fn collect(place: &dyn Place, how: &Collecting) -> Result<Collected, ArchiveError> {
    let sweep = place.sweep(how.patience)?;
    // First what is there, then what is named: a blob that appears in between is not in the list.
    let held = sweep.held()?;
    let named = reachable(place)?;
    let mut collected = Collected::default();
    let mut garbage: Vec<Blob> = Vec::new();
    let now = SystemTime::now();
    for held in held {
        let size = held.blob.size;
        // A time in the future is no age.
        let age = now.duration_since(held.written).unwrap_or_default();
        if named.contains(&held.blob.digest.bytes) {
            count(&mut collected.kept, size);
        } else if age < how.grace {
            count(&mut collected.young, size);
        } else {
            count(&mut collected.removed, size);
            garbage.push(held.blob);
        }
    }
    if !how.dry_run && !garbage.is_empty() {
        sweep.remove(&garbage)?;
    }
    collected.unfinished = sweep.remove_unfinished(how.grace, how.dry_run)?;
    Ok(collected)
}

fn count((number, bytes): &mut (u64, u64), size: u64) {
    *number = number.saturating_add(1);
    *bytes = bytes.saturating_add(size);
}

/// The digests of all blobs that some name leads to.
///
/// Whatever looks like a digest in a document counts, so that what other tools or later versions
/// wrote in a way unknown here is kept.
fn reachable(place: &dyn Place) -> Result<BTreeSet<[u8; 32]>, ArchiveError> {
    let mut named = BTreeSet::new();
    let mut documents: Vec<(Descriptor, usize)> = Vec::new();
    for root in place.roots()? {
        named.insert(root.digest.bytes);
        documents.push((root, 0));
    }
    let mut read = BTreeSet::new();
    while let Some((descriptor, depth)) = documents.pop() {
        let is_document = descriptor.media_type.is_manifest() || descriptor.media_type.is_index();
        if !read.insert(descriptor.digest.bytes)
            || !is_document && descriptor.size > Bounds::MANIFEST
        {
            continue;
        }
        if depth > Bounds::NESTING {
            let why = format!("blob {} lies too deep in indexes", descriptor.digest);
            return Err(ArchiveError::malformed("the index", why));
        }
        let bytes = place::manifest_bytes(place, &descriptor)?;
        let document: Value = match serde_json::from_slice(&bytes) {
            Ok(document) => document,
            // Something of another kind, that names nothing.
            Err(_) if !is_document => continue,
            Err(error) => {
                let error = ArchiveError::malformed("the manifest", error);
                return Err(place::naming(&descriptor, error));
            }
        };
        let mut found = Vec::new();
        digests(&document, &mut named, &mut found);
        documents.extend(found.into_iter().map(|inner| (inner, depth + 1)));
    }
    Ok(named)
}

/// Adds whatever looks like a digest to `named`, and to `documents` what says that it is a manifest
/// or an index. serde_json limits how deep the document is.
fn digests(value: &Value, named: &mut BTreeSet<[u8; 32]>, documents: &mut Vec<Descriptor>) {
    match value {
        Value::String(text) => {
            if let Ok(digest) = text.parse::<Digest>() {
                named.insert(digest.bytes);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| digests(value, named, documents)),
        Value::Object(fields) => {
            fields.values().for_each(|value| digests(value, named, documents));
            let media_type = fields.get("mediaType").and_then(Value::as_str).map(MediaType::from);
            if media_type
                .is_some_and(|media_type| media_type.is_manifest() || media_type.is_index())
                && let Ok(descriptor) = serde_json::from_value::<Descriptor>(value.clone())
            {
                documents.push(descriptor);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
