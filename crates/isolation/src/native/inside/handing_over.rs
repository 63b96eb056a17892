//! Process 1 when another program runs the command: see [`crate::native::Delegate`].

use std::ffi::{CString, OsString};
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use ctrlz_core::isolation::Network;
use ctrlz_sys::exec;
use rustix::fs::{Access, FileType, Mode, OFlags, ResolveFlags, access, fstat, openat2};
use rustix::io::Errno;
use rustix::mount::MountAttrFlags;
use rustix::process::{Pid, WaitOptions, waitpid};
use serde_json::Value;

use super::command::candidates;
use super::init::Passing;
use super::mounts::{attach, copy_of, new_filesystem, open_host};
use super::root::Complete;
use super::streams::Input;
use super::{Setup, Step, StepError, init, keeper, nursery};
use crate::native::control::{Channel, Ended, Order, Report};
use crate::native::delegate::{Bundle, Delegated};
use crate::native::protection::{Protection, Protections};

/// What the program gets as its own environment: what concerns the command stands in its configuration.
pub(super) const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The most that is read of what the program logs.
const MOST_LOG: u64 = 1 << 16;

/// Starts the program once it is ordered, and waits for its end.
pub(super) fn run(
    setup: &mut Setup,
    delegated: &Delegated,
    complete: &Complete,
    (input, channel): (Option<Input>, &Channel),
) -> Result<(), StepError> {
    let bundle = Bundle::new();
    prepare(&bundle, delegated, complete)?;
    if channel.next_order(true).ok().flatten() != Some(Order::Start) {
        return Ok(());
    }
    let output = setup.start.output.take();
    if let Err(errno) = find(complete.root.as_fd(), setup) {
        let report = Report::ExecFailed { errno: errno.raw_os_error() };
        return channel.report(&report).step(|| "report to ctrlz".into());
    }
    let program = started(delegated, output.as_ref())
        .step(|| format!("start {}", name(delegated.argv.first())))?;
    drop(output);
    let failed = || {
        let why = told(&bundle.log).unwrap_or_else(|| "it does not tell why".to_owned());
        Err(io::Error::other(why))
            .step(|| format!("make the container by {}", name(delegated.argv.first())))
    };
    let command = match delegated.detaches {
        false => program,
        true => match left_by(program, &bundle).step(|| "wait for the container".into())? {
            Some(command) => command,
            None => return failed(),
        },
    };
    let report = Report::Started { protections: in_force(setup, delegated).bits() };
    channel.report(&report).step(|| "report to ctrlz".into())?;
    let passing = Passing::TerminalSignals;
    let ended = init::reap(command, (channel.as_fd(), channel), None, passing)
        .step(|| "wait for the command".into())?;
    let Some(ended) = ended else { return Ok(()) };
    if !bundle.process.exists() {
        return failed();
    }
    if let Some(input) = input {
        input.hand_back();
    }
    // What waits for orphans is still there.
    let report = Report::Ended(Ended { alone: false, ..ended });
    channel.report(&report).step(|| "report to ctrlz".into())
}

