//! The configuration of a container (config.md and config-linux.md of the OCI runtime specification), with
//! paths as this host has them: containerd's shim reads it, and gives to a virtual machine what it needs.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use ctrlz_core::driver::Shim;
use ctrlz_core::isolation::{Launch, Network, RootView};
use ctrlz_core::size::ByteSize;
use ctrlz_core::workspace::WorkspaceMount;
use oci_spec::OciSpecError;
use serde_json::{Value, json};

use super::inside::{self, ARGUMENT};
use super::place::Place;
use crate::native::syscalls::Circumstances;
use crate::native::{KERNEL_FILES, MountTable, Rlimits, listening_sockets};
use crate::oci::{self, Kind};

/// The most processes of a container for which nobody asked a limit; as in a sandbox of `native`.
const PROCESS_CEILING: u32 = 16_384;

/// Places that are private to the container and may be written, with the mode of each.
const TEMPORARY: [(&str, &str); 3] = [("/tmp", "1777"), ("/var/tmp", "1777"), ("/run", "755")];

/// Places of the host that a container has its own of.
const OWN: [&str; 6] = ["/proc", "/sys", "/dev", "/run", "/tmp", "/var/tmp"];

/// Nothing of the kernel's state is to be written, whoever may.
const READ_ONLY: [&str; 3] = ["/proc/sys", "/proc/irq", "/proc/sysrq-trigger"];

/// The configuration for `launch`.
pub(super) fn describe(launch: &Launch, shim: Shim, place: &Place) -> io::Result<Value> {
    let mut mounts = kernel_mounts();
    mounts.extend(inside::mounts(place)?);
    mounts.extend(mounts_of(launch, place)?);
    let name = place.container();
    let limits = &launch.limits;
    let rlimits = Rlimits {
        open_files: limits.open_files,
        file_size: limits.disk.map(|size| ByteSize(size.0.saturating_add(1 << 20))),
        ..Rlimits::default()
    };
    let failed = |error: OciSpecError| io::Error::other(error);
    let program = Path::new(inside::PROGRAM).as_os_str();
    let mut arguments = vec![oci::text(program).map_err(failed)?, ARGUMENT.to_owned()];
    for word in &launch.argv {
        arguments.push(oci::text(word).map_err(failed)?);
    }
    let mut namespaces = vec!["pid", "mount", "ipc", "uts", "cgroup"];
    if launch.network == Network::None {
        namespaces.push("network");
    }
    let namespaces: Vec<Value> = namespaces.into_iter().map(|kind| json!({"type": kind})).collect();
    let is_read_only = matches!(launch.root, RootView::Host { .. });
    let mut linux = json!({
        "namespaces": namespaces,
        "cgroupsPath": format!("/{name}"),
        "resources": resources(launch),
        "maskedPaths": KERNEL_FILES,
        "readonlyPaths": READ_ONLY,
        "rootfsPropagation": "private",
    });
    // The kernel in a virtual machine has calls of its own, and its agent would need a library for it.
    if shim == Shim::Runc
        && let Some(linux) = linux.as_object_mut()
    {
        let circumstances = Circumstances {
            emulates_rename: false,
            measures_memory: false,
            fixed_processors: false,
        };
        let filter = oci::filter(circumstances).map_err(failed)?;
        linux.insert("seccomp".to_owned(), serde_json::to_value(filter)?);
    }
    Ok(json!({
        "ociVersion": "1.0.2",
        "root": {"path": "rootfs", "readonly": is_read_only},
        "process": {
            "terminal": false,
            "user": {
                "uid": rustix::process::geteuid().as_raw(),
                "gid": rustix::process::getegid().as_raw(),
            },
            "args": arguments,
            "env": oci::environment(launch).map_err(failed)?,
            "cwd": oci::text(launch.workdir.as_os_str()).map_err(failed)?,
            "capabilities": oci::capabilities(launch).map_err(failed)?,
            "rlimits": oci::rlimits(&rlimits, Kind::Runc).map_err(failed)?,
            "noNewPrivileges": true,
            "oomScoreAdj": 1000,
        },
        "hostname": "",
        "mounts": mounts,
        "linux": linux,
    }))
}

