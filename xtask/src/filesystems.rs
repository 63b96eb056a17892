//! File systems in files, in a mount namespace of this program's own.
//!
//! Nothing is left on the host, however this ends: the mounts go with the last process of the
//! namespace, the loop devices with the mounts, and the files have no names once they are mounted.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::account;
use crate::failure::{Answer, Failure};
use crate::program;

/// Set in the namespace.
const INSIDE: &str = "CTRLZ_XTASK_INSIDE";

/// Where they are mounted in the namespace.
pub(crate) const PLACE: &str = "/mnt";

/// How large each of them is; what is not written takes no room.
const BYTES: u64 = 3 << 30;

/// What makes a file system of that name.
const MADE_BY: [(&str, &[&str]); 2] =
    [("xfs", &["mkfs.xfs", "-q", "-m", "reflink=1"]), ("btrfs", &["mkfs.btrfs", "--quiet"])];

/// Goes on in a mount namespace of its own, where that is possible.
pub(crate) fn enter_namespace() -> Answer {
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

/// Errs where what is mounted would be mounted for the whole machine.
pub(crate) fn check_namespace() -> Answer {
    match std::env::var_os(INSIDE) {
        Some(_) => Ok(()),
        None => Err(Failure::told("this machine gives no mount namespace")),
    }
}

/// Room for mount points, once.
fn stage() -> Answer {
    static STAGED: OnceLock<Result<(), String>> = OnceLock::new();
    let made = STAGED.get_or_init(|| {
        let options = ["-t", "tmpfs", "-o", "mode=0755,size=64k", "ctrlz-tests", PLACE];
        check_namespace()
            .and_then(|()| program::capture(program::named("mount").args(options)).map(drop))
            .map_err(|failure| failure.to_string())
    });
    made.clone().map_err(Failure::told)
}

/// A folder on a new file system of that name, in which every user may make something. The file lies in
/// `target`.
pub(crate) fn mounted(target: &Path, name: &str) -> Answer<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    stage()?;
    let make = MADE_BY.iter().find(|(known, _)| *known == name).map(|(_, make)| *make);
    let make = make.and_then(<[&str]>::split_first);
    let (program, options) =
        make.ok_or_else(|| Failure::told(format!("nothing makes a file system {name}")))?;
    let image = target.join(format!("test-{name}-{}.img", std::process::id()));
    let point = Path::new(PLACE).join(name);
    let mounted = || -> Answer<PathBuf> {
        let file = fs::File::create(&image).map_err(Failure::io("make", &image))?;
        file.set_len(BYTES).map_err(Failure::io("size", &image))?;
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
