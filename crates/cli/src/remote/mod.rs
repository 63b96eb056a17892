//! The command line at a service: what is asked goes over the network, and is told as if it had been
//! done here.

mod approve;
mod archive;
mod audit;
mod check;
mod client;
mod confirm;
mod events;
mod exec;
mod history;
mod logs;
mod place;
mod problem;
mod sandboxes;
mod shell;
mod signals;
mod snapshots;
mod state;
mod stats;
mod stream;
mod tls;
mod tokens;

pub(crate) use place::VARIABLE;

use self::client::Client;
use crate::Answer;
use crate::arguments::{Arguments, Command};
use crate::failure::{Failure, REFUSED};

/// The kind of what cannot be done at a service.
const NOT_REMOTE: &str = "not-remote";

/// The service that is meant: `--server`, else what `CTRLZ_SERVER` says.
pub(crate) fn wanted(arguments: &Arguments) -> Option<String> {
    // What is about this program alone is so wherever the sandboxes are.
    if matches!(arguments.command, Command::Completions { .. } | Command::Man { .. }) {
        return None;
    }
    arguments.server.clone().or_else(from_environment)
}

/// What `CTRLZ_SERVER` says.
pub(crate) fn from_environment() -> Option<String> {
    let value = std::env::var_os(VARIABLE).filter(|value| !value.is_empty())?;
    // What is no text is no URL either, and is told as such.
    Some(value.to_string_lossy().into_owned())
}

/// Does at the service what the command line asks. Nothing of this host is touched.
pub(crate) fn execute(url: &str, arguments: &Arguments) -> Answer {
    let json = arguments.json;
    if let Some(failure) = refusal(&arguments.command) {
        return Err(failure);
    }
    let client = &Client::of(url)?;
    match &arguments.command {
        Command::New(arguments) => sandboxes::new(client, arguments, json),
        Command::Ls => sandboxes::list(client, json),
        Command::Rm(arguments) => sandboxes::remove(client, arguments, json),
        Command::Fork(arguments) => sandboxes::fork(client, arguments, json),
        Command::Suspend(arguments) => sandboxes::suspend(client, arguments, json),
        Command::Resume(arguments) => sandboxes::resume(client, arguments, json),
        Command::Exec(arguments) => exec::exec(client, arguments, json),
        Command::Shell(arguments) => shell::shell(client, arguments, json),
        Command::Diff(arguments) => history::differs(client, arguments, json),
        Command::Commit(arguments) => history::commits(client, arguments, json),
        Command::Discard(argument) => history::discard(client, argument, json),
        Command::Undo(arguments) => history::undo(client, arguments, json),
        Command::Redo(arguments) => history::redo(client, arguments, json),
        Command::Rollback(arguments) => history::rolls_back(client, arguments, json),
        Command::Log(arguments) => history::log(client, arguments, json),
        Command::Show(arguments) => history::shows(client, arguments, json),
        Command::Logs(arguments) => logs::logs(client, arguments, json),
        Command::Snapshot(arguments) => snapshots::take(client, arguments, json),
        Command::Snapshots(arguments) => snapshots::list(client, arguments, json),
        Command::State(arguments) => state::state(client, arguments, json),
        Command::Events(arguments) => events::tell(client, arguments, json),
        Command::Check(arguments) => check::check(client, arguments, json),
        Command::Push(arguments) => archive::push(client, arguments, json),
        Command::Pull(arguments) => archive::pull(client, arguments, json),
        Command::Archive(arguments) => archive::archive(client, arguments, json),
        Command::Verify(arguments) => archive::verify(client, arguments, json),
        Command::Drill(arguments) => archive::drill(client, arguments, json),
        Command::Approve(arguments) => approve::approve(client, arguments, json),
        Command::Audit(arguments) => audit::audit(client, arguments, json),
        Command::Stats(arguments) => stats::stats(client, arguments, json),
        Command::Health(arguments) => stats::health(client, arguments, json),
        Command::Token(arguments) => tokens::tokens(client, arguments, json),
        _ => Err(not_remote("this", "a service does not offer it")),
    }
}

fn not_remote(what: &str, why: &str) -> Failure {
    let message = format!("{what} cannot be done at a service: {why}");
    Failure::new(REFUSED, NOT_REMOTE, message)
}

/// Why a command cannot be carried out at any service, and what to do instead.
fn refusal(command: &Command) -> Option<Failure> {
    const HERE: &str = "without --server and CTRLZ_SERVER it is done here";
    let (what, why, hint) = match command {
        Command::Run(_) => (
            "`ctrlz run`",
            "it runs in the folder that you stand in, which is not there",
            "make a sandbox with `ctrlz new NAME`, then `ctrlz exec NAME -- COMMAND`; without \
             --server and CTRLZ_SERVER it runs here",
        ),
        Command::Serve(_) => ("`ctrlz serve`", "it offers what is on this host", HERE),
        Command::Daemon(_) => ("`ctrlz daemon`", "it works where the store lies", HERE),
        Command::Hook(_) => ("`ctrlz hook`", "it judges what an agent does on this host", HERE),
        Command::Recover(_) => (
            "`ctrlz recover`",
            "a service does it by itself when it begins and when a sandbox is used",
            HERE,
        ),
        Command::Policy(_) => ("`ctrlz policy`", "rules are files of its host", HERE),
        Command::Config(_) => ("`ctrlz config`", "the configuration is files of its host", HERE),
        Command::Doctor(_) => ("`ctrlz doctor`", "it tells what this host can enforce", HERE),
        Command::Gc(_) => (
            "`ctrlz gc`",
            "`ctrlz daemon` beside the service does it",
            "run it on the service's host",
        ),
        Command::Sinks(_) => ("`ctrlz sinks`", "they are configured on its host", HERE),
        Command::Top(_) => (
            "`ctrlz top`",
            "it looks at processes of this host",
            "GET /metrics tells what runs at the service",
        ),
        Command::Export(_) | Command::Import(_) => {
            ("this", "it reads or writes a file of this host", HERE)
        }
        Command::Rollback(arguments) if arguments.memory => (
            "`ctrlz rollback --memory`",
            "a service lets no command go on from its memory",
            "run it on the service's host, or return without --memory",
        ),
        Command::Snapshot(arguments) if arguments.memory => (
            "`ctrlz snapshot --memory`",
            "a service keeps no memory",
            "--live keeps the files and the state while a command runs",
        ),
        Command::Release(_) => (
            "`ctrlz release`",
            "who takes a containment off looks at the host first",
            "run it on the service's host",
        ),
        _ => return None,
    };
    Some(not_remote(what, why).hint(hint))
}
