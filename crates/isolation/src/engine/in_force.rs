//! What is in force in a container, as the kernel tells of its process 1. An engine may pass over what it
//! was asked for, as when it has no cgroups; then the command does not run.

use std::fs;
use std::path::Path;

use ctrlz_core::isolation::{IsolationError, Launch, Network};
use ctrlz_core::limits::LimitKind;
use rustix::process::Pid;

use super::inside::PROGRAM;
use crate::native::{Protection, Protections, capability_bits, held_by_groups};

/// Fails for the first demanded protection or limit that is not in force; answers those that are.
pub(super) fn verify(
    process_1: Pid,
    launch: &Launch,
    engine: &str,
) -> Result<Protections, IsolationError> {
    let id = process_1.as_raw_nonzero().get();
    let read = |name: &str| {
        fs::read_to_string(format!("/proc/{id}/{name}")).map_err(|source| IsolationError::Setup {
            step: format!("look at process 1 of the container: /proc/{id}/{name}"),
            source,
        })
    };
    let seen = Seen { id, engine, status: read("status")?, mounts: read("mountinfo")? };
    seen.privileges(&launch.keep_capabilities)?;
    seen.root()?;
    let mut given = seen.namespaces(launch.network)?;
    seen.limits(process_1, launch)?;
    let always = [
        Protection::ReadOnlyRoot,
        Protection::PrivateTemporary,
        Protection::PrivateDevices,
        Protection::PrivateProc,
        Protection::PivotRoot,
        Protection::NoNewPrivileges,
    ];
    given = always.into_iter().fold(given, Protections::with);
    if launch.keep_capabilities.is_empty() {
        given = given.with(Protection::NoCapabilities);
    }
    Ok(given)
}

struct Seen<'a> {
    id: i32,
    engine: &'a str,
    /// proc_pid_status(5)
    status: String,
    /// proc_pid_mountinfo(5)
    mounts: String,
}

impl Seen<'_> {
    fn refuse(&self, what: &str, reason: &str) -> IsolationError {
        let reason = format!("{} made the container without it: {reason}", self.engine);
        IsolationError::Unenforceable { what: what.to_owned(), reason }
    }

    fn field(&self, name: &str) -> &str {
        let find = |line: &'_ str| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim().len());
        let line = self.status.lines().find(|line| find(line).is_some());
        line.and_then(|line| line.split_once(':')).map_or("", |(_, value)| value.trim())
    }

    fn privileges(&self, keep: &[String]) -> Result<(), IsolationError> {
        if self.field("NoNewPrivs") != "1" {
            return Err(self.refuse("no_new_privs", "set-user-id programs would gain privileges"));
        }
        let wanted = capability_bits(keep).map_err(|source| IsolationError::Setup {
            step: "keep capabilities".to_owned(),
            source,
        })?;
        for set in ["CapBnd", "CapPrm", "CapEff", "CapInh", "CapAmb"] {
            let has = u64::from_str_radix(self.field(set), 16).unwrap_or(u64::MAX);
            if has & !wanted != 0 {
                let reason = format!("{set} of its process 1 is {has:016x}");
                return Err(self.refuse("the dropping of capabilities", &reason));
            }
            if matches!(set, "CapEff" | "CapBnd") && has != wanted {
                let reason = format!(
                    "{set} of its process 1 is {has:016x}; engines give capabilities to root only"
                );
                return Err(self.refuse(&format!("--keep-cap {}", keep.join(",")), &reason));
            }
        }
        Ok(())
    }

    fn root(&self) -> Result<(), IsolationError> {
        for path in ["/", PROGRAM] {
            // The last one lies above the others.
            let found = self.mounts.lines().rev().find_map(|line| {
                let mut words = line.split(' ').skip(4);
                let (at, options) = (words.next()?, words.next()?);
                (at == path).then_some(options)
            });
            if !found.is_some_and(|options| options.split(',').any(|option| option == "ro")) {
                return Err(self.refuse("the read-only root", &format!("{path} may be written")));
            }
        }
        for path in ["/tmp", "/var/tmp", "/run", "/proc", "/dev"] {
            if !self.mounts.lines().any(|line| line.split(' ').nth(4) == Some(path)) {
                return Err(self.refuse(&format!("a private {path}"), "nothing is mounted there"));
            }
        }
        Ok(())
    }

    fn namespaces(&self, network: Network) -> Result<Protections, IsolationError> {
        let kinds = [
            ("pid", Protection::PidNamespace, true),
            ("mnt", Protection::PivotRoot, true),
            ("ipc", Protection::IpcNamespace, true),
            ("uts", Protection::UtsNamespace, network == Network::None),
            ("net", Protection::NetworkNamespace, network == Network::None),
            ("cgroup", Protection::CgroupNamespace, false),
            ("user", Protection::UserNamespace, false),
        ];
        let mut given = Protections::none();
        for (name, protection, demanded) in kinds {
            let link =
                |whose: &str| fs::read_link(Path::new("/proc").join(whose).join("ns").join(name));
            let own = match (link(&self.id.to_string()), link("self")) {
                (Ok(theirs), Ok(ours)) => theirs != ours,
                _ => {
                    return Err(self.refuse(
                        protection.word(),
                        &format!("/proc/{}/ns/{name} may not be read by this user", self.id),
                    ));
                }
            };
            if demanded && !own {
                return Err(self.refuse(protection.word(), "it shares that of the host"));
            }
            given = if own { given.with(protection) } else { given };
        }
        if self.field("NSpid").split_whitespace().next_back() != Some("1") {
            return Err(self.refuse("pid-namespace", "its first process is not process 1"));
        }
        if network == Network::None {
            let devices = fs::read_to_string(format!("/proc/{}/net/dev", self.id));
            let devices = devices.unwrap_or_default();
            let mut names = devices.lines().skip(2).filter_map(|line| line.split(':').next());
            if let Some(other) = names.find(|name| name.trim() != "lo") {
                let reason = format!("it has the network device {}", other.trim());
                return Err(self.refuse("network-namespace", &reason));
            }
        }
        Ok(given)
    }

    fn limits(&self, process_1: Pid, launch: &Launch) -> Result<(), IsolationError> {
        let limits = &launch.limits;
        let held = held_by_groups(process_1);
        let wanted = [
            (LimitKind::Memory, limits.memory.map(|size| size.0 as f64)),
            // Process 1 is not the user's.
            (LimitKind::Pids, limits.pids.map(|most| f64::from(most) + 1.0)),
            // The kernel counts in steps of a hundred thousandth.
            (LimitKind::Cpus, limits.cpus.map(|cpus| cpus + 0.001)),
        ];
        for (kind, most) in wanted {
            let Some(most) = most else { continue };
            let value = held.iter().find(|held| held.kind == kind).map(|held| held.value);
            if value.is_none_or(|value| value > most) {
                let reason = match value {
                    Some(value) => format!("its cgroup holds {value}"),
                    None => "it has no cgroup for that (an engine without root needs cgroup v2 \
                             with that controller delegated to its user)"
                        .to_owned(),
                };
                return Err(self.refuse(&format!("--{}", kind.option()), &reason));
            }
        }
        Ok(())
    }
}
