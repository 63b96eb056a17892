//! Whether there is room for what only writes more.

use std::path::Path;

use ctrlz_config::Flags;
use ctrlz_core::health::least_free;
use ctrlz_core::size::ByteSize;

use crate::failure::{Failure, MAKE_ROOM, OWN_FAILURE, REFUSED};
use crate::places;

/// Errs when the disk of `store` is nearly full, by the configuration of where somebody stands. A
/// command that runs something is not looked at here: its sandbox is, where what it writes goes.
pub(super) fn require(store: &Path) -> Result<(), Failure> {
    // One that is not there yet is made, or not, for its own reasons.
    let Ok(disk) = rustix::fs::statvfs(store) else { return Ok(()) };
    let folder = places::working_folder().unwrap_or_else(|_| "/".into());
    let config = ctrlz_config::load(&places::configuration(&folder), &Flags::default())
        .map_err(|error| Failure::caused(OWN_FAILURE, "config", &error))?;
    let Some(below) = config.monitoring.read_only_below else { return Ok(()) };
    let bytes = |blocks: u64| ByteSize(blocks.saturating_mul(disk.f_frsize));
    let (free, least) = (bytes(disk.f_bavail), least_free(below, bytes(disk.f_blocks).0));
    if free >= least {
        return Ok(());
    }
    let message =
        format!("the disk that holds the store is nearly full: {free} are free, {least} are kept");
    Err(Failure::new(REFUSED, "store-full", message).hint(MAKE_ROOM))
}
