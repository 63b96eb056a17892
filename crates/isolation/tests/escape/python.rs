//! What attacks in Python have in common.

use std::process::{Command, Stdio};

use crate::attack::Failure;
use crate::place::Place;

/// The exit code of an attack that got through.
pub(crate) const THROUGH: i32 = 42;
/// The exit code of an attack that was refused.
pub(crate) const REFUSED: i32 = 43;

const INTERPRETER: &str = "/usr/bin/python3";

/// Before every attack. It ends by `through` or `refused`; an `OSError` that nobody catches is a
/// refusal, any other exception a broken test.
pub(crate) const PRELUDE: &str = r#"
import os, sys, errno, ctypes, signal, socket, time
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long

def through(what='done'):
    print('through:', what, flush=True)
    os._exit(42)

def refused(why):
    print('refused:', why, flush=True)
    os._exit(43)

def hook(kind, error, trace):
    if isinstance(error, OSError) and error.errno:
        refused('%s %s' % (errno.errorcode.get(error.errno, error.errno), error.filename or ''))
    sys.__excepthook__(kind, error, trace)
    sys.stderr.flush()
    os._exit(1)
sys.excepthook = hook

def call(name, *arguments):
    """The system call of that name; raises OSError."""
    number = SYS[name] if isinstance(name, str) else name
    plain = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result = libc.syscall(ctypes.c_long(number), *plain)
    if result == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(name))
    return result

def reaches_kernel(name, *arguments):
    """Whether the kernel itself looks at the call, whatever it then answers."""
    try:
        call(name, *arguments)
    except OSError as error:
        if error.errno in (errno.EPERM, errno.ENOSYS):
            raise
        through('the kernel answers ' + errno.errorcode[error.errno])
    through('the kernel does it')

def read(path):
    with open(path, 'rb') as file:
        return file.read(1 << 20)

def write(path, data=b'attacked'):
    """Writes to a file that exists."""
    file = os.open(path, os.O_WRONLY)
    os.write(file, data)
    os.close(file)
"#;

macro_rules! numbers {
    ($($name:ident)*) => {
        [$((concat!("'", stringify!($name), "'"), libc::$name)),*]
    };
}

/// The numbers of this machine's system calls, by their names without `SYS_`.
fn system_calls() -> String {
    let numbers = numbers![
        SYS_acct SYS_add_key SYS_adjtimex SYS_bpf SYS_clock_adjtime SYS_clock_settime SYS_clone
        SYS_clone3 SYS_delete_module SYS_fanotify_init SYS_finit_module SYS_fsconfig SYS_fsmount
        SYS_fsopen SYS_fspick SYS_init_module SYS_io_uring_setup SYS_ioctl SYS_kcmp SYS_keyctl
        SYS_kexec_load SYS_memfd_create SYS_migrate_pages SYS_mount SYS_mount_setattr
        SYS_move_mount SYS_move_pages SYS_name_to_handle_at SYS_open_by_handle_at SYS_open_tree
        SYS_perf_event_open SYS_personality SYS_pidfd_getfd SYS_pidfd_open SYS_pivot_root
        SYS_prlimit64 SYS_process_vm_readv SYS_ptrace SYS_quotactl SYS_reboot SYS_renameat2
        SYS_request_key SYS_setdomainname SYS_sethostname SYS_setns SYS_settimeofday SYS_swapoff
        SYS_swapon SYS_syslog SYS_umount2 SYS_unshare SYS_userfaultfd SYS_getpid
    ];
    #[cfg(target_arch = "x86_64")]
    let more = numbers![SYS_ioperm SYS_iopl SYS_modify_ldt SYS_kexec_file_load SYS_rename];
    #[cfg(not(target_arch = "x86_64"))]
    let more: [(&str, libc::c_long); 0] = [];
    let entries: Vec<String> = numbers
        .iter()
        .chain(&more)
        .map(|(name, number)| format!("{}: {number}", name.replace("SYS_", "")))
        .collect();
    format!("SYS = {{{}}}\n", entries.join(", "))
}

/// The command line of an attack.
pub(crate) fn command(place: &Place, script: &str) -> Vec<String> {
    let text = |path: &std::path::Path| format!("{:?}", path.display().to_string());
    let variables = format!(
        "WORKSPACE = {}\nOUTSIDE = {}\nKEY = {}\nSTORE = {}\nMARKER = {:?}\nSECONDS = 1\n",
        text(&place.workspace),
        text(&place.outside),
        text(&place.key),
        text(&place.store),
        place.marker
    );
    let calls = system_calls();
    let whole = format!(
        "{PRELUDE}{calls}{variables}{script}\nprint('no verdict', flush=True)\nos._exit(1)\n"
    );
    [INTERPRETER, "-I", "-S", "-c"].into_iter().map(str::to_owned).chain([whole]).collect()
}

/// Runs a harmless attack without a sandbox, where it must get through.
pub(crate) fn outside(place: &Place, script: &str) -> Result<(), Failure> {
    let argv = command(place, script);
    let output = Command::new(&argv[0])
        .args(&argv[1..])
        .current_dir(&place.workspace)
        .stdin(Stdio::null())
        .output()?;
    match output.status.code() {
        Some(THROUGH) => Ok(()),
        code => Err(Failure::Failed(format!(
            "outside of a sandbox the attack should get through ({code:?}): {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        ))),
    }
}

/// Whether the interpreter is there.
pub(crate) fn is_there() -> bool {
    std::path::Path::new(INTERPRETER).exists()
}
