//! Which tests may be skipped where.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use crate::failure::{Answer, Failure};
use crate::project;

/// One line of `expected-skips.txt`.
struct Expected {
    /// `root`, `user`, or `any`.
    who: String,
    /// A reason, in which `*` stands for any text.
    pattern: String,
}

/// The skips that are expected, and those that happened.
pub(super) struct Skips {
    expected: Vec<Expected>,
    /// By who ran the test and the reason: the binaries, with how often.
    happened: BTreeMap<(String, String), BTreeMap<String, u64>>,
}

impl Skips {
    /// Reads the list of expected skips.
    pub(super) fn read() -> Answer<Self> {
        let path = project::root().join("xtask/expected-skips.txt");
        let text = fs::read_to_string(&path).map_err(Failure::io("read", &path))?;
        Ok(Self { expected: parse(&text)?, happened: BTreeMap::new() })
    }

    /// Notes that `who` skipped something of `binary`.
    pub(super) fn note(&mut self, who: &str, binary: &str, reason: &str) {
        let of_reason = self.happened.entry((who.to_owned(), reason.to_owned())).or_default();
        *of_reason.entry(binary.to_owned()).or_default() += 1;
    }

    /// How many there were.
    pub(super) fn count(&self) -> u64 {
        self.happened.values().flat_map(BTreeMap::values).sum()
    }

    /// All skips in words, and how many were not expected.
    pub(super) fn tell(&self) -> (String, u64) {
        let (mut text, mut unexpected) = (String::new(), 0);
        for ((who, reason), binaries) in &self.happened {
            let count: u64 = binaries.values().sum();
            let expected = self.expects(who, reason);
            let word = if expected { "expected" } else { "UNEXPECTED" };
            let names = binaries.keys().cloned().collect::<Vec<_>>().join(" ");
            let _ = writeln!(text, "SKIPPED({reason}) as {who}, {count} × in {names}: {word}");
            if !expected {
                unexpected += count;
            }
        }
        (text, unexpected)
    }

    fn expects(&self, who: &str, reason: &str) -> bool {
        self.expected
            .iter()
            .any(|e| (e.who == who || e.who == "any") && matches(&e.pattern, reason))
    }
}

fn parse(text: &str) -> Answer<Vec<Expected>> {
    let lines = text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#'));
    let line = |line: &str| match line.split_once(':') {
        Some((who @ ("root" | "user" | "any"), pattern)) => {
            Ok(Expected { who: who.to_owned(), pattern: pattern.trim().to_owned() })
        }
        _ => Err(Failure::told(format!(
            "xtask/expected-skips.txt: `{line}` is not `root|user|any: REASON`"
        ))),
    };
    lines.map(line).collect()
}

/// Whether `text` is `pattern`, where each `*` stands for any text.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('*') else { return pattern == text };
    let Some(rest) = text.strip_prefix(head) else { return false };
    (0..=rest.len()).filter_map(|at| rest.get(at..)).any(|rest| matches(tail, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_any_text() {
        for (pattern, text) in
            [("a", "a"), ("a*", "a"), ("a*", "abc"), ("*c", "abc"), ("a*c*e", "abcde")]
        {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("a", "ab"), ("a*c", "ab"), ("", "a")] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn a_skip_is_expected_of_some_only() {
        let expected = parse("# why\nuser: not root\nany: no overlay*\n").unwrap();
        let mut skips = Skips { expected, happened: BTreeMap::new() };
        skips.note("user", "a", "not root");
        skips.note("root", "a", "no overlay here");
        assert_eq!((skips.count(), skips.tell().1), (2, 0));
        skips.note("root", "a", "not root");
        assert_eq!((skips.count(), skips.tell().1), (3, 1));
    }

    #[test]
    fn a_bad_line_is_an_error() {
        assert!(parse("someone: x").is_err());
        assert!(parse("root").is_err());
    }
}
