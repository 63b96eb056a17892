//! What the tests need on the machine, and how to get it.

use std::path::Path;
use std::process::Command;

use crate::account;
use crate::failure::{Answer, Failure};
use crate::program;

/// A program or a file, Debian's package that has it, and what it is for.
struct Need {
    /// The name of a program, or the path of a file.
    program: &'static str,
    package: &'static str,
    purpose: &'static str,
}

impl Need {
    fn is_met(&self) -> bool {
        match self.program.starts_with('/') {
            true => Path::new(self.program).exists(),
            false => program::find(self.program).is_some(),
        }
    }
}

const fn need(program: &'static str, package: &'static str, purpose: &'static str) -> Need {
    Need { program, package, purpose }
}

/// What every test run needs.
const FOR_TESTS: &[Need] = &[
    need("cc", "gcc", "SQLite is compiled from C"),
    need("python3", "python3", "workspaces are used as Python programs use them"),
    need("git", "git", "a repository in a workspace"),
    need("sqlite3", "sqlite3", "a database in a workspace, and the store seen from outside"),
    need("newuidmap", "uidmap", "ranges of ids for ordinary users"),
    need("bwrap", "bubblewrap", "ctrlz inside another sandbox"),
    need("unshare", "util-linux", "namespaces around a test"),
    need("setpriv", "util-linux", "tests as an ordinary user"),
    need("setfacl", "acl", "files with access control lists"),
    need("setfattr", "attr", "files with extended attributes"),
    need("setcap", "libcap2-bin", "files with capabilities"),
    need("tar", "tar", "images"),
    need("age", "age", "encrypted archives opened by hand"),
    need("zstd", "zstd", "archives unpacked by hand"),
    need("ssh-keygen", "openssh-client", "archives encrypted to SSH keys"),
    need("docker-registry", "docker-registry", "archives in a registry"),
    need("skopeo", "skopeo", "archives copied by other tools, and images of theirs"),
    need("umoci", "umoci", "archives unpacked by other tools"),
    need("podman", "podman", "images that it saved"),
    need("runc", "runc", "containers of archives, and commands in containers"),
    need("crun", "crun", "commands in containers"),
    need("dockerd", "docker.io", "containers of docker"),
    need("containerd", "containerd", "containers of containerd"),
    need("busybox", "busybox-static", "a small image"),
    need("buildah", "buildah", "images that it built"),
    need("curl", "curl", "a bucket for archives"),
    need("systemd-analyze", "systemd", "units of the service"),
    need("strace", "strace", "kills before a certain system call"),
    need("mkfs.xfs", "xfsprogs", "a file system whose files share blocks"),
    need("mkfs.btrfs", "btrfs-progs", "a file system with subvolumes"),
    need("chattr", "e2fsprogs", "files that are written in place"),
    need("clang", "clang", "guests for WebAssembly"),
    need("wasm-ld", "lld", "guests for WebAssembly"),
    need("/usr/lib/wasm32-wasi/libc.a", "wasi-libc", "guests for WebAssembly"),
    need(
        "/usr/share/doc/libclang-rt-dev-wasm32/copyright",
        "libclang-rt-dev-wasm32",
        "guests for WebAssembly",
    ),
    need("pkill", "procps", "ending what a test user left behind"),
];

/// Makes sure that everything for the tests is there; installs it where that is possible.
pub(crate) fn for_tests() -> Answer {
    let missing: Vec<&Need> = FOR_TESTS.iter().filter(|need| !need.is_met()).collect();
    if missing.is_empty() {
        println!("everything is there");
    } else {
        for need in &missing {
            println!("missing: {} (package {}): {}", need.program, need.package, need.purpose);
        }
        let mut packages: Vec<&str> = missing.iter().map(|need| need.package).collect();
        if packages.contains(&"gcc") {
            packages.push("libc6-dev");
        }
        packages.dedup();
        install(&packages)?;
        if let Some(need) = missing.iter().find(|need| !need.is_met()) {
            let text = format!("{} is still missing after its installation", need.program);
            return Err(Failure::told(text));
        }
    }
    components()
}

/// rustfmt and clippy, which a minimal toolchain lacks.
fn components() -> Answer {
    for (program, component) in [("cargo-fmt", "rustfmt"), ("cargo-clippy", "clippy")] {
        if program::find(program).is_some() {
            continue;
        }
        if program::find("rustup").is_none() {
            return Err(Failure::told(format!("{program} is missing: install {component}")));
        }
        program::run(program::named("rustup").args(["component", "add", component]))?;
    }
    Ok(())
}

/// Installs Debian packages, as root or through sudo when that asks for no password.
pub(crate) fn install(packages: &[&str]) -> Answer {
    let list = packages.join(" ");
    if program::find("apt-get").is_none() {
        return Err(Failure::told(format!("install these first (Debian's names): {list}")));
    }
    if !account::is_root() && !sudo_works() {
        return Err(Failure::told(format!("run this first: sudo apt-get install {list}")));
    }
    let mut install = apt_get();
    install.args(["install", "--yes", "--no-install-recommends"]).args(packages);
    // A new machine has no package lists yet.
    program::run(&mut install).or_else(|_| {
        program::run(apt_get().arg("update"))?;
        program::run(&mut install)
    })
}

fn sudo_works() -> bool {
    program::find("sudo").is_some()
        && program::capture(Command::new("sudo").args(["--non-interactive", "true"])).is_ok()
}

fn apt_get() -> Command {
    let mut command = program::named("env");
    if !account::is_root() {
        command = Command::new("sudo");
        command.args(["--non-interactive", "env"]);
    }
    command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "--quiet"]);
    command.stdin(std::process::Stdio::null());
    command
}
