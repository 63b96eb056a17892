//! Where parts of trees that come from elsewhere are restored, before they become layers.
//!
//! A landing lies in `landings/` and has the name `PROCESS-TIME-TURN`. It goes with the first
//! collection that finds nobody else using the store, unless it is of the collecting driver.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use ctrlz_core::workspace::WorkspaceError;
use rustix::fs::Mode;
use rustix::io::Errno;

use super::store::{Store, make_directory, now};
use crate::node::failed;
use crate::view::quick_version;

/// Makes a new landing; answers its name, too. The caller has announced itself.
pub(super) fn make(store: &Store) -> Result<(PathBuf, OsString), WorkspaceError> {
    make_directory(&store.landings())?;
    let (process, time) = (std::process::id(), now().0);
    for turn in 0_u32.. {
        let name = format!("{process:x}-{time:x}-{turn:x}");
        let path = store.landings().join(&name);
        match rustix::fs::mkdir(&path, Mode::from_raw_mode(0o700)) {
            Ok(()) => return Ok((path, name.into())),
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(failed("create the directory", &path)(errno)),
        }
    }
    Err(failed("create a directory in", store.landings())(Errno::EXIST))
}

/// The name of the landing at `path`.
pub(super) fn name_of(store: &Store, path: &Path) -> Result<OsString, WorkspaceError> {
    let name = path.strip_prefix(store.landings()).ok().and_then(|name| {
        let mut parts = name.components();
        match (parts.next(), parts.next()) {
            (Some(std::path::Component::Normal(name)), None) => Some(name.to_owned()),
            _ => None,
        }
    });
    name.ok_or_else(|| refused(path))
}

/// What is told of a directory that is no landing.
pub(super) fn refused(path: &Path) -> WorkspaceError {
    let why = "it is no directory that this driver gave out to restore something in";
    failed("use", path)(std::io::Error::new(std::io::ErrorKind::InvalidInput, why))
}

/// Errs unless a directory was restored to `path`, in a landing.
pub(super) fn check_landed(store: &Store, path: &Path) -> Result<(), WorkspaceError> {
    let real = |path: &Path| path.canonicalize().ok();
    let inside = match (real(&store.landings()), path.parent().and_then(real), path.file_name()) {
        // Above it is a landing or something in one.
        (Some(landings), Some(above), Some(_)) => above != landings && above.starts_with(&landings),
        _ => false,
    };
    let damaged = |what| WorkspaceError::Damaged { what, path: path.to_owned() };
    if !quick_version(path)?.is_some_and(|version| version.is_directory()) {
        return Err(damaged("a part that was to be restored is missing"));
    }
    if !inside {
        return Err(damaged("a part was not restored in a landing"));
    }
    Ok(())
}
