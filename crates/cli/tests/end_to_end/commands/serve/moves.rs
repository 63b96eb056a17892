//! Folders that get another name, and writes that are cut short.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::process::Command;

use serde_json::{Value, json};

use super::{Client, Service};
use crate::support::Scene;

fn rename(from: &str, to: &str) -> String {
    format!("/v1/sandboxes/web/files/move?from={from}&to={to}")
}

#[track_caller]
fn refused(client: Client<'_>, path: &str, status: u16) -> String {
    let told = client.send("POST", path, &[], b"").is(status).json();
    told["kind"].as_str().expect("a kind").to_owned()
}

/// What the sandbox holds, but for the times of folders. The look itself is taken back, so that an undo is
/// of what was done before it.
#[track_caller]
fn look(client: Client<'_>, sandbox: &str) -> String {
    let script =
        "find . -mindepth 1 -type d -printf '%y %m %p\n' -o -printf '%y %m %p %l %t\n' | sort
                  find . -type f | sort | xargs -r cat";
    let seen = client.run(sandbox, script)["stdout"].as_str().expect("text").to_owned();
    client.post(&format!("/v1/sandboxes/{sandbox}/undo"), &json!({})).is(200);
    seen
}

#[test]
fn a_folder_is_moved_with_all_that_is_in_it() {
    for driver in ["overlay", "copy"] {
        let scene = Scene::new();
        let mut command = scene.ctrlz(["serve", "--listen", "127.0.0.1:0", "--json"]);
        command.env("CTRLZ_WORKSPACE", driver);
        let service = Service::begin(command);
        let client = service.admin();
        client.sandbox("web");
        let script =
            "mkdir -p d/e/deep d/gone; echo one >d/a; ln d/a d/e/b; ln -s a d/l; mkfifo d/p
                      echo x >d/gone/x; chmod 750 d/e; echo file >file";
        client.run("web", script);
        client.post("/v1/sandboxes/web/commit", &json!({})).is(200);
        client.run(
            "web",
            "rm -r d/gone; mkdir d/gone; echo n >d/gone/n; rm d/l; mkdir d/l; echo 2 >d/c",
        );
        let before = look(client, "web");
        let snapshot = client.post("/v1/sandboxes/web/snapshots", &json!({})).is(201).json();
        let moved = client.send("POST", &rename("d", "file2/n"), &[], b"");
        assert_eq!(moved.status, 404, "{driver}: no folder is there for it");
        client.send("POST", "/v1/sandboxes/web/files/folder?path=f", &[], b"").is(200);
        client.send("POST", &rename("d", "f/n"), &[], b"").is(200);
        let told = client.get("/v1/sandboxes/web/operations?limit=1").is(200).json();
        assert_eq!(told["items"][0]["request"]["kind"], "write", "{driver}");
        assert_eq!(told["items"][0]["request"]["title"], "move d to f/n", "{driver}");
        let after = look(client, "web");
        let expected = client.run("web", "mv f/n d; rmdir f")["exit_code"].clone();
        assert_eq!((expected, look(client, "web")), (json!(0), before.clone()), "{driver}");
        client.post("/v1/sandboxes/web/undo", &json!({})).is(200);
        assert_eq!(look(client, "web"), after, "{driver}");
        // What is no place for it, or not there, or too much.
        assert_eq!(refused(client, &rename("f", "f/n/x"), 409), "into-itself", "{driver}");
        assert_eq!(refused(client, &rename("f", "f"), 409), "exists", "{driver}");
        assert_eq!(refused(client, &rename("f/n/e", "f/n/gone"), 409), "exists", "{driver}");
        let over = format!("{}&overwrite=true", rename("f/n/e", "file"));
        assert_eq!(refused(client, &over, 409), "exists", "{driver}");
        assert_eq!(refused(client, &rename("file", "f"), 422), "folder", "{driver}");
        assert_eq!(refused(client, &rename(".", "x"), 403), "closed", "{driver}");
        assert_eq!(refused(client, &rename("f/n", "../x"), 403), "outside", "{driver}");
        assert_eq!(look(client, "web"), after, "{driver}");
        // Through a link it is the link that is moved.
        client.run("web", "ln -s f link");
        client.send("POST", &rename("link", "other"), &[], b"").is(200);
        assert_eq!(client.run("web", "readlink other; rm other")["stdout"], "f\n", "{driver}");
        client.post("/v1/sandboxes/web/fork", &json!({ "name": "fork" })).is(201);
        assert_eq!(look(client, "fork"), after, "{driver}");
        client.post("/v1/sandboxes/web/commit", &json!({})).is(200);
        assert_eq!(look(client, "web"), after, "{driver}");
        let back = json!({ "snapshot": snapshot["id"] });
        client.post("/v1/sandboxes/web/rollback", &back).is(200);
        assert_eq!(look(client, "web"), before, "{driver}");
        for _ in ["the rollback", "the commit"] {
            client.post("/v1/sandboxes/web/undo", &json!({})).is(200);
        }
        assert_eq!(look(client, "web"), after, "{driver}");
    }
}

