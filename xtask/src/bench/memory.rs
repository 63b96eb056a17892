//! The memory of a one-shot command that waits: ctrlz's own two processes, without the command.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::Rounds;
use super::scene::Scene;
use super::table::Row;
use crate::failure::{Answer, Failure};

/// The goal for both processes together, in MiB.
const GOAL: f64 = 6.0;

pub(super) fn rows(scene: &Scene, _: Rounds) -> Answer<Vec<Row>> {
    let folder = scene.make("memory")?;
    let mut command = Command::new(scene.binary("ctrlz"));
    command.args(["run", "--", "sleep", "600"]).current_dir(folder);
    command.env("CTRLZ_HOME", scene.make("memory-store")?);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut launcher =
        command.spawn().map_err(|source| Failure::Start { program: "ctrlz".to_owned(), source })?;
    let measured = measure(launcher.id());
    let pid = rustix::process::Pid::from_child(&launcher);
    let ended = rustix::process::kill_process(pid, rustix::process::Signal::TERM)
        .map_err(std::io::Error::from)
        .and_then(|()| launcher.wait());
    ended.map_err(Failure::io("end", Path::new("ctrlz run -- sleep")))?;
    let (resident, proportional) = measured?;
    let what = "memory of a waiting `ctrlz run -- sleep`: launcher and process 1";
    Ok(vec![
        Row::absolute(&format!("{what}, resident (Rss)"), resident, "MiB", GOAL),
        Row::absolute(&format!("{what}, shared pages divided (Pss)"), proportional, "MiB", GOAL),
    ])
}

/// Rss and Pss of the launcher and its child together, in MiB, once `sleep` runs.
fn measure(launcher: u32) -> Answer<(f64, f64)> {
    let started = Instant::now();
    let process_1 = loop {
        let found = children(launcher)
            .into_iter()
            .find(|process_1| children(*process_1).into_iter().any(|pid| name(pid) == "sleep"));
        match found {
            Some(process_1) => break process_1,
            None if started.elapsed() > Duration::from_secs(10) => {
                return Err(Failure::told("`ctrlz run -- sleep` started no `sleep`"));
            }
            None => thread::sleep(Duration::from_millis(20)),
        }
    };
    // What the launcher needs to begin may be given back a moment later.
    thread::sleep(Duration::from_millis(300));
    let mut total = (0.0, 0.0);
    for pid in [launcher, process_1] {
        let file = format!("/proc/{pid}/smaps_rollup");
        let text = fs::read_to_string(&file).map_err(Failure::io("read", Path::new(&file)))?;
        total.0 += kibibytes(&text, "Rss:") / 1024.0;
        total.1 += kibibytes(&text, "Pss:") / 1024.0;
    }
    Ok(total)
}

fn children(pid: u32) -> Vec<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

fn name(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned()
}

pub(super) fn kibibytes(text: &str, key: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse().ok()).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::kibibytes;

    #[test]
    fn reads_a_rollup() {
        let text = "5581 [rollup]\nRss:                1780 kB\nPss:                 903 kB\n";
        assert_eq!((kibibytes(text, "Rss:"), kibibytes(text, "Pss:")), (1780.0, 903.0));
    }
}
