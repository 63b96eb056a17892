//! The probe itself.

use std::fs::{self, File};
use std::io::{self, Write};
use std::net::UdpSocket;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};

use ctrlz_sys::clone::{Namespaces, spawn};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;

use super::super::inside::KERNEL_FILES;
use super::super::protection::Protection;
use super::overrun;
use super::{DISK, Facts, MEMORY, OPEN_FILES, PIDS, PROBE, Trial};

/// Runs the probe when this program was started as such: `arguments` are those behind the program's
/// name. Answers its exit code; nothing when it is none.
#[must_use]
pub fn main(arguments: &[std::ffi::OsString]) -> Option<i32> {
    let words: Vec<&str> = arguments.iter().filter_map(|word| word.to_str()).collect();
    match words.as_slice() {
        [PROBE, "eat"] => Some(eat()),
        [PROBE, "grow"] => Some(grow()),
        [PROBE, word] if let Some(code) = overrun::act(word) => Some(code),
        [PROBE, facts] => {
            let Ok(facts) = serde_json::from_str::<Facts>(facts) else { return Some(2) };
            let text = serde_json::to_vec(&trials(&facts)).unwrap_or_default();
            Some(i32::from(io::stdout().write_all(&text).is_err()))
        }
        _ => None,
    }
}

fn trials(facts: &Facts) -> Vec<Trial> {
    let mut all = namespaces(facts);
    all.extend([
        said(Protection::ReadOnlyRoot, read_only_root(facts)),
        said(Protection::PrivateTemporary, private_temporary(facts)),
        said(Protection::PrivateDevices, private_devices()),
        said(Protection::PrivateProc, private_proc()),
        said(Protection::MaskedKernelFiles, masked_kernel_files()),
        said(Protection::HiddenSecrets, hidden_secrets(facts)),
        said(Protection::NoCapabilities, no_capabilities()),
        said(Protection::NoNewPrivileges, no_new_privileges()),
        said(Protection::Seccomp, seccomp()),
        said(Protection::Landlock, landlock()),
        said(Protection::ClosedDescriptors, closed_descriptors(facts)),
        said(Protection::ProcessCeiling, process_ceiling()),
        said(Protection::FirstToBeKilled, first_to_be_killed(facts)),
        said(Protection::OpaqueInit, opaque_init()),
    ]);
    // Last: threads and open files of a limit that does not hold could disturb the others.
    for limit in &facts.limits {
        let found = match limit.as_str() {
            "open-files" => open_files(),
            "memory" => child("eat", MEMORY),
            "disk" => child("grow", DISK),
            "pids" => pids(),
            _ => continue,
        };
        all.push(trial(format!("limit {limit}"), found));
    }
    all
}

/// What a trial found: how the act was refused, or how it got through.
type Found = Result<String, String>;

fn trial(what: String, found: Found) -> Trial {
    let held = found.is_ok();
    let (Ok(evidence) | Err(evidence)) = found;
    Trial { what, held, tried: true, evidence }
}

fn said(protection: Protection, found: Found) -> Trial {
    trial(protection.word().to_owned(), found)
}

/// An act that must fail.
fn must_fail<T, E: std::fmt::Display>(what: &str, result: Result<T, E>) -> Found {
    match result {
        Ok(_) => Err(format!("{what} succeeded")),
        Err(error) => Ok(format!("{what}: {error}")),
    }
}

fn namespaces(facts: &Facts) -> Vec<Trial> {
    let own = |name: &str| fs::read_link(format!("/proc/self/ns/{name}")).unwrap_or_default();
    let word = |name: &str| match name {
        "user" => Some(Protection::UserNamespace),
        "pid" => Some(Protection::PidNamespace),
        "net" => Some(Protection::NetworkNamespace),
        "ipc" => Some(Protection::IpcNamespace),
        "uts" => Some(Protection::UtsNamespace),
        "cgroup" => Some(Protection::CgroupNamespace),
        _ => None,
    };
    let namespaces = facts.namespaces.iter();
    namespaces
        .filter_map(|(name, outside)| {
            let protection = word(name)?;
            let inside = own(name).to_string_lossy().into_owned();
            let found = match inside.is_empty() || inside == *outside {
                true => Err(format!("the {name} namespace is the host's")),
                false => match protection {
                    Protection::NetworkNamespace => no_network(),
                    Protection::PidNamespace => no_other_process(facts),
                    Protection::UtsNamespace => {
                        must_fail("setting the host's name", rustix::system::sethostname(b"probe"))
                    }
                    _ => Ok(format!("{inside}, outside {outside}")),
                },
            };
            Some(said(protection, found))
        })
        .collect()
}

