//! The standard streams of a container: containerd's shim opens FIFOs, and what goes through them is carried
//! between these and the streams of the command.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use tokio::sync::oneshot;

/// Our ends of the FIFOs.
#[derive(Debug)]
pub(super) struct Ends {
    input: OwnedFd,
    output: [OwnedFd; 2],
}

impl Ends {
    /// Opens them. Nobody waits: the other ends are opened later.
    pub(super) fn open([input, output, error]: &[PathBuf; 3]) -> io::Result<Self> {
        let open = |path: &Path, how: OFlags| {
            let flags = how | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOFOLLOW;
            openat(CWD, path, flags, Mode::empty())
        };
        Ok(Self {
            // To write alone would fail as long as nobody reads.
            input: open(input, OFlags::RDWR)?,
            output: [open(output, OFlags::RDONLY)?, open(error, OFlags::RDONLY)?],
        })
    }
}

/// What carries the streams.
#[derive(Debug)]
pub(super) struct Pumps {
    output: [JoinHandle<()>; 2],
}

/// How long whoever reads the output has for the rest of it.
const REST: Duration = Duration::from_secs(5);

impl Pumps {
    /// Begins to carry. The receiver learns that standard input has come to its end.
    pub(super) fn start(ends: Ends, streams: [OwnedFd; 3]) -> (Self, oneshot::Receiver<()>) {
        let (over, ended) = oneshot::channel();
        let [input, output, error] = streams;
        let to = ends.input;
        // It ends with this process: nobody else knows when the input does.
        std::thread::spawn(move || {
            carry(input.as_fd(), to.as_fd());
            let _ = over.send(());
        });
        let carried = |(from, to): (OwnedFd, OwnedFd)| {
            std::thread::spawn(move || carry(from.as_fd(), to.as_fd()))
        };
        let [from_output, from_error] = ends.output;
        let output = [carried((from_output, output)), carried((from_error, error))];
        (Self { output }, ended)
    }

    /// Waits until all that was written is carried: the shim has closed its ends.
    pub(super) fn finish(self) {
        let until = Instant::now() + REST;
        while self.output.iter().any(|pump| !pump.is_finished()) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Carries bytes until the end, or until nobody takes them.
fn carry(from: BorrowedFd<'_>, to: BorrowedFd<'_>) {
    let mut buffer = vec![0; 1 << 16];
    while let Some(count) = read(from, &mut buffer) {
        let mut rest = buffer.get(..count).unwrap_or_default();
        while !rest.is_empty() {
            match rustix::io::write(to, rest) {
                Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    let _ = poll(&mut [PollFd::from_borrowed_fd(to, PollFlags::OUT)], None);
                }
                // Whoever writes learns it by a signal; whoever wrote into a FIFO does not, and goes on.
                Err(_) => break,
            }
        }
    }
}

/// Waits for bytes; `None` at the end. A FIFO that nobody has opened for writing yet has not ended.
fn read(from: BorrowedFd<'_>, buffer: &mut [u8]) -> Option<usize> {
    loop {
        match poll(&mut [PollFd::from_borrowed_fd(from, PollFlags::IN)], None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => return None,
        }
        match rustix::io::read(from, &mut *buffer) {
            Ok(0) => return None,
            Ok(count) => return Some(count),
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(_) => return None,
        }
    }
}
