//! The service, used over the network.

mod approvals;
mod archive;
mod attach;
mod authorisation;
mod bounds;
mod container;
mod events;
mod files;
mod killed;
mod live;
mod lives;
mod logs;
mod moves;
mod processes;
mod repeated;
mod systemd;
mod telemetry;
mod tenants;
pub(super) mod tls;
mod upkeep;
mod wasm;

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::support::Scene;

/// A service that runs, on a port that the kernel chose.
pub(super) struct Service {
    process: Child,
    pub(super) address: String,
    /// The administrator's token, when it was the first start.
    pub(super) admin: String,
}

/// An answer.
pub(super) struct Answer {
    pub(super) status: u16,
    headers: ureq::http::HeaderMap,
    pub(super) text: String,
}

impl Answer {
    #[track_caller]
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// Expects that status.
    #[track_caller]
    pub(super) fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

impl Service {
    #[track_caller]
    pub(super) fn start(scene: &Scene) -> Self {
        Self::begin(scene.ctrlz(["serve", "--listen", "127.0.0.1:0", "--json"]))
    }

    #[track_caller]
    pub(super) fn begin(mut command: Command) -> Self {
        let mut process = command.stdout(Stdio::piped()).spawn().expect("a service");
        let mut line = String::new();
        let out = process.stdout.as_mut().expect("its output");
        BufReader::new(out).read_line(&mut line).expect("a line");
        let told: Value = serde_json::from_str(&line).expect("an object");
        let bounds = told["listening"].as_array().expect("addresses");
        let address = bounds.iter().filter_map(Value::as_str).find(|one| one.starts_with("http"));
        Self {
            process,
            address: address.expect("a port").to_owned(),
            admin: told["token"].as_str().unwrap_or_default().to_owned(),
        }
    }

    /// A client with that token.
    pub(super) fn with<'s>(&'s self, token: &'s str) -> Client<'s> {
        Client { service: self, token }
    }

    pub(super) fn admin(&self) -> Client<'_> {
        self.with(&self.admin)
    }

    pub(super) fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.process);
        kill_process(pid, signal).expect("it runs");
    }

    /// Waits for the end that it was asked for.
    fn stop_quietly(mut self) {
        assert!(self.process.wait().expect("its end").success());
    }

    /// Asks it to stop, and waits for that.
    pub(super) fn stop(mut self) -> String {
        self.signal(Signal::TERM);
        let mut told = String::new();
        if let Some(errors) = &mut self.process.stderr {
            errors.read_to_string(&mut told).expect("text");
        }
        assert!(self.process.wait().expect("its end").success());
        told
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[derive(Clone, Copy)]
pub(super) struct Client<'s> {
    service: &'s Service,
    token: &'s str,
}

