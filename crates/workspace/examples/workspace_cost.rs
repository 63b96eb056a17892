//! What snapshot, rollback, fork and the first write cost on one workspace driver, in milliseconds, as JSON.
//!
//! Arguments: the driver, a folder for the store, the base, and how often each is done.

use std::collections::BTreeMap;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::time::Instant;

use ctrlz_core::id::SandboxId;
use ctrlz_core::snapshot::Tree;
use ctrlz_core::workspace::{Head, WorkspaceDriver, WorkspaceMount};
use ctrlz_workspace::{CopyDriver, Duplication, OverlayDriver};

type Failed = Box<dyn std::error::Error>;

fn main() -> Result<(), Failed> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, store, base, rounds] = arguments.as_slice() else {
        return Err("DRIVER STORE BASE ROUNDS".into());
    };
    let store = Path::new(store);
    let driver: Box<dyn WorkspaceDriver> = match name.as_str() {
        "overlay" => Box::new(OverlayDriver::new(store)),
        "btrfs" => Box::new(CopyDriver::by(Duplication::Btrfs, store)),
        "reflink" => Box::new(CopyDriver::by(Duplication::Reflink, store)),
        "copy" => Box::new(CopyDriver::new(store)),
        other => return Err(format!("no driver {other}").into()),
    };
    let mut times: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    let mut note = |what, began: Instant| {
        times.entry(what).or_default().push(began.elapsed().as_secs_f64() * 1e3);
    };
    let bare = driver.create(Path::new(base))?;
    // The first one may copy the base.
    let began = Instant::now();
    let mut tree = operate(&*driver, &bare, "first")?;
    note("first", began);
    for round in 0..rounds.parse::<usize>()? {
        let head = driver.begin(SandboxId(1), &tree)?;
        std::fs::write(head.written.join(format!("written-{round}")), "new")?;
        let began = Instant::now();
        let later = driver.seal(&head)?.tree;
        note("snapshot", began);
        // An operation that begins where an earlier one did: what a rollback gives.
        let began = Instant::now();
        driver.begin(SandboxId(1), &tree)?;
        note("rollback", began);
        driver.abandon(SandboxId(1))?;
        let began = Instant::now();
        driver.begin(SandboxId(2), &later)?;
        note("fork", began);
        driver.abandon(SandboxId(2))?;
        if Path::new(base).join("large").exists() {
            let head = driver.begin(SandboxId(1), &later)?;
            if let Some(root) = in_place(&head)? {
                let began = Instant::now();
                let mut file = std::fs::File::options().write(true).open(root.join("large"))?;
                file.seek(SeekFrom::Start(50 << 20))?;
                file.write_all(b"changed")?;
                drop(file);
                note("first write", began);
            }
            driver.abandon(SandboxId(1))?;
        }
        tree = later;
    }
    println!("{}", serde_json::to_string(&times)?);
    Ok(())
}

fn operate(driver: &dyn WorkspaceDriver, tree: &Tree, name: &str) -> Result<Tree, Failed> {
    let head = driver.begin(SandboxId(1), tree)?;
    std::fs::write(head.written.join(name), "new")?;
    Ok(driver.seal(&head)?.tree)
}

/// Where a head can be written to without mounting it; an overlay has to be mounted.
fn in_place(head: &Head) -> Result<Option<&Path>, Failed> {
    Ok(match &head.mount {
        WorkspaceMount::Bind { source } => Some(source),
        WorkspaceMount::Overlay { .. } => None,
    })
}
