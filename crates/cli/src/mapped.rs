//! Sandboxes whose root is their workspace hold files of many owners. For an ordinary user these
//! are the user's subordinate ids, and their files can be read, copied and removed only inside a
//! user namespace that has these ids.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::sync::OnceLock;

use ctrlz_core::id::{OperationId, SnapshotId};
use ctrlz_core::name::SandboxName;
use ctrlz_core::sandbox::Sandbox;
use ctrlz_core::store::Store;
use ctrlz_isolation::native;
use ctrlz_store::SqliteStore;

use crate::actor;
use crate::arguments::{
    Arguments, Command, ImportArguments, PullArguments, RecoverArguments, SnapshotArguments,
};
use crate::failure::{Failure, OWN_FAILURE};
use crate::{Answer, places};

/// The user and the group outside, in a child that handles files of many owners.
static OUTSIDE: OnceLock<(u32, u32)> = OnceLock::new();

/// The user and the group who called, when this process goes on under other ids.
pub(crate) fn outside() -> Option<(u32, u32)> {
    OUTSIDE.get().copied()
}

/// The option by which a command begins in such a child.
pub(crate) const OPTION: &str = "--many-owners";

/// Whether files of many owners need such a child that this process is not.
pub(crate) fn is_missing() -> bool {
    outside().is_none() && native::has_subordinate_ids()
}

/// Begins the command anew in such a child: what it brings back has files of many owners. Only its
/// failure is answered.
pub(crate) fn begin_again() -> Failure {
    let words = std::env::args_os().skip(1);
    let error = match std::env::current_exe() {
        Ok(program) => std::process::Command::new(program).args(words).arg(OPTION).exec(),
        Err(error) => error,
    };
    Failure::caused(OWN_FAILURE, "isolation", &error)
}

/// Whether the command concerns such a sandbox, and this user has subordinate ids.
pub(crate) fn is_needed(arguments: &Arguments) -> Result<bool, Failure> {
    if rustix::process::geteuid().is_root() {
        return Ok(false);
    }
    let concerns = match concern(&arguments.command) {
        Concern::None => false,
        Concern::Root => true,
        Concern::All => any_sandbox(|_| true)?,
        Concern::Named(name) => any_sandbox(|sandbox| sandbox.name.as_str() == name)?,
        Concern::Snapshots(ids) => any_of_snapshots(ids)?,
        Concern::Operation(id) => match store()?.map(|store| store.operation(id)) {
            Some(Ok(operation)) => any_sandbox(|one| one.id == operation.request.sandbox)?,
            // Whoever looks for it tells that it is not there.
            _ => false,
        },
        Concern::Folder => {
            let folder = places::working_folder()?;
            any_sandbox(|sandbox| sandbox.folder.as_deref() == Some(folder.as_path()))?
        }
    };
    Ok(concerns && native::has_subordinate_ids())
}

/// Which sandboxes a command may touch.
enum Concern<'a> {
    None,
    /// One that `--root` asks for.
    Root,
    Named(&'a str),
    /// Those of these snapshots.
    Snapshots(&'a [SnapshotId]),
    /// The one of this operation.
    Operation(OperationId),
    Folder,
    All,
}

fn pick(name: Option<&SandboxName>) -> Concern<'_> {
    name.map_or(Concern::Folder, |name| Concern::Named(name.as_str()))
}

/// `--root` with something else than the host's own.
fn with_root(root: Option<&Path>) -> Concern<'_> {
    match root {
        None => Concern::None,
        Some(root) if root == Path::new("host") || root == Path::new("overlay") => Concern::None,
        Some(_) => Concern::Root,
    }
}

