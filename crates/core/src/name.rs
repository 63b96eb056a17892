//! The name of a sandbox.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A sandbox's name: 1 to 64 of ASCII letters, digits, `.`, `_` and `-`, beginning with a letter
/// or a digit, so that it can stand on a command line and in a file name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SandboxName(String);

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` cannot name a sandbox: use 1 to 64 letters, digits, `.`, `_` or `-`, beginning with a letter or a digit"
)]
pub struct NameError(String);

impl SandboxName {
    /// The longest name, in bytes.
    pub const MAX: usize = 64;

    /// What stands for a name where state that belongs to no sandbox is told of. It cannot be read
    /// back, so no sandbox has it.
    #[must_use]
    pub fn of_no_sandbox() -> Self {
        Self("@global".to_owned())
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SandboxName {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        let starts_well = text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
        if starts_well && text.len() <= Self::MAX && text.bytes().all(allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError(text.to_owned()))
        }
    }
}

impl TryFrom<String> for SandboxName {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<SandboxName> for String {
    fn from(name: SandboxName) -> Self {
        name.0
    }
}

impl fmt::Display for SandboxName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_file_name_safe_names_only() {
        for good in ["web", "a", "My.App_2-x", "9"] {
            assert!(good.parse::<SandboxName>().is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "-x", "a/b", "a b", "é", &"x".repeat(65)] {
            assert!(bad.parse::<SandboxName>().is_err(), "{bad}");
        }
    }
}
