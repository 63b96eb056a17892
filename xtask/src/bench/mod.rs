//! `cargo xtask bench`: what ctrlz costs, as ratios to what a user would pick instead and to what
//! the kernel alone needs.

mod engine;
mod machine;
mod measure;
mod memory;
mod peers;
mod scene;
mod start;
mod table;
mod trees;
mod work;

pub(crate) use measure::serve;

use std::fs;

use crate::failure::{Answer, Failure};
use crate::project;
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

const PARTS: [(&str, Part); 5] = [
    ("start", start::rows),
    ("trees", trees::rows),
    ("engine", engine::rows),
    ("memory", memory::rows),
    ("work", work::rows),
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
    let scene = Scene::build()?;
    let machine = machine::describe(scene.folder());
    println!("\n{machine}\n");
    let mut rows = Vec::new();
    for (name, part) in PARTS {
        if !names.is_empty() && !names.contains(&name) {
            continue;
        }
        eprintln!("measuring: {name}");
        match part(&scene, rounds) {
            Ok(part) => rows.extend(part),
            Err(failure) => rows.push(Row::skipped(name, "", &failure.to_string())),
        }
    }
    let table = table::markdown(&rows);
    println!("{table}");
    let missed = rows.iter().filter(|row| row.is_missed()).count();
    println!("{} rows, {missed} goals missed", rows.len());
    if write {
        let file = project::root().join("docs/benchmarks.md");
        let text = fs::read_to_string(&file).map_err(Failure::io("read", &file))?;
        let text = replace(&text, &format!("{machine}\n\n{table}"))?;
        fs::write(&file, text).map_err(Failure::io("write", &file))?;
    }
    Ok(())
}

const BEGIN: &str = "<!-- measured: begin -->\n";
const END: &str = "<!-- measured: end -->";

/// The page with new numbers between its marks.
fn replace(page: &str, measured: &str) -> Answer<String> {
    let parts = page.split_once(BEGIN).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(END)?;
        Some((before, after))
    });
    let (before, after) =
        parts.ok_or_else(|| Failure::told("docs/benchmarks.md has lost its `measured` marks"))?;
    Ok(format!("{before}{BEGIN}\n{measured}\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_between_the_marks() {
        let page = format!("a\n{BEGIN}old\n{END}\nb");
        let new = replace(&page, "new").unwrap();
        assert_eq!(new, format!("a\n{BEGIN}\nnew\n{END}\nb"));
        assert!(replace("a", "new").is_err());
    }
}
