//! What a one-shot process pays for the store: opens it cold and journals one operation.
//!
//! `cold DIR` does it once in this process (for strace); `cold DIR N` starts itself N times and
//! prints the median and the mean of what each process measured, in microseconds.

use std::error::Error;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use ctrlz_core::limits::Limits;
use ctrlz_core::operation::{OperationKind, Outcome, Request, Status};
use ctrlz_core::sandbox::Root;
use ctrlz_core::snapshot::Tree;
use ctrlz_core::store::{Durability, NewSandbox, Store};
use ctrlz_store::SqliteStore;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let dir = arguments.next().ok_or("usage: cold DIR [N]")?;
    match arguments.next() {
        None => once(Path::new(&dir)),
        Some(times) => {
            let times: usize = times.to_str().ok_or("N is a number")?.parse()?;
            prepare(Path::new(&dir))?;
            let mut steps = [Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new()];
            for _ in 0..times {
                let output = Command::new(std::env::current_exe()?).arg(&dir).output()?;
                let text = String::from_utf8(output.stdout)?;
                for (step, number) in steps.iter_mut().zip(text.split_whitespace()) {
                    step.push(number.parse::<f64>()?);
                }
            }
            for (name, step) in ["open", "find", "begin", "finish", "total"].iter().zip(&mut steps)
            {
                step.sort_by(f64::total_cmp);
                let median = step.get(step.len() / 2).copied().unwrap_or_default();
                let mean = step.iter().sum::<f64>() / step.len() as f64;
                println!("{name:8} median {median:7.0} µs  mean {mean:7.0} µs");
            }
            Ok(())
        }
    }
}

fn prepare(dir: &Path) -> Result<(), Box<dyn Error>> {
    let store = SqliteStore::open(dir)?;
    if store.sandboxes_of_folder(Path::new("/project"))?.is_empty() {
        store.create_sandbox(
            &NewSandbox {
                life: ctrlz_core::lifecycle::Life::default(),
                made_of: ctrlz_core::event::MadeOf::default(),
                name: "project".parse()?,
                folder: Some("/project".into()),
                root: Root::Host,
                base: "/project".into(),
                driver: "overlay".into(),
                tree: Tree("layers/1".into()),
            },
            None,
        )?;
    }
    Ok(())
}

fn once(dir: &Path) -> Result<(), Box<dyn Error>> {
    let start = Instant::now();
    let store = SqliteStore::open(dir)?;
    let opened = start.elapsed();
    let sandboxes = store.sandboxes_of_folder(Path::new("/project"))?;
    let sandbox = sandboxes.first().ok_or("run `cold DIR N` first")?;
    let found = start.elapsed();
    let request = Request {
        sandbox: sandbox.id,
        kind: OperationKind::Run,
        title: "cargo build --release".into(),
        limits: Limits::default(),
        verdict: None,
        target: None,
    };
    let operation = store.begin(&request, Durability::Process)?;
    let begun = start.elapsed();
    let mut after = operation.before.clone();
    after.tree = Tree(format!("layers/{}", operation.id.0));
    let outcome = Outcome { counts: Some(Default::default()), ..Outcome::default() };
    store.finish(operation.id, Status::Done, &outcome, Some(&after), Durability::Process)?;
    let finished = start.elapsed();
    for step in [opened, found - opened, begun - found, finished - begun, finished] {
        print!("{:.1} ", step.as_secs_f64() * 1e6);
    }
    println!();
    Ok(())
}
