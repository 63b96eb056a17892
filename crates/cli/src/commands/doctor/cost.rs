//! What drivers cost on this host, measured when that is asked for.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ctrlz_core::driver::Driver;
use ctrlz_core::id::SandboxId;
use ctrlz_core::isolation::{IsolationDriver, IsolationError, Launch, Network, RootView, Streams};
use ctrlz_core::limits::Limits;
use ctrlz_core::operation::Exit;
use ctrlz_core::path::RelPath;
use ctrlz_core::workspace::{Edit, WorkspaceDriver, WorkspaceError, WorkspaceMount};
use ctrlz_isolation::engine::{self, Engine};
use ctrlz_isolation::level;
use ctrlz_workspace::{CopyDriver, Duplication, OverlayDriver};
use serde::Serialize;

/// So often, or as long as [`PATIENCE`] lasts; at least twice.
const ROUNDS: usize = 9;
const PATIENCE: Duration = Duration::from_secs(3);

/// Times in milliseconds.
#[derive(Debug, Serialize)]
pub(super) struct Cost {
    median_ms: f64,
    minimum_ms: f64,
    maximum_ms: f64,
    rounds: usize,
    /// Why it could not be measured; then the times are 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    failed: Option<String>,
}

impl Cost {
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort();
        let milliseconds = |time: Option<&Duration>| {
            let time = time.copied().unwrap_or_default().as_secs_f64() * 1e3;
            // What is below a microsecond is noise.
            (time * 1e3).round() / 1e3
        };
        Self {
            median_ms: milliseconds(times.get(times.len() / 2)),
            minimum_ms: milliseconds(times.first()),
            maximum_ms: milliseconds(times.last()),
            rounds: times.len(),
            failed: None,
        }
    }

    fn failed(why: String) -> Self {
        Self { failed: Some(why), ..Self::of(Vec::new()) }
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { median_ms: median, minimum_ms: least, maximum_ms: most, rounds, failed } = self;
        match failed {
            Some(why) => write!(f, "not measured: {why}"),
            None => write!(f, "{median:.2} ms ({least:.2} to {most:.2}, {rounds} times)"),
        }
    }
}

/// Does something again and again, and answers how long that took each time. The first time counts
/// only when it is one of few, since it may have to fill caches.
fn again<E>(mut act: impl FnMut() -> Result<(), E>) -> Result<Vec<Duration>, E> {
    act()?;
    let begun = Instant::now();
    let mut times = Vec::new();
    while times.len() < ROUNDS && (times.len() < 2 || begun.elapsed() < PATIENCE) {
        let start = Instant::now();
        act()?;
        times.push(start.elapsed());
    }
    Ok(times)
}

/// What [`start_and_exit`] runs; for `wasm` a module of its own that does nothing.
const MODULE: &str = "nothing.wasm";
/// A module with an empty function `_start`.
const NOTHING: &[u8] = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x07\x0a\x01\x06_start\0\0\x0a\x04\x01\x02\0\x0b";

/// What the start and the exit of `true` cost in a driver that is there, without the start of ctrlz
/// itself. Its workspace is a folder that is made in `place` and removed again.
pub(super) fn start_and_exit(
    isolation: &dyn IsolationDriver,
    place: &Path,
    driver: &Driver,
) -> Cost {
    let measured = Folder::make(place).map_err(|error| error.to_string()).and_then(|folder| {
        let launch = launch(&folder.path, driver)?;
        let run = || run(isolation, &launch).map_err(|error| level::told(&error));
        again(run)
    });
    measured.map_or_else(Cost::failed, Cost::of)
}

fn run(isolation: &dyn IsolationDriver, launch: &Launch) -> Result<(), IsolationError> {
    let mut prepared = isolation.prepare(launch.clone(), &mut |_, _| Ok(()))?;
    prepared.start()?;
    match prepared.wait(None)?.exit {
        Exit::Code(0) => Ok(()),
        exit => Err(IsolationError::Lost { what: format!("`true` ended with {exit:?}") }),
    }
}

fn launch(folder: &Path, driver: &Driver) -> Result<Launch, String> {
    let work = folder.join("work");
    let failed = |error: io::Error| error.to_string();
    fs::create_dir(&work).map_err(failed)?;
    let mut argv = vec!["true".into()];
    if *driver == Driver::Wasm {
        fs::write(work.join(MODULE), NOTHING).map_err(failed)?;
        argv = vec![MODULE.into()];
    }
    let image = |engine| engine::an_image(engine).map_err(|error| level::told(&error));
    let image = match driver {
        Driver::Podman(_) => Some(image(Engine::Podman)?),
        Driver::Docker(_) => Some(image(Engine::Docker)?),
        _ => None,
    };
    let driver = match image.clone() {
        Some(image) => format!("{driver}:{image}").parse().map_err(|_| image)?,
        None => driver.clone(),
    };
    let workspace_at = work.clone();
    let root = match driver.image() {
        Some(image) => RootView::Image { reference: image.as_str().to_owned(), workspace_at },
        None => RootView::Host { workspace_at },
    };
    Ok(Launch {
        driver,
        root,
        workspace: WorkspaceMount::Bind { source: work.clone() },
        written: work.clone(),
        hidden: Vec::new(),
        workdir: work,
        argv,
        env: vec![("PATH".into(), "/usr/bin:/bin".into())],
        network: Network::None,
        limits: Limits::default(),
        least_free: None,
        keep_capabilities: Vec::new(),
        streams: Streams::Inherited,
        memory: None,
        compiled: None,
    })
}

