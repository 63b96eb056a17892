//! What is conspicuous about how a command is written, whatever it does.

use serde::{Deserialize, Serialize};

use crate::source_range::SourceRange;
use crate::syntax::tree::{Part, Word};

/// One thing that is conspicuous.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Remark {
    pub(crate) kind: RemarkKind,
    pub(crate) range: SourceRange,
}

/// What is conspicuous.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum RemarkKind {
    /// The name of a command is put together from quoted pieces: `r''m`.
    PiecedName,
    /// The name of a command is written as character codes: `$'\x72\x6d'`.
    CodedName,
    /// The name of a command is a pattern: `/???/r?`.
    PatternName,
    /// The name of a command is computed from pieces of other texts: `${x:2:1}${y:0:1}`.
    AssembledName,
    /// The name of a command is what another program prints, which nobody knows.
    ComputedName,
    /// The name of a command is a variable that is set elsewhere.
    VariableName,
    /// The name of a command imitates another with letters that look alike.
    ImitatedName,
    /// `$IFS` stands where others write a space.
    Separators,
    /// Nested more deeply than is read.
    TooDeep,
    /// More commands than are judged.
    TooLong,
}

/// `build\tests.exe`: a path of Windows, its separators taken for escapes.
pub(super) fn is_windows_path(word: &Word) -> bool {
    let escapes = |part: &Part| match part {
        Part::Literal(_) => true,
        Part::Quoted(text) => text.len() == 1,
        _ => false,
    };
    let Some(Part::Literal(last)) = word.parts.last() else { return false };
    word.parts.iter().all(escapes)
        && [&b".exe"[..], b".bat", b".cmd", b".ps1", b".com"].iter().any(|end| last.ends_with(end))
}
