//! Which values of state are encrypted, and where the key comes from.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::error::{escaped, quoted};

/// A pattern for keys of state: `*` stands for any text, `?` for any one character.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KeyPattern(String);

/// Why a text is no pattern for keys of state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} is no pattern for keys of state: it is empty or holds a control character")]
pub struct KeyPatternError(String);

impl KeyPattern {
    /// Whether it stands for `key`.
    #[must_use]
    pub fn matches(&self, key: &str) -> bool {
        let (pattern, key): (Vec<char>, Vec<char>) =
            (self.0.chars().collect(), key.chars().collect());
        let (mut at, mut seen) = (0, 0);
        // Where to go back to: behind the last star, and what it has taken so far.
        let mut star: Option<(usize, usize)> = None;
        while let Some(&next) = key.get(seen) {
            match pattern.get(at) {
                Some('*') => {
                    at += 1;
                    star = Some((at, seen));
                }
                Some(&wanted) if wanted == '?' || wanted == next => {
                    at += 1;
                    seen += 1;
                }
                _ => {
                    let Some((behind, taken)) = star else { return false };
                    star = Some((behind, taken + 1));
                    (at, seen) = (behind, taken + 1);
                }
            }
        }
        pattern.iter().skip(at).all(|rest| *rest == '*')
    }

    /// The pattern as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for KeyPattern {
    type Err = KeyPatternError;
    fn from_str(text: &str) -> Result<Self, KeyPatternError> {
        if text.is_empty() || text.chars().any(char::is_control) {
            return Err(KeyPatternError(quoted(text)));
        }
        Ok(Self(text.to_owned()))
    }
}

impl Serialize for KeyPattern {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.0)
    }
}

/// Where the secret key of encrypted state comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// A file that only its owner can read.
    File(PathBuf),
    /// A variable of the environment.
    Env(String),
    /// What a command of the shell prints.
    Command(String),
    /// A key of type `user` with this description in the kernel's keyrings (keyrings(7)).
    Keyring(String),
}

/// Why a text does not say where a key comes from.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0} does not say where a key is: use file:PATH, env:NAME, command:COMMAND or keyring:NAME"
)]
pub struct KeySourceError(String);

impl KeySource {
    /// The word before the colon, which is also the key in a configuration.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::Env(_) => "env",
            Self::Command(_) => "command",
            Self::Keyring(_) => "keyring",
        }
    }

    /// The text behind the colon.
    fn rest(&self) -> String {
        match self {
            Self::File(path) => path.to_string_lossy().into_owned(),
            Self::Env(text) | Self::Command(text) | Self::Keyring(text) => text.clone(),
        }
    }
}

impl FromStr for KeySource {
    type Err = KeySourceError;
    fn from_str(text: &str) -> Result<Self, KeySourceError> {
        let refuse = || KeySourceError(quoted(text));
        let (word, rest) = text.split_once(':').ok_or_else(refuse)?;
        if rest.is_empty() || rest.contains('\0') {
            return Err(refuse());
        }
        match word {
            "file" => Ok(Self::File(PathBuf::from(rest))),
            "env" if !rest.contains('=') => Ok(Self::Env(rest.to_owned())),
            "command" => Ok(Self::Command(rest.to_owned())),
            "keyring" => Ok(Self::Keyring(rest.to_owned())),
            _ => Err(refuse()),
        }
    }
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.word(), escaped(&self.rest()))
    }
}

impl Serialize for KeySource {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_keys() {
        for (pattern, key, expected) in [
            ("token", "token", true),
            ("token", "tokens", false),
            ("*", "", true),
            ("*token", "my/token", true),
            ("*.secret.*", "a.secret.b", true),
            ("*.secret.*", "a.secre.b", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-b-b-c-", false),
            ("k?y", "kéy", true),
            ("k?y", "ky", false),
            ("**", "x", true),
        ] {
            let parsed: KeyPattern = pattern.parse().unwrap();
            assert_eq!(parsed.matches(key), expected, "{pattern} {key}");
        }
        assert!("".parse::<KeyPattern>().is_err() && "a\nb".parse::<KeyPattern>().is_err());
    }

    #[test]
    fn a_source_reads_what_it_shows() {
        for text in ["file:/a/b", "env:KEY", "command:pass show a:b", "keyring:ctrlz"] {
            assert_eq!(text.parse::<KeySource>().unwrap().to_string(), text);
        }
        for bad in ["", "file:", "env:A=B", "key:x", "/a/b"] {
            assert!(bad.parse::<KeySource>().is_err(), "{bad}");
        }
    }
}
