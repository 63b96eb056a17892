//! `--root`: a folder, a tar file, or the host's own root copy-on-write. For images see `images`.

use std::path::Path;

use crate::support::{CTRLZ, Outcome, Scene, is_root, python, skipped};

/// A folder that is a root: the program under test is static, so it can be all that is in it.
fn with_root() -> Scene {
    let scene = Scene::new();
    scene.host(
        "mkdir -p ../root/bin ../root/etc ../root/tmp; cp \"$CTRLZ\" ../root/bin/ctrlz; \
         echo own > ../root/etc/name; strip ../root/bin/ctrlz 2>/dev/null || true",
    );
    scene
}

#[test]
fn a_folder() {
    let scene = with_root();
    let root = scene.root.join("root");
    let root = root.to_str().expect("UTF-8");
    let run = |arguments: &[&str]| {
        scene.run(&[&["run", "--root", root, "--", "/bin/ctrlz"], arguments].concat())
    };
    let outcome = run(&["--version"]).ok();
    assert!(outcome.out().starts_with("ctrlz "), "{outcome}");
    run(&["man", "/etc"]).ok();
    let diff = scene.ok(&["diff"]);
    assert!(diff.contains("ctrlz.1"), "{diff}");
    assert!(!scene.root.join("root/etc/ctrlz.1").exists());
    scene.ok(&["commit"]);
    assert!(scene.root.join("root/etc/ctrlz.1").exists());
    scene.ok(&["undo"]);
    assert!(!scene.root.join("root/etc/ctrlz.1").exists());
    // Nothing of the host is seen.
    let outcome = run(&["man", "/usr"]);
    assert!(!outcome.status.success(), "{outcome}");
    scene.run(&["run", "--root", root, "--", "/usr/bin/env"]).code(127);
    assert_eq!(scene.host("ls ../root"), "bin\netc\ntmp\n");
}

#[test]
fn a_tar_file() {
    let scene = with_root();
    for (name, flags) in [("plain.tar", ""), ("packed.tar.gz", "-z")] {
        scene.host(&format!("tar -C ../root -c {flags} -f ../{name} ."));
        let path = scene.root.join(name);
        let path = path.to_str().expect("UTF-8");
        let name = name.replace('.', "-");
        scene.ok(&["new", &name, "--root", path]);
        let outcome = scene.run(&["exec", &name, "--", "/bin/ctrlz", "man", "/etc"]).ok();
        outcome.says_nothing();
        assert!(scene.ok(&["diff", &name]).contains("ctrlz.1"));
        // There is no folder to commit to, and that is said.
        scene.run(&["commit", &name]).code(123).says(&["image"]);
        scene.ok(&["undo", &name]);
        assert!(scene.ok(&["diff", &name]).contains("no changes"));
    }
    let path = scene.root.join("plain.tar");
    scene
        .run(&["run", "--root", path.to_str().expect("UTF-8"), "--", "/bin/ctrlz", "--version"])
        .ok();
}

#[test]
fn a_tar_file_that_reaches_out_is_refused_or_kept_inside() {
    let scene = Scene::new();
    let program = r#"
import io, tarfile
with tarfile.open('../evil.tar', 'w') as tar:
    link = tarfile.TarInfo('out'); link.type = tarfile.SYMTYPE; link.linkname = '..' + '/..' * 12 + '@ROOT@'
    tar.addfile(link)
    for name in ('../escaped', 'out/escaped', '@ROOT@/escaped'):
        info = tarfile.TarInfo(name); info.size = 1
        tar.addfile(info, io.BytesIO(b'x'))
"#;
    let root = scene.root.to_str().expect("UTF-8").to_owned();
    python(&scene, &program.replace("@ROOT@", &root)).ok();
    let outcome = scene.run(&["new", "evil", "--root", "../evil.tar"]);
    assert!(outcome.status.code().is_some(), "{outcome}");
    assert!(!scene.root.join("escaped").exists(), "{outcome}");
    let found = scene.host("find .. -name escaped -not -path \"$CTRLZ_HOME/images/*\"");
    assert_eq!(found, "", "{outcome}");
}

#[test]
fn a_root_that_is_none_is_refused_by_name() {
    let scene = Scene::with("echo no tar > ../file");
    scene.run(&["run", "--root", "../file", "--", "true"]).code(125).says(&["file"]);
    scene.run(&["run", "--root", "../nowhere", "--", "true"]).code(125).says(&["nowhere"]);
}

/// A name below /usr/local that no other test uses.
fn marker(word: &str) -> String {
    format!("/usr/local/ctrlz-e2e-{word}-{}", std::process::id())
}

