//! Snapshot, rollback and fork of a large tree against a small one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use serde_json::Value;

use super::Rounds;
use super::scene::Scene;
use super::table::Row;
use crate::failure::{Answer, Failure};
use crate::{program, project};

/// Bytes in each file: 10,000 of them are about 1 GB, 10 of them 1 MB.
const FILE: usize = 100 * 1024;

/// A sandbox on a tree, and what its operations took, in milliseconds.
struct Subject {
    name: &'static str,
    runs: Vec<f64>,
    snapshots: Vec<f64>,
    rollbacks: Vec<f64>,
    forks: Vec<f64>,
}

pub(super) fn rows(scene: &Scene, rounds: Rounds) -> Answer<Vec<Row>> {
    let stage = Stage { binary: scene.binary("ctrlz"), store: scene.make("tree-store")? };
    let mut subjects = Vec::new();
    for (name, files) in [("large", 10_000), ("small", 10)] {
        let base = scene.make(name)?;
        fill(&base, files, FILE)?;
        stage.ctrlz(&["new", name, "--base", &base.to_string_lossy()])?;
        subjects.push(Subject {
            name,
            runs: Vec::new(),
            snapshots: Vec::new(),
            rollbacks: Vec::new(),
            forks: Vec::new(),
        });
    }
    for round in 0..rounds.short / 4 {
        for subject in &mut subjects {
            stage.round(subject, round)?;
        }
    }
    let [large, small] = subjects.as_slice() else { return Ok(Vec::new()) };
    let row = |what: &str, ours: &[f64], peer: &[f64]| {
        let what = format!("`ctrlz {what}` on 1 GB in 10,000 files");
        Row::ratio(&what, "the same on 1 MB in 10 files", ours, peer, 1.2)
    };
    Ok(vec![
        row("exec", &large.runs, &small.runs),
        row("snapshot", &large.snapshots, &small.snapshots),
        row("rollback", &large.rollbacks, &small.rollbacks),
        row("fork", &large.forks, &small.forks),
    ])
}

struct Stage {
    binary: PathBuf,
    store: PathBuf,
}

impl Stage {
    fn ctrlz(&self, arguments: &[&str]) -> Answer<(f64, Value)> {
        let mut command = Command::new(&self.binary);
        command
            .arg("--json")
            .args(arguments)
            .env("CTRLZ_HOME", &self.store)
            .current_dir("/var/tmp");
        let started = Instant::now();
        let output = program::capture(&mut command)?;
        let milliseconds = started.elapsed().as_secs_f64() * 1e3;
        let answer = serde_json::from_slice(&output.stdout)
            .map_err(|source| Failure::Output { program: "ctrlz".to_owned(), source })?;
        Ok((milliseconds, answer))
    }

    /// Writes, takes a snapshot, writes, returns to the snapshot, forks.
    fn round(&self, subject: &mut Subject, round: usize) -> Answer {
        let name = subject.name;
        let write = format!("echo {round} > written");
        let exec = ["exec", name, "--", "sh", "-c", write.as_str()];
        subject.runs.push(self.ctrlz(&exec)?.0);
        let (time, answer) = self.ctrlz(&["snapshot", name])?;
        subject.snapshots.push(time);
        let id = project::text(&answer, "/snapshot/id");
        let id = id.ok_or_else(|| Failure::told("`ctrlz snapshot --json` names no snapshot"))?;
        self.ctrlz(&exec)?;
        subject.rollbacks.push(self.ctrlz(&["rollback", name, id])?.0);
        let copy = format!("{name}-{round}");
        subject.forks.push(self.ctrlz(&["fork", name, &copy])?.0);
        Ok(())
    }
}

/// Puts `files` files of `size` bytes into folders of a hundred.
pub(super) fn fill(folder: &Path, files: usize, size: usize) -> Answer {
    for number in 0..files {
        let below = folder.join(format!("folder-{:03}", number / 100));
        if number.is_multiple_of(100) {
            fs::create_dir_all(&below).map_err(Failure::io("make", &below))?;
        }
        let mut content = format!("file {number}\n").repeat(size / 8);
        content.truncate(size);
        let file = below.join(format!("file-{number:05}.txt"));
        fs::write(&file, content).map_err(Failure::io("write", &file))?;
    }
    Ok(())
}
