//! Passing on standard input to a command that must not get the file itself: it would find the file of
//! the host behind its descriptor (`/proc/self/fd/0`), on the host's own mount.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags};
use rustix::fs::{FileType, OFlags, SeekFrom, fcntl_setfl, fstat, seek};
use rustix::io::{Errno, retry_on_intr};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::stdio::stdin;

/// Standard input of this process on its way to the command.
#[derive(Debug)]
pub(super) struct Feed {
    /// `None` once all is passed on, or nobody reads any more.
    sink: Option<OwnedFd>,
    /// The command's end, which tells how much was not read.
    end: OwnedFd,
    /// What was read, and from where on it was not passed on yet.
    pending: (Vec<u8>, usize),
}

/// How much is read at once.
const PART: usize = 1 << 16;

impl Feed {
    /// A feed, and the end for the command.
    pub(super) fn new() -> io::Result<(Self, OwnedFd)> {
        let (end, sink) = pipe_with(PipeFlags::CLOEXEC)?;
        fcntl_setfl(&sink, OFlags::NONBLOCK)?;
        let is_directory = fstat(stdin())
            .is_ok_and(|status| FileType::from_raw_mode(status.st_mode) == FileType::Directory);
        // Nothing can be read from a directory.
        let sink = (!is_directory).then_some(sink);
        let given = end.try_clone()?;
        Ok((Self { sink, end, pending: (Vec::new(), 0) }, given))
    }

    /// What to wait for until more can be passed on.
    pub(super) fn event(&self) -> Option<PollFd<'_>> {
        self.sink.as_ref().map(|sink| PollFd::new(sink, PollFlags::OUT))
    }

    /// Passes on what the command's end takes now.
    pub(super) fn pass_on(&mut self) {
        while let Some(sink) = &self.sink {
            let (data, from) = &mut self.pending;
            let rest = data.get(*from..).unwrap_or_default();
            if rest.is_empty() {
                let mut buffer = vec![0; PART];
                let read = retry_on_intr(|| rustix::io::read(stdin(), &mut *buffer));
                // What cannot be read ends the input, as it does without a sandbox.
                let length = read.unwrap_or(0);
                if length == 0 {
                    self.sink = None;
                    return;
                }
                buffer.truncate(length);
                self.pending = (buffer, 0);
                continue;
            }
            match rustix::io::write(sink.as_fd(), rest) {
                Ok(written) => *from += written,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                Err(_) => self.sink = None,
            }
        }
    }
}

impl Drop for Feed {
    /// Whoever shares the file goes on reading where the command stopped.
    fn drop(&mut self) {
        let in_pipe = rustix::io::ioctl_fionread(&self.end).unwrap_or(0);
        let (data, from) = &self.pending;
        let unread = in_pipe.saturating_add(data.len().saturating_sub(*from) as u64);
        if let Ok(back) = i64::try_from(unread)
            && back > 0
        {
            let _ = seek(stdin(), SeekFrom::Current(-back));
        }
    }
}
