//! Why a configuration cannot be used.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ctrlz_yaml::Mark;

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// The file.
    pub path: Arc<Path>,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", shown(&self.path), self.line, self.column)
    }
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is there, but it cannot be read; or it cannot be told whether it is there.
    #[error("cannot read {}", shown(path))]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Something that is not a regular file has the file's name.
    #[error("{} is {found}, not a regular file", shown(path))]
    NotAFile {
        /// The path.
        path: PathBuf,
        /// What is there.
        found: &'static str,
    },
    /// The file is larger than 1 MiB.
    #[error("{} is larger than 1 MiB, the most that a configuration file may have", shown(path))]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The file is not UTF-8.
    #[error("{at}: not UTF-8")]
    NotUtf8 {
        /// The first byte that is not.
        at: Position,
    },
    /// The file is not YAML, or uses a part of YAML that is not read here: anchors, tags,
    /// directives, several documents, deep nesting, or more values than a configuration has.
    #[error("{at}: {reason}")]
    Syntax {
        /// Where.
        at: Position,
        /// What is wrong.
        reason: String,
    },
    /// A key that does not exist.
    #[error("{at}: {key}: unknown key; {advice}")]
    UnknownKey {
        /// Where the key stands.
        at: Position,
        /// The path of the key, such as `run.netwrok`.
        key: String,
        /// The key that was probably meant, or the keys that exist there.
        advice: String,
    },
    /// A key that stands twice in one file.
    #[error("{at}: {key}: already set in line {first}")]
    Duplicate {
        /// Where it stands again.
        at: Position,
        /// The path of the key.
        key: String,
        /// The line where it stands first, from 1.
        first: usize,
    },
    /// A list, a mapping or a word where another of them belongs.
    #[error("{at}: {key}: expected {expected}, found {found}")]
    WrongType {
        /// Where the value stands.
        at: Position,
        /// The path of the key.
        key: String,
        /// What belongs there.
        expected: &'static str,
        /// What is there.
        found: &'static str,
    },
    /// A value that the key cannot take.
    #[error("{at}: {key}: {reason}")]
    BadValue {
        /// Where the value stands.
        at: Position,
        /// The path of the key.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A project's file weakens a protection.
    #[error(transparent)]
    Loosens(Box<Loosening>),
}

impl ConfigError {
    /// That the file at `path` is no YAML.
    pub(crate) fn syntax(path: &Arc<Path>, error: ctrlz_yaml::SyntaxError) -> Self {
        let Mark { line, column } = error.at;
        Self::Syntax { at: Position { path: Arc::clone(path), line, column }, reason: error.reason }
    }
}

/// How a project's file weakens a protection, and where that may be done instead.
#[derive(Debug, thiserror::Error)]
#[error(
    "{at}: {key}: a project's file may not {what}; to allow it, set it in {}{}",
    shown(user_file),
    flag.map(|flag| format!(" or pass {flag}")).unwrap_or_default()
)]
pub struct Loosening {
    /// Where the value stands.
    pub at: Position,
    /// The path of the key.
    pub key: String,
    /// What the file does, such as ``loosen `none` (built-in default) to `host` ``.
    pub what: String,
    /// The file that may set it.
    pub user_file: PathBuf,
    /// The command line's option that may set it.
    pub flag: Option<&'static str>,
}

impl ConfigError {
    /// The place in the file that is at fault, when it is one place.
    #[must_use]
    pub fn position(&self) -> Option<&Position> {
        match self {
            Self::Read { .. } | Self::NotAFile { .. } | Self::TooLarge { .. } => None,
            Self::NotUtf8 { at }
            | Self::Syntax { at, .. }
            | Self::UnknownKey { at, .. }
            | Self::Duplicate { at, .. }
            | Self::WrongType { at, .. }
            | Self::BadValue { at, .. } => Some(at),
            Self::Loosens(loosening) => Some(&loosening.at),
        }
    }
}

/// A path for a message; the folders of a cloned repository can have any name.
pub(crate) fn shown(path: &Path) -> String {
    escaped(&path.to_string_lossy())
}

/// Quotes a text from a file for a message: on one line, without control characters (the file
/// may be a stranger's, and the reader's terminal obeys them), and not longer than a line.
pub(crate) fn quoted(text: &str) -> String {
    const LONGEST: usize = 60;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("`{}…`", escaped(text.get(..end).unwrap_or_default())),
        None => format!("`{}`", escaped(text)),
    }
}

/// `text` without characters that a terminal obeys.
pub(crate) fn escaped(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_shown_as_is(c) { shown.push(c) } else { shown.extend(c.escape_default()) }
    }
    shown
}

/// A character that neither moves the cursor nor changes the reading direction.
fn is_shown_as_is(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_without_control_characters() {
        assert_eq!(quoted("a b"), "`a b`");
        assert_eq!(quoted("a\u{1b}[2J\n"), "`a\\u{1b}[2J\\n`");
        assert_eq!(quoted("a\u{202e}b"), "`a\\u{202e}b`");
        assert_eq!(quoted(&"x".repeat(100)), format!("`{}…`", "x".repeat(60)));
    }
}