/// What a workspace driver costs on a tree of 1,000 files and 10 MB.
#[derive(Debug, Serialize)]
pub(super) struct KeepingCost {
    /// A snapshot after one file was written.
    snapshot: Cost,
    /// An operation that begins where an earlier one did.
    rollback: Cost,
    /// An operation of another sandbox that begins where this one is.
    fork: Cost,
}

impl fmt::Display for KeepingCost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "snapshot {}; rollback {}; fork {}", self.snapshot, self.rollback, self.fork)
    }
}

/// Measures the workspace driver of that name with a store of its own in `place`; nothing when there
/// is no such driver.
///
/// # Errors
/// Why it could not be measured.
pub(super) fn keeping(name: &str, place: &Path) -> Result<Option<KeepingCost>, String> {
    let store = place.join(name);
    let driver: Box<dyn WorkspaceDriver> = match name {
        "overlay" => Box::new(OverlayDriver::new(&store)),
        "btrfs" => Box::new(CopyDriver::by(Duplication::Btrfs, &store)),
        "zfs" => Box::new(crate::context::zfs(&store)),
        "reflink" => Box::new(CopyDriver::by(Duplication::Reflink, &store)),
        "copy" => Box::new(CopyDriver::new(&store)),
        _ => return Ok(None),
    };
    let failed = |error: io::Error| error.to_string();
    let base = place.join("base");
    fill(&base).map_err(failed)?;
    fs::create_dir(&store).map_err(failed)?;
    let told = |error: WorkspaceError| match std::error::Error::source(&error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    };
    let times = rounds(&*driver, &base).map_err(told);
    // A subvolume is no folder that anything but its driver removes everywhere.
    driver.collect(&mut || Some(Vec::new()), &|| true).map_err(told)?;
    let [snapshot, rollback, fork] = times?.map(Cost::of);
    Ok(Some(KeepingCost { snapshot, rollback, fork }))
}

/// 1,000 files, 10 MB.
fn fill(base: &Path) -> io::Result<()> {
    for folder in 0..10_u8 {
        let folder = base.join(folder.to_string());
        fs::create_dir_all(&folder)?;
        for file in 0..100_u8 {
            fs::write(folder.join(file.to_string()), [file; 10_000])?;
        }
    }
    Ok(())
}

fn rounds(driver: &dyn WorkspaceDriver, base: &Path) -> Result<[Vec<Duration>; 3], WorkspaceError> {
    let (own, other) = (SandboxId(1), SandboxId(2));
    let mut tree = driver.create(base)?;
    let [mut snapshot, mut rollback, mut fork] = [const { Vec::new() }; 3];
    let begun = Instant::now();
    for round in 0..=ROUNDS {
        let head = driver.begin(own, &tree)?;
        let path = RelPath::root().child(format!("written-{round}").as_ref());
        let written = Edit::Write { path, content: b"new".to_vec(), mode: None };
        driver.edit(&head, &[written])?;
        let start = Instant::now();
        let sealed = driver.seal(&head)?.tree;
        snapshot.push(start.elapsed());
        let start = Instant::now();
        driver.begin(own, &tree)?;
        rollback.push(start.elapsed());
        driver.abandon(own)?;
        let start = Instant::now();
        driver.begin(other, &sealed)?;
        fork.push(start.elapsed());
        driver.abandon(other)?;
        tree = sealed;
        if round == 0 {
            // The first time copies the base.
            [&mut snapshot, &mut rollback, &mut fork].into_iter().for_each(|times| times.clear());
        } else if round >= 2 && begun.elapsed() > PATIENCE {
            break;
        }
    }
    Ok([snapshot, rollback, fork])
}

/// A folder that is removed again.
pub(super) struct Folder {
    pub(super) path: PathBuf,
}

impl Folder {
    /// Makes one in `place`.
    pub(super) fn make(place: &Path) -> io::Result<Self> {
        let path = place.canonicalize()?.join(format!("doctor.{}", std::process::id()));
        // Left by one that was killed, with the same id.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path)?;
        Ok(Self { path })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}
