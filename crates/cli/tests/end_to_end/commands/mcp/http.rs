//! `/mcp` of the service.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::{Value, json};

use super::super::serve::{Answer, Client, Service};
use super::{ENDLESS, RISKY, call, initialize, last_over, problem, until};
use crate::support::Scene;

/// A client that speaks MCP, within a session or without.
struct Agent<'s> {
    client: Client<'s>,
    session: Option<String>,
}

const BOTH: (&str, &str) = ("accept", "application/json, text/event-stream");

/// The message in an answer, which is JSON or a stream of events.
#[track_caller]
fn message(answer: &Answer) -> Value {
    let lines = answer.text.lines().filter_map(|line| line.strip_prefix("data:"));
    let mut messages = lines.filter_map(|line| serde_json::from_str(line.trim()).ok());
    messages.next_back().unwrap_or_else(|| answer.json())
}

impl<'s> Agent<'s> {
    /// Begins a session.
    #[track_caller]
    fn begin(client: Client<'s>, capabilities: &Value) -> Self {
        let mut agent = Self { client, session: None };
        let params = initialize("2025-11-25", capabilities);
        let answer = agent.send(&request(1, "initialize", &params), &[]).is(200);
        assert_eq!(message(&answer)["result"]["protocolVersion"], "2025-11-25");
        agent.session = Some(answer.header("mcp-session-id").to_owned());
        let initialized = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
        agent.send(&initialized, &[]).is(202);
        agent
    }

    #[track_caller]
    fn send(&self, message: &Value, headers: &[(&str, &str)]) -> Answer {
        let session = self.session.as_deref().map(|session| ("mcp-session-id", session));
        let own = [Some(BOTH), session].into_iter().flatten();
        let headers: Vec<_> = own.chain(headers.iter().copied()).collect();
        self.client.post_with("/mcp", message, &headers)
    }

    #[track_caller]
    fn tool(&self, tool: &str, arguments: &Value) -> Value {
        let answer = self.send(&request(2, "tools/call", &call(tool, arguments)), &[]).is(200);
        message(&answer)["result"].clone()
    }

    #[track_caller]
    fn call(&self, tool: &str, arguments: &Value) -> Value {
        let result = self.tool(tool, arguments);
        assert_eq!(result["isError"], false, "{result}");
        result["structuredContent"].clone()
    }

    #[track_caller]
    fn fails(&self, tool: &str, arguments: &Value) -> Value {
        problem(&self.tool(tool, arguments))
    }
}

fn request(id: i64, method: &str, params: &Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })
}

/// What a client of the revision without sessions sends with each request.
fn stateless(mut params: Value) -> Value {
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": { "name": "tests", "version": "1" },
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    params
}

#[test]
fn each_tool_needs_what_the_call_that_does_the_same_needs() {
    let scene = Scene::new();
    let service = Service::start(&scene);
    let admin = service.admin();
    admin.sandbox("web");
    admin.run("web", "echo one > file");
    let token = |role| admin.token("default", role);
    let (viewer, operator, approver) = (token("viewer"), token("operator"), token("approver"));
    let begin = |token| Agent::begin(service.with(token), &json!({ "elicitation": {} }));
    for token in [&viewer, &approver] {
        let agent = begin(token);
        assert_eq!(agent.call("list", &json!({}))["sandboxes"][0]["sandbox"], "web");
        assert_eq!(agent.call("diff", &json!({ "sandbox": "web" }))["counts"]["added"], 1);
        let file = json!({ "sandbox": "web", "path": "file" });
        assert_eq!(agent.call("fs_read", &file)["content"], "one\n");
        assert_eq!(
            agent.call("fs_list", &json!({ "sandbox": "web" }))["entries"][0]["name"],
            "file"
        );
        assert_eq!(agent.call("check", &json!({ "command": "ls" }))["decision"], "allow");
        for (tool, arguments) in [
            ("create", json!({ "sandbox": "own" })),
            ("exec", json!({ "sandbox": "web", "script": "true" })),
            ("fs_write", json!({ "sandbox": "web", "path": "file", "content": "" })),
            ("snapshot", json!({ "sandbox": "web" })),
            ("rollback", json!({ "sandbox": "web", "before": "op-1" })),
            ("undo", json!({ "sandbox": "web" })),
            ("fork", json!({ "sandbox": "web", "name": "own" })),
            ("commit", json!({ "sandbox": "web" })),
            ("kill", json!({ "sandbox": "web" })),
        ] {
            assert_eq!(agent.fails(tool, &arguments)["kind"], "forbidden", "{tool}");
        }
    }
    // An operator's user is not asked: their yes would not count.
    let agent = begin(&operator);
    let asked = agent.fails("exec", &json!({ "sandbox": "web", "script": RISKY }));
    assert_eq!(asked["kind"], "unconfirmed", "{asked}");
    let id = asked["confirmation"].as_str().expect("an id");
    let again = json!({ "sandbox": "web", "script": RISKY, "confirmation": id });
    assert_eq!(agent.fails("exec", &again)["kind"], "not-approved");
    // Nor does one that they claim.
    let claimed = json!({
        "name": "sandbox_exec", "arguments": { "sandbox": "web", "script": RISKY },
        "requestState": id, "inputResponses": { "confirmation": { "action": "accept" } },
    });
    let result = message(&agent.send(&request(9, "tools/call", &claimed), &[]))["result"].clone();
    assert_eq!(problem(&result)["kind"], "forbidden", "{result}");
    service.with(&approver).post(&format!("/v1/confirmations/{id}/approve"), &Value::Null).is(204);
    assert_eq!(agent.call("exec", &again)["counts"]["added"], 1);
    assert_eq!(agent.fails("exec", &again)["kind"], "not-approved");
}

