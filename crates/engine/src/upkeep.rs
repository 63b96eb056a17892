//! RollbackManager's upkeep: what retention decides is done, and the space is given back.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, HashSet};

use ctrlz_core::id::SnapshotId;
use ctrlz_core::name::SandboxName;
use ctrlz_core::operation::Operation;
use ctrlz_core::sandbox::Sandbox;
use ctrlz_core::snapshot::{Snapshot, Tag, Tree};
use ctrlz_core::store::{SandboxLock, StoreError};
use ctrlz_core::time::Timestamp;
use ctrlz_core::workspace::WorkspaceDriver;

use crate::core::SandboxCore;
use crate::error::EngineError;
use crate::retention::{self, Past, RetentionPlan, RetentionPolicy, Sizes};

/// So many things are removed or merged at least.
const LEAST: u32 = 16;

/// How upkeep is done.
pub struct Upkeep<'a> {
    /// The policy of each sandbox, or why there is none to be had; the sandbox is then left alone.
    pub policy: &'a dyn Fn(&Sandbox) -> Result<RetentionPolicy, String>,
    /// Snapshots that stay until an archive has them.
    pub awaited: &'a BTreeSet<SnapshotId>,
    /// Where the time before ended, which is gone on behind; `None` from the beginning.
    pub after: Option<SandboxName>,
    /// The time.
    pub now: Timestamp,
    /// Only tell.
    pub dry_run: bool,
    /// Whether to tell how much is freed, which looks at all that the past is made of.
    pub measured: bool,
    /// Asked after each sandbox, and before each thing that is removed; false ends it there.
    pub more: &'a dyn Fn() -> bool,
}

impl std::fmt::Debug for Upkeep<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upkeep").field("dry_run", &self.dry_run).finish_non_exhaustive()
    }
}

/// What became of one sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Which one.
    pub sandbox: Sandbox,
    /// What was decided, or why it was left alone.
    pub plan: Result<RetentionPlan, String>,
}

/// What upkeep did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UpkeepReport {
    /// Each sandbox that was looked at.
    pub sandboxes: Vec<Kept>,
    /// The bytes that drivers gave back, about.
    pub freed: u64,
    /// The sandboxes whose layers were merged.
    pub merged: Vec<SandboxName>,
    /// The sandbox behind which the next time goes on, if this time ended before all was done.
    pub rest: Option<SandboxName>,
}

