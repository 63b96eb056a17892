//! Sandboxes whose root is their workspace hold files of many owners. For an ordinary user these
//! are the user's subordinate ids, and their files can be read, copied and removed only inside a
//! user namespace that has these ids.

use std::path::Path;

use ctrlz_core::name::SandboxName;
use ctrlz_core::sandbox::Sandbox;
use ctrlz_core::store::Store;
use ctrlz_isolation::native;
use ctrlz_store::SqliteStore;

use crate::actor;
use crate::arguments::{Arguments, Command, SnapshotArguments};
use crate::failure::{Failure, OWN_FAILURE};
use crate::{Answer, places};

/// Whether the command concerns such a sandbox, and this user has subordinate ids.
pub(crate) fn is_needed(arguments: &Arguments) -> Result<bool, Failure> {
    if rustix::process::geteuid().is_root() {
        return Ok(false);
    }
    let concerns = match concern(&arguments.command) {
        Concern::None => false,
        Concern::Root => true,
        Concern::All => any_sandbox(|_| true)?,
        Concern::Named(name) => any_sandbox(|sandbox| sandbox.name == *name)?,
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
    Named(&'a SandboxName),
    Folder,
    All,
}

fn pick(name: Option<&SandboxName>) -> Concern<'_> {
    name.map_or(Concern::Folder, Concern::Named)
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
        Command::Exec(arguments) => Concern::Named(&arguments.sandbox),
        Command::Rm(arguments) => Concern::Named(&arguments.sandbox),
        Command::Suspend(arguments) => Concern::Named(&arguments.sandbox),
        Command::Resume(arguments) => Concern::Named(&arguments.sandbox),
        Command::Fork(arguments) => Concern::Named(&arguments.sandbox),
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
        Command::Rollback(_)
        | Command::Show(_)
        | Command::Recover(_)
        | Command::Push(_)
        | Command::Pull(_)
        | Command::Export(_)
        | Command::Import(_) => Concern::All,
        Command::Ls
        | Command::Release(_)
        | Command::Archive(_)
        | Command::Verify(_)
        | Command::Drill(_)
        | Command::Snapshots(_)
        | Command::Log(_)
        | Command::Events(_)
        | Command::Sinks(_)
        | Command::Daemon(_)
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
    let directory = places::store()?;
    if !directory.join("store.db").exists() {
        return Ok(false);
    }
    // Closed again before the process is cloned: a connection must not cross that.
    let store = SqliteStore::open(&directory)?;
    let concerned = |one: &Sandbox| matches(one) && one.root.has_many_owners();
    Ok(store.sandboxes()?.iter().any(concerned))
}

/// Calls `action` in a child that may handle files of all the user's ids.
pub(crate) fn run(action: impl FnOnce() -> u8) -> Answer {
    let store = places::store()?;
    actor::current();
    let status = native::with_subordinate_ids(|| {
        places::pin_store(store);
        i32::from(action())
    })
    .map_err(|error| Failure::from(ctrlz_engine::EngineError::from(error)))?;
    Ok(u8::try_from(status).unwrap_or(OWN_FAILURE))
}
