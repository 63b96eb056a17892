//! Where and for whom commands are judged.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use ctrlz_config::{Config, ValidationLevel};
use ctrlz_core::sandbox::Root;
use ctrlz_core::verdict::Decision;
use ctrlz_policy::{Context, Outside, Surroundings};

use crate::places;

/// Somebody has to confirm what was judged.
const CONFIRM: u8 = 3;
/// What was judged is blocked.
const BLOCK: u8 = 4;

/// Folders that hold the system: whatever lies below them is no project.
const SYSTEM: [&str; 11] = [
    "/bin", "/boot", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/proc", "/run", "/sbin",
    "/sys",
];
/// Folders that hold the system or many things, while a project may lie somewhere below.
const ABOVE_PROJECTS: [&str; 24] = [
    "/",
    "/dev",
    "/dev/shm",
    "/home",
    "/media",
    "/mnt",
    "/opt",
    "/root",
    "/srv",
    "/tmp",
    "/usr",
    "/usr/bin",
    "/usr/lib",
    "/usr/local",
    "/usr/local/bin",
    "/usr/local/lib",
    "/usr/sbin",
    "/usr/share",
    "/var",
    "/var/cache",
    "/var/lib",
    "/var/log",
    "/var/spool",
    "/var/tmp",
];

/// The exit code that tells a decision.
pub(crate) fn exit_code(decision: Decision) -> u8 {
    match decision {
        Decision::Allow => 0,
        Decision::Confirm => CONFIRM,
        Decision::Block => BLOCK,
    }
}

/// The context of whoever stands in `folder`, which is absolute: it is the workspace, unless it is
/// no folder for work (`/`, a folder of the system, the home folder). Then a folder below it is.
pub(crate) fn in_folder(folder: &Path) -> Context {
    let home = home();
    let workspace =
        if is_project(folder, &home) { folder.to_owned() } else { folder.join("project") };
    in_workspace(&workspace, &workspace)
}

/// The context of a command that starts in `directory` and may change `workspace`.
pub(crate) fn in_workspace(workspace: &Path, directory: &Path) -> Context {
    Context {
        workspace: workspace.as_os_str().as_bytes().to_vec(),
        directory: directory.as_os_str().as_bytes().to_vec(),
        home: home().into_os_string().into_encoded_bytes(),
        by_root: rustix::process::geteuid().is_root(),
        ..Context::default()
    }
}

/// What a sandbox with that root means for a command in it.
pub(crate) fn surroundings(root: &Root, config: &Config) -> Surroundings {
    Surroundings {
        network: config.network,
        outside: if root.is_workspace() { Outside::CopyOnWrite } else { Outside::ReadOnly },
        limits: config.limits,
        strict: config.security_config.validation_level == ValidationLevel::Strict,
    }
}

fn home() -> PathBuf {
    places::home().unwrap_or_else(|| {
        let by_root = rustix::process::geteuid().is_root();
        PathBuf::from(if by_root { "/root" } else { "/home/user" })
    })
}

fn is_project(folder: &Path, home: &Path) -> bool {
    !home.starts_with(folder)
        && !SYSTEM.iter().any(|system| folder.starts_with(system))
        && !ABOVE_PROJECTS.iter().any(|above| folder == Path::new(above))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_for_work_is_the_workspace_and_others_get_one_below() {
        let home = Path::new("/home/user");
        for folder in ["/home/user/a", "/srv/site", "/usr/src/app", "/var/www/x", "/tmp/x"] {
            assert!(is_project(Path::new(folder), home), "{folder}");
        }
        for folder in ["/", "/home/user", "/home", "/etc", "/etc/ssh", "/usr", "/sys/kernel"] {
            assert!(!is_project(Path::new(folder), home), "{folder}");
        }
        assert_eq!(in_folder(Path::new("/etc")).workspace, b"/etc/project");
        assert_eq!(in_folder(Path::new("/srv/site")).directory, b"/srv/site");
    }
}
