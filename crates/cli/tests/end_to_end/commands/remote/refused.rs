//! What cannot be done at a service, or not at this one, and who cannot be reached.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use super::There;
use crate::support::{Outcome, Scene};

#[test]
fn what_is_about_this_host_is_refused_with_words() {
    let there = There::new();
    for line in [
        vec!["run", "--", "touch", "here"],
        vec!["--json", "run", "--", "touch", "here"],
        vec!["serve"],
        vec!["daemon"],
        vec!["recover"],
        vec!["policy", "show"],
        vec!["doctor"],
        vec!["gc"],
        vec!["config", "show"],
        vec!["exec", "web", "--profile", "testing", "--", "true"],
        vec!["exec", "web", "--no-snapshot", "--", "true"],
        vec!["snapshot", "web", "--memory"],
        vec!["rollback", "--memory", "web", "snap-1"],
    ] {
        let refused = there.run(&line).code(123);
        let told = refused.err() + &refused.out();
        assert!(told.contains("service"), "{line:?}: {told}");
        assert!(line[0] != "--json" || refused.json()["error"]["kind"] == "not-remote");
    }
    // Whoever asks before it acts must not take that for consent.
    there.run(&["hook", "claude"]).code(2);
    assert!(!there.scene.exists("here"));
    // What is about the program alone stays what it is.
    there.ok(&["completions", "bash"]);
}

#[test]
fn the_flag_wins_over_the_variable_and_a_socket_is_as_good_as_a_port() {
    let there = There::new();
    let socket = format!("unix://{}", there.scene.store.join("service.sock").display());
    there.ok(&["--server", &socket, "new", "web"]);
    assert!(there.ok(&["ls"]).contains("web"));
    let nowhere = "http://127.0.0.1:9";
    let mut command = there.ctrlz(&["ls", "--server", &socket]);
    assert!(Outcome::of(command.env("CTRLZ_SERVER", nowhere)).ok().out().contains("web"));
    let mut command = there.ctrlz(&["ls"]);
    Outcome::of(command.env("CTRLZ_SERVER", nowhere)).code(125).says(&["cannot reach", nowhere]);
    // `run` is understood by itself, and looks at both all the same.
    there.run(&["run", "--server", &socket, "--", "true"]).code(123);
    there.run(&["--server", &socket, "run", "--", "true"]).code(123);
    let mut local = there.scene.ctrlz(["ls", "--json"]);
    let local = Outcome::of(local.env("CTRLZ_SERVER", "")).ok().json();
    assert_eq!(local["sandboxes"][0]["name"], "web");
}

#[test]
fn tokens_are_taken_from_where_nobody_sees_them() {
    let there = There::new();
    let without = |set: &[(&str, &str)]| {
        let mut command = there.ctrlz(&["ls"]);
        command.env_remove("CTRLZ_TOKEN").envs(set.iter().copied());
        Outcome::of(&mut command)
    };
    without(&[]).code(125).says(&["CTRLZ_TOKEN", "ctrlz token new"]);
    let file = there.scene.root.join("token");
    std::fs::write(&file, format!("{}\n", there.token)).expect("a file");
    let path = file.display().to_string();
    without(&[("CTRLZ_TOKEN_FILE", &path)]).ok();
    without(&[("CTRLZ_TOKEN_FILE", "/no/such/file")]).code(125).says(&["cannot read the token"]);
    without(&[("CTRLZ_TOKEN", "a b")]).code(125).says(&["no token"]);
    let wrong =
        without(&[("CTRLZ_TOKEN", &there.token.replace(|c: char| c.is_ascii_digit(), "0"))]);
    wrong.code(125).says(&["the token is not valid", "CTRLZ_TOKEN_FILE"]);
    let viewer = there.service.admin().token("default", "viewer");
    without(&[("CTRLZ_TOKEN", &viewer)]).ok();
    let mut command = there.ctrlz(&["new", "web", "--json"]);
    let refused = Outcome::of(command.env("CTRLZ_TOKEN", &viewer)).code(123).json();
    assert_eq!(refused["error"]["kind"], "forbidden", "{refused}");
    let secret = "http://me:geheim@127.0.0.1:9";
    let told = there.run(&["--server", secret, "ls"]).code(125).says(&["CTRLZ_TOKEN"]).err();
    assert!(!told.contains("geheim"), "{told}");
}

/// Answers whoever comes with that, for as long as the test goes on.
fn answering(text: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("somebody");
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let _ = stream.write_all(text.as_bytes());
        }
    });
    address
}

/// `ctrlz ls` at that address.
fn list_at(address: &str) -> Outcome {
    let scene = Scene::new();
    let mut command = scene.ctrlz(["--json", "ls"]);
    command
        .env("CTRLZ_SERVER", address)
        .env("CTRLZ_TOKEN", "ctrlz_x")
        .env("CTRLZ_SERVER_TIMEOUT", "1");
    Outcome::of(&mut command)
}

