//! Which variables of the caller's environment reach a command.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::error::quoted;

/// The name of a variable, or a pattern for names: `*` at the start, at the end, or alone stands
/// for any text.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EnvPattern(String);

/// Why a text is no pattern for names of variables.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0} is not the name of a variable: `*` may stand only at its start or its end, and it may hold neither `=` nor NUL"
)]
pub struct EnvPatternError(String);

impl EnvPattern {
    /// Whether it stands for `name`.
    #[must_use]
    pub fn matches(&self, name: &OsStr) -> bool {
        let (name, pattern) = (name.as_bytes(), self.0.as_bytes());
        match (pattern.strip_prefix(b"*"), pattern.strip_suffix(b"*")) {
            (Some([]), _) => true,
            (Some(tail), None) => name.ends_with(tail),
            (None, Some(head)) => name.starts_with(head),
            (None, None) => name == pattern,
            (Some(tail), Some(_)) => {
                let middle = tail.strip_suffix(b"*").unwrap_or(tail);
                middle.is_empty() || name.windows(middle.len()).any(|part| part == middle)
            }
        }
    }

    /// The one name that it stands for; `None` when it holds a `*`.
    #[must_use]
    pub fn literal(&self) -> Option<&str> {
        (!self.0.contains('*')).then_some(self.0.as_str())
    }

    /// The pattern as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for EnvPattern {
    type Err = EnvPatternError;
    fn from_str(text: &str) -> Result<Self, EnvPatternError> {
        let inner = text.strip_prefix('*').unwrap_or(text);
        let inner = inner.strip_suffix('*').unwrap_or(inner);
        if text.is_empty() || inner.contains(['*', '=', '\0']) {
            return Err(EnvPatternError(quoted(text)));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for EnvPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for EnvPattern {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.0)
    }
}

/// One rule of the list that decides whether a variable is passed. The last rule that matches
/// decides; a variable that no rule matches is passed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EnvRule {
    /// The names that it is about.
    pub pattern: EnvPattern,
    /// Whether they are passed.
    pub pass: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_by_star() {
        let matches = |pattern: &str, name: &str| {
            pattern.parse::<EnvPattern>().unwrap().matches(OsStr::new(name))
        };
        assert!(matches("*", "") && matches("*", "A") && matches("**", "A"));
        assert!(matches("AWS_*", "AWS_KEY") && !matches("AWS_*", "XAWS_KEY"));
        assert!(matches("*_TOKEN", "GH_TOKEN") && !matches("*_TOKEN", "GH_TOKENS"));
        assert!(matches("*KEY*", "MY_KEY_2") && !matches("*KEY*", "KE_Y"));
        assert!(matches("HOME", "HOME") && !matches("HOME", "HOMES"));
    }

    #[test]
    fn refuses_what_is_no_name() {
        for bad in ["", "A*B", "A=B", "A\0"] {
            assert!(bad.parse::<EnvPattern>().is_err(), "{bad:?}");
        }
    }
}
