//! A command that takes its time: ctrlz's own processes give back what they do not need meanwhile,
//! and do their work at its end all the same.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::support::{Outcome, Scene};

/// Kilobytes of files resident now, and of everything at most since the process began.
fn resident(pid: u32) -> Option<(u64, u64)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let number = |key: &str| -> Option<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(key))?;
        line.trim().strip_suffix(" kB")?.parse().ok()
    };
    // A file in memory, such as one below /dev/shm, counts apart.
    Some((number("RssFile:")? + number("RssShmem:")?, number("VmHWM:")?))
}

fn child(pid: u32) -> Option<u32> {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}

#[test]
fn a_long_wait_takes_little_memory_and_ends_like_a_short_one() {
    let scene = Scene::with("mkdir folder; echo old >folder/file; echo old >file");
    // Renaming a folder of the base is answered by process 1, after the wait.
    let script = "echo ready; read -r line; mv folder moved; echo \"$line\" >file; exit 7";
    let mut command = scene.ctrlz(["run", "--", "sh", "-c", script]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut launcher = command.spawn().expect("start");
    let mut line = String::new();
    let mut out = BufReader::new(launcher.stdout.take().expect("a pipe"));
    out.read_line(&mut line).expect("read a line");
    assert_eq!(line, "ready\n");

    let process_1 = child(launcher.id()).expect("the launcher has a child");
    for (who, pid) in [("launcher", launcher.id()), ("process 1", process_1)] {
        let begun = Instant::now();
        while resident(pid).is_none_or(|(now, most)| now > most / 2) {
            let waited = begun.elapsed();
            assert!(waited < Duration::from_secs(60), "{who} keeps {:?} kB", resident(pid));
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    launcher.stdin.take().expect("a pipe").write_all(b"new\n").expect("write");
    let output = launcher.wait_with_output().expect("wait");
    Outcome::new(&command, output).code(7);
    assert_eq!(scene.inside("cat file moved/file; ls"), "new\nold\nfile\nmoved\n");
    assert_eq!(scene.read("file"), "old\n");
}
