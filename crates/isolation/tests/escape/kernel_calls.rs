//! Attacks by system calls that change the host or open up much of the kernel.
//!
//! Where a call would do harm, its arguments make no sense: with seccomp it fails with `EPERM`,
//! without, the kernel itself finds fault with the arguments, which shows that it looked.

use ctrlz_isolation::native::Protection::{NoCapabilities, Seccomp, UserNamespace, UtsNamespace};

use crate::attack::{Attack, Failure, Shown, Test, table};
use crate::place::Place;

const SECCOMP: Shown = Shown::Without(&[Seccomp]);
/// The kernel asks for capabilities in the sandbox's own user namespace first.
const CAPABLE_INSIDE: Shown = Shown::AsOwner(&[Seccomp, NoCapabilities]);
/// The kernel asks for capabilities in the host's user namespace first.
const CAPABLE: Shown = Shown::WithoutAsRoot(&[Seccomp, NoCapabilities, UserNamespace]);

const fn refused(name: &'static str, script: &'static str, shown: Shown) -> Attack {
    Attack::new(name, script, shown).refused_by("EPERM")
}

const TABLE: &[Attack] = &[
    refused("add_a_kernel_key", "reaches_kernel('add_key', None, None, None, 0, 0)", SECCOMP),
    refused("use_kernel_keyrings", "reaches_kernel('keyctl', 999)", SECCOMP),
    refused("request_a_kernel_key", "reaches_kernel('request_key', None, None, None, 0)", SECCOMP),
    refused("set_up_io_uring", "reaches_kernel('io_uring_setup', 1, None)", SECCOMP),
    refused("load_a_bpf_program", "reaches_kernel('bpf', 0, None, 1 << 20)", SECCOMP),
    refused(
        "open_performance_counters",
        "reaches_kernel('perf_event_open', None, 0, -1, -1, 0)",
        SECCOMP,
    ),
    refused("handle_page_faults", "reaches_kernel('userfaultfd', 0x8001)", SECCOMP),
    refused("watch_the_file_system", "reaches_kernel('fanotify_init', 0x200, 0)", SECCOMP),
    refused("compare_kernel_pointers", "reaches_kernel('kcmp', 0, 0, 99, 0, 0)", SECCOMP),
    refused("move_pages", "reaches_kernel('move_pages', 0, 0, None, None, None, 0)", SECCOMP),
    refused("change_disk_quotas", "reaches_kernel('quotactl', -1, None, 0, None)", SECCOMP),
    refused("set_the_clock", "reaches_kernel('clock_settime', 999, None)", SECCOMP),
    refused("set_the_time_of_day", "reaches_kernel('settimeofday', 1, None)", SECCOMP),
    refused("adjust_the_clock", "reaches_kernel('adjtimex', None)", SECCOMP),
    refused("adjust_a_clock", "reaches_kernel('clock_adjtime', 999, None)", SECCOMP),
    refused("swap_on", "reaches_kernel('swapon', None, -1)", SECCOMP),
    refused("swap_off", "reaches_kernel('swapoff', None)", CAPABLE),
    refused("load_a_module", "reaches_kernel('init_module', None, 0, None)", CAPABLE)
        .may_be_missing("ENOSYS"),
    refused("load_a_module_from_file", "reaches_kernel('finit_module', -1, None, 0)", CAPABLE)
        .may_be_missing("ENOSYS"),
    refused("unload_a_module", "reaches_kernel('delete_module', None, 0)", CAPABLE)
        .may_be_missing("ENOSYS"),
    refused("read_the_kernel_log", "reaches_kernel('syslog', 999, None, 0)", CAPABLE),
    refused("account_processes", "reaches_kernel('acct', 1)", CAPABLE),
    refused("reboot", "reaches_kernel('reboot', 0, 0, 0, None)", CAPABLE_INSIDE),
    // Most kernels answer before they look at the arguments, or have no such call.
    refused(
        "load_another_kernel",
        "reaches_kernel('kexec_load', 0, 0, None, -1)",
        Shown::InForce(&[Seccomp]),
    ),
    refused("guess_a_file_handle", "reaches_kernel('open_by_handle_at', -1, None, 0)", {
        Shown::InForce(&[Seccomp])
    }),
    refused(
        "change_execution_domain",
        "
call('personality', 0x0400000)   # READ_IMPLIES_EXEC
through()
",
        SECCOMP,
    ),
    refused(
        "change_execution_domain_with_odd_bits",
        "
for domain in [0x0100000, 0x2000000, 0x4000000, 0x8000000, 0x00ff, 0x7fffffff]:
    try:
        call('personality', domain)
        through(hex(domain))
    except OSError as error:
        if error.errno != errno.EPERM: raise
raise OSError(errno.EPERM, 'personality')
",
        SECCOMP,
    ),
];

