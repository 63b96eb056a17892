//! Why a text is no pack.

use std::fmt;

/// Why a text is no pack: where, in which rule, which key, what is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackError {
    /// The pack's name, or the file that it stands in.
    pub pack: String,
    /// The line, from 1.
    pub line: usize,
    /// The id of the rule, or of the built-in rule that an override is about.
    pub rule: Option<String>,
    /// The key.
    pub key: Option<String>,
    /// What is wrong.
    pub message: String,
}

impl PackError {
    /// The same error, told of the file at `path`.
    #[must_use]
    pub fn in_file(mut self, path: &str) -> Self {
        path.clone_into(&mut self.pack);
        self
    }
}

impl fmt::Display for PackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.pack, self.line)?;
        if let Some(rule) = &self.rule {
            write!(f, "rule `{rule}`: ")?;
        }
        if let Some(key) = &self.key {
            write!(f, "{key}: ")?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for PackError {}

/// `text` in backquotes, without control characters, and not longer than a line.
pub(crate) fn quoted(text: &str) -> String {
    const LONGEST: usize = 60;
    let mut shown: String = text
        .chars()
        .take(LONGEST)
        .map(|letter| if letter.is_control() { '\u{fffd}' } else { letter })
        .collect();
    if text.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    format!("`{shown}`")
}

/// `; did you mean …?`, if one of the `known` words is near.
pub(crate) fn suggestion<'w>(text: &str, known: impl Iterator<Item = &'w str>) -> String {
    // The comparison takes time in the square of the length, and no word is longer.
    const LONGEST: usize = 60;
    if text.len() > LONGEST {
        return String::new();
    }
    let text = text.to_lowercase();
    known
        .map(|word| (strsim::jaro_winkler(&text, word), word))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, word)| format!("; did you mean `{word}`?"))
        .unwrap_or_default()
}
