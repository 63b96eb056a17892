//! Every driver that one can choose: what it is anywhere, and what of it this host has.

use ctrlz_core::driver::{Driver, RUNTIMES, Runtime, Shim};
use ctrlz_core::isolation::{IsolationCapabilities, IsolationDriver as _, Network};
use ctrlz_core::limits::LimitKind;
use serde::Serialize;

use crate::containerd;
use crate::engine::{self, Engine};
use crate::level;
use crate::native::{NativeDriver, Protection, Protections};
use crate::oci::{self, Kind};
use crate::systemd::{self, Manager};

/// What a driver is, on whatever host.
#[derive(Debug, Clone, Serialize)]
pub struct Description {
    /// As it is chosen by `--isolation`; that of an engine without its image.
    pub driver: Driver,
    /// What it is, in a few words.
    pub what: &'static str,
    /// What it needs of a host, and how one gets that; empty when it needs nothing.
    pub needs: &'static str,
    /// What it can do where the host has all that it needs.
    pub capabilities: IsolationCapabilities,
    /// Protections of `native` that it does without.
    pub without: Vec<&'static str>,
}

/// A driver on this host.
#[derive(Debug, Clone, Serialize)]
pub struct Here {
    /// What it is. Its capabilities are those that it has on this host, when it is there.
    #[serde(flatten)]
    pub description: Description,
    /// Why it cannot be used here; `None` when it can.
    pub lacks: Option<String>,
    /// What was found, such as a program and its version.
    pub found: Option<String>,
}

/// All of them, in the order in which they are shown.
#[must_use]
pub fn all() -> Vec<Driver> {
    let runtimes = RUNTIMES.iter().filter_map(|name| name.parse().ok()).map(Driver::Oci);
    let engines = [Driver::Podman(None), Driver::Docker(None)];
    let mut all = vec![Driver::Native];
    let shims = Shim::ALL.map(Driver::Containerd);
    all.extend(runtimes.chain(engines).chain(shims).chain([Driver::Wasm, Driver::Systemd]));
    all
}

/// What a driver is.
#[must_use]
pub fn describe(driver: &Driver) -> Description {
    let (what, needs) = words(driver);
    let capabilities = IsolationCapabilities {
        rootless: !matches!(driver, Driver::Systemd | Driver::Containerd(_)),
        memory_snapshot: matches!(driver, Driver::Oci(runtime) if runtime.program() == "runsc"),
        pause: true,
        networks: match driver {
            Driver::Containerd(Shim::Kata) => vec![Network::None],
            _ => vec![Network::None, Network::Host],
        },
        limits: LimitKind::ALL.to_vec(),
    };
    let in_force = protections(driver);
    let without = Protection::ALL.into_iter().filter(|one| !in_force.has(*one));
    let without = without.map(Protection::word).collect();
    Description { driver: driver.clone(), what, needs, capabilities, without }
}

/// Looks for a driver on this host.
#[must_use]
pub fn look(driver: &Driver) -> Here {
    let mut description = describe(driver);
    // The control groups of most drivers are those that ctrlz makes.
    description.capabilities.limits = NativeDriver::default().capabilities().limits;
    let capabilities = &mut description.capabilities;
    let found = match driver {
        Driver::Oci(runtime) => look_for_runtime(runtime, capabilities).map(Some),
        Driver::Podman(_) => look_for_engine(Engine::Podman, capabilities).map(Some),
        Driver::Docker(_) => look_for_engine(Engine::Docker, capabilities).map(Some),
        Driver::Containerd(shim) => look_for_containerd(*shim, capabilities).map(Some),
        Driver::Systemd => look_for_manager(capabilities).map(Some),
        Driver::Native | Driver::Wasm => level::is_there(driver).map(|()| None),
    };
    match found {
        Ok(found) => Here { description, lacks: None, found },
        Err(lacks) => Here { description, lacks: Some(lacks), found: None },
    }
}

