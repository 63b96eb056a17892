//! What one client can make the service hold, and whom else that concerns.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::Stdio;
use std::time::Duration;

use serde_json::json;

use super::{Client, Service};
use crate::support::{Outcome, Scene, interpreter};

impl Client<'_> {
    /// Sends a request and does not wait for what comes of it.
    #[track_caller]
    pub(super) fn cast(&self, request: &str, headers: &[(&str, &str)], body: &[u8]) -> TcpStream {
        let address = self.service.address.trim_start_matches("http://");
        let mut stream = TcpStream::connect(address).expect("a connection");
        let mut head = format!(
            "{request} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {}\r\ncontent-length: {}\r\n",
            self.token,
            body.len()
        );
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body)).expect(request);
        stream
    }
}

/// Tokens of two tenants, each with a sandbox `web`.
fn two_tenants(service: &Service) -> [String; 2] {
    let admin = service.admin();
    ["loud", "quiet"].map(|tenant| {
        admin.put(&format!("/v1/tenants/{tenant}"), &json!({})).is(200);
        let token = admin.token(tenant, "operator");
        service.with(&token).sandbox("web");
        token
    })
}

#[test]
fn who_waits_for_a_sandbox_keeps_no_other_tenant_waiting() {
    let scene = Scene::new();
    let service = Service::start(&scene);
    let tokens = two_tenants(&service);
    let [loud, quiet] = tokens.each_ref().map(|token| service.with(token));
    let process = loud.begin("web", &json!({ "script": "sleep 600" }));
    while loud.get(&format!("/v1/processes/{process}")).is(200).json()["operation"].is_null() {}
    // More than there are threads.
    let kind = [("content-type", "application/json")];
    let waiting: Vec<TcpStream> =
        (0..700).map(|_| loud.cast("POST /v1/sandboxes/web/snapshots", &kind, b"{}")).collect();
    for _ in 0..20 {
        assert_eq!(quiet.run("web", "echo on")["stdout"], "on\n");
    }
    service.with("").get("/health/ready").is(200);
    // What ends it needs no place among those who wait.
    loud.post(&format!("/v1/processes/{process}/signal"), &json!({ "signal": 9 })).is(204);
    drop(waiting);
    loud.get("/v1/sandboxes/web/snapshots").is(200);
}

#[test]
fn what_waits_is_counted_when_its_client_is_gone() {
    let scene = Scene::new();
    let service = Service::start(&scene);
    let client = service.admin();
    client.sandbox("web");
    let process = client.begin("web", &json!({ "script": "sleep 600" }));
    let body = vec![b'x'; 16 << 20];
    let mut refused = None;
    for number in 0..64 {
        let request = format!("PUT /v1/sandboxes/web/files?path=file-{number}");
        let mut stream = client.cast(&request, &[], &body);
        // One that waits is not answered.
        stream.set_read_timeout(Some(Duration::from_millis(200))).expect("a time");
        let mut begin = [0; 16];
        if let Ok(length @ 1..) = stream.read(&mut begin) {
            refused = Some(String::from_utf8_lossy(&begin[..length]).into_owned());
            break;
        }
    }
    assert!(refused.as_deref().is_some_and(|line| line.contains(" 429")), "{refused:?}");
    client.get("/v1/sandboxes/web").is(200);
    client.post(&format!("/v1/processes/{process}/signal"), &json!({ "signal": 9 })).is(204);
    // What waited is written, and makes room.
    let mut status = 429;
    while status == 429 {
        status = client.send("PUT", "/v1/sandboxes/web/files?path=last", &[], &body).status;
    }
    assert_eq!(status, 200);
    assert_eq!(client.run("web", "ls file-0")["stdout"], "file-0\n");
}

/// Keeps everybody else from writing to a store until its input ends.
const HOLD: &str = "import sqlite3, sys
store = sqlite3.connect(sys.argv[1], timeout=60, isolation_level=None)
store.execute('begin immediate')
print('held', flush=True)
sys.stdin.read()";

