//! Writing what other programs read.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::failure::{Failure, OWN_FAILURE};

/// To standard output, to its end.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|error| {
        let message = "cannot write the export to standard output";
        Failure::new(OWN_FAILURE, "export", message).detail(error.to_string())
    })
}

/// To a file that must not exist, for its owner only, and to the disk.
pub(super) fn write(text: &str, file: &Path) -> Result<(), Failure> {
    let written = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()));
    written.map_err(|error| {
        let message = format!("cannot write the export {}", file.display());
        Failure::new(OWN_FAILURE, "export", message).detail(error.to_string())
    })
}
