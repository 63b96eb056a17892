//! Clients that are never idle: each has sandboxes of its own, works in one of them at a time, and
//! knows what it should find there.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::super::random::Random;
use super::figures::Latencies;
use crate::failure::{Answer, Failure};
use crate::service::{Client, Reply, Request, Service};

/// So many errors are enough.
const ENOUGH: usize = 20;

/// What all clients share.
pub(super) struct Load<'l> {
    service: &'l Service,
    begun: Instant,
    time: Duration,
    over: AtomicBool,
    /// Calls that were answered.
    answered: AtomicU64,
    errors: Mutex<Vec<String>>,
}

/// A sandbox as its client knows it.
#[derive(Debug, Default)]
struct Known {
    name: String,
    /// Lines that commands have added to the file `log`.
    lines: usize,
    /// Whether the last thing that undo would take back is such a line.
    undoable: bool,
    written: Option<u64>,
    state: Option<u64>,
}

impl<'l> Load<'l> {
    pub(super) fn new(service: &'l Service, time: Duration) -> Self {
        Self {
            service,
            begun: Instant::now(),
            time,
            over: AtomicBool::new(false),
            answered: AtomicU64::new(0),
            errors: Mutex::default(),
        }
    }

    fn goes_on(&self) -> bool {
        !self.over.load(Ordering::SeqCst) && self.begun.elapsed() < self.time
    }

    fn went_wrong(&self, what: String) {
        let Ok(mut errors) = self.errors.lock() else { return };
        errors.push(what);
        if errors.len() >= ENOUGH {
            self.over.store(true, Ordering::SeqCst);
        }
    }

    /// Lets a client for each tenth of the sandboxes work until the time is over, while `look` is
    /// called every so often. Answers how long the calls took, and how many were answered by each look.
    pub(super) fn run(
        &self,
        names: &[String],
        seed: u64,
        (often, mut look): (Duration, impl FnMut(Duration, u64)),
    ) -> Answer<Latencies> {
        let all = thread::scope(|scope| {
            let clients: Vec<_> = names
                .chunks(10)
                .enumerate()
                .map(|(number, names)| {
                    let random = Random::new(seed.wrapping_add(number as u64));
                    scope.spawn(move || self.live(names, random))
                })
                .collect();
            while self.goes_on() {
                look(self.begun.elapsed(), self.answered.load(Ordering::Relaxed));
                thread::sleep(often);
            }
            let mut all = Latencies::default();
            for client in clients {
                match client.join() {
                    Ok(took) => all.join(took),
                    Err(_) => self.went_wrong("a client panicked".to_owned()),
                }
            }
            all
        });
        let errors = self.errors.lock().map(|errors| errors.clone()).unwrap_or_default();
        match errors.is_empty() {
            true => Ok(all),
            false => Err(Failure::told(format!("{} errors:\n{}", errors.len(), errors.join("\n")))),
        }
    }

    /// One client's life.
    fn live(&self, names: &[String], mut random: Random) -> Latencies {
        let mut took = Latencies::default();
        let mut known: Vec<Known> =
            names.iter().map(|name| Known { name: name.clone(), ..Known::default() }).collect();
        let mut client = None;
        while self.goes_on() {
            let index = usize::try_from(random.below(known.len() as u64)).unwrap_or(0);
            let Some(one) = known.get_mut(index) else { break };
            if let Err(failure) = self.step(&mut client, one, &mut random, &mut took) {
                self.went_wrong(format!("{}: {failure}", one.name));
                // What the connection is in the middle of is not known.
                client = None;
            }
        }
        took
    }

