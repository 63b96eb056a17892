//! File systems for the tests of workspace drivers, in files and in a mount namespace of their own.
//!
//! Nothing is left on the host, however this ends: the mounts go with the last process of the
//! namespace, the loop devices with the mounts, and the files have no names once they are mounted.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::skips::Skips;
use crate::account;
use crate::failure::{Answer, Failure};
use crate::program;

/// Set in the namespace.
const INSIDE: &str = "CTRLZ_XTASK_INSIDE";

/// Where they are mounted in the namespace.
pub(super) const PLACE: &str = "/mnt";

/// How large each of them is; what is not written takes no room.
const BYTES: u64 = 3 << 30;

/// The variable by which the tests are told of a folder on a file system, its name, and what makes it.
const WANTED: &[(&str, &str, &[&str])] = &[
    ("CTRLZ_TEST_XFS", "xfs", &["mkfs.xfs", "-q", "-m", "reflink=1"]),
    ("CTRLZ_TEST_BTRFS", "btrfs", &["mkfs.btrfs", "--quiet"]),
];

/// Goes on in a mount namespace of its own, where that is possible.
pub(super) fn enter_namespace() -> Answer {
    if !account::is_root() || std::env::var_os(INSIDE).is_some() {
        return Ok(());
    }
    let unshare = || {
        let mut command = program::named("unshare");
        command.args(["--mount", "--propagation", "private", "--"]);
        command
    };
    if !program::attempt(unshare().arg("true")).is_ok_and(|output| output.status.success()) {
        return Ok(());
    }
    let own = std::env::current_exe().map_err(Failure::io("find", Path::new("/proc/self/exe")))?;
    let source = unshare().arg(own).args(std::env::args_os().skip(1)).env(INSIDE, "1").exec();
    Err(Failure::Start { program: "unshare".to_owned(), source })
}

/// A folder on each, in which every user may make something, with the variable by which the tests are
/// told. What cannot be had is told.
pub(super) fn mounted(target: &Path, skips: &mut Skips) -> Vec<(&'static str, PathBuf)> {
    if !account::is_root() {
        skips.note("user", "xtask", "file systems in files: not root");
        return Vec::new();
    }
    let mut found = Vec::new();
    let place = stage();
    for (variable, name, make) in WANTED {
        let made = match &place {
            Ok(()) => mount(target, name, make),
            Err(failure) => Err(Failure::told(failure.to_string())),
        };
        match made {
            Ok(folder) => found.push((*variable, folder)),
            Err(failure) => {
                println!("{failure}");
                skips.note("root", "xtask", &format!("{name} in a file: not to be had here"));
            }
        }
    }
    found
}

/// Errs where what is mounted would be mounted for the whole machine.
pub(super) fn check_namespace() -> Answer {
    match std::env::var_os(INSIDE) {
        Some(_) => Ok(()),
        None => Err(Failure::told("this machine gives no mount namespace")),
    }
}

/// Room for mount points.
fn stage() -> Answer {
    check_namespace()?;
    let options = ["-t", "tmpfs", "-o", "mode=0755,size=64k", "ctrlz-tests", PLACE];
    program::capture(program::named("mount").args(options)).map(drop)
}

fn mount(target: &Path, name: &str, make: &[&str]) -> Answer<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    let image = target.join(format!("test-{name}-{}.img", std::process::id()));
    let point = Path::new(PLACE).join(name);
    let mounted = || -> Answer<PathBuf> {
        let file = fs::File::create(&image).map_err(Failure::io("make", &image))?;
        file.set_len(BYTES).map_err(Failure::io("size", &image))?;
        let (program, options) = make.split_first().unwrap_or((&"false", &[]));
        program::capture(program::named(program).args(options).arg(&image))?;
        fs::create_dir(&point).map_err(Failure::io("make", &point))?;
        let mut mount: Command = program::named("mount");
        program::capture(mount.args(["-o", "loop"]).arg(&image).arg(&point))?;
        let folder = point.join("tests");
        fs::create_dir(&folder).map_err(Failure::io("make", &folder))?;
        let open = fs::Permissions::from_mode(0o1777);
        fs::set_permissions(&folder, open).map_err(Failure::io("open", &folder))?;
        Ok(folder)
    };
    let mounted = mounted();
    // The mount keeps it.
    let removed = fs::remove_file(&image).map_err(Failure::io("remove", &image));
    mounted.and_then(|folder| removed.map(|()| folder))
}
