//! The table of results, and the misses.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use super::Measured;
use super::checker::Checked;
use super::goal::{Goal, goals, kind, percent};
use super::rows::{Label, Risk, Row};

/// How much of a command is shown, in characters.
const SHOWN: usize = 150;

/// What is printed, and how many goals were missed.
pub(super) struct Report {
    pub(super) text: String,
    pub(super) missed: usize,
}

/// How many rows were found to be what.
#[derive(Debug, Clone, Copy, Default)]
struct Counts([usize; 4]);

impl Counts {
    fn add(&mut self, risk: Risk) {
        if let Some(count) = self.0.get_mut(risk as usize) {
            *count += 1;
        }
    }

    fn at_least(&self, risk: Risk) -> usize {
        self.0.iter().skip(risk as usize).sum()
    }

    fn rows(&self) -> usize {
        self.0.iter().sum()
    }

    /// Rows, the share of each risk, and the shares from medium and from high on.
    fn cells(&self) -> String {
        let mut text = format!("{:>6}", self.rows());
        for count in self.0 {
            let _ = write!(text, " {:>8}", share(count, self.rows()));
        }
        for risk in [Risk::Medium, Risk::High] {
            let _ = write!(text, " {:>8}", share(self.at_least(risk), self.rows()));
        }
        text
    }
}

/// A share as it stands in the table. Whole hundreds are only told of all rows and of none.
fn share(count: usize, rows: usize) -> String {
    if count == 0 {
        return "-".to_owned();
    }
    let exact = percent(count, rows);
    let rounded = if count < rows { exact.clamp(0.1, 99.9) } else { exact };
    format!("{rounded:.1} %")
}

/// The report on all files.
pub(super) fn report(files: &[Measured], misses: usize) -> Report {
    let mut text = format!(
        "{:<26} {:<9}{:>6} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8}  goal\n",
        "file", "label", "rows", "low", "medium", "high", "critical", "medium+", "high+"
    );
    let (mut met, mut missed) = (0, 0);
    for file in files {
        for label in Label::ALL {
            let group = Group::of(file, label);
            if group.pairs.is_empty() {
                continue;
            }
            let counts = group.counts();
            let verdicts = group.goals.iter().map(|goal| {
                let count = counts.at_least(goal.at_least);
                let is_met = goal.is_met(count, counts.rows());
                if is_met {
                    met += 1
                } else {
                    missed += 1
                }
                format!("{}: {}", goal.words(), if is_met { "met" } else { "MISSED" })
            });
            let verdicts = verdicts.collect::<Vec<_>>().join(", ");
            let _ = writeln!(text, "{:<26} {label:<9}{}  {verdicts}", file.name, counts.cells());
            families(&mut text, &group);
        }
    }
    let _ = writeln!(text, "\n{met} goals met, {missed} missed");
    for file in files {
        told_misses(&mut text, file, misses);
    }
    text.push('\n');
    let (mut rows, mut took) = (0, Duration::ZERO);
    for file in files {
        let _ = writeln!(text, "{:<26} {}", file.name, speed(file.rows.len(), file.took));
        rows += file.rows.len();
        took += file.took;
    }
    let _ = writeln!(text, "{:<26} {}", "all", speed(rows, took));
    Report { text, missed }
}

#[allow(clippy::cast_precision_loss, reason = "no corpus has more rows than an f64 can count")]
fn speed(rows: usize, took: Duration) -> String {
    let seconds = took.as_secs_f64().max(1e-9);
    format!("{rows} rows in {:.1} ms: {:.0} rows a second", seconds * 1e3, rows as f64 / seconds)
}

/// The rows of a file with one label.
struct Group<'m> {
    pairs: Vec<(&'m Row, &'m Checked)>,
    goals: Vec<Goal>,
}

impl<'m> Group<'m> {
    fn of(file: &'m Measured, label: Label) -> Self {
        let pairs = file.rows.iter().zip(&file.answers).filter(|(row, _)| row.label == label);
        let pairs: Vec<_> = pairs.collect();
        let kind = kind(&file.name, pairs.iter().map(|(row, _)| *row));
        Self { pairs, goals: goals(kind, label) }
    }

    fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        self.pairs.iter().for_each(|(_, answer)| counts.add(answer.risk));
        counts
    }
}

/// One line for each family, the one with the most misses first.
fn families(text: &mut String, group: &Group<'_>) {
    let mut families: BTreeMap<&str, (usize, Counts)> = BTreeMap::new();
    for (row, answer) in &group.pairs {
        let Some(family) = &row.family else { continue };
        let (missed, counts) = families.entry(family).or_default();
        counts.add(answer.risk);
        *missed += usize::from(group.goals.iter().any(|goal| goal.is_missed_by(answer.risk)));
    }
    let mut families: Vec<_> = families.into_iter().collect();
    families.sort_by(|(_, (a, _)), (_, (b, _))| b.cmp(a));
    for (family, (_, counts)) in families {
        let _ = writeln!(text, "  {family:<33} {}", counts.cells());
    }
}