impl SandboxCore<'_> {
    /// Applies retention to every sandbox, then lets the drivers collect what nothing needs.
    /// Sandboxes in use, or in the middle of something, are left alone.
    ///
    /// # Errors
    /// A failed file operation, or a failure to use the store; what was removed until then is
    /// told in the event log, and calling it again continues.
    pub fn keep_up(&self, how: &Upkeep<'_>) -> Result<UpkeepReport, EngineError> {
        let mut report = UpkeepReport::default();
        let sandboxes = self.store.sandboxes()?.into_iter();
        for sandbox in sandboxes.filter(|one| how.after.as_ref().is_none_or(|at| one.name > *at)) {
            let plan = match (how.policy)(&sandbox) {
                Ok(policy) => self.keep_up_one(&sandbox, &policy, how)?,
                Err(reason) => Err(reason),
            };
            let name = sandbox.name.clone();
            report.sandboxes.push(Kept { sandbox, plan });
            if !(how.more)() {
                report.rest = Some(name);
                return Ok(report);
            }
        }
        if !how.dry_run {
            // Finding out what nobody needs may take all the time that there is.
            let (left, is_over) = (Cell::new(LEAST), Cell::new(false));
            let more = || {
                let go_on = left.replace(left.get().saturating_sub(1)) > 0 || (how.more)();
                is_over.set(!go_on);
                go_on
            };
            for driver in self.workspaces {
                report.freed += self.collect(*driver, &more)?;
            }
            report.freed += self.collect_memories(&more)?;
            let is_left_alone = |sandbox: &Sandbox| (how.policy)(sandbox).is_err();
            report.merged = self.merge_chains(&|one| !is_left_alone(one), &more)?;
            if is_over.get() {
                let last = report.sandboxes.last().map(|kept| kept.sandbox.name.clone());
                report.rest = last.or_else(|| how.after.clone());
            }
        }
        Ok(report)
    }

    /// Merges the layers of sandboxes whose next commands would have to, where `may` says so, and tells
    /// of which. `more` is asked before each.
    ///
    /// # Errors
    /// A failed file operation, or a failure to use the store.
    pub fn merge_chains(
        &self,
        may: &dyn Fn(&Sandbox) -> bool,
        more: &dyn Fn() -> bool,
    ) -> Result<Vec<SandboxName>, EngineError> {
        let mut merged = Vec::new();
        for sandbox in self.store.sandboxes()? {
            let Ok(driver) = self.driver_of(&sandbox) else { continue };
            if !driver.is_chain_long(&sandbox.point.tree)? || !may(&sandbox) {
                continue;
            }
            if !more() {
                break;
            }
            // Held, so that its layers are not let go meanwhile.
            let held = match self.store.lock(sandbox.id, &mut |_| false) {
                Ok(lock) => lock,
                Err(StoreError::Busy { .. } | StoreError::NoSandbox(_)) => continue,
                Err(error) => return Err(error.into()),
            };
            if driver.merge(&self.store.sandbox(sandbox.id)?.point.tree)? {
                merged.push(sandbox.name);
            }
            drop(held);
        }
        Ok(merged)
    }

    /// Lets all drivers remove what nothing needs, for as long as `more` says so, which is asked before each
    /// thing that is removed; answers the bytes freed, about.
    ///
    /// # Errors
    /// A failed file operation, or a failure to read the store; calling it again continues.
    pub fn collect_all(&self, more: &dyn Fn() -> bool) -> Result<u64, EngineError> {
        let mut freed = 0_u64;
        for driver in self.workspaces {
            freed = freed.saturating_add(self.collect(*driver, more)?);
        }
        Ok(freed.saturating_add(self.collect_memories(more)?))
    }

    /// Lets `driver` remove what nothing needs, for as long as `more` says so.
    pub(crate) fn collect(
        &self,
        driver: &dyn WorkspaceDriver,
        more: &dyn Fn() -> bool,
    ) -> Result<u64, EngineError> {
        let mut failed = None;
        let mut live =
            || self.store.live_trees(driver.name()).map_err(|error| failed = Some(error)).ok();
        let freed = driver.collect(&mut live, more)?;
        failed.map_or(Ok(freed), |error| Err(error.into()))
    }

    fn keep_up_one(
        &self,
        sandbox: &Sandbox,
        policy: &RetentionPolicy,
        how: &Upkeep<'_>,
    ) -> Result<Result<RetentionPlan, String>, EngineError> {
        // Held while it is decided and done: nobody reads a snapshot that is about to go.
        let _lock: Box<dyn SandboxLock> = match self.store.lock(sandbox.id, &mut |_| false) {
            Ok(lock) => lock,
            Err(StoreError::Busy { holder, .. }) => {
                return Ok(Err(format!("in use by process {holder}")));
            }
            Err(StoreError::NoSandbox(_)) => return Ok(Err("removed meanwhile".to_owned())),
            Err(error) => return Err(error.into()),
        };
        let sandbox = self.store.sandbox(sandbox.id)?;
        if sandbox.open_operation.is_some() {
            return Ok(Err("a crash left it in the middle of something".to_owned()));
        }
        let snapshots = self.store.snapshots(sandbox.id)?;
        let operations = self.store.operations(sandbox.id, u32::MAX)?;
        let sizes = match how.measured || policy.max_bytes.is_some() {
            true => self.sizes(&sandbox, &snapshots, &operations)?,
            false => Sizes::default(),
        };
        let mut needed = needed(&snapshots);
        for snapshot in snapshots.iter().filter(|one| how.awaited.contains(&one.id)) {
            needed.entry(snapshot.id).or_insert_with(|| "it is still to be archived".to_owned());
        }
        let past =
            Past { snapshots: &snapshots, operations: &operations, needed: &needed, sizes: &sizes };
        let plan = retention::plan(&past, policy, how.now);
        if !how.dry_run && !plan.is_empty() {
            let gone: Vec<(SnapshotId, String)> = plan
                .snapshots
                .iter()
                .filter(|decision| !decision.kept)
                .map(|decision| (decision.snapshot, decision.reason.clone()))
                .collect();
            let history = plan.history.up_to.map(|id| (id, plan.history.reason.as_str()));
            self.store.let_go(sandbox.id, &gone, history)?;
        }
        Ok(Ok(plan))
    }

    /// How many bytes the layers of a snapshot take, those that it shares with others included. It walks
    /// over all of them.
    ///
    /// # Errors
    /// When there is no such sandbox any more, or a layer cannot be looked at.
    pub fn snapshot_size(&self, snapshot: &Snapshot) -> Result<u64, EngineError> {
        let tree = &snapshot.point.tree;
        if tree.is_none() {
            return Ok(0);
        }
        let driver = self.driver_of(&self.store.sandbox(snapshot.sandbox)?)?;
        let sizes = driver.parts(tree)?.into_iter().map(|part| driver.part_size(&part));
        Ok(sizes.sum::<Result<u64, _>>()?)
    }

    /// What the past of `sandbox` is made of, and what of that others need.
    fn sizes(
        &self,
        sandbox: &Sandbox,
        snapshots: &[Snapshot],
        operations: &[Operation],
    ) -> Result<Sizes, EngineError> {
        let driver = self.driver_of(sandbox)?;
        let mut sizes = Sizes::default();
        let of_operations = operations.iter().flat_map(|operation| {
            let after = operation.after.as_ref().map(|point| &point.tree);
            std::iter::once(&operation.before.tree).chain(after)
        });
        let trees: HashSet<&Tree> =
            snapshots.iter().map(|snapshot| &snapshot.point.tree).chain(of_operations).collect();
        for tree in trees.into_iter().filter(|tree| !tree.is_none()) {
            let parts = driver.parts(tree)?;
            for part in &parts {
                if !sizes.bytes.contains_key(part) {
                    sizes.bytes.insert(part.clone(), driver.part_size(part)?);
                }
            }
            sizes.parts.insert(tree.clone(), parts);
        }
        for tree in self.others(sandbox)? {
            sizes.shared.extend(driver.parts(&Tree(tree))?);
        }
        Ok(sizes)
    }

    /// The trees of the present point, and all of other sandboxes.
    fn others(&self, sandbox: &Sandbox) -> Result<BTreeSet<String>, EngineError> {
        let mut trees = BTreeSet::from([sandbox.point.tree.0.clone()]);
        for other in self.store.sandboxes()? {
            if other.id == sandbox.id || other.driver != sandbox.driver {
                continue;
            }
            trees.insert(other.point.tree.0.clone());
            let snapshots = self.store.snapshots(other.id)?;
            trees.extend(snapshots.into_iter().map(|snapshot| snapshot.point.tree.0));
            for operation in self.store.operations(other.id, u32::MAX)? {
                trees.insert(operation.before.tree.0);
                trees.extend(operation.after.map(|point| point.tree.0));
            }
        }
        trees.remove("");
        Ok(trees)
    }

    /// Removes one snapshot, and what only it needed; answers the bytes freed, about.
    ///
    /// # Errors
    /// [`EngineError::SnapshotNeeded`] for one that is tagged to be kept, or that an emergency would
    /// return to, unless `force`; [`StoreError::NoSnapshot`].
    pub fn remove_snapshot(&self, id: SnapshotId, force: bool) -> Result<u64, EngineError> {
        let snapshot = self.store.snapshot(id)?;
        let held = self.hold(&self.store.sandbox(snapshot.sandbox)?)?;
        // As it is now that nobody else changes it.
        let snapshot = self.store.snapshot(id)?;
        if !force {
            let tag = snapshot.tags.iter().find(|tag| Tag::KEPT.contains(&tag.as_str()));
            let known_good = needed(&self.store.snapshots(snapshot.sandbox)?).remove(&id);
            let reason = tag.map(|tag| format!("it is tagged `{tag}`")).or(known_good);
            if let Some(reason) = reason {
                return Err(EngineError::SnapshotNeeded { snapshot: id, reason });
            }
        }
        self.store.let_go(snapshot.sandbox, &[(id, "removed by hand".to_owned())], None)?;
        let freed = self.collect(held.driver, &|| true)?;
        Ok(freed.saturating_add(self.collect_memories(&|| true)?))
    }
}

/// The snapshots of one sandbox that are needed, and what for.
fn needed(snapshots: &[Snapshot]) -> BTreeMap<SnapshotId, String> {
    let good = snapshots.iter().filter(|snapshot| snapshot.good.is_some());
    let newest = good.max_by_key(|snapshot| snapshot.id);
    let reason = "it is the last point that is known to be good".to_owned();
    newest.map(|snapshot| (snapshot.id, reason)).into_iter().collect()
}
