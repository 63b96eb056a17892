//! Files, without a command.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;

use serde_json::{Value, json};

use super::{Client, Service};
use crate::support::{Scene, is_root};

/// The bytes of an answer, with its status and a header.
fn fetch(client: Client<'_>, query: &str, headers: &[(&str, &str)]) -> (u16, String, Vec<u8>) {
    let request = ureq::http::Request::builder()
        .method("GET")
        .uri(format!("{}/v1/sandboxes/web/files?{query}", client.service.address))
        .header("authorization", format!("Bearer {}", client.token));
    let request =
        headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let mut response = Client::agent().run(request.body(()).expect("a request")).expect(query);
    let header = |name: &str| {
        response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    };
    let about = format!("{} {}", header("etag"), header("content-range"));
    let status = response.status().as_u16();
    let body = response.body_mut().with_config().limit(64 << 20).read_to_vec().expect("a body");
    (status, about.trim().to_owned(), body)
}

#[track_caller]
fn read(client: Client<'_>, query: &str) -> Vec<u8> {
    let (status, _, body) = fetch(client, query, &[]);
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    body
}

fn files(query: &str) -> String {
    format!("/v1/sandboxes/web/files?{query}")
}

#[track_caller]
fn write(client: Client<'_>, query: &str, content: &[u8]) -> Value {
    client.send("PUT", &files(query), &[], content).is(200).json()
}

/// The kind of the problem that a call is answered.
#[track_caller]
fn refused(client: Client<'_>, method: &str, path: &str, status: u16) -> String {
    let told = client.send(method, path, &[], b"x").is(status).json();
    told["kind"].as_str().expect("a kind").to_owned()
}

#[test]
fn bytes_are_written_read_and_taken_back() {
    let scene = Scene::new();
    let service = Service::start(&scene);
    let client = service.admin();
    client.sandbox("web");
    let all: Vec<u8> = (0..=255).collect();
    let large: Vec<u8> = (0..16_u32 << 20).map(|at| (at * 31 % 253) as u8).collect();
    for content in [b"".as_slice(), b"one", &all, &large] {
        let done = write(client, "path=file", content);
        assert!(done["operation"].as_str().is_some_and(|id| id.starts_with("op-")), "{done}");
        assert!(read(client, "path=file") == content, "{} bytes", content.len());
    }
    assert_eq!(client.run("web", "wc -c <file; stat -c %a file")["stdout"], "16777216\n644\n");
    // Each is undone, and brings back what was there; the first one undone is the command.
    for content in [&large, &all, b"one".as_slice(), b""] {
        client.post("/v1/sandboxes/web/undo", &json!({})).is(200);
        assert!(read(client, "path=file") == content, "{} bytes", content.len());
    }
    client.post("/v1/sandboxes/web/redo", &json!({})).is(200);
    assert_eq!(read(client, "path=file"), b"one");
    let too_large = vec![0; (17 << 20) + 1];
    let told = client.send("PUT", &files("path=file"), &[], &too_large).is(413).json();
    assert_eq!(told["kind"], "too-large", "{told}");
    // It is journaled as what it is, on the command line, too.
    let log = scene.json(&["log", "web"]);
    let kinds: Vec<_> = log["operations"].as_array().expect("operations").iter().collect();
    assert!(kinds.iter().any(|one| one["request"]["kind"] == "write"), "{log}");
}

