//! The processes of a service: itself, its launcher, its daemon, and what they have begun.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use super::figures::{Series, Slack};
use crate::service::{Service, children};

/// Rows whose name ends so are in KiB, and printed in MiB.
const MEMORY: &str = "memory (Rss, MiB)";
const SHARED: &str = "memory of the three (Pss, MiB)";
const PROCESSES: &str = "processes, with those of the commands";

/// What all of them have, over time.
#[derive(Debug, Default)]
pub(super) struct Family(BTreeMap<String, Series>);

/// What they have now.
type Look = BTreeMap<String, u64>;

impl Family {
    pub(super) fn add(&mut self, at: Duration, service: &Service) {
        for (name, value) in look(service) {
            self.0.entry(name).or_default().add(at, value);
        }
    }

    /// What they have while nobody asks for anything: before the load, or after it.
    pub(super) fn rests(&mut self, service: &Service, after: bool) {
        for (name, value) in look(service) {
            let series = self.0.entry(name).or_default();
            let place = if after { &mut series.rest.1 } else { &mut series.rest.0 };
            *place = Some(value);
        }
    }

    /// Prints a table; answers in words what grew.
    pub(super) fn table(&self, whole: Duration) -> Vec<String> {
        Series::head();
        let mut broken = Vec::new();
        for (name, series) in &self.0 {
            let unit = if name.contains("MiB") { 1024 } else { 1 };
            // Shared pages are divided by how many share them, which changes with the commands.
            let busy = match name.as_str() {
                SHARED => None,
                name if name.ends_with(MEMORY) => Some(Slack { share: 0.1, more: 2048 }),
                // Some more of them when many calls happen to block at once.
                name if name.ends_with("threads") => Some(Slack { share: 0.5, more: 32 }),
                _ => Some(Slack { share: 0.15, more: 16 }),
            };
            let rest = (unit == 1).then_some(Slack { share: 0.0, more: 24 });
            broken.extend(series.row(name, (whole, unit), (busy, rest)));
        }
        for role in ["service", "launcher", "daemon"] {
            if !self.0.contains_key(&format!("{role}: {MEMORY}")) {
                broken.push(format!("no {role} was ever seen"));
            }
        }
        broken
    }
}

fn look(service: &Service) -> Look {
    let mut look = Look::new();
    let mut shared = 0;
    let mut roles = vec![("service", service.pid())];
    for pid in service.children() {
        let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let is = |word: &[u8]| words.split(|byte| *byte == 0).any(|found| found == word);
        match () {
            () if is(b"__launcher") => roles.push(("launcher", pid)),
            () if is(b"daemon") => roles.push(("daemon", pid)),
            // An errand.
            () => {}
        }
    }
    for (role, pid) in roles {
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        // What has ended between two looks has none of that.
        let (Some(resident), Some(own)) = (field(&rollup, "Rss:"), field(&rollup, "Pss:")) else {
            continue;
        };
        shared += own;
        look.insert(format!("{role}: {MEMORY}"), resident);
        let open = fs::read_dir(format!("/proc/{pid}/fd")).map(Iterator::count).unwrap_or_default();
        look.insert(format!("{role}: open files"), open as u64);
        if let Some(threads) = field(&status, "Threads:") {
            look.insert(format!("{role}: threads"), threads);
        }
    }
    look.insert(SHARED.to_owned(), shared);
    look.insert(PROCESSES.to_owned(), descendants(service.pid()).len() as u64 + 1);
    look
}

/// All processes below one.
pub(super) fn descendants(pid: u32) -> Vec<u32> {
    let mut found = children(pid);
    let mut next = 0;
    while let Some(pid) = found.get(next).copied() {
        found.extend(children(pid));
        next += 1;
    }
    found
}

fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}
