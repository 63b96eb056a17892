//! Attacks on the user's terminal.

use ctrlz_isolation::native::Protection::Seccomp;

use crate::attack::{Failure, Test};
use crate::place::Place;
use crate::trial::Trial;

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("type_into_the_terminal", |place| {
            on_terminal(place, "fcntl.ioctl(0, termios.TIOCSTI, b'x')")
        }),
        // The kernel looks at 32 bits of the request, a filter could look at 64.
        Test::new("type_into_the_terminal_by_wide_request", |place| {
            let wide = "call('ioctl', 0, termios.TIOCSTI | 1 << 32, ctypes.c_char_p(b'x'))";
            on_terminal(place, wide)
        }),
        Test::new("paste_on_the_console", |place| {
            // A terminal that is no console answers ENOTTY or EINVAL.
            on_terminal(place, "reaches_kernel('ioctl', 0, 0x541C, ctypes.c_char_p(bytes(8)))")
        }),
    ]
}

/// Runs an attack on a new pseudo terminal that is the controlling one.
fn on_terminal(place: &Place, attempt: &str) -> Result<(), Failure> {
    if std::fs::read_to_string("/proc/sys/dev/tty/legacy_tiocsti").is_ok_and(|t| t.trim() == "0") {
        return Err(Failure::Skipped("dev.tty.legacy_tiocsti is 0: nobody can type".to_owned()));
    }
    let script = format!(
        "
import fcntl, termios
if not os.isatty(0): through('this is no terminal')
{attempt}
through('typed')
"
    );
    let python = "import os, pty, sys
sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:], stdin_read=lambda _: b'')))";
    let wrapped =
        |trial: Trial<'_>| trial.wrapped_in(&["/usr/bin/python3", "-I", "-c", python]).run();
    wrapped(place.python(&script))?.must_be_refused()?;
    wrapped(place.python(&script).without(&[Seccomp]))?.must_get_through()
}