#[test]
fn what_is_written_is_committed_forked_and_undone_from_the_middle() {
    let scene = Scene::new();
    let service = Service::start(&scene);
    let client = service.admin();
    let folder = scene.root.join("real");
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join("a"), "old").expect("a file");
    client.post("/v1/sandboxes", &json!({ "name": "web", "base": folder })).is(201);
    assert_eq!(read(client, "path=a"), b"old");
    let first = write(client, "path=a", b"new");
    client.run("web", "echo b >b");
    write(client, "path=sub/deep/c&parents=true&mode=0600", b"c");
    client.post("/v1/sandboxes/web/fork", &json!({ "name": "copy" })).is(201);
    assert_eq!(client.run("copy", "cat a b sub/deep/c")["stdout"], "newb\nc");
    let middle = json!({ "operation": first["operation"] });
    client.post("/v1/sandboxes/web/undo", &middle).is(200);
    assert_eq!(read(client, "path=a"), b"old");
    assert_eq!(read(client, "path=sub/deep/c"), b"c");
    client.post("/v1/sandboxes/web/commit", &json!({})).is(200);
    assert_eq!(std::fs::read(folder.join("sub/deep/c")).expect("a file"), b"c");
    assert_eq!(std::fs::read(folder.join("a")).expect("a file"), b"old");
    let mode = std::fs::metadata(folder.join("sub/deep/c")).expect("a file").permissions();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o7777, 0o600);
    assert_eq!(client.run("copy", "cat a")["stdout"], "new");
}

#[test]
fn any_name_is_written_listed_and_removed() {
    let scene = Scene::new();
    let service = Service::start(&scene);
    let client = service.admin();
    client.sandbox("web");
    let names = ["a%20b", "line%0Aend", "%FF%FE", "%C3%A4", "%25", "a%2Bb", "%3F%26%3D%23"];
    for name in names {
        write(client, &format!("path={name}"), name.as_bytes());
        assert_eq!(read(client, &format!("path={name}")), name.as_bytes());
    }
    let mut found = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = client.get(&files(&format!("path=.&limit=3{cursor}"))).is(200).json();
        let items = page["items"].as_array().expect("entries").clone();
        assert!(items.len() <= 3);
        found.extend(items.iter().map(|one| one["path"].as_str().expect("a path").to_owned()));
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let mut expected = names.map(str::to_owned);
    expected.sort();
    found.sort();
    assert_eq!(found, expected);
    let told =
        client.run("web", "ls | od -c | head -20; test -f \"$(printf '\\377\\376')\" && echo yes");
    assert!(told["stdout"].as_str().is_some_and(|text| text.ends_with("yes\n")), "{told}");
    for name in names {
        client.delete(&files(&format!("path={name}"))).is(200);
    }
    assert_eq!(client.get(&files("path=.")).is(200).json()["items"], json!([]));
    for wrong in ["path=", "path=a%00b", "path=%zz", "path=a&mode=rwx", "pth=a", ""] {
        assert_eq!(refused(client, "PUT", &files(wrong), 400), "bad-request");
    }
    let long = "n".repeat(256);
    assert_eq!(refused(client, "PUT", &files(&format!("path={long}")), 422), "bad-name");
}

#[test]
fn links_lead_nowhere_outside() {
    let scene = Scene::new();
    let service = Service::start(&scene);
    let client = service.admin();
    client.sandbox("web");
    client.run(
        "web",
        "echo in >real; ln -s real good; ln -s loop loop; ln -s /etc/passwd passwd; mkdir d; \
         ln -s ../../../../../../etc/passwd climbs; ln -s /etc etc; ln -s ../real d/up; ln -s gone dangling; \
         ln -s $PWD/real whole; mkfifo pipe",
    );
    for inside in ["good", "d/up", "whole", "d/../real", "./d/.//up"] {
        assert_eq!(read(client, &format!("path={inside}")), b"in\n", "{inside}");
    }
    for (path, status, kind) in [
        ("passwd", 403, "outside"),
        ("climbs", 403, "outside"),
        ("etc/passwd", 403, "outside"),
        ("../x", 403, "outside"),
        ("/etc/passwd", 403, "outside"),
        ("loop", 409, "links"),
        ("loop/x", 409, "links"),
        ("real/x", 409, "no-folder"),
        ("none/x", 404, "no-such-path"),
    ] {
        for method in ["GET", "PUT"] {
            assert_eq!(
                refused(client, method, &files(&format!("path={path}")), status),
                kind,
                "{path}"
            );
        }
    }
    assert_eq!(refused(client, "GET", &files("path=dangling"), 404), "no-such-path");
    assert_eq!(refused(client, "GET", &files("path=pipe"), 409), "no-file");
    assert_eq!(refused(client, "PUT", &files("path=pipe"), 409), "no-file");
    let about = client.get(&files("path=passwd&stat=true")).is(200).json();
    assert_eq!((&about["kind"], &about["target"]), (&json!("symlink"), &json!("/etc/passwd")));
    // A write goes where the link leads, and a link that leads nowhere gets its file.
    write(client, "path=good", b"through");
    write(client, "path=dangling", b"made");
    let seen = client.run("web", "cat real gone; readlink good dangling; head -c 4 /etc/passwd");
    assert_eq!(seen["stdout"], "throughmadereal\ngone\nroot");
    // Of a link, the link goes.
    client.delete(&files("path=passwd")).is(200);
    client.delete(&files("path=loop")).is(200);
    assert_eq!(client.run("web", "ls passwd loop real 2>/dev/null")["stdout"], "real\n");
}

