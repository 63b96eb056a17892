//! What `ctrlz doctor` tells of workspace drivers.

use ctrlz_core::workspace::WorkspaceCapabilities;
use serde::Serialize;

use super::cost::KeepingCost;
use crate::context::Context;
use crate::failure::Failure;
use crate::show::{Style, plain};

/// A workspace driver and what it can do here.
#[derive(Debug, Serialize)]
pub(super) struct Keeper {
    pub(super) driver: &'static str,
    capabilities: WorkspaceCapabilities,
    /// Why it cannot be used with this store, and what to do about that.
    pub(super) lacks: Option<String>,
    /// Whether a new sandbox gets it when nobody chooses, on a folder that it takes.
    first: bool,
    /// What it costs, when that was asked for.
    pub(super) cost: Option<KeepingCost>,
    /// Why that could not be measured.
    pub(super) cost_unknown: Option<String>,
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
        keepers.push(Keeper { driver, capabilities, lacks, first, cost: None, cost_unknown: None });
    }
    Ok(keepers)
}

/// The columns.
pub(super) const HEADINGS: [&str; 5] = ["driver", "cost", "layers", "live snapshot", "loses"];

/// What a driver can do, some words for each column behind its name.
pub(super) fn cells_of(capabilities: &WorkspaceCapabilities) -> [String; 4] {
    let time = match capabilities.constant_time {
        true => "the same for any tree",
        false => "by the size of the tree",
    };
    let layers = match capabilities.max_layers {
        Some(most) if capabilities.layered => format!("{most} at most"),
        _ if capabilities.layered => "any number".to_owned(),
        _ => "complete trees".to_owned(),
    };
    let loses = match capabilities.loses.is_empty() {
        true => "nothing".to_owned(),
        false => capabilities.loses.join("; "),
    };
    [time.to_owned(), layers, capabilities.live.word().to_owned(), loses]
}

/// A line each, and more for what there is to say.
pub(super) fn print(keepers: &[Keeper], style: Style) {
    println!("what can keep the trees of sandboxes (--workspace)");
    let [driver, cells @ ..] = HEADINGS;
    println!("  {}", style.dim(&row(driver, &cells.map(str::to_owned))));
    for keeper in keepers {
        let mark = match keeper.lacks {
            None => style.green("✓"),
            Some(_) => style.dim("·"),
        };
        println!("{mark} {}", row(keeper.driver, &cells_of(&keeper.capabilities)));
        let mut notes: Vec<String> = keeper.lacks.iter().cloned().collect();
        if keeper.first {
            notes.push("new sandboxes get it".to_owned());
        }
        notes.extend(keeper.cost.as_ref().map(ToString::to_string));
        notes.extend(keeper.cost_unknown.as_ref().map(|why| format!("not measured: {why}")));
        for note in notes {
            println!("    {}", style.dim(&plain(&note)));
        }
    }
}

fn row(driver: &str, [time, layers, live, loses]: &[String; 4]) -> String {
    format!("{driver:<17} {time:<21} {layers:<15} {live:<14} {loses}")
}

fn lacks_overlay() -> Option<String> {
    let known = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
    // A kernel that does not tell is asked by the first command.
    let has = known.is_empty() || known.lines().any(|line| line.ends_with("\toverlay"));
    (!has).then(|| "the kernel has no overlayfs loaded: try `modprobe overlay`".to_owned())
}
