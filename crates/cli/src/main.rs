//! ctrlz: run anything as a transaction, undo anything.
#![forbid(unsafe_code)]

#[macro_use]
mod print;

mod actor;
mod aging;
mod arguments;
mod clock;
mod commands;
mod confirm;
mod context;
mod early;
mod failure;
mod isolating;
mod isolation;
mod judging;
mod mapped;
mod places;
mod registry;
mod remote;
mod root;
mod secrets;
mod show;
mod state_key;
mod store;

use std::process::ExitCode;

use arguments::{Arguments, Command};
use ctrlz_isolation::{Isolator, engine, launcher, native, systemd};
use failure::{Failure, OWN_FAILURE};

fn main() -> ExitCode {
    // What is in memory now, every worker gets a copy of.
    if std::env::args_os().nth(1).is_some_and(|word| word == launcher::ARGUMENT) {
        return launch();
    }
    if std::env::args_os().nth(1).is_some_and(|word| word == engine::ARGUMENT) {
        return contained();
    }
    if std::env::args_os().nth(1).is_some_and(|word| word == systemd::ARGUMENT) {
        return in_unit();
    }
    if std::env::args_os().nth(1).is_some_and(|word| word == commands::watchman::ARGUMENT) {
        return commands::watchman::stand();
    }
    #[cfg(feature = "faults")]
    clock::share();
    let mut words = std::env::args_os().skip(1).peekable();
    if words.peek().is_some_and(|word| word == native::PROBE) {
        let words: Vec<_> = words.collect();
        if let Some(code) = native::probe_inside(&words) {
            return ExitCode::from(u8::try_from(code).unwrap_or(OWN_FAILURE));
        }
    }
    // Before anything else: what is in memory now, process 1 gets a copy of.
    let isolation = early::isolation();
    let arguments = match Arguments::read() {
        Ok(arguments) => arguments,
        Err(error) => {
            let code = failure::usage(&error);
            // An agent would take any other code for consent.
            let asked = std::env::args_os().nth(1).is_some_and(|word| word == "hook");
            return if asked && error.use_stderr() { commands::BLOCKS.into() } else { code };
        }
    };
    ExitCode::from(execute(arguments, isolation))
}

/// Runs as process 1 of a container.
fn contained() -> ExitCode {
    match engine::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ctrlz: {} is no command: ctrlz has an engine start it", engine::ARGUMENT);
            eprintln!("  {error}");
            ExitCode::from(OWN_FAILURE)
        }
    }
}

/// Runs as the process of a unit.
fn in_unit() -> ExitCode {
    match systemd::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ctrlz: {} is no command: ctrlz has systemd start it", systemd::ARGUMENT);
            eprintln!("  {error}");
            ExitCode::from(OWN_FAILURE)
        }
    }
}

/// Launches for the service that started this process.
fn launch() -> ExitCode {
    match launcher::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ctrlz: {} is no command: a service of ctrlz starts it", launcher::ARGUMENT);
            eprintln!("  {error}");
            ExitCode::from(OWN_FAILURE)
        }
    }
}

/// Carries out the command, in this process or, for a sandbox whose files have many owners, in a
/// child that may handle them.
fn execute(arguments: Arguments, isolation: Isolator) -> u8 {
    let json = arguments.json;
    let told = |answer: Answer| match answer {
        Ok(code) => code,
        Err(failure) => {
            failure.print(json);
            failure.code
        }
    };
    if let Some(url) = remote::wanted(&arguments) {
        // Nothing runs here.
        drop(isolation);
        let code = told(remote::execute(&url, &arguments));
        // An agent would take any other code for consent.
        return match arguments.command {
            Command::Hook(_) => commands::BLOCKS,
            _ => code,
        };
    }
    match mapped::is_needed(&arguments) {
        Ok(false) => told(commands::execute(arguments, isolation)),
        Ok(true) => {
            // Whatever it began, it began outside of the child's user namespace.
            drop(isolation);
            told(mapped::run(|| told(commands::execute(arguments, Isolator::default()))))
        }
        Err(failure) => told(Err(failure)),
    }
}

/// What a command answers: an exit code, or why it failed.
type Answer = Result<u8, Failure>;
