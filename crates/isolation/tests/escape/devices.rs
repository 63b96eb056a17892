//! Attacks through device files.

use ctrlz_isolation::native::Protection::{
    Landlock, MaskedKernelFiles, NoCapabilities, PrivateDevices, UserNamespace,
};

use crate::attack::{Attack, Shown, Test, table};

pub(crate) fn tests() -> Vec<Test> {
    table(TABLE)
}

const TABLE: &[Attack] = &[
    Attack::new(
        "open_disk_of_host",
        "
names = [name for name in os.listdir('/sys/class/block')]
reasons = []
for name in names:
    try:
        os.open('/dev/' + name, os.O_RDONLY)
        through(name)
    except OSError as error:
        if error.errno != errno.ENOENT: reasons.append(errno.errorcode[error.errno])
refused(reasons or 'no such device')
",
        Shown::WithoutAsRoot(&[PrivateDevices]),
    ),
    Attack::new(
        "open_kernel_memory_and_log_devices",
        "
reasons = []
for name in ['mem', 'kmem', 'port', 'kmsg', 'fuse', 'kvm', 'loop-control', 'loop0', 'net/tun',
             'vhost-net', 'uinput', 'console', 'tty0', 'cpu/0/msr']:
    try:
        os.open('/dev/' + name, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
        through(name)
    except OSError as error:
        if error.errno != errno.ENOENT: reasons.append(errno.errorcode[error.errno])
refused(reasons or 'no such device')
",
        Shown::WithoutAsRoot(&[PrivateDevices]),
    ),
    // A node in the workspace would open nothing (its mount has nodev), but its making is refused
    // as well.
    Attack::new(
        "make_device_node_of_disk",
        "
disks = [name for name in os.listdir('/sys/class/block')]
number = [int(n) for n in open('/sys/class/block/%s/dev' % disks[0]).read().split(':')]
os.mknod('disk', 0o060600, os.makedev(*number))
through(number)
",
        Shown::WithoutAsRoot(&[NoCapabilities, UserNamespace]),
    )
    .holds_without(&[&[NoCapabilities], &[UserNamespace]])
    .refused_by("EPERM"),
    Attack::new(
        "open_device_node_in_workspace",
        "
os.mknod('null', 0o020666, os.makedev(1, 3))
os.open('null', os.O_RDONLY)
through()
",
        // The mounts of the sandbox never take devices, so no protection can be left out for it.
        Shown::InForce(&[NoCapabilities, UserNamespace]),
    ),
    Attack::new(
        "read_kernel_memory_image",
        "
for path in ['/proc/kcore', '/proc/kpagecount', '/proc/kpageflags']:
    try:
        if os.read(os.open(path, os.O_RDONLY), 8): through(path)
        reason = 'empty'
    except OSError as error:
        reason = errno.errorcode[error.errno]
refused(reason)
",
        Shown::WithoutAsRoot(&[MaskedKernelFiles, NoCapabilities, UserNamespace]),
    ),
    Attack::new(
        "write_to_device_files_of_host",
        "
reasons = []
for name in ['kmsg', 'loop-control', 'fuse', 'console']:
    try:
        os.open('/dev/' + name, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
        through(name)
    except OSError as error:
        if error.errno != errno.ENOENT: reasons.append(errno.errorcode[error.errno])
refused(reasons or 'no such device')
",
        Shown::WithoutAsRoot(&[PrivateDevices]),
    ),
    Attack::new(
        "list_terminals_of_host",
        "
names = [n for n in os.listdir('/dev/pts') if n.isdigit()]
through(names) if names else refused('none')
",
        Shown::InForce(&[PrivateDevices, Landlock]),
    ),
];
