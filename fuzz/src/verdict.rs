//! Properties of risk, score and ranges.

use ctrlz_core::verdict::Risk;
use ctrlz_policy::{Context, Validator, Verdict};

/// Nobody wants to see this run, whatever follows it.
const DANGEROUS: &[u8] = b"rm -rf /";

/// A verdict's parts agree with each other and with the text.
pub fn has_a_sound_form(verdict: &Verdict, length: usize) {
    let (lowest, highest) = match verdict.risk {
        Risk::Low => (0, 24),
        Risk::Medium => (25, 49),
        Risk::High => (50, 79),
        Risk::Critical => (80, 100),
    };
    assert!((lowest..=highest).contains(&verdict.score), "{} {}", verdict.risk, verdict.score);
    let gravest = verdict.findings.iter().map(|finding| finding.risk).max();
    assert_eq!(gravest.unwrap_or(Risk::Low), verdict.risk);
    for finding in &verdict.findings {
        let range = finding.range;
        assert!(range.start <= range.end && range.end <= length, "{}: {range:?}", finding.rule);
    }
}

/// The same bytes get the same verdict, also from another validator.
pub fn same_twice(first: &Verdict, judge: impl Fn(&Validator) -> Verdict) {
    assert_eq!(*first, judge(&Validator::new(Context::default())));
}

/// What stands on the first line has run when the others are read.
pub fn stays_critical_before_anything(validator: &Validator, text: &[u8]) {
    let verdict = validator.command(&[DANGEROUS, b"\n", text].concat());
    assert_eq!(verdict.risk, Risk::Critical);
}

/// A dangerous line behind a text that ends where it seems to end makes it no safer.
pub fn a_part_behind_never_lowers(validator: &Validator, text: &[u8], alone: &Verdict) {
    if !ends_where_it_seems(text) {
        return;
    }
    let both = validator.command(&[text, b"\n", DANGEROUS].concat());
    assert!(both.risk >= alone.risk, "{} below {}", both.risk, alone.risk);
    assert!(both.score >= alone.score, "{} below {}", both.score, alone.score);
    // It is critical, unless names mean something else by then or nothing is read to the end.
    let redefines = [&b"alias"[..], b"hash", b"function", b"rm", b"enable", b"eval"];
    let limited = ["too-long", "too-deep", "too-large"];
    if !redefines.iter().any(|word| text.windows(word.len()).any(|window| window == *word))
        && !both.findings.iter().any(|finding| limited.contains(&finding.rule.as_ref()))
    {
        assert_eq!(both.risk, Risk::Critical);
    }
}

/// Whether nothing in the text can reach into a line behind it: no quote, bracket, here-document,
/// comment, group or operator that is left open.
fn ends_where_it_seems(text: &[u8]) -> bool {
    let plain = |byte: &u8| {
        byte.is_ascii_alphanumeric() || b" ./-;&_=~*\n:,@%+?|$>".contains(byte)
    };
    let waits = |byte: u8| b"|&>$".contains(&byte);
    let words = ["if", "then", "else", "elif", "while", "until", "do", "for", "case", "select", "in"];
    let opens = text
        .split(|byte| !byte.is_ascii_alphanumeric())
        .any(|word| words.iter().any(|open| open.as_bytes() == word));
    text.iter().all(plain)
        && !opens
        && text.trim_ascii_end().last().is_none_or(|byte| !waits(*byte))
}
