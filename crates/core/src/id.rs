//! Identifiers. They are small integers given by the store, written with a prefix that says what
//! they name (`op-12`, `snap-3`), and read back with or without it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a text is not an identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an id: expected `{prefix}-N` or a number")]
pub struct IdError {
    text: String,
    prefix: &'static str,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "-{}"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                let digits = text.strip_prefix(concat!($prefix, "-")).unwrap_or(text);
                match digits.parse::<i64>() {
                    Ok(n) if n > 0 && digits.bytes().all(|b| b.is_ascii_digit()) => Ok(Self(n)),
                    _ => Err(IdError { text: text.to_owned(), prefix: $prefix }),
                }
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = String::deserialize(d)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

id!(
    /// One operation in the journal.
    OperationId, "op");
id!(
    /// One snapshot.
    SnapshotId, "snap");
id!(
    /// One sandbox.
    SandboxId, "sandbox");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes_and_bare_numbers() {
        assert_eq!("op-12".parse(), Ok(OperationId(12)));
        assert_eq!("12".parse(), Ok(OperationId(12)));
        assert_eq!(OperationId(12).to_string(), "op-12");
    }

    #[test]
    fn refuses_what_is_no_id() {
        for text in ["", "op-", "op-x", "-1", "0", "snap-1", "op-+3"] {
            assert!(text.parse::<OperationId>().is_err(), "{text}");
        }
    }
}
