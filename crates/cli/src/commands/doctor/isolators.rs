//! What `ctrlz doctor` tells of isolation drivers.

use ctrlz_core::isolation::{IsolationCapabilities, Network};
use ctrlz_core::limits::LimitKind;
use ctrlz_isolation::catalogue::{self, Here};
use serde::Serialize;

use super::cost::Cost;
use crate::show::{Style, plain};

/// An isolation driver on this host.
#[derive(Debug, Serialize)]
pub(super) struct Isolator {
    #[serde(flatten)]
    pub(super) here: Here,
    /// What a start and the exit of `true` cost, when that was asked for.
    pub(super) start_and_exit: Option<Cost>,
}

/// All of them.
pub(super) fn all() -> Vec<Isolator> {
    let drivers = catalogue::all().into_iter();
    drivers
        .map(|driver| Isolator { here: catalogue::look(&driver), start_and_exit: None })
        .collect()
}

/// A line each, and one more for what there is to say.
pub(super) fn print(isolators: &[Isolator], style: Style) {
    println!("what can isolate a command (--isolation)");
    let [driver, cells @ ..] = HEADINGS;
    println!("  {}", style.dim(&row(driver, &cells.map(str::to_owned))));
    for isolator in isolators {
        let here = &isolator.here;
        let description = &here.description;
        let mark = match here.lacks {
            None => style.green("✓"),
            Some(_) => style.dim("·"),
        };
        let cells = cells_of(&description.capabilities);
        println!("{mark} {}", row(&description.driver.to_string(), &cells));
        let mut notes = Vec::new();
        match &here.lacks {
            Some(lacks) if description.needs.is_empty() => notes.push(lacks.clone()),
            Some(lacks) => notes.push(format!("{lacks}; it needs {}", description.needs)),
            None => notes.extend(here.found.clone()),
        }
        if here.lacks.is_none() && !description.without.is_empty() {
            notes.push(format!("without {}", description.without.join(", ")));
        }
        if let Some(cost) = &isolator.start_and_exit {
            notes.push(format!("start and exit: {cost}"));
        }
        for note in notes {
            println!("    {}", style.dim(&plain(&note)));
        }
    }
}

/// The columns.
pub(super) const HEADINGS: [&str; 6] =
    ["driver", "without root", "memory", "pause", "networks", "limits"];

/// What a driver can do, a word for each column behind its name.
pub(super) fn cells_of(capabilities: &IsolationCapabilities) -> [String; 5] {
    let yes = |is: bool| if is { "yes" } else { "no" }.to_owned();
    let networks = capabilities.networks.iter().map(|network| match network {
        Network::None => "none",
        Network::Host => "host",
    });
    let missing = LimitKind::ALL.into_iter().filter(|kind| !capabilities.limits.contains(kind));
    let missing: Vec<String> = missing.map(|kind| kind.to_string()).collect();
    let limits = match missing.is_empty() {
        true => "all".to_owned(),
        false => format!("all but {}", missing.join(", ")),
    };
    [
        yes(capabilities.rootless),
        yes(capabilities.memory_snapshot),
        yes(capabilities.pause),
        networks.collect::<Vec<_>>().join(", "),
        limits,
    ]
}

fn row(driver: &str, [rootless, memory, pause, networks, limits]: &[String; 5]) -> String {
    format!("{driver:<17} {rootless:<13} {memory:<7} {pause:<6} {networks:<11} {limits}")
}
