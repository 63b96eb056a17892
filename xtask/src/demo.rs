//! `cargo xtask demo`: a script that ruins a real project, and the way back.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::failure::{Answer, Failure};
use crate::tree::{Tree, copy_sources};
use crate::{program, project};

/// Deletes every second file and overwrites some of the others.
const DAMAGE: &str = r#"#!/bin/sh
# A clean-up script with a bug.
find . -type f ! -name cleanup.sh | sort | awk 'NR % 2' | while read -r file; do rm "$file"; done
find . -type f -name '*.md' | while read -r file; do echo oops > "$file"; done
echo "cleaned up: $(find . -type f | wc -l) files are left"
"#;

/// The longest part of one command's output that is shown, in lines.
const SHOWN: usize = 14;

/// Shows it, and fails when the project is not what it was.
pub(crate) fn demo() -> Answer {
    let binary = project::build_release()?;
    let scene = tempfile::Builder::new()
        .prefix("ctrlz-demo-")
        .tempdir()
        .map_err(Failure::io("make a folder in", &std::env::temp_dir()))?;
    let folder = scene.path().join("project");
    copy_sources(&project::root(), &folder)?;
    let script = folder.join("cleanup.sh");
    fs::write(&script, DAMAGE).map_err(Failure::io("write", &script))?;
    let stage = Stage { binary: &binary, folder: &folder, store: &scene.path().join("store") };

    let before = Tree::read(&folder)?;
    let (files, bytes) = before.size();
    println!(
        "\nA copy of this project: {files} files, {} KiB, in {}",
        bytes / 1024,
        folder.display()
    );

    println!("\n1. A script goes wrong, as a transaction.");
    stage.show(&["run", "--summary", "always", "--", "sh", "cleanup.sh"])?;
    same(&before, &folder, "the real folder has not changed")?;

    println!("\n2. What did it do?");
    stage.show(&["diff"])?;

    println!("\n3. It is committed all the same: now the real folder is ruined.");
    stage.show(&["commit"])?;
    let (left, _) = Tree::read(&folder)?.size();
    if left >= files {
        return Err(Failure::told("the script deleted nothing: the demonstration shows nothing"));
    }
    println!("   {left} of {files} files are left");

    println!("\n4. And back.");
    stage.show(&["undo"])?;
    same(&before, &folder, "the bytes, mode, owner and time of every file are as they were")
}

struct Stage<'a> {
    binary: &'a Path,
    folder: &'a Path,
    store: &'a Path,
}

impl Stage<'_> {
    /// Runs ctrlz and prints what a user would see, shortened.
    fn show(&self, arguments: &[&str]) -> Answer {
        println!("   $ ctrlz {}", arguments.join(" "));
        let mut command = Command::new(self.binary);
        command.args(arguments).current_dir(self.folder).env("CTRLZ_HOME", self.store);
        let output = program::capture(&mut command)?;
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        let hidden = lines.len().saturating_sub(SHOWN);
        let (first, rest) = lines.split_at(lines.len().min(SHOWN - 1));
        for line in first {
            println!("   {line}");
        }
        if hidden > 0 {
            println!("   … {hidden} more lines");
        }
        if let Some(last) = rest.last() {
            println!("   {last}");
        }
        Ok(())
    }
}

fn same(before: &Tree, folder: &Path, claim: &str) -> Answer {
    let now = Tree::read(folder)?;
    if now == *before {
        println!("   ✓ {claim}");
        return Ok(());
    }
    let list: Vec<String> =
        before.differences(&now).iter().map(|path| path.display().to_string()).collect();
    Err(Failure::told(format!("it is not so that {claim}: {}", list.join(", "))))
}