#[cfg(target_arch = "x86_64")]
const TABLE_HERE: &[Attack] = &[
    refused("get_port_privileges", "reaches_kernel('iopl', 99)", SECCOMP).may_be_missing("ENOSYS"),
    refused("get_a_port", "reaches_kernel('ioperm', -1, -1, 1)", SECCOMP).may_be_missing("ENOSYS"),
    refused("change_descriptor_tables", "reaches_kernel('modify_ldt', 0, None, 0)", SECCOMP),
    // The filter judges another architecture's numbers always, so it cannot be left out.
    Attack::new("call_the_kernel_as_32_bit_program", INT_80, Shown::OutsideOfAnySandbox)
        .holds_without(&[&[Seccomp]]),
    // Kernels without x32 answer as if there were no filter, so there is nothing to show.
    Attack::new(
        "call_the_kernel_by_x32_numbers",
        "
X32 = 0x40000000
for number in [39, 165, 101, 272, 512, 521, 547]:
    try:
        through(call(X32 | number, 0, 0, 0, 0))
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.EPERM):
            through('the kernel answers ' + errno.errorcode[error.errno])
refused('no such call')
",
        Shown::InForce(&[Seccomp]),
    ),
    Attack::new("change_a_system_call_while_tracing", TRACER, SECCOMP).refused_by("EPERM"),
];
#[cfg(not(target_arch = "x86_64"))]
const TABLE_HERE: &[Attack] = &[];

/// Executes `int 0x80` with the number of getpid among 32-bit calls.
const INT_80: &str = "
import mmap
child = os.fork()
if child:
    status = os.waitpid(child, 0)[1]
    if os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0: through('it ran')
    refused('status %d' % status)
# push rbx; mov eax, 20 (getpid); int 0x80; pop rbx; ret
code = bytes([0x53, 0xb8, 20, 0, 0, 0, 0xcd, 0x80, 0x5b, 0xc3])
page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
page.write(code)
function = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
os._exit(0 if function() == os.getpid() else 1)
";

/// A tracer replaces getpid by add_key between the child's call and the kernel's look at it.
const TRACER: &str = "
TRACEME, SYSCALL, GETREGS, SETREGS = 0, 24, 12, 13
libc.ptrace.restype = ctypes.c_long
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
child = os.fork()
if child == 0:
    libc.ptrace(TRACEME, 0, None, None)
    os.kill(os.getpid(), signal.SIGSTOP)
    while True: libc.syscall(SYS['getpid'])
os.waitpid(child, 0)
registers = (ctypes.c_ulonglong * 27)()
RAX, ORIG_RAX, ARGUMENTS = 10, 15, [14, 13, 12, 7, 9]
for _ in range(1000):
    libc.ptrace(SYSCALL, child, None, None)
    os.waitpid(child, 0)
    libc.ptrace(GETREGS, child, None, registers)
    if registers[ORIG_RAX] == SYS['getpid']: break
registers[ORIG_RAX] = SYS['add_key']
for index in ARGUMENTS: registers[index] = 0
libc.ptrace(SETREGS, child, None, registers)
libc.ptrace(SYSCALL, child, None, None)
os.waitpid(child, 0)
libc.ptrace(GETREGS, child, None, registers)
result = ctypes.c_longlong(registers[RAX]).value
os.kill(child, signal.SIGKILL)
if result == -errno.EFAULT: through('the kernel answers EFAULT')
refused(errno.errorcode.get(-result, result))
";

pub(crate) fn tests() -> Vec<Test> {
    let mut tests = table(TABLE);
    tests.extend(table(TABLE_HERE));
    tests.push(Test::new("set_the_host_name", host_name));
    tests
}

/// A name of its own is allowed where the capability is kept, the host's never changes. The script
/// looks first whether it has a UTS namespace of its own.
fn host_name(place: &Place) -> Result<(), Failure> {
    let own = std::fs::read_link("/proc/self/ns/uts")?;
    let script = &format!(
        "
own = os.readlink('/proc/self/ns/uts') == {:?}
if own and os.readlink('/proc/self/ns/user') == {:?}: through('this would be the host')
call('sethostname', b'attacked', 8)
through(os.uname().nodename)
",
        own.display().to_string(),
        std::fs::read_link("/proc/self/ns/user")?.display().to_string()
    );
    let before = rustix::system::uname().nodename().to_owned();
    let run = place.python(script).run()?;
    run.must_be_refused()?;
    run.must_enforce(&[UtsNamespace])?;
    // Without a UTS namespace the user namespace holds it.
    let open = [Seccomp, NoCapabilities, UtsNamespace];
    place.python(script).without(&open).run()?.must_be_refused()?;
    let mut trial = place.python(script).without(&[Seccomp, NoCapabilities]);
    if crate::attack::is_root() {
        trial = trial.without(&[UserNamespace]);
    }
    trial.run()?.must_get_through()?;
    match rustix::system::uname().nodename() == before.as_c_str() {
        true => Ok(()),
        false => Err(Failure::Failed("HOLE: the host has another name".to_owned())),
    }
}