/// The rows of a file that speak against a goal, the farthest from it first.
fn told_misses(text: &mut String, file: &Measured, most: usize) {
    let mut misses = Vec::new();
    for label in Label::ALL {
        let group = Group::of(file, label);
        for (row, answer) in group.pairs {
            let goals = group.goals.iter().filter(|goal| goal.is_missed_by(answer.risk));
            let distance = goals.map(|goal| (goal.at_least as i8 - answer.risk as i8).abs()).max();
            if let Some(distance) = distance {
                misses.push((distance, row, answer));
            }
        }
    }
    if misses.is_empty() {
        return;
    }
    misses.sort_by_key(|(distance, ..)| -distance);
    let _ = writeln!(text, "\n{}: {} misses", file.name, misses.len());
    for (_, row, answer) in misses.iter().take(most) {
        let family = row.family.as_ref().map(|family| format!(" [{family}]")).unwrap_or_default();
        let rules = if answer.rules.is_empty() { "no rule".into() } else { answer.rules.join(" ") };
        let _ = writeln!(
            text,
            "  {}: {} found {} ({}; {rules}){family}\n      {}",
            row.line,
            row.label,
            answer.risk.name(),
            answer.score,
            shown(&row.command)
        );
    }
    let more = misses.len().saturating_sub(most);
    if more > 0 {
        let _ = writeln!(text, "  and {more} more");
    }
}

/// A command in one line that no terminal takes for its own.
fn shown(command: &str) -> String {
    let mut text = String::new();
    for (number, character) in command.chars().enumerate() {
        if number == SHOWN {
            text.push('…');
            break;
        }
        match character {
            '\n' => text.push('⏎'),
            plain if plain.is_ascii_graphic() || plain == ' ' || plain.is_alphanumeric() => {
                text.push(plain);
            }
            odd => text.extend(odd.escape_unicode()),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(name: &str, rows: &[(&str, Label, Risk)]) -> Measured {
        let row = |(line, (command, label, _)): (usize, &(&str, Label, Risk))| Row {
            line: line + 1,
            command: (*command).to_owned(),
            label: *label,
            language: None,
            family: None,
        };
        let answer = |(_, _, risk): &(&str, Label, Risk)| Checked {
            risk: *risk,
            score: 50.0,
            rules: vec!["some-rule".to_owned()],
        };
        Measured {
            name: name.to_owned(),
            rows: rows.iter().enumerate().map(row).collect(),
            answers: rows.iter().map(answer).collect(),
            took: Duration::from_millis(2),
        }
    }

    fn line<'t>(report: &'t Report, start: &str) -> &'t str {
        report.text.lines().find(|line| line.starts_with(start)).unwrap()
    }

    #[test]
    fn a_line_tells_shares_by_risk_and_the_goal() {
        let file = measured(
            "critical",
            &[
                ("a", Label::Critical, Risk::Critical),
                ("b", Label::Critical, Risk::High),
                ("c", Label::Critical, Risk::Medium),
                ("d", Label::Critical, Risk::Low),
            ],
        );
        let report = report(&[file], 10);
        let words: Vec<&str> = line(&report, "critical").split_whitespace().collect();
        let expected = "critical critical 4 25.0 % 25.0 % 25.0 % 25.0 % 75.0 % 50.0 % \
                        critical ≥ 99 %: MISSED";
        assert_eq!(words.join(" "), expected);
        assert_eq!(report.missed, 1);
    }

    #[test]
    fn met_goals_are_told_and_nothing_is_missed() {
        let file = measured("benign", &[("ls", Label::Benign, Risk::Low)]);
        let report = report(&[file], 10);
        assert!(line(&report, "benign").ends_with("high+ ≤ 1 %: met"));
        assert!(report.text.contains("1 goals met, 0 missed"));
        assert!(!report.text.contains("misses"));
        assert!(report.text.contains("1 rows in 2.0 ms: 500 rows a second"));
    }

    #[test]
    fn the_farthest_misses_come_first_and_the_rest_is_counted() {
        let file = measured(
            "critical-evasions",
            &[
                ("near", Label::Critical, Risk::High),
                ("far\nlines", Label::Critical, Risk::Low),
                ("good", Label::Critical, Risk::Critical),
            ],
        );
        let report = report(&[file], 1);
        assert!(report.text.contains("  2: critical found low (50; some-rule)\n      far⏎lines\n"));
        assert!(report.text.contains("and 1 more"));
        assert!(!report.text.contains("near"));
    }

    #[test]
    fn labels_of_one_file_have_lines_of_their_own() {
        let file = measured(
            "mixed",
            &[("x", Label::High, Risk::High), ("y", Label::Benign, Risk::Critical)],
        );
        let report = report(&[file], 10);
        let lines: Vec<&str> =
            report.text.lines().filter(|line| line.starts_with("mixed  ")).collect();
        assert_eq!(lines.len(), 3, "two labels and the time");
        assert!(lines[0].contains("high+ ≥ 92 %: met"));
        assert!(lines[1].contains("high+ ≤ 1 %: MISSED"));
    }

    #[test]
    fn families_are_listed_with_the_worst_first() {
        let mut file = measured(
            "critical-evasions",
            &[("a", Label::Critical, Risk::Critical), ("b", Label::Critical, Risk::Low)],
        );
        file.rows[0].family = Some("eval".to_owned());
        file.rows[1].family = Some("variables".to_owned());
        let report = report(&[file], 0);
        let at = |word| report.text.find(word).unwrap();
        assert!(at("  variables ") < at("  eval "));
    }

    #[test]
    fn a_share_is_never_rounded_to_all_or_nothing() {
        assert_eq!(share(0, 10_000), "-");
        assert_eq!(share(1, 10_000), "0.1 %");
        assert_eq!(share(9_999, 10_000), "99.9 %");
        assert_eq!(share(10_000, 10_000), "100.0 %");
    }

    #[test]
    fn what_a_terminal_would_obey_is_escaped_and_long_commands_are_cut() {
        assert_eq!(shown("a\u{1b}[2J\u{202e}"), "a\\u{1b}[2J\\u{202e}");
        assert_eq!(shown(&"x".repeat(500)).chars().count(), SHOWN + 1);
    }
}