fn concern(command: &Command) -> Concern<'_> {
    match command {
        Command::Run(arguments) => with_root(arguments.root.as_deref()),
        Command::New(arguments) => with_root(arguments.root.as_deref()),
        Command::Exec(arguments) => Concern::Named(arguments.sandbox.as_str()),
        Command::Rm(arguments) => Concern::Named(arguments.sandbox.as_str()),
        Command::Suspend(arguments) => Concern::Named(arguments.sandbox.as_str()),
        Command::Resume(arguments) => Concern::Named(arguments.sandbox.as_str()),
        Command::Fork(arguments) => Concern::Named(arguments.sandbox.as_str()),
        Command::Shell(arguments) => pick(arguments.sandbox.as_ref()),
        Command::Diff(arguments) => pick(arguments.sandbox.sandbox.as_ref()),
        Command::Commit(arguments) => pick(arguments.sandbox.sandbox.as_ref()),
        Command::Discard(arguments) => pick(arguments.sandbox.as_ref()),
        Command::Undo(arguments) => pick(arguments.sandbox.sandbox.as_ref()),
        Command::Redo(arguments) => pick(arguments.sandbox.sandbox.as_ref()),
        Command::Snapshot(SnapshotArguments { action: Some(_), .. }) | Command::Gc(_) => {
            Concern::All
        }
        Command::Snapshot(arguments) => pick(arguments.sandbox.sandbox.as_ref()),
        Command::Push(arguments) => match arguments.snapshots.as_slice() {
            [] => pick(arguments.sandbox.as_ref()),
            ids => Concern::Snapshots(ids),
        },
        Command::Export(arguments) => Concern::Snapshots(std::slice::from_ref(&arguments.snapshot)),
        // The snapshot itself tells it, and it begins anew then.
        Command::Pull(PullArguments { destination, .. })
        | Command::Import(ImportArguments { destination, .. }) => match destination.many_owners {
            true => Concern::Root,
            false => Concern::None,
        },
        Command::Recover(RecoverArguments { from_archive: Some(_), .. }) => Concern::None,
        Command::Rollback(arguments) => match arguments.words.as_slice() {
            [name, _] => Concern::Named(name),
            _ => Concern::Folder,
        },
        Command::Show(arguments) => Concern::Operation(arguments.operation),
        Command::Recover(_) => Concern::All,
        Command::Ls
        | Command::Release(_)
        | Command::Archive(_)
        | Command::Verify(_)
        | Command::Drill(_)
        | Command::Snapshots(_)
        | Command::Log(_)
        | Command::Logs(_)
        | Command::Events(_)
        | Command::Sinks(_)
        | Command::Daemon(_)
        | Command::Serve(_)
        | Command::Mcp(_)
        | Command::Approve(_)
        | Command::Token(_)
        | Command::Health(_)
        | Command::Stats(_)
        | Command::Top(_)
        | Command::Audit(_)
        | Command::State(_)
        | Command::Doctor(_)
        | Command::Check(_)
        | Command::Hook(_)
        | Command::Policy(_)
        | Command::Config(_)
        | Command::Completions { .. }
        | Command::Man { .. } => Concern::None,
    }
}

/// Whether a sandbox that `matches` holds files of many owners.
fn any_sandbox(matches: impl Fn(&Sandbox) -> bool) -> Result<bool, Failure> {
    let Some(store) = store()? else { return Ok(false) };
    let concerned = |one: &Sandbox| matches(one) && one.root.has_many_owners();
    Ok(store.sandboxes()?.iter().any(concerned))
}

/// The same for the sandboxes of these snapshots, as far as there are any.
fn any_of_snapshots(ids: &[SnapshotId]) -> Result<bool, Failure> {
    let Some(store) = store()? else { return Ok(false) };
    let of = |id: &SnapshotId| store.sandbox(store.snapshot(*id).ok()?.sandbox).ok();
    Ok(ids.iter().filter_map(of).any(|sandbox| sandbox.root.has_many_owners()))
}

/// The store, where there is one. To be closed before the process is cloned: a connection must not
/// cross that.
fn store() -> Result<Option<SqliteStore>, Failure> {
    let directory = places::store()?;
    match directory.join("store.db").exists() {
        true => Ok(Some(SqliteStore::open(&directory)?)),
        false => Ok(None),
    }
}

/// Calls `action` in a child that may handle files of all the user's ids.
pub(crate) fn run(action: impl FnOnce() -> u8) -> Answer {
    let store = places::store()?;
    actor::current();
    let _ = OUTSIDE.set((rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw()));
    let status = native::with_subordinate_ids(|| {
        places::pin_store(store);
        i32::from(action())
    })
    .map_err(|error| Failure::from(ctrlz_engine::EngineError::from(error)))?;
    Ok(u8::try_from(status).unwrap_or(OWN_FAILURE))
}