#[test]
fn whoever_is_no_service_or_another_one_is_told_from_one() {
    let error = |address: &str| list_at(address).code(125).json()["error"].clone();
    let html = answering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nhi");
    assert_eq!(error(&html)["kind"], "no-service");
    let noise = answering("SSH-2.0-OpenSSH_9.9\r\n");
    assert_eq!(error(&noise)["kind"], "connection-lost");
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let silent_at = format!("http://{}", silent.local_addr().expect("an address"));
    assert_eq!(error(&silent_at)["kind"], "unreachable");
    let newer = answering(
        "HTTP/1.1 200 OK\r\nctrlz-version: 99.1.0\r\ncontent-length: 11\r\nconnection: close\r\n\r\n\
         {\"all\": []}",
    );
    let told = error(&newer);
    assert_eq!(told["kind"], "answer", "{told}");
    assert!(told["details"].to_string().contains("the service is ctrlz 99.1.0"), "{told}");
    for address in ["nonsense", "ftp://x", "unix://relative", "http://127.0.0.1:7070?x=y"] {
        assert_eq!(error(address)["kind"], "server", "{address}");
    }
}

#[test]
fn what_a_service_says_cannot_steer_the_terminal_nor_go_on_for_ever() {
    let list = |answer: &'static str| {
        let scene = Scene::new();
        let mut command = scene.ctrlz(["ls"]);
        command.env("CTRLZ_SERVER", answering(answer)).env("CTRLZ_TOKEN", "ctrlz_x");
        Outcome::of(&mut command)
    };
    let told = list(
        "HTTP/1.1 400 Bad\r\nctrlz-version: 0\r\nconnection: close\r\n\r\n\
         {\"type\": \"urn:ctrlz:problem:x\", \"kind\": \"x\", \"title\": \"a\\u001b[2Jb\", \
         \"details\": [\"c\\u009bd\"], \"hint\": \"e\\u001b]0;f\\u0007g\\u202eh\"}",
    );
    let told = told.code(125).err();
    assert!(told.contains("hint: e") && !told.contains(['\u{1b}', '\u{9b}', '\u{7}', '\u{202e}']));
    list(
        "HTTP/1.1 200 OK\r\nctrlz-version: 0\r\nconnection: close\r\n\r\n\
         {\"items\": [], \"next\": \"again\"}",
    )
    .code(0);
}

/// Answers each one who comes, by a function that is told how many came before.
fn serving(answer: impl Fn(usize, &mut TcpStream) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let mut stream = stream.expect("somebody");
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            answer(number, &mut stream);
        }
    });
    address
}

#[test]
fn an_answer_that_trickles_has_an_end() {
    let begun = "HTTP/1.1 200 OK\r\nctrlz-version: 0\r\ncontent-length: 1000000\r\n\r\n";
    let address = serving(move |_, stream| {
        let mut left = stream.write_all(begun.as_bytes());
        // Each byte comes in time, and the last one never would.
        while left.is_ok() {
            std::thread::sleep(Duration::from_millis(200));
            left = stream.write_all(b" ");
        }
    });
    let told = list_at(&address).code(125).json()["error"].clone();
    assert_eq!(told["kind"], "unreachable", "{told}");
    assert!(told["message"].as_str().is_some_and(|it| it.contains("too slowly")), "{told}");
    assert!(told["hint"].as_str().is_some_and(|it| it.contains("CTRLZ_SERVER_TIMEOUT")), "{told}");
}

#[test]
fn what_is_under_way_for_ever_is_told_to_be() {
    let body = "{\"type\": \"urn:ctrlz:problem:idempotency-key\", \"status\": 409, \
        \"kind\": \"idempotency-key\", \"title\": \"under way\"}";
    let address = serving(move |number, stream| {
        // The first one is lost, so that the client asks again.
        if number > 0 {
            let _ = write!(
                stream,
                "HTTP/1.1 409 Conflict\r\nctrlz-version: 0\r\nconnection: close\r\n\
                 content-length: {}\r\n\r\n{body}",
                body.len()
            );
        }
    });
    let scene = Scene::new();
    let mut command = scene.ctrlz(["--json", "discard", "web"]);
    command
        .env("CTRLZ_SERVER", address)
        .env("CTRLZ_TOKEN", "ctrlz_x")
        .env("CTRLZ_SERVER_TIMEOUT", "50ms");
    let told = Outcome::of(&mut command).code(125).json()["error"].clone();
    assert_eq!(told["kind"], "under-way", "{told}");
    assert!(
        told["message"].as_str().is_some_and(|it| it.contains("not done within 3.0 s")),
        "{told}"
    );
    assert!(told["hint"].as_str().is_some_and(|it| it.contains("`ctrlz log`")), "{told}");
}

#[test]
fn a_stream_that_ends_at_once_again_and_again_is_given_up() {
    let process = "{\"id\": \"1\", \"kind\": \"operation\", \"sandbox\": \"web\", \"title\": \"x\", \
        \"started\": 1, \"operation\": null, \"status\": \"running\", \"written\": 0}";
    let listed = format!("{{\"items\": [{process}]}}");
    let address = serving(move |number, stream| {
        let (kind, body) = match number {
            0 => ("application/json", listed.as_str()),
            _ => ("text/event-stream", ": nothing\n\n"),
        };
        let _ = write!(
            stream,
            "HTTP/1.1 200 OK\r\nctrlz-version: 0\r\nconnection: close\r\ncontent-type: {kind}\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
    });
    let scene = Scene::new();
    let mut command = scene.ctrlz(["--json", "logs", "-f", "web"]);
    command
        .env("CTRLZ_SERVER", address)
        .env("CTRLZ_TOKEN", "ctrlz_x")
        .env("CTRLZ_SERVER_TIMEOUT", "1");
    let outcome = Outcome::of(&mut command).code(125);
    let told = outcome.out();
    assert!(told.contains("\"connection-lost\"") && told.contains("at once"), "{told}");
}
