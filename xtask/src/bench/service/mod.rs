//! The service on loopback: one client, many clients, what it takes while nobody asks for anything.

mod http;
mod journaled;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Instant;

use serde_json::Value;

use self::http::Client;
use self::journaled::Journaled;
use super::Rounds;
use super::scene::{Player, Scene};
use super::start::floor_alone;
use super::table::{Row, median};
use crate::failure::{Answer, Failure};

/// How many clients ask at once.
const CLIENTS: usize = 32;
/// How many sandboxes are made to see what one takes.
const IDLE: usize = 500;

/// A service that runs, until it is dropped.
struct Service {
    process: Child,
    address: String,
    token: String,
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub(super) fn rows(scene: &Scene, rounds: Rounds) -> Answer<Vec<Row>> {
    let players = scene.players()?;
    let Some(player) = players.first() else { return Ok(Vec::new()) };
    let service = Service::start(scene, player, None)?;
    let idle = service.resident()?;
    let mut rows = Vec::new();
    rows.push(one_client((scene, player), (&service, ""), rounds)?);
    rows.push(many_clients((&service, ""), rounds)?);
    if let Some(place) = Journaled::make(scene)? {
        let service = Service::start(scene, player, Some(&place))?;
        let apart = (&service, ", store on ext4 with a journal");
        rows.push(one_client((scene, player), apart, rounds)?);
        rows.push(many_clients(apart, rounds)?);
    }
    rows.push(from_nothing(&service, rounds)?);
    let what = "memory of the service, its launcher and its daemon, before the first request (Rss)";
    rows.push(Row::absolute(what, idle / 1024.0, "MiB", 40.0));
    let before = service.resident()?;
    let mut client = service.client()?;
    for number in 0..IDLE {
        client.sandbox(&format!("idle-{number}"))?;
    }
    let each = (service.resident()? - before).max(0.0) / IDLE as f64;
    rows.push(Row::absolute("memory for each idle sandbox (Rss)", each, "KiB", 100.0));
    Ok(rows)
}

impl Service {
    /// Starts one with its store in that place, or in the player's folder.
    fn start(scene: &Scene, player: &Player<'_>, place: Option<&Journaled>) -> Answer<Self> {
        let program = scene.binary("ctrlz");
        let (mut command, home) = match place {
            Some(place) => (place.command(program), place.folder.join("service")),
            None => (Command::new(program), player.make("service")?),
        };
        command.args(["serve", "--listen", "127.0.0.1:0", "--json"]);
        command.env("CTRLZ_HOME", home);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let failed = |source| Failure::Start { program: "ctrlz serve".to_owned(), source };
        let mut process = command.spawn().map_err(failed)?;
        let mut line = String::new();
        if let Some(out) = process.stdout.take() {
            BufReader::new(out).read_line(&mut line).map_err(failed)?;
        }
        let told: Value = serde_json::from_str(&line).unwrap_or_default();
        let bounds = told.get("listening").and_then(Value::as_array).cloned().unwrap_or_default();
        let address =
            bounds.iter().filter_map(Value::as_str).find_map(|one| one.strip_prefix("http://"));
        let (Some(address), Some(token)) = (address, told.get("token").and_then(Value::as_str))
        else {
            return Err(Failure::told(format!("`ctrlz serve` did not begin: {line}")));
        };
        Ok(Self { address: address.to_owned(), token: token.to_owned(), process })
    }

    fn client(&self) -> Answer<Client> {
        Client::connect(&self.address, &self.token)
    }

    /// What the service, its launcher and its daemon have in memory, in KiB.
    fn resident(&self) -> Answer<f64> {
        let pid = self.process.id();
        let mut pids = vec![pid.to_string()];
        let tasks = format!("/proc/{pid}/task");
        // Each thread has children of its own.
        for task in fs::read_dir(&tasks).map_err(Failure::io("read", Path::new(&tasks)))?.flatten()
        {
            let children = task.path().join("children");
            // A thread that has ended meanwhile has none.
            let text = fs::read_to_string(children).unwrap_or_default();
            pids.extend(text.split_whitespace().map(str::to_owned));
        }
        let mut total = 0.0;
        for pid in pids {
            let file = format!("/proc/{pid}/smaps_rollup");
            let text = fs::read_to_string(&file).map_err(Failure::io("read", Path::new(&file)))?;
            total += super::memory::kibibytes(&text, "Rss:");
        }
        Ok(total)
    }
}

fn one_client(
    (scene, player): (&Scene, &Player<'_>),
    (service, place): (&Service, &str),
    rounds: Rounds,
) -> Answer<Row> {
    let mut client = service.client()?;
    client.sandbox("ready")?;
    let mut times = Vec::new();
    // In turns with the floor, a few of each.
    let mut floor = Vec::new();
    for _ in 0..rounds.short.div_ceil(10) {
        floor.extend(floor_alone(scene, player, 10)?);
        for _ in 0..10 {
            times.push(client.run_true("ready")?);
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
        client.sandbox(&name)?;
        client.run_true(&name)?;
        clients.push((client, name));
    }
    let each = rounds.long;
    let begun = Instant::now();
    let threads: Vec<_> = clients
        .into_iter()
        .map(|(mut client, name)| {
            thread::spawn(move || (0..each).try_for_each(|_| client.run_true(&name).map(drop)))
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
        client.sandbox(&name)?;
        client.run_true(&name)?;
        times.push(begun.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(Row::absolute("a sandbox is made and runs `true`, over HTTP", median(&times), "ms", 8.0))
}
