//! A user namespace that is made in advance, for a process 1 that is root until its mounts are
//! made. The map of all ids can only be written by someone who is outside of it.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use ctrlz_sys::clone::Holder;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::native::identity::Identity;
use crate::native::whole;

/// The namespace, with its ids mapped.
#[derive(Debug)]
pub(super) struct UserNamespace {
    namespace: File,
    /// Ends while the mounts are made, so that nobody waits for it.
    holder: Holder,
}

impl UserNamespace {
    /// Makes one in which every id is itself.
    pub(super) fn new() -> io::Result<Self> {
        let holder = Holder::of_user_namespace()?;
        let directory = format!("/proc/{}", id_in_proc(holder.process())?);
        Identity::write_all(&directory)?;
        let namespace = File::open(format!("{directory}/ns/user"))?;
        holder.end()?;
        Ok(Self { namespace, holder })
    }

    /// Enters it, with all capabilities in it and none outside.
    pub(super) fn enter(self) -> io::Result<()> {
        drop(self.holder);
        Ok(move_into_link_name_space(self.namespace.as_fd(), Some(LinkNameSpaceType::User))?)
    }
}

/// The id of a process in the pid namespace of the /proc that is mounted here, which is not the one
/// that this process lives in (proc_pid_fdinfo(5)).
fn id_in_proc(process: BorrowedFd<'_>) -> io::Result<String> {
    let text = whole::text(format!("/proc/self/fdinfo/{}", process.as_raw_fd()))?;
    let id = text.lines().find_map(|line| line.strip_prefix("Pid:"));
    id.map(|id| id.trim().to_owned())
        .ok_or_else(|| io::Error::other("the process has no id in /proc"))
}