#[test]
fn folders_are_made_moved_into_and_removed() {
    let scene = Scene::new();
    let service = Service::start(&scene);
    let client = service.admin();
    client.sandbox("web");
    let folder = |query: &str| format!("/v1/sandboxes/web/files/folder?{query}");
    let rename = |query: &str| format!("/v1/sandboxes/web/files/move?{query}");
    client.send("POST", &folder("path=d&mode=0700"), &[], b"").is(200);
    assert_eq!(refused(client, "POST", &folder("path=d"), 409), "exists");
    assert_eq!(refused(client, "POST", &folder("path=x/y"), 404), "no-such-path");
    client.send("POST", &folder("path=x/y/z&parents=true"), &[], b"").is(200);
    write(client, "path=d/f", b"f");
    assert_eq!(refused(client, "PUT", &files("path=d"), 422), "folder");
    assert_eq!(refused(client, "PUT", &files("path=."), 422), "folder");
    assert_eq!(refused(client, "PUT", &files("path=n/f"), 404), "no-such-path");
    client.send("POST", &rename("from=d/f&to=x/y/f"), &[], b"").is(200);
    write(client, "path=g", b"g");
    assert_eq!(refused(client, "POST", &rename("from=g&to=x/y/f"), 409), "exists");
    client.send("POST", &rename("from=g&to=x/y/f&overwrite=true"), &[], b"").is(200);
    assert_eq!(refused(client, "POST", &rename("from=x&to=x/w"), 409), "into-itself");
    assert_eq!(refused(client, "POST", &rename("from=none&to=w"), 404), "no-such-path");
    assert_eq!(client.run("web", "cat x/y/f; ls; stat -c %a d; ls d")["stdout"], "gd\nx\n700\n");
    assert_eq!(refused(client, "DELETE", &files("path=x"), 409), "not-empty");
    assert_eq!(refused(client, "DELETE", &files("path=.&recursive=true"), 403), "closed");
    client.delete(&files("path=x&recursive=true")).is(200);
    client.delete(&files("path=d")).is(200);
    assert_eq!(client.run("web", "ls")["stdout"], "");
    for _ in ["the command", "d", "x"] {
        client.post("/v1/sandboxes/web/undo", &json!({})).is(200);
    }
    assert_eq!(read(client, "path=x/y/f"), b"g");
    let listed = client.get(&files("path=x")).is(200).json();
    assert_eq!(
        (&listed["items"][0]["name"], &listed["items"][0]["kind"]),
        (&json!("y"), &json!("directory"))
    );
}