    fn step(
        &self,
        client: &mut Option<Client>,
        one: &mut Known,
        random: &mut Random,
        took: &mut Latencies,
    ) -> Answer {
        if client.is_none() {
            *client = Some(self.service.client()?);
        }
        let Some(client) = client else { return Ok(()) };
        let number = random.below(1 << 32);
        let mut call = |kind, request: Request<'_>, status| {
            let begun = Instant::now();
            let reply = client.expect(request, status)?;
            took.add(kind, begun.elapsed());
            self.answered.fetch_add(1, Ordering::Relaxed);
            Ok::<Reply, Failure>(reply)
        };
        let at = |rest: &str| format!("/v1/sandboxes/{}{rest}", one.name);
        let right = |holds: bool, what: &str, reply: &Reply| match holds {
            true => Ok(()),
            false => Err(Failure::told(format!("{what}: {}", reply.text()))),
        };
        let adds = format!("\"script\": \"echo {number} >> log; echo {number}\"");
        let told = |reply: &Reply, text: &str| {
            reply.json().pointer(text).and_then(Value::as_str) == Some(&*format!("{number}\n"))
        };
        match random.below(100) {
            0..44 => {
                let reply =
                    call("run", Request::post(&at("/operations"), &format!("{{{adds}}}")), 200)?;
                right(told(&reply, "/stdout"), "it ran otherwise", &reply)?;
                (one.lines, one.undoable) = (one.lines + 1, true);
            }
            44..52 => {
                let body = format!("{{{adds}, \"memory\": 67108864, \"pids\": 32}}");
                let reply = call("run, in cgroups", Request::post(&at("/operations"), &body), 200)?;
                right(told(&reply, "/stdout"), "it ran otherwise", &reply)?;
                (one.lines, one.undoable) = (one.lines + 1, true);
            }
            52..56 => {
                let (path, body) = (at("/operations"), format!("{{{adds}}}"));
                let key = number.to_string();
                let headers = [("content-type", "application/json"), ("idempotency-key", &*key)];
                let request = Request { headers: &headers, ..Request::post(&path, &body) };
                let first = call("run, with a key", request, 200)?;
                right(told(&first, "/stdout"), "it ran otherwise", &first)?;
                (one.lines, one.undoable) = (one.lines + 1, true);
                let again = call("the same key again", request, 200)?;
                right(again.body == first.body, "another answer for the same key", &again)?;
            }
            56..58 => {
                let (path, body) = (at("/operations"), format!("{{{adds}}}"));
                let headers = [("content-type", "application/json"), ("prefer", "respond-async")];
                let request = Request { headers: &headers, ..Request::post(&path, &body) };
                let begun = call("run, without waiting", request, 202)?;
                let wait = format!("{}/wait", begun.header("location").unwrap_or_default());
                let ended = client.expect(Request::post(&wait, "{}"), 200)?;
                right(told(&ended, "/result/stdout"), "it ran otherwise", &ended)?;
                (one.lines, one.undoable) = (one.lines + 1, true);
            }
            58..68 if one.lines > 0 => {
                let reply = call("read a file", Request::get(&at("/files?path=log")), 200)?;
                let lines = reply.body.iter().filter(|byte| **byte == b'\n').count();
                let what = format!("{lines} lines instead of {}", one.lines);
                right(lines == one.lines, &what, &reply)?;
            }
            68..76 => {
                let text = number.to_string();
                call("write a file", Request::put(&at("/files?path=note"), text.as_bytes()), 200)?;
                (one.written, one.undoable) = (Some(number), false);
            }
            76..84 => {
                let text = number.to_string();
                call("write state", Request::put(&at("/state/key"), text.as_bytes()), 200)?;
                (one.state, one.undoable) = (Some(number), false);
            }
            84..88 if one.state.is_some() => {
                let reply = call("read state", Request::get(&at("/state/key")), 200)?;
                let wanted = one.state.map(|state| state.to_string());
                right(Some(reply.text()) == wanted, "another state", &reply)?;
            }
            88..91 => {
                call("snapshot", Request::post(&at("/snapshots"), "{}"), 201)?;
            }
            91..95 if one.undoable => {
                call("undo", Request::post(&at("/undo"), "{}"), 200)?;
                (one.lines, one.undoable) = (one.lines - 1, false);
            }
            95..97 => {
                call("diff", Request::get(&at("/diff")), 200)?;
            }
            97..98 => {
                call("operations", Request::get(&at("/operations?limit=20")), 200)?;
            }
            98..99 => {
                call("sandboxes", Request::get("/v1/sandboxes?limit=20"), 200)?;
            }
            _ => {
                call("metrics", Request::get("/metrics"), 200)?;
            }
        }
        Ok(())
    }
}
