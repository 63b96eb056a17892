//! Processes over WebSockets: terminals, and streams that are apart.

use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};
use tungstenite::client::IntoClientRequest as _;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Message, WebSocket};

use super::{Client, Service};
use crate::support::Scene;

/// A client that is attached to a process.
struct Attached {
    socket: WebSocket<TcpStream>,
    /// What came of standard output, or the terminal, and of standard error.
    output: Vec<u8>,
    error: Vec<u8>,
    /// Where in the log all of that ends.
    offset: u64,
    /// The text messages.
    told: Vec<Value>,
    closed: Option<CloseCode>,
}

/// Tries to attach; answers the status when that is refused.
fn try_attach(
    client: Client<'_>,
    path: &str,
    headers: &[(&'static str, &str)],
) -> Result<Attached, u16> {
    let address = client.service.address.strip_prefix("http://").expect("an address");
    let stream = TcpStream::connect(address).expect("connected");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a limit");
    let mut request = format!("ws://{address}{path}").into_client_request().expect("a request");
    let bearer = format!("Bearer {}", client.token);
    request.headers_mut().insert("authorization", bearer.parse().expect("a header"));
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().expect("a header"));
    }
    match tungstenite::client(request, stream) {
        Ok((socket, _)) => Ok(Attached {
            socket,
            output: Vec::new(),
            error: Vec::new(),
            offset: 0,
            told: Vec::new(),
            closed: None,
        }),
        Err(tungstenite::HandshakeError::Failure(tungstenite::Error::Http(answer))) => {
            Err(answer.status().as_u16())
        }
        Err(error) => panic!("{error}"),
    }
}

fn attach_at(client: Client<'_>, process: &str, offset: u64) -> Attached {
    let path = format!("/v1/processes/{process}/attach?offset={offset}");
    let mut attached = try_attach(client, &path, &[]).expect("attached");
    attached.until(|one| !one.told.is_empty());
    assert_eq!(attached.told[0]["type"], "attached", "{:?}", attached.told);
    assert_eq!(attached.offset, offset);
    attached
}

fn attach(client: Client<'_>, process: &str) -> Attached {
    attach_at(client, process, 0)
}

impl Attached {
    /// Takes one message; false once the connection is closed.
    fn take(&mut self) -> bool {
        match self.socket.read() {
            Ok(Message::Binary(bytes)) => {
                let (mark, bytes) = bytes.split_first().expect("the stream");
                match mark {
                    1 => self.output.extend_from_slice(bytes),
                    2 => self.error.extend_from_slice(bytes),
                    other => panic!("{other} is no stream"),
                }
                self.offset += bytes.len() as u64;
            }
            Ok(Message::Text(text)) => {
                let told: Value = serde_json::from_str(&text).expect("an object");
                for (kind, place) in [("attached", "offset"), ("lost", "to")] {
                    if told["type"] == kind {
                        self.offset = told[place].as_u64().expect("an offset");
                    }
                }
                self.told.push(told);
            }
            Ok(Message::Close(frame)) => self.closed = frame.map(|frame| frame.code),
            Ok(_) => {}
            Err(tungstenite::Error::ConnectionClosed | tungstenite::Error::AlreadyClosed) => {
                return false;
            }
            Err(error) => panic!("{error}; so far {}", self.text()),
        }
        true
    }

    #[track_caller]
    fn until(&mut self, wanted: impl Fn(&Self) -> bool) {
        let begun = std::time::Instant::now();
        while !wanted(self) {
            assert!(self.take(), "it closed; {:?} {}", self.told, self.text());
            // Pings come for ever.
            let waits = begun.elapsed() < Duration::from_secs(120);
            assert!(waits, "it never comes; {:?} {}", self.told, self.text());
        }
    }

    /// Waits until something is shown.
    #[track_caller]
    fn shows(&mut self, text: &str) {
        self.until(|one| one.text().contains(text));
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.output).into_owned()
    }

    fn type_(&mut self, text: &str) {
        self.socket.send(Message::Binary(text.as_bytes().to_vec().into())).expect("typed");
    }

    fn say(&mut self, order: Value) {
        self.socket.send(Message::Text(order.to_string().into())).expect("said");
    }

    /// Waits until it is closed; answers the last thing that was told.
    fn rest(&mut self) -> Value {
        while self.take() {}
        self.told.last().cloned().unwrap_or_default()
    }

    #[track_caller]
    fn is_told(&mut self, kind: &str) -> Value {
        let is_it = |told: &Value| told["type"] == kind;
        self.until(|one| one.told.iter().any(is_it));
        let at = self.told.iter().position(is_it).expect("it was told");
        self.told.remove(at)
    }
}

