//! What launcher and process 1 tell each other, one datagram a message.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use ctrlz_sys::usage::ChildrenUsage;
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use super::task::Task;
use ctrlz_sys::passing::{receive_with, send_with};

/// From the launcher to process 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// The id maps are written: go on.
    Build,
    /// Start the command.
    Start,
    /// Send this signal to the command.
    Signal(i32),
    /// Continue a stopped command.
    Continue,
    /// Ask all processes to end (`SIGTERM`).
    Terminate,
}

/// From process 1 to the launcher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Report {
    /// A step of the set-up failed.
    SetupFailed { errno: i32, step: String },
    /// The command could not be executed.
    ExecFailed { errno: i32 },
    /// The command runs under these protections.
    Started { protections: u32 },
    /// The command was stopped by this signal.
    Stopped { signal: i32 },
    /// The command ended.
    Ended(Ended),
}

/// The end of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ended {
    /// Its wait status.
    pub(super) status: i32,
    /// What its network counted.
    pub(super) network_attempts: u32,
    /// No process is left in the sandbox but process 1, which does nothing more.
    pub(super) alone: bool,
    /// Processes and threads that were begun.
    pub(super) processes: u32,
    /// What the command and its descendants used, as far as they were waited for.
    pub(super) usage: ChildrenUsage,
}

/// One end of the channel.
#[derive(Debug)]
pub(crate) struct Channel(OwnedFd);

impl From<OwnedFd> for Channel {
    /// The socket is a connected one of the kind `SOCK_SEQPACKET`.
    fn from(socket: OwnedFd) -> Self {
        Self(socket)
    }
}

impl From<Channel> for OwnedFd {
    fn from(channel: Channel) -> Self {
        channel.0
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

pub(super) fn channel() -> io::Result<(Channel, Channel)> {
    let (a, b) = rustix::net::socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )?;
    Ok((Channel(a), Channel(b)))
}

/// A tag, two numbers and a text.
type Message = (u8, i32, u32, Vec<u8>);

/// Descriptors that come with a task.
#[derive(Debug)]
pub(super) struct Along {
    /// Standard streams.
    pub(super) streams: Option<[OwnedFd; 3]>,
    /// The program to execute.
    pub(super) program: Option<OwnedFd>,
    /// What that program is handed.
    pub(super) handed: Option<OwnedFd>,
}

impl Along {
    fn of(mut descriptors: Vec<OwnedFd>) -> Self {
        // Streams come by three.
        let handed = if descriptors.len() % 3 == 2 { descriptors.pop() } else { None };
        let program = if descriptors.len() % 3 == 1 { descriptors.pop() } else { None };
        Self { streams: descriptors.try_into().ok(), program, handed }
    }
}

const MAX: usize = 1024;

/// How much of a task goes into one datagram.
const PART: usize = 1 << 15;

impl Channel {
    fn send(&self, tag: u8, a: i32, b: u32, text: &[u8]) -> io::Result<()> {
        let mut message = Vec::with_capacity(9 + text.len());
        message.push(tag);
        message.extend_from_slice(&a.to_ne_bytes());
        message.extend_from_slice(&b.to_ne_bytes());
        message.extend_from_slice(text.get(..text.len().min(MAX - 9)).unwrap_or_default());
        rustix::net::send(&self.0, &message, SendFlags::NOSIGNAL)?;
        Ok(())
    }

