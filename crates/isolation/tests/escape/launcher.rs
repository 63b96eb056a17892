//! The launching side: a fresh process with one thread, started for each launch.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ctrlz_core::driver::Driver;
use ctrlz_core::isolation::{IsolationDriver, Launch, Network, RootView, Streams};
use ctrlz_core::limits::Limits;
use ctrlz_core::operation::CommandReport;
use ctrlz_core::workspace::WorkspaceMount;
use ctrlz_isolation::Isolator;
use ctrlz_isolation::launcher::{ARGUMENT, LauncherDriver};
use ctrlz_isolation::native::{NativeDriver, Protection, Protections};
use serde::{Deserialize, Serialize};

use crate::attack::Failure;

/// The environment variable that makes this program a launcher; it names a file with a [`Spec`].
pub(crate) const SPEC: &str = "CTRLZ_ATTACK";

/// The environment variable with which every attack runs as a service launches commands: through a
/// launcher. Then it must be refused; whether it gets through without its protection is not asked.
pub(crate) const BY_LAUNCHER: &str = "CTRLZ_ESCAPE_BY_LAUNCHER";

/// The environment variable that names the driver under attack. What is launched without a protection is
/// launched by the native driver: that shows that the attack is one.
pub(crate) const DRIVER: &str = "CTRLZ_ESCAPE_DRIVER";

/// The driver under attack.
pub(crate) fn driver() -> Driver {
    match std::env::var(DRIVER) {
        Ok(name) => name.parse().expect("a driver"),
        Err(_) => Driver::default(),
    }
}

/// Whether the driver under attack is one of which no protection can be taken away.
pub(crate) fn is_another() -> bool {
    driver() != Driver::Native
}

/// Skips a test for another driver than the native one, which is known not to do what it asks for.
pub(crate) fn only_native(what: &str) -> Result<(), Failure> {
    match is_another() {
        true => Err(Failure::Skipped(format!("{} {what}", driver()))),
        false => Ok(()),
    }
}

/// What to launch.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Spec {
    /// The workspace's live directory, where it also appears.
    pub(crate) base: PathBuf,
    /// The directory for what is written, with `upper` and `work` in it; `None` binds the base
    /// itself, writable.
    pub(crate) head: Option<PathBuf>,
    /// Whether the workspace is the root, as with `--root overlay`.
    pub(crate) own_root: bool,
    /// Protections to do without, by their names.
    pub(crate) without: Vec<String>,
    pub(crate) limits: Limits,
    pub(crate) network: Network,
    pub(crate) hidden: Vec<PathBuf>,
    pub(crate) keep_capabilities: Vec<String>,
    pub(crate) argv: Vec<String>,
    /// Files and directories of the host to have open, not close-on-exec, at the launch; the
    /// former for writing, too, when the flag says so.
    pub(crate) leaks: Vec<(PathBuf, bool)>,
    /// Where the [`Outcome`] goes.
    pub(crate) report: PathBuf,
}

/// What came of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Outcome {
    Ran(CommandReport),
    Failed(String),
}

/// Carries out the [`Spec`] in the file `spec`.
pub(crate) fn main(spec: &Path) -> ExitCode {
    let text = std::fs::read(spec).expect("the spec can be read");
    let spec: Spec = serde_json::from_slice(&text).expect("the spec is well-formed");
    let _leaks: Vec<File> = spec.leaks.iter().map(|(path, write)| leak(path, *write)).collect();
    let outcome = match launch(&spec) {
        Ok(report) => Outcome::Ran(report),
        Err(error) => Outcome::Failed(chain(&*error)),
    };
    let text = serde_json::to_vec(&outcome).expect("an outcome is plain data");
    std::fs::write(&spec.report, text).expect("the outcome can be written");
    ExitCode::SUCCESS
}

fn leak(path: &Path, write: bool) -> File {
    let file = File::options().read(true).write(write).open(path).expect("open what is leaked");
    rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::empty()).expect("leak it");
    file
}

fn launch(spec: &Spec) -> Result<CommandReport, Box<dyn std::error::Error>> {
    let mut protections = Protections::all();
    for name in &spec.without {
        let protection = Protection::ALL
            .into_iter()
            .find(|protection| protection.word() == name)
            .ok_or_else(|| format!("no protection {name}"))?;
        protections = protections.without(protection);
    }
    let (workspace, written) = match &spec.head {
        Some(head) => (
            WorkspaceMount::Overlay {
                lower_dirs: vec![spec.base.clone()],
                upper_dir: head.join("upper"),
                work_dir: head.join("work"),
            },
            head.join("upper"),
        ),
        None => (WorkspaceMount::Bind { source: spec.base.clone() }, spec.base.clone()),
    };
    let root = match spec.own_root {
        true => RootView::Workspace { host_mounts: false },
        false => RootView::Host { workspace_at: spec.base.clone() },
    };
    let launch = Launch {
        driver: if spec.without.is_empty() { driver() } else { Driver::Native },
        root,
        workspace,
        written,
        hidden: spec.hidden.clone(),
        workdir: if spec.own_root { "/".into() } else { spec.base.clone() },
        argv: spec.argv.iter().map(Into::into).collect(),
        env: vec![("PATH".into(), "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin".into())],
        network: spec.network,
        limits: spec.limits,
        least_free: None,
        keep_capabilities: spec.keep_capabilities.clone(),
        streams: Streams::Inherited,
        memory: None,
        compiled: None,
    };
    let driver: Box<dyn IsolationDriver> = match std::env::var_os(BY_LAUNCHER) {
        Some(_) => Box::new(warm_driver(&launch, protections)?),
        None => Box::new(Isolator::from(NativeDriver::with_protections(protections))),
    };
    let mut prepared = driver.prepare(launch, &mut |_, _| Ok(()))?;
    prepared.start()?;
    Ok(prepared.wait(None)?)
}

/// A driver with a launcher of its own, the workers of which have begun a process 1 before they are
/// asked, as far as these protections allow.
fn warm_driver(
    launch: &Launch,
    protections: Protections,
) -> Result<LauncherDriver, Box<dyn std::error::Error>> {
    let mut command = std::process::Command::new("/proc/self/exe");
    command.arg(ARGUMENT);
    let driver = LauncherDriver::with_protections(command, protections)?;
    let source = launch.written.join("../warm");
    std::fs::create_dir_all(&source)?;
    let warming = Launch {
        workspace: WorkspaceMount::Bind { source },
        argv: vec!["/no/such/program".into()],
        limits: Limits::default(),
        ..launch.clone()
    };
    let mut prepared = driver.prepare(warming, &mut |_, _| Ok(()))?;
    prepared.start()?;
    let _ = prepared.wait(None);
    Ok(driver)
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}