fn look_for_runtime(
    runtime: &Runtime,
    capabilities: &mut IsolationCapabilities,
) -> Result<String, String> {
    let told = oci::probe(runtime).map_err(|error| level::told(&error))?;
    if !told.runs.has {
        let remedy = told.runs.remedy.map(|remedy| format!(": {remedy}")).unwrap_or_default();
        return Err(format!("{}{remedy}", told.runs.why));
    }
    capabilities.rootless = told.rootless.has;
    capabilities.memory_snapshot = told.memory_snapshot.has;
    capabilities.pause = told.pause.has;
    Ok(format!("{} {}", told.program.display(), told.version))
}

fn look_for_engine(
    engine: Engine,
    capabilities: &mut IsolationCapabilities,
) -> Result<String, String> {
    let told = engine.sockets().and_then(|sockets| engine::probe(engine, &sockets));
    let told = told.map_err(|error| level::told(&error))?;
    capabilities.limits = told.limits;
    capabilities.rootless = told.rootless;
    let whose = if told.rootless { "rootless" } else { "rootful" };
    Ok(format!("{} {}, {whose}", told.socket.display(), told.version))
}

fn look_for_containerd(
    shim: Shim,
    capabilities: &mut IsolationCapabilities,
) -> Result<String, String> {
    let told = containerd::probe(shim).map_err(|error| level::told(&error))?;
    // The groups are containerd's to make; a launch looks whether they hold.
    capabilities.limits = LimitKind::ALL.to_vec();
    Ok(format!("{} {}, {}", told.socket.display(), told.version, told.shim.display()))
}

fn look_for_manager(capabilities: &mut IsolationCapabilities) -> Result<String, String> {
    let told = systemd::probe().map_err(|missing| missing.to_string())?;
    capabilities.limits = told.limits;
    capabilities.rootless = told.manager == Manager::User;
    let whose = if capabilities.rootless { "this user's manager" } else { "the system's manager" };
    Ok(format!("systemd {}, {whose}", told.version))
}

/// What it is, and what it needs.
fn words(driver: &Driver) -> (&'static str, &'static str) {
    match driver {
        Driver::Native => ("namespaces, seccomp and Landlock of this kernel", ""),
        Driver::Oci(runtime) => match runtime.program() {
            "runc" => ("the reference OCI runtime", "runc (Debian: apt install runc)"),
            "crun" => ("an OCI runtime in C", "crun (Debian: apt install crun)"),
            "youki" => ("an OCI runtime in Rust", "youki (cargo install youki)"),
            _ => (
                "gVisor: a kernel in user space",
                "runsc of 2024 or newer (gvisor.dev; Debian 12: apt install -t bookworm-backports runsc)",
            ),
        },
        Driver::Podman(_) => (
            "a container of podman, by its API",
            "podman's socket (systemctl --user start podman.socket)",
        ),
        Driver::Docker(_) => {
            ("a container of docker, by its API", "docker's socket (systemctl start docker)")
        }
        Driver::Containerd(Shim::Runc) => (
            "a container of containerd, by its API",
            "containerd (Debian: apt install containerd), root",
        ),
        Driver::Containerd(Shim::Kata) => (
            "Kata Containers: a virtual machine for each container, by containerd's API",
            "containerd, containerd-shim-kata-v2 (katacontainers.io) in PATH, /dev/kvm, root",
        ),
        Driver::Wasm => ("a WebAssembly virtual machine inside of native", ""),
        Driver::Systemd => (
            "native in a transient unit of systemd",
            "systemd as process 1 (root), or a user's manager",
        ),
    }
}

/// Which protections are in force in it.
fn protections(driver: &Driver) -> Protections {
    match driver {
        Driver::Oci(runtime) => Kind::of(runtime.program()).protections(),
        Driver::Podman(_) | Driver::Docker(_) => engine::protections(),
        Driver::Containerd(shim) => containerd::protections(*shim),
        Driver::Native | Driver::Wasm | Driver::Systemd => Protections::all(),
    }
}
