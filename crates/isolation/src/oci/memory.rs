//! The memory of a container, as gVisor keeps it.
//!
//! Beside what gVisor writes, the folder has the container's configuration, how the command was launched,
//! and which gVisor on which architecture wrote it: all of that has to be the same to go on from there.

use std::fs;
use std::io;
use std::path::Path;

use ctrlz_core::driver::Driver;
use ctrlz_core::isolation::{IsolationError, Launch};
use ctrlz_core::memory::Remembered;
use oci_spec::runtime::Spec;
use serde::{Deserialize, Serialize};

use super::{find, probe};
use crate::native::{self, Keeping};

/// The file with a [`Writer`].
const WRITER: &str = "writer.json";

/// The most bytes that are read of a file about the memory.
const MOST: u64 = 16 << 20;

/// What wrote the memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Writer {
    /// What it calls itself, with its version.
    version: String,
    /// As Rust names it.
    architecture: String,
}

impl Writer {
    fn of(driver: &Driver) -> Result<Self, IsolationError> {
        let Driver::Oci(runtime) = driver else {
            return Err(unfit(format!("{driver} keeps no memory")));
        };
        let version = probe::version_line(&find(runtime)?)
            .map_err(|source| unfit(format!("{driver} does not answer: {source}")))?;
        Ok(Self { version, architecture: std::env::consts::ARCH.to_owned() })
    }
}

/// See [`ctrlz_core::isolation::IsolationDriver::keep_memory`].
pub(crate) fn keep_memory(
    process_1: u32,
    directory: &Path,
    meanwhile: &mut dyn FnMut(),
) -> Result<(), IsolationError> {
    let failed =
        |source| IsolationError::Pause { action: "keep the memory of", pid: process_1, source };
    let mut noted = Ok(());
    let kept = native::keep(process_1, directory, &mut || {
        noted = note(directory);
        if noted.is_ok() {
            meanwhile();
        }
    });
    match kept.map_err(failed)? {
        Some(()) => noted,
        None => Err(IsolationError::Unenforceable {
            what: "a snapshot with memory".to_owned(),
            reason:
                "what isolates the command keeps no memory; gVisor does (--isolation oci:runsc)"
                    .to_owned(),
        }),
    }
}

/// Writes down who wrote the memory in `directory`.
fn note(directory: &Path) -> Result<(), IsolationError> {
    let remembered: Remembered = read(directory, Keeping::REMEMBERED).map_err(told)?;
    let writer = Writer::of(&remembered.driver)?;
    let bytes = serde_json::to_vec(&writer).map_err(|error| told(error.into()))?;
    fs::write(directory.join(WRITER), bytes).map_err(told)
}

/// See [`ctrlz_core::isolation::IsolationDriver::recall`].
pub(crate) fn recall(directory: &Path) -> Result<Remembered, IsolationError> {
    let remembered: Remembered = read(directory, Keeping::REMEMBERED).map_err(told)?;
    let then: Writer = read(directory, WRITER).map_err(told)?;
    let now = Writer::of(&remembered.driver)?;
    if then != now {
        return Err(unfit(format!(
            "it was written by {} on {}, and here is {} on {}",
            then.version, then.architecture, now.version, now.architecture
        )));
    }
    Ok(remembered)
}

/// Errs when the memory in `folder` is not that of a container with this configuration.
pub(super) fn fits(folder: &Path, config: &[u8]) -> io::Result<()> {
    let then = fs::read(folder.join(Keeping::CONFIG))?;
    // Some of its lists have no order.
    let whole = |bytes: &[u8]| serde_json::from_slice::<Spec>(bytes).ok();
    if then == config || whole(&then).is_some_and(|then| Some(then) == whole(config)) {
        return Ok(());
    }
    let parts = |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(bytes).ok();
    let differs = match (parts(&then), parts(config)) {
        (Some(then), Some(now)) => difference(&then, &now, String::new()),
        _ => "all of it".to_owned(),
    };
    Err(io::Error::other(format!(
        "the container is not the one whose memory was kept: {differs} is not the same (it depends on \
         limits, on the user, and on whether there is a terminal)"
    )))
}

/// The first place at which two values differ.
fn difference(one: &serde_json::Value, other: &serde_json::Value, at: String) -> String {
    let (Some(one), Some(other)) = (one.as_object(), other.as_object()) else { return at };
    let keys = one.keys().chain(other.keys());
    let differing = keys.into_iter().find(|key| one.get(*key) != other.get(*key));
    let null = serde_json::Value::Null;
    match differing {
        Some(key) => {
            let values = [one, other].map(|map| map.get(key).unwrap_or(&null));
            difference(values[0], values[1], format!("{at}/{key}"))
        }
        None => at,
    }
}

/// What is written beside the memory of `launch`.
pub(super) fn remembered(launch: &Launch) -> io::Result<Vec<u8>> {
    let of_text = Remembered::of(launch).ok_or_else(|| io::Error::other("a path is not UTF-8"));
    Ok(serde_json::to_vec(&of_text?)?)
}

fn read<T: serde::de::DeserializeOwned>(directory: &Path, name: &str) -> io::Result<T> {
    let path = directory.join(name);
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{name}: {error}"));
    if fs::metadata(&path).map_err(named)?.len() > MOST {
        return Err(named(io::ErrorKind::FileTooLarge.into()));
    }
    serde_json::from_slice(&fs::read(&path).map_err(named)?).map_err(|error| named(error.into()))
}

fn unfit(reason: String) -> IsolationError {
    IsolationError::Unenforceable { what: "going on from kept memory".to_owned(), reason }
}

fn told(source: io::Error) -> IsolationError {
    unfit(format!("what lies beside it cannot be read or written: {source}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_that_differs_is_refused_by_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let then = br#"{"process":{"args":["a"],"terminal":true},"root":{}}"#;
        fs::write(folder.path().join(Keeping::CONFIG), then).expect("write");
        fits(folder.path(), then).expect("the same");
        let now = br#"{"process":{"args":["a"],"terminal":false},"root":{}}"#;
        let error = fits(folder.path(), now).expect_err("another").to_string();
        assert!(error.contains("/process/terminal is not the same"), "{error}");
    }

    #[test]
    fn memory_of_another_version_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        // Something that answers to --version.
        let driver: Driver = "oci:/bin/ls".parse().expect("a driver");
        let launch = Remembered {
            driver,
            workdir: "/".into(),
            argv: Vec::new(),
            env: Vec::new(),
            network: ctrlz_core::isolation::Network::None,
            limits: ctrlz_core::limits::Limits::default(),
            hidden: Vec::new(),
            keep_capabilities: Vec::new(),
        };
        let bytes = serde_json::to_vec(&launch).expect("JSON");
        fs::write(folder.path().join(Keeping::REMEMBERED), bytes).expect("write");
        assert!(recall(folder.path()).is_err(), "nobody wrote it");
        note(folder.path()).expect("noted");
        assert_eq!(recall(folder.path()).expect("the same version"), launch);
        let old = br#"{"version":"ls 0.1","architecture":"pdp11"}"#;
        fs::write(folder.path().join(WRITER), old).expect("write");
        let error = recall(folder.path()).expect_err("another version").to_string();
        assert!(error.contains("ls 0.1 on pdp11"), "{error}");
    }
}
