//! The WebAssembly engine of ctrlz: what `--isolation wasm` runs inside the sandbox.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(ctrlz_wasm::runner::main(std::env::args_os().skip(1)))
}