/// 192.0.2.0/24 is nobody's (RFC 5737), and no packet is sent.
fn no_network() -> Found {
    let connect = UdpSocket::bind("0.0.0.0:0").and_then(|socket| socket.connect("192.0.2.1:9"));
    must_fail("a way to 192.0.2.1", connect)
}

fn no_other_process(facts: &Facts) -> Found {
    let pid = i32::try_from(facts.launcher).ok().and_then(rustix::process::Pid::from_raw);
    match pid.map(rustix::process::test_kill_process) {
        Some(Err(Errno::SRCH)) => Ok("the launcher's id is nobody's here".to_owned()),
        // The id may be one of ours by chance, then it is one that we may signal.
        Some(Ok(())) if fs::read_to_string("/proc/1/comm").is_ok() => {
            let ids = fs::read_dir("/proc").into_iter().flatten().flatten();
            let count = ids.filter(|e| e.file_name().to_string_lossy().parse::<u32>().is_ok());
            match count.count() {
                ..8 => Ok("only a few processes are there".to_owned()),
                many => Err(format!("{many} processes can be seen")),
            }
        }
        other => Err(format!("the launcher can be signalled: {other:?}")),
    }
}

/// Nothing is created even where this is possible: the file has no name and is gone at once.
fn read_only_root(facts: &Facts) -> Found {
    let mut evidence = String::new();
    // What lies below a private folder is the sandbox's own, such as the way to the workspace.
    let private = ["/tmp", "/var/tmp", "/run", "/dev"];
    let is_private = |place: &&str| private.iter().any(|own| Path::new(place).starts_with(own));
    let home = facts.home.as_deref().filter(|home| !is_private(home));
    for place in ["/", "/etc", "/usr", "/var"].into_iter().chain(home) {
        let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
        match open(place, flags, Mode::RUSR) {
            Ok(_) => return Err(format!("a file can be made in {place}")),
            Err(errno) => evidence = format!("a file in {place}: {errno}"),
        }
    }
    match rustix::fs::statvfs("/") {
        Ok(found) if found.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY) => Ok(evidence),
        _ => Err("/ is not mounted read-only".to_owned()),
    }
}

fn private_temporary(facts: &Facts) -> Found {
    match facts.markers.iter().find(|marker| fs::metadata(marker).is_ok()) {
        Some(marker) => Err(format!("{marker} of the host is there")),
        None => Ok(format!("{} of the host are not there", facts.markers.join(", "))),
    }
}

fn private_devices() -> Found {
    let known = ["/dev/mem", "/dev/kmsg", "/dev/sda", "/dev/vda", "/dev/nvme0n1", "/dev/loop0"];
    for device in known.into_iter().chain(["/dev/fuse", "/dev/kvm", "/dev/net/tun"]) {
        if fs::metadata(device).is_ok() {
            return Err(format!("{device} is there"));
        }
    }
    Ok("no disk, memory or log device is there".to_owned())
}

fn private_proc() -> Found {
    let own = fs::read_link("/proc/self").unwrap_or_default();
    if own.to_string_lossy() != std::process::id().to_string() {
        return Err("/proc is another namespace's".to_owned());
    }
    let file = "/proc/sys/kernel/core_pattern";
    must_fail(&format!("opening {file} for writing"), fs::OpenOptions::new().write(true).open(file))
}

fn masked_kernel_files() -> Found {
    let mut covered = 0;
    for path in KERNEL_FILES {
        let Ok(metadata) = fs::metadata(path) else { continue };
        covered += 1;
        let empty = match metadata.is_dir() {
            true => fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none()),
            false => fs::read(path).is_ok_and(|bytes| bytes.is_empty()),
        };
        let refused = !metadata.is_dir() && File::open(path).is_err();
        if !empty && !refused {
            return Err(format!("{path} tells something"));
        }
    }
    Ok(format!("{covered} places of /proc and /sys are empty"))
}

fn hidden_secrets(facts: &Facts) -> Found {
    for path in &facts.hidden {
        let shown = match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => {
                fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some())
            }
            Ok(_) => fs::read(path).is_ok_and(|bytes| !bytes.is_empty()),
            Err(_) => false,
        };
        if shown {
            return Err(format!("{path} can be read"));
        }
    }
    Ok(format!("{} hidden places are empty", facts.hidden.len()))
}

fn status(name: &str) -> Option<String> {
    let text = fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.map(|value| value.trim().to_owned())
}

fn no_capabilities() -> Found {
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        let value = status(set).unwrap_or_default();
        if u64::from_str_radix(&value, 16) != Ok(0) {
            return Err(format!("{set} is {value}"));
        }
    }
    must_fail("chroot", rustix::process::chroot("/"))
}