#[test]
fn a_folder_with_too_much_in_it_is_moved_by_a_command() {
    let scene = Scene::new();
    let service = Service::start(&scene);
    let client = service.admin();
    client.sandbox("web");
    client.run(
        "web",
        "mkdir many large; cd many; seq 10001 | xargs touch; truncate -s 1025M ../large/l",
    );
    for folder in ["many", "large"] {
        assert_eq!(refused(client, &rename(folder, "x"), 409), "too-much");
    }
    assert_eq!(client.run("web", "ls; ls many | wc -l")["stdout"], "large\nmany\n10001\n");
}

/// A service that dies where it is told to.
fn dying(scene: &Scene, driver: &str, point: &str) -> Service {
    let mut command: Command = scene.ctrlz(["serve", "--listen", "127.0.0.1:0", "--json"]);
    command.env("CTRLZ_WORKSPACE", driver);
    if !point.is_empty() {
        command.env("CTRLZ_FAULT", format!("{point}:1"));
    }
    Service::begin(command)
}

#[test]
fn every_write_that_is_cut_short_never_was() {
    const CALLS: &[(&str, &str, &[&str])] = &[
        ("PUT", "files?path=f", &["edit", "edited", "edit-staged"]),
        ("PUT", "files?path=new", &["edit", "edited"]),
        ("PUT", "files?path=x/y/new&parents=true", &["edit", "edited"]),
        ("DELETE", "files?path=d&recursive=true", &["edit", "edited"]),
        ("POST", "files/folder?path=n", &["edit", "edited"]),
        ("POST", "files/move?from=f&to=d/g", &["edit", "edited"]),
        ("POST", "files/move?from=d&to=n", &["edit", "edited"]),
    ];
    const LAYERED: &[(&str, &str, &[&str])] = &[
        ("POST", "files/move?from=f&to=d/g", &["edit-moved"]),
        ("POST", "files/move?from=d&to=n", &["edit-folder", "edit-moved"]),
    ];
    for (driver, calls) in [("overlay", [CALLS, LAYERED].concat()), ("copy", CALLS.to_vec())] {
        let scene = Scene::new();
        let service = dying(&scene, driver, "");
        let client = service.admin();
        client.sandbox("web");
        client.run("web", "echo former >f; mkdir -p d/e; echo a >d/a; ln d/a d/e/b; mkfifo d/p");
        client.post("/v1/sandboxes/web/commit", &json!({})).is(200);
        client.run("web", "echo b >d/b; rm d/a");
        let before = look(client, "web");
        let token = service.admin.clone();
        service.stop();
        for (method, path, points) in calls {
            for point in points {
                let what = format!("{driver}: {method} {path} at {point}");
                let service = dying(&scene, driver, point);
                let address = service.address.strip_prefix("http://").expect("an address");
                let mut stream = TcpStream::connect(address).expect("connected");
                write!(
                    stream,
                    "{method} /v1/sandboxes/web/{path} HTTP/1.1\r\nhost: x\r\n\
                     authorization: Bearer {token}\r\ncontent-length: 3\r\n\r\nnew"
                )
                .expect("sent");
                // The service is gone in the middle of it.
                assert_eq!(BufReader::new(stream).lines().count(), 0, "{what}");
                drop(service);
                let mut service = dying(&scene, driver, "");
                service.admin.clone_from(&token);
                let client = service.admin();
                assert_eq!(look(client, "web"), before, "{what}");
                let log = client.get("/v1/sandboxes/web/operations?limit=3").is(200).json();
                let statuses = log["items"].as_array().expect("items").iter();
                let cut = |one: &&Value| {
                    one["status"] == "recovered" && one["request"]["kind"] == "write"
                };
                assert_eq!(statuses.filter(cut).count(), 1, "{what}: {log}");
                // Then it is done, and taken back.
                client.send(method, &format!("/v1/sandboxes/web/{path}"), &[], b"new").is(200);
                assert_ne!(look(client, "web"), before, "{what}");
                client.post("/v1/sandboxes/web/undo", &json!({})).is(200);
                assert_eq!(look(client, "web"), before, "{what}");
                service.stop();
            }
        }
    }
}
