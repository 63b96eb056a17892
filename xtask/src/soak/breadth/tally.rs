//! What was done.

use std::collections::BTreeMap;

/// Operations by kind, and kills.
#[derive(Debug, Default)]
pub(super) struct Tally {
    kinds: BTreeMap<&'static str, u64>,
    pub(super) killed: u64,
}

impl Tally {
    pub(super) fn count(&mut self, kind: &'static str) {
        *self.kinds.entry(kind).or_default() += 1;
    }

    pub(super) fn operations(&self) -> u64 {
        self.kinds.values().sum()
    }

    pub(super) fn add(&mut self, other: &Self) {
        for (kind, count) in &other.kinds {
            *self.kinds.entry(kind).or_default() += count;
        }
        self.killed += other.killed;
    }

    pub(super) fn words(&self) -> String {
        let kinds: Vec<String> =
            self.kinds.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        kinds.join(", ")
    }
}
