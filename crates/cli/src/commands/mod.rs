//! One file a command.

mod approval;
pub(crate) mod archive;
pub(crate) mod audit;
mod automatic;
mod captured;
pub(crate) mod check;
pub(crate) mod commit;
mod config;
mod contents;
mod daemon;
pub(crate) mod diff;
mod doctor;
mod emergency;
mod end;
mod environment;
pub(crate) mod events;
mod export;
mod gc;
mod going_on;
pub(crate) mod health;
pub(crate) mod history;
mod hook;
mod known_good;
pub(crate) mod lifecycle;
pub(crate) mod manage;
mod manual;
mod past;
mod policy;
mod probe;
mod recover;
pub(crate) mod rollback;
pub(crate) mod run;
pub(crate) mod serve;
mod setup;
mod signing;
mod sinks;
pub(crate) mod snapshot;
pub(crate) mod space;
pub(crate) mod state;
pub(crate) mod stats;
mod task;
mod top;
pub(crate) mod undo;
pub(crate) mod unusual;
pub(crate) mod watchman;

pub(crate) use archive::lost;
pub(crate) use contents::seen as contents_seen;
pub(crate) use daemon::is_running as is_daemon_running;
pub(crate) use hook::BLOCKS;
pub(crate) use unusual::tell_frozen;

use ctrlz_isolation::Isolator;
use ctrlz_store::reserve;

use crate::Answer;
use crate::arguments::{Arguments, Command};
use crate::failure::{Failure, REFUSED};
use crate::places;

/// Carries out what the command line asks.
pub(crate) fn execute(arguments: Arguments, isolation: Isolator) -> Answer {
    let acts = arguments.command.acts();
    let answer = with_space(arguments, isolation);
    if acts && let Ok(store) = places::store() {
        sinks::deliver_behind(&store);
    }
    answer
}

fn with_space(arguments: Arguments, isolation: Isolator) -> Answer {
    let json = arguments.json;
    if arguments.command.only_takes_space() {
        space::require(&places::store()?)?;
    }
    if !arguments.command.gives_space_back() {
        return carry_out(arguments.command, isolation, json);
    }
    // Without a reserve it may fail for want of space, which it tells itself.
    let store = places::store()?;
    let _ = reserve::spend(&store);
    let answer = carry_out(arguments.command, isolation, json);
    let _ = reserve::refill(&store);
    answer
}

/// `ctrlz logs`, where no service is named.
fn only_remote() -> Failure {
    let message = "what commands write here goes to whoever runs them, and is kept nowhere";
    Failure::new(REFUSED, "not-local", message).hint(
        "`ctrlz logs` asks a service, which --server URL or CTRLZ_SERVER names; `ctrlz log` lists what \
         ran here",
    )
}

fn carry_out(command: Command, isolation: Isolator, json: bool) -> Answer {
    match command {
        Command::Run(arguments) => run::run(arguments, isolation, json),
        Command::Exec(arguments) => run::exec(arguments, isolation, json),
        Command::Shell(arguments) => run::shell(arguments, isolation, json),
        Command::Diff(arguments) => diff::diff(&arguments, json),
        Command::Commit(arguments) => commit::commit(&arguments, json),
        Command::Discard(arguments) => commit::discard(&arguments, json),
        Command::Undo(arguments) => undo::undo(&arguments, json),
        Command::Redo(arguments) => undo::redo(&arguments, json),
        Command::New(arguments) => manage::new(&arguments, json),
        Command::Ls => manage::list(json),
        Command::Rm(arguments) => manage::remove(&arguments, json),
        Command::Suspend(arguments) => lifecycle::suspend(&arguments, json),
        Command::Resume(arguments) => lifecycle::resume(&arguments, json),
        Command::Fork(arguments) => manage::fork(arguments, json),
        Command::Serve(arguments) => serve::serve(&arguments, json),
        Command::Mcp(arguments) => serve::mcp(&arguments),
        Command::Approve(arguments) => serve::approve(&arguments, json),
        Command::Token(arguments) => serve::token(&arguments, json),
        Command::Snapshot(arguments) => snapshot::snapshot(arguments, json),
        Command::Snapshots(arguments) => snapshot::list(&arguments, json),
        Command::Gc(arguments) => gc::gc(&arguments, json),
        Command::Push(arguments) => archive::push(&arguments, json),
        Command::Pull(arguments) => archive::pull(&arguments, json),
        Command::Archive(arguments) => archive::archive(&arguments, json),
        Command::Export(arguments) => archive::export(&arguments, json),
        Command::Import(arguments) => archive::import(&arguments, json),
        Command::Verify(arguments) => archive::verify(&arguments, json),
        Command::Drill(arguments) => archive::drill(&arguments, json),
        Command::Rollback(arguments) if arguments.memory => {
            going_on::go_on(&arguments, isolation, json)
        }
        Command::Rollback(arguments) => rollback::rollback(&arguments, json),
        Command::Log(arguments) => history::log(&arguments, json),
        Command::Show(arguments) => history::show(&arguments, json),
        Command::Logs(_) => Err(only_remote()),
        Command::State(arguments) => state::state(arguments, json),
        Command::Doctor(arguments) => doctor::doctor(&arguments, json),
        Command::Recover(arguments) => match (&arguments.emergency, &arguments.from_archive) {
            (Some(name), _) => emergency::emergency(name, &arguments, json),
            (None, Some(from)) => archive::rebuild(from.as_deref(), &arguments.keys, json),
            (None, None) => recover::recover(json),
        },
        Command::Release(arguments) => emergency::release(&arguments, json),
        Command::Stats(arguments) => stats::stats(&arguments, json),
        Command::Top(arguments) => top::top(&arguments, json),
        Command::Health(arguments) => health::health(&arguments, json),
        Command::Events(arguments) => events::events(&arguments, json),
        Command::Sinks(arguments) => sinks::sinks(&arguments, json),
        Command::Daemon(arguments) => daemon::daemon(&arguments, json),
        Command::Audit(arguments) => audit::audit(&arguments, json),
        Command::Check(arguments) => check::check(&arguments, json),
        Command::Hook(arguments) => hook::hook(arguments, json),
        Command::Policy(arguments) => policy::policy(&arguments, json),
        Command::Config(arguments) => config::config(&arguments, json),
        Command::Completions { shell } => manual::completions(shell),
        Command::Man { folder } => manual::manual(&folder),
    }
}
