//! Emergency recovery: contain, return to the last point that is known to be good, watch.

use std::os::fd::AsFd;

use ctrlz_core::id::{OperationId, SnapshotId};
use ctrlz_core::isolation::Network;
use ctrlz_core::lifecycle::Lifecycle;
use ctrlz_core::operation::{Operation, Status};
use ctrlz_core::sandbox::{GuardChange, Sandbox};
use ctrlz_core::store::StoreError;
use serde::Serialize;

use crate::core::SandboxCore;
use crate::error::EngineError;
use crate::rollback::{RollbackOptions, RollbackReport, RollbackTarget};

/// What a containment did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Containment {
    /// The process 1 of what ran; nothing when nothing did.
    pub process: Option<u32>,
    /// How that was frozen; nothing when it could not be, and has only to be ended.
    pub by: Option<String>,
    /// The network that it had; nothing when nothing ran, or nobody tells.
    pub network: Option<Network>,
}

impl SandboxCore<'_> {
    /// Freezes what runs in a sandbox, and lets nothing run in it with a network until it is
    /// released. What is frozen sends nothing, whatever network it has; with the host's it cannot be
    /// resumed before the release. The next `watched` operations are followed by the health checks.
    ///
    /// # Errors
    /// A failure to use the store. That something cannot be frozen is none: it is to be ended.
    pub fn contain(
        &self,
        sandbox: &Sandbox,
        reason: &str,
        watched: u32,
    ) -> Result<Containment, EngineError> {
        // First of all, so that nothing that begins meanwhile has a network.
        let contain = GuardChange::Contain { reason: reason.to_owned(), watched };
        self.store.change_guard(sandbox.id, &contain)?;
        let life = self.life_of(sandbox)?;
        let Some(process) = life.process else {
            return Ok(Containment { process: None, by: None, network: None });
        };
        let network = self.isolation.network_of(process);
        let by = match life.lifecycle {
            Lifecycle::Suspended => Some("it was suspended".to_owned()),
            _ => match self.suspend(sandbox, reason) {
                Ok(moved) => moved.by,
                Err(EngineError::Isolation(_) | EngineError::Illegal { .. }) => None,
                Err(error) => return Err(error),
            },
        };
        Ok(Containment { process: Some(process), by, network })
    }

    /// Whether somebody has acted since an operation: a step back was taken.
    ///
    /// # Errors
    /// A failure to read the store.
    pub fn has_stepped_back(
        &self,
        sandbox: &Sandbox,
        since: OperationId,
    ) -> Result<bool, EngineError> {
        let came = self.store.operations_since(sandbox.id, since)?;
        let is_back =
            |one: &Operation| one.status == Status::Done && one.request.kind.is_step_back();
        Ok(came.iter().any(is_back))
    }

    /// Whether a snapshot is there, is of `sandbox`, and, if `thorough`, is whole in each file.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check_snapshot(
        &self,
        sandbox: &Sandbox,
        id: SnapshotId,
        thorough: bool,
    ) -> Result<(), EngineError> {
        let snapshot = self.store.snapshot(id)?;
        if snapshot.sandbox != sandbox.id {
            let sandbox = sandbox.name.to_string();
            return Err(EngineError::ForeignSnapshot { snapshot: id, sandbox });
        }
        if thorough && !snapshot.point.tree.is_none() {
            self.driver_of(sandbox)?.verify(&snapshot.point.tree, true)?;
        }
        Ok(())
    }

    /// Returns to `to`, after each file of it was checked. With `after`, only when no step back was
    /// taken after that operation: else somebody has acted already, and nothing is done. Who uses the
    /// sandbox is not waited for.
    ///
    /// # Errors
    /// As [`Self::rollback`]; [`StoreError::Busy`] when somebody uses the sandbox.
    pub fn return_to_good(
        &self,
        sandbox: &Sandbox,
        to: SnapshotId,
        after: Option<OperationId>,
    ) -> Result<Option<RollbackReport>, EngineError> {
        let held = self.hold_asking(sandbox, &|_, _| false)?;
        if let Some(after) = after
            && self.has_stepped_back(sandbox, after)?
        {
            return Ok(None);
        }
        let options = RollbackOptions { paths: Vec::new(), thorough: true };
        self.rollback_held(&held, RollbackTarget::Snapshot(to), &options).map(Some)
    }

    /// Ends what runs in `sandbox` under `operation`. What it wrote is kept by the ctrlz that waits for
    /// it. Answers the process 1 that was ended; nothing when that operation is over, runs nothing, or is
    /// frozen and waits.
    ///
    /// # Errors
    /// When its processes do not end.
    pub fn end_operation(
        &self,
        sandbox: &Sandbox,
        operation: OperationId,
    ) -> Result<Option<u32>, EngineError> {
        // First the process, then the operation: what is open after that was open before, so the process
        // is not one of an operation that has begun meanwhile.
        let occupancy = self.store.occupancy(sandbox.id)?;
        let Some((pid, process)) = &occupancy.process else { return Ok(None) };
        let sandbox = match self.store.sandbox(sandbox.id) {
            Ok(sandbox) => sandbox,
            Err(StoreError::NoSandbox(_)) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let waits = sandbox.life.suspended().is_some() || self.isolation.is_frozen(*pid);
        if sandbox.open_operation != Some(operation) || waits {
            return Ok(None);
        }
        self.isolation.end(*pid, process.as_fd())?;
        Ok(Some(*pid))
    }
}
