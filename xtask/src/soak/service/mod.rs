//! `cargo xtask soak service`: many sandboxes of one service, a tenth of them busy at any time. Nothing
//! fails, nothing grows, nobody waits much longer than the others; then the service and what belongs
//! to it is killed again and again, and every client's view agrees with the journal.

mod deeds;
mod family;
mod figures;
mod kills;
mod load;
mod views;

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::ctrlz::Ctrlz;
use super::numbers;
use crate::failure::{Answer, Failure};
use crate::project;
use crate::service::{Client, Request, Service};
use family::Family;
use load::Load;

/// Clients that make and remove sandboxes at a time.
const HANDS: usize = 8;

/// So many inodes has a store without sandboxes, at most.
const EMPTY: u64 = 300;

/// What is asked for.
pub(super) struct Plan {
    pub(super) sandboxes: usize,
    pub(super) seed: u64,
    /// How long the load lasts.
    pub(super) time: Duration,
    /// How many kills come after it.
    pub(super) kills: u64,
}

/// Runs, prints the numbers, and fails when a promise is broken.
pub(super) fn soak(binary: &Path, scene: &Path, plan: &Plan) -> Answer {
    let ctrlz =
        Ctrlz { binary: binary.to_owned(), store: scene.join("store"), home: scene.join("home") };
    fs::create_dir(&ctrlz.home).map_err(Failure::io("make", &ctrlz.home))?;
    let service = start(&ctrlz, None)?;
    let names: Vec<String> = (0..plan.sandboxes).map(|number| format!("s{number}")).collect();
    let begun = Instant::now();
    each(&service, &names, |name| {
        ("/v1/sandboxes".to_owned(), format!("{{\"name\":\"{name}\"}}"))
    })?;
    println!("{} sandboxes made in {:.1} s", names.len(), begun.elapsed().as_secs_f64());
    let mut family = Family::default();
    calm(&service)?;
    family.rests(&service, false);
    let load = Load::new(&service, plan.time);
    let often = (plan.time / 150).max(Duration::from_millis(500));
    let mut told = (Duration::ZERO, 0);
    let took = load.run(
        &names,
        plan.seed,
        (often, |at, answered| {
            family.add(at, &service);
            let since = at - told.0;
            if since >= plan.time / 6 {
                let pace = (answered - told.1) as f64 / since.as_secs_f64();
                println!("{:.0} s: {pace:.0} calls a second", at.as_secs_f64());
                told = (at, answered);
            }
        }),
    )?;
    calm(&service)?;
    family.rests(&service, true);
    println!("\n{} calls in {} s, no error\n", took.count(), plan.time.as_secs());
    let mut broken = took.table();
    println!();
    broken.extend(family.table(plan.time));
    println!();
    broken.extend(logged(&ctrlz)?);
    let service = kills::soak(&ctrlz, service, plan.seed, plan.kills)?;
    let full = numbers::size(&ctrlz.store);
    let begun = Instant::now();
    remove(&service)?;
    println!("all sandboxes removed in {:.1} s", begun.elapsed().as_secs_f64());
    // What is no longer needed may be looked for some time after the last removal. Some file systems remove but
    // a few thousand files in a second.
    let is_empty = || numbers::size(&ctrlz.store).inodes <= EMPTY;
    if numbers::until_within(Duration::from_secs(600), is_empty).is_err() {
        let left = numbers::size(&ctrlz.store).inodes;
        broken.push(format!("{left} inodes are left of sandboxes that were removed"));
    }
    broken.extend(end(&ctrlz, service)?);
    let size = numbers::size(&ctrlz.store);
    println!(
        "the store: {} MiB of databases, {} MiB of other files in {} inodes; after the end {}, {}, {}",
        full.database >> 20,
        full.files >> 20,
        full.inodes,
        size.database >> 20,
        size.files >> 20,
        size.inodes,
    );
    if broken.is_empty() { Ok(()) } else { Err(Failure::told(broken.join("; "))) }
}

