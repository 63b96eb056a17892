//! What is measured while the service works: how long each kind of call takes, and what the
//! processes have, over time.

use std::collections::BTreeMap;
use std::time::Duration;

/// The largest ratio of the 99th percentile of a kind of call to its median.
const SPREAD: f64 = 20.0;
/// Kinds with fewer calls have no 99th percentile to speak of.
const ENOUGH: usize = 200;
/// What asks for no sandbox and no journal takes next to no time, unless it has to wait for a processor.
const UNBOUND: &str = "metrics";

/// How long calls took, in microseconds, by kind.
#[derive(Debug, Default)]
pub(super) struct Latencies(BTreeMap<&'static str, Vec<u64>>);

impl Latencies {
    pub(super) fn add(&mut self, kind: &'static str, took: Duration) {
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.0.entry(kind).or_default().push(took);
    }

    pub(super) fn join(&mut self, other: Self) {
        for (kind, took) in other.0 {
            self.0.entry(kind).or_default().extend(took);
        }
    }

    pub(super) fn count(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }

    /// Prints a table; answers in words what is spread too far.
    pub(super) fn table(mut self) -> Vec<String> {
        let mut broken = Vec::new();
        println!("| call | count | p50, ms | p99, ms | longest, ms | p99 / p50 | at most |");
        println!("|---|---|---|---|---|---|---|");
        for (kind, took) in &mut self.0 {
            took.sort_unstable();
            let [middle, late, longest] = [50, 99, 100].map(|percent| at(took, percent));
            let ratio = late as f64 / middle.max(1) as f64;
            let [a, b, c] = [middle, late, longest].map(|micros| micros as f64 / 1000.0);
            let count = took.len();
            let is_bound = count >= ENOUGH && *kind != UNBOUND;
            let bound = if is_bound { "20" } else { "—" };
            println!("| {kind} | {count} | {a:.2} | {b:.2} | {c:.2} | {ratio:.1} | {bound} |");
            if is_bound && ratio > SPREAD {
                broken.push(format!("{kind}: p99 is {ratio:.1} times p50, more than {SPREAD}"));
            }
        }
        broken
    }
}

/// The smallest value that so many percent do not exceed; 0 of none.
fn at(sorted: &[u64], percent: usize) -> u64 {
    let index = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(index).copied().unwrap_or(0)
}

/// By how much something may have grown from the first third to the last, and at rest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Slack {
    /// In parts of what it was.
    pub(super) share: f64,
    /// And by this besides.
    pub(super) more: u64,
}

impl Slack {
    fn most(self, of: u64) -> u64 {
        of + (of as f64 * self.share) as u64 + self.more
    }
}

/// One number over time.
#[derive(Debug, Default)]
pub(super) struct Series {
    values: Vec<(Duration, u64)>,
    /// Before the load, and after it.
    pub(super) rest: (Option<u64>, Option<u64>),
}

impl Series {
    pub(super) fn add(&mut self, at: Duration, value: u64) {
        self.values.push((at, value));
    }

    /// The medians of the first and of the last third of the time behind the first fifth, in which
    /// everything warms up.
    fn thirds(&self, whole: Duration) -> (u64, u64) {
        let warm = whole / 5;
        let third = (whole - warm) / 3;
        let middle = |from: Duration, to: Duration| {
            let within = self.values.iter().filter(|(at, _)| (from..=to).contains(at));
            let mut values: Vec<u64> = within.map(|(_, value)| *value).collect();
            values.sort_unstable();
            at(&values, 50)
        };
        (middle(warm, warm + third), middle(whole - third, Duration::MAX))
    }

    fn peak(&self) -> u64 {
        self.values.iter().map(|(_, value)| *value).max().unwrap_or(0)
    }

    /// Prints a row; answers in words how it grew, when it grew too much. A slack for what is left at
    /// rest there is only for what should be given back.
    pub(super) fn row(
        &self,
        name: &str,
        (whole, unit): (Duration, u64),
        (while_busy, at_rest): (Option<Slack>, Option<Slack>),
    ) -> Vec<String> {
        let (first, last) = self.thirds(whole);
        let shown = |value: u64| match unit {
            1 => value.to_string(),
            unit => format!("{:.1}", value as f64 / unit as f64),
        };
        let rest = |value: Option<u64>| value.map_or_else(|| "—".to_owned(), shown);
        let most = while_busy.map(|slack| slack.most(first));
        println!(
            "| {name} | {} | {} | {} | {} | {} | {} |",
            rest(self.rest.0),
            shown(first),
            shown(last),
            rest(most),
            shown(self.peak()),
            rest(self.rest.1),
        );
        let mut broken = Vec::new();
        if self.values.is_empty() {
            broken.push(format!("{name}: never seen"));
        }
        if let Some(most) = most.filter(|most| last > *most) {
            let (last, first, most) = (shown(last), shown(first), shown(most));
            broken.push(format!("{name}: grew from {first} to {last}, beyond {most}"));
        }
        if let (Some(slack), (Some(before), Some(after))) = (at_rest, self.rest)
            && after > slack.most(before)
        {
            let (before, after) = (shown(before), shown(after));
            broken.push(format!("{name}: {before} at rest before the load, {after} after it"));
        }
        broken
    }

    /// Prints the head of the table.
    pub(super) fn head() {
        println!("| | at rest | first third | last third | at most | peak | at rest again |");
        println!("|---|---|---|---|---|---|---|");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_seen() {
        let values: Vec<u64> = (1..=200).collect();
        assert_eq!([50, 99, 100].map(|percent| at(&values, percent)), [100, 198, 200]);
        assert_eq!((at(&[7], 50), at(&[], 99)), (7, 0));
    }

    #[test]
    fn what_is_late_too_often_is_told() {
        let mut took = Latencies::default();
        for number in 0..300 {
            let late = number % 50 == 0;
            took.add("read", Duration::from_micros(if late { 2_100 } else { 100 }));
            took.add("run", Duration::from_micros(if late { 2_000 } else { 100 }));
        }
        assert_eq!(took.table(), ["read: p99 is 21.0 times p50, more than 20"]);
    }

    #[test]
    fn growth_is_told_and_warming_up_is_not_growth() {
        let whole = Duration::from_secs(100);
        let series = |values: &dyn Fn(u64) -> u64| {
            let mut series = Series::default();
            (0..=100).for_each(|at| series.add(Duration::from_secs(at), values(at)));
            series
        };
        let slack = Some(Slack { share: 0.05, more: 4 });
        let flat = series(&|at| if at < 20 { at } else { 20 + at % 3 });
        assert!(flat.row("flat", (whole, 1), (slack, slack)).is_empty());
        let leaks = series(&|at| 100 + at);
        let told = leaks.row("leaks", (whole, 1), (slack, None));
        assert_eq!(told, ["leaks: grew from 133 to 187, beyond 143"]);
        let kept = Series { rest: (Some(10), Some(15)), ..series(&|_| 10) };
        let told = kept.row("kept", (whole, 1), (slack, Some(Slack { share: 0.0, more: 4 })));
        assert_eq!(told, ["kept: 10 at rest before the load, 15 after it"]);
    }
}