#[test]
fn a_session_belongs_to_the_token_that_made_it() {
    let scene = Scene::new();
    let service = Service::start(&scene);
    let admin = service.admin();
    let made = admin.post("/v1/tokens", &json!({ "role": "operator" })).is(201).json();
    let (token, id) = (made["token"].as_str().expect("one"), made["id"].as_str().expect("one"));
    let agent = Agent::begin(service.with(token), &json!({}));
    let list = request(3, "tools/list", &json!({}));
    agent.send(&list, &[]).is(200);
    let thief = Agent { client: admin, session: agent.session.clone() };
    assert_eq!(thief.send(&list, &[]).is(404).json()["kind"], "no-session");
    let session = agent.session.as_deref().expect("one");
    let headers = [BOTH, ("mcp-session-id", session)];
    admin.send("GET", "/mcp", &headers, b"").is(404);
    admin.send("DELETE", "/mcp", &headers, b"").is(404);
    let nobody = Agent { client: service.with("none"), session: agent.session.clone() };
    nobody.send(&list, &[]).is(401);
    // Somebody who listens is thrown out with the token.
    let second = Agent::begin(service.with(token), &json!({}));
    let listening = [BOTH, ("mcp-session-id", second.session.as_deref().expect("one"))];
    let ended = std::thread::scope(|scope| {
        let listener = scope.spawn(|| service.with(token).send("GET", "/mcp", &listening, b""));
        agent.send(&list, &[]).is(200);
        service.with(token).send("DELETE", "/mcp", &headers, b"").is(204);
        agent.send(&list, &[]).is(404);
        admin.delete(&format!("/v1/tokens/{id}")).is(204);
        agent.send(&list, &[]).is(401);
        listener.join().expect("an end")
    });
    // It listened and was thrown out, or came too late.
    assert!([200, 401].contains(&ended.status), "{}", ended.text);
}

#[test]
fn of_another_tenant_nothing_is_there() {
    let scene = Scene::new();
    let service = Service::start(&scene);
    let admin = service.admin();
    admin.put("/v1/tenants/other", &json!({})).is(200);
    let token = admin.token("other", "admin");
    let (own, other) =
        (Agent::begin(admin, &json!({})), Agent::begin(service.with(&token), &json!({})));
    // Over the network a sandbox starts from nothing.
    let made = own.call("create", &json!({ "sandbox": "web" }));
    assert!(made["folder"].as_str().is_some_and(|one| one.contains("store.workspaces")), "{made}");
    assert_eq!(other.call("list", &json!({}))["sandboxes"], json!([]));
    for (tool, arguments) in [
        ("exec", json!({ "sandbox": "web", "script": "true" })),
        ("diff", json!({ "sandbox": "web" })),
        ("fs_list", json!({ "sandbox": "web" })),
        ("fs_write", json!({ "sandbox": "web", "path": "a", "content": "" })),
        ("kill", json!({ "sandbox": "web" })),
        ("fork", json!({ "sandbox": "web", "name": "own" })),
        ("list_snapshots", json!({ "sandbox": "web" })),
    ] {
        assert_eq!(other.fails(tool, &arguments)["kind"], "no-sandbox", "{tool}");
    }
    let folder = json!({ "sandbox": "own", "folder": "/usr" });
    assert_eq!(other.fails("create", &folder)["kind"], "forbidden");
    let relative = json!({ "sandbox": "own", "folder": "usr" });
    assert_eq!(own.fails("create", &relative)["kind"], "bad-request");
    other.call("create", &json!({ "sandbox": "web" }));
}

