//! Runs one command in an isolated overlay of the working directory: `isolate HEAD COMMAND...`,
//! where HEAD is an empty directory for what the command writes.

use std::path::PathBuf;

use ctrlz_core::driver::Driver;
use ctrlz_core::isolation::{IsolationDriver, Launch, Network, RootView, Streams};
use ctrlz_core::limits::Limits;
use ctrlz_core::workspace::WorkspaceMount;
use ctrlz_isolation::native::NativeDriver;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let head = PathBuf::from(arguments.next().ok_or("name a directory")?);
    let here = std::env::current_dir()?;
    for name in ["upper", "work"] {
        std::fs::create_dir_all(head.join(name))?;
    }
    let _ = std::fs::remove_dir_all(head.join("work/work"));
    let launch = Launch {
        driver: Driver::default(),
        root: RootView::Host { workspace_at: here.clone() },
        workspace: WorkspaceMount::Overlay {
            lower_dirs: vec![here.clone()],
            upper_dir: head.join("upper"),
            work_dir: head.join("work"),
        },
        written: head.join("upper"),
        hidden: Vec::new(),
        workdir: here,
        argv: arguments.collect(),
        env: std::env::vars_os().collect(),
        network: Network::None,
        limits: Limits::default(),
        least_free: None,
        keep_capabilities: Vec::new(),
        streams: Streams::Inherited,
        memory: None,
        compiled: None,
    };
    let driver = NativeDriver::default();
    let mut prepared = driver.prepare(launch, &mut |_, _| Ok(()))?;
    prepared.start()?;
    let report = prepared.wait(None)?;
    eprintln!("{report:?}");
    Ok(())
}
