//! The rows of `ctrlz top`.

use std::cmp::Ordering;

use ctrlz_core::monitor::Reading;
use ctrlz_core::size::ByteSize;
use ctrlz_engine::tracker::RunningSandbox;

use crate::arguments::SortBy;

pub(super) const HEADING: [&str; 11] = [
    "SANDBOX",
    "OPERATION",
    "CPU%",
    "MEMORY",
    "PROCS",
    "FILES",
    "READ",
    "WRITTEN",
    "NET",
    "TIME",
    "COMMAND",
];

/// One running sandbox.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) running: RunningSandbox,
    pub(super) reading: Reading,
    /// Of one processor: since the look before or, at the first one, since it began.
    pub(super) cpu_percent: f64,
}

impl Row {
    pub(super) fn new(running: RunningSandbox, reading: Reading, before: Option<&Reading>) -> Self {
        let cpu_percent = share(&reading, before.copied().unwrap_or_default());
        Self { running, reading, cpu_percent }
    }

    pub(super) fn cells(&self) -> Vec<String> {
        let reading = &self.reading;
        let bytes = |amount: Option<u64>| {
            amount.map_or_else(|| "-".to_owned(), |bytes| ByteSize(bytes).to_string())
        };
        let net = reading.received.zip(reading.sent).map(|(a, b)| a.saturating_add(b));
        vec![
            self.running.sandbox.name.to_string(),
            self.running.operation.id.to_string(),
            format!("{:.0}", self.cpu_percent),
            ByteSize(reading.memory).to_string(),
            reading.processes.to_string(),
            reading.open_files.to_string(),
            bytes(reading.read),
            bytes(reading.written),
            bytes(net),
            reading.elapsed.to_string(),
            self.running.operation.request.title.clone(),
        ]
    }

    fn disk(&self) -> u64 {
        let told = |amount: Option<u64>| amount.unwrap_or(0);
        told(self.reading.read).saturating_add(told(self.reading.written))
    }
}

/// CPU time for run time, in percent.
fn share(now: &Reading, before: Reading) -> f64 {
    let elapsed = now.elapsed.0.saturating_sub(before.elapsed.0).as_secs_f64();
    let cpu = now.cpu.0.saturating_sub(before.cpu.0).as_secs_f64();
    if elapsed > 0.0 { cpu / elapsed * 100.0 } else { 0.0 }
}

/// Sorts by what is asked, the most first, names from the first; equal ones by name.
pub(super) fn sort(rows: &mut [Row], by: SortBy, reversed: bool) {
    let most = |a: &Row, b: &Row| -> Ordering {
        match by {
            SortBy::Cpu => b.cpu_percent.total_cmp(&a.cpu_percent),
            SortBy::Memory => b.reading.memory.cmp(&a.reading.memory),
            SortBy::Processes => b.reading.processes.cmp(&a.reading.processes),
            SortBy::Files => b.reading.open_files.cmp(&a.reading.open_files),
            SortBy::Disk => b.disk().cmp(&a.disk()),
            SortBy::Time => b.reading.elapsed.cmp(&a.reading.elapsed),
            SortBy::Name => Ordering::Equal,
        }
    };
    rows.sort_by(|a, b| {
        let names = || a.running.sandbox.name.as_str().cmp(b.running.sandbox.name.as_str());
        let order = most(a, b).then_with(names);
        if reversed { order.reverse() } else { order }
    });
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ctrlz_core::span::Span;

    use super::*;

    #[test]
    fn the_share_is_that_since_the_look_before() {
        let reading = |elapsed, cpu| Reading {
            elapsed: Span(Duration::from_secs(elapsed)),
            cpu: Span(Duration::from_secs(cpu)),
            ..Reading::default()
        };
        assert_eq!(share(&reading(10, 5), Reading::default()), 50.0);
        assert_eq!(share(&reading(11, 7), reading(10, 5)), 200.0);
        assert_eq!(share(&reading(10, 5), reading(10, 5)), 0.0, "no time has passed");
    }
}