impl Client<'_> {
    fn agent() -> ureq::Agent {
        ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(60)))
            .build()
            .into()
    }

    #[track_caller]
    pub(super) fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.service.address))
            .header("authorization", format!("Bearer {}", self.token));
        let request =
            headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let mut response = Self::agent().run(request.body(body).expect("a request")).expect(path);
        Answer {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            text: response.body_mut().read_to_string().expect("text"),
        }
    }

    #[track_caller]
    pub(super) fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], b"")
    }

    #[track_caller]
    pub(super) fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, &[], b"")
    }

    #[track_caller]
    pub(super) fn post(&self, path: &str, body: &Value) -> Answer {
        self.post_with(path, body, &[])
    }

    #[track_caller]
    pub(super) fn post_with(&self, path: &str, body: &Value, headers: &[(&str, &str)]) -> Answer {
        let headers = [&[("content-type", "application/json")], headers].concat();
        self.send("POST", path, &headers, body.to_string().as_bytes())
    }

    #[track_caller]
    pub(super) fn put(&self, path: &str, body: &Value) -> Answer {
        let kind = [("content-type", "application/json")];
        self.send("PUT", path, &kind, body.to_string().as_bytes())
    }

    /// Makes a sandbox that starts from nothing.
    #[track_caller]
    pub(super) fn sandbox(&self, name: &str) {
        self.post("/v1/sandboxes", &json!({ "name": name })).is(201);
    }

    /// Runs a script, which is let run; answers what came of it.
    #[track_caller]
    pub(super) fn run(&self, sandbox: &str, script: &str) -> Value {
        let path = format!("/v1/sandboxes/{sandbox}/operations");
        self.post(&path, &json!({ "script": script })).is(200).json()
    }

    /// Lets a script run and comes back at once; answers the process's id.
    #[track_caller]
    pub(super) fn begin(&self, sandbox: &str, operation: &Value) -> String {
        let path = format!("/v1/sandboxes/{sandbox}/operations");
        let begun = self.post_with(&path, operation, &[("prefer", "respond-async")]).is(202);
        let id = begun.json()["process"].as_str().expect("an id").to_owned();
        assert_eq!(begun.header("location"), format!("/v1/processes/{id}"));
        id
    }

    /// The process that runs in a sandbox.
    #[track_caller]
    pub(super) fn running(&self, sandbox: &str) -> String {
        let found = self.get(&format!("/v1/processes?sandbox={sandbox}")).is(200).json();
        found["items"][0]["id"].as_str().expect("a process").to_owned()
    }

    /// Gives a process all that it reads, and waits for its end.
    #[track_caller]
    pub(super) fn feed(&self, process: &str, input: &[u8]) {
        let path = format!("/v1/processes/{process}/input?end=true");
        self.send("POST", &path, &[], input).is(204);
        self.post(&format!("/v1/processes/{process}/wait"), &json!({})).is(200);
    }

    #[track_caller]
    pub(super) fn approve(&self, confirmation: &str) {
        self.post(&format!("/v1/confirmations/{confirmation}/approve"), &json!({})).is(204);
    }

    /// Another token of a tenant.
    #[track_caller]
    pub(super) fn token(&self, tenant: &str, role: &str) -> String {
        let path = format!("/v1/tokens?tenant={tenant}");
        let made = self.post(&path, &json!({ "role": role })).is(201).json();
        made["token"].as_str().expect("a token").to_owned()
    }
}

#[test]
fn what_runs_over_the_network_is_undone_over_the_network() {
    let scene = Scene::new();
    let service = Service::start(&scene);
    let client = service.admin();
    client.sandbox("web");
    let done = client.run("web", "echo out; echo err >&2; echo kept > file; pwd");
    assert_eq!((&done["exit_code"], &done["stderr"]), (&json!(0), &json!("err\n")), "{done}");
    assert!(done["stdout"].as_str().is_some_and(|text| text.starts_with("out\n/")), "{done}");
    assert_eq!(done["counts"]["added"], 1, "{done}");
    let diff = client.get("/v1/sandboxes/web/diff").is(200).json();
    assert_eq!(diff["changes"][0]["path"], "file", "{diff}");
    let undone = client.post("/v1/sandboxes/web/undo", &json!({})).is(200).json();
    assert_eq!(undone["target"], done["operation"]);
    let diff = client.get("/v1/sandboxes/web/diff").is(200).json();
    assert_eq!(diff["changes"], json!([]));
    client.post("/v1/sandboxes/web/redo", &json!({})).is(200);
    client.post("/v1/sandboxes/web/commit", &json!({})).is(200);
    // The command line sees the same sandbox, while the service runs.
    assert_eq!(scene.json(&["log", "web"])["operations"][0]["request"]["kind"], "commit");
    let listed = client.get("/v1/sandboxes/web/operations?limit=1").is(200).json();
    assert_eq!(listed["items"][0]["request"]["kind"], "commit", "{listed}");
    let next = listed["next"].as_str().expect("there are more");
    let older = client.get(&format!("/v1/sandboxes/web/operations?cursor={next}")).is(200).json();
    assert_eq!(older["items"][0]["request"]["kind"], "redo", "{older}");
    client.delete("/v1/sandboxes/web").is(200);
    client.get("/v1/sandboxes/web").is(404);
    let left = std::fs::read_dir(scene.root.join("store.workspaces/default")).expect("a folder");
    assert_eq!(left.count(), 0);
    assert_eq!(service.stop(), "");
}

