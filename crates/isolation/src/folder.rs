//! The private folder of one launch through a daemon, with a note of what was asked for, for whoever tidies
//! up when this process was killed.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// The note.
const NOTE: &str = "container.json";

/// A folder, and names that no other launch has. Whoever makes it removes it.
#[derive(Debug)]
pub(crate) struct Folder {
    pub(crate) path: PathBuf,
    /// This process, by a name that no other one ever has.
    pub(crate) launcher: String,
    /// A name for the container.
    pub(crate) container: String,
}

impl Folder {
    /// Makes a folder whose name begins with `prefix`.
    pub(crate) fn make(prefix: &str) -> io::Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let launcher = this_process()?;
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = base().join(format!("{prefix}{launcher}-{count}"));
        DirBuilder::new().mode(0o700).create(&path)?;
        let container = format!("ctrlz-{launcher}-{count}");
        Ok(Self { path, launcher, container })
    }

    /// One that another process made.
    pub(crate) fn of(path: PathBuf, container: &str) -> Option<Self> {
        let launcher = container.strip_prefix("ctrlz-")?.rsplit_once('-')?.0.to_owned();
        Some(Self { path, launcher, container: container.to_owned() })
    }

    /// Reads the note.
    pub(crate) fn read_note<N: serde::de::DeserializeOwned>(path: &Path) -> Option<N> {
        serde_json::from_slice(&fs::read(path.join(NOTE)).ok()?).ok()
    }

    /// Writes the note.
    pub(crate) fn note(&self, note: &impl serde::Serialize) -> io::Result<()> {
        fs::write(self.path.join(NOTE), serde_json::to_vec(note)?)
    }
}

/// Where the folders are: on a file system of memory, where there is one.
fn base() -> PathBuf {
    let own = match rustix::process::geteuid().is_root() {
        true => Some(PathBuf::from("/run")),
        false => std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from),
    };
    own.filter(|path| path.is_dir()).unwrap_or_else(std::env::temp_dir)
}

/// The id of this process, the time when it began, and the namespace in which the id is its own.
fn this_process() -> io::Result<String> {
    let id = std::process::id();
    let begun = begun(id).ok_or_else(|| io::Error::other("this process is not in /proc"))?;
    Ok(format!("{id}-{begun}-{}", namespace()?))
}

fn namespace() -> io::Result<u64> {
    Ok(File::open("/proc/self/ns/pid")?.metadata()?.ino())
}

/// When a process began, in ticks since the machine did (proc_pid_stat(5)).
fn begun(id: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

/// The folders of this user with that prefix whose processes are gone, each with its note if it has one.
pub(crate) fn abandoned<N: serde::de::DeserializeOwned>(prefix: &str) -> Vec<(PathBuf, Option<N>)> {
    let Ok(own) = namespace() else { return Vec::new() };
    let user = rustix::process::geteuid().as_raw();
    let mut found = Vec::new();
    for entry in fs::read_dir(base()).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(rest) = name.to_str().and_then(|name| name.strip_prefix(prefix)) else { continue };
        let numbers: Option<Vec<u64>> = rest.split('-').map(|part| part.parse().ok()).collect();
        let Some([id, time, namespace, _]) = numbers.as_deref() else { continue };
        let is_alive = u32::try_from(*id).is_ok_and(|id| begun(id) == Some(*time));
        let is_mine = entry.metadata().is_ok_and(|status| status.is_dir() && status.uid() == user);
        if *namespace != own || is_alive || !is_mine {
            continue;
        }
        let path = entry.path();
        let note = Folder::read_note(&path);
        found.push((path, note));
    }
    found
}
