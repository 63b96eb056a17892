//! Random histories of snapshots, forks, rollbacks, commits, undos and retention: every snapshot
//! that is kept returns to exactly what it held.

use std::collections::HashMap;

use serde_json::Value;

use super::serve::Service;
use crate::support::{Outcome, Scene};

/// SplitMix64; the seed is in every message, so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((z ^ (z >> 31)) % limit as u64).unwrap_or(0)
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    /// A call that changes files.
    fn write(&mut self) -> (&'static str, String) {
        let (p, q) = (self.below(6), self.below(6));
        match self.below(9) {
            0 => ("PUT", format!("files?path=f{p}")),
            1 => ("PUT", format!("files?path=l{p}")),
            2 => ("PUT", format!("files?path=d{p}/x/f{q}&parents=true&mode=0600")),
            3 => ("DELETE", format!("files?path=f{p}")),
            4 => ("DELETE", format!("files?path=d{p}&recursive=true")),
            5 => ("POST", format!("files/folder?path=d{p}/new{q}&parents=true")),
            6 => ("POST", format!("files/move?from=f{p}&to=d{q}/f{p}&overwrite=true")),
            7 => ("POST", format!("files/move?from=d{p}&to=d{q}")),
            _ => ("POST", format!("files/move?from=d{p}&to=d{q}/x/d{p}")),
        }
    }

    fn script(&mut self) -> String {
        let lines: Vec<String> = (0..1 + self.below(4))
            .map(|_| {
                let (p, q, n) = (self.below(6), self.below(6), self.below(1000));
                match self.below(6) {
                    0 => format!("rm -rf d{p}"),
                    1 => format!("mkdir -p d{p}/x; echo {n} > d{p}/x/f{q}"),
                    2 => format!("echo {n} >> f{p}"),
                    3 => format!("mv f{p} f{q} 2>/dev/null || :"),
                    4 => format!("rm -f f{p}; ln -sfn f{q} l{p}"),
                    _ => format!("echo {n} > f{p}; chmod 6{p}0 f{p}"),
                }
            })
            .collect();
        lines.join("\n")
    }
}

/// What a sandbox holds, in words: kinds, modes, names, targets and contents.
const LOOK: &str = "find . -mindepth 1 -printf '%y %m %p %l\\n' | sort
    find . -type f | sort | xargs -r cat";

struct Lives {
    scene: Scene,
    service: Service,
    token: String,
    driver: &'static str,
    sandboxes: Vec<String>,
    /// What each sandbox holds now.
    now: HashMap<String, String>,
    /// What each snapshot held; nothing once that can be known no more.
    held: HashMap<String, Option<String>>,
    /// The sandbox of each snapshot.
    of: HashMap<String, String>,
}

impl Lives {
    fn ctrlz(&self, arguments: &[&str]) -> Outcome {
        Outcome::of(self.scene.ctrlz(arguments).env("CTRLZ_WORKSPACE", self.driver))
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let arguments: Vec<&str> = ["--json"].iter().chain(arguments).copied().collect();
        self.ctrlz(&arguments).ok().json()
    }

    /// Changes files without a command, as the service does. What cannot be done is refused, and changes
    /// nothing.
    fn write(&mut self, name: &str, (method, rest): &(&str, String)) {
        let before = self.now[name].clone();
        let client = self.service.with(&self.token);
        let path = format!("/v1/sandboxes/{name}/{rest}");
        let status = client.send(method, &path, &[], b"written\n").status;
        assert!(matches!(status, 200 | 404 | 409 | 422), "{method} {path}: {status}");
        if status != 200 {
            assert_eq!(self.look(name), before, "{method} {path}");
        }
    }

    fn look(&self, name: &str) -> String {
        self.ctrlz(&["exec", "--no-snapshot", name, "--", "sh", "-c", LOOK]).ok().out()
    }

    /// Learns which snapshots are there: all new ones are of the point before the last step.
    fn learn(&mut self, name: &str) {
        let object = self.json(&["snapshots", name, "--all"]);
        let ids: Vec<String> = object["snapshots"]
            .as_array()
            .expect("an array")
            .iter()
            .map(|one| one["id"].as_str().expect("an id").to_owned())
            .collect();
        self.held.retain(|id, _| self.of[id] != name || ids.contains(id));
        let before = self.now.get(name).cloned();
        for id in ids {
            self.held.entry(id.clone()).or_insert_with(|| before.clone());
            self.of.insert(id, name.to_owned());
        }
        self.now.insert(name.to_owned(), self.look(name));
    }

    /// The folder below changed: what others saw of it, they may see otherwise.
    fn folder_moved(&mut self, by: &str) {
        let of = &self.of;
        self.held.iter_mut().filter(|(id, _)| of[*id] != by).for_each(|(_, held)| *held = None);
        for name in self.sandboxes.clone() {
            let now = self.look(&name);
            self.now.insert(name, now);
        }
    }

