//! Which ids exist inside: user_namespaces(7), "User and group ID mappings".

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::Pid;

use super::delegate::Ids;
use super::inside::Outlook;
use super::whole;

/// How ids inside map to ids of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Identity {
    /// Every id that exists here exists inside, as itself. Only root can write such a map.
    All,
    /// The user's own id and no other.
    Own,
    /// The user is root inside; ids from 1 up are the user's subordinate ids (subuid(5)).
    Root(Option<Subordinate>),
}

/// Who a command is in a user namespace below that of process 1, and the ids of that.
#[derive(Debug)]
pub(super) struct Inside {
    pub(super) user: u32,
    pub(super) group: u32,
    pub(super) users: Vec<Ids>,
    pub(super) groups: Vec<Ids>,
}

/// The ranges of subordinate ids that the system administrator gave to a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Subordinate {
    uid_start: u32,
    uid_count: u32,
    gid_start: u32,
    gid_count: u32,
}

impl Identity {
    /// The map for this process's user. `as_root` asks that the user be root inside, as package
    /// managers need it.
    pub(super) fn choose(as_root: bool) -> Self {
        if rustix::process::geteuid().is_root() {
            Self::All
        } else if as_root {
            Self::Root(Subordinate::of_this_user())
        } else {
            Self::Own
        }
    }

    /// The map of a process 1 with that outlook.
    pub(super) fn of(outlook: Outlook) -> Self {
        match Self::choose(!outlook.host_root) {
            // Who makes containers is root, and so is who runs in them: runtimes want that id to exist.
            Self::Own if outlook.delegated => Self::Root(None),
            identity => identity,
        }
    }

    /// Who the command is in a user namespace below that of process 1.
    pub(super) fn inside(&self) -> io::Result<Inside> {
        let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
        let own = Ids { inside: 0, outside: 0, count: 1 };
        let more = |count| Ids { inside: 1, outside: 1, count };
        Ok(match self {
            Self::All => Inside {
                user: user.as_raw(),
                group: group.as_raw(),
                users: ranges(&whole::text("/proc/self/uid_map")?),
                groups: ranges(&whole::text("/proc/self/gid_map")?),
            },
            Self::Root(Some(range)) => Inside {
                user: 0,
                group: 0,
                users: vec![own, more(range.uid_count)],
                groups: vec![own, more(range.gid_count)],
            },
            Self::Root(None) | Self::Own => {
                Inside { user: 0, group: 0, users: vec![own], groups: vec![own] }
            }
        })
    }

    /// Whether process 1 can write the map itself. Otherwise the launcher must.
    pub(super) fn is_written_inside(&self) -> bool {
        matches!(self, Self::Own | Self::Root(None))
    }

    /// Writes the map from inside the new namespace. `uid` and `gid` are those outside.
    pub(super) fn write_inside(&self, uid: u32, gid: u32) -> io::Result<()> {
        let inner = |id| if matches!(self, Self::Own) { id } else { 0 };
        // Without a privileged helper the kernel wants setgroups(2) given up first.
        fs::write("/proc/self/setgroups", "deny")?;
        fs::write("/proc/self/uid_map", format!("{} {uid} 1", inner(uid)))?;
        fs::write("/proc/self/gid_map", format!("{} {gid} 1", inner(gid)))
    }

    /// Writes the map of all ids for the process whose /proc directory this is.
    pub(super) fn write_all(directory: &str) -> io::Result<()> {
        for kind in ["uid_map", "gid_map"] {
            let own = whole::text(format!("/proc/self/{kind}"))?;
            fs::write(format!("{directory}/{kind}"), identity_of(&own))?;
        }
        Ok(())
    }

    /// Writes the map of `child` from the launcher.
    pub(super) fn write_outside(&self, child: Pid) -> io::Result<()> {
        match self {
            Self::All => Self::write_all(&format!("/proc/{child}")),
            Self::Root(Some(range)) => {
                let uid = rustix::process::geteuid().as_raw();
                let gid = rustix::process::getegid().as_raw();
                run_map_tool("newuidmap", child, uid, range.uid_start, range.uid_count)?;
                run_map_tool("newgidmap", child, gid, range.gid_start, range.gid_count)
            }
            Self::Own | Self::Root(None) => Ok(()),
        }
    }
}

/// Every id that a map (as /proc/PID/uid_map shows it) has inside, mapped to itself.
fn identity_of(own: &str) -> String {
    let line = |Ids { inside, count, .. }| format!("{inside} {inside} {count}\n");
    ranges(own).into_iter().map(line).collect()
}

/// The ids that a map has inside, each as itself.
fn ranges(own: &str) -> Vec<Ids> {
    let range = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let (inside, _, count) = (words.next()?, words.next()?, words.next()?);
        let inside = inside.parse().ok()?;
        Some(Ids { inside, outside: inside, count: count.parse().ok()? })
    };
    own.lines().filter_map(range).collect()
}

fn run_map_tool(tool: &str, child: Pid, own: u32, start: u32, count: u32) -> io::Result<()> {
    let output = Command::new(tool)
        .args([child.to_string(), "0".into(), own.to_string(), "1".into()])
        .args(["1".to_owned(), start.to_string(), count.to_string()])
        .stdin(Stdio::null())
        .output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!("{tool}: {}", String::from_utf8_lossy(&output.stderr).trim())))
}

impl Subordinate {
    /// The first range of the user in `/etc/subuid` and `/etc/subgid`, when newuidmap(1) is there
    /// to use it.
    pub(super) fn of_this_user() -> Option<Self> {
        let tool = ["/usr/bin/newuidmap", "/bin/newuidmap", "/usr/sbin/newuidmap"];
        if !tool.iter().any(|path| Path::new(path).exists()) {
            return None;
        }
        let uid = rustix::process::getuid().as_raw();
        let passwd = fs::read_to_string("/etc/passwd").ok()?;
        let name = passwd.lines().find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            (fields.nth(1)? == uid.to_string()).then(|| name.to_owned())
        });
        let (uid_start, uid_count) = first_range("/etc/subuid", name.as_deref(), uid)?;
        let (gid_start, gid_count) = first_range("/etc/subgid", name.as_deref(), uid)?;
        Some(Self { uid_start, uid_count, gid_start, gid_count })
    }
}

fn first_range(file: &str, name: Option<&str>, uid: u32) -> Option<(u32, u32)> {
    fs::read_to_string(file).ok()?.lines().find_map(|line| {
        let mut fields = line.split(':');
        let who = fields.next()?;
        let matches = Some(who) == name || who == uid.to_string();
        let range = (fields.next()?.parse().ok()?, fields.next()?.trim().parse().ok()?);
        matches.then_some(range)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_becomes_its_identity() {
        let own = "         0       1000          1\n         1     100000      65536\n";
        assert_eq!(identity_of(own), "0 0 1\n1 1 65536\n");
    }
}
