//! The service, its launcher, or all of its processes are killed while clients work, and started again.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::super::ctrlz::Ctrlz;
use super::super::numbers::until;
use super::super::random::Random;
use super::deeds::{Answered, Deed, Sent, What};
use super::{start, views};
use crate::failure::{Answer, Failure};
use crate::project;
use crate::service::{Client, Reply, Request, Service};

/// How many clients work at once, each in a sandbox of its own.
const CLIENTS: usize = 16;
/// How long a client asks for an answer before it is none that will come.
const PATIENCE: Duration = Duration::from_secs(120);
/// How many answers of each client are asked for again at the end.
const AGAIN: usize = 30;

/// Where the service can be reached, and whether there is anything left to do.
struct Scene {
    address: Mutex<String>,
    token: String,
    over: AtomicBool,
    /// How much was answered as done.
    done: AtomicUsize,
}

/// What one client did.
struct Life {
    sandbox: String,
    deeds: Vec<Deed>,
}

/// Kills so many times, and compares. Answers the service that runs then.
pub(super) fn soak(ctrlz: &Ctrlz, service: Service, seed: u64, kills: u64) -> Answer<Service> {
    let scene = Scene {
        address: Mutex::new(service.address.clone()),
        token: service.token.clone(),
        over: AtomicBool::new(false),
        done: AtomicUsize::new(0),
    };
    let (service, lives) = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let scene = &scene;
                scope.spawn(move || {
                    let lived = live(scene, number, seed);
                    if lived.is_err() {
                        scene.over.store(true, Ordering::SeqCst);
                    }
                    lived
                })
            })
            .collect();
        let service = kill(ctrlz, &scene, service, (seed, kills));
        scene.over.store(true, Ordering::SeqCst);
        let mut lives = Vec::new();
        let mut failed = None;
        for client in clients {
            match client.join().unwrap_or_else(|_| Err(Failure::told("a client panicked"))) {
                Ok(life) => lives.push(life),
                Err(failure) => failed = failed.or(Some(failure)),
            }
        }
        match (failed, service) {
            (Some(failure), _) | (None, Err(failure)) => Err(failure),
            (None, Ok(service)) => Ok((service, lives)),
        }
    })?;
    let mut client = service.client()?;
    for life in &lives {
        views::agree(&mut client, &life.sandbox, &life.deeds)?;
        again(&mut client, life)?;
        // Asking again did nothing again.
        views::agree(&mut client, &life.sandbox, &life.deeds)?;
    }
    let deeds = || lives.iter().flat_map(|life| &life.deeds);
    let count = |is: &dyn Fn(&Answered) -> bool| deeds().filter(|deed| is(&deed.answered)).count();
    println!(
        "{kills} kills under {CLIENTS} clients: {} answered as done, {} as not done, {} cut short; \
         all views agree with the journal",
        count(&|answered| matches!(answered, Answered::Done(_))),
        count(&|answered| matches!(answered, Answered::Not(_))),
        count(&|answered| *answered == Answered::Unknown),
    );
    Ok(service)
}

/// The killer.
fn kill(
    ctrlz: &Ctrlz,
    scene: &Scene,
    mut service: Service,
    (seed, kills): (u64, u64),
) -> Answer<Service> {
    let mut random = Random::new(seed);
    for round in 0..kills {
        let done = scene.done.load(Ordering::SeqCst);
        // Work goes on after the kill before.
        until(|| {
            scene.over.load(Ordering::SeqCst) || scene.done.load(Ordering::SeqCst) >= done + CLIENTS
        })?;
        thread::sleep(Duration::from_micros(random.below(700_000)));
        if scene.over.load(Ordering::SeqCst) {
            break;
        }
        if round % 3 == 1 {
            if let Some(launcher) = launcher(&service) {
                // It may have ended meanwhile, with nothing to launch.
                let _ = kill_process(launcher, Signal::KILL);
            }
            continue;
        }
        let pid = Pid::from_raw(i32::try_from(service.pid()).unwrap_or_default());
        if let Some(pid) = pid.filter(|_| round % 3 == 2) {
            // All that did not begin a session of its own.
            let _ = kill_process_group(pid, Signal::KILL);
        }
        service.kill();
        service = start(ctrlz, Some(&scene.token))?;
        let mut address = scene.address.lock().unwrap_or_else(PoisonError::into_inner);
        address.clone_from(&service.address);
    }
    Ok(service)
}

fn launcher(service: &Service) -> Option<Pid> {
    let is_it = |pid: &u32| {
        let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        words.split(|byte| *byte == 0).any(|word| word == b"__launcher")
    };
    let pid = service.children().into_iter().find(is_it)?;
    Pid::from_raw(i32::try_from(pid).ok()?)
}

