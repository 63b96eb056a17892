//! Passing on a command's output up to a limit.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};

/// The reading ends of the command's standard output and error.
#[derive(Debug)]
pub(super) struct Limited {
    pub(super) streams: [Option<OwnedFd>; 2],
    left: u64,
}

/// Pipes for a command whose output is limited to `most` bytes: the reading ends, and the ends for
/// the command.
pub(super) fn pipes(most: u64) -> io::Result<(Limited, [OwnedFd; 2])> {
    let (out, out_end) = pipe_with(PipeFlags::CLOEXEC)?;
    let (err, err_end) = pipe_with(PipeFlags::CLOEXEC)?;
    for end in [&out, &err] {
        rustix::fs::fcntl_setfl(end, rustix::fs::OFlags::NONBLOCK)?;
    }
    Ok((Limited { streams: [Some(out), Some(err)], left: most }, [out_end, err_end]))
}

impl Limited {
    /// Passes on what waits in both streams; answers false when the limit is passed. What goes
    /// beyond the limit is dropped.
    pub(super) fn pass_on(&mut self) -> bool {
        let mut buffer = [0; 65_536];
        for (index, slot) in self.streams.iter_mut().enumerate() {
            while let Some(stream) = slot {
                let length = match rustix::io::read(stream.as_fd(), &mut buffer) {
                    Ok(0) => {
                        *slot = None;
                        break;
                    }
                    Ok(length) => length,
                    Err(Errno::INTR) => continue,
                    Err(_) => break,
                };
                let allowed = (length as u64).min(self.left);
                let data = buffer.get(..allowed as usize).unwrap_or_default();
                write_all(
                    if index == 0 { rustix::stdio::stdout() } else { rustix::stdio::stderr() },
                    data,
                );
                self.left -= allowed;
                if (length as u64) > allowed {
                    return false;
                }
            }
        }
        true
    }
}

/// A reader that went away is the command's concern, as without ctrlz; here it is not an error.
fn write_all(stream: impl AsFd, mut data: &[u8]) {
    while !data.is_empty() {
        match rustix::io::write(stream.as_fd(), data) {
            Ok(written) => data = data.get(written..).unwrap_or_default(),
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(_) => return,
        }
    }
}
