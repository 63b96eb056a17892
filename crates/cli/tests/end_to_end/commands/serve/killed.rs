//! Clients that work while the service, or what launches for it, is killed: what they were answered, the
//! journal and the files are of one opinion.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::{Client, Service};
use crate::support::Scene;

const CLIENTS: usize = 4;
const KILLS: usize = 5;
/// So much is done between two kills.
const BETWEEN: usize = 10;

/// What a client asked for under a key, and what it was told in the end.
struct Deed {
    key: String,
    what: &'static str,
    told: Told,
}

#[derive(Debug, PartialEq)]
enum Told {
    /// It was done, and the answer says this.
    Done(String),
    /// It was not done.
    Not(String),
    /// It was begun, and the service killed.
    Cut,
}

/// What the killer and the clients share.
struct Place {
    address: Mutex<String>,
    token: String,
    over: AtomicBool,
    done: AtomicUsize,
}

impl Place {
    /// Sends a request once; nothing when there is no whole answer.
    fn send(&self, deed: (&str, &str), sandbox: &str) -> Option<(u16, String)> {
        let (what, key) = deed;
        let (method, path, body) = match what {
            "run" => {
                let script = format!("echo {key} >> log; sleep 0.02; echo {key} >> log");
                ("POST", "operations".to_owned(), json!({ "script": script }).to_string())
            }
            "snapshot" => ("POST", "snapshots".to_owned(), json!({ "message": key }).to_string()),
            "undo" => ("POST", "undo".to_owned(), "{}".to_owned()),
            "write" => ("PUT", format!("files?path={key}"), key.to_owned()),
            _ => ("PUT", format!("state/{key}"), key.to_owned()),
        };
        let address = self.address.lock().expect("nobody panicked").clone();
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{address}/v1/sandboxes/{sandbox}/{path}"))
            .header("authorization", format!("Bearer {}", self.token))
            .header("content-type", "application/json")
            .header("idempotency-key", key);
        let request = request.body(body).expect("a request");
        let mut answer = Client::agent().run(request).ok()?;
        let text = answer.body_mut().read_to_string().ok()?;
        Some((answer.status().as_u16(), text))
    }

