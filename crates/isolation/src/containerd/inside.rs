//! This program as process 1 of a container of containerd.

use std::io;
use std::path::Path;

use serde_json::Value;

use super::place::Place;
use super::spec::bind;
use crate::native::{Apart, process_1_apart};

/// The first argument of process 1 in a container; the command follows.
pub const ARGUMENT: &str = "--apart-process-1";

/// Where this program is in a container: `/dev` is a file system of its own in every one.
pub(super) const PROGRAM: &str = "/dev/.ctrlz/init";
/// Where it tells the end: a folder, since a virtual machine gets copies of single files.
const TOLD: &str = "/dev/.ctrlz/told";

/// What brings both in.
pub(super) fn mounts(place: &Place) -> io::Result<[Value; 2]> {
    let program = std::env::current_exe()?;
    Ok([bind(&program, Path::new(PROGRAM), true)?, bind(&place.told(), Path::new(TOLD), false)?])
}

/// Runs process 1 of a container, until its command has ended; answers its exit code.
///
/// # Errors
/// When there is no such container around it.
pub fn run() -> io::Result<u8> {
    let is_first = rustix::process::getpid().is_init();
    if !is_first || !Path::new(TOLD).is_dir() {
        return Err(io::Error::other("this is no container of ctrlz"));
    }
    let argv = std::env::args_os().skip(2).collect();
    Ok(process_1_apart(Apart { argv, report: Path::new(TOLD).join(Place::REPORT) }))
}