#[test]
fn what_somebody_changed_is_not_overwritten() {
    let scene = Scene::new();
    let service = Service::start(&scene);
    let client = service.admin();
    client.sandbox("web");
    let put = |headers: &[(&str, &str)], content: &[u8]| {
        client.send("PUT", &files("path=f"), headers, content).status
    };
    assert_eq!(put(&[("if-match", "*")], b"x"), 412);
    assert_eq!(put(&[("if-none-match", "*")], b"0123456789"), 200);
    assert_eq!(put(&[("if-none-match", "*")], b"x"), 412);
    let (_, tag, _) = fetch(client, "path=f", &[]);
    let (status, _, body) = fetch(client, "path=f", &[("if-none-match", &tag)]);
    assert_eq!((status, body.len()), (304, 0));
    let (status, about, body) = fetch(client, "path=f", &[("range", "bytes=2-4")]);
    assert_eq!((status, body.as_slice()), (206, b"234".as_slice()));
    assert_eq!(about, format!("{tag} bytes 2-4/10"));
    assert_eq!(fetch(client, "path=f", &[("range", "bytes=-2")]).2, b"89");
    assert_eq!(fetch(client, "path=f", &[("range", "bytes=10-")]).0, 416);
    let other = [("range", "bytes=2-4"), ("if-range", "\"other\"")];
    assert_eq!(fetch(client, "path=f", &other).0, 200);
    // The same bytes are the same file, whoever wrote them.
    client.run("web", "printf 0123456789 >f");
    assert_eq!(fetch(client, "path=f", &[]).1, tag);
    client.run("web", "printf other >f");
    assert_eq!(put(&[("if-match", &tag)], b"mine"), 412);
    assert_eq!(read(client, "path=f"), b"other");
    let delete = client.send("DELETE", &files("path=f"), &[("if-match", &tag)], b"");
    assert_eq!(delete.is(412).json()["kind"], "not-as-expected");
    let (_, tag, _) = fetch(client, "path=f", &[]);
    assert_eq!(put(&[("if-match", &tag)], b"mine"), 200);
    assert_eq!(read(client, "path=f"), b"mine");
}

#[test]
fn a_write_waits_for_the_command_and_is_not_lost() {
    let scene = Scene::new();
    let service = Service::start(&scene);
    let client = service.admin();
    client.sandbox("web");
    write(client, "path=f", b"before");
    let script = "echo begun; read line; cat f; echo command >f; echo >mine";
    let process = client.begin("web", &json!({ "script": script, "open_stdin": true }));
    let path = format!("/v1/processes/{process}");
    while client.get(&path).is(200).json()["written"] == 0 {}
    std::thread::scope(|scope| {
        let written = scope.spawn(|| write(client, "path=f", b"after"));
        // A look shows the point before the command, and does not wait.
        assert_eq!(read(client, "path=f"), b"before");
        client.send("POST", &format!("{path}/input?end=true"), &[], b"go\n").is(204);
        written.join().expect("written");
    });
    let ended = client.post(&format!("{path}/wait"), &Value::Null).is(200).json();
    assert_eq!(ended["result"]["stdout"], "begun\nbefore", "{ended}");
    assert_eq!(client.run("web", "cat f; ls mine")["stdout"], "aftermine\n");
}

#[test]
fn who_may_not_does_not() {
    let scene = Scene::new();
    let service = Service::start(&scene);
    let client = service.admin();
    client.sandbox("web");
    write(client, "path=f", b"x");
    client.put("/v1/tenants/other", &json!({})).is(200);
    let viewer = client.token("default", "viewer");
    let viewer = service.with(&viewer);
    assert_eq!(read(viewer, "path=f"), b"x");
    assert_eq!(refused(viewer, "PUT", &files("path=f"), 403), "forbidden");
    let foreign = client.token("other", "admin");
    let foreign = service.with(&foreign);
    for method in ["GET", "PUT", "DELETE"] {
        assert_eq!(refused(foreign, method, &files("path=f"), 404), "no-sandbox");
    }
    foreign.get("/v1/sandboxes/web/files/watch").is(404);
    // What is hidden from commands is not there, and cannot be put there.
    let home = scene.root.join("person");
    std::fs::create_dir_all(home.join(".ssh")).expect("a folder");
    std::fs::write(home.join(".ssh/id"), "secret").expect("a file");
    let token = service.admin.clone();
    service.stop();
    let mut command = scene.ctrlz(["serve", "--listen", "127.0.0.1:0", "--json"]);
    command.env("HOME", &home);
    let mut service = Service::begin(command);
    service.admin = token;
    let client = service.admin();
    client.post("/v1/sandboxes", &json!({ "name": "home", "base": home })).is(201);
    let at = |query: &str| format!("/v1/sandboxes/home/files?{query}");
    assert_eq!(refused(client, "GET", &at("path=.ssh/id"), 404), "no-such-path");
    assert_eq!(refused(client, "PUT", &at("path=.ssh/id"), 403), "closed");
    assert_eq!(refused(client, "PUT", &at("path=.ssh"), 403), "closed");
    assert_eq!(refused(client, "DELETE", &at("path=.ssh&recursive=true"), 404), "no-such-path");
    assert_eq!(client.get(&at("path=.")).is(200).json()["items"], json!([]));
}

