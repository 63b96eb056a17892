//! Attacks on files of the host: reading secrets, writing outside of the workspace.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use ctrlz_isolation::native::Protection::{
    HiddenSecrets, Landlock, NoCapabilities, OpaqueInit, PrivateDevices, PrivateTemporary,
    ReadOnlyRoot, Seccomp, UserNamespace,
};

use crate::attack::{Attack, Failure, Shown, Test, is_root, show, table};
use crate::place::Place;

const READ_KEY: &str = "through('read it') if b'private' in read(KEY) else refused('empty')";

const TABLE: &[Attack] = &[
    Attack::new("read_private_key", READ_KEY, Shown::Without(&[HiddenSecrets])),
    Attack::new(
        "read_private_key_through_symlink_in_workspace",
        "
os.symlink(KEY, 'innocent')
os.symlink(os.path.dirname(KEY), 'directory')
for name in ['innocent', 'directory/id_ed25519']:
    try:
        if b'private' in read(name): through(name)
    except FileNotFoundError:
        pass
refused('empty')
",
        Shown::Without(&[HiddenSecrets]),
    ),
    Attack::new(
        "read_private_key_through_proc_links",
        "
for start in ['/proc/self/root', '/proc/self/cwd/' + '../' * 20, '/proc/thread-self/root',
              '/proc/self/task/%d/root' % os.getpid()]:
    try:
        if b'private' in read(start + KEY): through(start)
    except FileNotFoundError:
        pass
refused('empty')
",
        Shown::Without(&[HiddenSecrets]),
    ),
    // A hard link has the cover's or no content; and without a cover there is no place for it.
    Attack::new(
        "read_private_key_through_hard_link",
        "
reasons = []
for name in ['stolen', OUTSIDE + '/stolen', '/tmp/stolen']:
    try:
        os.link(KEY, name)
        if b'private' in read(name): through(name)
    except OSError as error:
        reasons.append(errno.errorcode[error.errno])
refused(reasons)
",
        Shown::Without(&[HiddenSecrets, ReadOnlyRoot, Landlock]),
    )
    .holds_without(&[&[HiddenSecrets, Landlock]]),
    Attack::new(
        "read_private_key_by_renaming_its_cover",
        "
for old in [KEY, os.path.dirname(KEY)]:
    try:
        os.rename(old, old + '.moved')
    except OSError:
        pass
try:
    os.rmdir(os.path.dirname(KEY))
except OSError:
    pass
try:
    if b'private' in read(KEY): through('read it')
except OSError:
    pass
refused('the cover stays')
",
        Shown::Without(&[HiddenSecrets]),
    ),
    // The store holds other sandboxes' files and the journal.
    Attack::new(
        "change_the_store",
        "
names = os.listdir(STORE)
if not names: refused('empty')
upper = os.path.join(STORE, names[0], 'upper')
open(os.path.join(upper, 'forged'), 'w').close()
through(upper)
",
        Shown::Without(&[HiddenSecrets, ReadOnlyRoot, Landlock]),
    )
    .holds_without(&[&[ReadOnlyRoot, Landlock], &[HiddenSecrets, Landlock]]),
    Attack::new(
        "write_outside_of_workspace",
        "
for path in ['/etc/passwd', '/etc/hosts', '/usr/bin/env', '/root/.bashrc']:
    try:
        os.close(os.open(path, os.O_WRONLY))
        through(path)
    except OSError:
        pass
write(OUTSIDE + '/file')
through(OUTSIDE)
",
        Shown::Without(&[ReadOnlyRoot, Landlock]),
    )
    .holds_without(&[&[Landlock], &[Seccomp], &[NoCapabilities]]),
    // The mounts alone would let it through here.
    Attack::new(
        "write_outside_when_mounts_are_writable",
        "write(OUTSIDE + '/file'); through()",
        Shown::Without(&[ReadOnlyRoot, Landlock]),
    )
    .holds_without(&[&[ReadOnlyRoot]])
    .refused_by(""),
    Attack::new(
        "create_delete_rename_outside_of_workspace",
        "
reasons = []
for attempt in [
    lambda: open(OUTSIDE + '/new', 'w'),
    lambda: os.mkdir(OUTSIDE + '/directory'),
    lambda: os.symlink('x', OUTSIDE + '/link'),
    lambda: os.mkfifo(OUTSIDE + '/fifo'),
    lambda: os.rename(OUTSIDE + '/file', OUTSIDE + '/other'),
    lambda: os.truncate(OUTSIDE + '/file', 0),
    lambda: os.unlink(OUTSIDE + '/file'),
]:
    try:
        attempt()
        through('attempt %d' % len(reasons))
    except OSError as error:
        reasons.append(errno.errorcode[error.errno])
refused(reasons)
",
        Shown::Without(&[ReadOnlyRoot, Landlock]),
    )
    .holds_without(&[&[Landlock], &[ReadOnlyRoot]]),
    // Landlock does not look at these, only the mounts do.
    Attack::new(
        "change_metadata_outside_of_workspace",
        "
reasons = []
for attempt in [
    lambda: os.chmod(OUTSIDE + '/file', 0o777),
    lambda: os.utime(OUTSIDE + '/file', (1, 1)),
    lambda: os.setxattr(OUTSIDE + '/file', 'user.x', b'x'),
    lambda: os.chown(OUTSIDE + '/file', os.getuid(), os.getgid()),
]:
    try:
        attempt()
        through('attempt %d' % len(reasons))
    except OSError as error:
        reasons.append(errno.errorcode[error.errno])
refused(reasons)
",
        Shown::Without(&[ReadOnlyRoot]),
    )
    .holds_without(&[&[Landlock]]),
    Attack::new(
        "write_through_proc_self_root",
        "
for start in ['/proc/self/root', '/proc/self/cwd/..', '/proc/self/task/%d/root' % os.getpid()]:
    try:
        write(start + OUTSIDE + '/file' if 'root' in start else start + '/outside/file')
        through(start)
    except OSError as error:
        reason = errno.errorcode[error.errno]
refused(reason)
",
        Shown::Without(&[ReadOnlyRoot, Landlock]),
    )
    .holds_without(&[&[Landlock], &[ReadOnlyRoot]]),
    // Process 1 has seen the host; its links must not lead there.
    Attack::new(
        "write_through_links_of_process_1",
        "
for link in ['root', 'cwd']:
    try:
        os.stat('/proc/1/' + link)
        through(link)
    except OSError as error:
        reason = errno.errorcode[error.errno]
refused(reason)
",
        Shown::Without(&[OpaqueInit]),
    ),
    Attack::new(
        "write_through_dot_dot",
        "write('../outside/file'); through()",
        Shown::Without(&[ReadOnlyRoot, Landlock]),
    )
    .holds_without(&[&[Landlock], &[ReadOnlyRoot]]),
    Attack::new(
        "write_through_symlink_in_workspace",
        "
os.symlink('../outside', 'relative')
os.symlink(OUTSIDE, 'absolute')
for name in ['relative/file', 'absolute/file']:
    try:
        write(name)
        through(name)
    except OSError as error:
        reason = errno.errorcode[error.errno]
refused(reason)
",
        Shown::Without(&[ReadOnlyRoot, Landlock]),
    )
    .holds_without(&[&[Landlock], &[ReadOnlyRoot]]),
    // One process swaps a directory for a link to the outside, another writes below it.
    Attack::new(
        "write_through_symlink_race",
        "
os.mkdir('real'); open('real/file', 'w').close()
os.symlink(OUTSIDE, 'link')
os.rename('real', 'place')
swapper = os.fork()
if swapper == 0:
    while True:
        os.rename('place', 'aside'); os.rename('link', 'place')
        os.rename('place', 'link'); os.rename('aside', 'place')
# On a busy machine the swapper may rest for long, so what counts is how often the link was met: then
# the answer is not that there is nothing.
met = tried = 0
while met < 20 or tried < 3000:
    tried += 1
    try:
        write('place/file', b'raced')
    except OSError as error:
        met += error.errno != errno.ENOENT
    if read(OUTSIDE + '/file') != b'host': through('written')
os.kill(swapper, signal.SIGKILL)
refused('%d refusals' % met)
",
        Shown::Without(&[ReadOnlyRoot, Landlock]),
    ),
    // A read-only mount does not keep from writing to a FIFO.
    Attack::new(
        "write_to_fifo_of_host",
        "
os.write(os.open(OUTSIDE + '/fifo', os.O_WRONLY | os.O_NONBLOCK), b'attacked')
through()
",
        Shown::Without(&[Landlock]),
    ),
    Attack::new(
        "hard_link_setuid_program_into_workspace",
        "
reasons = []
for program in ['/usr/bin/su', '/usr/bin/passwd', '/usr/bin/mount', OUTSIDE + '/file']:
    for target in ['stolen', OUTSIDE + '/stolen']:
        try:
            os.link(program, target)
            through(target)
        except OSError as error:
            reasons.append(errno.errorcode[error.errno])
refused(reasons)
",
        Shown::Without(&[ReadOnlyRoot, Landlock]),
    )
    .holds_without(&[&[Landlock]]),
];

