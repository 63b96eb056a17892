//! Attacks through the files by which the kernel is configured. They are opened for writing, never
//! written, so that the runs without protection do no harm.

use ctrlz_isolation::native::Protection::{
    CgroupNamespace, Landlock, MaskedKernelFiles, PrivateProc, ReadOnlyRoot,
};

use crate::attack::{Attack, Shown, Test, table};

/// For root the files of /proc/sys are its own, with capabilities or without.
const HOSTS_PROC: Shown = Shown::WithoutAsRoot(&[PrivateProc, Landlock]);
const HOSTS_SYS: Shown = Shown::WithoutAsRoot(&[ReadOnlyRoot, Landlock]);
/// The read-only mount and Landlock each hold it alone.
const PROC_ALONE: &[&[ctrlz_isolation::native::Protection]] = &[&[Landlock]];
const SYS_ALONE: &[&[ctrlz_isolation::native::Protection]] = &[&[Landlock], &[ReadOnlyRoot]];

const TABLE: &[Attack] = &[
    Attack::new(
        "write_core_pattern",
        "os.open('/proc/sys/kernel/core_pattern', os.O_WRONLY); through()",
        HOSTS_PROC,
    )
    .holds_without(PROC_ALONE),
    Attack::new(
        "write_modprobe_path",
        "
for name in ['modprobe', 'hotplug', 'poweroff_cmd', 'usermodehelper/bset']:
    try:
        os.open('/proc/sys/kernel/' + name, os.O_WRONLY)
        through(name)
    except FileNotFoundError:
        pass
    except OSError as error:
        reason = errno.errorcode[error.errno]
refused(reason)
",
        HOSTS_PROC,
    )
    .holds_without(PROC_ALONE),
    Attack::new(
        "write_sysrq_trigger",
        "os.open('/proc/sysrq-trigger', os.O_WRONLY); through()",
        HOSTS_PROC,
    )
    .holds_without(PROC_ALONE)
    .may_be_missing("ENOENT"),
    Attack::new(
        "write_hostname_sysctl",
        "os.open('/proc/sys/kernel/hostname', os.O_WRONLY); through()",
        HOSTS_PROC,
    )
    .holds_without(PROC_ALONE),
    // As an ordinary user there is one file of /proc that can be written: the process's own.
    Attack::new(
        "write_to_proc_of_itself",
        "os.open('/proc/self/comm', os.O_WRONLY); through()",
        Shown::Without(&[PrivateProc, Landlock]),
    )
    .holds_without(PROC_ALONE),
    Attack::new(
        "register_binary_format",
        "
path = '/proc/sys/fs/binfmt_misc'
if not os.path.exists(path + '/register'):
    call('mount', b'binfmt_misc', path.encode(), b'binfmt_misc', 0, None)
os.open(path + '/register', os.O_WRONLY)
through()
",
        // Where it is mounted depends on the host, and mounting it changes the host.
        Shown::InForce(&[PrivateProc, Landlock]),
    ),
    Attack::new(
        "write_uevent_helper",
        "
for path in ['/sys/kernel/uevent_helper', '/sys/kernel/mm/ksm/run', '/sys/power/state',
             '/sys/module/printk/parameters/time', '/sys/kernel/profiling']:
    try:
        os.open(path, os.O_WRONLY)
        through(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        reason = errno.errorcode[error.errno]
refused(reason)
",
        HOSTS_SYS,
    )
    .holds_without(SYS_ALONE),
    Attack::new(
        "write_cgroup_release_agent",
        "
found = False
for top, names, files in os.walk('/sys/fs/cgroup'):
    if 'release_agent' in files:
        found = True
        os.open(top + '/release_agent', os.O_WRONLY)
        through(top)
if not found: os.open('/sys/fs/cgroup/cgroup.procs', os.O_WRONLY)
through()
",
        HOSTS_SYS,
    )
    .holds_without(SYS_ALONE),
    Attack::new(
        "move_to_another_cgroup",
        "
reasons = []
for top, names, files in os.walk('/sys/fs/cgroup'):
    for name in ['cgroup.procs', 'tasks']:
        if name in files:
            try:
                os.open(top + '/' + name, os.O_WRONLY)
                through(top)
            except OSError as error:
                reasons.append(errno.errorcode[error.errno])
refused(set(reasons))
",
        HOSTS_SYS,
    )
    .holds_without(SYS_ALONE),
    Attack::new(
        "make_a_cgroup",
        "
reasons = []
for top, names, files in os.walk('/sys/fs/cgroup'):
    if 'cgroup.procs' in files:
        try:
            os.mkdir(top + '/' + MARKER)
            os.rmdir(top + '/' + MARKER)
            through(top)
        except OSError as error:
            reasons.append(errno.errorcode[error.errno])
refused(set(reasons))
",
        HOSTS_SYS,
    )
    .holds_without(SYS_ALONE),
    // The names of the groups above tell who else runs here.
    Attack::new(
        "see_the_cgroups_above",
        "
paths = [line.rstrip().split(':', 2)[2] for line in open('/proc/self/cgroup')]
above = [path for path in paths if path != '/']
through(above) if above else refused(paths)
",
        Shown::InForce(&[CgroupNamespace]),
    ),
    Attack::new(
        "read_what_proc_tells_about_the_host",
        "
seen = []
for path in ['/proc/acpi', '/proc/bus', '/proc/fs', '/proc/scsi', '/proc/asound',
             '/sys/firmware', '/sys/kernel/debug', '/sys/kernel/security', '/sys/kernel/tracing']:
    try:
        if os.listdir(path): seen.append(path)
    except OSError:
        pass
for path in ['/proc/keys', '/proc/timer_list', '/proc/vmallocinfo', '/proc/slabinfo']:
    try:
        if read(path): seen.append(path)
    except OSError:
        pass
through(seen) if seen else refused('all empty')
",
        Shown::Without(&[MaskedKernelFiles]),
    ),
];

pub(crate) fn tests() -> Vec<Test> {
    table(TABLE)
}
