//! Whether the live directory is as the steps expect it.

use std::collections::HashMap;
use std::io;
use std::path::Path;

use ctrlz_core::path::RelPath;
use ctrlz_core::time::Timestamp;
use ctrlz_core::workspace::{Conflict, ConflictReason, WorkspaceError};

use super::tree::{LiveTree, Parent, Spot, walk};
use super::{Expect, Replacement, Step};
use crate::node::{
    Place, Version, failed, file_type, open_parent, same_content_at, same_xattrs_at, version,
};

/// What was found at a step's path.
#[derive(Debug)]
pub(super) struct Finding {
    /// What is there now.
    pub(super) current: Option<Version>,
    /// What follows.
    pub(super) outcome: Outcome,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It lies in a directory that another step takes away, and goes with it.
    Covered,
    /// It already is as the step wants it.
    Settled,
    /// It is as expected.
    Clear,
    /// It is not.
    Conflict(ConflictReason),
}

/// Looks at every step's path.
pub(super) fn check(tree: &LiveTree, steps: &[Step]) -> Result<Vec<Finding>, WorkspaceError> {
    let mut stays_directory: HashMap<&RelPath, bool> = HashMap::new();
    let mut findings = Vec::with_capacity(steps.len());
    let mut last: Option<&RelPath> = None;
    for step in steps {
        if last.is_some_and(|last| *last >= step.path) {
            return Err(malformed(tree.path(), &step.path, "the steps are not in order"));
        }
        last = Some(&step.path);
        let directory = wants_directory(step)?;
        if step.path.is_root() && !directory {
            return Err(malformed(tree.path(), &step.path, "the root can only be a directory"));
        }
        let taken = step.path.ancestors().any(|above| stays_directory.get(&above) == Some(&false));
        stays_directory.insert(&step.path, directory);
        if taken {
            if step.replace != Replacement::Nothing {
                let why = "a step lies in a directory that another one takes away";
                return Err(malformed(tree.path(), &step.path, why));
            }
            findings.push(Finding { current: None, outcome: Outcome::Covered });
            continue;
        }
        let parent = step.path.parent();
        let made = parent.is_some_and(|parent| stays_directory.get(&parent) == Some(&true));
        findings.push(look(tree, steps, step, made)?);
    }
    Ok(findings)
}

/// The conflicts among findings.
pub(super) fn conflicts(steps: &[Step], findings: &[Finding]) -> Vec<Conflict> {
    let pairs = steps.iter().zip(findings);
    pairs
        .filter_map(|(step, finding)| match finding.outcome {
            Outcome::Conflict(reason) => Some(Conflict { path: step.path.clone(), reason }),
            _ => None,
        })
        .collect()
}

fn malformed(live: &Path, path: &RelPath, why: &'static str) -> WorkspaceError {
    failed("plan the change of", path.below(live))(io::Error::new(io::ErrorKind::InvalidInput, why))
}

fn wants_directory(step: &Step) -> Result<bool, WorkspaceError> {
    match &step.replace {
        Replacement::Nothing => Ok(false),
        Replacement::Entry { source } => Ok(source_version(source)?.is_directory()),
    }
}

/// The version of what is to be put in place.
pub(super) fn source_version(source: &Path) -> Result<Version, WorkspaceError> {
    version(source)?.ok_or_else(|| WorkspaceError::Damaged {
        what: "what is to be written is gone",
        path: source.to_owned(),
    })
}

fn look(
    tree: &LiveTree,
    steps: &[Step],
    step: &Step,
    made: bool,
) -> Result<Finding, WorkspaceError> {
    let found = |current, outcome| Ok(Finding { current, outcome });
    let removes = step.replace == Replacement::Nothing;
    let (spot, blocked) = match tree.find(&step.path)? {
        Parent::Open(spot) => (Some(spot), false),
        Parent::Missing => (None, false),
        Parent::Blocked => (None, true),
    };
    let current = spot.as_ref().map(Spot::version).transpose()?.flatten();
    let Some((now, spot)) = current.zip(spot.as_ref()) else {
        let reason = if blocked { ConflictReason::Changed } else { ConflictReason::Deleted };
        return found(
            None,
            match step.expect {
                _ if removes => Outcome::Settled,
                Expect::Absent if spot.is_some() || made => Outcome::Clear,
                _ => Outcome::Conflict(reason),
            },
        );
    };
    let reason = match &step.expect {
        Expect::Absent => ConflictReason::Created,
        Expect::Unchanged { version, since } if matches(version, &now) => {
            let stays = wants_directory(step)?;
            if !now.is_directory() || stays {
                return found(current, Outcome::Clear);
            }
            let expected = expected_inside(steps, &step.path);
            if !changed_inside(spot.place(), &expected, *since, |_| false)? {
                return found(current, Outcome::Clear);
            }
            ConflictReason::InsideChanged
        }
        Expect::Unchanged { .. } | Expect::ChangedDuringOperation { .. } => ConflictReason::Changed,
    };
    if let Replacement::Entry { source } = &step.replace
        && is_identical(spot.place(), source)?
    {
        return found(current, Outcome::Settled);
    }
    found(current, Outcome::Conflict(reason))
}

