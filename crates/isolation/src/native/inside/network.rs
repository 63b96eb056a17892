//! The sandbox's own network: loopback, and a count of what found no way out.

use std::io;
use std::path::Path;

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use crate::native::whole;

pub(in crate::native) fn bring_up_loopback() -> io::Result<()> {
    let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    ctrlz_sys::loopback::bring_up(socket)
}

/// How often something in the network namespace of a process, given by its folder in /proc, wanted to go where no route leads: packets and
/// connections without a route (IPv4 and IPv6), and datagrams to a closed port of loopback, which
/// is where a name server on the host's loopback would be asked.
pub(in crate::native) fn attempts(process: &Path) -> u32 {
    let v4 = whole::text(process.join("net/snmp")).unwrap_or_default();
    let v6 = whole::text(process.join("net/snmp6")).unwrap_or_default();
    counter_in_table(&v4, "Ip:", "OutNoRoutes")
        .saturating_add(counter_in_table(&v4, "Udp:", "NoPorts"))
        .saturating_add(counter_in_list(&v6, "Ip6OutNoRoutes"))
        .saturating_add(counter_in_list(&v6, "Udp6NoPorts"))
}

/// /proc/net/snmp: a line of names, then a line of numbers, both beginning with the protocol.
fn counter_in_table(text: &str, protocol: &str, name: &str) -> u32 {
    let mut lines = text.lines().filter(|line| line.starts_with(protocol));
    let (Some(names), Some(numbers)) = (lines.next(), lines.next()) else { return 0 };
    names
        .split(' ')
        .zip(numbers.split(' '))
        .find(|(candidate, _)| *candidate == name)
        .and_then(|(_, number)| number.parse().ok())
        .unwrap_or(0)
}

/// /proc/net/snmp6: a name and a number on each line.
fn counter_in_list(text: &str, name: &str) -> u32 {
    text.lines()
        .filter_map(|line| line.split_once(char::is_whitespace))
        .find(|(candidate, _)| *candidate == name)
        .and_then(|(_, number)| number.trim().parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_counters() {
        let table = "Ip: Forwarding OutNoRoutes\nIp: 1 4\nUdp: InDatagrams NoPorts\nUdp: 0 2\n";
        assert_eq!(counter_in_table(table, "Ip:", "OutNoRoutes"), 4);
        assert_eq!(counter_in_table(table, "Udp:", "NoPorts"), 2);
        assert_eq!(counter_in_table(table, "Tcp:", "NoPorts"), 0);
        assert_eq!(counter_in_list("Ip6InReceives \t0\nIp6OutNoRoutes   7\n", "Ip6OutNoRoutes"), 7);
    }
}
