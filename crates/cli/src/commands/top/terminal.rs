//! The terminal, taken for a while: another screen, keys as they are pressed. It is given back
//! however the command ends.

use std::io::{self, Write as _};
use std::time::{Duration, Instant};

use ctrlz_sys::signal::{self, SignalFd};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::Signal;
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetwinsize, tcsetattr,
};

/// The other screen without a cursor, and the way back.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";

/// What happened while it was waited.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// The time has passed, or the window has another size.
    None,
    /// A signal asks to end, or nobody is there any more.
    End,
    /// A key.
    Other(u8),
}

pub(super) struct Screen {
    before: Termios,
    signals: SignalFd,
}

impl Screen {
    pub(super) fn take() -> io::Result<Self> {
        let before = tcgetattr(rustix::stdio::stdin())?;
        let screen = Self { before, signals: signal::take_all()? };
        screen.enter()?;
        Ok(screen)
    }

    fn enter(&self) -> io::Result<()> {
        let mut raw = self.before.clone();
        // Ctrl-C and Ctrl-Z stay signals.
        raw.local_modes -= LocalModes::ICANON | LocalModes::ECHO;
        raw.special_codes[SpecialCodeIndex::VMIN] = 1;
        raw.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, &raw)?;
        write(ENTER)
    }

    fn leave(&self) {
        // A terminal that is gone needs nothing back.
        let _ = write(LEAVE);
        let _ = tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, &self.before);
    }

    /// Shows lines, cut to the size of the window.
    pub(super) fn show(&mut self, lines: &[String]) -> io::Result<()> {
        let (rows, width) = match tcgetwinsize(rustix::stdio::stdout()) {
            Ok(size) if size.ws_row > 0 && size.ws_col > 0 => {
                (usize::from(size.ws_row), usize::from(size.ws_col))
            }
            _ => (24, 80),
        };
        let mut text = String::from("\x1b[H");
        for (at, line) in lines.iter().take(rows).enumerate() {
            if at > 0 {
                text.push_str("\r\n");
            }
            text.extend(line.chars().take(width));
            text.push_str("\x1b[K");
        }
        text.push_str("\x1b[J");
        write(&text)
    }

    /// Waits for a key for so long.
    pub(super) fn wait(&mut self, most: Duration) -> io::Result<Key> {
        let end = Instant::now() + most.min(Duration::from_secs(86400));
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let timeout = Timespec::try_from(left).map_err(io::Error::other)?;
            let stdin = rustix::stdio::stdin();
            let mut ready =
                [PollFd::new(&stdin, PollFlags::IN), PollFd::new(&self.signals, PollFlags::IN)];
            match poll(&mut ready, Some(&timeout)) {
                Ok(0) => return Ok(Key::None),
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(errno.into()),
            }
            let [key, _] = ready.map(|fd| !fd.revents().is_empty());
            if let Some(key) = self.take_signals()? {
                return Ok(key);
            }
            if key {
                let mut byte = [0];
                return match rustix::io::read(stdin, &mut byte) {
                    Ok(1) => Ok(Key::Other(byte[0])),
                    _ => Ok(Key::End),
                };
            }
        }
    }

    fn take_signals(&mut self) -> io::Result<Option<Key>> {
        let mut found = None;
        while let Some(received) = self.signals.receive()? {
            let is = |signal: Signal| received.signal == signal.as_raw();
            if [Signal::INT, Signal::TERM, Signal::QUIT, Signal::HUP].into_iter().any(is) {
                return Ok(Some(Key::End));
            }
            if is(Signal::TSTP) {
                self.leave();
                signal::stop_by(received.signal);
                self.enter()?;
                found = Some(Key::None);
            }
            if is(Signal::WINCH) {
                found = Some(Key::None);
            }
        }
        Ok(found)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.leave();
    }
}

fn write(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}
