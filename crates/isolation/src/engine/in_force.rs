//! What is in force in a container, as the kernel tells of its process 1. An engine may pass over what it
//! was asked for, as when it has no cgroups; then the command does not run.

use std::fs;
use std::path::Path;

use ctrlz_core::isolation::{IsolationError, Launch, Network};
use rustix::process::Pid;

use super::inside::PROGRAM;
use crate::native::{Protection, Protections, capability_bits, not_held};

/// What is in force in every container, whatever else an engine gives: the others are its own matter,
/// such as the user namespace of a rootless one.
pub(crate) fn always() -> Protections {
    let engine_s = [
        Protection::UserNamespace,
        Protection::CgroupNamespace,
        Protection::MaskedKernelFiles,
        Protection::HiddenSecrets,
        Protection::ProcessCeiling,
        Protection::FirstToBeKilled,
    ];
    engine_s.into_iter().fold(Protections::all(), Protections::without)
}

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
        // Process 1 is not the user's.
        let Some((kind, value)) = not_held(process_1, &launch.limits, 1) else { return Ok(()) };
        let reason = match value {
            Some(value) => format!("its cgroup holds {value}"),
            None => "it has no cgroup for that (an engine without root needs cgroup v2 with that \
                     controller delegated to its user)"
                .to_owned(),
        };
        Err(self.refuse(&format!("--{}", kind.option()), &reason))
    }
}

#[cfg(test)]
mod tests {
    use ctrlz_core::driver::Driver;
    use ctrlz_core::isolation::{RootView, Streams};
    use ctrlz_core::limits::Limits;
    use ctrlz_core::size::ByteSize;
    use ctrlz_core::workspace::WorkspaceMount;

    use super::*;

    const STATUS: &str = "NSpid:\t77\t1\nCapInh:\t0000000000000000\nCapPrm:\t0000000000000000\n\
                          CapEff:\t0000000000000000\nCapBnd:\t0000000000000000\n\
                          CapAmb:\t0000000000000000\nNoNewPrivs:\t1\n";
    const MOUNTS: &str = "1 0 0:1 / / ro,relatime - overlay overlay rw\n\
                          2 1 0:2 / /proc rw - proc proc rw\n3 1 0:3 / /dev rw - tmpfs tmpfs rw\n\
                          4 1 0:4 / /tmp rw - tmpfs tmpfs rw\n5 1 0:4 / /run rw - tmpfs tmpfs rw\n\
                          6 1 0:4 / /var/tmp rw - tmpfs tmpfs rw\n\
                          7 1 8:1 /ctrlz /.ctrlz/init ro,relatime - ext4 /dev/sda rw\n";

    fn seen<'a>(status: String, mounts: String) -> Seen<'a> {
        Seen { id: std::process::id().cast_signed(), engine: "podman", status, mounts }
    }

    fn launch() -> Launch {
        Launch {
            driver: Driver::Podman(None),
            root: RootView::Image { reference: "x".to_owned(), workspace_at: "/w".into() },
            workspace: WorkspaceMount::Bind { source: "/w".into() },
            written: "/w".into(),
            hidden: Vec::new(),
            workdir: "/w".into(),
            argv: Vec::new(),
            env: Vec::new(),
            network: Network::None,
            limits: Limits::default(),
            least_free: None,
            keep_capabilities: Vec::new(),
            streams: Streams::Inherited,
            memory: None,
            compiled: None,
        }
    }

    fn what(refused: Result<(), IsolationError>) -> Option<String> {
        match refused {
            Ok(()) => None,
            Err(IsolationError::Unenforceable { what, .. }) => Some(what),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn privileges_that_are_left_are_refused() {
        let of = |status: String| seen(status, MOUNTS.to_owned());
        assert_eq!(what(of(STATUS.to_owned()).privileges(&[])), None);
        let without = STATUS.replace("NoNewPrivs:\t1", "NoNewPrivs:\t0");
        assert_eq!(what(of(without).privileges(&[])).as_deref(), Some("no_new_privs"));
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            let more = STATUS.replace(&format!("{set}:\t0"), &format!("{set}:\t8"));
            assert!(what(of(more).privileges(&[])).is_some(), "{set}");
        }
        // What was to be kept and is not there.
        let kept = what(of(STATUS.to_owned()).privileges(&["CHOWN".to_owned()]));
        assert_eq!(kept.as_deref(), Some("--keep-cap CHOWN"));
    }

    #[test]
    fn a_root_that_may_be_written_is_refused() {
        let of = |mounts: String| what(seen(STATUS.to_owned(), mounts).root());
        assert_eq!(of(MOUNTS.to_owned()), None);
        assert!(of(MOUNTS.replace("/ / ro,", "/ / rw,")).is_some());
        assert!(of(MOUNTS.replace("init ro,", "init rw,")).is_some());
        assert_eq!(of(MOUNTS.replace(" /tmp ", " /else ")).as_deref(), Some("a private /tmp"));
        // What was mounted later lies above.
        assert!(of(format!("{MOUNTS}9 1 0:9 / / rw - tmpfs tmpfs rw\n")).is_some());
    }

    #[test]
    fn the_host_s_namespaces_and_missing_limits_are_refused() {
        let own = seen(STATUS.to_owned(), MOUNTS.to_owned());
        let namespaces = own.namespaces(Network::None).map(drop);
        assert_eq!(what(namespaces).as_deref(), Some("pid-namespace"));
        let mut launch = launch();
        let this = Pid::from_raw(own.id).expect("an id");
        assert_eq!(what(own.limits(this, &launch)), None);
        launch.limits.memory = Some(ByteSize(1));
        assert_eq!(what(own.limits(this, &launch)).as_deref(), Some("--memory"));
        launch.limits = Limits { pids: Some(0), ..Limits::default() };
        assert_eq!(what(own.limits(this, &launch)).as_deref(), Some("--pids"));
    }
}
