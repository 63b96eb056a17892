//! How each limit and protection is held on this host.

use std::fs;

use ctrlz_core::isolation::Enforcement;
use ctrlz_core::limits::{LimitKind, Limits};
use rustix::process::{Resource, getrlimit};

use super::cgroup::{Controller, place_for};
use super::identity::Subordinate;
use super::inside;
use super::protection::{Protection, Protections};

/// How `kind` is held here; with `limits`, whether the value asked for can be.
pub(super) fn mechanism(kind: LimitKind, limits: Option<&Limits>) -> Enforcement {
    let held = |by: &str, note: &str| Enforcement {
        what: format!("limit {kind}"),
        by: Some(by.to_owned()),
        note: note.to_owned(),
    };
    let group = |controller, note: &str| {
        place_for(controller).map(|place| held(&format!("cgroup v{}", place.version), note))
    };
    match kind {
        LimitKind::Memory => group(Controller::Memory, "").unwrap_or_else(|| {
            held(
                "RLIMIT_DATA and a watcher",
                "each process is bounded by the kernel, their sum is measured every 50 ms, and \
                 System V shared memory is refused; a delegated memory cgroup would bound the \
                 sum exactly",
            )
        }),
        LimitKind::Pids => group(Controller::Pids, "").unwrap_or_else(|| {
            if rustix::process::geteuid().is_root() {
                return cannot(
                    kind,
                    "root is not bound by RLIMIT_NPROC, and no pids cgroup is writable",
                );
            }
            held("RLIMIT_NPROC", "counted in the sandbox's user namespace")
        }),
        LimitKind::Cpus => group(Controller::Cpu, "").unwrap_or_else(|| processors(limits)),
        LimitKind::Disk => held(
            "a watcher and RLIMIT_FSIZE",
            "what the workspace grew by is measured every 50 ms; one file cannot pass the limit",
        ),
        LimitKind::OpenFiles => open_files(limits),
        LimitKind::MaxOutput => held("pipes", "standard output and error are no terminal then"),
        LimitKind::Timeout => held("a timer", "SIGTERM, and SIGKILL one second later"),
    }
}

fn cannot(kind: LimitKind, why: &str) -> Enforcement {
    Enforcement { what: format!("limit {kind}"), by: None, note: why.to_owned() }
}

fn processors(limits: Option<&Limits>) -> Enforcement {
    let asked = limits.and_then(|limits| limits.cpus).unwrap_or(1.0);
    if asked < 1.0 || asked.fract() != 0.0 {
        return cannot(
            LimitKind::Cpus,
            "no cpu cgroup is writable here, and without one only whole processors (1, 2, ...) \
             can be given",
        );
    }
    Enforcement {
        what: format!("limit {}", LimitKind::Cpus),
        by: Some("processor affinity".to_owned()),
        note: "whole processors only; a delegated cpu cgroup would allow fractions".to_owned(),
    }
}

fn open_files(limits: Option<&Limits>) -> Enforcement {
    let most = getrlimit(Resource::Nofile).maximum;
    let asked = limits.and_then(|limits| limits.open_files).unwrap_or(0);
    if most.is_some_and(|most| asked > most) {
        let most = most.unwrap_or_default();
        return cannot(LimitKind::OpenFiles, &format!("this session's hard limit is {most}"));
    }
    Enforcement {
        what: format!("limit {}", LimitKind::OpenFiles),
        by: Some("RLIMIT_NOFILE".to_owned()),
        note: "for each process".to_owned(),
    }
}

/// Every limit and protection.
pub(super) fn all(protections: Protections) -> Vec<Enforcement> {
    let limits = LimitKind::ALL.into_iter().map(|kind| mechanism(kind, None));
    let rest = protections.iter().map(protection);
    limits.chain(rest).chain([identities()]).collect()
}

fn protection(protection: Protection) -> Enforcement {
    let (by, note) = match protection {
        Protection::Landlock => match ctrlz_sys::landlock::version() {
            0 => (None, "this kernel has no Landlock; the read-only mounts remain".to_owned()),
            version => (Some(format!("Landlock ABI {version}")), landlock_note(version)),
        },
        Protection::ProcessCeiling => {
            if inside::has_own_process_ids() {
                (Some("kernel.pid_max of the pid namespace".to_owned()), String::new())
            } else {
                (None, "needs Linux 6.14; ask for --pids instead".to_owned())
            }
        }
        Protection::UserNamespace => match user_namespaces_off() {
            None => (Some("clone3".to_owned()), String::new()),
            Some(why) => (None, why),
        },
        _ => (Some("kernel".to_owned()), String::new()),
    };
    Enforcement { what: protection.word().to_owned(), by, note }
}

fn identities() -> Enforcement {
    let (by, note) = if rustix::process::geteuid().is_root() {
        (Some("all ids of this host".to_owned()), String::new())
    } else if Subordinate::of_this_user().is_some() {
        (Some("newuidmap and subordinate ids".to_owned()), String::new())
    } else {
        let note = "with --root overlay only your own id exists inside: package managers that \
                    change owners will fail. An administrator can give you subordinate ids \
                    (usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER) and \
                    install newuidmap (package uidmap)";
        (None, note.to_owned())
    };
    Enforcement { what: "many owners in --root overlay".to_owned(), by, note }
}

fn landlock_note(version: i32) -> String {
    match version {
        ..6 => "signals and abstract sockets are held by namespaces alone".to_owned(),
        6..9 => {
            "connecting to socket files is not restricted; /run and /tmp are private".to_owned()
        }
        9.. => String::new(),
    }
}

fn user_namespaces_off() -> Option<String> {
    let read = |path: &str| fs::read_to_string(path).ok().map(|text| text.trim().to_owned());
    if read("/proc/sys/user/max_user_namespaces").as_deref() == Some("0") {
        return Some("user.max_user_namespaces is 0".to_owned());
    }
    let root = rustix::process::geteuid().is_root();
    if !root && read("/proc/sys/kernel/unprivileged_userns_clone").as_deref() == Some("0") {
        return Some("kernel.unprivileged_userns_clone is 0".to_owned());
    }
    let restricted = read("/proc/sys/kernel/apparmor_restrict_unprivileged_userns");
    if !root && restricted.as_deref() == Some("1") {
        return Some("AppArmor restricts unprivileged user namespaces".to_owned());
    }
    None
}