#[test]
fn modes_keep_out_whoever_they_keep_out() {
    if is_root() {
        return crate::support::skipped("root reads every file");
    }
    let scene = Scene::new();
    let service = Service::start(&scene);
    let client = service.admin();
    client.sandbox("web");
    client.run("web", "echo x >f; mkdir d; echo x >d/f; chmod 0 f; chmod 500 d");
    assert_eq!(refused(client, "GET", &files("path=f"), 403), "closed");
    assert_eq!(refused(client, "PUT", &files("path=d/new"), 403), "closed");
    assert_eq!(client.run("web", "ls d")["stdout"], "f\n");
}

#[test]
fn a_write_that_is_cut_short_never_was() {
    for point in ["edit", "edited", "edit-staged"] {
        let scene = Scene::new();
        let service = Service::start(&scene);
        service.admin().sandbox("web");
        write(service.admin(), "path=f", b"former");
        let token = service.admin.clone();
        service.stop();
        let mut command = scene.ctrlz(["serve", "--listen", "127.0.0.1:0", "--json"]);
        command.env("CTRLZ_FAULT", format!("{point}:1"));
        let service = Service::begin(command);
        let address = service.address.strip_prefix("http://").expect("an address");
        let mut stream = TcpStream::connect(address).expect("connected");
        write!(
            stream,
            "PUT /v1/sandboxes/web/files?path=f HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\
             content-length: 3\r\n\r\nnew"
        )
        .expect("sent");
        // The service is gone in the middle of it.
        let answered = BufReader::new(stream).lines().count();
        assert_eq!(answered, 0, "{point}");
        drop(service);
        let mut service = Service::start(&scene);
        service.admin = token;
        let client = service.admin();
        assert_eq!(read(client, "path=f"), b"former", "{point}");
        write(client, "path=g", b"next");
        assert_eq!(client.run("web", "cat f g")["stdout"], "formernext", "{point}");
        let log = client.get("/v1/sandboxes/web/operations").is(200).json();
        let statuses: Vec<_> = log["items"].as_array().expect("items").iter().collect();
        let cut = |one: &&&Value| one["status"] == "recovered" && one["request"]["kind"] == "write";
        assert_eq!(statuses.iter().filter(cut).count(), 1, "{point}: {log}");
    }
}

#[test]
fn a_full_disk_loses_nothing() {
    let scene = Scene::new();
    let mut command = scene.ctrlz(["serve", "--listen", "127.0.0.1:0", "--json"]);
    command.env("CTRLZ_FAULT", "edited:2:enospc");
    let service = Service::begin(command);
    let client = service.admin();
    client.sandbox("web");
    write(client, "path=f", b"former");
    assert_eq!(refused(client, "PUT", &files("path=f"), 507), "store-full");
    assert_eq!(read(client, "path=f"), b"former");
    write(client, "path=f", b"then");
    assert_eq!(client.run("web", "cat f")["stdout"], "then");
}

