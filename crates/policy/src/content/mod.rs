//! Stage 1, content: what the bytes themselves show, before anything is parsed.
//!
//! Text that reads otherwise than it runs (control characters, bidirectional controls, invisible
//! characters, letters of another script), secrets and personal data, and payloads that attack
//! whoever reads the text. One pass over the bytes finds all that ASCII can show; a second one is
//! made only over text with bytes that are not printable ASCII.

mod character;
mod conceal;
mod finding;
mod homoglyph;
mod payload;
mod personal;
mod redact;
mod scan;
mod secret;

use crate::source_range::SourceRange;
use ctrlz_core::verdict::Risk;

pub(crate) use conceal::Found;
pub(crate) use finding::{ContentFinding, ContentKind};
pub(crate) use homoglyph::skeleton;
pub use redact::{redact, redact_bytes};
pub(crate) use secret::SecretKind;

/// The size over which a text is remarked on when nobody says another, in bytes.
pub(crate) const DEFAULT_SIZE_LIMIT: usize = 1 << 20;

/// Findings of one kind that are told; a text can hold hundreds of thousands, which say no more.
const FINDINGS_OF_A_KIND: usize = 32;

/// Something found, before it is told: what, where, how bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Hit {
    kind: ContentKind,
    range: SourceRange,
    risk: Risk,
}

impl Hit {
    fn new(kind: ContentKind, start: usize, end: usize) -> Self {
        Self { kind, range: SourceRange::new(start, end), risk: kind.risk() }
    }

    /// The same, but less alarming than its kind is as a rule.
    fn at_risk(mut self, risk: Risk) -> Self {
        self.risk = risk;
        self
    }
}

/// Everything that the bytes of `text` show, in the order in which it stands there.
/// `size_limit` is in bytes.
pub(crate) fn inspect(text: &[u8], size_limit: usize) -> Vec<ContentFinding> {
    let scan::Scan { mut hits, printable_ascii } = scan::scan(text);
    if !printable_ascii {
        character::scan(text, &mut hits);
        homoglyph::scan(text, &mut hits);
    }
    if text.len() > size_limit {
        hits.push(Hit::new(ContentKind::TooLarge, size_limit, text.len()));
    }
    if hits.is_empty() {
        return Vec::new();
    }
    hits.sort_by_key(|hit| hit.range);
    finding::tell(text, &hits, FINDINGS_OF_A_KIND)
}

#[cfg(test)]
mod tests;
