//! What the numbers may be.

use super::super::numbers::{Course, Numbers, Size};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// The most of each.
pub(super) struct Bounds {
    /// The daemon's resident memory, in KiB.
    memory: u64,
    /// The daemon's open descriptors.
    descriptors: u64,
    /// The daemon's threads: one for each task, and the one that waits for signals.
    threads: u64,
    /// Bytes of the databases.
    database: u64,
    /// Bytes of everything else, after retention.
    files: u64,
    /// Inodes, after retention.
    inodes: u64,
}

impl Bounds {
    /// After so many operations in so many sandboxes.
    pub(super) fn of(operations: u64, sandboxes: u64) -> Self {
        Self {
            memory: 64 * KIB,
            descriptors: 64,
            threads: 16,
            // Each operation has about four events, and its row; nothing lets go of evidence.
            database: 16 * MIB + operations * 16 * KIB,
            // The newest ten operations of each keep their files, of at most 64 KiB each, on top of
            // the store's reserve and what signs the log.
            files: 8 * MIB + sandboxes * 1280 * KIB,
            inodes: 1000 + sandboxes * 200,
        }
    }

    /// What is beyond them, in words.
    pub(super) fn broken(&self, numbers: &Numbers, after: Size) -> Vec<String> {
        let rows = [
            ("the daemon's memory in KiB", numbers.memory.peak, self.memory),
            ("the daemon's descriptors", numbers.descriptors.peak, self.descriptors),
            ("the daemon's threads", numbers.threads.peak, self.threads),
            ("the databases in bytes", after.database, self.database),
            ("the other files in bytes after retention", after.files, self.files),
            ("the inodes after retention", after.inodes, self.inodes),
        ];
        let beyond = rows.into_iter().filter(|(_, value, most)| value > most);
        let mut broken: Vec<String> = beyond
            .map(|(what, value, most)| format!("{what}: {value}, more than {most}"))
            .collect();
        if numbers.memory == Course::default() {
            broken.push("the daemon was never seen".to_owned());
        }
        broken
    }
}

/// Prints a table: start, peak, end, the end after retention, and what it may be.
pub(super) fn print(numbers: &Numbers, before: Size, after: Size, bounds: &Bounds) {
    let row = |what: &str, course: Course, after: Option<u64>, most: u64, unit: u64| {
        let [start, peak, end, most] =
            [course.start, course.peak, course.end, most].map(|value| shown(value, unit));
        let after = after.map_or_else(|| "—".to_owned(), |value| shown(value, unit));
        println!("| {what} | {start} | {peak} | {end} | {after} | {most} |");
    };
    let mut database = numbers.database;
    let mut files = numbers.files;
    let mut inodes = numbers.inodes;
    database.add(before.database);
    files.add(before.files);
    inodes.add(before.inodes);
    println!("| | start | peak | end | after retention | at most |");
    println!("|---|---|---|---|---|---|");
    row("daemon: memory (Rss, MiB)", numbers.memory, None, bounds.memory, KIB);
    row("daemon: descriptors", numbers.descriptors, None, bounds.descriptors, 1);
    row("daemon: threads", numbers.threads, None, bounds.threads, 1);
    row("databases (MiB)", database, Some(after.database), bounds.database, MIB);
    row("other files (MiB)", files, Some(after.files), bounds.files, MIB);
    row("inodes", inodes, Some(after.inodes), bounds.inodes, 1);
}

fn shown(value: u64, unit: u64) -> String {
    if unit == 1 { value.to_string() } else { format!("{:.1}", value as f64 / unit as f64) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_beyond_a_bound_is_told() {
        let mut numbers = Numbers::default();
        let after = Size { database: MIB, files: MIB, inodes: 10 };
        let bounds = Bounds::of(100, 2);
        assert_eq!(bounds.broken(&numbers, after), ["the daemon was never seen"]);
        numbers.memory.add(10 * KIB);
        assert!(bounds.broken(&numbers, after).is_empty());
        numbers.descriptors.add(65);
        let after = Size { inodes: 1401, ..after };
        assert_eq!(
            bounds.broken(&numbers, after),
            [
                "the daemon's descriptors: 65, more than 64",
                "the inodes after retention: 1401, more than 1400"
            ]
        );
    }
}