#[test]
fn the_hosts_root_copy_on_write() {
    if !is_root() {
        return skipped("only root writes to /usr");
    }
    let scene = Scene::new();
    let marker = marker("overlay");
    let script =
        format!("mkdir {marker}; echo x > {marker}/f; echo more >> /etc/hostname; cat {marker}/f");
    let outcome = scene.run(&["run", "--root", "overlay", "--", "sh", "-ec", &script]).ok();
    assert_eq!(outcome.out(), "x\n");
    assert!(!Path::new(&marker).exists());
    let diff = scene.ok(&["diff"]);
    assert!(diff.contains("hostname") && diff.contains("ctrlz-e2e-overlay"), "{diff}");
    scene.run(&["run", "--root", "overlay", "--", "cat", &format!("{marker}/f")]).ok();
    scene.ok(&["undo"]);
    scene.ok(&["undo"]);
    assert!(scene.ok(&["diff"]).contains("no changes"));
    scene.run(&["run", "--root", "overlay", "--", "cat", &format!("{marker}/f")]).code(1);
}

#[test]
fn half_of_the_host_deleted_and_brought_back() {
    if !is_root() {
        return skipped("only root deletes /usr");
    }
    let scene = Scene::new();
    let script =
        "rm -rf /usr/share/doc /etc/apt /opt 2>/dev/null; ls /usr/share/doc | wc -l; test -d /bin";
    scene.run(&["run", "--root", "overlay", "--", "sh", "-c", script]).ok();
    assert!(Path::new("/etc/apt").exists());
    scene.ok(&["undo"]);
    scene.run(&["run", "--root", "overlay", "--", "test", "-d", "/etc/apt"]).ok();
}

#[test]
fn many_owners_in_the_hosts_root() {
    if !is_root() {
        return skipped("only root has the host's ids");
    }
    let scene = Scene::new();
    let marker = marker("owners");
    let script = format!(
        "mkdir {marker}; for id in 0 1 33 65534 100123; do touch {marker}/$id; chown $id:$id {marker}/$id; \
         done; stat -c %u:%g {marker}/*; su -s /bin/sh nobody -c 'id -u; ! touch {marker}/x 2>/dev/null'"
    );
    let outcome = scene.run(&["run", "--root", "overlay", "--", "sh", "-ec", &script]).ok();
    assert_eq!(outcome.out(), "0:0\n1:1\n100123:100123\n33:33\n65534:65534\n65534\n");
    let changes = scene.json(&["diff"]);
    let owners: Vec<u64> = changes["changes"]
        .as_array()
        .expect("an array")
        .iter()
        .filter(|change| change["path"].as_str().is_some_and(|path| path.contains("owners")))
        .filter_map(|change| change["after"]["uid"].as_u64())
        .collect();
    assert!(owners.contains(&33) && owners.contains(&100_123), "{changes}");
}

#[test]
fn an_ordinary_user_gets_a_root_of_its_own_or_a_clear_answer() {
    if is_root() {
        return skipped("root is no ordinary user");
    }
    let scene = Scene::new();
    let outcome = scene.run(&[
        "run",
        "--root",
        "overlay",
        "--",
        "sh",
        "-c",
        "id -u; echo x > /opt/x && cat /opt/x",
    ]);
    if outcome.status.success() {
        assert!(outcome.out().ends_with("x\n"), "{outcome}");
    } else {
        outcome.says(&["ctrlz: "]);
    }
    assert!(!Path::new("/opt/x").exists());
    assert!(scene.ok(&["doctor"]).contains("owners"));
}

#[test]
fn a_package_is_installed_looked_at_and_undone() {
    if !is_root() {
        return skipped("apt-get needs root");
    }
    let package = "hello";
    let probe = std::process::Command::new("apt-cache").args(["policy", package]).output();
    let known = probe.is_ok_and(|o| String::from_utf8_lossy(&o.stdout).contains("Candidate: "));
    if !known {
        return skipped("apt knows no package `hello`");
    }
    if Path::new("/usr/bin/hello").exists() {
        return skipped("the package `hello` is installed already");
    }
    let scene = Scene::new();
    let mut command = scene.ctrlz([
        "run",
        "--net",
        "host",
        "--root",
        "overlay",
        "--timeout",
        "120",
        "--",
        "apt-get",
        "install",
        "-y",
        package,
    ]);
    for name in ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "no_proxy"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    let outcome = Outcome::of(command.env("DEBIAN_FRONTEND", "noninteractive"));
    let text = format!("{}{}", outcome.out(), outcome.err());
    let unreachable = ["Temporary failure resolving", "Failed to fetch", "Could not connect"];
    if unreachable.iter().any(|sign| text.contains(sign)) {
        return skipped("the package archive cannot be reached");
    }
    if text.contains("dpkg was interrupted") {
        return skipped("the host's own packages are half installed");
    }
    let outcome = outcome.ok();
    assert!(!Path::new("/usr/bin/hello").exists(), "{outcome}");
    let diff = scene.ok(&["diff"]);
    assert!(diff.contains("hello"), "{diff}");
    scene.run(&["run", "--root", "overlay", "--", "hello"]).ok();
    scene.run(&["run", "--root", "overlay", "--", "dpkg", "--audit"]).ok();
    scene.ok(&["undo"]);
    scene.ok(&["undo"]);
    scene.ok(&["undo"]);
    assert!(scene.ok(&["diff"]).contains("no changes"));
    scene.run(&["run", "--root", "overlay", "--", "hello"]).code(127);
    assert!(Path::new(CTRLZ).exists());
}
