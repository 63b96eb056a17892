//! One launch by a process of its own, with one thread.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use ctrlz_core::driver::Driver;
use ctrlz_core::isolation::{IsolationDriver, IsolationError, Launch, Network, RootView, Streams};
use ctrlz_core::limits::Limits;
use ctrlz_core::operation::CommandReport;
use ctrlz_core::workspace::WorkspaceMount;
use ctrlz_isolation::Isolator;
use ctrlz_isolation::engine::Engine;
use serde::{Deserialize, Serialize};

/// The variable that names the file with the launch.
pub(crate) const SPEC: &str = "CTRLZ_ENGINE_TEST";

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Spec {
    pub(crate) engine: Engine,
    pub(crate) socket: PathBuf,
    pub(crate) image: String,
    pub(crate) workspace_at: PathBuf,
    /// A directory to bind; `None` for an overlay of `workspace_at`.
    pub(crate) bound: Option<PathBuf>,
    pub(crate) lower_dirs: Vec<PathBuf>,
    /// Has `upper` and `work`.
    pub(crate) head: PathBuf,
    pub(crate) hidden: Vec<PathBuf>,
    pub(crate) argv: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) network: Network,
    pub(crate) limits: Limits,
    pub(crate) keep: Vec<String>,
    /// Where process 1 is told, and what came of it.
    pub(crate) told: PathBuf,
    /// Tidies up, and launches nothing.
    pub(crate) tidies: bool,
}

/// What a launch told.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Told {
    Ended(CommandReport),
    Unenforceable(String),
    NotFound,
    NotExecutable,
    Failed(String),
}

pub(crate) fn main(spec: &OsStr) -> ExitCode {
    let spec: Spec =
        serde_json::from_slice(&fs::read(spec).expect("read the launch")).expect("a launch");
    let driver = Isolator::default();
    if spec.tidies {
        driver.tidy();
        return ExitCode::SUCCESS;
    }
    let told = match launch(&driver, &spec) {
        Ok(report) => Told::Ended(report),
        Err(IsolationError::NotFound { .. }) => Told::NotFound,
        Err(IsolationError::NotExecutable { .. }) => Told::NotExecutable,
        Err(error) => {
            let mut text = error.to_string();
            let mut cause = std::error::Error::source(&error);
            while let Some(error) = cause {
                text = format!("{text}: {error}");
                cause = error.source();
            }
            match error {
                IsolationError::Unenforceable { .. } => Told::Unenforceable(text),
                _ => Told::Failed(text),
            }
        }
    };
    fs::write(spec.told, serde_json::to_vec(&told).expect("json")).expect("tell");
    ExitCode::SUCCESS
}

fn launch(driver: &Isolator, spec: &Spec) -> Result<CommandReport, IsolationError> {
    let workspace = match &spec.bound {
        Some(source) => WorkspaceMount::Bind { source: source.clone() },
        None => WorkspaceMount::Overlay {
            lower_dirs: spec.lower_dirs.clone(),
            upper_dir: spec.head.join("upper"),
            work_dir: spec.head.join("work"),
        },
    };
    let launch = Launch {
        driver: match spec.engine {
            Engine::Podman => Driver::Podman(None),
            Engine::Docker => Driver::Docker(None),
        },
        root: RootView::Image {
            reference: spec.image.clone(),
            workspace_at: spec.workspace_at.clone(),
        },
        workspace,
        written: spec.bound.clone().unwrap_or_else(|| spec.head.join("upper")),
        hidden: spec.hidden.clone(),
        workdir: spec.workspace_at.clone(),
        argv: spec.argv.iter().map(OsString::from).collect(),
        env: spec.env.iter().map(|(name, value)| (name.into(), value.into())).collect(),
        network: spec.network,
        limits: spec.limits,
        least_free: None,
        keep_capabilities: spec.keep.clone(),
        streams: Streams::Inherited,
        memory: None,
        compiled: None,
    };
    driver.check(&launch.limits)?;
    let told = spec.told.with_extension("process");
    let mut prepared = driver.prepare(launch, &mut |process_1, _| {
        // Renamed, so that nobody reads half of it.
        let new = told.with_extension("new");
        fs::write(&new, process_1.to_string())?;
        fs::rename(new, &told)
    })?;
    prepared.start()?;
    prepared.wait(None)
}
