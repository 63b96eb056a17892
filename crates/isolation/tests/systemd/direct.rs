//! One launch by a process of its own, with one thread.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use std::{env, fs};

use ctrlz_core::driver::Driver;
use ctrlz_core::isolation::{IsolationDriver, IsolationError, Launch, Network, RootView, Streams};
use ctrlz_core::limits::Limits;
use ctrlz_core::operation::CommandReport;
use ctrlz_core::size::ByteSize;
use ctrlz_core::span::Span;
use ctrlz_core::workspace::WorkspaceMount;
use ctrlz_isolation::Isolator;
use serde::{Deserialize, Serialize};

/// The variable that names the folder of the launch: it has `upper` and `work`, and gets `told`.
pub(crate) const HEAD: &str = "CTRLZ_SYSTEMD_TEST";

/// What a launch told.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Told {
    Ended(CommandReport),
    Failed(String),
}

/// The arguments are the base, the script, and the names of limits.
pub(crate) fn main() -> ExitCode {
    let head = PathBuf::from(env::var_os(HEAD).expect("a folder"));
    let probe = ctrlz_isolation::systemd::probe();
    fs::write(head.join("probe"), serde_json::to_vec(&probe).expect("json")).expect("tell");
    let told = match launch(&head) {
        Ok(report) => Told::Ended(report),
        Err(error) => {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            Told::Failed(format!("{error}: {}", cause.unwrap_or_default()))
        }
    };
    fs::write(head.join("told"), serde_json::to_vec(&told).expect("json")).expect("tell");
    ExitCode::SUCCESS
}

fn launch(head: &std::path::Path) -> Result<CommandReport, IsolationError> {
    let mut words = env::args().skip(1);
    let base = PathBuf::from(words.next().expect("a base"));
    let script = words.next().expect("a script");
    let mut limits = Limits::default();
    for limit in words {
        match limit.as_str() {
            "memory" => limits.memory = Some(ByteSize(64 << 20)),
            "cpus" => limits.cpus = Some(0.5),
            "pids" => limits.pids = Some(20),
            _ => limits.timeout = Some(Span(Duration::from_millis(300))),
        }
    }
    let launch = Launch {
        driver: Driver::Systemd,
        root: RootView::Host { workspace_at: base.clone() },
        workspace: WorkspaceMount::Overlay {
            lower_dirs: vec![base.clone()],
            upper_dir: head.join("upper"),
            work_dir: head.join("work"),
        },
        written: head.join("upper"),
        hidden: Vec::new(),
        workdir: base,
        argv: ["sh".into(), "-c".into(), script.into()].to_vec(),
        env: vec![("PATH".into(), "/usr/bin:/bin".into())],
        network: Network::None,
        limits,
        least_free: None,
        memory: None,
        compiled: None,
        keep_capabilities: Vec::new(),
        streams: Streams::Inherited,
    };
    let mut prepared = Isolator::default().prepare(launch, &mut |_, _| Ok(()))?;
    prepared.start()?;
    prepared.wait(None)
}
