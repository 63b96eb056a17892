//! What goes to an archive, and what comes back from one.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use ctrlz_core::archive::{Arrival, Dialect, Stratum};
use ctrlz_core::digest::Digest;
use ctrlz_core::id::OperationId;
use ctrlz_core::lifecycle::{Life, Setup};
use ctrlz_core::name::SandboxName;
use ctrlz_core::operation::{Operation, OperationKind};
use ctrlz_core::sandbox::Sandbox;
use ctrlz_core::snapshot::{NewSnapshot, Point, Snapshot, Tree};
use ctrlz_core::store::{Durability, NewSandbox, StoreError};
use ctrlz_core::workspace::WorkspaceDriver;

use crate::core::SandboxCore;
use crate::error::EngineError;
use crate::initializer::BaseChoice;
use crate::operation::Effect;
use crate::rollback::{RollbackOptions, RollbackTarget};

/// Restores the parts of a tree below the directory that it is given, for that driver; answers
/// them, lowest first.
pub type Bring<'a, E> = dyn FnOnce(&dyn WorkspaceDriver, &Path) -> Result<Vec<Arrival>, E> + 'a;

/// What a snapshot's tree is made of, looked at while the sandbox is not held, and what tells
/// whether it still is that.
#[derive(Debug)]
pub struct Loose {
    /// The parts, lowest first; none of a snapshot of the state alone.
    pub strata: Vec<Stratum>,
    snapshot: Snapshot,
    base: PathBuf,
    /// The newest operation in any sandbox on that base, by then.
    newest: OperationId,
    /// Which directories the parts were.
    directories: Vec<Option<(u64, u64)>>,
}

