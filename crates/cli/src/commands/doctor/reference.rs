//! The tables of docs/drivers.md, from the data that `ctrlz doctor` shows. `CTRLZ_WRITE_DOCS=1 cargo test -p
//! ctrlz --bins reference` writes them.

use std::fmt::Write as _;
use std::path::Path;

use ctrlz_core::workspace::WorkspaceDriver;
use ctrlz_isolation::catalogue;
use ctrlz_workspace::{CopyDriver, Duplication, OverlayDriver};

use super::{isolators, keepers};

#[test]
fn the_page_of_drivers_tells_what_the_doctor_does() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/drivers.md");
    let text = std::fs::read_to_string(&page).expect("docs/drivers.md");
    let mut expected = text.clone();
    for (name, table) in [("isolation", isolation()), ("workspaces", workspaces())] {
        let (begin, end) =
            (format!("<!-- {name}: made by a test -->\n"), format!("<!-- /{name} -->\n"));
        let at = expected.find(&begin).expect("the mark before a table") + begin.len();
        let to = expected.find(&end).expect("the mark behind a table");
        expected.replace_range(at..to, &table);
    }
    if std::env::var_os("CTRLZ_WRITE_DOCS").is_some() {
        std::fs::write(&page, &expected).expect("write docs/drivers.md");
        return;
    }
    assert!(
        text == expected,
        "docs/drivers.md is stale; its tables should be made anew:\n{expected}"
    );
}

fn isolation() -> String {
    let mut table = String::new();
    let [driver, headings @ ..] = isolators::HEADINGS;
    row(&mut table, [driver, "what it is", "needs"].into_iter().chain(headings).chain(["without"]));
    row(&mut table, ["---"; 9].into_iter());
    for driver in catalogue::all() {
        let described = catalogue::describe(&driver);
        let name = match driver.takes_image() {
            true => format!("`{driver}:IMAGE`"),
            false => format!("`{driver}`"),
        };
        let cells = isolators::cells_of(&described.capabilities);
        let needs = if described.needs.is_empty() { "nothing" } else { described.needs };
        let without = described.without.join(", ");
        let first = [name.as_str(), described.what, needs].into_iter();
        let without = if without.is_empty() { "nothing" } else { &without };
        row(&mut table, first.chain(cells.iter().map(String::as_str)).chain([without]));
    }
    table
}

fn workspaces() -> String {
    let place = Path::new("/nowhere");
    let drivers: [&dyn WorkspaceDriver; 5] = [
        &OverlayDriver::new(place),
        &CopyDriver::by(Duplication::Btrfs, place),
        &CopyDriver::by(Duplication::Zfs, place),
        &CopyDriver::by(Duplication::Reflink, place),
        &CopyDriver::new(place),
    ];
    let mut table = String::new();
    row(&mut table, keepers::HEADINGS.into_iter());
    row(&mut table, ["---"; keepers::HEADINGS.len()].into_iter());
    for driver in drivers {
        let name = format!("`{}`", driver.name());
        let mut capabilities = driver.capabilities();
        // What depends on the host is told by its doctor: zfs-fuse loses what OpenZFS keeps.
        capabilities.loses.clear();
        let cells = keepers::cells_of(&capabilities);
        row(&mut table, [name.as_str()].into_iter().chain(cells.iter().map(String::as_str)));
    }
    table
}

fn row<'a>(table: &mut String, cells: impl Iterator<Item = &'a str>) {
    let cells: Vec<&str> = cells.collect();
    writeln!(table, "| {} |", cells.join(" | ")).expect("a string takes everything");
}