#[test]
fn one_call_checks_keeps_runs_and_takes_back() {
    let scene = Scene::new();
    let service = Service::start(&scene);
    let client = service.admin();
    client.sandbox("web");
    let asked =
        |command: &str| json!({ "sandbox_id": "web", "operation_id": "7", "command": command });
    let good = client.post("/sandbox/execute", &asked("echo a > a")).is(200).json();
    assert_eq!((&good["success"], &good["operation_id"]), (&json!(true), &json!("7")), "{good}");
    assert!(good["snapshot_id"].as_str().is_some_and(|id| id.starts_with("snap-")), "{good}");
    let unsafe_ = client.post("/sandbox/execute", &asked("rm -rf /")).is(400).json();
    assert_eq!(unsafe_["kind"], "blocked", "{unsafe_}");
    let failed = client.post("/sandbox/execute", &asked("rm a; echo b > b; exit 3")).is(500).json();
    assert_eq!(failed["kind"], "operation-failed", "{failed}");
    assert_eq!(failed["result"]["exit_code"], 3, "{failed}");
    let left = client.run("web", "ls");
    assert_eq!(left["stdout"], "a\n", "{left}");
}

#[test]
fn sandboxes_do_not_see_each_other_nor_the_store() {
    let Some(scene) = Scene::seen_inside() else { return };
    let service = Service::start(&scene);
    let client = service.admin();
    client.sandbox("one");
    client.sandbox("two");
    client.run("one", "echo secret > mine");
    client.post("/v1/sandboxes/one/commit", &json!({})).is(200);
    let root = scene.root.display();
    let seen = client.run("two", &format!("find {root} 2>&1; cat {root}/store/*"));
    let text = seen["stdout"].as_str().expect("text");
    assert!(text.contains("store.workspaces/default/two"), "{text}");
    assert!(
        !text.contains("one") && !text.contains("store.db") && !text.contains("mine"),
        "{text}"
    );
}

#[test]
fn what_a_fork_stands_on_stays_when_its_source_goes() {
    let scene = Scene::new();
    let service = Service::start(&scene);
    let client = service.admin();
    client.sandbox("src");
    client.run("src", "echo precious > f");
    client.post("/v1/sandboxes/src/commit", &json!({})).is(200);
    client.post("/v1/sandboxes/src/fork", &json!({ "name": "copy" })).is(201);
    client.run("src", "echo more > more");
    assert_eq!(client.delete("/v1/sandboxes/src").is(409).json()["kind"], "uncommitted");
    client.delete("/v1/sandboxes/src?force=true").is(200);
    assert_eq!(client.run("copy", "cat f")["stdout"], "precious\n");
    // Another sandbox of that name has nothing to do with it.
    client.sandbox("src");
    assert_eq!(client.run("src", "ls")["stdout"], "");
    client.delete("/v1/sandboxes/copy").is(200);
    client.delete("/v1/sandboxes/src").is(200);
    let left = std::fs::read_dir(scene.root.join("store.workspaces/default")).expect("a folder");
    assert_eq!(left.count(), 0);
}