fn terminal(client: Client<'_>, script: &str) -> String {
    let size = json!({ "rows": 24, "columns": 80 });
    client.begin("web", &json!({ "script": script, "terminal": size, "env": { "PS1": "ready> " } }))
}

#[test]
fn a_shell_is_used_at_a_terminal() {
    let scene = Scene::new();
    let service = Service::start(&scene);
    let client = service.admin();
    client.sandbox("web");
    let process = terminal(client, "exec sh -i");
    let mut shell = attach(client, &process);
    assert_eq!(shell.told[0]["terminal"], json!({ "rows": 24, "columns": 80 }));
    assert_eq!(shell.told[0]["read_only"], false);
    shell.shows("ready> ");
    // What is typed is shown, and so is what came of it.
    shell.type_("tty; stty size; echo $TERM is-$((1+1))\n");
    shell.shows("is-2");
    let text = shell.text();
    assert!(text.contains("echo $TERM") && text.contains("/dev/"), "{text}");
    assert!(text.contains("24 80") && text.contains("xterm-256color"), "{text}");
    shell.say(json!({ "type": "resize", "rows": 50, "columns": 132 }));
    shell.type_("stty size\n");
    shell.shows("50 132");
    let path = format!("/v1/processes/{process}");
    client.post(&format!("{path}/resize"), &json!({ "rows": 7, "columns": 70 })).is(204);
    shell.type_("stty size\n");
    shell.shows("7 70");
    // Programs learn of it.
    let script =
        "trap 'echo now-$(stty size)' WINCH; echo wait\"\"ing; while :; do sleep 0.02; done";
    shell.type_(&format!("sh -c {script:?}\n").replace('$', "\\$"));
    shell.shows("waiting");
    client.post(&format!("{path}/resize"), &json!({ "rows": 8, "columns": 81 })).is(204);
    shell.say(json!({ "type": "resize", "rows": 9, "columns": 99 }));
    shell.shows("now-9 99");
    // Ctrl-C ends what runs, and not the shell.
    shell.type_("\x03");
    // What it says is said by the program: until that runs, the shell would take the Ctrl-C.
    shell.type_("sh -c 'echo slee\"\"ping; exec sleep 1000'\n");
    shell.shows("sleeping");
    shell.type_("\x03");
    shell.type_("echo code-$?\n");
    shell.shows("code-130");
    // Ctrl-Z stops, `fg` goes on.
    shell.type_("cat\n");
    shell.type_("one\n");
    shell.shows("one\r\none");
    shell.type_("\x1a");
    shell.shows("Stopped");
    shell.type_("fg; echo over-$((2+2))\n");
    // It reads again before its input ends. What is typed may be shown before the shell says what goes on.
    shell.type_("two\n");
    shell.until(|one| one.text().matches("two\r\n").count() == 2);
    shell.say(json!({ "type": "end-of-input" }));
    shell.shows("over-4");
    shell.type_("exit 3\n");
    let end = shell.rest();
    assert_eq!((&end["type"], &end["result"]["exit_code"]), (&json!("ended"), &json!(3)), "{end}");
    assert_eq!(shell.closed, Some(CloseCode::Normal));
    assert_eq!(client.get(&path).is(200).json()["terminal"], true);
    client.post(&format!("{path}/resize"), &json!({ "rows": 8, "columns": 81 })).is(409);
}

#[test]
fn who_comes_again_reads_on() {
    let scene = Scene::new();
    let service = Service::start(&scene);
    let client = service.admin();
    client.sandbox("web");
    let process = terminal(client, "exec sh -i");
    let mut shell = attach(client, &process);
    shell.type_("echo fir''st\n");
    shell.shows("first\r\nready> ");
    let offset = shell.offset;
    // Gone without a word, while something is being written.
    shell.type_("sleep 0.2; echo sec''ond; echo thi''rd > file\n");
    drop(shell);
    let mut shell = attach_at(client, &process, offset);
    shell.shows("second");
    assert!(!shell.text().contains("first"), "{}", shell.text());
    // Two see the same, and either may type.
    let mut other = attach(client, &process);
    other.type_("echo bo''th\n");
    // With the prompt after it, both have read all that there is.
    other.shows("both\r\nready> ");
    shell.shows("both\r\nready> ");
    assert!(other.text().contains("first"), "{}", other.text());
    assert!(other.text().ends_with(&shell.text()), "{} {}", other.text(), shell.text());
    shell.type_("exit\n");
    assert_eq!(shell.rest()["result"]["counts"]["added"], 1);
    assert_eq!(other.rest()["type"], "ended");
    // What has ended is told whole.
    let mut late = attach(client, &process);
    assert_eq!(late.rest()["type"], "ended");
    assert_eq!(late.output, other.output);
}