    fn return_to(&mut self, id: &str) {
        let name = self.of[id].clone();
        self.ctrlz(&["rollback", &name, id, "--verify"]).ok();
        let expected = self.held[id].clone();
        self.learn(&name);
        if let Some(expected) = expected {
            assert_eq!(self.now[&name], expected, "{id} of {name}");
        }
    }

    fn step(&mut self, random: &mut Random) {
        let name = random.pick(&self.sandboxes).clone();
        let mut ids: Vec<String> = self.held.keys().cloned().collect();
        ids.sort();
        let choice = random.below(21);
        let told = match choice {
            0..=5 => {
                let script = random.script();
                let arguments = ["exec", &name, "--yes", "--", "sh", "-c", &script];
                self.ctrlz(&arguments).ok();
                script
            }
            6..=8 => {
                let tag = random.pick(&["keep", "x", "y"]);
                self.ctrlz(&["snapshot", &name, "--tag", tag]).ok();
                format!("snapshot {tag}")
            }
            9 | 10 if !ids.is_empty() => {
                let id = random.pick(&ids).clone();
                println!("rollback {id}");
                return self.return_to(&id);
            }
            11 if self.sandboxes.len() < 4 => {
                let fork = format!("fork{}", self.sandboxes.len());
                self.ctrlz(&["fork", &name, &fork]).ok();
                self.sandboxes.push(fork.clone());
                println!("fork {name} {fork}");
                self.learn(&fork);
                assert_eq!(self.now[&fork], self.now[&name]);
                return;
            }
            12 | 13 => {
                println!("commit {name}");
                let code = self.ctrlz(&["commit", &name]).status.code();
                assert!(matches!(code, Some(0 | 123)), "{code:?}");
                self.folder_moved(&name);
                return self.learn(&name);
            }
            14 | 15 => {
                println!("undo {name}");
                for _ in 0..2 {
                    let code = self.ctrlz(&["undo", &name]).status.code();
                    assert!(matches!(code, Some(0 | 123)), "{code:?}");
                }
                self.folder_moved(&name);
                return self.learn(&name);
            }
            16 if !ids.is_empty() => {
                let id = random.pick(&ids).clone();
                self.ctrlz(&["snapshot", "rm", "--force", &id]).ok();
                format!("rm {id}")
            }
            17 | 18 => {
                let call = random.write();
                self.write(&name, &call);
                format!("{} {}", call.0, call.1)
            }
            _ => {
                let policy = [
                    vec!["--max-age", "0"],
                    vec!["--max-snapshots", "2"],
                    vec!["--max-bytes", "6000"],
                    vec!["--max-age", "0", "--max-snapshots", "1", "--max-bytes", "1"],
                ];
                let policy = random.pick(&policy).clone();
                let arguments: Vec<&str> = ["gc"].iter().chain(&policy).copied().collect();
                self.ctrlz(&arguments).ok();
                policy.join(" ")
            }
        };
        println!("step {choice} in {name}: {told}");
        for name in self.sandboxes.clone() {
            self.learn(&name);
        }
    }
}

fn live(driver: &'static str, seed: u64) {
    println!("driver {driver}, seed {seed}");
    let scene = Scene::with("echo a > f0; echo b > f1; mkdir -p d0/x; echo c > d0/x/f2");
    let mut command = scene.ctrlz(["serve", "--listen", "127.0.0.1:0", "--json"]);
    command.env("CTRLZ_WORKSPACE", driver);
    let service = Service::begin(command);
    let token = service.admin.clone();
    let mut lives = Lives {
        scene,
        service,
        token,
        driver,
        sandboxes: vec!["main".to_owned()],
        now: HashMap::new(),
        held: HashMap::new(),
        of: HashMap::new(),
    };
    lives.ctrlz(&["new", "main"]).ok();
    lives.learn("main");
    let mut random = Random(seed);
    for _ in 0..40 {
        lives.step(&mut random);
    }
    let mut ids: Vec<String> = lives.held.keys().cloned().collect();
    ids.sort();
    assert!(ids.len() > 3, "something is left to return to");
    for id in ids {
        lives.return_to(&id);
    }
    lives.ctrlz(&["audit", "verify"]).ok();
}

fn seeds() -> Vec<u64> {
    match std::env::var("CTRLZ_LIVES_SEED") {
        Ok(seed) => vec![seed.parse().expect("CTRLZ_LIVES_SEED is a number")],
        Err(_) => (1..=4).collect(),
    }
}

#[test]
fn every_kept_snapshot_returns_on_the_overlay() {
    seeds().into_iter().for_each(|seed| live("overlay", seed));
}

#[test]
fn every_kept_snapshot_returns_on_copies() {
    seeds().into_iter().for_each(|seed| live("copy", seed));
}