/// Waits for the end of a program that leaves the command to this process, and answers that. `None` when
/// there is none.
fn left_by(program: Pid, bundle: &Bundle) -> io::Result<Option<Pid>> {
    loop {
        match waitpid(Some(program), WaitOptions::empty()) {
            Ok(_) => break,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    let text = fs::read_to_string(&bundle.process).unwrap_or_default();
    Ok(text.trim().parse().ok().and_then(Pid::from_raw))
}

fn in_force(setup: &Setup, delegated: &Delegated) -> Protections {
    let mut in_force = delegated.protections;
    if setup.start.outlook.network == Network::Host {
        in_force = in_force.without(Protection::NetworkNamespace);
    }
    if !setup.task.keep_capabilities.is_empty() {
        in_force = in_force.without(Protection::NoCapabilities);
    }
    in_force
}

fn name(program: Option<&OsString>) -> String {
    program.map(|program| Path::new(program).display().to_string()).unwrap_or_default()
}

/// The program sees processes by the ids that it gets, and can make no control groups.
fn prepare(
    bundle: &Bundle,
    delegated: &Delegated,
    Complete { root, scratch }: &Complete,
) -> Result<(), StepError> {
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    new_filesystem("proc", &[], attributes)
        .and_then(|processes| attach(processes, open_host(Path::new("/proc"))?))
        .step(|| "mount a new /proc".into())?;
    if delegated.joins_processes {
        nursery::make(root, scratch, &Bundle::processes())
            .step(|| "make a pid namespace".into())?;
    }
    if delegated.sees_groups {
        // Those of the root are read-only.
        let target = bundle.directory.join("fs/cgroup");
        copy_of(root, Path::new("sys/fs/cgroup"), true)
            .and_then(|groups| attach(groups, open_host(&target)?))
            .step(|| "show the control groups".into())?;
    }
    let write = || -> io::Result<()> {
        let mut file = File::create(bundle.directory.join("config.json"))?;
        file.write_all(&delegated.config)
    };
    write().step(|| "write the bundle".into())?;
    match &delegated.keeping {
        Some(keeping) => keeper::start(keeping, (bundle, &delegated.config))
            .step(|| "begin what keeps memory".into()),
        None => Ok(()),
    }
}

fn started(delegated: &Delegated, output: Option<&[OwnedFd; 2]>) -> io::Result<Pid> {
    let text = |word: &OsString| Ok(CString::new(word.as_bytes())?);
    let words = delegated.argv.iter().map(text).collect::<io::Result<Vec<_>>>()?;
    let program = words.first().ok_or(Errno::NOENT)?;
    let environment = [CString::new(PATH)?];
    let output = output.map(|[stdout, stderr]| [stdout.as_fd(), stderr.as_fd()]);
    rustix::process::chdir("/")?;
    exec::start(program, &words, &environment, output, None)
}

/// Whether the command's program is there and can be executed, as the command will see it. Programs
/// that make containers tell that in words alone.
fn find(root: BorrowedFd<'_>, setup: &Setup) -> Result<(), Errno> {
    let task = &setup.task;
    let name = task.argv.first().ok_or(Errno::NOENT)?;
    let mut error = Errno::NOENT;
    for candidate in candidates(name, &task.env)? {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let path = task.workdir.join(candidate);
        // Folders that cannot be entered are passed over.
        let opened = openat2(root, &path, flags, Mode::empty(), ResolveFlags::IN_ROOT);
        match opened.ok().map(|file| is_program(&file)) {
            Some(Ok(())) => return Ok(()),
            Some(Err(errno)) => error = errno,
            None => {}
        }
    }
    Err(error)
}

fn is_program(file: &OwnedFd) -> Result<(), Errno> {
    let status = fstat(file)?;
    if FileType::from_raw_mode(status.st_mode) != FileType::RegularFile {
        return Err(Errno::ACCESS);
    }
    // Whoever asks may be root here and not inside: somebody has to be allowed to execute it.
    if status.st_mode & 0o111 == 0 {
        return Err(Errno::ACCESS);
    }
    access(format!("/proc/self/fd/{}", file.as_raw_fd()), Access::EXEC_OK)
}

/// The last error of a log in JSON.
pub(super) fn told(log: &Path) -> Option<String> {
    let mut text = String::new();
    File::open(log).ok()?.take(MOST_LOG).read_to_string(&mut text).ok()?;
    let message = |line: &str| -> Option<String> {
        let entry: Value = serde_json::from_str(line).ok()?;
        let level = entry.get("level")?.as_str()?.to_ascii_lowercase();
        let is_error = ["error", "fatal", "warning"].contains(&level.as_str());
        // youki has it one level deeper.
        let words = entry.get("msg").or_else(|| entry.pointer("/fields/message"));
        is_error.then(|| words.and_then(Value::as_str).map(str::to_owned))?
    };
    text.lines().rev().find_map(message).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_error_of_a_log_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let log = folder.path().join("log");
        fs::write(&log, "{\"level\":\"error\",\"msg\":\"first\"}\n{\"level\":\"error\",\"msg\":\"last\"}\n{\"level\":\"info\",\"msg\":\"x\"}\nrubbish\n").expect("write");
        assert_eq!(told(&log).as_deref(), Some("last"));
        fs::write(&log, "{\"level\":\"ERROR\",\"fields\":{\"message\":\"of youki\"}}\n")
            .expect("write");
        assert_eq!(told(&log).as_deref(), Some("of youki"));
        fs::write(&log, "rubbish").expect("write");
        assert_eq!(told(&log), None);
    }

    #[test]
    fn only_a_file_that_may_be_executed_is_a_program() {
        let open = |path: &str| OwnedFd::from(File::open(path).expect("open"));
        assert_eq!(is_program(&open("/bin/sh")), Ok(()));
        assert_eq!(is_program(&open("/etc/passwd")), Err(Errno::ACCESS));
        assert_eq!(is_program(&open("/etc")), Err(Errno::ACCESS));
    }
}