#[test]
fn what_removed_sandboxes_needed_goes_though_many_go_at_once() {
    let scene = Scene::new();
    let service = Service::start(&scene);
    let client = service.admin();
    let names: Vec<String> = (0..12).map(|number| format!("box-{number}")).collect();
    for name in &names {
        client.sandbox(name);
        client.run(name, "echo a > a");
    }
    let layers = || std::fs::read_dir(scene.store.join("layers")).map_or(0, Iterator::count);
    assert!(layers() >= names.len());
    for name in &names {
        client.delete(&format!("/v1/sandboxes/{name}?force=true")).is(200);
    }
    let begun = std::time::Instant::now();
    while layers() > 0 {
        assert!(begun.elapsed() < Duration::from_secs(60), "{} layers are left", layers());
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn what_failed_takes_back_its_own_changes_and_nobody_elses() {
    let scene = Scene::new();
    let service = Service::start(&scene);
    let client = service.admin();
    client.sandbox("web");
    let failing = json!({ "sandbox_id": "web", "command": "echo a > junk; sleep 0.1; false" });
    std::thread::scope(|scope| {
        for number in 0..6 {
            let failing = &failing;
            scope.spawn(move || client.post("/sandbox/execute", failing).is(500));
            scope.spawn(move || client.run("web", &format!("echo {number} > w{number}")));
        }
    });
    let left = client.run("web", "ls");
    assert_eq!(left["stdout"], "w0\nw1\nw2\nw3\nw4\nw5\n", "{left}");
}

#[test]
fn it_is_told_whether_it_lives_and_is_ready() {
    let scene = Scene::new();
    let service = Service::start(&scene);
    let nobody = service.with("");
    assert_eq!(nobody.get("/health/live").is(200).json()["status"], "healthy");
    let ready = nobody.get("/health/ready").is(200).json();
    for check in ["accepting", "store", "space"] {
        assert_eq!(ready["checks"][check]["healthy"], true, "{ready}");
    }
    service.admin().sandbox("web");
    service.admin().run("web", "true");
    service.admin().post("/v1/sandboxes/web/snapshots", &json!({})).is(201);
    nobody.get("/metrics").is(401);
    let measured = "sandbox_snapshot_size_bytes_count 1";
    let mut text = String::new();
    // A snapshot is measured after it was answered for.
    while !text.lines().any(|line| line == measured) {
        text = service.admin().get("/metrics").is(200).text;
    }
    for line in [
        "sandbox_operations_total{type=\"run\",status=\"success\"} 1",
        "sandbox_operation_duration_seconds_count{type=\"run\"} 1",
        "ctrlz_operations_running 0",
        "ctrlz_command_cpu_seconds_count 1",
        "ctrlz_command_peak_memory_bytes_count 1",
        "ctrlz_command_processes_count 1",
        "ctrlz_workspace_changes_total{kind=\"added\"} 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in {text}");
    }
    assert!(nobody.get("/docs").is(200).text.contains("/v1/sandboxes/{sandbox}/operations"));
    assert_eq!(nobody.get("/openapi.json").is(200).json()["openapi"], "3.1.0");
    let nowhere = nobody.get("/nowhere").is(404);
    assert_eq!(nowhere.header("content-type"), "application/problem+json");
    assert!(!nowhere.header("x-request-id").is_empty());
    assert_eq!(nowhere.header("x-content-type-options"), "nosniff");
}

#[test]
fn nothing_is_offered_to_other_machines_by_accident() {
    let scene = Scene::new();
    let refused = scene.run(&["serve", "--listen", "0.0.0.0:0"]).code(123);
    refused.says(&["can be reached from other machines", "--insecure"]);
    scene.run(&["serve", "--listen", "nonsense"]).code(125).says(&["no address and port"]);
    // The first token is told when the service begins, not when it could not.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    scene.run(&["serve", "--listen", &address]).code(125).says(&["cannot listen"]);
    assert!(!scene.store.join("service.sock").exists());
    let service = Service::start(&scene);
    service.admin().get("/v1/tokens").is(200);
    scene.run(&["serve", "--listen", "none"]).code(125).says(&["another service listens there"]);
    let socket = std::fs::metadata(scene.store.join("service.sock")).expect("a socket");
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&socket.permissions()) & 0o777, 0o600);
    service.stop();
    assert!(!scene.store.join("service.sock").exists());
}

#[test]
fn a_sandbox_begins_with_the_setup_and_the_environment_of_its_folder() {
    let scene = Scene::new();
    let project = scene.project.display();
    let config = scene.project.join("ctrlz.yaml");
    std::fs::write(&config, "setup: [echo ready > made]\nenvironment: { tools: [sh] }\n")
        .expect("written");
    let service = Service::start(&scene);
    let client = service.admin();
    let new = json!({ "name": "web", "base": scene.project });
    client.post("/v1/sandboxes", &new).is(201);
    assert_eq!(client.run("web", "cat made")["stdout"], "ready\n");
    std::fs::write(&config, "environment: { tools: [nothing-has-this-name] }\n").expect("written");
    let missing = json!({ "name": "other", "base": format!("{project}") });
    let refused = client.post("/v1/sandboxes", &missing);
    assert!(refused.text.contains("nothing-has-this-name"), "{}", refused.text);
    assert_eq!(refused.json()["kind"], "environment");
    client.get("/v1/sandboxes/other").is(404);
}
