//! What commits and reverts left in a store, by the names of their operations.

use std::path::Path;

use ctrlz_core::id::OperationId;
use ctrlz_core::workspace::WorkspaceError;

use crate::node::entries;
use crate::view::quick_version;

/// The newest operation that something in `commits` is named after: `op-N`, or `op-N.WORD`.
pub(crate) fn newest_commit(commits: &Path) -> Result<Option<OperationId>, WorkspaceError> {
    if quick_version(commits)?.is_none() {
        return Ok(None);
    }
    let names = entries(commits)?;
    let ids = names.iter().filter_map(|name| name.to_str()?.split('.').next()?.parse().ok());
    Ok(ids.max())
}