impl SandboxCore<'_> {
    /// What a snapshot's tree is made of, on the base as it is now, without holding the sandbox: who
    /// reads it makes nobody wait. Whatever was read counts only once [`Self::is_still`] says so
    /// afterwards: layers never change, but the snapshot may go, and a commit changes the base.
    ///
    /// # Errors
    /// [`EngineError::InUse`] while an operation changes the base; a damaged snapshot, which is not
    /// mended here; a failure to read.
    pub fn loose(&self, sandbox: &Sandbox, snapshot: &Snapshot) -> Result<Loose, EngineError> {
        let mut newest = OperationId(0);
        for neighbour in self.on_base(&sandbox.base)? {
            if let Some(last) = self.store.operations(neighbour.id, 1)?.first() {
                newest = newest.max(last.id);
            }
        }
        // Asked afterwards: what is not under way by now has ended, or has a higher number.
        for neighbour in self.on_base(&sandbox.base)? {
            if let Some(open) = neighbour.open_operation
                && self.may_change_base(&self.store.operation(open)?)
            {
                return Err(EngineError::InUse(neighbour.name.to_string()));
            }
        }
        let strata = match snapshot.point.tree.is_none() {
            true => Vec::new(),
            false => {
                let driver = self.driver_of(sandbox)?;
                let commits = self.base_moves_since(sandbox.id, snapshot.operation)?;
                let tree = driver.rebase(&snapshot.point.tree, &commits)?;
                driver.verify(&tree, false)?;
                driver.strata(&tree)?
            }
        };
        let directories = strata.iter().map(|stratum| identity(&stratum.directory)).collect();
        let (snapshot, base) = (snapshot.clone(), sandbox.base.clone());
        Ok(Loose { strata, snapshot, base, newest, directories })
    }

    /// All sandboxes on a base.
    fn on_base(&self, base: &Path) -> Result<Vec<Sandbox>, StoreError> {
        let mut sandboxes = self.store.sandboxes()?;
        sandboxes.retain(|sandbox| sandbox.base == base);
        Ok(sandboxes)
    }

    /// Whether what was read of `loose` until now is what the snapshot is; if not, why.
    ///
    /// # Errors
    /// What became of it, in words.
    pub fn is_still(&self, loose: &Loose) -> Result<(), String> {
        let failed = |error: StoreError| crate::in_full(&error);
        // Its name goes before anything that it is made of.
        match self.store.snapshot(loose.snapshot.id) {
            Ok(now) if now.point == loose.snapshot.point => {}
            Ok(_) => return Err(format!("{} is another one now", loose.snapshot.id)),
            Err(StoreError::NoSnapshot(id)) => return Err(format!("{id} was removed")),
            Err(error) => return Err(failed(error)),
        }
        for (stratum, then) in loose.strata.iter().zip(&loose.directories) {
            if identity(&stratum.directory) != *then {
                return Err(format!("{} was replaced", stratum.directory.display()));
            }
        }
        for neighbour in self.on_base(&loose.base).map_err(failed)? {
            let since = self.store.operations_since(neighbour.id, loose.newest).map_err(failed)?;
            if let Some(one) = since.iter().find(|operation| self.may_change_base(operation)) {
                return Err(format!("{} changed the folder that it lies on", one.id));
            }
        }
        Ok(())
    }

    /// Whether an operation writes to the live directory, or may have begun to. Its intent is
    /// journaled before.
    fn may_change_base(&self, operation: &Operation) -> bool {
        match (operation.request.kind, operation.request.target) {
            (OperationKind::Commit, _) => true,
            (OperationKind::Undo | OperationKind::Redo, Some(target)) => {
                let target = self.store.operation(target);
                target.map_or(true, |target| target.request.kind == OperationKind::Commit)
            }
            (OperationKind::Undo | OperationKind::Redo, None) => true,
            _ => false,
        }
    }

    /// Calls `archive` with what a snapshot's tree is made of, on the base as it is now. Nothing
    /// else happens in the sandbox meanwhile.
    ///
    /// # Errors
    /// A damaged snapshot, one of another sandbox, or what `archive` answers.
    pub fn with_strata<T, E: From<EngineError>>(
        &self,
        sandbox: &Sandbox,
        snapshot: &Snapshot,
        archive: impl FnOnce(&[Stratum]) -> Result<T, E>,
    ) -> Result<T, E> {
        let held = self.hold(sandbox)?;
        if snapshot.point.tree.is_none() {
            return archive(&[]);
        }
        let target = RollbackTarget::Snapshot(snapshot.id);
        let (_, tree) = self.goal(&held, target, &RollbackOptions::default(), &mut Vec::new())?;
        archive(&held.driver.strata(&tree).map_err(EngineError::from)?)
    }

    /// Makes a snapshot of what `bring` brings, on the sandbox's base. With nothing to bring it is
    /// one of the state alone. `state_version` is the version of the state that belongs to it,
    /// which is there already.
    ///
    /// # Errors
    /// What `bring` answers, a part that the driver cannot take in, or a failure to write. The
    /// sandbox is then as before.
    pub fn receive<E: From<EngineError>>(
        &self,
        sandbox: &Sandbox,
        (new, state_version): (&NewSnapshot, u64),
        bring: Option<Box<Bring<'_, E>>>,
    ) -> Result<Snapshot, E> {
        let held = self.hold(sandbox)?;
        let now = &held.sandbox.point;
        let (tree, landing) = match bring {
            None => (now.tree.clone(), None),
            Some(bring) => {
                let Landed { tree, landing, .. } = land(held.driver, &held.sandbox.base, bring)?;
                (tree, Some(landing))
            }
        };
        let mut snapshot = None;
        let performed = self.perform(
            &held,
            OperationKind::Snapshot,
            format!("snapshot: {}", new.message),
            None,
            Durability::Process,
            |operation| {
                let point = Point { tree, state_version };
                snapshot = Some(self.store.create_snapshot(operation, new, &point)?);
                Ok(Effect::tree(now.tree.clone()))
            },
        );
        clear(held.driver, landing);
        performed?;
        let missing = || EngineError::NothingToUndo(held.sandbox.name.to_string());
        Ok(snapshot.ok_or_else(missing)?)
    }

    /// How many of the parts of a tree of the sandbox, from the lowest on and without the live
    /// folder, its setup left; 0 where that cannot be told of this tree.
    ///
    /// # Errors
    /// A failure to read the store.
    pub fn parts_of_setup(
        &self,
        sandbox: &Sandbox,
        strata: &[Stratum],
    ) -> Result<usize, EngineError> {
        let sandbox = self.store.sandbox(sandbox.id)?;
        let Some(origin) = sandbox.life.origin() else { return Ok(0) };
        // What is damaged is told by whoever needs it.
        let Ok(left) = self.driver_of(&sandbox)?.strata(origin) else { return Ok(0) };
        let (left, all) = (names(&left), names(strata));
        let begins = left.len() <= all.len()
            && left.iter().zip(&all).all(|(left, there)| left.is_some() && left == there);
        Ok(if begins { left.len() } else { 0 })
    }

    /// Makes a sandbox that begins with what `bring` brings, of which a setup left the lowest parts,
    /// where `setup` tells so.
    ///
    /// # Errors
    /// When the name is taken, no driver can use the base, what `bring` answers, or a failure to
    /// write. Nothing is made then.
    pub fn receive_new<E: From<EngineError>>(
        &self,
        (name, folder): (SandboxName, Option<PathBuf>),
        choice: &BaseChoice,
        setup: Option<LeftBySetup>,
        bring: Box<Bring<'_, E>>,
    ) -> Result<Sandbox, E> {
        let mut refusal = None;
        let usable = self.candidates().find(|driver| match driver.create(&choice.base) {
            Ok(_) => true,
            Err(error) => {
                refusal.get_or_insert(error);
                false
            }
        });
        let driver = usable.ok_or_else(|| match refusal {
            Some(error) => EngineError::from(error),
            None => EngineError::NoDriver {
                sandbox: name.to_string(),
                driver: self.chosen.unwrap_or("any").to_owned(),
            },
        })?;
        let Landed { tree, landing, parts } = land(driver, &choice.base, bring)?;
        let setup = setup.and_then(|left| begun_after(driver, &choice.base, &parts, left));
        let new = NewSandbox {
            name,
            folder,
            root: choice.root.clone(),
            base: choice.base.clone(),
            driver: driver.name().to_owned(),
            tree,
            life: Life { setup, ..Life::default() },
            made_of: choice.made_of.clone(),
        };
        let made = self.store.create_sandbox(&new, None);
        clear(driver, Some(landing));
        Ok(made.map_err(EngineError::from)?)
    }
}

