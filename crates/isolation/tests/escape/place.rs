//! The stage of one test: a workspace, and a piece of host around it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::attack::Failure;
use crate::python;
use crate::trial::Trial;

/// What the private key of a [`Place`] holds.
pub(crate) const KEY: &str = "a private key";

/// Directories of one test on the host.
///
/// `workspace` is the live directory of the sandbox, `outside` a directory of the same user that
/// is not the sandbox's business (with `file`, which holds `host`), `key` a hidden file, `store`
/// the hidden directory in which the sandbox's changes are kept.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) directory: PathBuf,
    pub(crate) workspace: PathBuf,
    pub(crate) outside: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) store: PathBuf,
    /// A word that stands in the command line of processes that a test looks for.
    pub(crate) marker: String,
    runs: AtomicU32,
}

impl Place {
    pub(crate) fn make(directory: PathBuf, name: &str) -> std::io::Result<Self> {
        let place = Self {
            workspace: directory.join("workspace"),
            outside: directory.join("outside"),
            key: directory.join("home/.ssh/id_ed25519"),
            store: directory.join("store"),
            marker: format!("ctrlz-escape-{}-{name}", std::process::id()),
            directory,
            runs: AtomicU32::new(0),
        };
        for directory in [&place.workspace, &place.outside, &place.store] {
            fs::create_dir_all(directory)?;
        }
        fs::create_dir_all(place.directory.join("home/.ssh"))?;
        fs::write(&place.key, KEY)?;
        fs::write(place.outside.join("file"), "host")?;
        fs::write(place.workspace.join("file"), "base")?;
        Ok(place)
    }

    /// A run of the attack `script`: Python, after the lines of [`python::PRELUDE`], with
    /// `WORKSPACE`, `OUTSIDE`, `KEY`, `STORE`, `MARKER` and `SECONDS` as variables.
    pub(crate) fn python(&self, script: &str) -> Trial<'_> {
        self.command(python::command(self, script))
    }

    /// As [`Self::python`], for an attack that goes on for `SECONDS` and must be stopped before:
    /// on a busy machine, too, these are more than enough for it.
    pub(crate) fn python_for_long(&self, script: &str) -> Trial<'_> {
        self.python(&format!("SECONDS = 120\n{script}"))
    }

    pub(crate) fn command(&self, argv: Vec<String>) -> Trial<'_> {
        Trial::new(self, self.runs.fetch_add(1, Ordering::Relaxed), argv)
    }

    /// All of the host's part that no attack may change.
    pub(crate) fn look(&self) -> Look {
        let mut look = BTreeMap::new();
        for directory in [&self.workspace, &self.outside, &self.directory.join("home")] {
            record(directory, &mut look);
        }
        Look(look)
    }
}

/// Paths with mode, owner and content.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Look(BTreeMap<PathBuf, (u32, u32, Vec<u8>)>);

impl Look {
    /// Fails when the host looks different now.
    pub(crate) fn check(&self, now: &Self) -> Result<(), Failure> {
        if self == now {
            return Ok(());
        }
        let changed: Vec<_> = (self.0.iter().filter(|(path, old)| now.0.get(*path) != Some(old)))
            .chain(now.0.iter().filter(|(path, _)| !self.0.contains_key(*path)))
            .map(|(path, _)| path.display().to_string())
            .collect();
        Err(Failure::Failed(format!("HOLE: the host was changed: {}", changed.join(", "))))
    }
}

fn record(path: &Path, look: &mut BTreeMap<PathBuf, (u32, u32, Vec<u8>)>) {
    let Ok(metadata) = fs::symlink_metadata(path) else { return };
    let content = if metadata.is_file() {
        fs::read(path).unwrap_or_default()
    } else if metadata.is_symlink() {
        fs::read_link(path).map(|l| l.into_os_string().into_encoded_bytes()).unwrap_or_default()
    } else {
        Vec::new()
    };
    look.insert(path.to_owned(), (metadata.mode(), metadata.uid(), content));
    if metadata.is_dir() {
        for entry in fs::read_dir(path).into_iter().flatten().flatten() {
            record(&entry.path(), look);
        }
    }
}
