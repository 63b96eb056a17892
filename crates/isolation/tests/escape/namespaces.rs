//! Attacks by new namespaces, in which a program is root and the kernel trusts it with more.

use ctrlz_isolation::native::Protection::{NoCapabilities, Seccomp};

use crate::attack::{Attack, Shown, Test, table};

const TABLE: &[Attack] = &[
    Attack::new(
        "unshare_a_user_namespace",
        "call('unshare', 0x10000000); through()",
        Shown::Without(&[Seccomp]),
    )
    .refused_by("EPERM")
    .holds_without(&[&[NoCapabilities]]),
    Attack::new(
        "unshare_other_namespaces",
        "
reasons = set()
for flag in [0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x20000000, 0x40000000, 0x80]:
    try:
        call('unshare', flag)
        through(hex(flag))
    except OSError as error:
        reasons.add(errno.errorcode[error.errno])
refused(reasons)
",
        Shown::AsOwner(&[Seccomp, NoCapabilities]),
    )
    .holds_without(&[&[Seccomp], &[NoCapabilities]]),
    Attack::new(
        "clone_a_user_namespace",
        "
child = call('clone', 0x10000000 | signal.SIGCHLD, 0, 0, 0, 0)
if child == 0: os._exit(0)
os.waitpid(child, 0)
through()
",
        Shown::Without(&[Seccomp]),
    )
    .refused_by("EPERM"),
    // seccomp cannot see clone3's flags, so the whole call is unknown.
    Attack::new(
        "clone3_a_user_namespace",
        "
import struct
arguments = struct.pack('11Q', 0x10000000, 0, 0, 0, signal.SIGCHLD, 0, 0, 0, 0, 0, 0)
child = call('clone3', ctypes.create_string_buffer(arguments), 88)
if child == 0: os._exit(0)
os.waitpid(child, 0)
through()
",
        Shown::Without(&[Seccomp]),
    )
    .refused_by("ENOSYS"),
    // Root of a new user namespace may mount.
    Attack::new(
        "gain_capabilities_by_user_namespace",
        "
user, group = os.getuid(), os.getgid()
call('unshare', 0x10000000 | 0x00020000)
try:
    write('/proc/self/setgroups', b'deny')
    write('/proc/self/uid_map', b'0 %d 1' % user)
except OSError:
    pass
capabilities = [line for line in open('/proc/self/status') if line.startswith('CapEff')][0]
through(capabilities) if int(capabilities.split()[1], 16) else refused('none')
",
        Shown::Without(&[Seccomp]),
    )
    .refused_by("EPERM"),
    Attack::new(
        "join_namespace_of_process_1",
        "
import glob
for path in glob.glob('/proc/1/ns/*'):
    try:
        os.open(path, os.O_RDONLY)
    except OSError as error:
        reason = error
reaches_kernel('setns', -1, 0)
",
        Shown::Without(&[Seccomp]),
    )
    .refused_by("EPERM"),
    // The time namespace is set for children by the same call.
    Attack::new(
        "join_namespaces_of_a_process",
        "
process = call('pidfd_open', os.getpid(), 0)
reaches_kernel('setns', process, 0x10000000)
",
        Shown::Without(&[Seccomp]),
    )
    .refused_by("EPERM"),
];

pub(crate) fn tests() -> Vec<Test> {
    table(TABLE)
}
