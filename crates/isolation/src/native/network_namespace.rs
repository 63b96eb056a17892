//! Network namespaces that are made in advance and used again.
//!
//! The kernel needs longer to make and to remove one than for all else of a sandbox together. One that
//! nothing was done in is as good as a new one: a sandbox has no power over it, since it belongs to the
//! user namespace of the host, so that only the traces of sockets can be left there.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use ctrlz_sys::clone::{Namespaces, enter_new};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::inside::bring_up_loopback;
use super::launch::enters_user_namespace_late;
use super::whole;

/// Whether a network namespace that this process makes belongs to no sandbox.
pub(crate) fn stays_with_host() -> bool {
    enters_user_namespace_late()
}

/// Where the kernel counts what happened in the network namespace of the process that reads, from
/// proc_pid_net(5). Whatever is sent is counted, even if it finds no way.
const COUNTERS: [&str; 3] = ["/proc/self/net/dev", "/proc/self/net/snmp", "/proc/self/net/snmp6"];

/// Where it counts the sockets that are there, beside numbers of the whole machine.
const SOCKETS: [&str; 2] = ["/proc/self/net/sockstat", "/proc/self/net/sockstat6"];

/// Those of [`SOCKETS`] that are of this namespace: all sockets, those in use of a protocol, and
/// connections that are remembered after their end.
const OF_NAMESPACE: [&str; 3] = ["used", "inuse", "tw"];

/// A network namespace with loopback alone.
#[derive(Debug)]
pub(crate) struct NetworkNamespace {
    namespace: File,
    /// What the kernel told of it when it was new.
    traces: String,
}

impl NetworkNamespace {
    /// Makes one. This process is in it afterwards, even if that fails.
    pub(crate) fn make() -> io::Result<Self> {
        enter_new(Namespaces { network: true, ..Namespaces::default() })?;
        bring_up_loopback()?;
        Ok(Self { namespace: own()?, traces: traces() })
    }

    /// Whether it is as it was when it was new. The process that asks stays in it.
    pub(crate) fn is_as_new(&self) -> bool {
        enter(self.as_fd()).is_ok() && traces() == self.traces
    }
}

impl AsFd for NetworkNamespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.namespace.as_fd()
    }
}

/// The network namespace that this process is in.
pub(crate) fn own() -> io::Result<File> {
    File::open("/proc/self/ns/net")
}

/// Moves this process there.
pub(crate) fn enter(namespace: BorrowedFd<'_>) -> io::Result<()> {
    Ok(move_into_link_name_space(namespace, Some(LinkNameSpaceType::Network))?)
}

/// All that is known of what happened in the network namespace of this process. What the kernel does
/// not offer is missing each time.
fn traces() -> String {
    let mut all = String::with_capacity(16 << 10);
    for path in COUNTERS {
        all += &whole::text(path).unwrap_or_default();
    }
    for path in SOCKETS {
        all += &of_namespace(&whole::text(path).unwrap_or_default());
    }
    all
}

/// The numbers of this namespace in lines such as `TCP: inuse 0 orphan 0 tw 0 alloc 5 mem 1`.
fn of_namespace(text: &str) -> String {
    let mut found = String::new();
    for line in text.lines() {
        let (protocol, numbers) = line.split_once(": ").unwrap_or_default();
        let mut words = numbers.split(' ');
        while let (Some(name), Some(number)) = (words.next(), words.next()) {
            if OF_NAMESPACE.contains(&name) {
                found += &format!("{protocol} {name} {number}\n");
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_the_whole_machine_are_left_out() {
        let text =
            "sockets: used 3\nTCP: inuse 1 orphan 7 tw 2 alloc 5 mem 1\nUDP: inuse 0 mem 4\n";
        let found = "sockets used 3\nTCP inuse 1\nTCP tw 2\nUDP inuse 0\n";
        assert_eq!(of_namespace(text), found);
        assert_eq!(of_namespace(""), "");
    }
}
