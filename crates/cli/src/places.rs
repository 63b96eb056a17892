//! Where ctrlz keeps its things.

use std::env;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use ctrlz_config::Places;
use ctrlz_core::tenancy::TenantName;

use crate::failure::{Failure, OWN_FAILURE};

/// The store of the user who called, once this process goes on under other ids.
static PINNED: OnceLock<PathBuf> = OnceLock::new();

/// Makes [`store`] answer `path` from now on.
pub(crate) fn pin_store(path: PathBuf) {
    let _ = PINNED.set(path);
}

/// The store: `CTRLZ_HOME`, else `/var/lib/ctrlz` for root and `$XDG_DATA_HOME/ctrlz`
/// (`~/.local/share/ctrlz` by default) for others.
pub(crate) fn store() -> Result<PathBuf, Failure> {
    if let Some(pinned) = PINNED.get() {
        return Ok(pinned.clone());
    }
    let absolute = |name: &str| env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    if let Some(path) = env::var_os("CTRLZ_HOME").filter(|value| !value.is_empty()) {
        let path = PathBuf::from(path);
        return std::path::absolute(&path)
            .map_err(|error| Failure::caused(OWN_FAILURE, "store", &error));
    }
    if rustix::process::geteuid().is_root() {
        return Ok(PathBuf::from("/var/lib/ctrlz"));
    }
    let data = absolute("XDG_DATA_HOME").or_else(|| home().map(|home| home.join(".local/share")));
    data.map(|data| data.join("ctrlz")).ok_or_else(|| {
        Failure::new(OWN_FAILURE, "store", "there is no place for the store: HOME is not set")
            .hint("set HOME, or CTRLZ_HOME to a folder")
    })
}

/// Where the configuration lies for somebody who stands in `folder`.
pub(crate) fn configuration(folder: &Path) -> Places {
    Places::of_process(folder.to_owned(), env::var_os("XDG_CONFIG_HOME"), env::var_os("HOME"))
}

/// The home folder, when `HOME` is an absolute path.
pub(crate) fn home() -> Option<PathBuf> {
    env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute())
}

/// The working folder, without symbolic links.
pub(crate) fn working_folder() -> Result<PathBuf, Failure> {
    env::current_dir().map_err(|error| {
        Failure::caused(OWN_FAILURE, "folder", &error).hint("the working folder may be gone")
    })
}

/// A folder that the user named, without symbolic links.
pub(crate) fn canonical(path: &Path) -> Result<PathBuf, Failure> {
    path.canonicalize().map_err(|error| {
        let message = format!("cannot use {}: {error}", path.display());
        Failure::new(OWN_FAILURE, "folder", message)
    })
}

/// The file in a store that says which tenant of a service it belongs to.
pub(crate) const TENANT: &str = "tenant";

/// The tenant of a service to whom a store belongs; `None` for a user's own.
pub(crate) fn tenant_of(store: &Path) -> Result<Option<TenantName>, Failure> {
    let path = store.join(TENANT);
    let failed = |why: String| {
        let message = format!("cannot tell whose store it is by {}: {why}", path.display());
        Failure::new(OWN_FAILURE, "store", message)
    };
    match std::fs::read_to_string(&path) {
        Ok(text) => match text.trim().parse() {
            Ok(name) => Ok(Some(name)),
            Err(error) => Err(failed(format!("{error}"))),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(error.to_string())),
    }
}
