//! What is asked of the validator, by kind of corpus.

use super::rows::{Label, Risk, Row};

/// What a file's name tells of its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Commands as they stand.
    Plain,
    /// Dangerous commands in disguise.
    Evasions,
    /// Harmless commands that look dangerous.
    Lookalikes,
    /// Code, alone or around a shell's heredoc.
    Snippets,
}

/// A share of rows that has to be reached, or must not be passed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Goal {
    /// Rows count that are found to be at least this.
    pub(super) at_least: Risk,
    /// The share, in percent.
    pub(super) percent: f64,
    /// Whether the share is a ceiling, not a floor.
    pub(super) is_ceiling: bool,
}

impl Goal {
    const fn floor(at_least: Risk, percent: f64) -> Self {
        Self { at_least, percent, is_ceiling: false }
    }

    const fn ceiling(at_least: Risk, percent: f64) -> Self {
        Self { at_least, percent, is_ceiling: true }
    }

    /// Whether `count` of `rows` is enough, or few enough.
    pub(super) fn is_met(&self, count: usize, rows: usize) -> bool {
        let percent = percent(count, rows);
        if self.is_ceiling { percent <= self.percent } else { percent >= self.percent }
    }

    /// Whether one row that was found to be `risk` speaks against the goal.
    pub(super) fn is_missed_by(&self, risk: Risk) -> bool {
        (risk >= self.at_least) == self.is_ceiling
    }

    /// The goal in words.
    pub(super) fn words(&self) -> String {
        let name = self.at_least.name();
        let plus = if self.at_least == Risk::Critical { "" } else { "+" };
        let sign = if self.is_ceiling { '≤' } else { '≥' };
        format!("{name}{plus} {sign} {} %", self.percent)
    }
}

/// The share of `count` in `rows`, in percent.
#[allow(clippy::cast_precision_loss, reason = "no corpus has more rows than an f64 can count")]
pub(super) fn percent(count: usize, rows: usize) -> f64 {
    if rows == 0 { 0.0 } else { count as f64 * 100.0 / rows as f64 }
}

/// What the name tells; when it tells nothing, `rows` that are all code are snippets.
pub(super) fn kind<'r>(name: &str, mut rows: impl Iterator<Item = &'r Row>) -> Kind {
    let name = name.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| name.contains(word));
    if says(&["evasion", "obfuscat", "disguise"]) {
        Kind::Evasions
    } else if says(&["lookalike", "look-alike", "look_alike"]) {
        Kind::Lookalikes
    } else if says(&["snippet", "code-", "-code"]) || rows.all(Row::is_code) {
        Kind::Snippets
    } else {
        Kind::Plain
    }
}

/// The goals for rows with `label` in a file of that kind.
pub(super) fn goals(kind: Kind, label: Label) -> Vec<Goal> {
    match (kind, label) {
        (Kind::Snippets, Label::Critical | Label::High) => vec![Goal::floor(Risk::High, 90.0)],
        (Kind::Evasions, Label::Critical) => {
            vec![Goal::floor(Risk::Critical, 95.0), Goal::floor(Risk::High, 99.0)]
        }
        (_, Label::Critical) => vec![Goal::floor(Risk::Critical, 99.0)],
        (_, Label::High) => vec![Goal::floor(Risk::High, 92.0)],
        (_, Label::Medium) => vec![Goal::floor(Risk::Medium, 90.0)],
        (Kind::Snippets, Label::Benign) => vec![Goal::ceiling(Risk::High, 3.0)],
        (Kind::Lookalikes, Label::Benign) => vec![Goal::ceiling(Risk::High, 2.0)],
        (_, Label::Benign) => vec![Goal::ceiling(Risk::High, 1.0)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell_or(language: Option<&str>) -> Row {
        Row {
            line: 1,
            command: String::new(),
            label: Label::Benign,
            language: language.map(str::to_owned),
            family: None,
        }
    }

    #[test]
    fn the_name_tells_the_kind() {
        let shell = [shell_or(None), shell_or(Some("python"))];
        let by = |name| kind(name, shell.iter());
        assert_eq!(by("critical-evasions"), Kind::Evasions);
        assert_eq!(by("lookalikes"), Kind::Lookalikes);
        assert_eq!(by("snippets-benign"), Kind::Snippets);
        assert_eq!(by("benign-ci"), Kind::Plain);
    }

    #[test]
    fn rows_that_are_all_code_are_snippets_whatever_the_name() {
        let code = [shell_or(Some("python")), shell_or(Some("javascript"))];
        assert_eq!(kind("held-out", code.iter()), Kind::Snippets);
        let shell = [shell_or(Some("python")), shell_or(Some("shell"))];
        assert_eq!(kind("held-out", shell.iter()), Kind::Plain);
    }

    #[test]
    fn a_floor_is_met_from_its_share_on_and_a_ceiling_up_to_it() {
        let floor = Goal::floor(Risk::Critical, 99.0);
        assert!(floor.is_met(99, 100) && !floor.is_met(98, 100));
        let ceiling = Goal::ceiling(Risk::High, 1.0);
        assert!(ceiling.is_met(1, 100) && !ceiling.is_met(2, 100));
    }

    #[test]
    fn a_row_below_a_floor_or_at_a_ceiling_is_a_miss() {
        let floor = Goal::floor(Risk::High, 92.0);
        assert!(floor.is_missed_by(Risk::Medium) && !floor.is_missed_by(Risk::High));
        let ceiling = Goal::ceiling(Risk::High, 1.0);
        assert!(ceiling.is_missed_by(Risk::Critical) && !ceiling.is_missed_by(Risk::Medium));
    }

    #[test]
    fn evasions_have_two_goals_and_snippets_milder_ones() {
        let words =
            |kind, label| goals(kind, label).iter().map(Goal::words).collect::<Vec<_>>().join(", ");
        assert_eq!(words(Kind::Evasions, Label::Critical), "critical ≥ 95 %, high+ ≥ 99 %");
        assert_eq!(words(Kind::Plain, Label::Critical), "critical ≥ 99 %");
        assert_eq!(words(Kind::Plain, Label::High), "high+ ≥ 92 %");
        assert_eq!(words(Kind::Plain, Label::Medium), "medium+ ≥ 90 %");
        assert_eq!(words(Kind::Plain, Label::Benign), "high+ ≤ 1 %");
        assert_eq!(words(Kind::Lookalikes, Label::Benign), "high+ ≤ 2 %");
        assert_eq!(words(Kind::Snippets, Label::Critical), "high+ ≥ 90 %");
        assert_eq!(words(Kind::Snippets, Label::Benign), "high+ ≤ 3 %");
    }
}
