//! Attacks on the mounts: uncovering what is hidden, making writable what is not.

use ctrlz_isolation::native::Protection::{
    HiddenSecrets, Landlock, NoCapabilities, PivotRoot, Seccomp, UserNamespace,
};

use crate::attack::{Attack, Shown, Test, table};

/// The three that each forbid to mount.
const MAY_MOUNT: Shown = Shown::AsOwner(&[Seccomp, NoCapabilities, Landlock]);

/// Each of the three alone.
const ONE_OF_THREE: &[&[ctrlz_isolation::native::Protection]] =
    &[&[Seccomp, NoCapabilities], &[Seccomp, Landlock], &[NoCapabilities, Landlock]];

const TABLE: &[Attack] = &[
    Attack::new(
        "remount_root_writable",
        "
MS_REMOUNT, MS_BIND = 32, 4096
mounts = [line.split()[4] for line in open('/proc/self/mountinfo')]
top = max((m for m in mounts if OUTSIDE.startswith(m.rstrip('/') + '/')), key=len).encode()
call('mount', None, top, None, MS_REMOUNT | MS_BIND, None)
write(OUTSIDE + '/file', b'host')
through('writable')
",
        MAY_MOUNT,
    )
    .holds_without(ONE_OF_THREE),
    Attack::new(
        "remount_root_writable_by_mount_setattr",
        "
import struct
RDONLY = 1
attributes = ctypes.create_string_buffer(struct.pack('QQQQ', 0, RDONLY, 0, 0))
mounts = [line.split()[4] for line in open('/proc/self/mountinfo')]
top = max((m for m in mounts if OUTSIDE.startswith(m.rstrip('/') + '/')), key=len).encode()
call('mount_setattr', -100, top, 0, attributes, 32)
write(OUTSIDE + '/file', b'host')
through('writable')
",
        MAY_MOUNT,
    )
    .holds_without(ONE_OF_THREE),
    Attack::new(
        "unmount_the_covers",
        "
call('umount2', os.path.dirname(KEY).encode(), 2)
through('uncovered') if b'private' in read(KEY) else refused('still covered')
",
        MAY_MOUNT,
    )
    .holds_without(ONE_OF_THREE),
    Attack::new(
        "unmount_proc_to_uncover_the_hosts",
        "call('umount2', b'/proc', 2); through()",
        MAY_MOUNT,
    )
    .holds_without(ONE_OF_THREE),
    Attack::new(
        "move_the_covers_away",
        "
MS_MOVE = 8192
os.mkdir('away')
call('mount', os.path.dirname(KEY).encode(), os.path.abspath('away').encode(), None, MS_MOVE, None)
through('moved') if b'private' in read(KEY) else refused('still covered')
",
        MAY_MOUNT,
    )
    .holds_without(ONE_OF_THREE),
    Attack::new(
        "mount_tmpfs_over_etc",
        "call('mount', b'none', b'/etc', b'tmpfs', 0, None); through()",
        MAY_MOUNT,
    )
    .holds_without(ONE_OF_THREE),
    Attack::new(
        "bind_the_store_into_the_workspace",
        "
MS_BIND = 4096
os.mkdir('here')
call('mount', os.path.dirname(STORE).encode(), os.path.abspath('here').encode(), None, MS_BIND, None)
through('bound') if os.listdir('here/store') else refused('covered')
",
        // A bind mount without those below it shows what a cover hides.
        MAY_MOUNT,
    )
    .holds_without(ONE_OF_THREE),
    Attack::new(
        "new_mount_api_fsopen",
        "
context = call('fsopen', b'tmpfs', 1)
call('fsconfig', context, 6, None, None, 0)
mount = call('fsmount', context, 1, 0)
call('move_mount', mount, b'', -100, b'/etc', 4)
through('mounted')
",
        MAY_MOUNT,
    )
    .holds_without(ONE_OF_THREE),
    Attack::new(
        "new_mount_api_open_tree",
        "
CLONE, CLOEXEC = 1, 0o2000000
tree = call('open_tree', -100, os.path.dirname(STORE).encode(), CLONE | CLOEXEC)
names = os.listdir('/proc/self/fd/%d/store' % tree)
through(names) if names else refused('covered')
",
        // Landlock does not let it be read either.
        MAY_MOUNT,
    )
    .holds_without(ONE_OF_THREE),
    Attack::new(
        "pivot_to_another_root",
        "
os.mkdir('root')
MS_BIND = 4096
root = os.path.abspath('root').encode()
call('mount', root, root, None, MS_BIND, None)
os.chdir('root')
call('pivot_root', b'.', b'.')
through()
",
        MAY_MOUNT,
    )
    .holds_without(ONE_OF_THREE),
    // The classic: keep a directory outside of a second root, and climb.
    Attack::new(
        "climb_out_of_chroot",
        "
os.mkdir('jail')
outside = os.open('/', os.O_RDONLY)
os.chroot('jail')
os.fchdir(outside)
for _ in range(64): os.chdir('..')
os.chroot('.')
# In the host's own root, files are writable and secrets have no cover.
through('out') if b'private' in read(KEY) else refused('still inside')
",
        Shown::Without(&[PivotRoot, NoCapabilities]),
    )
    .holds_without(&[&[NoCapabilities], &[PivotRoot], &[NoCapabilities, Landlock, Seccomp]]),
    // Needs a capability in the host's own user namespace.
    Attack::new(
        "mount_the_hosts_cgroups",
        "
os.mkdir('/tmp/cgroup')
call('mount', b'cgroup', b'/tmp/cgroup', b'cgroup', 0, b'memory')
through(os.listdir('/tmp/cgroup')[:3])
",
        Shown::InForce(&[Seccomp, NoCapabilities, Landlock]),
    )
    .holds_without(ONE_OF_THREE),
    Attack::new(
        "open_by_handle_from_mount_descriptor",
        "
import struct
# The shocker: a handle of the host's root directory, guessed, opened below a file's mount.
root = os.open('/', os.O_RDONLY)
handle = ctypes.create_string_buffer(struct.pack('IiII', 8, 1, 2, 0))
descriptor = call('open_by_handle_at', root, handle, os.O_RDONLY)
through(os.listdir(descriptor)[:3])
",
        Shown::WithoutAsRoot(&[Seccomp, NoCapabilities, UserNamespace]),
    )
    .holds_without(&[&[Seccomp], &[NoCapabilities]]),
    Attack::new(
        "open_hidden_file_by_its_handle",
        "
handle = ctypes.create_string_buffer(128)
handle[0:4] = (120).to_bytes(4, 'little')
mount = ctypes.c_int()
# The directory is covered, but its neighbour tells what handles look like.
call('name_to_handle_at', -100, (OUTSIDE + '/file').encode(), handle, ctypes.byref(mount), 0)
place = os.open(OUTSIDE, os.O_RDONLY)
descriptor = call('open_by_handle_at', place, handle, os.O_RDONLY)
through(os.read(descriptor, 9))
",
        Shown::WithoutAsRoot(&[Seccomp, NoCapabilities, UserNamespace]),
    )
    .holds_without(&[&[Seccomp], &[NoCapabilities], &[HiddenSecrets]]),
];

pub(crate) fn tests() -> Vec<Test> {
    table(TABLE)
}
