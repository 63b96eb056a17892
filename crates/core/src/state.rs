//! A sandbox's versioned state: keys and values beside its files.
//!
//! Each sandbox counts versions from 0. Every write gives the next version to the entry it
//! writes; old versions stay readable. A rollback writes the old values again under new versions,
//! so that history is never lost.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

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
