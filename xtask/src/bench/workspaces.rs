//! Snapshot, rollback and fork on each workspace driver, of a tree of 1 GB beside one of 10 MB, and the
//! first write into a file of 100 MB after a snapshot. As root, each on its own kind of file system.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use serde_json::Value;

use super::Rounds;
use super::scene::Scene;
use super::table::Row;
use super::trees::fill;
use crate::failure::{Answer, Failure};
use crate::{filesystems, program, project};

/// Bytes in each file of a tree.
const FILE: usize = 100 * 1024;

/// A tree's name, and how many files it has.
const TREES: [(&str, usize); 2] = [("1 GB", 10_000), ("10 MB", 100)];

/// How large the file is that is written to.
const LARGE: usize = 100 << 20;

pub(super) fn rows(scene: &Scene, rounds: Rounds) -> Answer<Vec<Row>> {
    let here = scene.make("workspaces")?;
    let on = |name: &str| filesystems::mounted(scene.folder(), name);
    let places = [
        ("overlay", Ok(here.clone())),
        ("btrfs", on("btrfs")),
        ("reflink", on("xfs")),
        ("copy", Ok(here)),
    ];
    let mut rows = Vec::new();
    for (driver, place) in places {
        let measured = place.and_then(|place| of_driver(scene, driver, &place, rounds.long / 2));
        match measured {
            Ok(more) => rows.extend(more),
            Err(failure) => rows.push(Row::skipped(driver, "", &failure.to_string())),
        }
    }
    Ok(rows)
}

fn of_driver(scene: &Scene, driver: &str, place: &Path, rounds: usize) -> Answer<Vec<Row>> {
    let folder = place.join(format!("bench-{driver}"));
    fs::create_dir(&folder).map_err(Failure::io("make", &folder))?;
    let stage = Stage { binary: scene.binary("ctrlz"), driver, folder };
    let mut trees = Vec::new();
    for (name, files) in TREES {
        let base = stage.make(name)?;
        fill(&base, files, FILE)?;
        trees.push(Tree { name: stage.sandbox(name, &base)?, took: [const { Vec::new() }; 3] });
    }
    let large = stage.make("large")?;
    let file = large.join("file");
    fs::write(&file, vec![b'x'; LARGE]).map_err(Failure::io("write", &file))?;
    let large = stage.sandbox("large", &large)?;
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for round in 0..rounds.max(3) {
        for tree in &mut trees {
            stage.round(tree, round)?;
        }
        let write = ["exec", &large, "--no-snapshot", "--", "dd", "if=/dev/zero", "of=file"];
        let write = [&write[..], &["bs=1", "count=1", "conv=notrunc", "status=none"]].concat();
        stage.ctrlz(&["snapshot", &large])?;
        first.push(stage.ctrlz(&write)?.0);
        second.push(stage.ctrlz(&write)?.0);
    }
    fs::remove_dir_all(&stage.folder).map_err(Failure::io("remove", &stage.folder))?;
    let [great, small] = trees.as_slice() else { return Ok(Vec::new()) };
    let mut rows = Vec::new();
    for (index, what) in ["snapshot", "rollback", "fork"].into_iter().enumerate() {
        let of = |tree: &Tree| tree.took.get(index).cloned().unwrap_or_default();
        let what = format!("`{driver}`: `ctrlz {what}` of 1 GB in 10,000 files");
        rows.push(Row::told(&what, "of 10 MB in 100 files", &of(great), &of(small)));
    }
    let what = format!("`{driver}`: the first byte into a file of 100 MB after a snapshot, `exec`");
    rows.push(Row::told(&what, "the second", &first, &second));
    Ok(rows)
}

/// A sandbox on a tree, and what its operations took, in milliseconds.
struct Tree {
    name: String,
    took: [Vec<f64>; 3],
}

struct Stage<'a> {
    binary: PathBuf,
    driver: &'a str,
    /// On the file system of the driver; the store lies there, too.
    folder: PathBuf,
}

impl Stage<'_> {
    fn make(&self, name: &str) -> Answer<PathBuf> {
        let folder = self.folder.join(name.replace(' ', "-"));
        fs::create_dir(&folder).map_err(Failure::io("make", &folder))?;
        Ok(folder)
    }

    fn sandbox(&self, name: &str, base: &Path) -> Answer<String> {
        let name = name.replace(' ', "-").to_lowercase();
        let base = base.to_string_lossy();
        self.ctrlz(&["new", &name, "--base", &base, "--workspace", self.driver])?;
        Ok(name)
    }

    fn ctrlz(&self, arguments: &[&str]) -> Answer<(f64, Value)> {
        let mut command = Command::new(&self.binary);
        command.arg("--json").args(arguments).current_dir(&self.folder);
        command.env("CTRLZ_HOME", self.folder.join("store"));
        let started = Instant::now();
        let output = program::capture(&mut command)?;
        let milliseconds = started.elapsed().as_secs_f64() * 1e3;
        let answer = serde_json::from_slice(&output.stdout)
            .map_err(|source| Failure::Output { program: "ctrlz".to_owned(), source })?;
        Ok((milliseconds, answer))
    }

    /// Writes, takes a snapshot, writes, returns to the snapshot, forks, and removes the fork.
    fn round(&self, tree: &mut Tree, round: usize) -> Answer {
        let name = tree.name.as_str();
        let write = format!("echo {round} > written");
        let exec = ["exec", name, "--no-snapshot", "--", "sh", "-c", write.as_str()];
        self.ctrlz(&exec)?;
        let (snapshot, answer) = self.ctrlz(&["snapshot", name])?;
        let id = project::text(&answer, "/snapshot/id");
        let id = id.ok_or_else(|| Failure::told("`ctrlz snapshot --json` names no snapshot"))?;
        self.ctrlz(&exec)?;
        let rollback = self.ctrlz(&["rollback", name, id])?.0;
        let copy = format!("{name}-{round}");
        let fork = self.ctrlz(&["fork", name, &copy])?.0;
        self.ctrlz(&["rm", "--force", &copy])?;
        for (times, time) in tree.took.iter_mut().zip([snapshot, rollback, fork]) {
            times.push(time);
        }
        Ok(())
    }
}
