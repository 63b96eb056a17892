//! The escape suite: every test is an attack on the host from inside a sandbox of the native
//! driver. It must fail with all protections in force, and must get through when the protections
//! that hold it are taken away, which shows that the test can fail and that the protection is
//! needed.
//!
//! The launcher must have one thread, so this program is no libtest harness: it starts itself
//! again for each launch (see [`launcher`]). As root it runs everything twice, the second time as
//! an ordinary user. It takes a filter, `--exact`, `--skip TEXT`, `--list` and
//! `--test-threads N`, as libtest does. With the environment variable `CTRLZ_ESCAPE_BY_LAUNCHER`, every
//! attack runs as a service launches commands. With `CTRLZ_ESCAPE_DRIVER`, it is made on that driver,
//! such as `oci:runc`.
#![forbid(unsafe_code)]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may end by panicking"
)]

mod arena;
mod attack;
mod control;
mod descriptors;
mod devices;
mod files;
mod kernel_calls;
mod kernel_files;
mod launcher;
mod life;
mod limits;
mod mounts;
mod namespaces;
mod network;
mod place;
mod privileges;
mod processes;
mod python;
mod rename;
mod runner;
mod terminal;
mod trial;
mod workspace;

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    if std::env::args().nth(1).is_some_and(|word| word == ctrlz_isolation::launcher::ARGUMENT) {
        return ExitCode::from(u8::from(ctrlz_isolation::launcher::run().is_err()));
    }
    match std::env::var_os(launcher::SPEC) {
        Some(spec) => launcher::main(Path::new(&spec)),
        None => runner::main(),
    }
}

/// Every attack, by theme.
fn tests() -> Vec<attack::Test> {
    [
        files::tests(),
        workspace::tests(),
        mounts::tests(),
        descriptors::tests(),
        rename::tests(),
        processes::tests(),
        life::tests(),
        limits::tests(),
        network::tests(),
        terminal::tests(),
        devices::tests(),
        kernel_files::tests(),
        kernel_calls::tests(),
        namespaces::tests(),
        privileges::tests(),
        control::tests(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
