//! From steps and what was found to the list of renames, by the strategy for conflicts.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use ctrlz_core::changeset::ChangeKind;
use ctrlz_core::id::OperationId;
use ctrlz_core::path::RelPath;
use ctrlz_core::workspace::{ConflictStrategy, WorkspaceError};

use super::check::{Finding, Outcome, expected_inside, source_version};
use super::record::{Action, Inside, Item, Node};
use super::tree::{LiveTree, Parent, walk};
use super::{Expect, Replacement, Step};
use crate::node::{Place, Version, file_type, open_parent, same_content_at};

/// What is going to be done, and what is left alone.
#[derive(Debug, Default)]
pub(super) struct Decision {
    pub(super) items: Vec<Item>,
    pub(super) skipped: Vec<RelPath>,
}

/// Decides. Conflicts under [`ConflictStrategy::Fail`] must have been refused before; they would
/// be skipped here.
pub(super) fn decide(
    tree: &LiveTree,
    steps: &[Step],
    findings: &[Finding],
    operation: OperationId,
    strategy: ConflictStrategy,
) -> Result<Decision, WorkspaceError> {
    let mut decider = Decider {
        tree,
        steps,
        operation,
        strategy,
        decision: Decision::default(),
        made: HashMap::new(),
        diverted: HashMap::new(),
        closed: HashSet::new(),
        linked_inside: HashSet::new(),
    };
    for (step, finding) in steps.iter().zip(findings) {
        decider.step(step, finding)?;
    }
    keep_inodes(&mut decider.decision.items, &decider.linked_inside)?;
    Ok(decider.decision)
}

struct Decider<'a> {
    tree: &'a LiveTree,
    steps: &'a [Step],
    operation: OperationId,
    strategy: ConflictStrategy,
    decision: Decision,
    /// Directories that are put in place as a whole, and the items that do it.
    made: HashMap<RelPath, usize>,
    /// Where the sandbox's version goes instead, when both are kept.
    diverted: HashMap<RelPath, RelPath>,
    /// Paths left to someone else, with all below them.
    closed: HashSet<RelPath>,
    /// Inodes with several names, one of them in a directory that is taken away.
    linked_inside: HashSet<u64>,
}

