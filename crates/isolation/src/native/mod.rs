//! The native driver: Linux namespaces, a private root, no capabilities, seccomp, Landlock,
//! cgroups and rlimits, without a daemon and without root.
//!
//! Three processes take part. The *launcher* is the calling process; it must have one thread. (For a
//! service, which has many, a worker of its [`crate::launcher`] is that process.) It clones *process 1* of the sandbox, as early as it can, and sends it its *task*. Process 1 builds
//! the root, gives up its privileges, starts the *command* and reaps what the command leaves
//! behind. Launcher and process 1 speak over a socket pair.

mod adopt;
mod cgroup;
mod control;
mod delegate;
mod descendants;
mod driver;
mod feed;
mod freeze;
mod identity;
mod inside;
mod keeping;
mod launch;
mod mapped;
mod meter;
pub(crate) mod network_namespace;
mod output;
mod placement;
mod probe;
mod protection;
mod reading;
mod sockets;
mod speaker;
mod survey;
pub(crate) mod syscalls;
mod task;
mod wait;
mod whole;

pub(crate) use adopt::{Contained, adopt, not_held};
pub use cgroup::abandoned_groups;
pub(crate) use control::Channel;
pub(crate) use delegate::{Bundle, Container, Delegate, Delegated, Ids, Keeping};
pub use driver::NativeDriver;
pub(crate) use inside::{
    Apart, KERNEL_FILES, MountTable, Outlook, Place, Provision, Rlimits, ToldApart,
    capability_bits, mount_overlay, mount_workspace, process_1_apart, process_1_of_container,
};
pub(crate) use keeping::keep;
pub(crate) use launch::Asker;
pub use mapped::{has_subordinate_ids, with_subordinate_ids};
pub use probe::{PROBE, Trial, probe, probe_inside};
pub use protection::{Protection, Protections};
pub(crate) use sockets::of_host as listening_sockets;
pub(crate) use speaker::{Speaker, Wanted};