#[test]
fn pages_of_other_sites_and_other_names_are_turned_away() {
    let scene = Scene::new();
    let service = Service::start(&scene);
    let agent = Agent { client: service.admin(), session: None };
    let params = initialize("2025-11-25", &json!({}));
    let begin = request(1, "initialize", &params);
    for wrong in [("origin", "https://evil.example"), ("host", "evil.example")] {
        assert_eq!(agent.send(&begin, &[wrong]).is(403).json()["kind"], "forbidden", "{wrong:?}");
    }
    agent.send(&begin, &[("origin", "http://localhost:5173")]).is(200);
}

#[test]
fn what_is_no_message_is_refused_and_nothing_is_lost() {
    let scene = Scene::new();
    let service = Service::start(&scene);
    let agent = Agent::begin(service.admin(), &json!({}));
    let session = agent.session.as_deref().expect("one");
    let headers = [BOTH, ("mcp-session-id", session), ("content-type", "application/json")];
    let send = |body: &[u8]| service.admin().send("POST", "/mcp", &headers, body).status;
    for wrong in [&b"{ no json"[..], b"[]", b"{}", b"", b"\xff\xfe", b"{\"jsonrpc\": \"1.0\"}"] {
        assert!((400..500).contains(&send(wrong)), "{wrong:?}");
    }
    // Of a much longer one the rest is not read, and the client may find the connection closed.
    assert_eq!(send(&vec![b' '; (4 << 20) + 1]), 413);
    let list = request(2, "tools/list", &json!({}));
    agent.send(&list, &[("mcp-protocol-version", "1999-01-01")]).is(400);
    let tools = agent.send(&list, &[("mcp-protocol-version", "2025-11-25")]).is(200);
    assert_eq!(message(&tools)["result"]["tools"][0]["name"], "sandbox_create");
    // The newest revision needs no session.
    let newest = Agent { client: service.admin(), session: None };
    let version = ("mcp-protocol-version", "2026-07-28");
    let discover = request(3, "server/discover", &stateless(json!({})));
    let method = |name| ("mcp-method", name);
    let found = newest.send(&discover, &[version, method("server/discover")]).is(200);
    let versions = message(&found)["result"]["supportedVersions"].clone();
    assert!(
        versions.as_array().is_some_and(|all| all.contains(&"2026-07-28".into())),
        "{versions}"
    );
    let list = request(4, "tools/call", &stateless(call("list", &json!({}))));
    let headers = [version, method("tools/call"), ("mcp-name", "sandbox_list")];
    let listed = newest.send(&list, &headers).is(200);
    assert_eq!(message(&listed)["result"]["structuredContent"]["sandboxes"], json!([]));
}

/// A call whose connection is cut once the command runs.
#[track_caller]
fn vanish(service: &Service, headers: &[(&str, &str)], body: &Value) {
    let address = service.address.strip_prefix("http://").expect("an address");
    let mut stream = TcpStream::connect(address).expect("a connection");
    let body = body.to_string();
    let mut request = format!(
        "POST /mcp HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\n{}: {}\r\ncontent-length: {}\r\n",
        service.admin,
        BOTH.0,
        BOTH.1,
        body.len()
    );
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(format!("{request}\r\n{body}").as_bytes()).expect("it reads");
    // It told that it has begun.
    let processes = || service.admin().get("/v1/processes").is(200).json();
    until(|| processes()["items"][0]["written"] == 5);
    // What was said until then, such as that the stream begins.
    stream.set_nonblocking(true).expect("so");
    let _ = stream.read(&mut [0; 1024]);
}

#[test]
fn a_command_outlives_a_lost_connection_where_the_protocol_has_sessions() {
    let scene = Scene::new();
    let service = Service::start(&scene);
    service.admin().sandbox("web");
    let agent = Agent::begin(service.admin(), &json!({}));
    let script = "echo here; sleep 2; echo done > done";
    let run = call("exec", &json!({ "sandbox": "web", "script": script }));
    let session = [("mcp-session-id", agent.session.as_deref().expect("one"))];
    vanish(&service, &session, &request(7, "tools/call", &run));
    let last = last_over(&scene, "web");
    assert_eq!(last["outcome"]["counts"]["added"], 1, "{last}");
    assert_eq!(
        agent.call("exec", &json!({ "sandbox": "web", "script": "cat done" }))["stdout"],
        "done\n"
    );
}

#[test]
fn a_command_ends_with_its_connection_where_the_protocol_has_none() {
    let scene = Scene::new();
    let service = Service::start(&scene);
    service.admin().sandbox("web");
    let run = stateless(call("exec", &json!({ "sandbox": "web", "script": ENDLESS })));
    let headers = [
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", "tools/call"),
        ("mcp-name", "sandbox_exec"),
    ];
    vanish(&service, &headers, &request(7, "tools/call", &run));
    let last = last_over(&scene, "web");
    assert_eq!(last["request"]["kind"], "run", "{last}");
    assert_eq!(service.admin().run("web", "cat begun")["stdout"], "begun\n");
}
