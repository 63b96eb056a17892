//! Starting a program.
//!
//! posix_spawn(3) asks for and sets each of 64 signals, two system calls a signal, which with a
//! seccomp filter on each call takes longer than all the rest.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::process::{Pid, WaitOptions, waitpid};

use crate::call::checked;

/// What the child reads, and where it leaves its errno, in memory that both share.
struct Order {
    program: *const c_char,
    arguments: *const *const c_char,
    environment: *const *const c_char,
    streams: Option<[c_int; 2]>,
    handed: Option<c_int>,
    errno: c_int,
}

/// The number under which a started program finds the descriptor that it was handed, as
/// [`crate::passed::take`] takes it.
const HANDED: c_int = 3;

/// Starts `program` as a child: `arguments` begins with its name, `environment` is all of it,
/// `output` replaces standard output and error, and `handed` is open in it as 3, so that no path in
/// `program` may lead through that number. Which signals are blocked or ignored is inherited, save
/// for SIGPIPE, which is not ignored.
///
/// # Errors
/// As clone(2) and execve(2).
pub fn start(
    program: &CStr,
    arguments: &[CString],
    environment: &[CString],
    output: Option<[BorrowedFd<'_>; 2]>,
    handed: Option<BorrowedFd<'_>>,
) -> io::Result<Pid> {
    let (arguments, environment) = (pointers(arguments), pointers(environment));
    let mut order = Order {
        program: program.as_ptr(),
        arguments: arguments.as_ptr(),
        environment: environment.as_ptr(),
        streams: output.map(|streams| streams.map(|stream| stream.as_raw_fd())),
        handed: handed.map(|fd| fd.as_raw_fd()),
        errno: 0,
    };
    let mut stack = vec![0_u8; 32 << 10];
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    // SAFETY: with CLONE_VFORK this thread stands still until the child has executed the program or
    // ended, so `order`, what it points to and `stack` outlive the child's use of them, and nobody
    // else uses them meanwhile. The end of the stack is passed, which clone aligns.
    let pid = checked(unsafe {
        let end = stack.as_mut_ptr().add(stack.len()).cast();
        libc::c_long::from(libc::clone(child, end, flags, (&raw mut order).cast()))
    })?;
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| io::Error::other("the kernel answered with no process id"))?;
    // SAFETY: a plain read; the child, which shares the memory, may have written it.
    match unsafe { (&raw const order.errno).read_volatile() } {
        0 => Ok(pid),
        errno => {
            let _ = waitpid(Some(pid), WaitOptions::empty());
            Err(io::Error::from_raw_os_error(errno))
        }
    }
}

fn pointers(strings: &[CString]) -> Vec<*const c_char> {
    strings.iter().map(|string| string.as_ptr()).chain([std::ptr::null()]).collect()
}

/// The child, on a stack of its own in the parent's memory: only system calls, no allocation.
extern "C" fn child(order: *mut c_void) -> c_int {
    let order = order.cast::<Order>();
    // SAFETY: `order` is what `start` passed, valid and used by nobody else until the program runs.
    // The structures are plain data for which zeros are valid (SIG_DFL is 0), and the pointers are
    // to arrays of C strings with a null at the end.
    unsafe {
        // Rust ignores it, and what is ignored stays so in a new program.
        let default: libc::sigaction = std::mem::zeroed();
        libc::sigaction(libc::SIGPIPE, &raw const default, std::ptr::null_mut());
        let streams = (*order).streams;
        let redirected = streams.is_none_or(|[out, error]| {
            libc::dup2(out, libc::STDOUT_FILENO) != -1
                && libc::dup2(error, libc::STDERR_FILENO) != -1
        });
        let given = match (*order).handed {
            None => true,
            // What is there already would be closed with the old program.
            Some(HANDED) => libc::fcntl(HANDED, libc::F_SETFD, 0) != -1,
            Some(fd) => libc::dup2(fd, HANDED) != -1,
        };
        if redirected && given {
            libc::execve((*order).program, (*order).arguments, (*order).environment);
        }
        (*order).errno = *libc::__errno_location();
        libc::_exit(127)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    fn texts(words: &[&str]) -> Vec<CString> {
        words.iter().map(|word| CString::new(*word).expect("no NUL")).collect()
    }

    #[test]
    fn runs_a_program_with_arguments_environment_and_streams() {
        let (read, write) = rustix::pipe::pipe().expect("pipe");
        let script = "echo $0 $1 $X; echo error >&2; kill -PIPE $$; echo still here";
        let words = texts(&["name", "-c", script, "zero", "one"]);
        let streams = Some([write.as_fd(), write.as_fd()]);
        let pid = start(c"/bin/sh", &words, &texts(&["X=y z"]), streams, None).expect("start");
        drop(write);
        let text = io::read_to_string(std::fs::File::from(read)).expect("read");
        assert_eq!(text, "zero one y z\nerror\n");
        let (_, status) = waitpid(Some(pid), WaitOptions::empty()).expect("wait").expect("ended");
        assert_eq!(status.terminating_signal(), Some(libc::SIGPIPE), "{status:?}");
    }

    #[test]
    fn a_program_finds_what_it_is_handed() {
        let (read, write) =
            rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).expect("pipe");
        let words = texts(&["sh", "-c", "echo handed >&3"]);
        let pid = start(c"/bin/sh", &words, &[], None, Some(write.as_fd())).expect("start");
        drop(write);
        let text = io::read_to_string(std::fs::File::from(read)).expect("read");
        assert_eq!(text, "handed\n");
        waitpid(Some(pid), WaitOptions::empty()).expect("wait");
    }

    #[test]
    fn tells_why_a_program_cannot_be_executed() {
        for (program, errno) in [(c"/nowhere/x", libc::ENOENT), (c"/etc/passwd", libc::EACCES)] {
            let error = start(program, &texts(&["x"]), &[], None, None).expect_err("refused");
            assert_eq!(error.raw_os_error(), Some(errno));
        }
    }
}
