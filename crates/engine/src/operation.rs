//! The frame around every operation but a command: intent, effect, outcome.

use ctrlz_core::id::OperationId;
use ctrlz_core::limits::Limits;
use ctrlz_core::operation::{Operation, OperationKind, Outcome, Request, Status};
use ctrlz_core::sandbox::Sandbox;
use ctrlz_core::snapshot::{Point, Tree};
use ctrlz_core::store::Durability;

use crate::core::{Held, SandboxCore};
use crate::error::EngineError;

/// What an effect leaves behind.
pub(crate) struct Effect {
    /// The sandbox's tree from now on.
    pub(crate) tree: Tree,
    /// Bring the state back to this version.
    pub(crate) state_version: Option<u64>,
    pub(crate) outcome: Outcome,
}

impl Effect {
    /// Only the tree moves.
    pub(crate) fn tree(tree: Tree) -> Self {
        Self { tree, state_version: None, outcome: Outcome::default() }
    }
}

impl SandboxCore<'_> {
    /// Journals intent, calls `effect`, journals what came of it. When `effect` fails, the
    /// operation is journaled as failed and the sandbox stays where it was.
    pub(crate) fn perform(
        &self,
        held: &Held<'_>,
        kind: OperationKind,
        title: String,
        target: Option<OperationId>,
        durability: Durability,
        effect: impl FnOnce(&Operation) -> Result<Effect, EngineError>,
    ) -> Result<Operation, EngineError> {
        self.perform_on(&held.sandbox, kind, title, target, durability, effect)
    }

    /// The same on what is locked but need not have a workspace.
    pub(crate) fn perform_on(
        &self,
        held: &Sandbox,
        kind: OperationKind,
        title: String,
        target: Option<OperationId>,
        durability: Durability,
        effect: impl FnOnce(&Operation) -> Result<Effect, EngineError>,
    ) -> Result<Operation, EngineError> {
        let sandbox = held.id;
        let limits = Limits::default();
        let request = Request { sandbox, kind, title, limits, target, verdict: None };
        let operation = self.store.begin(&request, durability)?;
        let effect = match effect(&operation) {
            Ok(effect) => effect,
            Err(error) => {
                self.fail(&operation, &error);
                return Err(error);
            }
        };
        let state_version = match effect.state_version {
            Some(version) if version != held.point.state_version => {
                self.store.restore_state(sandbox, version)?
            }
            _ => held.point.state_version,
        };
        let after = Point { tree: effect.tree, state_version };
        self.store.finish(operation.id, Status::Done, &effect.outcome, Some(&after), durability)?;
        Ok(self.store.operation(operation.id)?)
    }

    /// Journals a failure. When even that fails, the operation stays open, and the next process
    /// that takes the sandbox's lock recovers it to the same end.
    pub(crate) fn fail(&self, operation: &Operation, error: &dyn std::error::Error) {
        let outcome = Outcome { error: Some(error.to_string()), ..Outcome::default() };
        let _ =
            self.store.finish(operation.id, Status::Failed, &outcome, None, Durability::Process);
    }

    /// The sandbox's operations, newest first, all of them.
    pub(crate) fn history(&self, held: &Held<'_>) -> Result<Vec<Operation>, EngineError> {
        Ok(self.store.operations(held.sandbox.id, u32::MAX)?)
    }
}
