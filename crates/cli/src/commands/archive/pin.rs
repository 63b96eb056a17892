//! Which data key this host encrypts its archive to. Whoever can write to a place could put a key of
//! their own there; what is archived then would be theirs to read.

use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use ctrlz_archive::crypt::Keyring;

use crate::failure::{Failure, OWN_FAILURE, REFUSED};

const FILE: &str = "data-key";
/// What stands in the file while the archive is not encrypted.
const PLAIN: &str = "none";

/// Errs when the archive's data key is another one than it was; one that is seen for the first time
/// is remembered.
pub(super) fn check(memory: &Path, keys: Option<&Keyring>) -> Result<(), Failure> {
    let now = fingerprint(keys)?;
    match std::fs::read_to_string(memory.join(FILE)) {
        Ok(known) if known.trim() == now => Ok(()),
        Ok(known) if known.trim() == PLAIN && keys.is_some() => Err(refuse(
            "the archive was not encrypted, and has a data key now that this host did not make",
        )),
        Ok(_) if keys.is_none() => {
            Err(refuse("the archive was encrypted, and its data keys are gone now"))
        }
        Ok(_) => Err(refuse("the archive's data key is another one than it was")),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => write(memory, &now),
        Err(error) => Err(Failure::caused(OWN_FAILURE, "archive", &error)),
    }
}

/// Whether anything was ever archived to the place.
pub(super) fn is_remembered(memory: &Path) -> bool {
    memory.join(FILE).exists()
}

/// Trusts the archive's data key as it is now.
pub(super) fn trust(memory: &Path, keys: Option<&Keyring>) -> Result<(), Failure> {
    write(memory, &fingerprint(keys)?)
}

fn fingerprint(keys: Option<&Keyring>) -> Result<String, Failure> {
    match keys {
        None => Ok(PLAIN.to_owned()),
        Some(keys) => Ok(keys.current()?.fingerprint().to_string()),
    }
}

fn refuse(what: &str) -> Failure {
    Failure::new(REFUSED, "archive-other-key", what)
        .detail("nothing was archived".to_owned())
        .hint("if you or another host of yours changed it, `ctrlz archive keys trust` accepts it")
}

fn write(memory: &Path, text: &str) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::caused(OWN_FAILURE, "archive", &error);
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(memory).map_err(failed)?;
    let new = memory.join(format!("data-key.{}", std::process::id()));
    let mut options = std::fs::OpenOptions::new();
    options.create(true).truncate(true).write(true).mode(0o600);
    let mut file = options.open(&new).map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
    std::fs::rename(&new, memory.join(FILE)).map_err(failed)
}
