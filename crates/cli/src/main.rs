//! ctrlz: run anything as a transaction, undo anything.
#![forbid(unsafe_code)]

#[macro_use]
mod print;

mod arguments;
mod commands;
mod context;
mod failure;
mod mapped;
mod places;
mod root;
mod secrets;
mod show;
mod store;

use std::process::ExitCode;

use clap::Parser;

use arguments::Arguments;
use failure::Failure;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return failure::usage(&error),
    };
    ExitCode::from(execute(arguments))
}

/// Carries out the command, in this process or, for a sandbox whose files have many owners, in a
/// child that may handle them.
fn execute(arguments: Arguments) -> u8 {
    let json = arguments.json;
    let told = |answer: Answer| match answer {
        Ok(code) => code,
        Err(failure) => {
            failure.print(json);
            failure.code
        }
    };
    match mapped::is_needed(&arguments) {
        Ok(false) => told(commands::execute(arguments)),
        Ok(true) => told(mapped::run(|| told(commands::execute(arguments)))),
        Err(failure) => told(Err(failure)),
    }
}

/// What a command answers: an exit code, or why it failed.
type Answer = Result<u8, Failure>;
