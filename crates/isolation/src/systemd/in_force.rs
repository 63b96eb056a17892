//! What is in force in a unit, as the kernel tells of its process. A manager may pass over what it was
//! asked for, as when it has no control groups; then the command does not run.

use std::fs;
use std::path::Path;

use ctrlz_core::isolation::{IsolationError, Launch};
use ctrlz_core::limits::LimitKind;
use rustix::process::Pid;

use super::unit::{HOMES, OWN_PROCESSES, PROPERTIES, Unit};
use crate::native::not_held;

/// The devices that everybody has; what else is in `/dev` of a unit are folders and links.
const DEVICES: [&str; 7] = ["null", "zero", "full", "random", "urandom", "tty", "ptmx"];

/// Fails for the first property or limit that is not in force; answers those that are, by name.
pub(super) fn verify(
    process: Pid,
    unit: &Unit,
    launch: &Launch,
) -> Result<Vec<String>, IsolationError> {
    let id = process.as_raw_nonzero();
    let read = |name: &str| {
        fs::read_to_string(format!("/proc/{id}/{name}")).map_err(|source| IsolationError::Setup {
            step: format!("look at the unit's process: /proc/{id}/{name}"),
            source,
        })
    };
    let refuse = |what: &str, reason: &str| {
        let reason = format!("{} was started without it: {reason}", unit.name);
        Err(IsolationError::Unenforceable { what: what.to_owned(), reason })
    };
    if !read("cgroup")?.lines().any(|line| line.ends_with(&format!("/{}", unit.name))) {
        return refuse("a control group of the unit", "its process is in none");
    }
    let devices = Path::new("/proc").join(id.to_string()).join("root/dev");
    let seen = Seen { status: &read("status")?, mounts: &read("mountinfo")?, devices: &devices };
    for property in PROPERTIES {
        if let Some(reason) = seen.lacks(property) {
            return refuse(&format!("{property} of systemd"), &reason);
        }
    }
    if let Some((kind, value)) = not_held(process, &launch.limits, OWN_PROCESSES) {
        let reason = match value {
            Some(value) => format!("its control group holds {value}"),
            None => format!(
                "the manager has no {} controller: boot with control groups of version 2 \
                 (systemd.unified_cgroup_hierarchy=1) and, for a user's manager, have it delegated \
                 (Delegate= of user@.service); --isolation native holds limits without",
                controller(kind)
            ),
        };
        return refuse(&format!("--{}", kind.option()), &reason);
    }
    let held = [
        ("MemoryMax", launch.limits.memory.is_some()),
        ("CPUQuota", launch.limits.cpus.is_some()),
        ("TasksMax", launch.limits.pids.is_some()),
    ];
    let limits = held.into_iter().filter_map(|(name, is_set)| is_set.then_some(name));
    Ok(PROPERTIES.into_iter().chain(limits).map(|name| format!("systemd:{name}")).collect())
}

fn controller(kind: LimitKind) -> &'static str {
    match kind {
        LimitKind::Memory => "memory",
        LimitKind::Cpus => "cpu",
        _ => "pids",
    }
}

struct Seen<'a> {
    /// proc_pid_status(5)
    status: &'a str,
    /// proc_pid_mountinfo(5)
    mounts: &'a str,
    /// The unit's `/dev`.
    devices: &'a Path,
}

impl Seen<'_> {
    /// Why one of [`PROPERTIES`] is not in force.
    fn lacks(&self, property: &str) -> Option<String> {
        match property.split('=').next().unwrap_or_default() {
            "NoNewPrivileges" => {
                let has = self.status.lines().any(|line| line == "NoNewPrivs:\t1");
                (!has).then(|| "set-user-id programs would gain privileges".to_owned())
            }
            "ProtectSystem" => {
                let root = self.mounted("/").map(|(options, _)| options);
                let is_read_only =
                    root.is_some_and(|options| options.split(',').any(|word| word == "ro"));
                (!is_read_only).then(|| "/ may be written".to_owned())
            }
            "ProtectHome" => {
                let homes = HOMES.into_iter().filter(|home| Path::new(home).is_dir());
                let open = |home: &&str| self.mounted(home).is_none_or(|(_, kind)| kind != "tmpfs");
                homes.into_iter().find(open).map(|home| format!("{home} is the host's"))
            }
            "PrivateDevices" => match fs::read_dir(self.devices) {
                _ if self.mounted("/dev").is_none_or(|(_, kind)| kind != "tmpfs") => {
                    Some("/dev is the host's".to_owned())
                }
                Ok(mut entries) => entries.find_map(|entry| other_device(&entry.ok()?)),
                Err(error) => Some(format!("its /dev cannot be read: {error}")),
            },
            _ => Some("nobody looked".to_owned()),
        }
    }

    /// The options and the file system of what is mounted at a path. The last one lies above the others.
    fn mounted(&self, path: &str) -> Option<(&str, &str)> {
        self.mounts.lines().rev().find_map(|line| {
            let (left, right) = line.split_once(" - ")?;
            let mut words = left.split(' ').skip(4);
            let (at, options) = (words.next()?, words.next()?);
            (at == path).then_some((options, right.split(' ').next()?))
        })
    }
}

fn other_device(entry: &fs::DirEntry) -> Option<String> {
    use std::os::unix::fs::FileTypeExt;
    let kind = entry.file_type().ok()?;
    let name = entry.file_name();
    let is_usual = DEVICES.iter().any(|usual| name == *usual);
    let is_device = kind.is_block_device() || (kind.is_char_device() && !is_usual);
    is_device.then(|| format!("it has the device {}", name.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "Name:\tx\nNoNewPrivs:\t1\nSeccomp:\t2\n";
    const MOUNTS: &str = "1 0 0:1 / / ro,relatime shared:1 - ext4 /dev/sda rw\n\
                          2 1 0:2 / /dev ro,nosuid - tmpfs tmpfs rw\n\
                          3 1 0:3 / /home rw - tmpfs tmpfs rw\n4 1 0:4 / /root rw - tmpfs tmpfs rw\n\
                          5 1 0:5 / /run/user rw - tmpfs tmpfs rw\n";

    fn lacking(status: &str, mounts: &str, devices: &Path) -> Vec<&'static str> {
        let seen = Seen { status, mounts, devices };
        PROPERTIES.into_iter().filter(|property| seen.lacks(property).is_some()).collect()
    }

    #[test]
    fn what_a_manager_passed_over_is_seen() {
        let empty = tempfile::tempdir().expect("a folder");
        let of = |status: &str, mounts: &str| lacking(status, mounts, empty.path());
        assert!(of(STATUS, MOUNTS).is_empty());
        let without = STATUS.replace("Privs:\t1", "Privs:\t0");
        assert_eq!(of(&without, MOUNTS), ["NoNewPrivileges=yes"]);
        assert_eq!(of(STATUS, &MOUNTS.replace("/ / ro", "/ / rw")), ["ProtectSystem=strict"]);
        let above = format!("{MOUNTS}9 1 0:9 / / rw - ext4 /dev/sdb rw\n");
        assert_eq!(of(STATUS, &above), ["ProtectSystem=strict"]);
        let shown = MOUNTS.replace("/home rw - tmpfs", "/home rw - ext4");
        assert_eq!(of(STATUS, &shown), ["ProtectHome=tmpfs"]);
        assert_eq!(of(STATUS, &MOUNTS.replace(" /dev ", " /x ")), ["PrivateDevices=yes"]);
        if Path::new("/dev/kmsg").exists() {
            assert_eq!(lacking(STATUS, MOUNTS, Path::new("/dev")), ["PrivateDevices=yes"]);
        }
    }
}