/// Where the root comes from: a folder, and whether it is to be read-only.
pub(super) fn root(launch: &Launch, place: &Place) -> (PathBuf, bool) {
    match &launch.root {
        RootView::Workspace { .. } => (workspace(launch, place), false),
        RootView::Host { .. } | RootView::Image { .. } => ("/".into(), true),
    }
}

/// Where the host has the workspace.
fn workspace(launch: &Launch, place: &Place) -> PathBuf {
    match &launch.workspace {
        WorkspaceMount::Bind { source } => source.clone(),
        WorkspaceMount::Overlay { .. } => place.workspace(),
    }
}

fn resources(launch: &Launch) -> Value {
    let limits = &launch.limits;
    // Process 1 is not the user's.
    let pids = limits.pids.map_or(PROCESS_CEILING, |most| most.saturating_add(1));
    let mut resources = json!({
        "devices": [{"allow": false, "access": "rwm"}],
        "pids": {"limit": pids},
    });
    let Some(all) = resources.as_object_mut() else { return resources };
    if let Some(memory) = limits.memory {
        let mut held = json!({"limit": memory.0});
        // No swap beside it, where that is counted.
        let counts_swap = Path::new("/sys/fs/cgroup/cgroup.controllers").exists()
            || Path::new("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes").exists();
        if let Some(held) = held.as_object_mut().filter(|_| counts_swap) {
            held.insert("swap".to_owned(), json!(memory.0));
        }
        all.insert("memory".to_owned(), held);
    }
    if let Some(cpus) = limits.cpus {
        all.insert("cpu".to_owned(), json!({"quota": (cpus * 1e5) as i64, "period": 100_000}));
    }
    resources
}

fn mount(kind: &str, source: &str, target: &Path, options: &[&str]) -> io::Result<Value> {
    let target = oci::text(target.as_os_str()).map_err(io::Error::other)?;
    Ok(json!({"type": kind, "source": source, "destination": target, "options": options}))
}

/// A bind mount of that one file system.
pub(super) fn bind(source: &Path, target: &Path, read_only: bool) -> io::Result<Value> {
    let source = oci::text(source.as_os_str()).map_err(io::Error::other)?;
    let how = if read_only { "ro" } else { "rw" };
    mount("bind", &source, target, &["bind", "nosuid", "private", how])
}

fn kernel_mounts() -> Vec<Value> {
    let strict = ["nosuid", "noexec", "nodev", "ro"];
    let devices = ["nosuid", "strictatime", "mode=755", "size=65536k"];
    let terminals = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"];
    let shared = ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"];
    [
        ("proc", "proc", "/proc", strict.as_slice()),
        ("tmpfs", "tmpfs", "/dev", devices.as_slice()),
        ("devpts", "devpts", "/dev/pts", terminals.as_slice()),
        ("tmpfs", "shm", "/dev/shm", shared.as_slice()),
        ("mqueue", "mqueue", "/dev/mqueue", ["nosuid", "noexec", "nodev"].as_slice()),
        ("sysfs", "sysfs", "/sys", strict.as_slice()),
    ]
    .into_iter()
    .filter_map(|(kind, source, target, options)| {
        mount(kind, source, Path::new(target), options).ok()
    })
    .collect()
}

