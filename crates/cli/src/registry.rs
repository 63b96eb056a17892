//! Registries, and who signs in there.

use std::path::PathBuf;

use ctrlz_archive::place::{Login, Registry};

use crate::failure::Failure;
use crate::places;

/// The repository at `address`, `HOST[:PORT]/NAME`, as the user whom podman, skopeo, buildah or docker
/// know there.
pub(crate) fn open(address: &str) -> Result<Registry, Failure> {
    let (host, name) = address.split_once('/').unwrap_or((address, ""));
    let bare = host.rsplit_once(':').map_or(host, |(host, _)| host);
    // Nobody listens in between.
    let plain = matches!(bare, "localhost" | "127.0.0.1" | "[::1]");
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let mut login = Login::Anonymous;
    for file in Login::files(places::home().as_deref(), runtime.as_deref()) {
        if let Some(found) = Login::from_file(&file, host, name)? {
            login = found;
            break;
        }
    }
    Ok(Registry::open(address, login, plain)?)
}