/// Whether `now` is the version that was expected.
pub(crate) fn matches(expected: &Version, now: &Version) -> bool {
    let same = expected.ino == now.ino
        && expected.mode == now.mode
        && (expected.uid, expected.gid) == (now.uid, now.gid);
    if now.is_directory() {
        return same;
    }
    // A hard link made or removed elsewhere moves the change time and nothing else that counts.
    // Any other move of it alone is a change: an attribute was set, or the times were put back.
    let untouched = expected.ctime == now.ctime || expected.nlink != now.nlink;
    same && same_body(expected, now) && untouched
}

/// As [`matches()`], after a rename, which moves the change time.
pub(super) fn matches_moved(expected: &Version, now: &Version) -> bool {
    expected.ino == now.ino
        && expected.mode == now.mode
        && (expected.uid, expected.gid) == (now.uid, now.gid)
        && (now.is_directory() || same_body(expected, now))
}

fn same_body(expected: &Version, now: &Version) -> bool {
    (expected.size, expected.mtime, expected.rdev) == (now.size, now.mtime, now.rdev)
}

/// What the steps inside a directory expect there, by the path from the directory.
pub(super) fn expected_inside(steps: &[Step], directory: &RelPath) -> Vec<(RelPath, Expect)> {
    let mut prefix = directory.as_bytes().to_vec();
    if !prefix.is_empty() {
        prefix.push(b'/');
    }
    // Whatever begins with the same bytes stands together in a sorted list.
    let start = steps.partition_point(|step| step.path.as_bytes() < prefix.as_slice());
    let inside = steps.get(start..).unwrap_or_default().iter();
    inside
        .map_while(|step| Some((step.path.as_bytes().strip_prefix(prefix.as_slice())?, step)))
        .filter_map(|(rest, step)| {
            use std::os::unix::ffi::OsStrExt;
            let rest = RelPath::parse(std::ffi::OsStr::from_bytes(rest)).ok()?;
            Some((rest, step.expect))
        })
        .filter(|(rest, _)| !rest.is_root())
        .collect()
}

/// Whether someone made or changed anything in a directory: an entry that a step of its own
/// expects must be that version, any other must not have changed since `since`. `moved` knows the
/// inodes whose change time moved because we moved another name of theirs.
pub(super) fn changed_inside(
    directory: Place<'_>,
    expected: &[(RelPath, Expect)],
    since: Timestamp,
    moved: impl Fn(&Version) -> bool,
) -> Result<bool, WorkspaceError> {
    let mut changed = false;
    walk(directory, |path, now| {
        if now.nlink > 1 && moved(now) {
            return Ok(());
        }
        changed |= match expected.binary_search_by(|(known, _)| known.cmp(path)) {
            Ok(at) => match expected.get(at) {
                Some((_, Expect::Unchanged { version, .. })) => !matches(version, now),
                _ => true,
            },
            Err(_) => now.ctime >= since,
        };
        Ok(())
    })?;
    Ok(changed)
}

/// Whether the live entry already is what is to be put there. Times do not count. What cannot be
/// compared is taken as different, which makes it a conflict.
fn is_identical(live: Place<'_>, source: &Path) -> Result<bool, WorkspaceError> {
    let wanted = source_version(source)?;
    let Some(now) = crate::node::version_at(live)? else { return Ok(false) };
    if file_type(&now) != file_type(&wanted)
        || now.permissions() != wanted.permissions()
        || (now.uid, now.gid) != (wanted.uid, wanted.gid)
    {
        return Ok(false);
    }
    let (directory, name) = open_parent(source)?;
    let source = Place::new(&directory, &name, source);
    Ok(same_content_at(live, source).unwrap_or(false)
        && same_xattrs_at(live, source).unwrap_or(false))
}