    /// `None` when the other end is closed, or when nothing waits and `wait` is false.
    fn receive(&self, wait: bool) -> io::Result<Option<Message>> {
        let mut buffer = [0; MAX];
        let flags = if wait { RecvFlags::empty() } else { RecvFlags::DONTWAIT };
        let length = loop {
            match rustix::net::recv(&self.0, &mut buffer, flags) {
                Ok((length, _)) => break length,
                // Told once when the other end closed with something unread; what it sent before
                // that is still here.
                Err(Errno::INTR | Errno::CONNRESET) => {}
                Err(Errno::AGAIN) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        };
        let Some((header, text)) = buffer.get(..length).and_then(|m| m.split_at_checked(9)) else {
            return Ok(None);
        };
        let [tag, a0, a1, a2, a3, b0, b1, b2, b3] = header else { return Ok(None) };
        let a = i32::from_ne_bytes([*a0, *a1, *a2, *a3]);
        let b = u32::from_ne_bytes([*b0, *b1, *b2, *b3]);
        Ok(Some((*tag, a, b, text.to_vec())))
    }

    pub(super) fn order(&self, order: Order) -> io::Result<()> {
        match order {
            Order::Build => self.send(1, 0, 0, &[]),
            Order::Start => self.send(2, 0, 0, &[]),
            Order::Signal(signal) => self.send(3, signal, 0, &[]),
            Order::Continue => self.send(4, 0, 0, &[]),
            Order::Terminate => self.send(5, 0, 0, &[]),
        }
    }

    /// The next order; `None` when the launcher is gone, or nothing waits and `wait` is false.
    pub(super) fn next_order(&self, wait: bool) -> io::Result<Option<Order>> {
        Ok(self.receive(wait)?.and_then(|(tag, a, _, _)| match tag {
            1 => Some(Order::Build),
            2 => Some(Order::Start),
            3 => Some(Order::Signal(a)),
            4 => Some(Order::Continue),
            5 => Some(Order::Terminate),
            _ => None,
        }))
    }

    /// Sends what process 1 is to do: with three standard streams for it, when those of its beginning are
    /// not the ones, and the program, when that is named by a descriptor, with what it is handed.
    pub(super) fn task(
        &self,
        task: &Task,
        streams: &[BorrowedFd<'_>],
        (program, handed): (Option<BorrowedFd<'_>>, Option<BorrowedFd<'_>>),
    ) -> io::Result<()> {
        let bytes = task.to_bytes();
        let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
        let descriptors: Vec<_> = streams.iter().copied().chain(program).chain(handed).collect();
        send_with(self.as_fd(), &length.to_ne_bytes(), &descriptors)?;
        for part in bytes.chunks(PART) {
            rustix::net::send(&self.0, part, SendFlags::NOSIGNAL)?;
        }
        Ok(())
    }

    /// Waits for the task and what comes along; `None` when the launcher is gone.
    pub(super) fn next_task(&self) -> io::Result<Option<(Task, Along)>> {
        let mut length = [0; 4];
        let (count, descriptors) = receive_with(self.as_fd(), &mut length)?;
        if count < length.len() {
            return Ok(None);
        }
        let length = u32::from_ne_bytes(length);
        let mut bytes = vec![0; length as usize];
        for part in bytes.chunks_mut(PART) {
            let read = || rustix::net::recv(&self.0, &mut *part, RecvFlags::empty());
            if rustix::io::retry_on_intr(read)?.1 != part.len() {
                return Ok(None);
            }
        }
        Ok(Task::from_bytes(&bytes).map(|task| (task, Along::of(descriptors))))
    }

    pub(super) fn report(&self, report: &Report) -> io::Result<()> {
        match report {
            Report::SetupFailed { errno, step } => self.send(11, *errno, 0, step.as_bytes()),
            Report::ExecFailed { errno } => self.send(12, *errno, 0, &[]),
            Report::Started { protections } => self.send(13, 0, *protections, &[]),
            Report::Stopped { signal } => self.send(14, *signal, 0, &[]),
            Report::Ended(ended) => {
                let micros = |time: Duration| time.as_micros().try_into().unwrap_or(u64::MAX);
                let usage = ended.usage;
                let numbers: [u64; 5] = [
                    ended.alone.into(),
                    ended.processes.into(),
                    micros(usage.user),
                    micros(usage.system),
                    usage.peak_resident,
                ];
                let numbers = numbers.map(u64::to_ne_bytes);
                self.send(15, ended.status, ended.network_attempts, numbers.as_flattened())
            }
        }
    }

    /// The next report; `None` when process 1 is gone, or nothing waits and `wait` is false.
    pub(super) fn next_report(&self, wait: bool) -> io::Result<Option<Report>> {
        Ok(self.receive(wait)?.and_then(|(tag, a, b, text)| match tag {
            11 => Some(Report::SetupFailed {
                errno: a,
                step: String::from_utf8_lossy(&text).into_owned(),
            }),
            12 => Some(Report::ExecFailed { errno: a }),
            13 => Some(Report::Started { protections: b }),
            14 => Some(Report::Stopped { signal: a }),
            15 => {
                let (numbers, _) = text.as_chunks();
                let [alone, processes, user, system, peak_resident] = *numbers else {
                    return None;
                };
                let time = |micros| Duration::from_micros(u64::from_ne_bytes(micros));
                let usage = ChildrenUsage {
                    user: time(user),
                    system: time(system),
                    peak_resident: u64::from_ne_bytes(peak_resident),
                };
                let alone = u64::from_ne_bytes(alone) == 1;
                let processes = u64::from_ne_bytes(processes).try_into().unwrap_or(u32::MAX);
                let ended = Ended { status: a, network_attempts: b, alone, processes, usage };
                Some(Report::Ended(ended))
            }
            _ => None,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_arrive_as_sent() {
        let (a, b) = channel().expect("socketpair");
        for order in [Order::Build, Order::Signal(15), Order::Terminate] {
            a.order(order).expect("send");
            assert_eq!(b.next_order(true).expect("receive"), Some(order));
        }
        for report in [
            Report::SetupFailed { errno: 13, step: "mount /proc".to_owned() },
            Report::Ended(Ended {
                status: -7,
                network_attempts: 3,
                alone: true,
                processes: 9,
                usage: ChildrenUsage {
                    user: Duration::from_micros(4),
                    system: Duration::from_micros(5),
                    peak_resident: 6,
                },
            }),
        ] {
            b.report(&report).expect("send");
            assert_eq!(a.next_report(true).expect("receive"), Some(report));
        }
        assert_eq!(a.next_report(false).expect("empty"), None);
        b.report(&Report::ExecFailed { errno: 2 }).expect("send");
        a.order(Order::Start).expect("send what is never read");
        drop(b);
        let last = a.next_report(false).expect("receive");
        assert_eq!(last, Some(Report::ExecFailed { errno: 2 }));
        assert_eq!(a.next_report(true).expect("closed"), None);
    }
}