#[test]
fn streams_are_apart_and_bytes_arrive_as_they_are() {
    let scene = Scene::new();
    let service = Service::start(&scene);
    let client = service.admin();
    client.sandbox("web");
    let script = "head -c 3 | od -An -tx1; echo err >&2; exec cat";
    let process = client.begin("web", &json!({ "script": script, "open_stdin": true }));
    let mut one = attach(client, &process);
    assert_eq!(one.told[0]["terminal"], Value::Null);
    one.socket.send(Message::Binary(vec![0, 255, 10].into())).expect("sent");
    one.shows("00 ff 0a");
    one.say(json!({ "type": "resize", "rows": 1, "columns": 1 }));
    assert_eq!(one.is_told("problem")["problem"]["kind"], "conflict");
    // Everything, of all lengths, more than a pipe holds.
    let all: Vec<u8> = (0..300_000_u32).map(|at| (at * 7 % 251) as u8).collect();
    let before = one.output.len();
    for part in all.chunks(40_000) {
        one.socket.send(Message::Binary(part.to_vec().into())).expect("sent");
    }
    one.say(json!({ "type": "end-of-input" }));
    let end = one.rest();
    assert_eq!(end["result"]["exit_code"], 0, "{end}");
    assert!(one.output[before..] == all, "{} bytes", one.output.len() - before);
    assert_eq!(one.error, b"err\n");
}

#[test]
fn what_was_sent_arrives_though_who_sent_it_goes() {
    let scene = Scene::new();
    let service = Service::start(&scene);
    let client = service.admin();
    client.sandbox("web");
    let script = "sleep 0.3; wc -c";
    let process = client.begin("web", &json!({ "script": script, "open_stdin": true }));
    let mut one = attach(client, &process);
    for _ in 0..10 {
        one.socket.send(Message::Binary(vec![b'x'; 60_000].into())).expect("sent");
    }
    one.say(json!({ "type": "end-of-input" }));
    drop(one);
    let path = format!("/v1/processes/{process}/wait");
    let ended = client.post(&path, &Value::Null).is(200).json();
    assert_eq!(ended["result"]["stdout"], "600000\n", "{ended}");
}

#[test]
fn signals_go_by_their_names() {
    let scene = Scene::new();
    let service = Service::start(&scene);
    let client = service.admin();
    client.sandbox("web");
    let script =
        "trap 'echo hup' HUP; trap 'exit 9' USR1; echo ready; while :; do sleep 0.02; done";
    let process = client.begin("web", &json!({ "script": script }));
    let mut one = attach(client, &process);
    one.shows("ready");
    one.say(json!({ "type": "signal", "signal": "HUP" }));
    one.shows("hup");
    for wrong in ["NONE", "32", "0"] {
        one.say(json!({ "type": "signal", "signal": wrong }));
        assert_eq!(one.is_told("problem")["problem"]["kind"], "bad-request");
    }
    one.say(json!({ "type": "nonsense" }));
    assert_eq!(one.is_told("problem")["problem"]["kind"], "bad-request");
    one.say(json!({ "type": "signal", "signal": 10 }));
    assert_eq!(one.rest()["result"]["exit_code"], 9);
}

#[test]
fn who_may_only_look_is_attached_without_input() {
    let scene = Scene::new();
    let service = Service::start(&scene);
    let client = service.admin();
    client.sandbox("web");
    let process = terminal(client, "exec sh -i");
    let token = client.token("default", "viewer");
    let mut viewer = attach(service.with(&token), &process);
    assert_eq!(viewer.told[0]["read_only"], true);
    viewer.shows("ready> ");
    viewer.type_("exit 1\n");
    assert_eq!(viewer.is_told("problem")["problem"]["kind"], "forbidden");
    for order in [
        json!({ "type": "resize", "rows": 1, "columns": 1 }),
        json!({ "type": "signal", "signal": "KILL" }),
        json!({ "type": "end-of-input" }),
    ] {
        viewer.say(order);
        assert_eq!(viewer.is_told("problem")["problem"]["kind"], "forbidden");
    }
    let mut shell = attach(client, &process);
    shell.type_("stty size; exit 4\n");
    assert_eq!(shell.rest()["result"]["exit_code"], 4);
    viewer.shows("24 80");
    assert_eq!(viewer.rest()["type"], "ended");
}

