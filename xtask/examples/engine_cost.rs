//! What snapshot, rollback and fork cost inside the engine: no process is started for them.
//!
//! `engine_cost STORE BASE ROUNDS` prints milliseconds as JSON: `{"snapshot": [..], ..}`.
#![forbid(unsafe_code)]

use std::error::Error;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use ctrlz_core::driver::Driver;
use ctrlz_core::event::MadeOf;
use ctrlz_core::isolation::Network;
use ctrlz_core::limits::Limits;
use ctrlz_core::monitor::AnomalyPolicy;
use ctrlz_core::sandbox::Root;
use ctrlz_core::snapshot::{NewSnapshot, SnapshotKind};
use ctrlz_core::span::Span;
use ctrlz_core::workspace::WorkspaceDriver;
use ctrlz_engine::tracker::Monitoring;
use ctrlz_engine::{
    BaseChoice, NewNamed, RollbackOptions, RollbackTarget, RunRequest, SandboxCore,
};
use ctrlz_isolation::native::NativeDriver;
use ctrlz_store::SqliteStore;
use ctrlz_workspace::OverlayDriver;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(directory), Some(base), Some(rounds)) =
        (arguments.next(), arguments.next(), arguments.next())
    else {
        return Err("usage: engine_cost STORE BASE ROUNDS".into());
    };
    let rounds: usize = rounds.to_string_lossy().parse()?;
    let store = SqliteStore::open(&directory)?;
    let overlay = OverlayDriver::new(&directory);
    let drivers: [&dyn WorkspaceDriver; 1] = [&overlay];
    let isolation = NativeDriver::default();
    let core = SandboxCore::new(&store, &drivers, &isolation, &|_, _| false);
    let choice =
        BaseChoice { root: Root::Host, base: base.canonicalize()?, made_of: MadeOf::default() };
    let sandbox = core.create_named(&NewNamed { name: "cost".parse()?, choice }, None)?;
    let write = |round: usize| -> Result<(), Box<dyn Error>> {
        let script = format!("echo {round} > ctrlz-cost");
        let report = core.run(&sandbox, request(&base, &script))?;
        if report.command.exit.is_success() { Ok(()) } else { Err("the command failed".into()) }
    };
    let (mut snapshots, mut rollbacks, mut forks) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds {
        write(2 * round)?;
        let started = Instant::now();
        let snapshot = core.snapshot(&sandbox, &NewSnapshot::of(SnapshotKind::Manual, "cost"))?;
        snapshots.push(milliseconds(started));
        write(2 * round + 1)?;
        let started = Instant::now();
        let target = RollbackTarget::Snapshot(snapshot.id);
        core.rollback(&sandbox, target, &RollbackOptions::default())?;
        rollbacks.push(milliseconds(started));
        let name = format!("fork-{round}").parse()?;
        let started = Instant::now();
        core.fork(&sandbox, name)?;
        forks.push(milliseconds(started));
    }
    println!("{{\"snapshot\": {snapshots:?}, \"rollback\": {rollbacks:?}, \"fork\": {forks:?}}}");
    Ok(())
}

fn milliseconds(started: Instant) -> f64 {
    started.elapsed().as_secs_f64() * 1e3
}

fn request(base: &std::path::Path, script: &str) -> RunRequest {
    RunRequest {
        title: "write".to_owned(),
        argv: ["/bin/sh", "-c", script].map(Into::into).to_vec(),
        env: Vec::new(),
        workdir: base.to_owned(),
        most_disk: None,
        limits: Limits::default(),
        isolation: Driver::Native,
        network: Network::None,
        hidden: Vec::new(),
        keep_capabilities: Vec::new(),
        snapshot: true,
        automatic: None,
        fresh: false,
        commit: None,
        take_back: false,
        streams: ctrlz_core::isolation::Streams::Inherited,
        memory: None,
        compiled: None,
        profile: "development".to_owned(),
        identity: String::new(),
        verdict: None,
        least_free: None,
        files: Vec::new(),
        monitoring: Monitoring {
            every: Span(Duration::MAX),
            anomaly: AnomalyPolicy::Off,
            emergency: false,
            watched: 0,
        },
    }
}
