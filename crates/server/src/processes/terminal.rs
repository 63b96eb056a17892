//! The service's side of a command's terminal (pty(7)).

use std::io;
use std::os::fd::OwnedFd;

use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{
    InputModes, OptionalActions, SpecialCodeIndex, Winsize, tcgetattr, tcgetwinsize, tcsetattr,
    tcsetwinsize,
};

use crate::port::TerminalSize;

/// A terminal at which the service sits, and the command at the other side.
#[derive(Debug)]
pub(crate) struct Terminal(OwnedFd);

impl Terminal {
    /// Makes one; answers the command's side, too.
    pub(super) fn open(size: TerminalSize) -> io::Result<(Self, OwnedFd)> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let own = openpt(flags)?;
        unlockpt(&own)?;
        let inner = ioctl_tiocgptpeer(&own, flags)?;
        // Characters may have several bytes: what is deleted is one of them, not a byte.
        let mut attributes = tcgetattr(&inner)?;
        attributes.input_modes |= InputModes::IUTF8;
        tcsetattr(&inner, OptionalActions::Now, &attributes)?;
        rustix::io::ioctl_fionbio(&own, true)?;
        let terminal = Self(own);
        terminal.resize(size)?;
        Ok((terminal, inner))
    }

    /// The same side once more, to read what is shown, or to type. Both fail once nobody has the other
    /// side any more.
    pub(super) fn side(&self) -> io::Result<OwnedFd> {
        self.0.try_clone()
    }

    /// Gives it another size, which the programs at it are told by `SIGWINCH`.
    pub(super) fn resize(&self, size: TerminalSize) -> io::Result<()> {
        let TerminalSize { rows, columns } = size;
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        Ok(tcsetwinsize(&self.0, size)?)
    }

    /// Its size.
    pub(super) fn size(&self) -> io::Result<TerminalSize> {
        let size = tcgetwinsize(&self.0)?;
        Ok(TerminalSize { rows: size.ws_row, columns: size.ws_col })
    }

    /// What has to be typed to end the input, as the programs at it have set it: Ctrl-D, most often.
    pub(super) fn end_of_input(&self) -> io::Result<u8> {
        Ok(tcgetattr(&self.0)?.special_codes[SpecialCodeIndex::VEOF])
    }
}