#[test]
fn who_has_no_business_there_is_not_attached() {
    let scene = Scene::new();
    let service = Service::start(&scene);
    let client = service.admin();
    client.sandbox("web");
    client.put("/v1/tenants/other", &json!({})).is(200);
    let process = terminal(client, "exec sh -i");
    let path = format!("/v1/processes/{process}/attach");
    let status = |client: Client<'_>, headers: &[(&'static str, &str)]| {
        try_attach(client, &path, headers).map(drop).expect_err("refused")
    };
    let foreign = client.token("other", "admin");
    assert_eq!(status(service.with(&foreign), &[]), 404);
    assert_eq!(status(service.with("wrong"), &[]), 401);
    assert_eq!(status(client, &[("origin", "https://evil.example")]), 403);
    assert_eq!(status(client, &[("origin", "null")]), 403);
    let own = service.address.clone();
    drop(try_attach(client, &path, &[("origin", &own)]).expect("a page of its own"));
    let plain = client.get(&path).is(426).json();
    assert_eq!(plain["kind"], "no-websocket", "{plain}");
    // A token that is taken back ends what it began.
    let made = client.post("/v1/tokens", &json!({ "role": "operator" })).is(201).json();
    let (token, id) = (made["token"].as_str().expect("one"), made["id"].as_str().expect("one"));
    let mut shell = attach(service.with(token), &process);
    shell.shows("ready> ");
    client.delete(&format!("/v1/tokens/{id}")).is(204);
    shell.rest();
    assert_eq!(shell.closed, Some(CloseCode::Policy));
    // A message that is too large ends the connection, and nothing else.
    let mut large = attach(client, &process);
    large.socket.send(Message::Binary(vec![b'#'; (64 << 10) + 1].into())).expect("sent");
    large.rest();
    assert_eq!(large.closed, Some(CloseCode::Size));
    let mut shell = attach(client, &process);
    shell.type_("exit 5\n");
    assert_eq!(shell.rest()["result"]["exit_code"], 5);
    assert!(!shell.text().contains("###"));
}

#[test]
fn who_reads_slowly_falls_behind_and_holds_up_nobody() {
    let scene = Scene::new();
    let service = Service::start(&scene);
    let client = service.admin();
    client.sandbox("web");
    let script = "read line; head -c 40000000 /dev/zero; echo the end; read line";
    let process = client.begin("web", &json!({ "script": script, "open_stdin": true }));
    let mut slow = attach(client, &process);
    slow.type_("go\n");
    // It writes all of it while nobody reads here.
    let path = format!("/v1/processes/{process}");
    while client.get(&path).is(200).json()["written"] != 40_000_008 {}
    slow.until(|one| one.output.ends_with(b"the end\n"));
    let lost = slow.is_told("lost");
    let gap = lost["to"].as_u64().expect("a place") - lost["from"].as_u64().expect("a place");
    assert!(slow.output.len() as u64 + gap <= 40_000_008, "{lost}");
    assert_eq!(slow.offset, 40_000_008);
    slow.type_("\n");
    // The answer has the end of it, in which every byte is an escape of six.
    assert_eq!(slow.rest()["result"]["exit_code"], 0);
}

#[test]
fn a_service_that_stops_says_so_to_those_who_are_attached() {
    let scene = Scene::new();
    let service = Service::start(&scene);
    let client = service.admin();
    client.sandbox("web");
    let process = terminal(client, "exec sh -i");
    let mut shell = attach(client, &process);
    shell.shows("ready> ");
    service.signal(rustix::process::Signal::TERM);
    shell.is_told("draining");
    shell.type_("echo still-$((40+2)); exit 6\n");
    let end = shell.rest();
    assert_eq!(end["result"]["exit_code"], 6, "{end}");
    assert!(shell.text().contains("still-42"), "{}", shell.text());
    assert_eq!(shell.closed, Some(CloseCode::Away));
    service.stop();
}
