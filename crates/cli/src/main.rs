//! ctrlz: run anything as a transaction, undo anything.
#![forbid(unsafe_code)]

mod arguments;
mod commands;
mod context;
mod failure;
mod places;
mod root;
mod secrets;
mod show;

use std::process::ExitCode;

use clap::Parser;

use arguments::Arguments;
use failure::Failure;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return failure::usage(&error),
    };
    let json = arguments.json;
    match commands::execute(arguments) {
        Ok(code) => code,
        Err(failure) => {
            failure.print(json);
            ExitCode::from(failure.code)
        }
    }
}

/// What a command answers: an exit code, or why it failed.
type Answer = Result<ExitCode, Failure>;