#[test]
fn who_goes_while_a_sandbox_is_made_has_no_more_of_them() {
    let scene = Scene::new();
    let service = Service::start(&scene);
    let admin = service.admin();
    admin.put("/v1/tenants/small", &json!({ "sandboxes": 1 })).is(200);
    let token = admin.token("small", "operator");
    let small = service.with(&token);
    small.sandbox("first");
    small.delete("/v1/sandboxes/first").is(200);
    let store = scene.store.join("tenants/small/store.db");
    assert!(store.exists());
    let mut held = std::process::Command::new(interpreter())
        .args(["-c", HOLD])
        .arg(&store)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python");
    let told = held.stdout.take().expect("its output");
    BufReader::new(told).read_line(&mut String::new()).expect("a line");
    // Each gets as far as it may while none can be made, and goes.
    let kind = [("content-type", "application/json")];
    for number in 0..4 {
        let body = json!({ "name": format!("box-{number}") }).to_string();
        let stream = small.cast("POST /v1/sandboxes", &kind, body.as_bytes());
        std::thread::sleep(Duration::from_millis(300));
        drop(stream);
    }
    drop(held.stdin.take());
    assert!(held.wait().expect("its end").success());
    let last = json!({ "name": "last" });
    assert_eq!(small.post("/v1/sandboxes", &last).is(403).json()["kind"], "quota");
    let listed = small.get("/v1/sandboxes").is(200).json();
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(1), "{listed}");
}

#[test]
fn limits_that_are_asked_for_hold() {
    let scene = Scene::new();
    let service = Service::start(&scene);
    let client = service.admin();
    client.sandbox("web");
    let path = "/v1/sandboxes/web/operations";
    let many = "for n in 1 2 3 4 5 6 7 8 9; do sleep 9 & done; echo begun";
    let asked = json!({ "script": many, "pids": 4, "cpus": 1 });
    let done = client.post(path, &asked).is(200).json();
    assert_ne!(done["exit_code"], 0, "{done}");
    assert_eq!(done["stdout"], "", "{done}");
    let id = done["operation"].as_str().expect("an id");
    let limits = client.get(&format!("/v1/operations/{id}")).is(200).json();
    let limits = &limits["request"]["limits"];
    assert_eq!((&limits["pids"], &limits["cpus"]), (&json!(4), &json!(1.0)), "{limits}");
    assert_eq!(client.run("web", many)["stdout"], "begun\n");
}

#[test]
fn of_a_long_command_a_process_keeps_the_beginning() {
    let scene = Scene::new();
    let service = Service::start(&scene);
    let client = service.admin();
    client.sandbox("web");
    let word = "x".repeat(60_000);
    let process = client.begin("web", &json!({ "argv": ["echo", word] }));
    let path = format!("/v1/processes/{process}");
    let ended = client.post(&format!("{path}/wait"), &json!({})).is(200).json();
    assert_eq!(ended["result"]["exit_code"], 0);
    let title = client.get(&path).is(200).json()["title"].as_str().expect("text").to_owned();
    assert!(title.starts_with("echo xxx") && title.len() < 5000, "{} bytes", title.len());
    // The journal has all of it.
    let id = ended["result"]["operation"].as_str().expect("an id");
    let journaled = client.get(&format!("/v1/operations/{id}")).is(200).json();
    let whole = journaled["request"]["title"].as_str().expect("text").len();
    assert_eq!(whole, "echo ".len() + 60_000);
}

#[test]
fn a_token_that_is_revoked_hears_no_more_of_a_command_that_never_pauses() {
    let scene = Scene::new();
    let service = Service::start(&scene);
    let admin = service.admin();
    admin.sandbox("web");
    let process = admin.begin("web", &json!({ "script": "while :; do echo on; sleep 0.2; done" }));
    let token = admin.token("default", "viewer");
    let request = format!("GET /v1/processes/{process}/output");
    let mut stream = service.with(&token).cast(&request, &[("connection", "close")], b"");
    let mut begin = [0; 1024];
    let length = stream.read(&mut begin).expect("an answer");
    assert!(begin[..length].starts_with(b"HTTP/1.1 200"));
    let id = token.split('_').nth(1).expect("its id");
    admin.delete(&format!("/v1/tokens/{id}")).is(204);
    // It ends: what is read until then is read to the end.
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a time");
    let told = std::io::copy(&mut stream.take(16 << 10), &mut std::io::sink()).expect("its end");
    assert!(told < 16 << 10, "it is told on and on");
}

