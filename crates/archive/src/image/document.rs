//! Reading and writing JSON documents that may come from anywhere.

use std::io::Read;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::ArchiveError;

/// How large and how many. Real documents have a hundredth of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds;

impl Bounds {
    /// The bytes of an `index.json`: some hundred thousand snapshots.
    pub const INDEX: u64 = 64 << 20;
    /// The bytes of an image manifest or a nested index; registries take 4 MiB.
    pub const MANIFEST: u64 = 4 << 20;
    /// The bytes of an image config.
    pub const CONFIG: u64 = 8 << 20;
    /// The layers of one image.
    pub const LAYERS: usize = 4096;
    /// The bytes of one blob: what a file offset holds.
    pub const BLOB: u64 = i64::MAX as u64;
    /// How deep indexes may lie in indexes.
    pub const NESTING: usize = 4;
}

/// Reads all of `reader`, refusing more than `limit` bytes.
pub(crate) fn read_limited(
    reader: impl Read,
    limit: u64,
    what: &'static str,
) -> Result<Vec<u8>, ArchiveError> {
    let mut bytes = Vec::new();
    reader
        .take(limit.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|source| ArchiveError::of(source, |e| ArchiveError::malformed(what, e)))?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > limit {
        return Err(ArchiveError::malformed(what, format!("it is larger than {limit} bytes")));
    }
    Ok(bytes)
}

/// A document of JSON. serde_json limits its depth; `limit` its size.
pub(crate) fn parse<T: DeserializeOwned>(
    bytes: &[u8],
    limit: u64,
    what: &'static str,
) -> Result<T, ArchiveError> {
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > limit {
        return Err(ArchiveError::malformed(what, format!("it is larger than {limit} bytes")));
    }
    serde_json::from_slice(bytes).map_err(|error| ArchiveError::malformed(what, error))
}

/// A document as bytes, always the same ones for the same content.
pub(crate) fn to_bytes(
    document: &impl Serialize,
    what: &'static str,
) -> Result<Vec<u8>, ArchiveError> {
    serde_json::to_vec(document).map_err(|error| ArchiveError::malformed(what, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_is_too_large_without_reading_all_of_it() {
        let endless = std::io::repeat(b' ');
        let error = read_limited(endless, 1000, "the manifest").expect_err("too large");
        assert_eq!(error.to_string(), "the manifest is malformed: it is larger than 1000 bytes");
        assert_eq!(read_limited(&b"abc"[..], 3, "x").expect("fits"), b"abc");
    }

    #[test]
    fn refuses_deep_documents() {
        let deep = [b"[".repeat(100_000), b"]".repeat(100_000)].concat();
        assert!(parse::<serde_json::Value>(&deep, 1 << 20, "x").is_err());
    }
}
