//! The transient unit of one launch.

use std::fs;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use ctrlz_core::isolation::{IsolationError, Launch, RootView};
use ctrlz_core::workspace::WorkspaceMount;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::retry_on_intr;

use super::manager::{Manager, program};
use super::{failed, id_of, words};
use crate::launcher::Wire;

/// The first argument of the process of a unit.
pub const ARGUMENT: &str = "--unit-process";

/// What the process of a unit says first.
pub(super) const HERE: &[u8] = b"here";

/// How long a manager may take to start a unit.
const PATIENCE: Duration = Duration::from_secs(60);

/// What each unit has.
///
/// `PrivateNetwork=` is not among them: the unit's process tells by its network namespace which sockets of
/// the host are to be hidden, and then gives the command a network namespace of its own.
pub(super) const PROPERTIES: [&str; 4] =
    ["NoNewPrivileges=yes", "PrivateDevices=yes", "ProtectSystem=strict", "ProtectHome=tmpfs"];

/// What `ProtectHome=` hides.
pub(super) const HOMES: [&str; 3] = ["/home", "/root", "/run/user"];

/// The processes of a unit that are not the user's: its own and process 1.
pub(super) const OWN_PROCESSES: u32 = 2;

/// A unit that is being started, or runs.
#[derive(Debug)]
pub(super) struct Unit {
    pub(super) name: String,
    /// It waits for the unit's end, and ends then.
    systemd_run: Child,
}

impl Unit {
    /// Asks the manager for the unit of `launch`, whose standard input is `socket`.
    pub(super) fn start(
        manager: Manager,
        launch: &Launch,
        socket: OwnedFd,
    ) -> Result<Self, IsolationError> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("ctrlz-{}-{count}.service", std::process::id());
        let own = std::env::current_exe().map_err(failed("find the program of ctrlz"))?;
        let program = program("systemd-run")
            .ok_or_else(|| failed("find systemd-run")(io::ErrorKind::NotFound.into()))?;
        let mut command = Command::new(program);
        command.args([manager.option(), "--quiet", "--collect", "--pipe", "--no-ask-password"]);
        command.args(["--service-type=exec", "--description=a command of ctrlz"]);
        command.arg(format!("--unit={name}"));
        for property in properties(launch, &own)? {
            command.arg("--property").arg(property);
        }
        command.arg("--").arg(&own).arg(ARGUMENT);
        // What the unit's process writes is nobody's to read; what systemd-run says is an error.
        command.stdin(socket).stdout(Stdio::null()).stderr(Stdio::piped());
        let systemd_run = command.spawn().map_err(failed("run systemd-run"))?;
        Ok(Self { name, systemd_run })
    }

    /// Waits until the unit's process is there; answers its id.
    pub(super) fn meet(&mut self, wire: &Wire) -> Result<rustix::process::Pid, IsolationError> {
        let until = Instant::now() + PATIENCE;
        let second = Timespec { tv_sec: 1, tv_nsec: 0 };
        loop {
            let mut here = [PollFd::from_borrowed_fd(wire.as_fd(), PollFlags::IN)];
            let ready = retry_on_intr(|| poll(&mut here, Some(&second)));
            if ready.map_err(|error| failed("wait for the unit")(error.into()))? > 0 {
                break;
            }
            if Instant::now() >= until {
                let late = io::Error::from(io::ErrorKind::TimedOut);
                return Err(failed("wait for the unit's process")(late));
            }
        }
        let came = wire.receive().map_err(failed("hear the unit"))?;
        match came.map(|(bytes, mut came)| (bytes == HERE, came.pop())) {
            Some((true, Some(process))) => id_of(&process).map_err(failed("meet the unit")),
            _ => Err(self.ended()),
        }
    }

    /// The end of a unit that should have gone on: why, as far as systemd-run tells.
    pub(super) fn ended(&mut self) -> IsolationError {
        let mut said = String::new();
        if let Some(mut errors) = self.systemd_run.stderr.take() {
            let _ = errors.by_ref().take(1 << 14).read_to_string(&mut said);
        }
        let how = self.systemd_run.wait().map(words).unwrap_or_default();
        let said = said.trim();
        let text = if said.is_empty() { how } else { said.to_owned() };
        failed("start a unit by systemd-run")(io::Error::other(text))
    }

    /// Waits until the manager has ended the unit.
    pub(super) fn reap(&mut self) {
        drop(self.systemd_run.stderr.take());
        let _ = self.systemd_run.wait();
    }
}

impl Drop for Unit {
    fn drop(&mut self) {
        // Its socket is closed by now, upon which the unit ends and this program with it.
        self.reap();
    }
}

/// What the manager is asked for, besides the program.
fn properties(launch: &Launch, program: &Path) -> Result<Vec<String>, IsolationError> {
    let mut properties: Vec<String> = PROPERTIES.map(str::to_owned).to_vec();
    // It would end the unit before the end of the command is told.
    properties.push("OOMPolicy=continue".to_owned());
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    if let Some(mask) = status.lines().find_map(|line| line.strip_prefix("Umask:")) {
        properties.push(format!("UMask={}", mask.trim()));
    }
    let limits = &launch.limits;
    if let Some(memory) = limits.memory {
        properties.push(format!("MemoryMax={}", memory.0));
        properties.push("MemorySwapMax=0".to_owned());
    }
    if let Some(cpus) = limits.cpus {
        properties.push(format!("CPUQuota={:.2}%", cpus * 100.0));
    }
    if let Some(pids) = limits.pids {
        properties.push(format!("TasksMax={}", u64::from(pids) + u64::from(OWN_PROCESSES)));
    }
    let (mut written, mut read) = (Vec::new(), vec![program.to_owned(), launch.workdir.clone()]);
    match &launch.workspace {
        WorkspaceMount::Bind { source } => written.push(source.clone()),
        WorkspaceMount::Overlay { lower_dirs, upper_dir, work_dir } => {
            // overlayfs wants both in one mount.
            written.push(common(upper_dir, work_dir));
            read.extend_from_slice(lower_dirs);
        }
    }
    written.push(launch.written.clone());
    if let RootView::Host { workspace_at } = &launch.root {
        read.push(workspace_at.clone());
    }
    // The outer ones first; what lies in them needs no more.
    written.sort();
    written.dedup_by(|inner, outer| inner.starts_with(outer));
    read.sort();
    read.dedup();
    read.retain(|path| is_hidden(path) && !written.iter().any(|w| path.starts_with(w)));
    for path in read.into_iter().filter(|path| path.exists()) {
        properties.push(format!("BindReadOnlyPaths={}", quoted(&path)?));
    }
    for path in written {
        properties.push(format!("BindPaths={}", quoted(&path)?));
    }
    Ok(properties)
}

/// Whether `ProtectHome=` takes a path out of sight.
fn is_hidden(path: &Path) -> bool {
    HOMES.iter().any(|home| path.starts_with(home))
}

/// The innermost folder that both are in.
fn common(one: &Path, other: &Path) -> PathBuf {
    let shared = one.ancestors().find(|above| other.starts_with(above));
    shared.unwrap_or(Path::new("/")).to_owned()
}

/// A path as a word of a list that systemd-run reads.
fn quoted(path: &Path) -> Result<String, IsolationError> {
    match path.to_str() {
        Some(text) if !text.contains(['\n', '\r']) => {
            Ok(format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")))
        }
        _ => Err(failed(&format!("name {} to systemd", path.display()))(io::Error::new(
            io::ErrorKind::InvalidInput,
            "units take no path with a line break or bytes that are not UTF-8",
        ))),
    }
}
