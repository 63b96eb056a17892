//! The service on loopback: one client, many clients, what it takes while nobody asks for anything.

mod journaled;
mod peers;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Instant;

use self::journaled::Journaled;
use super::Rounds;
use super::scene::{Player, Scene};
use super::start::floor_alone;
use super::table::{Row, median};
use crate::failure::{Answer, Failure};
use crate::service::{Client, Request, Service};

/// How many clients ask at once.
const CLIENTS: usize = 32;
/// How many sandboxes are made to see what one takes.
const IDLE: usize = 500;

pub(super) fn rows(scene: &Scene, rounds: Rounds) -> Answer<Vec<Row>> {
    let players = scene.players()?;
    let Some(player) = players.first() else { return Ok(Vec::new()) };
    let service = start(scene, player, None)?;
    let idle = resident(&service)?;
    let mut rows = Vec::new();
    rows.push(one_client((scene, player), (&service, ""), rounds)?);
    rows.extend(peers::rows(scene, player, &service, rounds));
    rows.push(many_clients((&service, ""), rounds)?);
    if let Some(place) = Journaled::make(scene)? {
        let service = start(scene, player, Some(&place))?;
        let apart = (&service, ", store on ext4 with a journal");
        rows.push(one_client((scene, player), apart, rounds)?);
        rows.push(many_clients(apart, rounds)?);
    }
    rows.push(from_nothing(&service, rounds)?);
    let what = "memory of the service, its launcher and its daemon, before the first request (Rss)";
    rows.push(Row::absolute(what, idle / 1024.0, "MiB", 40.0));
    let before = resident(&service)?;
    let mut client = service.client()?;
    for number in 0..IDLE {
        sandbox(&mut client, &format!("idle-{number}"))?;
    }
    let each = (resident(&service)? - before).max(0.0) / IDLE as f64;
    rows.push(Row::absolute("memory for each idle sandbox (Rss)", each, "KiB", 100.0));
    Ok(rows)
}

/// Starts one with its store in that place, or in the player's folder.
fn start(scene: &Scene, player: &Player<'_>, place: Option<&Journaled>) -> Answer<Service> {
    let program = scene.binary("ctrlz");
    let (mut command, home) = match place {
        Some(place) => (place.command(program), place.folder.join("service")),
        None => (Command::new(program), player.make("service")?),
    };
    let path = scene.folder().join("service.log");
    let log = fs::File::options().create(true).append(true).open(&path);
    command.env("CTRLZ_HOME", home).stderr(log.map_err(Failure::io("open", &path))?);
    Service::start(command, None)
}

/// What the service, its launcher and its daemon have in memory, in KiB.
fn resident(service: &Service) -> Answer<f64> {
    let mut total = 0.0;
    for pid in service.children().into_iter().chain([service.pid()]) {
        let file = format!("/proc/{pid}/smaps_rollup");
        let text = fs::read_to_string(&file).map_err(Failure::io("read", Path::new(&file)))?;
        total += super::memory::kibibytes(&text, "Rss:");
    }
    Ok(total)
}

/// Makes a sandbox that starts from nothing.
fn sandbox(client: &mut Client, name: &str) -> Answer {
    let body = format!("{{\"name\":\"{name}\"}}");
    client.expect(Request::post("/v1/sandboxes", &body), 201).map(drop)
}

/// Runs `true`; answers how many milliseconds that took.
fn run_true(client: &mut Client, sandbox: &str) -> Answer<f64> {
    let path = format!("/v1/sandboxes/{sandbox}/operations");
    let begun = Instant::now();
    client.expect(Request::post(&path, "{\"argv\":[\"/usr/bin/true\"]}"), 200)?;
    Ok(begun.elapsed().as_secs_f64() * 1000.0)
}

fn one_client(
    (scene, player): (&Scene, &Player<'_>),
    (service, place): (&Service, &str),
    rounds: Rounds,
) -> Answer<Row> {
    let mut client = service.client()?;
    sandbox(&mut client, "ready")?;
    let mut times = Vec::new();
    // In turns with the floor, a few of each.
    let mut floor = Vec::new();
    for _ in 0..rounds.short.div_ceil(10) {
        floor.extend(floor_alone(scene, player, 10)?);
        for _ in 0..10 {
            times.push(run_true(&mut client, "ready")?);
        }
    }
    let what = format!("`true` in a ready sandbox over HTTP, one connection{place}");
    Ok(Row::ratio(&what, "the floor (xtask/bench/floor.c)", &times, &floor, 2.0))
}

/// The wall time of each operation, all clients together.
fn many_clients((service, place): (&Service, &str), rounds: Rounds) -> Answer<Row> {
    let mut clients = Vec::new();
    for number in 0..CLIENTS {
        let (mut client, name) = (service.client()?, format!("busy-{number}"));
        sandbox(&mut client, &name)?;
        run_true(&mut client, &name)?;
        clients.push((client, name));
    }
    let each = rounds.long;
    let begun = Instant::now();
    let threads: Vec<_> = clients
        .into_iter()
        .map(|(mut client, name)| {
            thread::spawn(move || {
                (0..each).try_for_each(|_| run_true(&mut client, &name).map(drop))
            })
        })
        .collect();
    for thread in threads {
        thread.join().map_err(|_| Failure::told("a client panicked"))??;
    }
    let took = begun.elapsed().as_secs_f64() * 1000.0 / (each * CLIENTS) as f64;
    let what = format!("`true` over HTTP, {CLIENTS} connections{place}: time for each operation");
    // 300 operations a second.
    Ok(Row::absolute(&what, took, "ms", 3.33))
}

fn from_nothing(service: &Service, rounds: Rounds) -> Answer<Row> {
    let mut client = service.client()?;
    let mut times = Vec::new();
    for number in 0..rounds.short / 2 {
        let (begun, name) = (Instant::now(), format!("new-{number}"));
        sandbox(&mut client, &name)?;
        run_true(&mut client, &name)?;
        times.push(begun.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(Row::absolute("a sandbox is made and runs `true`, over HTTP", median(&times), "ms", 8.0))
}
