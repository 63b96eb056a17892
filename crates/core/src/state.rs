//! A sandbox's versioned state: keys and values beside its files.
//!
//! Each sandbox counts versions from 0. Every write gives the next version to the entry it
//! writes; old versions stay readable. A rollback writes the old values again under new versions,
//! so that history is never lost.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::time::Timestamp;

/// The largest value, in bytes.
pub const MAX_VALUE: usize = 16 * 1024 * 1024;

/// A state key: 1 to 512 bytes of UTF-8 without control characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StateKey(String);

/// Why a text is not a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a state key: use 1 to 512 bytes without control characters")]
pub struct KeyError(String);

impl StateKey {
    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for StateKey {
    type Err = KeyError;
    fn from_str(text: &str) -> Result<Self, KeyError> {
        if (1..=512).contains(&text.len()) && !text.chars().any(char::is_control) {
            Ok(Self(text.to_owned()))
        } else {
            Err(KeyError(text.escape_debug().to_string()))
        }
    }
}

impl TryFrom<String> for StateKey {
    type Error = KeyError;
    fn try_from(text: String) -> Result<Self, KeyError> {
        text.parse()
    }
}

impl From<StateKey> for String {
    fn from(key: StateKey) -> Self {
        key.0
    }
}

impl fmt::Display for StateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One version of one key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateEntry {
    /// The key.
    pub key: StateKey,
    /// The sandbox-wide version at which it was written.
    pub version: u64,
    /// The value; `None` when this version deleted the key.
    #[serde(skip)]
    pub value: Option<Vec<u8>>,
    /// The value's size in bytes.
    pub size: u64,
    /// Whether this version deleted the key.
    pub deleted: bool,
    /// When it was written.
    pub written: Timestamp,
    /// The key that the value is encrypted with; the value is then as it is stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<KeyId>,
}

/// Which secret key a value is encrypted with: the first 8 bytes of a hash of the key, from which
/// nothing of the key can be learnt. As text, 16 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyId(pub [u8; 8]);

/// Why a text names no secret key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the id of a key: expected 16 hexadecimal digits")]
pub struct KeyIdError(String);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for KeyId {
    type Err = KeyIdError;
    fn from_str(text: &str) -> Result<Self, KeyIdError> {
        let refuse = || KeyIdError(text.escape_debug().to_string());
        let lower = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.len() != 16 || !text.bytes().all(lower) {
            return Err(refuse());
        }
        u64::from_str_radix(text, 16).map(|number| Self(number.to_be_bytes())).map_err(|_| refuse())
    }
}

impl TryFrom<String> for KeyId {
    type Error = KeyIdError;
    fn try_from(text: String) -> Result<Self, KeyIdError> {
        text.parse()
    }
}

impl From<KeyId> for String {
    fn from(id: KeyId) -> Self {
        id.to_string()
    }
}

/// One write of state, as the journal keeps it: everything but the value itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateWrite {
    /// The key.
    pub key: StateKey,
    /// The version that was given to it.
    pub version: u64,
    /// The BLAKE3 of the bytes as they are stored; `None` when the key was deleted.
    pub digest: Option<Digest>,
    /// The value's size in bytes, before encryption.
    pub size: u64,
    /// When.
    pub written: Timestamp,
    /// The key that the value is encrypted with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<KeyId>,
}

/// What a compare-and-set expects to find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Anything: an unconditional write.
    Any,
    /// No living value.
    Absent,
    /// A living value written at this version.
    Version(u64),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_id_reads_what_it_writes_and_nothing_else() {
        let id = KeyId([0, 1, 2, 0xab, 4, 5, 6, 0xff]);
        assert_eq!(id.to_string(), "000102ab040506ff");
        assert_eq!("000102ab040506ff".parse(), Ok(id));
        for bad in ["", "000102AB040506ff", "+00102ab040506ff", "000102ab040506ff0"] {
            assert!(bad.parse::<KeyId>().is_err(), "{bad}");
        }
    }
}
