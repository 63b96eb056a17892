//! Taking operations back, and bringing them back again.

use ctrlz_core::changeset::ChangeCounts;
use ctrlz_core::id::OperationId;
use ctrlz_core::lifecycle::LifeChange;
use ctrlz_core::operation::{Operation, OperationKind, Outcome, Status};
use ctrlz_core::path::RelPath;
use ctrlz_core::sandbox::Sandbox;
use ctrlz_core::snapshot::{Point, Tree};
use ctrlz_core::store::Durability;
use ctrlz_core::workspace::{ConflictStrategy, WithoutError};

use crate::commit::{finished_all_the_same, last_applied};
use crate::core::{Held, SandboxCore};
use crate::error::{EngineError, kept};
use crate::operation::Effect;

/// How many operations an undo looks at first. What it takes back is nearly always among them, and
/// all of a long history take long to read.
const RECENT: u32 = 32;

/// What an undo or redo did.
#[derive(Debug, Clone, PartialEq)]
pub struct UndoReport {
    /// The operation under which it is journaled.
    pub operation: OperationId,
    /// The operation that was taken back, or brought back.
    pub target: Operation,
    /// What changed: in the live directory for a commit, else in the workspace.
    pub counts: ChangeCounts,
}

impl SandboxCore<'_> {
    /// Takes back the last operation, or `operation` alone while later ones stay.
    ///
    /// # Errors
    /// [`EngineError::NothingToUndo`]; [`EngineError::Depends`] with the name of a later operation
    /// that builds on it; conflicts, when a commit is undone and someone changed the folder since.
    pub fn undo(
        &self,
        sandbox: &Sandbox,
        operation: Option<OperationId>,
        strategy: ConflictStrategy,
    ) -> Result<UndoReport, EngineError> {
        let held = self.hold(sandbox)?;
        let is_last = |o: &&Operation| o.request.kind.is_undoable() && o.status == Status::Done;
        let mut history = self.store.operations(held.sandbox.id, RECENT)?;
        if operation.is_some() || !history.iter().any(|o| is_last(&o)) {
            history = self.history(&held)?;
        }
        let last = history.iter().find(is_last);
        let target = match (operation, last) {
            (None, Some(last)) => last,
            (None, None) => {
                return Err(EngineError::NothingToUndo(held.sandbox.name.to_string()));
            }
            (Some(id), last) => {
                let target = undoable(&held, &history, id)?;
                if last.is_some_and(|last| last.id != target.id) {
                    return self.undo_middle(&held, &history, target);
                }
                target
            }
        };
        let goal = Self::before(&held, target)?;
        self.step(&held, &history, OperationKind::Undo, target, &goal, strategy)
    }

    /// The point without `target`, the last operation.
    fn before(held: &Held<'_>, target: &Operation) -> Result<Point, EngineError> {
        let now = &held.sandbox.point.tree;
        kept(&target.before, target.id)?;
        let after = target.after.as_ref().unwrap_or(&target.before);
        if after.tree == *now {
            return Ok(target.before.clone());
        }
        // An earlier operation was undone since, so that `target.before` would bring it back.
        let without =
            held.driver.without(&target.before.tree, &after.tree, std::slice::from_ref(now))?;
        match without {
            Ok(tree) => Ok(Point { tree, state_version: target.before.state_version }),
            Err(WithoutError::Depends { path, .. }) => Err(EngineError::Depends {
                operation: target.id,
                dependent: target.id,
                path: Some(path),
            }),
        }
    }

    /// Brings back the operation that was undone last.
    ///
    /// # Errors
    /// [`EngineError::NothingToRedo`], also when another operation came since; conflicts as for
    /// [`Self::undo`].
    pub fn redo(
        &self,
        sandbox: &Sandbox,
        strategy: ConflictStrategy,
    ) -> Result<UndoReport, EngineError> {
        let held = self.hold(sandbox)?;
        let history = self.history(&held)?;
        let nothing = || EngineError::NothingToRedo(held.sandbox.name.to_string());
        let (undo, target) = history
            .iter()
            .filter(|o| o.request.kind == OperationKind::Undo && o.status == Status::Done)
            .find_map(|undo| {
                let target = history.iter().find(|o| Some(o.id) == undo.request.target)?;
                (target.status == Status::Undone).then_some((undo, target))
            })
            .ok_or_else(nothing)?;
        let newer = |o: &&Operation| {
            o.id > undo.id && o.request.kind.is_undoable() && o.status == Status::Done
        };
        if history.iter().any(|o| newer(&o)) {
            return Err(nothing());
        }
        kept(&undo.before, target.id)?;
        self.step(&held, &history, OperationKind::Redo, target, &undo.before, strategy)
    }

    /// Moves from one side of `target` to the other, to `goal`.
    fn step(
        &self,
        held: &Held<'_>,
        history: &[Operation],
        kind: OperationKind,
        target: &Operation,
        goal: &Point,
        strategy: ConflictStrategy,
    ) -> Result<UndoReport, EngineError> {
        let is_commit = target.request.kind == OperationKind::Commit;
        let durability = if is_commit { Durability::Machine } else { Durability::Process };
        let mut counts = ChangeCounts::default();
        let title = format!("{} {}: {}", kind.word(), target.id, target.request.title);
        let operation =
            self.perform(held, kind, title, Some(target.id), durability, |operation| {
                counts = if is_commit {
                    let applied = last_applied(history, target.id);
                    match held.driver.revert(applied, operation.id, strategy) {
                        Ok(counts) => counts,
                        Err(error) => {
                            finished_all_the_same(held.driver, operation.id, error)?.counts
                        }
                    }
                } else {
                    held.driver.verify(&goal.tree, false)?;
                    held.driver.changes(&held.sandbox.point.tree, &goal.tree)?.counts()
                };
                let outcome = Outcome { counts: Some(counts), ..Outcome::default() };
                let state_version = Some(goal.state_version);
                Ok(Effect { tree: goal.tree.clone(), state_version, outcome })
            })?;
        let setup = held.sandbox.life.setup.as_ref();
        let is_undone = kind == OperationKind::Undo;
        if let Some(moved) = setup.and_then(|setup| setup.moved(target.id, is_undone)) {
            self.store.change_life(held.sandbox.id, &LifeChange::Setup(Some(moved)), None)?;
        }
        Ok(UndoReport { operation: operation.id, target: target.clone(), counts })
    }

    /// Takes one operation out of the middle.
    fn undo_middle(
        &self,
        held: &Held<'_>,
        history: &[Operation],
        target: &Operation,
    ) -> Result<UndoReport, EngineError> {
        kept(&target.before, target.id)?;
        let later = later_steps(history, target)?;
        let now = held.sandbox.point.tree.clone();
        // The trees between say which step is in the way. Where one of them was taken out since,
        // they hold what the present tree has no more; then only that one counts.
        let taken_out = history
            .iter()
            .any(|o| o.id > target.id && o.request.kind.is_step() && o.status == Status::Undone);
        let mut trees: Vec<Tree> = later
            .iter()
            .filter(|_| !taken_out)
            .filter_map(|o| o.after.as_ref().map(|after| after.tree.clone()))
            .collect();
        if trees.last() != Some(&now) {
            trees.push(now);
        }
        let after = target.after.as_ref().unwrap_or(&target.before);
        let tree = match held.driver.without(&target.before.tree, &after.tree, &trees)? {
            Ok(tree) => tree,
            Err(WithoutError::Depends { step, path }) => {
                let dependent = match taken_out {
                    false => later.get(step).map(|o| o.id),
                    true => first_to_touch(held, &later, &path)?,
                };
                let dependent = dependent.unwrap_or(target.id);
                let path = Some(path);
                return Err(EngineError::Depends { operation: target.id, dependent, path });
            }
        };
        let mut counts = ChangeCounts::default();
        let title = format!("undo {} alone: {}", target.id, target.request.title);
        let operation = self.perform(
            held,
            OperationKind::Undo,
            title,
            Some(target.id),
            Durability::Process,
            |_| {
                counts = held.driver.changes(&held.sandbox.point.tree, &tree)?.counts();
                let outcome = Outcome { counts: Some(counts), ..Outcome::default() };
                Ok(Effect { outcome, ..Effect::tree(tree) })
            },
        )?;
        Ok(UndoReport { operation: operation.id, target: target.clone(), counts })
    }
}

