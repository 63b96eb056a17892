//! Rules of other tools, as packs.
//!
//! What cannot be translated is told in the pack's notes, never dropped in silence.

mod claude;
mod codex;
mod starlark;

pub use claude::claude;
pub use codex::codex;

use std::collections::HashMap;
use std::fmt;

use crate::rules::PackError;

/// Why another tool's rules could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportError {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for ImportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.message)
    }
}

impl std::error::Error for ImportError {}

impl From<PackError> for ImportError {
    fn from(error: PackError) -> Self {
        let rule = error.rule.map(|rule| format!("rule `{rule}`: ")).unwrap_or_default();
        Self { line: error.line, column: 1, message: format!("{rule}{}", error.message) }
    }
}

/// Names that occur once each.
#[derive(Debug, Default)]
struct Names(HashMap<String, usize>);

impl Names {
    /// A name made of the letters and digits of `parts`.
    fn next<'t>(&mut self, parts: impl Iterator<Item = &'t str>) -> String {
        const LONGEST: usize = 60;
        let mut name = String::new();
        for part in parts {
            for letter in part.chars() {
                match letter {
                    _ if name.len() >= LONGEST => break,
                    _ if letter.is_ascii_alphanumeric() => name.push(letter.to_ascii_lowercase()),
                    _ if name.is_empty() || name.ends_with('-') => {}
                    _ => name.push('-'),
                }
            }
            if !name.is_empty() && !name.ends_with('-') {
                name.push('-');
            }
        }
        let name = name.trim_end_matches('-');
        let name = if name.is_empty() { "rule" } else { name };
        loop {
            let count = self.0.entry(name.to_owned()).or_default();
            *count += 1;
            let candidate = match *count {
                1 => name.to_owned(),
                count => format!("{name}-{count}"),
            };
            // `a-2` may be the name of something else.
            if candidate == name || self.0.insert(candidate.clone(), 1).is_none() {
                return candidate;
            }
        }
    }
}

#[cfg(test)]
mod tests;
