//! `--root` with images of a registry, by reference: Debian's own, on loopback.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::images::{has_whole, layout, runs, unpacked, with_root};
use crate::support::{Scene, has};

/// A registry whose files are beside the scene's project; ended with the test.
struct Registry {
    child: Child,
    host: String,
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Registry {
    /// `None`, after a skip was told, where it cannot be had.
    fn start(scene: &Scene) -> Option<Self> {
        if !has("docker-registry") || !has("skopeo") {
            return None;
        }
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let host = listener.local_addr().expect("an address").to_string();
        drop(listener);
        let (config, files) = (scene.root.join("registry.yml"), scene.root.join("registry"));
        let text = format!(
            "version: 0.1\nstorage:\n  filesystem: {{rootdirectory: {:?}}}\nhttp: {{addr: {host:?}}}\nlog: {{level: error}}\n",
            files.display().to_string()
        );
        fs::write(&config, text).expect("written");
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(&config).stdin(Stdio::null());
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("a server");
        let mut registry = Self { child, host };
        let started = Instant::now();
        while TcpStream::connect(&registry.host).is_err() {
            let ended = registry.child.try_wait().expect("a state");
            assert!(ended.is_none() && started.elapsed() < Duration::from_secs(60), "{ended:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(registry)
    }

    fn reference(&self, name: &str) -> String {
        format!("docker://{}/{name}", self.host)
    }

    /// Brings what lies in `../layout` there.
    fn push(&self, scene: &Scene, name: &str) {
        let to = self.reference(name);
        scene.host(&format!(
            "skopeo --insecure-policy copy --quiet --all --dest-tls-verify=false oci:../layout {to}"
        ));
    }
}

#[test]
fn an_image_is_fetched_once_and_unpacked() {
    let scene = with_root();
    let Some(registry) = Registry::start(&scene) else { return };
    layout(&scene, "");
    registry.push(&scene, "some/image:tag");
    let root = registry.reference("some/image:tag");
    runs(&scene, &root);
    has_whole(&scene, 1);
    // The same content has one root, whoever brings it.
    runs(&scene, "../layout");
    has_whole(&scene, 1);
    // What was fetched is there without the registry.
    let words = ["run", "--root", &root, "--pull", "never", "--", "/bin/hello"];
    let asked = ["run", "--root", &root, "--pull", "always", "--", "/bin/hello"];
    drop(registry);
    assert_eq!(scene.run(&words).ok().out(), "own\n");
    scene.run(&asked).code(125).says(&["cannot be a root", "some/image"]);
}

#[test]
fn a_tag_that_moved_is_seen_when_it_is_asked_for_and_a_digest_never_moves() {
    let scene = with_root();
    let Some(registry) = Registry::start(&scene) else { return };
    layout(&scene, "");
    registry.push(&scene, "image:tag");
    let root = registry.reference("image:tag");
    let digest =
        scene.host(&format!("skopeo inspect --tls-verify=false --format '{{{{.Digest}}}}' {root}"));
    runs(&scene, &root);
    scene.host("echo new > ../root/etc/name; rm -r ../layout");
    layout(&scene, "");
    registry.push(&scene, "image:tag");
    let out = |root: &str, pull: &str| {
        scene.run(&["run", "--root", root, "--pull", pull, "--", "/bin/hello"]).ok().out()
    };
    assert_eq!(out(&root, "missing"), "own\n");
    assert_eq!(out(&root, "always"), "new\n");
    assert_eq!(out(&root, "missing"), "new\n");
    let pinned = format!("{}@{}", registry.reference("image"), digest.trim());
    assert_eq!(out(&pinned, "always"), "own\n");
    has_whole(&scene, 2);
}

#[test]
fn what_is_not_there_or_not_whole_is_told_and_leaves_nothing() {
    let scene = with_root();
    let Some(registry) = Registry::start(&scene) else { return };
    layout(&scene, "");
    registry.push(&scene, "image:tag");
    let run = |root: &str, pull: &str| {
        scene.run(&["run", "--root", root, "--pull", pull, "--", "/bin/hello"]).code(125)
    };
    run(&registry.reference("image:other"), "missing").says(&["other", "cannot be a root"]);
    run(&registry.reference("none:tag"), "missing").says(&["none", "cannot be a root"]);
    run(&registry.reference("image:tag"), "never").says(&["not fetched before"]);
    run("docker://debian", "missing").says(&["names no registry", "docker.io/library"]);
    run("docker://127.0.0.1:1/image", "missing").says(&["127.0.0.1:1"]);
    // A layer with other bytes than its name says.
    scene.host(
        r#"for blob in $(find ../registry -name data -size +1k); do printf x | dd of="$blob" bs=1 seek=100 conv=notrunc status=none; done"#,
    );
    run(&registry.reference("image:tag"), "missing").says(&["cannot be a root"]);
    let roots = unpacked(&scene).into_iter().filter(|name| !name.contains('.'));
    assert_eq!(roots.count(), 0, "nothing counts as whole");
}
