//! Writing down what lies in an upper directory.

use std::collections::HashSet;
use std::path::Path;

use ctrlz_core::path::RelPath;
use ctrlz_core::time::Timestamp;
use ctrlz_core::workspace::WorkspaceError;
use rustix::fs::OFlags;

use crate::access::{Opened, is_denied};
use crate::layer::is_opaque;
use crate::manifest::Record;
use crate::node::{Place, entries_at, open_directory, version_at};
use crate::view::View;

/// One record for everything below `upper`, parents first, without a word about the base.
pub(super) fn walk(upper: &Path) -> Result<Vec<Record>, WorkspaceError> {
    let mut records = Vec::new();
    let mut pending = vec![RelPath::root()];
    while let Some(path) = pending.pop() {
        let from = records.len();
        match list(upper, &path, &mut records) {
            Err(error) if is_denied(&error) => {
                records.truncate(from);
                let _opened = Opened::open(upper, &path)?;
                list(upper, &path, &mut records)?;
            }
            result => result?,
        }
        let found = records.get(from..).unwrap_or_default();
        let directories =
            found.iter().filter(|record| record.entry.is_some_and(|e| e.is_directory()));
        pending.extend(directories.map(|record| record.path.clone()));
    }
    for record in &mut records {
        if record.entry.is_some_and(|entry| entry.is_directory()) {
            record.opaque = opaque(upper, &record.path)?;
        }
    }
    Ok(records)
}

fn list(upper: &Path, path: &RelPath, records: &mut Vec<Record>) -> Result<(), WorkspaceError> {
    let disk = path.below(upper);
    let directory = open_directory(&disk, OFlags::RDONLY)?;
    let mut shown = disk.clone();
    for name in entries_at(&directory, &disk)? {
        shown.push(&name);
        let entry = version_at(Place::new(&directory, &name, &shown))?;
        shown.pop();
        let path = path.child(&name);
        records.push(Record { path, entry, opaque: false, base: None, raced: false });
    }
    Ok(())
}

fn opaque(upper: &Path, path: &RelPath) -> Result<bool, WorkspaceError> {
    match is_opaque(&path.below(upper)) {
        Err(error) if is_denied(&error) => {
            let _opened = Opened::open(upper, path)?;
            is_opaque(&path.below(upper))
        }
        result => result,
    }
}

/// Adds what the base has at the records' paths, and whether it changed at `since` or later.
pub(super) fn add_base(
    records: &mut [Record],
    base: &Path,
    since: Timestamp,
) -> Result<(), WorkspaceError> {
    let view = View::new(base.to_owned(), Vec::new());
    let mut made = Made::default();
    for record in records {
        let is_directory = record.entry.is_some_and(|entry| entry.is_directory());
        if made.holds(&record.path) {
            made.add_if(is_directory, &record.path);
            continue;
        }
        record.base = view.lookup(&record.path)?.map(|found| found.version);
        let was_directory = record.base.is_some_and(|base| base.is_directory());
        made.add_if(is_directory && !was_directory, &record.path);
        record.raced = record.base.is_some_and(|base| {
            // A directory's own stamp moves with every entry made in it, so it proves nothing.
            !base.is_directory() && base.ctime >= since
        });
    }
    Ok(())
}

/// Directories where none was before. Nothing below them has to be looked up one by one, and there
/// may be thousands of paths.
#[derive(Debug, Default)]
pub(super) struct Made {
    directories: HashSet<RelPath>,
    /// The directory of the path that was asked about last, and whether it is one of them. A walk
    /// tells what lies in a directory in one go.
    last: RelPath,
    is_made: bool,
}

impl Made {
    /// Whether the next path of a walk lies in one of them.
    pub(super) fn holds(&mut self, path: &RelPath) -> bool {
        if !path.is_child_of(&self.last) {
            self.last = path.parent().unwrap_or_default();
            self.is_made = self.directories.contains(&self.last);
        }
        self.is_made
    }

    /// Adds a directory, before what lies in it is asked about.
    pub(super) fn add_if(&mut self, made: bool, directory: &RelPath) {
        if made {
            self.directories.insert(directory.clone());
        }
    }
}
