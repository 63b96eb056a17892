//! The table of results.

use std::fmt::Write as _;

/// The middle one of the times; of an even number the mean of the two in the middle. 0 of none.
pub(super) fn median(times: &[f64]) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let at = |index: usize| sorted.get(index).copied().unwrap_or(0.0);
    if sorted.len().is_multiple_of(2) && middle > 0 {
        f64::midpoint(at(middle - 1), at(middle))
    } else {
        at(middle)
    }
}

/// The smallest of the times.
pub(super) fn least(times: &[f64]) -> f64 {
    times.iter().copied().fold(f64::INFINITY, f64::min)
}

/// One comparison.
pub(super) struct Row {
    what: String,
    against: String,
    cells: [String; 5],
    met: Option<bool>,
}

impl Row {
    /// Times in milliseconds of ctrlz and of a peer, measured in turn, and the largest ratio of
    /// their medians that is a success.
    pub(super) fn ratio(what: &str, against: &str, ours: &[f64], peer: &[f64], goal: f64) -> Self {
        let ratio = median(ours) / median(peer);
        let goal_text =
            if goal <= 0.5 { format!("1/{:.0}", 1.0 / goal) } else { format!("{goal}") };
        Self {
            what: what.to_owned(),
            against: against.to_owned(),
            cells: [
                times(ours),
                times(peer),
                shown(ratio),
                shown(least(ours) / least(peer)),
                format!("≤ {goal_text} ×"),
            ],
            met: Some(ratio <= goal),
        }
    }

    /// A number of ctrlz alone, and the largest that is a success.
    pub(super) fn absolute(what: &str, value: f64, unit: &str, goal: f64) -> Self {
        Self {
            what: what.to_owned(),
            against: "absolute".to_owned(),
            cells: [
                format!("{value:.2} {unit}"),
                String::new(),
                String::new(),
                String::new(),
                format!("≤ {goal} {unit}"),
            ],
            met: Some(value <= goal),
        }
    }

    /// Times in milliseconds that no goal is set for.
    pub(super) fn told(what: &str, against: &str, ours: &[f64], peer: &[f64]) -> Self {
        let Self { mut cells, .. } = Self::ratio(what, against, ours, peer, 1.0);
        if let Some(goal) = cells.last_mut() {
            goal.clear();
        }
        Self { what: what.to_owned(), against: against.to_owned(), cells, met: None }
    }

    /// Sizes in bytes, and the largest ratio that is a success.
    pub(super) fn sizes(what: &str, against: &str, ours: u64, peer: u64, goal: f64) -> Self {
        let ratio = ours as f64 / peer as f64;
        let megabytes = |bytes: u64| format!("{} MB", shown(bytes as f64 / 1e6));
        Self {
            what: what.to_owned(),
            against: against.to_owned(),
            cells: [
                megabytes(ours),
                megabytes(peer),
                format!("{ratio:.3}"),
                String::new(),
                format!("≤ {goal} ×"),
            ],
            met: Some(ratio <= goal),
        }
    }

    /// A comparison that could not be made here.
    pub(super) fn skipped(what: &str, against: &str, reason: &str) -> Self {
        let reason = reason.lines().last().unwrap_or_default().replace('|', "/");
        let mut cells: [String; 5] = Default::default();
        cells[0] = format!("SKIPPED({reason})");
        Self { what: what.to_owned(), against: against.to_owned(), cells, met: None }
    }

    /// Whether it is a missed goal.
    pub(super) fn is_missed(&self) -> bool {
        self.met == Some(false)
    }

    /// The row as a line of the table.
    pub(super) fn line(&self) -> String {
        let met = match self.met {
            Some(true) => "yes",
            Some(false) => "**no**",
            None => "",
        };
        format!("| {} | {} | {} | {met} |", self.what, self.against, self.cells.join(" | "))
    }
}

fn times(times: &[f64]) -> String {
    format!("{} ({})", shown(median(times)), shown(least(times)))
}

/// Three significant digits.
fn shown(value: f64) -> String {
    match value {
        v if v >= 100.0 => format!("{v:.0}"),
        v if v >= 10.0 => format!("{v:.1}"),
        v if v >= 0.1 => format!("{v:.2}"),
        v => format!("{v:.4}"),
    }
}

/// The table in Markdown.
pub(super) fn markdown(rows: &[Row]) -> String {
    let mut text = String::from(
        "| what | against | ctrlz, ms: median (least) | peer, ms: median (least) | ratio of medians | ratio of least | goal | met |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let _ = writeln!(text, "{}", row.line());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median(&[7.0]), 7.0);
        assert_eq!(median(&[]), 0.0);
    }

    #[test]
    fn a_goal_is_met_or_missed() {
        let row = |goal| Row::ratio("a", "b", &[2.0], &[1.0], goal);
        assert!(row(1.9).is_missed() && !row(2.0).is_missed());
        assert!(row(2.0).line().contains("| 2.00 | 2.00 | ≤ 2 × | yes |"), "{}", row(2.0).line());
        assert!(!Row::skipped("a", "b", "c").is_missed());
        assert!(!Row::told("a", "b", &[2.0], &[1.0]).is_missed());
        assert!(Row::told("a", "b", &[2.0], &[1.0]).line().ends_with("| 2.00 | 2.00 |  |  |"));
    }

    #[test]
    fn sizes_are_compared_to_a_thousandth() {
        let row = |ours| Row::sizes("a", "b", ours, 1_000_000, 1.02);
        assert!(row(1_020_001).is_missed() && !row(1_020_000).is_missed());
        let line = row(1_020_000).line();
        assert!(line.contains("| 1.02 MB | 1.00 MB | 1.020 |"), "{line}");
    }
}