impl Decider<'_> {
    fn step(&mut self, step: &Step, finding: &Finding) -> Result<(), WorkspaceError> {
        if finding.outcome == Outcome::Covered {
            return Ok(());
        }
        if step.path.ancestors().any(|above| self.closed.contains(&above)) {
            self.decision.skipped.push(step.path.clone());
            return Ok(());
        }
        let target = self.target(&step.path);
        if target != step.path {
            if let Replacement::Entry { source } = &step.replace {
                self.add(&target, source)?;
            }
            return Ok(());
        }
        match (finding.outcome, self.strategy) {
            (Outcome::Covered | Outcome::Settled, _) => Ok(()),
            (Outcome::Clear, _) => self.act(step, finding.current, false),
            (Outcome::Conflict(_), ConflictStrategy::Ours) => self.act(step, finding.current, true),
            (Outcome::Conflict(_), ConflictStrategy::KeepBoth) => self.keep_both(step, finding),
            (Outcome::Conflict(_), ConflictStrategy::Theirs | ConflictStrategy::Fail) => {
                self.skip(step, finding)
            }
        }
    }

    fn skip(&mut self, step: &Step, finding: &Finding) -> Result<(), WorkspaceError> {
        self.decision.skipped.push(step.path.clone());
        // A directory on both sides still takes what the sandbox has inside it.
        if !self.both_directories(step, finding)? {
            self.closed.insert(step.path.clone());
        }
        Ok(())
    }

    fn both_directories(&self, step: &Step, finding: &Finding) -> Result<bool, WorkspaceError> {
        let Replacement::Entry { source } = &step.replace else { return Ok(false) };
        let live = finding.current.is_some_and(|now| now.is_directory());
        Ok(live && source_version(source)?.is_directory())
    }

    fn keep_both(&mut self, step: &Step, finding: &Finding) -> Result<(), WorkspaceError> {
        let Replacement::Entry { source } = &step.replace else { return self.skip(step, finding) };
        if self.both_directories(step, finding)? {
            return self.skip(step, finding);
        }
        self.parents(&step.path, source)?;
        let beside = match step.path.parent() {
            // The directory itself may have been diverted just now.
            Some(parent) if self.target(&parent) != parent => self.target(&step.path),
            _ => self.beside(&step.path)?,
        };
        self.diverted.insert(step.path.clone(), beside.clone());
        self.add(&beside, source)
    }

    /// A free name next to `path`.
    fn beside(&self, path: &RelPath) -> Result<RelPath, WorkspaceError> {
        let parent = path.parent().unwrap_or_default();
        for attempt in 1.. {
            let candidate = parent.child(&beside_name(path, self.operation, attempt));
            let free = match self.tree.find(&candidate)? {
                Parent::Open(spot) => spot.version()?.is_none(),
                Parent::Missing | Parent::Blocked => true,
            };
            let wanted = self.steps.binary_search_by(|step| step.path.cmp(&candidate)).is_ok();
            let taken = self.decision.items.iter().any(|item| item.path == candidate);
            if free && !wanted && !taken {
                return Ok(candidate);
            }
        }
        Ok(path.clone())
    }

    /// Where `path` goes, given the directories that go elsewhere.
    fn target(&self, path: &RelPath) -> RelPath {
        if self.diverted.is_empty() {
            return path.clone();
        }
        let mut target = RelPath::root();
        let mut original = RelPath::root();
        for name in path.as_path() {
            original = original.child(name);
            target = match self.diverted.get(&original) {
                Some(elsewhere) => elsewhere.clone(),
                None => target.child(name),
            };
        }
        target
    }

    fn act(
        &mut self,
        step: &Step,
        current: Option<Version>,
        forced: bool,
    ) -> Result<(), WorkspaceError> {
        let inside = match step.expect {
            Expect::Unchanged { since, .. } if !forced => {
                Some(Inside { since, expected: expected_inside(self.steps, &step.path) })
            }
            _ => None,
        };
        match (&step.replace, current) {
            (Replacement::Nothing, None) => Ok(()),
            (Replacement::Nothing, Some(now)) => {
                let removed_inside = self.count_inside(&step.path, &now)?;
                self.decision.items.push(Item {
                    path: step.path.clone(),
                    action: Action::Remove,
                    before: current,
                    nodes: Vec::new(),
                    inside: inside.filter(|_| now.is_directory()),
                    forced,
                    kind: ChangeKind::Deleted,
                    removed_inside,
                });
                Ok(())
            }
            (Replacement::Entry { source }, None) => {
                if forced {
                    self.parents(&step.path, source)?;
                }
                self.add(&step.path, source)
            }
            (Replacement::Entry { source }, Some(now)) => {
                self.replace(&step.path, source, now, inside, forced)
            }
        }
    }

    fn replace(
        &mut self,
        path: &RelPath,
        source: &Path,
        now: Version,
        inside: Option<Inside>,
        forced: bool,
    ) -> Result<(), WorkspaceError> {
        let wanted = source_version(source)?;
        let update = now.is_directory() && wanted.is_directory();
        let kind = if update {
            ChangeKind::MetadataChanged
        } else if file_type(&now) != file_type(&wanted) {
            ChangeKind::TypeChanged
        } else if self.same_content(path, source)? {
            ChangeKind::MetadataChanged
        } else {
            ChangeKind::Modified
        };
        let removed_inside = if update { 0 } else { self.count_inside(path, &now)? };
        if wanted.is_directory() && !update {
            self.made.insert(path.clone(), self.decision.items.len());
        }
        self.decision.items.push(Item {
            path: path.clone(),
            action: if update { Action::Update } else { Action::Replace },
            before: Some(now),
            nodes: vec![Node { path: RelPath::root(), source: source.to_owned() }],
            inside: inside.filter(|_| now.is_directory() && !update),
            forced,
            kind,
            removed_inside,
        });
        Ok(())
    }

    fn same_content(&self, path: &RelPath, source: &Path) -> Result<bool, WorkspaceError> {
        let spot = self.tree.spot(path)?;
        let (directory, name) = open_parent(source)?;
        // Only a number in a report hangs on it; what we may not read counts as changed.
        Ok(same_content_at(spot.place(), Place::new(&directory, &name, source)).unwrap_or(false))
    }

    fn count_inside(&mut self, path: &RelPath, now: &Version) -> Result<u64, WorkspaceError> {
        let mut count = 0;
        if now.is_directory() {
            walk(self.tree.spot(path)?.place(), |_, inner| {
                count += 1;
                if inner.is_file() && inner.nlink > 1 {
                    self.linked_inside.insert(inner.ino);
                }
                Ok(())
            })?;
        }
        Ok(count)
    }

    /// Puts a node where nothing is: into the directory that is made anyway, or on its own.
    fn add(&mut self, path: &RelPath, source: &Path) -> Result<(), WorkspaceError> {
        let above =
            path.ancestors().find_map(|above| self.made.get(&above).map(|item| (*item, above)));
        if let Some((at, above)) = above
            && let Some(item) = self.decision.items.get_mut(at)
        {
            let depth = above.as_path().components().count();
            let names = path.as_path().iter().skip(depth);
            let inner = names.fold(RelPath::root(), |inner, name| inner.child(name));
            item.nodes.push(Node { path: inner, source: source.to_owned() });
            return Ok(());
        }
        if source_version(source)?.is_directory() {
            self.made.insert(path.clone(), self.decision.items.len());
        }
        self.decision.items.push(Item {
            path: path.clone(),
            action: Action::Add,
            before: None,
            nodes: vec![Node { path: RelPath::root(), source: source.to_owned() }],
            inside: None,
            forced: false,
            kind: ChangeKind::Added,
            removed_inside: 0,
        });
        Ok(())
    }

    /// Makes sure that the directories above a forced path will be there: someone removed them,
    /// or put something else in their place. They are copied from those above the source.
    fn parents(&mut self, path: &RelPath, source: &Path) -> Result<(), WorkspaceError> {
        let above: Vec<RelPath> = path.ancestors().collect();
        for (index, directory) in above.iter().enumerate() {
            let target = self.target(directory);
            let known = target != *directory
                || self.made.contains_key(directory)
                || directory.ancestors().any(|above| self.made.contains_key(&above));
            if known && self.is_made(&target) {
                continue;
            }
            let current = match self.tree.find(&target)? {
                Parent::Open(spot) => spot.version()?,
                Parent::Missing | Parent::Blocked => None,
            };
            if current.is_some_and(|now| now.is_directory()) {
                continue;
            }
            let levels = above.len() - index;
            let from = source.ancestors().nth(levels).map(PathBuf::from).unwrap_or_default();
            match current {
                None => self.add(&target, &from)?,
                Some(now) if self.strategy == ConflictStrategy::Ours => {
                    self.replace(&target, &from, now, None, true)?;
                }
                Some(_) => {
                    let beside = self.beside(&target)?;
                    self.diverted.insert(directory.clone(), beside.clone());
                    self.add(&beside, &from)?;
                }
            }
        }
        Ok(())
    }

    /// Whether an item already puts the directory `path` in place.
    fn is_made(&self, path: &RelPath) -> bool {
        if self.made.contains_key(path) {
            return true;
        }
        let above =
            path.ancestors().find_map(|above| self.made.get(&above).map(|item| (*item, above)));
        above.is_some_and(|(at, above)| {
            self.decision.items.get(at).is_some_and(|item| {
                let depth = above.as_path().components().count();
                item.nodes
                    .iter()
                    .any(|node| node.path.as_path().iter().eq(path.as_path().iter().skip(depth)))
            })
        })
    }
}

