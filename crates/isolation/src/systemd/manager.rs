//! The managers of this host: the system's for root, a user's own for everybody else.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use ctrlz_core::limits::LimitKind;
use rustix::fs::{Access, access};
use serde::{Deserialize, Serialize};

/// Whose manager makes the units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Manager {
    /// That of the system.
    System,
    /// That of this user.
    User,
}

impl Manager {
    /// The option of systemd's programs for it.
    pub(super) fn option(self) -> &'static str {
        match self {
            Self::System => "--system",
            Self::User => "--user",
        }
    }
}

/// A manager that can be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// Whose it is.
    pub manager: Manager,
    /// Its version, as it tells it.
    pub version: String,
    /// The limits that its units hold: those for which it has control groups of version 2, and those that
    /// ctrlz holds by itself. A launch looks whether they do.
    pub limits: Vec<LimitKind>,
}

/// Why there is none, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// What is not there.
    pub reason: String,
    /// What would help.
    pub remedy: String,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.reason, self.remedy)
    }
}

fn missing<T>(reason: impl Into<String>, remedy: &str) -> Result<T, Missing> {
    Err(Missing { reason: reason.into(), remedy: remedy.to_owned() })
}

/// The program of systemd by that name.
pub(super) fn program(name: &str) -> Option<PathBuf> {
    let folders = ["/usr/bin", "/bin", "/run/current-system/sw/bin"];
    folders.into_iter().map(|folder| Path::new(folder).join(name)).find(|path| path.is_file())
}

/// The manager that this user's units are made by.
pub(super) fn find() -> Result<Manager, Missing> {
    if program("systemd-run").is_none() {
        return missing(
            "systemd-run is not installed",
            "install systemd, or use --isolation native, which needs no manager",
        );
    }
    let is_root = rustix::process::geteuid().is_root();
    let (manager, socket) = match is_root {
        true => (Manager::System, Some(PathBuf::from("/run/systemd/private"))),
        false => {
            let own = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
            (Manager::User, own.map(|own| own.join("systemd/private")))
        }
    };
    let reached = match &socket {
        Some(socket) => access(socket, Access::WRITE_OK).map_err(io::Error::from),
        None => Err(io::ErrorKind::NotFound.into()),
    };
    match (reached, manager) {
        (Ok(()), manager) => Ok(manager),
        (Err(error), Manager::System) => missing(
            format!("no system manager listens at /run/systemd/private: {error}"),
            "this host, or this container, was not booted with systemd: use --isolation native",
        ),
        (Err(error), Manager::User) => missing(
            match socket {
                Some(socket) => format!("no user manager listens at {}: {error}", socket.display()),
                None => "XDG_RUNTIME_DIR is not set, so there is no user manager".to_owned(),
            },
            "log in by a session that starts one (systemd-logind), or have root start it by \
             `loginctl enable-linger USER`, and set XDG_RUNTIME_DIR=/run/user/UID",
        ),
    }
}

/// Asks the manager that this user's units are made by.
///
/// # Errors
/// What is missing for there to be one, and what to do about it.
pub fn probe() -> Result<Probe, Missing> {
    let manager = find()?;
    let Some(systemctl) = program("systemctl") else {
        return missing("systemctl is not installed", "install systemd");
    };
    let mut command = Command::new(systemctl);
    command.args([manager.option(), "show", "--property=Version", "--property=ControlGroup"]);
    let told = command.stdin(Stdio::null()).output();
    match told {
        Ok(told) if told.status.success() => {
            let text = String::from_utf8_lossy(&told.stdout);
            let value = |name: &str| {
                let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
                line.unwrap_or_default().to_owned()
            };
            let limits = limits(&value("ControlGroup"));
            Ok(Probe { manager, version: value("Version"), limits })
        }
        Ok(told) => missing(
            format!(
                "the manager does not answer: {}",
                String::from_utf8_lossy(&told.stderr).trim()
            ),
            "see whether `systemctl status` works",
        ),
        Err(error) => missing(format!("systemctl cannot be run: {error}"), "install systemd"),
    }
}

/// The limits that units below a control group hold.
fn limits(group: &str) -> Vec<LimitKind> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let unified = mounts.lines().find_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        right.starts_with("cgroup2 ").then(|| left.split(' ').nth(4))?
    });
    let file = unified.map(|unified| {
        Path::new(unified).join(group.trim_start_matches('/')).join("cgroup.controllers")
    });
    let controllers = file.and_then(|file| fs::read_to_string(file).ok()).unwrap_or_default();
    let has = |name: &str| controllers.split_whitespace().any(|one| one == name);
    let holds = |kind: &LimitKind| match kind {
        LimitKind::Memory => has("memory"),
        LimitKind::Cpus => has("cpu"),
        LimitKind::Pids => has("pids"),
        LimitKind::Disk | LimitKind::OpenFiles | LimitKind::MaxOutput | LimitKind::Timeout => true,
    };
    LimitKind::ALL.into_iter().filter(holds).collect()
}
