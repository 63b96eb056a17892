//! Secrets and personal data taken out of every text that leaves the process.

use super::Hit;
use super::scan::scan;
use std::borrow::Cow;

/// How often the text is read anew after something was taken out of it. What stood beside a secret
/// can become one by its removal; each round makes the text's own part shorter, and two are enough
/// for all but texts made to prolong it.
const ROUNDS: usize = 8;

/// `text` with every secret and every number of a person replaced by `‹redacted: kind›`, where
/// `kind` is a stable name such as `aws-access-key`. Everything else stays as it is, byte for
/// byte, and a text that was redacted before stays the same.
#[must_use]
pub fn redact(text: &str) -> Cow<'_, str> {
    match redact_bytes(text.as_bytes()) {
        Cow::Borrowed(_) => Cow::Borrowed(text),
        // Ranges begin and end at ASCII bytes, so nothing is lost here.
        Cow::Owned(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
    }
}

/// The same as [`redact`] for text that need not be UTF-8.
#[must_use]
pub fn redact_bytes(text: &[u8]) -> Cow<'_, [u8]> {
    let Some(mut redacted) = redact_once(text) else { return Cow::Borrowed(text) };
    for _ in 0..ROUNDS {
        match redact_once(&redacted) {
            Some(again) => redacted = again,
            None => break,
        }
    }
    Cow::Owned(redacted)
}

fn redact_once(text: &[u8]) -> Option<Vec<u8>> {
    let mut hits = scan(text).hits;
    hits.retain(|hit| hit.kind.redaction().is_some());
    if hits.is_empty() {
        return None;
    }
    hits.sort_by_key(|hit| hit.range);
    let mut redacted = Vec::with_capacity(text.len());
    let mut kept_to = 0;
    for Hit { kind, range, .. } in hits {
        if range.start < kept_to {
            continue;
        }
        redacted.extend_from_slice(text.get(kept_to..range.start).unwrap_or_default());
        redacted.extend_from_slice("‹redacted: ".as_bytes());
        redacted.extend_from_slice(kind.redaction().unwrap_or_default().as_bytes());
        redacted.extend_from_slice("›".as_bytes());
        kept_to = range.end;
    }
    redacted.extend_from_slice(text.get(kept_to..).unwrap_or_default());
    Some(redacted)
}
