//! `ctrlz diff`.

use std::path::{Path, PathBuf};

use ctrlz_core::changeset::Changeset;
use ctrlz_core::name::SandboxName;
use ctrlz_core::path::RelPath;
use ctrlz_core::sandbox::Sandbox;

use crate::Answer;
use crate::arguments::DiffArguments;
use crate::context::Context;
use crate::failure::{Failure, OWN_FAILURE};
use crate::show::{self, Style, counts_in_words, print_patch, print_tree};

pub(crate) fn diff(arguments: &DiffArguments, json: bool) -> Answer {
    let context = Context::open()?;
    let sandbox = context.sandbox(arguments.sandbox.sandbox.as_ref())?;
    let paths = workspace_paths(&arguments.paths, &sandbox)?;
    let mut changeset = context.with_core(crate::context::WhenBusy::Wait, |core| {
        if let Some(id) = arguments.operation {
            return Ok(core.changes_of(&sandbox, &core.store().operation(id)?)?);
        }
        if let Some(id) = arguments.since {
            return Ok(core.changes_since(&sandbox, &core.store().snapshot(id)?)?);
        }
        let driver = core.driver_of(&sandbox)?;
        let now = &sandbox.point.tree;
        let start = match arguments.base {
            true => driver.base_tree(now)?,
            false => core.start_of(&sandbox)?,
        };
        Ok(driver.changes(&start, now)?)
    })?;
    if !paths.is_empty() {
        changeset.changes.retain(|change| paths.iter().any(|path| change.path.is_within(path)));
    }
    if arguments.patch && !json {
        print_patch(&changeset, Style::stdout());
        return show::done();
    }
    tell(&sandbox.name, &changeset, json)
}

pub(crate) fn tell(name: &SandboxName, changeset: &Changeset, json: bool) -> Answer {
    let counts = changeset.counts();
    if json {
        show::print_json(&[
            ("sandbox", show::to_json(name)?),
            ("counts", show::to_json(&counts)?),
            ("changes", show::to_json(&changeset.changes)?),
        ]);
        return show::done();
    }
    let style = Style::stdout();
    print_tree(changeset, style);
    println!("{}", style.bold(&counts_in_words(&counts)));
    show::done()
}

/// Paths that the user named, relative to the workspace: from the working folder when it lies in
/// the workspace, else from the workspace's root.
pub(super) fn workspace_paths(
    paths: &[PathBuf],
    sandbox: &Sandbox,
) -> Result<Vec<RelPath>, Failure> {
    let base = sandbox.mount_point();
    let here = crate::places::working_folder()?;
    paths_from(if here.starts_with(base) { &here } else { base }, paths, base)
}

/// Paths from `start` on, relative to the workspace that is seen at `base`.
pub(crate) fn paths_from(
    start: &Path,
    paths: &[PathBuf],
    base: &Path,
) -> Result<Vec<RelPath>, Failure> {
    paths
        .iter()
        .map(|path| {
            let full = start.join(path);
            let inside = full.strip_prefix(base).map_err(|_| {
                let message = format!("{} does not lie in {}", full.display(), base.display());
                Failure::new(OWN_FAILURE, "path", message)
            })?;
            RelPath::parse(inside).map_err(|error| Failure::caused(OWN_FAILURE, "path", &error))
        })
        .collect()
}
