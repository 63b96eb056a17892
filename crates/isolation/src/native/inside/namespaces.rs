//! Entering the namespaces of the sandbox, all but the pid namespace, which process 1 is born in.
//!
//! The launcher reads its store meanwhile; a network namespace alone takes the kernel longer than
//! all mounts together.

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use ctrlz_core::isolation::Network;
use ctrlz_sys::clone::{Namespaces, enter_new};

use super::network::bring_up_loopback;
use super::user_namespace::UserNamespace;
use super::{Session, Start, Step, StepError, limits, privileges};
use crate::native::control::{Channel, Order};
use crate::native::identity::Identity;
use crate::native::protection::{Protection, Protections};
use crate::native::{network_namespace, sockets};

/// What is in place when the namespaces are entered.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) in_force: Protections,
    /// The user namespace to be entered when the root is.
    pub(super) user: Option<UserNamespace>,
    /// Socket files of the host on which something listens; `None` when the task brings them.
    pub(super) sockets: Option<Vec<PathBuf>>,
}

/// Enters `network` instead of a new network namespace, when there is one. `None` when the launcher is
/// gone.
pub(super) fn enter(
    start: &Start,
    network: Option<OwnedFd>,
    channel: &Channel,
) -> Result<Option<Ready>, StepError> {
    let wanted = start.protections;
    let has_user_namespace = wanted.has(Protection::UserNamespace);
    if has_user_namespace && !start.late_user_namespace {
        if start.identity.is_written_inside() {
            start
                .identity
                .write_inside(start.uid, start.gid)
                .step(|| "write the id maps of the user namespace".into())?;
        } else if channel.next_order(true).ok().flatten() != Some(Order::Build) {
            return Ok(None);
        }
        if let Identity::Root(_) = start.identity {
            privileges::become_root_inside().step(|| "become root inside".into())?;
        }
    }
    // Those of the network namespace that is left next. Whoever begins in advance asks again anyway.
    let asks = start.outlook.host_root && start.session == Session::Launchers;
    let sockets = asks.then(sockets::of_host);
    let own_network =
        wanted.has(Protection::NetworkNamespace) && start.outlook.network == Network::None;
    enter_new(Namespaces {
        mount: true,
        network: own_network && network.is_none(),
        ipc: wanted.has(Protection::IpcNamespace),
        uts: wanted.has(Protection::UtsNamespace),
        cgroup: wanted.has(Protection::CgroupNamespace),
        ..Namespaces::default()
    })
    .step(|| "create namespaces".into())?;
    let enters_late = start.late_user_namespace && !start.outlook.delegated;
    let user = match has_user_namespace && enters_late {
        true => Some(UserNamespace::new().step(|| "create a user namespace".into())?),
        false => None,
    };
    limits::score_for_out_of_memory(wanted);
    let mut in_force = wanted;
    if !limits::lower_process_ceiling(wanted) {
        in_force = in_force.without(Protection::ProcessCeiling);
    }
    if start.outlook.network == Network::Host {
        in_force = in_force.without(Protection::NetworkNamespace);
    } else if own_network {
        match network {
            Some(given) => network_namespace::enter(given.as_fd())
                .step(|| "enter the network namespace".into())?,
            None => bring_up_loopback().step(|| "bring up the loopback interface".into())?,
        }
    }
    Ok(Some(Ready { in_force, user, sockets }))
}