#[test]
fn changes_are_watched() {
    let scene = Scene::new();
    let service = Service::start(&scene);
    let client = service.admin();
    client.sandbox("web");
    let first = write(client, "path=old", b"x");
    let watch = |query: &str, headers: &str| {
        let address = service.address.strip_prefix("http://").expect("an address");
        let mut stream = TcpStream::connect(address).expect("connected");
        write!(
            stream,
            "GET /v1/sandboxes/web/files/watch{query} HTTP/1.1\r\nhost: x\r\n{headers}\
             authorization: Bearer {}\r\n\r\n",
            service.admin
        )
        .expect("sent");
        stream.set_read_timeout(Some(std::time::Duration::from_secs(30))).expect("a limit");
        let mut lines = BufReader::new(stream).lines().map(|line| line.expect("a line"));
        assert!(lines.next().is_some_and(|line| line.contains("200")));
        lines.filter_map(|line| line.strip_prefix("data: ").map(str::to_owned))
    };
    let mut all = watch("", "");
    let mut below = watch("?path=d", "");
    let changes = |line: Option<String>| {
        let told: Value = serde_json::from_str(&line.expect("an event")).expect("an object");
        let changes = told["changes"].as_array().expect("changes").iter();
        let text = |one: &Value| {
            format!(
                "{} {}",
                one["change"].as_str().expect("a word"),
                one["query"].as_str().expect("a path")
            )
        };
        (told["kind"].as_str().expect("a kind").to_owned(), changes.map(text).collect::<Vec<_>>())
    };
    write(client, "path=new%20one", b"x");
    client.run("web", "rm old; mkdir d; echo >d/f; echo y >'new one'");
    client.run("web", "true");
    client.post("/v1/sandboxes/web/undo", &json!({})).is(200);
    client.post("/v1/sandboxes/web/undo", &json!({})).is(200);
    assert_eq!(changes(all.next()), ("write".to_owned(), vec!["created new%20one".to_owned()]));
    let (kind, told) = changes(all.next());
    assert_eq!(kind, "run");
    assert_eq!(told, ["created d", "created d/f", "modified new%20one", "removed old"]);
    assert_eq!(changes(all.next()).0, "undo");
    assert_eq!(changes(below.next()).1, ["created d", "created d/f"]);
    assert_eq!(changes(below.next()).1, ["removed d", "removed d/f"]);
    // Whoever comes again learns what came meanwhile.
    let id = first["operation"].as_str().expect("an id");
    let mut again = watch("", &format!("last-event-id: {id}\r\n"));
    assert_eq!(changes(again.next()).1, ["created new%20one"]);
}

#[test]
fn files_of_an_image_are_read_and_written() {
    if !is_root() {
        return crate::support::skipped("only root serves sandboxes of images");
    }
    let scene = Scene::new();
    let root = scene.root.join("image");
    std::fs::create_dir_all(root.join("etc")).expect("a folder");
    std::fs::write(root.join("etc/passwd"), "of the image").expect("a file");
    std::os::unix::fs::symlink("/etc/passwd", root.join("link")).expect("a link");
    std::os::unix::fs::symlink("../../etc/passwd", root.join("climbs")).expect("a link");
    std::os::unix::fs::chown(root.join("etc/passwd"), Some(1234), Some(1235)).expect("an owner");
    let tar = scene.root.join("image.tar");
    scene.host(&format!("tar -C {} -cf {} .", root.display(), tar.display()));
    let service = Service::start(&scene);
    let client = service.admin();
    client.post("/v1/sandboxes", &json!({ "name": "web", "image": tar })).is(201);
    for path in ["/etc/passwd", "etc/passwd", "link", "climbs", "../../etc/passwd"] {
        assert_eq!(read(client, &format!("path={path}")), b"of the image", "{path}");
    }
    write(client, "path=/link", b"changed");
    let about = client.get(&files("path=/etc/passwd&stat=true")).is(200).json();
    assert_eq!(
        (&about["uid"], &about["gid"], &about["size"]),
        (&json!(1234), &json!(1235), &json!(7))
    );
    client.post("/v1/sandboxes/web/undo", &json!({})).is(200);
    assert_eq!(read(client, "path=link"), b"of the image");
}
