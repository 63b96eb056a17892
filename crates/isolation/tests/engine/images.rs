//! Where images come from.

use std::process::{Child, Command, Stdio};

use crate::Test;
use crate::direct::Told;
use crate::image::IMAGE;
use crate::place::{Place, await_that, run};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        ("an_image_that_is_nowhere", nowhere),
        ("an_image_is_pulled_from_a_registry", pulled),
        ("an_archive_that_is_none", no_archive),
        ("an_engine_that_is_not_there", no_engine),
        ("the_other_engine_is_recognised", other_engine),
        ("an_engine_tells_what_it_can", probed),
    ]
}

fn failure(told: Told) -> String {
    match told {
        Told::Failed(text) => text,
        other => panic!("{other:?}"),
    }
}

fn nowhere(place: &Place<'_>) {
    let mut spec = place.shell("true");
    spec.image = format!("127.0.0.1:{}/none:1", place.server.registry_port);
    let text = failure(run(&spec, b"").told);
    assert!(text.contains("pull the image") && text.contains(&spec.image), "{text}");
    place.server.await_no_container();
}

struct Registry(Child);

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn registry(place: &Place<'_>) -> Registry {
    let port = place.server.registry_port;
    let config = place.directory.join("registry.yml");
    let text = format!(
        "version: 0.1\nstorage:\n  filesystem: {{rootdirectory: {:?}}}\nhttp: {{addr: \"127.0.0.1:{port}\"}}\n",
        place.directory.join("registry").display().to_string()
    );
    std::fs::write(&config, text).expect("write");
    let mut command = Command::new("docker-registry");
    command.arg("serve").arg(config).stdout(Stdio::null()).stderr(Stdio::null());
    let registry = Registry(command.spawn().expect("start a registry"));
    await_that("the registry listens", || {
        std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
    });
    registry
}

fn pulled(place: &Place<'_>) {
    let _registry = registry(place);
    let server = place.server;
    let name = format!("127.0.0.1:{}/team/tools:2", server.registry_port);
    server.client(&["tag", IMAGE, &name]);
    server.client(&["push", &name]);
    server.client(&["rmi", &name]);
    let mut spec = place.shell("cat file");
    spec.image.clone_from(&name);
    let run = run(&spec, b"");
    assert_eq!(run.output, "base\n", "{:?}", run.told);
    server.client(&["rmi", &name]);
}

fn no_archive(place: &Place<'_>) {
    let path = place.directory.join("archive.tar");
    std::fs::write(&path, "no archive").expect("write");
    let sockets = [place.server.socket.clone()];
    let error = ctrlz_isolation::engine::load(place.server.kind, &sockets, &path);
    let error = error.expect_err("refused").to_string();
    assert!(error.contains("archive.tar"), "{error}");
    let error = ctrlz_isolation::engine::load(place.server.kind, &sockets, "/none".as_ref());
    assert!(error.expect_err("refused").to_string().contains("/none"));
}

fn no_engine(place: &Place<'_>) {
    let mut spec = place.shell("true");
    spec.socket = place.directory.join("none.sock");
    let text = failure(run(&spec, b"").told);
    assert!(text.contains("none.sock") && text.contains("systemctl"), "{text}");
}

fn other_engine(place: &Place<'_>) {
    use ctrlz_isolation::engine::Engine;
    let mut spec = place.shell("true");
    spec.engine = match spec.engine {
        Engine::Podman => Engine::Docker,
        Engine::Docker => Engine::Podman,
    };
    let text = failure(run(&spec, b"").told);
    assert!(text.contains(&format!("{} listens there", place.server.kind)), "{text}");
}

fn probed(place: &Place<'_>) {
    let sockets = [place.server.socket.clone()];
    let probe = ctrlz_isolation::engine::probe(place.server.kind, &sockets).expect("an answer");
    assert!(probe.runtimes.iter().any(|name| name == "runc"), "{probe:?}");
    assert!(!probe.version.is_empty() && !probe.storage_driver.is_empty(), "{probe:?}");
    assert_eq!(probe.rootless, !rustix::process::geteuid().is_root());
    assert!(["1", "2"].contains(&probe.cgroup_version.as_str()), "{probe:?}");
}