/// The service, whose log goes to a file.
fn start(ctrlz: &Ctrlz, token: Option<&str>) -> Answer<Service> {
    let path = log(ctrlz);
    let log = File::options().create(true).append(true).open(&path);
    let mut command: Command = ctrlz.command(Path::new("/"), &[]);
    // A group of its own, which can be killed as one.
    command.stderr(log.map_err(Failure::io("open", &path))?).process_group(0);
    Service::start(command, token)
}

fn log(ctrlz: &Ctrlz) -> PathBuf {
    ctrlz.home.join("service.log")
}

/// What stands in the log besides requests and operations.
fn logged(ctrlz: &Ctrlz) -> Answer<Vec<String>> {
    let path = log(ctrlz);
    let text = fs::read_to_string(&path).map_err(Failure::io("read", &path))?;
    let errors = text.lines().filter(|line| !line.contains("\"level\":\"INFO\""));
    Ok(errors.take(5).map(|line| format!("the log has: {line}")).collect())
}

/// POSTs something for each name, some at a time.
fn each(
    service: &Service,
    names: &[String],
    request: impl Fn(&str) -> (String, String) + Sync,
) -> Answer {
    by_hands(service, names, |client, name| {
        let (path, body) = request(name);
        client.expect(Request::post(&path, &body), 201).map(drop)
    })
}

fn by_hands(
    service: &Service,
    names: &[String],
    act: impl Fn(&mut Client, &str) -> Answer + Sync,
) -> Answer {
    let share = names.len().div_ceil(HANDS).max(1);
    thread::scope(|scope| {
        let act = &act;
        let hands: Vec<_> = names
            .chunks(share)
            .map(|names| {
                scope.spawn(move || {
                    let mut client = service.client()?;
                    names.iter().try_for_each(|name| act(&mut client, name))
                })
            })
            .collect();
        hands.into_iter().try_for_each(|hand| {
            hand.join().unwrap_or_else(|_| Err(Failure::told("a client panicked")))
        })
    })
}

/// Removes all sandboxes.
fn remove(service: &Service) -> Answer {
    let list = Request::get("/v1/sandboxes?limit=1000");
    let mut client = service.client()?;
    loop {
        let page = client.expect(list, 200)?.json();
        let items = page.get("items").and_then(Value::as_array).into_iter().flatten();
        let names: Vec<String> =
            items.filter_map(|one| project::text(one, "/name").map(str::to_owned)).collect();
        if names.is_empty() {
            return Ok(());
        }
        by_hands(service, &names, |client, name| {
            let path = format!("/v1/sandboxes/{name}?force=true");
            client.expect(Request::delete(&path), 200).map(drop)
        })?;
    }
}

/// Waits until nothing runs, and what was needed for that is given back.
fn calm(service: &Service) -> Answer {
    let mut client = service.client()?;
    numbers::until(|| {
        let text = client.expect(Request::get("/metrics"), 200).map(|reply| reply.text());
        text.is_ok_and(|text| text.lines().any(|line| line == "ctrlz_operations_running 0"))
    })?;
    drop(client);
    // Threads that wait for more work are let go after ten seconds, memory after twenty, and stores that
    // were kept open after a minute.
    thread::sleep(Duration::from_secs(75));
    Ok(())
}

/// Ends the service. Nothing of it is left, and the store is as it should be.
fn end(ctrlz: &Ctrlz, service: Service) -> Answer<Vec<String>> {
    let mut broken = Vec::new();
    let status = service.stop()?;
    if !status.success() {
        broken.push(format!("the service ended with {status}"));
    }
    if numbers::until(|| numbers::leftovers(&ctrlz.store).is_empty()).is_err() {
        let left = numbers::leftovers(&ctrlz.store);
        broken.push(format!("{} things are left: {}", left.len(), left.join("; ")));
    }
    ctrlz.healthy()?;
    ctrlz.ok(&ctrlz.home, &["audit", "verify"])?;
    let mut workspaces = ctrlz.store.clone().into_os_string();
    workspaces.push(".workspaces");
    let folder = Path::new(&workspaces).join("default");
    let left = fs::read_dir(&folder).map_err(Failure::io("read", &folder))?.count();
    if left > 0 {
        broken.push(format!("{left} folders of sandboxes are left in {}", folder.display()));
    }
    Ok(broken)
}
