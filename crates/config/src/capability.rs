//! Kernel capabilities by name.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::error::quoted;

/// All capabilities of capabilities(7), without `CAP_`.
const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// A capability that exists. Read from `NET_ADMIN`, `net_admin` or `CAP_NET_ADMIN`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Capability(&'static str);

/// A text that names no capability.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not a capability: write one of capabilities(7), such as NET_BIND_SERVICE{1}")]
pub struct CapabilityError(String, &'static str);

impl Capability {
    /// The kernel's name for it, without `CAP_`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.0
    }
}

impl FromStr for Capability {
    type Err = CapabilityError;
    fn from_str(text: &str) -> Result<Self, CapabilityError> {
        let upper = text.to_ascii_uppercase();
        let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
        NAMES.iter().find(|name| **name == bare).map(|name| Self(name)).ok_or_else(|| {
            let all = if bare == "ALL" { "; all of them must be named one by one" } else { "" };
            CapabilityError(quoted(text), all)
        })
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Serialize for Capability {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_spelling() {
        for text in ["NET_ADMIN", "net_admin", "CAP_NET_ADMIN", "cap_net_admin"] {
            assert_eq!(text.parse::<Capability>().unwrap().name(), "NET_ADMIN", "{text}");
        }
    }

    #[test]
    fn refuses_what_the_kernel_does_not_know() {
        let message = "ROOT".parse::<Capability>().unwrap_err().to_string();
        assert_eq!(
            message,
            "`ROOT` is not a capability: write one of capabilities(7), such as NET_BIND_SERVICE"
        );
        let all = "all".parse::<Capability>().unwrap_err().to_string();
        assert!(all.ends_with("all of them must be named one by one"), "{all}");
    }
}
