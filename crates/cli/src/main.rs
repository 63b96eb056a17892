//! ctrlz: run anything as a transaction, undo anything.
#![forbid(unsafe_code)]

#[macro_use]
mod print;

mod actor;
mod arguments;
mod clock;
mod commands;
mod confirm;
mod context;
mod early;
mod failure;
mod judging;
mod mapped;
mod places;
mod root;
mod secrets;
mod show;
mod state_key;
mod store;

use std::process::ExitCode;

use arguments::Arguments;
use ctrlz_isolation::native::NativeDriver;
use failure::Failure;

fn main() -> ExitCode {
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

/// Carries out the command, in this process or, for a sandbox whose files have many owners, in a
/// child that may handle them.
fn execute(arguments: Arguments, isolation: NativeDriver) -> u8 {
    let json = arguments.json;
    let told = |answer: Answer| match answer {
        Ok(code) => code,
        Err(failure) => {
            failure.print(json);
            failure.code
        }
    };
    match mapped::is_needed(&arguments) {
        Ok(false) => told(commands::execute(arguments, isolation)),
        Ok(true) => {
            // Whatever it began, it began outside of the child's user namespace.
            drop(isolation);
            told(mapped::run(|| told(commands::execute(arguments, NativeDriver::default()))))
        }
        Err(failure) => told(Err(failure)),
    }
}

/// What a command answers: an exit code, or why it failed.
type Answer = Result<u8, Failure>;