    /// Sends a request until it is answered for good, when its key lets that be done.
    fn ask(&self, what: &'static str, key: String, sandbox: &str) -> Deed {
        let begun = Instant::now();
        let told = loop {
            assert!(begun.elapsed() < Duration::from_secs(60), "{what} {key} is never answered");
            match self.send((what, &key), sandbox) {
                Some((409, text)) if text.contains("idempotency-key") => {}
                Some((500, text)) if text.contains("\"interrupted\"") => break Told::Cut,
                Some((200..300, text)) => break Told::Done(text),
                Some((status, text)) => break Told::Not(format!("{status}: {text}")),
                None if matches!(what, "write" | "state") => break Told::Cut,
                None => {}
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        if matches!(told, Told::Done(_)) {
            self.done.fetch_add(1, Ordering::SeqCst);
        }
        Deed { key, what, told }
    }

    fn live(&self, sandbox: &str) -> Vec<Deed> {
        let mut deeds = Vec::new();
        let cycle = ["run", "write", "run", "undo", "state", "run", "snapshot"];
        while !self.over.load(Ordering::SeqCst) {
            let number = deeds.len();
            deeds.push(self.ask(cycle[number % cycle.len()], format!("k{number:06}"), sandbox));
        }
        deeds
    }
}

/// The launcher of a service, when it has one.
fn launcher(service: &Service) -> Option<Pid> {
    let tasks = format!("/proc/{}/task", service.process.id());
    let tasks = std::fs::read_dir(tasks).ok()?.flatten();
    let children: Vec<String> = tasks
        .map(|task| std::fs::read_to_string(task.path().join("children")).unwrap_or_default())
        .collect();
    let pids = children.iter().flat_map(|line| line.split_whitespace());
    let mut pids = pids.filter(|pid| {
        let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        words.split(|byte| *byte == 0).any(|word| word == b"__launcher")
    });
    Pid::from_raw(pids.next()?.parse().ok()?)
}

/// Kills now this, now that, and starts again what does not start by itself.
fn kill(place: &Place, scene: &Scene, mut service: Service) -> Service {
    for round in 0..KILLS {
        let done = place.done.load(Ordering::SeqCst);
        let begun = Instant::now();
        while place.done.load(Ordering::SeqCst) < done + BETWEEN {
            assert!(begun.elapsed() < Duration::from_secs(60), "nothing is done after a kill");
            std::thread::sleep(Duration::from_millis(7));
        }
        if round % 2 == 1 {
            if let Some(launcher) = launcher(&service) {
                let _ = kill_process(launcher, Signal::KILL);
            }
            continue;
        }
        drop(service);
        service = Service::start(scene);
        place.address.lock().expect("nobody panicked").clone_from(&service.address);
    }
    service
}

#[test]
fn whatever_is_killed_all_that_was_answered_is_there_once() {
    let scene = Scene::new();
    let service = Service::start(&scene);
    let sandboxes: Vec<String> = (0..CLIENTS).map(|number| format!("box-{number}")).collect();
    for sandbox in &sandboxes {
        service.admin().sandbox(sandbox);
    }
    let place = Place {
        address: Mutex::new(service.address.clone()),
        token: service.admin.clone(),
        over: AtomicBool::new(false),
        done: AtomicUsize::new(0),
    };
    let (service, lives) = std::thread::scope(|scope| {
        let clients: Vec<_> = sandboxes
            .iter()
            .map(|sandbox| (sandbox, scope.spawn(|| place.live(sandbox))))
            .collect();
        let service = scope.spawn(|| kill(&place, &scene, service)).join();
        place.over.store(true, Ordering::SeqCst);
        let lives: Vec<_> = clients
            .into_iter()
            .map(|(sandbox, client)| (sandbox, client.join().expect("a life")))
            .collect();
        (service.expect("a service"), lives)
    });
    let client = service.with(&place.token);
    for (sandbox, deeds) in &lives {
        agree(client, sandbox, deeds);
        // The same key is answered in the same way, and nothing is done again.
        for deed in deeds.iter().rev().filter(|deed| deed.what == "run").take(5) {
            let again = place.send((deed.what, &deed.key), sandbox).expect("an answer");
            match &deed.told {
                Told::Done(text) => assert_eq!((again.0, &again.1), (200, text)),
                Told::Cut => assert!(again.1.contains("\"interrupted\""), "{}", again.1),
                Told::Not(_) => {}
            }
        }
        agree(client, sandbox, deeds);
    }
    service.stop();
    scene.ok(&["audit", "verify"]);
    scene.ok(&["recover"]);
}

/// What a client was told, the journal and what is there say the same.
fn agree(client: Client<'_>, sandbox: &str, deeds: &[Deed]) {
    let path = format!("/v1/sandboxes/{sandbox}/operations?limit=1000");
    let journal = client.get(&path).is(200).json()["items"].as_array().expect("a list").clone();
    for one in &journal {
        let status = one["status"].as_str().expect("a status");
        assert!(matches!(status, "done" | "undone" | "failed" | "recovered"), "{one}");
    }
    let log = client.get(&format!("/v1/sandboxes/{sandbox}/files?path=log"));
    let undone = journal.iter().filter(|one| one["request"]["kind"] == "undo");
    let undone: Vec<&Value> = undone.filter(|one| one["status"] == "done").collect();
    for Deed { key, what, told } in deeds {
        if *what == "undo" {
            if let Told::Done(text) = told {
                let told: Value = serde_json::from_str(text).expect("an object");
                assert!(
                    undone.iter().any(|one| one["id"] == told["operation"]),
                    "{sandbox}: {told}"
                );
            }
            continue;
        }
        let found = journal.iter().filter(|one| {
            one["request"]["kind"] == *what
                && one["request"]["title"].as_str().is_some_and(|title| title.contains(key))
        });
        let took_effect = |one: &&Value| one["status"] == "done" || one["status"] == "undone";
        let found: Vec<&Value> = found.filter(took_effect).collect();
        match told {
            Told::Done(text) => assert_eq!(found.len(), 1, "{sandbox} {key}: {text}"),
            Told::Not(text) => assert_eq!(found.len(), 0, "{sandbox} {key}: {text}"),
            Told::Cut => assert!(found.len() <= 1, "{sandbox} {key}: {found:?}"),
        }
        let stands = found.first().is_some_and(|one| one["status"] == "done");
        match *what {
            "run" => {
                let lines = log.text.lines().filter(|line| line == key).count();
                assert_eq!(lines, if stands { 2 } else { 0 }, "{sandbox} {key}: {}", log.text);
            }
            "write" => {
                let file = client.get(&format!("/v1/sandboxes/{sandbox}/files?path={key}"));
                assert_eq!(file.status, if stands { 200 } else { 404 }, "{sandbox} {key}");
                assert!(!stands || file.text == *key, "{}", file.text);
            }
            "state" => {
                let value = client.get(&format!("/v1/sandboxes/{sandbox}/state/{key}"));
                assert_eq!(value.status, if stands { 200 } else { 404 }, "{sandbox} {key}");
                assert!(!stands || value.text == *key, "{}", value.text);
            }
            _ => {}
        }
    }
    // Nobody undid what nobody wanted undone.
    let wanted = deeds.iter().filter(|deed| deed.what == "undo");
    let wanted = wanted.filter(|deed| !matches!(deed.told, Told::Not(_))).count();
    assert!(undone.len() <= wanted, "{sandbox}: {} of {wanted}", undone.len());
}

#[test]
fn what_was_cut_short_is_ended_though_nobody_uses_the_sandbox_again() {
    let scene = Scene::new();
    let start = || {
        // A daemon would end it as well, when it looks after the store.
        let command = ["serve", "--listen", "127.0.0.1:0", "--json", "--no-daemons"];
        Service::begin(scene.ctrlz(command))
    };
    let service = start();
    let token = service.admin.clone();
    let client = service.admin();
    client.put("/v1/tenants/acme", &json!({})).is(200);
    let theirs = client.token("acme", "operator");
    for client in [client, service.with(&theirs)] {
        client.sandbox("web");
        client.begin("web", &json!({ "script": "echo half > file; sleep 600" }));
        wait_for(client, "open");
    }
    drop(service);
    let service = start();
    for token in [&token, &theirs] {
        wait_for(service.with(token), "recovered");
    }
}

/// Waits until the newest operation in `web` has come so far.
#[track_caller]
fn wait_for(client: Client<'_>, status: &str) {
    let begun = Instant::now();
    loop {
        let newest = client.get("/v1/sandboxes/web/operations?limit=1").is(200).json();
        let newest = &newest["items"][0];
        if newest["request"]["kind"] == "run" && newest["status"] == status {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "it never is {status}: {newest}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