/// The `attempt`th name for what is kept beside `path`: `NAME.ctrlz-op-N`, then
/// `NAME.ctrlz-op-N-2`. A long name is cut to stay within the 255 bytes of NAME_MAX.
pub(super) fn beside_name(path: &RelPath, operation: OperationId, attempt: u32) -> OsString {
    let mut suffix = format!(".ctrlz-{operation}");
    if attempt > 1 {
        suffix.push_str(&format!("-{attempt}"));
    }
    let mut name = path.file_name().as_bytes().to_vec();
    name.truncate(255 - suffix.len().min(255));
    name.extend_from_slice(suffix.as_bytes());
    OsString::from_vec(name)
}

/// A regular file that has names beyond those that the transaction replaces or removes keeps its
/// inode, so that all names go on showing one file. Where two of its names get contents of their
/// own there is no one file to keep, and both are replaced. Nor may the file be written to when
/// one of its names goes to the backup, which would change with it.
fn keep_inodes(items: &mut [Item], linked_inside: &HashSet<u64>) -> Result<(), WorkspaceError> {
    let mut names: HashMap<u64, u32> = HashMap::new();
    for item in items.iter() {
        if let Some(before) = item.before.filter(Version::is_file) {
            *names.entry(before.ino).or_default() += 1;
        }
    }
    for item in items {
        let (Action::Replace, Some(before), Some(node)) =
            (item.action, item.before, item.nodes.first())
        else {
            continue;
        };
        let alone = names.get(&before.ino) == Some(&1) && !linked_inside.contains(&before.ino);
        if before.is_file() && before.nlink > 1 && alone && source_version(&node.source)?.is_file()
        {
            item.action = Action::Rewrite;
        }
    }
    Ok(())
}
