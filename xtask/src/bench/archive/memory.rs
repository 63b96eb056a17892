//! The most memory that archiving and bringing back ever take.

use std::fs;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use super::super::table::Row;
use super::tools::Tool;
use crate::failure::{Answer, Failure};

/// The goal, in MiB, whatever the size of the tree.
const GOAL: f64 = 64.0;

/// The largest peaks of all trees, in MiB.
#[derive(Debug, Default)]
pub(super) struct Peaks {
    written: f64,
    brought_back: f64,
}

impl Peaks {
    /// Archives the tree and brings it back once more, and watches.
    pub(super) fn add(&mut self, tool: &Tool) -> Answer {
        let [write, bring_back] = tool.watched()?;
        self.written = self.written.max(peak(write)?);
        self.brought_back = self.brought_back.max(peak(bring_back)?);
        tool.clear()
    }

    pub(super) fn rows(&self) -> [Row; 2] {
        let row = |what: &str, peak| {
            let what = format!("{what}: the most memory (VmHWM), plain and encrypted, any tree");
            Row::absolute(&what, peak, "MiB", GOAL)
        };
        [row("`ctrlz push`", self.written), row("`ctrlz pull`", self.brought_back)]
    }
}

/// Runs the command and answers the most memory that it had resident, in MiB, as the kernel notes it
/// (`VmHWM`), read every half millisecond.
fn peak(mut command: Command) -> Answer<f64> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let shown = crate::program::words(&command);
    let not_started = |source| Failure::Start { program: "sh".to_owned(), source };
    let mut child = command.spawn().map_err(not_started)?;
    let file = format!("/proc/{}/status", child.id());
    let mut peak = 0.0_f64;
    loop {
        // Of a process that has ended it says nothing.
        let text = fs::read_to_string(&file).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kibibytes = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse().ok());
        peak = peak.max(kibibytes.unwrap_or(0.0_f64) / 1024.0);
        match child.try_wait().map_err(not_started)? {
            None => thread::sleep(Duration::from_micros(500)),
            Some(status) if status.success() => return Ok(peak),
            Some(status) => {
                let (status, output) = (status.to_string(), String::new());
                return Err(Failure::Ended { command: shown, status, output });
            }
        }
    }
}
