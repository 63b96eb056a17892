//! Rules about the text of source files.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Violation, code};
use crate::failure::{Answer, Failure};

/// The longest file, in lines.
const MOST_LINES: usize = 600;

/// Crates that touch no file, clock, environment, process, network or runtime.
const PURE: [&str; 3] = ["core", "policy", "yaml"];

/// What those may not name. `std::path` and `std::time::Duration` are only values.
const IMPURE: [&str; 8] = [
    "std::fs",
    "std::env",
    "std::net",
    "std::process",
    "std::thread",
    "std::time::SystemTime",
    "std::time::Instant",
    "tokio",
];

/// The crate that may contain unsafe code.
const UNSAFE: &str = "sys";

/// A source file.
pub(super) struct Source {
    /// Relative to the project's folder.
    path: PathBuf,
    /// The folder's name below `crates`, `xtask` for the tasks.
    package: String,
    text: String,
}

/// All Rust files of the project.
pub(super) fn read(root: &Path) -> Answer<Vec<Source>> {
    let mut files = Vec::new();
    for top in ["crates", "xtask"] {
        collect(root, &root.join(top), &mut files)?;
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

fn collect(root: &Path, folder: &Path, files: &mut Vec<Source>) -> Answer {
    for entry in fs::read_dir(folder).map_err(Failure::io("list", folder))? {
        let path = entry.map_err(Failure::io("list", folder))?.path();
        if path.is_dir() {
            if path.file_name().is_none_or(|name| name != "target") {
                collect(root, &path, files)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).map_err(Failure::io("read", &path))?;
            let path = path.strip_prefix(root).unwrap_or(&path).to_owned();
            files.push(Source { package: package(&path), path, text });
        }
    }
    Ok(())
}

fn package(path: &Path) -> String {
    let mut parts = path.iter();
    let first = parts.next().unwrap_or_default();
    let name = if first == "crates" { parts.next().unwrap_or_default() } else { first };
    name.to_string_lossy().into_owned()
}

/// Where `source` breaks a rule.
pub(super) fn check(source: &Source) -> Vec<Violation> {
    let code = code::only(&source.text);
    let mut found = Vec::new();
    let mut report = |line, what: String| {
        found.push(Violation { file: source.path.clone(), line, what });
    };
    let lines = source.text.lines().count();
    if lines > MOST_LINES {
        report(0, format!("{lines} lines; a file tells one thing in at most {MOST_LINES}"));
    }
    if PURE.contains(&source.package.as_str()) && !is_beside(&source.path) {
        for (number, line) in code.lines().enumerate() {
            let line: String = line.split_whitespace().collect();
            for name in IMPURE.iter().filter(|name| names(&line, name)) {
                report(number + 1, format!("{} may not know {name}", source.package));
            }
        }
    }
    if source.package == UNSAFE {
        for number in undocumented(&source.text, &code) {
            report(number, "an unsafe block without a SAFETY comment above it".to_owned());
        }
    } else {
        for (number, line) in code.lines().enumerate() {
            if words(line).any(|word| word == "unsafe") {
                report(number + 1, "unsafe code outside crates/sys".to_owned());
            }
        }
        if is_crate_root(&source.path) && !code.contains("#![forbid(unsafe_code)]") {
            report(0, "the crate's root does not forbid unsafe_code".to_owned());
        }
    }
    found
}

/// Whether a file is no part of the crate itself: its build script, or a module of tests, which
/// may read examples and measure.
fn is_beside(path: &Path) -> bool {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let in_tests = path.iter().any(|part| part == "tests" || part == "benches");
    in_tests || path.ends_with("build.rs") || stem == "tests" || stem.ends_with("_tests")
}

/// Whether `line`, without blanks, names the path `name`, also in a braced list of imports.
fn names(line: &str, name: &str) -> bool {
    if words(line).collect::<Vec<_>>().windows(1).any(|w| w == [name]) {
        return true;
    }
    let Some((parent, last)) = name.rsplit_once("::") else { return false };
    let direct = line.match_indices(name).any(|(at, _)| {
        let after = line.get(at + name.len()..).and_then(|rest| rest.chars().next());
        !after.is_some_and(|c| c.is_alphanumeric() || c == '_')
    });
    let listed = line
        .split_once(&format!("{parent}::{{"))
        .is_some_and(|(_, list)| words(list).any(|word| word == last));
    direct || listed
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| !word.is_empty())
}

fn is_crate_root(path: &Path) -> bool {
    path.ends_with("src/lib.rs") || path.ends_with("src/main.rs")
}

/// The lines with an unsafe block or impl whose statement has no SAFETY comment above it.
fn undocumented(text: &str, code: &str) -> Vec<usize> {
    let text: Vec<&str> = text.lines().collect();
    let code: Vec<&str> = code.lines().collect();
    let is_unsafe = |line: &str| {
        let words: Vec<&str> = words(line).collect();
        let declares = words.windows(2).any(|w| matches!(w, ["unsafe", "fn" | "extern"]));
        words.contains(&"unsafe") && !declares
    };
    let mut found = Vec::new();
    for (number, _) in code.iter().enumerate().filter(|(_, line)| is_unsafe(line)) {
        let above = (0..number).rev().map_while(|above| {
            let line = code.get(above)?.trim_end();
            // The statement before, or the block around, ends the search.
            (!line.ends_with([';', '{', '}'])).then(|| text.get(above).copied())?
        });
        let here = text.get(number).copied();
        if !here.into_iter().chain(above).any(|line| line.contains("SAFETY:")) {
            found.push(number + 1);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn violations(path: &str, text: &str) -> Vec<String> {
        let path = PathBuf::from(path);
        let source = Source { package: package(&path), path, text: text.to_owned() };
        check(&source).into_iter().map(|violation| violation.to_string()).collect()
    }

    #[test]
    fn core_may_not_reach_the_host() {
        for text in [
            "use std::fs;",
            "use std::{path, env};",
            "let now = std::time::Instant::now();",
            "use std::time::{Duration, SystemTime};",
            "tokio::spawn(x);",
        ] {
            assert_eq!(violations("crates/core/src/a.rs", text).len(), 1, "{text}");
            assert!(violations("crates/store/src/a.rs", text).is_empty(), "{text}");
        }
        for path in [
            "crates/policy/build.rs",
            "crates/policy/src/a/tests/b.rs",
            "crates/policy/src/a_tests.rs",
        ] {
            assert!(violations(path, "use std::fs;").is_empty(), "{path}");
        }
        assert_eq!(violations("crates/policy/src/contests.rs", "use std::fs;").len(), 1);
        for text in ["use std::time::Duration;", "// std::fs", "use std::fsx;", "\"std::env\""] {
            assert!(violations("crates/core/src/a.rs", text).is_empty(), "{text}");
        }
    }

    #[test]
    fn unsafe_code_stands_in_sys_with_a_reason() {
        let text = "fn f() {\n    unsafe { g() }\n}";
        assert_eq!(
            violations("crates/store/src/a.rs", text),
            ["crates/store/src/a.rs:2: unsafe code outside crates/sys"]
        );
        assert_eq!(violations("crates/sys/src/a.rs", text).len(), 1);
        let told = "fn f() {\n    // SAFETY: g has no conditions.\n    let a = h(\n        unsafe { g() });\n}";
        assert!(violations("crates/sys/src/a.rs", told).is_empty());
        let of_another = "// SAFETY: one\nlet a = unsafe { g() };\nlet b = unsafe { g() };";
        assert_eq!(violations("crates/sys/src/a.rs", of_another).len(), 1);
        assert!(violations("crates/store/src/a.rs", "#![forbid(unsafe_code)]").is_empty());
    }

    #[test]
    fn crate_roots_forbid_unsafe_code() {
        assert_eq!(violations("crates/store/src/lib.rs", "mod a;").len(), 1);
        assert!(violations("crates/store/src/lib.rs", "#![forbid(unsafe_code)]").is_empty());
        assert!(violations("crates/sys/src/lib.rs", "mod a;").is_empty());
    }

    #[test]
    fn files_stay_short() {
        let text = "\n".repeat(MOST_LINES + 1);
        assert_eq!(violations("crates/store/src/a.rs", &text).len(), 1);
        assert!(violations("crates/store/src/a.rs", &"\n".repeat(MOST_LINES)).is_empty());
    }
}