/// Which directory lies there.
fn identity(path: &Path) -> Option<(u64, u64)> {
    path.symlink_metadata().ok().map(|found| (found.dev(), found.ino()))
}

/// The names of the parts on the live folder.
fn names(strata: &[Stratum]) -> Vec<Option<&str>> {
    let on_folder =
        strata.iter().filter(|stratum| stratum.id.is_some() || stratum.dialect != Dialect::Plain);
    on_folder.map(|stratum| stratum.id.as_deref()).collect()
}

/// What a setup left of a tree that comes from elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeftBySetup {
    /// What its commands were, and on what.
    pub digest: Digest,
    /// How many of the parts, from the lowest on.
    pub parts: usize,
}

/// That a sandbox of `parts`, which have arrived, began after a setup; nothing where what that left
/// did not keep its names.
fn begun_after(
    driver: &dyn WorkspaceDriver,
    base: &Path,
    parts: &[Arrival],
    left: LeftBySetup,
) -> Option<Setup> {
    let lowest = parts.get(..left.parts).filter(|lowest| !lowest.is_empty())?;
    let holds =
        |part: &Arrival| part.id.as_deref().is_some_and(|id| driver.holds(id).unwrap_or(false));
    let origin = lowest.iter().all(holds).then(|| driver.adopt(base, lowest).ok())??;
    Some(Setup::From { digest: left.digest, origin, moves: Vec::new() })
}

/// What arrived.
struct Landed {
    tree: Tree,
    /// It has to stay until the tree is recorded: it keeps collection away from it.
    landing: PathBuf,
    parts: Vec<Arrival>,
}

/// The tree of what `bring` brings.
fn land<E: From<EngineError>>(
    driver: &dyn WorkspaceDriver,
    base: &Path,
    bring: Box<Bring<'_, E>>,
) -> Result<Landed, E> {
    let landing = driver.landing().map_err(EngineError::from)?;
    let adopted = bring(driver, &landing).and_then(|parts| {
        let tree = driver.adopt(base, &parts).map_err(EngineError::from)?;
        Ok((tree, parts))
    });
    match adopted {
        Ok((tree, parts)) => Ok(Landed { tree, landing, parts }),
        Err(error) => {
            clear(driver, Some(landing));
            Err(error)
        }
    }
}

/// What cannot be removed now, a collection removes.
fn clear(driver: &dyn WorkspaceDriver, landing: Option<PathBuf>) {
    if let Some(landing) = landing {
        let _ = driver.clear_landing(&landing);
    }
}
