//! `cargo xtask bench`: what ctrlz costs, as ratios to what a user would pick instead and to what
//! the kernel alone needs.

mod archive;
mod drivers;
mod engine;
mod machine;
mod measure;
mod memory;
mod peers;
mod scene;
mod service;
mod start;
mod table;
mod trees;
mod wasm;
mod work;
mod workspaces;

pub(crate) use measure::serve;

use std::fs;

use crate::failure::{Answer, Failure};
use crate::{filesystems, project};
use scene::Scene;
use table::Row;

/// How many rounds.
#[derive(Debug, Clone, Copy)]
struct Rounds {
    /// Of what takes a few milliseconds.
    short: usize,
    /// Of what takes up to a second.
    long: usize,
}

type Part = fn(&Scene, Rounds) -> Answer<Vec<Row>>;

const PARTS: [(&str, Part); 10] = [
    ("start", start::rows),
    ("trees", trees::rows),
    ("engine", engine::rows),
    ("memory", memory::rows),
    ("work", work::rows),
    ("wasm", wasm::rows),
    ("drivers", drivers::rows),
    ("workspaces", workspaces::rows),
    ("archive", archive::rows),
    ("service", service::rows),
];

/// The tables of the page: the name in a table's marks, and the parts that are in it.
const TABLES: [(&str, &[&str]); 5] = [
    ("measured", &["start", "trees", "engine", "memory", "work", "wasm"]),
    ("drivers", &["drivers"]),
    ("workspaces", &["workspaces"]),
    ("archives", &["archive"]),
    ("service", &["service"]),
];

/// Runs the named parts, all without a name; prints the table.
pub(crate) fn bench(arguments: &[String]) -> Answer {
    let mut write = false;
    let mut rounds = Rounds { short: 200, long: 21 };
    let mut names: Vec<&str> = Vec::new();
    for argument in arguments {
        match argument.as_str() {
            "--write" => write = true,
            "--quick" => rounds = Rounds { short: 20, long: 3 },
            name if PARTS.iter().any(|(part, _)| *part == name) => names.push(name),
            other => {
                let known = PARTS.map(|(name, _)| name).join(", ");
                return Err(Failure::told(format!("no part `{other}`; there are {known}")));
            }
        }
    }
    if names.is_empty() || names.contains(&"workspaces") {
        filesystems::enter_namespace()?;
    }
    let scene = Scene::build()?;
    let machine = machine::describe(scene.folder());
    println!("\n{machine}\n");
    for (mark, parts) in TABLES {
        let wanted =
            |name: &&str| parts.contains(name) && (names.is_empty() || names.contains(name));
        let mut rows = Vec::new();
        for (name, part) in PARTS.iter().filter(|(name, _)| wanted(name)) {
            eprintln!("measuring: {name}");
            match part(&scene, rounds) {
                Ok(part) => rows.extend(part),
                Err(failure) => rows.push(Row::skipped(name, "", &failure.to_string())),
            }
        }
        if rows.is_empty() {
            continue;
        }
        let table = table::markdown(&rows);
        println!("{table}");
        let missed = rows.iter().filter(|row| row.is_missed()).count();
        println!("{} rows, {missed} goals missed\n", rows.len());
        if write {
            let file = project::root().join("docs/benchmarks.md");
            let text = fs::read_to_string(&file).map_err(Failure::io("read", &file))?;
            let text = replace(&text, mark, &format!("{machine}\n\n{table}"))?;
            fs::write(&file, text).map_err(Failure::io("write", &file))?;
        }
    }
    Ok(())
}

/// The page with new numbers between the marks of that name.
fn replace(page: &str, mark: &str, measured: &str) -> Answer<String> {
    let (begin, end) = (format!("<!-- {mark}: begin -->\n"), format!("<!-- {mark}: end -->"));
    let parts = page.split_once(&begin).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(&end)?;
        Some((before, after))
    });
    let lost = || Failure::told(format!("docs/benchmarks.md has lost its `{mark}` marks"));
    let (before, after) = parts.ok_or_else(lost)?;
    Ok(format!("{before}{begin}\n{measured}\n{end}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_between_the_marks() {
        let block = |mark, text| format!("<!-- {mark}: begin -->\n{text}\n<!-- {mark}: end -->\n");
        let page = |b| format!("x\n{}y\n{}z", block("a", "old"), block("b", b));
        assert_eq!(replace(&page("old"), "b", "new").unwrap(), page("\nnew"));
        assert!(replace(&page("old"), "c", "new").is_err());
    }

    #[test]
    fn every_part_is_in_one_table() {
        for (name, _) in PARTS {
            let tables = TABLES.iter().filter(|(_, parts)| parts.contains(&name)).count();
            assert_eq!(tables, 1, "{name}");
        }
    }
}
