//! What `ctrlz doctor` tells of workspace drivers.

use ctrlz_core::workspace::WorkspaceCapabilities;
use serde::Serialize;

use crate::context::Context;
use crate::failure::Failure;
use crate::show::{Style, plain};

/// A workspace driver and what it can do here.
#[derive(Debug, Serialize)]
pub(super) struct Keeper {
    driver: &'static str,
    capabilities: WorkspaceCapabilities,
    /// Why it cannot be used with this store, and what to do about that.
    lacks: Option<String>,
    /// Whether a new sandbox gets it when nobody chooses, on a folder that it takes.
    first: bool,
}

/// All of them, those that are tried first before the others.
pub(super) fn all(context: &Context) -> Result<Vec<Keeper>, Failure> {
    let mut keepers = Vec::new();
    for driver in context.workspaces() {
        let complete = context.complete_trees().into_iter().find(|one| one.is(driver.name()));
        let lacks = match complete {
            Some(complete) => complete.lacks()?,
            None => lacks_overlay(),
        };
        let first = lacks.is_none() && !keepers.iter().any(|one: &Keeper| one.first);
        let (driver, capabilities) = (driver.name(), driver.capabilities());
        keepers.push(Keeper { driver, capabilities, lacks, first });
    }
    Ok(keepers)
}

/// One line each.
pub(super) fn print(keepers: &[Keeper], style: Style) {
    println!("what can keep the trees of sandboxes (--workspace)");
    for keeper in keepers {
        let mark = match keeper.lacks {
            None => style.green("✓"),
            Some(_) => style.dim("·"),
        };
        let cost = match keeper.capabilities.constant_time {
            true => "snapshot, rollback and fork cost the same for any tree",
            false => "what it costs follows the size of the tree",
        };
        let first = if keeper.first { "; new sandboxes get it" } else { "" };
        let told = keeper.lacks.clone().unwrap_or_else(|| format!("{cost}{first}"));
        println!("{mark} {:<32} {}", keeper.driver, style.dim(&plain(&told)));
    }
}

fn lacks_overlay() -> Option<String> {
    let known = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
    // A kernel that does not tell is asked by the first command.
    let has = known.is_empty() || known.lines().any(|line| line.ends_with("\toverlay"));
    (!has).then(|| "the kernel has no overlayfs loaded: try `modprobe overlay`".to_owned())
}
