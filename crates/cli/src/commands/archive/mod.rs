//! Snapshots at rest: `ctrlz push`, `pull`, `archive`, `export`, `import`, `verify` and `drill`, and
//! what is done with them without being asked.

mod apply;
mod before;
mod bring;
mod check;
mod checked;
mod export;
mod failure;
mod import;
mod keys;
mod list;
mod lost;
mod owners;
mod pin;
mod policy;
mod progress;
mod pull;
mod push;
mod rebuild;
mod scratch;
mod setting;
mod snapshot_name;
pub(crate) mod told;
mod troubles;
mod values;
mod yielding;

use std::path::{Path, PathBuf};

use ctrlz_core::path::RelPath;

use crate::Answer;
use crate::arguments::{ArchiveAction, ArchiveArguments};
use crate::failure::{Failure, OWN_FAILURE};

pub(crate) use apply::{Thinned, thin};
pub(crate) use before::before;
pub(crate) use check::{drill, verify};
pub(crate) use checked::archive_facts;
pub(crate) use export::export;
pub(crate) use import::import;
pub(crate) use lost::lost;
pub(crate) use policy::{awaited, is_due as is_archive_due};
pub(crate) use pull::pull;
pub(crate) use push::push;
pub(crate) use rebuild::rebuild;
pub(crate) use snapshot_name::sandbox_of;
pub(crate) use values::{ArchivedValues, values};
pub(crate) use yielding::YIELDED;

pub(crate) fn archive(arguments: &ArchiveArguments, json: bool) -> Answer {
    match &arguments.action {
        ArchiveAction::Ls { from, keys } => list::list(from, keys, json),
        ArchiveAction::Rm { names, from, keys } => list::remove(names, from, keys, json),
        ArchiveAction::Gc { from, dry_run, now } => list::collect(from, (*dry_run, *now), json),
        ArchiveAction::Apply { of_daemon } => apply::apply(*of_daemon, json),
        ArchiveAction::Keys { action, from, keys } => keys::keys(action, from, keys, json),
    }
}

/// Paths within a tree, as the user writes them.
fn selected(paths: &[PathBuf]) -> Result<Vec<RelPath>, Failure> {
    let parse = |path: &PathBuf| {
        let inside = path.strip_prefix("/").unwrap_or(path);
        let inside = inside.strip_prefix(Path::new(".")).unwrap_or(inside);
        RelPath::parse(inside).map_err(|error| {
            let message = format!("{} is no path of a snapshot: {error}", path.display());
            Failure::new(OWN_FAILURE, "path", message)
        })
    };
    paths.iter().map(parse).collect()
}
