//! What kind of place a path is.

use serde::{Deserialize, Serialize};

/// What kind of place a path is. The stricter of several wins: a credential in the workspace is
/// a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PathClass {
    /// Below the workspace.
    Workspace,
    /// The workspace itself, or all of it.
    WorkspaceRoot,
    /// The history of a repository in the workspace: `.git` and what is below.
    Repository,
    /// Places for temporary files, and caches.
    Temporary,
    /// Devices without harm: /dev/null, /dev/zero, terminals, standard streams.
    HarmlessDevice,
    /// Outside the workspace, in somebody's home folder.
    HomeFile,
    /// A whole home folder, or all of them.
    Home,
    /// Outside the workspace, and none of the other kinds: /opt/x, /srv/x, /mnt/x, /data.
    Outside,
    /// It depends on what cannot be known beforehand.
    Unknown,
    /// A file or folder of the system: /etc/x, /usr/lib/x, /var/lib/x.
    SystemFile,
    /// A whole tree of the system: /etc, /usr, /bin, /boot, /var, /lib, /home as a folder of others.
    System,
    /// The root of everything, or all that is in it.
    Root,
    /// A disk, a partition, the memory.
    Device,
    /// Switches of the kernel: /proc/sys, /sys, sysrq.
    KernelSwitch,
    /// What is run at start or on a schedule: shell start-up files, cron, units, authorized_keys.
    Startup,
    /// Credentials: keys, tokens, /etc/shadow, cloud configuration, histories, browser profiles.
    Credential,
    /// Who may do what: passwd, sudoers, PAM, ld.so.preload.
    Accounts,
    /// Logs and histories that tell what happened.
    Log,
}
