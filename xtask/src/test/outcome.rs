//! What a test binary's output says.

use std::fmt;
use std::ops::AddAssign;

/// Numbers of tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Counts {
    pub(super) passed: u64,
    pub(super) failed: u64,
    pub(super) skipped: u64,
    /// Of those that passed: how many failed first.
    pub(super) unsteady: u64,
}

impl Counts {
    /// What failed has passed when it ran again.
    pub(super) fn pass_unsteady(&mut self) {
        self.unsteady += self.failed;
        self.passed += self.failed;
        self.failed = 0;
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
        self.unsteady += other.unsteady;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)?;
        match self.unsteady {
            0 => Ok(()),
            unsteady => write!(f, " ({unsteady} passed only when run again)"),
        }
    }
}

/// The numbers in libtest's closing lines; nothing when there is none. Ignored tests count as
/// skipped.
pub(super) fn counts(output: &str) -> Option<Counts> {
    let mut total: Option<Counts> = None;
    for line in output.lines().filter_map(|line| line.strip_prefix("test result: ")) {
        let number = |word: &str| {
            let (before, _) = line.split_once(word)?;
            before.rsplit([' ', '.', ';']).next()?.parse::<u64>().ok()
        };
        let (Some(passed), Some(failed)) = (number(" passed"), number(" failed")) else { continue };
        let skipped = number(" ignored").unwrap_or(0);
        *total.get_or_insert_default() += Counts { passed, failed, skipped, unsteady: 0 };
    }
    total
}

/// What the lines of the tests themselves say, of a binary that did not come to its end.
pub(super) fn counts_so_far(output: &str) -> Counts {
    let ends = |word: &str| {
        let tests = output.lines().filter(|line| line.starts_with("test "));
        tests.filter(|line| line.ends_with(word)).count() as u64
    };
    Counts { passed: ends(" ... ok"), failed: ends(" ... FAILED"), skipped: 0, unsteady: 0 }
}

/// The part of the output that tells about failures: all of it when the binary died before it could
/// tell.
pub(super) fn failures(output: &str) -> &str {
    output.find("\nfailures:\n").and_then(|at| output.get(at..)).unwrap_or(output)
}

/// The names below the headings `failures:`, each once.
pub(super) fn failed(output: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for part in output.split("\nfailures:\n").skip(1) {
        let lines = part.lines().map_while(|line| line.strip_prefix("    "));
        names.extend(lines.filter(|name| !name.contains(' ')).map(str::to_owned));
    }
    names.sort();
    names.dedup();
    names
}

/// The reasons in `SKIPPED(reason)`, one a line.
pub(super) fn skips(output: &str) -> Vec<String> {
    let reason = |line: &str| {
        let (_, rest) = line.split_once("SKIPPED(")?;
        let end = rest.rfind(')').unwrap_or(rest.len());
        rest.get(..end).map(str::to_owned)
    };
    output.lines().filter_map(reason).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds_up_closing_lines() {
        let output = "\
running 3 tests
test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.1s
test result: FAILED. 2 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out";
        assert_eq!(counts(output), Some(Counts { passed: 14, failed: 3, skipped: 1, unsteady: 0 }));
        assert_eq!(counts("running 3 tests"), None);
    }

    #[test]
    fn shows_failures_alone() {
        let output = "test a ... ok\n\nfailures:\n\n---- b stdout ----\nwhy";
        assert_eq!(failures(output), "\nfailures:\n\n---- b stdout ----\nwhy");
        assert_eq!(failures("died"), "died");
    }

    #[test]
    fn finds_the_names_of_what_failed() {
        let output = "\nfailures:\n\n---- b stdout ----\n    why\n\n\nfailures:\n    b\n    a::c\n\n\
                      test result: FAILED. 1 passed\n\nfailures:\n    b\n\ntest result: FAILED";
        assert_eq!(failed(output), ["a::c", "b"]);
        assert!(failed("died").is_empty());
    }

    #[test]
    fn finds_skips() {
        let output = "test a ... ok\nb: SKIPPED(no overlay (EPERM))\nSKIPPED(not root)\n";
        assert_eq!(skips(output), ["no overlay (EPERM)", "not root"]);
    }
}