fn no_new_privileges() -> Found {
    match rustix::thread::no_new_privs() {
        Ok(true) => Ok("prctl says so".to_owned()),
        other => Err(format!("prctl says {other:?}")),
    }
}

/// The filter alone answers that there is no clone3, which is there since Linux 5.3.
fn seccomp() -> Found {
    if status("Seccomp").as_deref() != Some("2") {
        return Err("no filter is in force".to_owned());
    }
    match spawn(Namespaces::default(), None, || 0) {
        Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => Ok(format!("clone3: {error}")),
        Err(error) => Err(format!("clone3 is not filtered: {error}")),
        Ok(child) => {
            let _ =
                rustix::process::waitpid(Some(child.pid), rustix::process::WaitOptions::empty());
            Err("clone3 is not filtered".to_owned())
        }
    }
}

/// Standard input is a file without a name, on a writable file system, that was opened for reading:
/// no mount keeps it from being opened for writing.
fn landlock() -> Found {
    let file = fs::OpenOptions::new().write(true).open("/proc/self/fd/0");
    must_fail("opening standard input for writing", file)
}

fn closed_descriptors(facts: &Facts) -> Found {
    let path = format!("/proc/self/fd/{}", facts.descriptor);
    match fs::read_link(path) {
        Ok(target) => Err(format!("{} is open", target.display())),
        Err(_) => Ok("the launcher's files are closed".to_owned()),
    }
}

fn process_ceiling() -> Found {
    let text = fs::read_to_string("/proc/sys/kernel/pid_max").unwrap_or_default();
    match text.trim().parse::<u32>() {
        Ok(most @ ..=16_384) => Ok(format!("kernel.pid_max is {most}")),
        _ => Err(format!("kernel.pid_max is {}", text.trim())),
    }
}

fn first_to_be_killed(facts: &Facts) -> Found {
    let text = fs::read_to_string("/proc/self/oom_score_adj").unwrap_or_default();
    match text.trim().parse::<i32>() {
        Ok(own) if own > facts.oom_score || own == 1000 => Ok(format!("oom_score_adj is {own}")),
        _ => Err(format!("oom_score_adj is {}", text.trim())),
    }
}

fn opaque_init() -> Found {
    let mut evidence = Ok(String::new());
    for path in ["/proc/1/environ", "/proc/1/mem"] {
        evidence = must_fail(&format!("reading {path}"), File::open(path).map(drop));
        evidence.as_ref().map_err(Clone::clone)?;
    }
    evidence
}

fn open_files() -> Found {
    let mut held = Vec::new();
    for _ in 0..OPEN_FILES * 2 {
        match File::open("/dev/null") {
            Ok(file) => held.push(file),
            Err(error) => return Ok(format!("after {} files: {error}", held.len())),
        }
    }
    Err(format!("{} files are open at once", held.len()))
}

fn pids() -> Found {
    let (end, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Arc::new(std::sync::Mutex::new(wait));
    let mut threads = Vec::new();
    let mut found = Err(format!("{} threads run at once", PIDS * 2));
    for count in 0..PIDS * 2 {
        let wait = std::sync::Arc::clone(&wait);
        let thread = std::thread::Builder::new().stack_size(1 << 16).spawn(move || {
            if let Ok(wait) = wait.lock() {
                let _ = wait.recv();
            }
        });
        match thread {
            Ok(thread) => threads.push(thread),
            Err(error) => {
                found = Ok(format!("after {count} threads: {error}"));
                break;
            }
        }
    }
    drop(end);
    threads.into_iter().for_each(|thread| drop(thread.join()));
    found
}

/// An act that may end who tries it.
fn child(act: &str, limit: u64) -> Found {
    let mut command = Command::new("/proc/self/exe");
    command.args([PROBE, act]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    match command.status() {
        Ok(status) if status.success() => Err(format!("{limit} bytes could be passed")),
        Ok(status) => Ok(match status.signal() {
            Some(signal) => format!("beyond {limit} bytes, signal {signal} ended it"),
            None => format!("beyond {limit} bytes, it was refused"),
        }),
        Err(error) => Ok(format!("it could not even be begun: {error}")),
    }
}

fn eat() -> i32 {
    let length = usize::try_from(MEMORY * 2).unwrap_or(usize::MAX);
    let mut bytes: Vec<u8> = Vec::new();
    if bytes.try_reserve_exact(length).is_err() {
        return 1;
    }
    // Written, so that it is really there.
    bytes.resize(length, 1);
    i32::from(std::hint::black_box(&bytes).iter().step_by(4096).any(|byte| *byte == 0))
}

fn grow() -> i32 {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let Ok(file) = open("/tmp", flags, Mode::RUSR | Mode::WUSR) else { return 1 };
    i32::from(File::from(file).set_len(DISK * 4).is_err())
}
