//! `cargo xtask corpus`: how well `ctrlz check` tells dangerous commands from harmless ones, on
//! files of labelled commands.

mod checker;
mod goal;
mod rows;
mod table;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::failure::{Answer, Failure};
use crate::project;
use checker::Checked;
use rows::Row;

/// How many misses are told of each file when nothing else is asked for.
const MISSES: usize = 10;

/// What the caller asked for.
#[derive(Debug, PartialEq, Eq)]
struct Wishes {
    /// Files, and folders of files, of labelled commands.
    sources: Vec<PathBuf>,
    /// How many misses are told of each file.
    misses: usize,
    /// A missed goal is a failure.
    strict: bool,
    /// A program to ask instead of `ctrlz check --jsonl` of this workspace.
    checker: Option<PathBuf>,
}

/// One file, measured.
struct Measured {
    /// The file's name without folder and ending.
    name: String,
    rows: Vec<Row>,
    /// What was answered, one for each row.
    answers: Vec<Checked>,
    took: Duration,
}

/// Measures every file, prints the table and the misses.
pub(crate) fn corpus(arguments: &[String]) -> Answer {
    let wishes = wishes(arguments)?;
    // Read before the build: a bad row is told at once.
    let mut files = Vec::new();
    for file in files_of(&wishes.sources)? {
        let rows = rows::read(&file)?;
        files.push((file, rows));
    }
    let checker = match &wishes.checker {
        Some(program) => checker::Checker::other(program),
        None => checker::Checker::ctrlz(&project::build_release()?),
    };
    let mut measured = Vec::new();
    for (file, rows) in files {
        let (answers, took) = checker.ask(&file, &rows)?;
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        measured.push(Measured { name, rows, answers, took });
    }
    let report = table::report(&measured, wishes.misses);
    print!("{}", report.text);
    if wishes.strict && report.missed > 0 {
        return Err(Failure::told(format!("{} goals were missed", report.missed)));
    }
    Ok(())
}

fn wishes(arguments: &[String]) -> Answer<Wishes> {
    let mut wishes = Wishes { sources: Vec::new(), misses: MISSES, strict: false, checker: None };
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--strict" => wishes.strict = true,
            "--all" => wishes.misses = usize::MAX,
            "--misses" => {
                let number = rest.next().and_then(|word| word.parse().ok());
                wishes.misses = number.ok_or_else(|| Failure::told("--misses takes a number"))?;
            }
            "--checker" => {
                let program = rest.next().map(PathBuf::from);
                wishes.checker =
                    Some(program.ok_or_else(|| Failure::told("--checker takes a program"))?);
            }
            other if other.starts_with('-') => {
                return Err(Failure::told(format!("corpus has no option `{other}`")));
            }
            path => wishes.sources.push(PathBuf::from(path)),
        }
    }
    if wishes.sources.is_empty() {
        return Err(Failure::told("corpus needs a folder of files of JSON lines"));
    }
    Ok(wishes)
}

/// The files among `sources`, and the `*.jsonl` in the folders among them, sorted by name.
fn files_of(sources: &[PathBuf]) -> Answer<Vec<PathBuf>> {
    let mut files = Vec::new();
    for source in sources {
        if source.is_dir() {
            let found = files_in(source)?;
            if found.is_empty() {
                let folder = source.display();
                return Err(Failure::told(format!("{folder} holds no file that ends in .jsonl")));
            }
            files.extend(found);
        } else {
            files.push(source.clone());
        }
    }
    Ok(files)
}

fn files_in(folder: &Path) -> Answer<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(Failure::io("list", folder))? {
        let path = entry.map_err(Failure::io("list", folder))?.path();
        if path.extension().is_some_and(|ending| ending == "jsonl") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(words: &[&str]) -> Answer<Wishes> {
        wishes(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn options_stand_before_or_behind_the_folder() {
        let wishes = asked(&["--misses", "3", "dir", "--strict"]).unwrap();
        assert_eq!(wishes.sources, [PathBuf::from("dir")]);
        assert_eq!((wishes.misses, wishes.strict), (3, true));
        assert_eq!(asked(&["dir", "--all"]).unwrap().misses, usize::MAX);
        assert_eq!(asked(&["dir"]).unwrap().misses, MISSES);
    }

    #[test]
    fn a_missing_folder_or_number_and_an_unknown_option_are_refused() {
        assert!(asked(&[]).is_err());
        assert!(asked(&["dir", "--misses"]).is_err());
        assert!(asked(&["dir", "--misses", "few"]).is_err());
        assert!(asked(&["dir", "--verbose"]).is_err());
    }

    #[test]
    fn only_files_of_json_lines_are_taken_in_the_order_of_their_names() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.jsonl", "a.jsonl", "notes.md"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let files = files_of(&[folder.path().to_owned()]).unwrap();
        let names: Vec<_> = files.iter().filter_map(|file| file.file_name()).collect();
        assert_eq!(names, ["a.jsonl", "b.jsonl"]);
    }

    #[test]
    fn a_folder_without_such_files_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        assert!(files_of(&[folder.path().to_owned()]).is_err());
    }

    /// What is kept in this repository can be measured, and is as broad as it has to be.
    #[test]
    fn the_corpora_of_the_policy_are_readable_and_broad() {
        let folder = project::root().join("crates/policy/corpora");
        let (mut benign, mut dangerous) = (0, 0);
        let mut families = std::collections::BTreeSet::new();
        for file in files_in(&folder).unwrap() {
            for row in rows::read(&file).unwrap() {
                match row.label {
                    rows::Label::Benign => benign += 1,
                    _ => dangerous += 1,
                }
                families.extend(row.family);
            }
        }
        assert!(benign >= 400, "{benign} benign rows");
        assert!(dangerous >= 400, "{dangerous} dangerous rows");
        assert!(families.len() >= 23, "{} families", families.len());
    }
}
