//! Passing on a command's output up to a limit.
//!
//! Nobody waits here for whoever reads the output: the limits on time and memory hold meanwhile.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::pipe::{PIPE_BUF, PipeFlags, pipe_with};

/// The reading ends of the command's standard output and error.
#[derive(Debug)]
pub(super) struct Limited {
    streams: [Option<OwnedFd>; 2],
    left: u64,
    pending: Option<Pending>,
}

/// What was read, and has not all been written yet.
#[derive(Debug)]
struct Pending {
    /// 0 for standard output, 1 for standard error.
    stream: usize,
    data: Vec<u8>,
    written: usize,
}

/// Pipes for a command whose output is limited to `most` bytes: the reading ends, and the ends for
/// the command.
pub(super) fn pipes(most: u64) -> io::Result<(Limited, [OwnedFd; 2])> {
    match pipes_for(most, [true, true])? {
        (limited, [Some(out_end), Some(err_end)]) => Ok((limited, [out_end, err_end])),
        _ => Err(Errno::BADF.into()),
    }
}

/// The same for those of the two streams that are `wanted`.
pub(super) fn pipes_for(
    most: u64,
    [out, err]: [bool; 2],
) -> io::Result<(Limited, [Option<OwnedFd>; 2])> {
    let pipe = |wanted: bool| -> io::Result<(Option<OwnedFd>, Option<OwnedFd>)> {
        if !wanted {
            return Ok((None, None));
        }
        let (from, to) = pipe_with(PipeFlags::CLOEXEC)?;
        rustix::fs::fcntl_setfl(&from, rustix::fs::OFlags::NONBLOCK)?;
        Ok((Some(from), Some(to)))
    };
    let ((out, out_end), (err, err_end)) = (pipe(out)?, pipe(err)?);
    let limited = Limited { streams: [out, err], left: most, pending: None };
    Ok((limited, [out_end, err_end]))
}

impl Limited {
    /// What to wait for until there is something to pass on.
    pub(super) fn events(&self) -> impl Iterator<Item = PollFd<'_>> {
        let pending = self.pending.as_ref().map(|pending| own_stream(pending.stream));
        let read = self.streams.iter().flatten().filter(move |_| pending.is_none());
        let write = pending.map(|stream| PollFd::from_borrowed_fd(stream, PollFlags::OUT));
        read.map(|stream| PollFd::new(stream, PollFlags::IN)).chain(write)
    }

    /// Passes on what waits in both streams, as far as whoever reads takes it; answers false when the
    /// limit is passed. What goes beyond the limit is dropped.
    pub(super) fn pass_on(&mut self) -> bool {
        loop {
            if let Some(pending) = &mut self.pending {
                if !pending.write() {
                    return true;
                }
                self.pending = None;
            }
            let Some(beyond) = self.read() else { return true };
            if beyond {
                return false;
            }
        }
    }

    /// Reads what waits in one of the streams; answers whether it goes beyond the limit. `None` when
    /// nothing waits.
    fn read(&mut self) -> Option<bool> {
        let mut buffer = [0; 65_536];
        for (index, slot) in self.streams.iter_mut().enumerate() {
            let Some(stream) = slot else { continue };
            match rustix::io::retry_on_intr(|| rustix::io::read(&*stream, &mut buffer)) {
                Ok(0) => *slot = None,
                Ok(length) => {
                    let allowed = (length as u64).min(self.left);
                    let data = buffer.get(..allowed as usize).unwrap_or_default();
                    let pending = Pending { stream: index, data: data.to_vec(), written: 0 };
                    self.pending = (allowed > 0).then_some(pending);
                    self.left -= allowed;
                    return Some(length as u64 > allowed);
                }
                Err(_) => {}
            }
        }
        None
    }

    /// Passes on the rest of a command that has ended. Waits for whoever reads, until the deadline if
    /// there is one, and while `asker` is there; answers as [`Self::pass_on`].
    pub(super) fn finish(
        &mut self,
        asker: Option<BorrowedFd<'_>>,
        deadline: impl Fn(bool) -> Option<Instant>,
    ) -> io::Result<bool> {
        let mut within = true;
        loop {
            within &= self.pass_on();
            let Some(pending) = &self.pending else { return Ok(within) };
            let left = deadline(within).map(|at| at.saturating_duration_since(Instant::now()));
            let left = left.map(|left| Timespec {
                tv_sec: left.as_secs() as i64,
                tv_nsec: left.subsec_nanos().into(),
            });
            let mut waiting =
                vec![PollFd::from_borrowed_fd(own_stream(pending.stream), PollFlags::OUT)];
            // That it is closed is told unasked.
            waiting.extend(asker.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::empty())));
            match poll(&mut waiting, left.as_ref()) {
                Ok(0) => return Ok(within),
                Ok(_) if waiting.get(1).is_some_and(|fd| !fd.revents().is_empty()) => {
                    return Ok(within);
                }
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn own_stream(index: usize) -> BorrowedFd<'static> {
    if index == 0 { rustix::stdio::stdout() } else { rustix::stdio::stderr() }
}

impl Pending {
    /// Writes what can be written without waiting; answers whether that was all. A reader that went
    /// away is the command's concern, as without ctrlz; here it is not an error.
    fn write(&mut self) -> bool {
        let stream = own_stream(self.stream);
        while let Some(rest) = self.data.get(self.written..).filter(|rest| !rest.is_empty()) {
            if !takes(stream) {
                return false;
            }
            // So much a pipe that is ready takes at once (pipe(7)).
            let part = rest.get(..PIPE_BUF).unwrap_or(rest);
            match rustix::io::write(stream.as_fd(), part) {
                Ok(written) => self.written += written,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return false,
                Err(_) => return true,
            }
        }
        true
    }
}

/// Whether a stream takes something now, or tells that nobody reads it.
fn takes(stream: BorrowedFd<'_>) -> bool {
    let mut ready = [PollFd::from_borrowed_fd(stream, PollFlags::OUT)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    !matches!(poll(&mut ready, Some(&now)), Ok(0))
}
