//! The service in a container, built as packaging/docker/Dockerfile says.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::{Scene, has, is_root, skipped};

/// podman with storage of its own, so that nothing of the host is touched.
fn podman(scene: &Scene, arguments: &[&str]) -> (bool, String) {
    let at = scene.root.join("containers");
    std::fs::create_dir_all(&at).expect("a folder");
    // Not every test machine may raise limits, has systemd, or has control groups of version 2.
    let settings = at.join("containers.conf");
    let text = "[containers]\ndefault_ulimits = [\"nofile=4096:4096\", \"nproc=4096:4096\"]\n\
                [engine]\nruntime = \"runc\"\ncgroup_manager = \"cgroupfs\"\n";
    std::fs::write(&settings, text).expect("written");
    let done = scene
        .program("podman", ["--storage-driver", "vfs", "--root"])
        .arg(at.join("root"))
        .arg("--runroot")
        .arg(at.join("run"))
        .args(arguments)
        .env("XDG_RUNTIME_DIR", &at)
        .env("CONTAINERS_CONF", &settings)
        .output()
        .expect("it ran");
    let told = [done.stdout, done.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    (done.status.success(), told.concat())
}

/// A context with the binary, and the image that is made of it.
fn make_image(scene: &Scene) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging");
    let context = scene.root.join("context");
    std::fs::create_dir(&context).expect("a folder");
    let program = scene.ctrlz([""; 0]).get_program().to_owned();
    let copied = |command: &mut Command| command.status().is_ok_and(|status| status.success());
    // Without what debuggers read, it is a tenth as large.
    let binary = context.join("ctrlz");
    if !copied(Command::new("strip").arg("-o").arg(&binary).arg(&program).stderr(Stdio::null())) {
        std::fs::copy(&program, &binary).expect("copied");
    }
    assert!(copied(Command::new("cp").arg("-r").arg(&source).arg(&context)));
    let context = context.to_string_lossy().into_owned();
    let file = format!("{context}/packaging/docker/Dockerfile");
    let build = ["build", "--isolation", "chroot", "-q", "-f", &file];
    let (is_built, told) = podman(
        scene,
        &[&build[..], &["--build-arg", "BINARY=prebuilt", "-t", "ctrlz", &context]].concat(),
    );
    assert!(is_built, "{told}");
}

#[test]
fn the_image_serves_without_root_and_without_capabilities() {
    if !has("podman") || !has("curl") || !has("runc") {
        return;
    }
    if !is_root() {
        return skipped("only root runs podman and buildah without ranges of ids");
    }
    let scene = Scene::new();
    make_image(&scene);
    let data = scene.root.join("data");
    std::fs::create_dir(&data).expect("a folder");
    std::os::unix::fs::chown(&data, Some(10001), Some(10001)).expect("given");
    let volume = format!("{}:/data", data.display());
    let flags = [
        "--network=none",
        "--read-only",
        "--cap-drop=ALL",
        "--tmpfs=/tmp",
        "-v",
        &volume,
        "--security-opt=seccomp=unconfined",
        "--security-opt=unmask=ALL",
    ];
    // As it stands it would be offered to others without a certificate.
    let (is_up, told) =
        podman(&scene, &[&["run", "--rm"], &flags[..], &["localhost/ctrlz"]].concat());
    assert!(!is_up && told.contains("--tls-cert"), "{told}");
    let serve = ["localhost/ctrlz", "serve", "--listen", "none", "--json"];
    let (is_up, id) = podman(&scene, &[&["run", "-d"], &flags[..], &serve].concat());
    if !is_up {
        return skipped(&format!("no container can be run here: {}", id.trim()));
    }
    let id = id.trim().lines().last().expect("an id").to_owned();
    let told = loop {
        let (_, told) = podman(&scene, &["logs", &id]);
        if told.contains("\"ok\":") {
            break told;
        }
    };
    let first = told.lines().find(|line| line.contains("\"ok\":")).expect("a line");
    let first: Value = serde_json::from_str(first).expect("an object");
    let token = first["token"].as_str().unwrap_or_else(|| panic!("{told}"));
    let socket = data.join("store/service.sock");
    let ask = |path: &str, body: &Value| -> Value {
        let asked = scene
            .program("curl", ["--silent", "--show-error", "--unix-socket"])
            .arg(&socket)
            .args(["-H", &format!("authorization: Bearer {token}")])
            .args(["-H", "content-type: application/json", "-d", &body.to_string()])
            .arg(format!("http://ctrlz{path}"))
            .output()
            .expect("it ran");
        let text = String::from_utf8_lossy(&asked.stdout);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    };
    ask("/v1/sandboxes", &json!({ "name": "web" }));
    // There is one program in the image.
    let operation = json!({ "argv": ["/usr/bin/ctrlz", "--version"] });
    let done = ask("/v1/sandboxes/web/operations", &operation);
    assert!(done["stdout"].as_str().is_some_and(|text| text.starts_with("ctrlz ")), "{done}");
    let (_, user) = podman(&scene, &["top", &id, "user"]);
    assert!(!user.contains("root"), "{user}");
    let (is_stopped, told) = podman(&scene, &["stop", "-t", "45", &id]);
    assert!(is_stopped, "{told}");
    let (_, code) = podman(&scene, &["inspect", "--format", "{{.State.ExitCode}}", &id]);
    let (_, log) = podman(&scene, &["logs", &id]);
    podman(&scene, &["rm", "-f", &id]);
    assert_eq!(code.trim(), "0", "{log}");
}
