//! ZFS for the tests: Debian's zfs-fuse, with a pool in a file, in the mount namespace of the tests.
//!
//! The package is unpacked, not installed: its installation starts a daemon for the whole machine. The
//! daemon here dies with this process, and its mounts with the namespace.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use super::skips::Skips;
use crate::account;
use crate::failure::{Answer, Failure};
use crate::filesystems::{PLACE, check_namespace};
use crate::program;

/// The packages: the daemon with its programs, and a library that it needs.
const PACKAGES: &[&str] = &["zfs-fuse", "libfuse2"];

/// Where the daemon keeps its socket, its lock and the list of its pools.
const STATE: &[&str] = &["/run/zfs", "/run/lock/zfs", "/var/lib/zfs"];

/// How large the pool is; what is not written takes no room.
const BYTES: u64 = 2 << 30;

/// A daemon that runs as long as this lives.
pub(super) struct Zfs {
    daemon: Child,
    /// What tells the tests of root.
    pub(super) variables: Vec<(&'static str, PathBuf)>,
}

impl Zfs {
    /// Ends the daemon: whatever waits for it fails.
    pub(super) fn end(&self) {
        let daemon = rustix::process::Pid::from_child(&self.daemon);
        let _ = rustix::process::kill_process(daemon, rustix::process::Signal::KILL);
    }
}

impl Drop for Zfs {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

/// A pool for the tests of root. What cannot be had is told.
pub(super) fn pool(target: &Path, skips: &mut Skips) -> Option<Zfs> {
    if !account::is_root() {
        return None;
    }
    let made = check_namespace()
        .and_then(|()| unpacked(&target.join("tools/zfs-fuse")))
        .and_then(|folder| started(&folder));
    match made {
        Ok(zfs) => Some(zfs),
        Err(failure) => {
            println!("{failure}");
            skips.note("root", "xtask", "ZFS: not to be had here");
            None
        }
    }
}

/// The folder with what is in the packages.
fn unpacked(folder: &Path) -> Answer<PathBuf> {
    let unpacked = folder.join("unpacked");
    if unpacked.exists() {
        return Ok(unpacked);
    }
    fs::create_dir_all(folder).map_err(Failure::io("make", folder))?;
    let apt_get = |words: &[&str]| {
        let mut command = program::named("apt-get");
        program::capture(command.arg("--quiet").args(words).current_dir(folder)).map(drop)
    };
    let download = || apt_get(&[&["download"], PACKAGES].concat());
    download().or_else(|_| apt_get(&["update"]).and_then(|()| download()))?;
    // Whole or not at all.
    let half = folder.join("half");
    for package in fs::read_dir(folder).map_err(Failure::io("read", folder))? {
        let package = package.map_err(Failure::io("read", folder))?.path();
        if package.extension().is_some_and(|extension| extension == "deb") {
            program::capture(program::named("dpkg-deb").arg("-x").arg(&package).arg(&half))?;
            fs::remove_file(&package).map_err(Failure::io("remove", &package))?;
        }
    }
    fs::rename(&half, &unpacked).map_err(Failure::io("name", &unpacked))?;
    Ok(unpacked)
}

/// Starts the daemon and makes a pool.
fn started(unpacked: &Path) -> Answer<Zfs> {
    let programs = unpacked.join("sbin");
    let place = Path::new(PLACE).join("zfs");
    mount_tmpfs(&place, "mode=0755")?;
    for folder in STATE {
        mount_tmpfs(Path::new(folder), "mode=0755,size=1m")?;
    }
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]).arg(programs.join("zfs-fuse"));
    // Extended attributes are off when nobody asks for them.
    command.args(["--no-daemon", "--no-kstat-mount", "--enable-xattr"]);
    command.env("LD_LIBRARY_PATH", libraries(unpacked)?);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let daemon = command
        .spawn()
        .map_err(|source| Failure::Start { program: "zfs-fuse".to_owned(), source })?;
    let mut zfs = Zfs { daemon, variables: Vec::new() };
    for _ in 0..100 {
        if Path::new("/run/zfs/zfs_socket").exists() {
            break;
        }
        thread::sleep(Duration::from_millis(100));
    }
    let (image, tests) = (place.join("pool.img"), place.join("tests"));
    let file = fs::File::create(&image).map_err(Failure::io("make", &image))?;
    file.set_len(BYTES).map_err(Failure::io("size", &image))?;
    fs::create_dir(&tests).map_err(Failure::io("make", &tests))?;
    let mut create = Command::new(programs.join("zpool"));
    program::capture(create.args(["create", "-m", "none", "ctrlz-tests"]).arg(&image))?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path =
        std::env::join_paths(std::iter::once(programs.clone()).chain(std::env::split_paths(&path)))
            .map_err(|error| Failure::told(error.to_string()))?;
    zfs.variables = vec![
        ("CTRLZ_TEST_ZFS", tests),
        ("CTRLZ_TEST_ZFS_DATASET", "ctrlz-tests".into()),
        ("CTRLZ_TEST_ZFS_PROGRAMS", programs),
        ("PATH", path.into()),
    ];
    Ok(zfs)
}

/// The folders with the libraries of the packages.
fn libraries(unpacked: &Path) -> Answer<std::ffi::OsString> {
    let mut found = Vec::new();
    for folder in [unpacked.join("lib"), unpacked.join("usr/lib")] {
        for inside in fs::read_dir(&folder).into_iter().flatten().flatten() {
            found.push(inside.path());
        }
    }
    std::env::join_paths(found).map_err(|error| Failure::told(error.to_string()))
}

fn mount_tmpfs(folder: &Path, options: &str) -> Answer {
    fs::create_dir_all(folder).map_err(Failure::io("make", folder))?;
    let words = ["-t", "tmpfs", "-o", options, "ctrlz-tests"];
    program::capture(program::named("mount").args(words).arg(folder)).map(drop)
}