/// Private places, the workspace, other file systems of the host and covers over what is hidden: the outer
/// ones first.
fn mounts_of(launch: &Launch, place: &Place) -> io::Result<Vec<Value>> {
    let source = workspace(launch, place);
    let workspace_at = match &launch.root {
        RootView::Host { workspace_at } | RootView::Image { workspace_at, .. } => {
            workspace_at.as_path()
        }
        RootView::Workspace { .. } => Path::new("/"),
    };
    let is_host = matches!(launch.root, RootView::Host { .. });
    let mut found: Vec<(PathBuf, Value)> = Vec::new();
    for (path, mode) in TEMPORARY {
        let path = Path::new(path);
        // With a root of its own, /var/tmp belongs to the workspace, and so does the place in which the
        // user stands.
        let is_own = !is_host && (path.ends_with("var/tmp") || launch.workdir.starts_with(path));
        if !is_own && (!is_host || path.is_dir()) {
            let mode = format!("mode={mode}");
            found.push((
                path.to_owned(),
                mount("tmpfs", "tmpfs", path, &["nosuid", "nodev", &mode])?,
            ));
        }
    }
    let hidden = hidden(launch, workspace_at, &source);
    let is_shown = |path: &Path| {
        path.starts_with(workspace_at) && is_host
            || !hidden.iter().any(|(hidden, _)| path.starts_with(hidden))
    };
    let shows_mounts = is_host || matches!(launch.root, RootView::Workspace { host_mounts: true });
    if shows_mounts {
        for path in MountTable::read()?.all_below(Path::new("/")) {
            // What another mount hides cannot be reached, nor need it be.
            let is_there = path.exists() && (is_host || source.join(below(&path)).exists());
            if is_there && !OWN.iter().any(|own| path.starts_with(own)) && is_shown(&path) {
                let shown = bind(&path, &path, true)?;
                found.push((path, shown));
            }
        }
    }
    if is_host {
        found.push((workspace_at.to_owned(), bind(&source, workspace_at, false)?));
    }
    for (path, is_directory) in hidden {
        let holds = is_host && workspace_at.starts_with(&path) && workspace_at != path;
        let cover = match (is_directory, holds) {
            // The way to the workspace is made in it.
            (true, true) => {
                mount("tmpfs", "tmpfs", &path, &["nosuid", "nodev", "mode=555", "size=64k"])?
            }
            (true, false) => bind(&place.empty_directory(), &path, true)?,
            (false, _) => bind(&place.empty_file(), &path, true)?,
        };
        found.push((path, cover));
    }
    // Stable: what is hidden is hidden, whatever is mounted there.
    found.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(found.into_iter().map(|(_, mount)| mount).collect())
}

fn below(path: &Path) -> &Path {
    path.strip_prefix("/").unwrap_or(path)
}

/// What is hidden and exists, as seen inside, and whether it is a directory.
fn hidden(launch: &Launch, workspace_at: &Path, source: &Path) -> Vec<(PathBuf, bool)> {
    let mut all = launch.hidden.clone();
    let is_host = matches!(launch.root, RootView::Host { .. });
    if is_host {
        all.extend(listening_sockets());
    }
    let outside = |path: &Path| {
        let seen = match path.strip_prefix(workspace_at) {
            Ok(inside) => source.join(inside),
            // Nothing of the host but the workspace is there to be hidden.
            Err(_) if !is_host => return None,
            Err(_) if OWN.iter().any(|own| path.starts_with(own)) => return None,
            Err(_) => path.to_owned(),
        };
        let status = fs::symlink_metadata(&seen).ok()?;
        // Whoever mounts there would follow a link to somewhere else.
        let is_plain = fs::canonicalize(&seen).ok()?
            == fs::canonicalize(seen.parent()?).ok()?.join(seen.file_name()?);
        (is_plain && !status.is_symlink()).then_some(status.is_dir())
    };
    let mut found: Vec<(PathBuf, bool)> = all
        .into_iter()
        .filter(|path| path != workspace_at)
        .filter_map(|path| outside(&path).map(|is_directory| (path, is_directory)))
        .collect();
    found.sort();
    // What lies in something hidden is gone with it, unless the workspace is between.
    let whole: Vec<PathBuf> = found.iter().map(|(path, _)| path.clone()).collect();
    found.retain(|(path, _)| {
        let above = |one: &PathBuf| path != one && path.starts_with(one);
        let is_inside = is_host && path.starts_with(workspace_at);
        !whole.iter().any(|one| above(one) && !(is_inside && workspace_at.starts_with(one)))
    });
    found
}
