//! The protections by name, so that each can be told, tested, and shown to be needed.

use std::fmt;

/// One protection of the native driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protection {
    /// A user namespace: ids and capabilities end at its border.
    UserNamespace,
    /// A pid namespace: other processes do not exist; all die with process 1.
    PidNamespace,
    /// A network namespace with loopback only (unless the host's network is asked for).
    NetworkNamespace,
    /// System V and POSIX message queues, semaphores and shared memory of its own.
    IpcNamespace,
    /// A host name of its own.
    UtsNamespace,
    /// The cgroup tree above is not shown.
    CgroupNamespace,
    /// The host's files are read-only.
    ReadOnlyRoot,
    /// `/tmp`, `/var/tmp`, `/run` and `/dev/shm` of its own.
    PrivateTemporary,
    /// A `/dev` with harmless devices only.
    PrivateDevices,
    /// A read-only `/proc` that shows the sandbox's processes only.
    PrivateProc,
    /// Parts of `/proc` and `/sys` that tell about the host or its kernel are empty.
    MaskedKernelFiles,
    /// Secrets in the home folder are empty.
    HiddenSecrets,
    /// pivot_root: the old root is gone, not merely out of sight.
    PivotRoot,
    /// All capabilities are dropped, from the bounding set too.
    NoCapabilities,
    /// `no_new_privs`: set-user-id programs gain nothing.
    NoNewPrivileges,
    /// A seccomp allow-list.
    Seccomp,
    /// Landlock: writes only below the writable places; no signals and abstract sockets out.
    Landlock,
    /// Descriptors above standard error are closed.
    ClosedDescriptors,
    /// Processes are bounded in number even when nobody asked for a limit.
    ProcessCeiling,
    /// The kernel ends the sandbox's processes first when memory runs out.
    FirstToBeKilled,
    /// The sandbox dies with its launcher.
    DiesWithLauncher,
    /// Process 1 cannot be traced or read by the command.
    OpaqueInit,
}

impl Protection {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 22] = [
        Self::UserNamespace,
        Self::PidNamespace,
        Self::NetworkNamespace,
        Self::IpcNamespace,
        Self::UtsNamespace,
        Self::CgroupNamespace,
        Self::ReadOnlyRoot,
        Self::PrivateTemporary,
        Self::PrivateDevices,
        Self::PrivateProc,
        Self::MaskedKernelFiles,
        Self::HiddenSecrets,
        Self::PivotRoot,
        Self::NoCapabilities,
        Self::NoNewPrivileges,
        Self::Seccomp,
        Self::Landlock,
        Self::ClosedDescriptors,
        Self::ProcessCeiling,
        Self::FirstToBeKilled,
        Self::DiesWithLauncher,
        Self::OpaqueInit,
    ];

    /// Its name in reports.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::UserNamespace => "user-namespace",
            Self::PidNamespace => "pid-namespace",
            Self::NetworkNamespace => "network-namespace",
            Self::IpcNamespace => "ipc-namespace",
            Self::UtsNamespace => "uts-namespace",
            Self::CgroupNamespace => "cgroup-namespace",
            Self::ReadOnlyRoot => "read-only-root",
            Self::PrivateTemporary => "private-temporary",
            Self::PrivateDevices => "private-devices",
            Self::PrivateProc => "private-proc",
            Self::MaskedKernelFiles => "masked-kernel-files",
            Self::HiddenSecrets => "hidden-secrets",
            Self::PivotRoot => "pivot-root",
            Self::NoCapabilities => "no-capabilities",
            Self::NoNewPrivileges => "no-new-privs",
            Self::Seccomp => "seccomp",
            Self::Landlock => "landlock",
            Self::ClosedDescriptors => "closed-descriptors",
            Self::ProcessCeiling => "process-ceiling",
            Self::FirstToBeKilled => "first-to-be-killed",
            Self::DiesWithLauncher => "dies-with-launcher",
            Self::OpaqueInit => "opaque-init",
        }
    }

    fn bit(self) -> u32 {
        1 << self as u32
    }
}

impl fmt::Display for Protection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A set of protections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Protections(u32);

impl Protections {
    /// Every one of them.
    #[must_use]
    pub fn all() -> Self {
        Self(Protection::ALL.iter().fold(0, |bits, p| bits | p.bit()))
    }

    /// None of them.
    pub(crate) fn none() -> Self {
        Self(0)
    }

    /// The set with `protection`.
    pub(crate) fn with(self, protection: Protection) -> Self {
        Self(self.0 | protection.bit())
    }

    /// What is in either of them.
    pub(super) fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The set without `protection`. Tests use it to show that an attack succeeds without it.
    #[must_use]
    pub fn without(self, protection: Protection) -> Self {
        Self(self.0 & !protection.bit())
    }

    /// Whether `protection` is in the set.
    #[must_use]
    pub fn has(self, protection: Protection) -> bool {
        self.0 & protection.bit() != 0
    }

    /// Its members.
    pub fn iter(self) -> impl Iterator<Item = Protection> {
        Protection::ALL.into_iter().filter(move |p| self.has(*p))
    }

    /// As a number, to be sent between the driver's processes.
    #[must_use]
    pub(crate) fn bits(self) -> u32 {
        self.0
    }

    pub(crate) fn from_bits(bits: u32) -> Self {
        Self(bits & Self::all().0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_protection_can_be_taken_out() {
        for protection in Protection::ALL {
            let rest = Protections::all().without(protection);
            assert!(!rest.has(protection));
            assert_eq!(rest.iter().count(), Protection::ALL.len() - 1);
        }
    }
}