#[test]
fn a_path_is_as_long_as_a_command_could_have_it() {
    let scene = Scene::new();
    let service = Service::start(&scene);
    let client = service.admin();
    client.sandbox("web");
    let put = |depth: usize| {
        let path = ["d"].repeat(depth).join("/");
        let path = format!("/v1/sandboxes/web/files?path={path}/f&parents=true");
        client.send("PUT", &path, &[], b"x")
    };
    // Each folder takes longer than the one above: of tens of thousands it would take weeks.
    assert_eq!(put(20_000).is(400).json()["kind"], "bad-request");
    assert_eq!(put(1_000).is(422).json()["kind"], "bad-name");
    put(100).is(200);
    put(200).is(200);
    assert_eq!(client.run("web", "find . -name f | wc -l")["stdout"], "2\n");
}

/// A service to be started with these limits on open files.
fn with_descriptors(scene: &Scene, limits: &str) -> std::process::Command {
    let ctrlz = scene.ctrlz(["serve", "--listen", "127.0.0.1:0", "--json"]);
    let mut command = std::process::Command::new("prlimit");
    command.arg(format!("--nofile={limits}")).arg(ctrlz.get_program()).args(ctrlz.get_args());
    for (name, value) in ctrlz.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    if let Some(folder) = ctrlz.get_current_dir() {
        command.current_dir(folder);
    }
    command
}

#[test]
fn a_service_takes_the_descriptors_that_it_may_have() {
    let scene = Scene::new();
    let told = Outcome::of(&mut with_descriptors(&scene, "64:64")).code(125).json();
    assert_eq!(told["error"]["kind"], "descriptors", "{told}");
    assert_eq!(told["error"]["message"], "a service may have 64 files open here, and needs 256");
    assert!(told["error"]["hint"].as_str().is_some_and(|hint| hint.contains("LimitNOFILE=")));
    let service = Service::begin(with_descriptors(&scene, "64:1024"));
    let limits =
        std::fs::read_to_string(format!("/proc/{}/limits", service.process.id())).expect("limits");
    let open = limits.lines().find(|line| line.starts_with("Max open files")).expect("a line");
    assert_eq!(open.split_whitespace().nth(3), Some("1024"), "{open}");
    let client = service.admin();
    client.sandbox("web");
    assert_eq!(client.run("web", "ulimit -n")["stdout"], "64\n", "commands have what they had");
}

#[test]
fn what_waits_in_line_leaves_descriptors_for_others() {
    let scene = Scene::new();
    // What a shell gives, most often, and what it may be raised to.
    let command = with_descriptors(&scene, "1024:8192");
    let service = Service::begin(command);
    let tokens = two_tenants(&service);
    let [loud, quiet] = tokens.each_ref().map(|token| service.with(token));
    let asked = json!({ "script": "sleep 600", "open_stdin": true });
    let async_ = [("prefer", "respond-async")];
    let statuses: Vec<u16> = (0..300)
        .map(|_| loud.post_with("/v1/sandboxes/web/operations", &asked, &async_).status)
        .collect();
    assert!(statuses.iter().all(|status| [202, 429].contains(status)), "{statuses:?}");
    assert_eq!(statuses.first(), Some(&202));
    assert_eq!(statuses.last(), Some(&429), "it has no more than its share");
    assert_eq!(quiet.run("web", "echo on")["stdout"], "on\n");
}

#[test]
fn a_store_has_one_service() {
    let scene = Scene::new();
    let service = Service::start(&scene);
    let other = scene.root.join("other.sock");
    let arguments = ["serve", "--listen", "none", "--socket", &other.to_string_lossy()];
    scene.run(&arguments).code(123).says(&["another service uses the store"]);
    service.admin().get("/v1/tokens").is(200);
    service.stop();
    let again = scene.ctrlz(["serve", "--listen", "127.0.0.1:0", "--json"]);
    Service::begin(again).stop();
}