pub(crate) fn tests() -> Vec<Test> {
    let mut tests: Vec<Test> = table(TABLE).into_iter().map(with_fifo).collect();
    tests.push(Test::new("read_another_users_file", read_another_users_file));
    tests.push(Test::new("share_temporary_files_with_host", share_temporary_files));
    tests
}

/// A FIFO at which a process of the host reads.
fn with_fifo(test: Test) -> Test {
    if test.name != "write_to_fifo_of_host" {
        return test;
    }
    Test::new(test.name, move |place| {
        let path = place.outside.join("fifo");
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0)
            .map_err(std::io::Error::from)?;
        let _reader = fs::File::options().read(true).write(true).open(&path)?;
        (test.body)(place)
    })
}

/// Root inside is no root: a file of another user that only its owner may read stays closed. An
/// ordinary user attacks a file of root's, which nothing could open anyway.
fn read_another_users_file(place: &Place) -> Result<(), Failure> {
    let theirs = place.outside.join("theirs");
    let script = if is_root() {
        fs::write(&theirs, "theirs")?;
        fs::set_permissions(&theirs, fs::Permissions::from_mode(0o600))?;
        std::os::unix::fs::chown(&theirs, Some(65_534), Some(65_534))?;
        "read(OUTSIDE + '/theirs'); through()"
    } else {
        "read('/etc/shadow'); through()"
    };
    let run = place.python(script).run()?;
    run.must_be_refused()?;
    place.python(script).without(&[UserNamespace]).run().map_or(Ok(()), |r| r.must_be_refused())?;
    show(Shown::WithoutAsRoot(&[NoCapabilities]), place, script, &run)
}

/// Programs leave sockets, tokens and half-written files in temporary places.
fn share_temporary_files(place: &Place) -> Result<(), Failure> {
    for (directory, protection) in
        [("/tmp", PrivateTemporary), ("/var/tmp", PrivateTemporary), ("/dev/shm", PrivateDevices)]
    {
        let path = std::path::Path::new(directory).join(&place.marker);
        if fs::write(&path, "host").is_err() {
            continue;
        }
        let script = format!(
            "
path = {directory:?} + '/' + MARKER
try:
    if read(path) == b'host': through(path)
except FileNotFoundError:
    pass
open(path, 'w').close()
refused('not there')
"
        );
        let tried = (|| {
            let run = place.python(&script).run()?;
            run.must_be_refused()?;
            let now = fs::read(&path)?;
            if now != b"host" {
                return Err(Failure::Failed(format!("HOLE: {} was changed", path.display())));
            }
            let run = place.python(&script).without(&[protection]).run()?;
            run.must_get_through()
        })();
        fs::remove_file(&path)?;
        tried?;
    }
    Ok(())
}