/// One client's life.
fn live(scene: &Scene, number: usize, seed: u64) -> Answer<Life> {
    let mut random = Random::new(seed.wrapping_add(1000 + number as u64));
    let sandbox = format!("killed-{number}");
    let mut life = Life { sandbox: sandbox.clone(), deeds: Vec::new() };
    let mut connection = None;
    let make = Sent {
        method: "POST",
        path: "/v1/sandboxes".to_owned(),
        body: format!("{{\"name\":\"{sandbox}\"}}").into_bytes(),
    };
    scene.ask(&mut connection, &make, &sandbox)?.expect("the making of a sandbox")?;
    while !scene.over.load(Ordering::SeqCst) {
        let key = format!("k{number:02}x{:06}", life.deeds.len());
        let what = match random.below(10) {
            0..4 => What::Run,
            4..6 => What::Write,
            6..8 => What::State,
            8 => What::Snapshot,
            _ => What::Undo,
        };
        let sent = what.request(&sandbox, &key);
        let told = scene.ask(&mut connection, &sent, &key)?;
        let (answered, kept) = told.read(what);
        if matches!(answered, Answered::Done(_)) {
            scene.done.fetch_add(1, Ordering::SeqCst);
        }
        life.deeds.push(Deed { key, what, answered, kept });
    }
    Ok(life)
}

/// What came of asking until there was an answer.
enum Told {
    Answer(Reply),
    /// The connection was lost, and it would not do to ask again.
    Lost,
}

impl Scene {
    /// Sends a request, again and again under the same key where that is allowed, until it is answered
    /// for good.
    fn ask(&self, connection: &mut Option<Client>, sent: &Sent, key: &str) -> Answer<Told> {
        let kind = match sent.method {
            "POST" => ("content-type", "application/json"),
            _ => ("content-type", "application/octet-stream"),
        };
        let headers = [kind, ("idempotency-key", key)];
        let request =
            Request { method: sent.method, path: &sent.path, headers: &headers, body: &sent.body };
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if connection.is_none() {
                let address = self.address.lock().unwrap_or_else(PoisonError::into_inner).clone();
                *connection = Client::connect(&address, &self.token).ok();
            }
            let Some(client) = connection else {
                thread::sleep(Duration::from_millis(10));
                continue;
            };
            match client.ask(request) {
                // It is still being carried out, since a connection before this one.
                Ok(reply) if reply.status == 409 && is(&reply, "idempotency-key") => {
                    thread::sleep(Duration::from_millis(20));
                }
                Ok(reply) => return Ok(Told::Answer(reply)),
                Err(_) => {
                    *connection = None;
                    // Only a POST is known by its key.
                    if sent.method != "POST" {
                        return Ok(Told::Lost);
                    }
                }
            }
        }
        Err(Failure::told(format!("{} {} was never answered", sent.method, sent.path)))
    }
}

fn is(reply: &Reply, kind: &str) -> bool {
    project::text(&reply.json(), "/kind") == Some(kind)
}

impl Told {
    fn expect(self, what: &str) -> Answer {
        match self {
            Self::Answer(reply) if reply.status < 300 || is(&reply, "interrupted") => Ok(()),
            Self::Answer(reply) => Err(Failure::told(format!("{what}: {}", reply.text()))),
            Self::Lost => Err(Failure::told(format!("{what}: no answer"))),
        }
    }

    /// What it means, and the answer where the same one would come again.
    fn read(self, what: What) -> (Answered, Option<(u16, Vec<u8>)>) {
        let Self::Answer(reply) = self else { return (Answered::Unknown, None) };
        let json = reply.json();
        let field = |pointer: &str| project::text(&json, pointer).map(str::to_owned);
        let answered = match (reply.status, what) {
            (200..300, What::Snapshot) => Answered::Done(field("/id")),
            (200..300, _) => Answered::Done(field("/operation")),
            _ if is(&reply, "interrupted") => Answered::Unknown,
            _ => Answered::Not(format!("{}: {}", reply.status, reply.text())),
        };
        let is_kept = matches!(what, What::Run | What::Snapshot | What::Undo)
            && (reply.status < 300 || is(&reply, "interrupted"));
        let kept = is_kept.then_some((reply.status, reply.body));
        (answered, kept)
    }
}

/// What was answered under a key is answered under it again.
fn again(client: &mut Client, life: &Life) -> Answer {
    for deed in life.deeds.iter().rev().filter(|deed| deed.kept.is_some()).take(AGAIN) {
        let sent = deed.what.request(&life.sandbox, &deed.key);
        let headers = [("content-type", "application/json"), ("idempotency-key", &*deed.key)];
        let request =
            Request { method: sent.method, path: &sent.path, headers: &headers, body: &sent.body };
        let Some((status, body)) = &deed.kept else { continue };
        let reply = client.expect(request, *status)?;
        if reply.body != *body {
            let text = reply.text();
            return Err(Failure::told(format!("{deed:?} is answered otherwise now: {text}")));
        }
    }
    Ok(())
}