/// The first of `later` that changed `path`, or something above or below it.
fn first_to_touch(
    held: &Held<'_>,
    later: &[&Operation],
    path: &RelPath,
) -> Result<Option<OperationId>, EngineError> {
    for operation in later {
        let Some(after) = &operation.after else { continue };
        let changeset = held.driver.changes(&operation.before.tree, &after.tree)?;
        let touches = |changed: &RelPath| {
            changed.is_within(path) || path.is_within(changed) || changed == path
        };
        if changeset.changes.iter().any(|change| touches(&change.path)) {
            return Ok(Some(operation.id));
        }
    }
    Ok(None)
}

fn undoable<'h>(
    held: &Held<'_>,
    history: &'h [Operation],
    id: OperationId,
) -> Result<&'h Operation, EngineError> {
    let target = history.iter().find(|o| o.id == id).ok_or_else(|| {
        EngineError::ForeignOperation { operation: id, sandbox: held.sandbox.name.to_string() }
    })?;
    let reason = match target.status {
        _ if !target.request.kind.is_undoable() => {
            format!("a {} moves nothing that undo could move back", target.request.kind.word())
        }
        Status::Undone => "it was undone already".to_owned(),
        Status::Failed | Status::Recovered => "it had no effect".to_owned(),
        Status::Blocked => "it was not let run, so it had no effect".to_owned(),
        Status::Open => "it is still running".to_owned(),
        Status::Done => return Ok(target),
    };
    Err(EngineError::NotUndoable { operation: id, reason })
}

/// The commands and writes after `target`, oldest first.
fn later_steps<'h>(
    history: &'h [Operation],
    target: &Operation,
) -> Result<Vec<&'h Operation>, EngineError> {
    if !target.request.kind.is_step() {
        let reason = format!(
            "a {} can be undone only while it is the last operation",
            target.request.kind.word()
        );
        return Err(EngineError::NotUndoable { operation: target.id, reason });
    }
    let mut later: Vec<&Operation> = history
        .iter()
        .filter(|o| o.id > target.id && o.status == Status::Done)
        .filter(|o| o.request.kind.is_undoable() && o.request.kind != OperationKind::State)
        .collect();
    later.reverse();
    // A commit, a rollback or a discard rests on everything before it.
    match later.iter().find(|o| !o.request.kind.is_step()) {
        Some(other) => {
            Err(EngineError::Depends { operation: target.id, dependent: other.id, path: None })
        }
        None => Ok(later),
    }
}
