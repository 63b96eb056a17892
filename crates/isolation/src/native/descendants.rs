//! What the processes of a sandbox use, asked of /proc from outside.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;

use rustix::process::Pid;

/// `root` and all its descendants.
pub(super) fn of(root: Pid) -> Vec<i32> {
    let mut found = vec![root.as_raw_nonzero().get()];
    let mut next = 0;
    while let Some(pid) = found.get(next).copied() {
        next += 1;
        for task in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            found.extend(children.split(' ').filter_map(|n| n.parse::<i32>().ok()));
        }
    }
    found
}

/// Memory of the processes in bytes, without pages that come from files on a disk. It is only
/// counted exactly when the quick count, in which shared pages appear once for each process, is
/// above `most`.
pub(super) fn memory(processes: &[i32], most: u64) -> u64 {
    let files = nameless(processes);
    let in_memory: u64 = files.iter().filter(|file| file.in_memory).map(|file| file.bytes).sum();
    let sum = |amount: fn(i32) -> (u64, u64)| {
        let parts = processes.iter().map(|pid| amount(*pid));
        let (own, shared) =
            parts.fold((0, 0), |(own, shared), part| (own + part.0, shared + part.1));
        // What is written to a memory file may be mapped as well, and is not to count twice.
        own + in_memory.max(shared)
    };
    let quick = sum(quick);
    if quick <= most { quick } else { sum(|pid| exact(pid).unwrap_or_else(|| self::quick(pid))) }
}

/// Own and shared memory by proc_pid_status(5).
fn quick(pid: i32) -> (u64, u64) {
    amounts(&format!("/proc/{pid}/status"), ["RssAnon:", "RssShmem:"]).unwrap_or_default()
}

/// Own and shared memory by proc_pid_smaps(5): pages that several processes have are divided among
/// them. `None` when it may not be read.
fn exact(pid: i32) -> Option<(u64, u64)> {
    amounts(&format!("/proc/{pid}/smaps_rollup"), ["Pss_Anon:", "Pss_Shmem:"])
}

fn amounts(path: &str, names: [&str; 2]) -> Option<(u64, u64)> {
    let text = fs::read_to_string(path).ok()?;
    let [own, shared] = names.map(|name| {
        let amount = text.lines().find_map(|line| line.strip_prefix(name));
        let number = amount.and_then(|rest| rest.split_ascii_whitespace().next()?.parse().ok());
        number.unwrap_or(0_u64) * 1024
    });
    Some((own, shared))
}

/// Bytes of files on a disk that the processes hold open and that no directory names any more.
pub(super) fn deleted(processes: &[i32]) -> u64 {
    nameless(processes).iter().filter(|file| !file.in_memory).map(|file| file.bytes).sum()
}

struct Nameless {
    bytes: u64,
    in_memory: bool,
}

fn nameless(processes: &[i32]) -> Vec<Nameless> {
    let mut found = BTreeMap::new();
    for pid in processes {
        for entry in fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten() {
            let Ok(status) = fs::metadata(entry.path()) else { continue };
            if !status.is_file() || status.nlink() > 0 {
                continue;
            }
            let link = fs::read_link(entry.path()).unwrap_or_default();
            let in_memory = link.as_os_str().as_encoded_bytes().starts_with(b"/memfd:");
            let file = Nameless { bytes: status.blocks() * 512, in_memory };
            found.insert((status.dev(), status.ino()), file);
        }
    }
    found.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_this_process() {
        let me = rustix::process::getpid();
        let processes = of(me);
        assert_eq!(processes.first(), Some(&me.as_raw_nonzero().get()));
        assert!(memory(&processes, u64::MAX) > 0);
        assert!(memory(&processes, 0) > 0);
    }

    #[test]
    fn counts_files_without_a_name() {
        let mine = [rustix::process::getpid().as_raw_nonzero().get()];
        let before = deleted(&mine);
        let path = std::env::temp_dir().join(format!("ctrlz-deleted-{}", mine[0]));
        let file = fs::File::create(&path).expect("create");
        std::io::Write::write_all(&mut &file, &[1; 1 << 20]).expect("write");
        fs::remove_file(&path).expect("remove");
        file.sync_all().expect("sync");
        assert!(deleted(&mine) >= before + (1 << 20));
    }
}
