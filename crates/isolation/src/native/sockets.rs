//! Socket files of the host. Neither a read-only mount nor Landlock before its version 9 keeps a
//! program from connecting to one, and behind it may stand a server with all of the user's power,
//! such as an agent or a container engine. So those that exist are hidden.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink};
use rustix::net::{recv, send, socket_with};

use super::whole;

/// The socket files on which something listens in this network namespace.
pub(crate) fn of_host() -> Vec<PathBuf> {
    let named = asked_for().or_else(|_| {
        // A kernel without the module that answers.
        let table = whole::bytes("/proc/self/net/unix")?;
        io::Result::Ok(paths(&table).map(Path::to_owned).collect())
    });
    let named: Vec<PathBuf> = named.unwrap_or_default();
    let mut found: Vec<PathBuf> =
        named.into_iter().filter_map(|path| fs::canonicalize(path).ok()).collect();
    found.sort_unstable();
    found.dedup();
    found
}

// linux/netlink.h, linux/sock_diag.h, linux/unix_diag.h and net/tcp_states.h; sock_diag(7).
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_DUMP: u16 = 0x300;
const NLMSG_DONE: u16 = 3;
const UDIAG_SHOW_NAME: u32 = 1;
const UNIX_DIAG_NAME: u16 = 0;
const TCP_CLOSE: u32 = 7;
const TCP_LISTEN: u32 = 10;
/// The lengths of the header of a message, and of what comes before the attributes of a socket.
const HEADER: usize = 16;
const SOCKET: usize = 16;

/// Asks the kernel for those that take from whoever comes: what listens, and datagram sockets without a
/// peer. The table of all sockets has several for each command that runs.
fn asked_for() -> io::Result<Vec<PathBuf>> {
    let flags = SocketFlags::CLOEXEC;
    let kernel =
        socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, Some(netlink::SOCK_DIAG))?;
    let length = 40_u32;
    let states = 1 << TCP_CLOSE | 1 << TCP_LISTEN;
    let mut request = Vec::with_capacity(length as usize);
    request.extend(length.to_ne_bytes());
    request.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    request.extend((NLM_F_REQUEST | NLM_F_DUMP).to_ne_bytes());
    request.extend([0; 8]);
    request.extend([AddressFamily::UNIX.as_raw() as u8, 0, 0, 0]);
    for number in [states, 0, UDIAG_SHOW_NAME, 0, 0] {
        request.extend(u32::to_ne_bytes(number));
    }
    send(&kernel, &request, SendFlags::empty())?;
    let mut buffer = vec![0; 32 << 10];
    let mut found = Vec::new();
    loop {
        let (_, count) = recv(&kernel, buffer.as_mut_slice(), RecvFlags::TRUNC)?;
        let messages = buffer.get(..count).ok_or(io::ErrorKind::InvalidData)?;
        if take_names(messages, &mut found).ok_or(io::ErrorKind::InvalidData)? {
            return Ok(found);
        }
    }
}

/// Takes the paths out of what the kernel answered; answers whether that was the end, and `None` for what
/// is no such answer.
fn take_names(mut messages: &[u8], found: &mut Vec<PathBuf>) -> Option<bool> {
    while !messages.is_empty() {
        let length = u32::from_ne_bytes(*messages.first_chunk()?) as usize;
        let kind = u16::from_ne_bytes(*messages.get(4..)?.first_chunk()?);
        let message = messages.get(..length).filter(|message| message.len() >= HEADER)?;
        match kind {
            NLMSG_DONE => return Some(true),
            SOCK_DIAG_BY_FAMILY => {
                let mut attributes = message.get(HEADER + SOCKET..)?;
                while !attributes.is_empty() {
                    let length = u16::from_ne_bytes(*attributes.first_chunk()?).into();
                    let kind = u16::from_ne_bytes(*attributes.get(2..)?.first_chunk()?);
                    let name = attributes.get(4..length)?;
                    // An abstract name begins with a zero.
                    if kind == UNIX_DIAG_NAME && name.first() == Some(&b'/') {
                        let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
                        let name = name.get(..end)?.to_vec();
                        found.push(OsString::from_vec(name).into());
                    }
                    attributes = attributes.get(length.next_multiple_of(4)..).unwrap_or_default();
                }
            }
            _ => return None,
        }
        messages = messages.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Some(false)
}

/// proc_pid_net(5): the eighth column is the path, which abstract sockets begin with `@`.
fn paths(table: &[u8]) -> impl Iterator<Item = &Path> {
    table.split(|byte| *byte == b'\n').filter_map(|line| {
        let start = line.iter().position(|byte| *byte == b'/')?;
        let columns = line.get(..start)?.split(|byte| *byte == b' ').filter(|c| !c.is_empty());
        let path = line.get(start..).filter(|_| columns.count() == 7)?;
        Some(Path::new(OsStr::from_bytes(path)))
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

    use super::*;

    #[test]
    fn the_kernel_tells_of_what_takes_from_anybody() {
        let folder = std::env::temp_dir().join(format!("ctrlz-sockets-{}", std::process::id()));
        fs::create_dir(&folder).expect("make");
        let at = |name: &str| folder.join(name);
        let listener = UnixListener::bind(at("stream")).expect("listen");
        let _datagrams = UnixDatagram::bind(at("datagram")).expect("bind");
        let _accepted = UnixStream::connect(at("stream")).expect("connect");
        let _connection = listener.accept().expect("accept");
        drop(UnixListener::bind(at("gone")).expect("listen"));
        // More than one answer holds.
        let many: Vec<_> = (0..600)
            .map(|number| UnixDatagram::bind(at(&number.to_string())).expect("bind"))
            .collect();
        let ours = |found: Vec<PathBuf>| {
            let mut ours: Vec<PathBuf> =
                found.into_iter().filter(|path| path.starts_with(&folder)).collect();
            ours.sort();
            ours.dedup();
            ours
        };
        let asked = ours(asked_for().expect("the kernel answers"));
        let table = whole::bytes("/proc/self/net/unix").expect("table");
        let listed = ours(paths(&table).map(Path::to_owned).collect());
        fs::remove_dir_all(&folder).expect("remove");
        assert_eq!(asked, listed);
        assert_eq!(asked.len(), many.len() + 2);
        assert!(asked.contains(&at("stream")) && asked.contains(&at("datagram")));
    }

    #[test]
    fn rubbish_is_no_answer() {
        let mut found = Vec::new();
        assert_eq!(take_names(&[0; 64], &mut found), None);
        assert_eq!(take_names(&[255; 64], &mut found), None);
        assert_eq!(take_names(&[1], &mut found), None);
        assert_eq!(take_names(&[], &mut found), Some(false));
        assert!(found.is_empty());
    }

    #[test]
    fn finds_the_paths() {
        let table = b"Num       RefCount Protocol Flags    Type St Inode Path\n\
            000000009c147d70: 00000003 00000000 00000000 0001 03 933177\n\
            0000000062193e31: 00000002 00000000 00010000 0001 01 887669 /home/a b/.docker/x.sock\n\
            0000000062193e32: 00000002 00000000 00010000 0001 01 887670 @/tmp/abstract\n";
        let found: Vec<_> = paths(table).collect();
        assert_eq!(found, [Path::new("/home/a b/.docker/x.sock")]);
    }
}
