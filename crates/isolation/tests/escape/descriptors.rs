//! Attacks through descriptors: those that leak, and those that a command is given.

use std::fs::{self, File};

use ctrlz_isolation::native::Protection::{
    ClosedDescriptors, Landlock, NoCapabilities, Seccomp, UserNamespace,
};

use crate::attack::{Failure, Test, is_root};
use crate::place::Place;

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("use_leaked_directory_descriptor", leaked_directory),
        Test::new("use_leaked_file_descriptor", leaked_file),
        Test::new("use_leaked_namespace_descriptor", leaked_namespace),
        Test::new("rename_through_descriptors_of_process_1", descriptors_of_process_1),
        Test::new("reopen_read_only_stdin_for_writing", reopen_stdin),
        Test::new("truncate_read_only_stdin", truncate_stdin),
        Test::new("change_metadata_of_read_only_stdin", metadata_of_stdin),
        Test::new("reach_out_through_directory_as_stdin", directory_as_stdin),
    ]
}

/// Tries every descriptor above standard error.
const EACH_LEAK: &str = "
def each():
    for number in range(3, 256):
        try:
            os.fstat(number)
        except OSError:
            continue
        yield number
";

fn leaked_directory(place: &Place) -> Result<(), Failure> {
    let script = format!(
        "{EACH_LEAK}
for number in each():
    try:
        os.open('../home/.ssh/id_ed25519', os.O_RDONLY, dir_fd=number)
        through('descriptor %d' % number)
    except OSError:
        pass
refused('no directory')
"
    );
    place.python(&script).leak(&place.outside, false).run()?.must_be_refused()?;
    let open = place.python(&script).leak(&place.outside, false).without(&[ClosedDescriptors]);
    open.run()?.must_get_through()
}

fn leaked_file(place: &Place) -> Result<(), Failure> {
    let script = format!(
        "{EACH_LEAK}
for number in each():
    try:
        os.write(number, b'host')
        through('descriptor %d' % number)
    except OSError:
        pass
refused('no file')
"
    );
    let file = place.outside.join("file");
    place.python(&script).leak(&file, true).run()?.must_be_refused()?;
    // Landlock judges when a file is opened, not when it is used.
    place.python(&script).leak(&file, true).without(&[ClosedDescriptors]).run()?.must_get_through()
}

/// Joins the host's network by a descriptor of it.
fn leaked_namespace(place: &Place) -> Result<(), Failure> {
    let script = format!(
        "{EACH_LEAK}
host = os.stat('/proc/self/ns/net').st_ino
for number in each():
    try:
        call('setns', number, 0x40000000)
    except OSError:
        continue
    if os.stat('/proc/self/ns/net').st_ino != host: through('descriptor %d' % number)
refused('not joined')
"
    );
    let leaky = || place.python(&script).leak("/proc/self/ns/net", false);
    leaky().run()?.must_be_refused()?;
    let open = [ClosedDescriptors, NoCapabilities, UserNamespace];
    leaky().without(&[ClosedDescriptors]).run()?.must_be_refused()?;
    leaky().without(&[ClosedDescriptors, Seccomp]).run()?.must_be_refused()?;
    if is_root() {
        leaky().without(&open).run()?.must_be_refused()?;
        leaky().without(&open).without(&[Seccomp]).run()?.must_get_through()?;
    }
    Ok(())
}

/// Process 1 renames directories on the command's behalf, and a path below `/proc/self/fd` means
/// the descriptors of whoever resolves it: process 1 must have none that lead out.
fn descriptors_of_process_1(place: &Place) -> Result<(), Failure> {
    fs::create_dir(place.outside.join("directory"))?;
    let script = "
for number in range(3, 256):
    path = '/proc/self/fd/%d/' % number
    try:
        os.rename(path + 'directory', path + 'moved')
    except OSError:
        pass
names = os.listdir(OUTSIDE)
through(names) if 'moved' in names else refused('not moved')
";
    let before = place.look();
    let leaky = || place.python(script).leak(&place.outside, false);
    leaky().run()?.must_be_refused()?;
    leaky().without(&[Landlock]).run()?.must_be_refused()?;
    before.check(&place.look())?;
    leaky().without(&[ClosedDescriptors, Landlock]).run()?.must_get_through()
}

fn reopen_stdin(place: &Place) -> Result<(), Failure> {
    let script = "
for path in ['/proc/self/fd/0', '/dev/stdin', '/dev/fd/0']:
    for flags in [os.O_RDWR, os.O_WRONLY, os.O_WRONLY | os.O_APPEND]:
        try:
            os.write(os.open(path, flags), b'host')
            through(path)
        except OSError as error:
            reason = errno.errorcode[error.errno]
refused(reason)
";
    given_on_stdin(place, script)
}

fn truncate_stdin(place: &Place) -> Result<(), Failure> {
    let script = "
for attempt in [lambda: os.truncate('/proc/self/fd/0', 0), lambda: os.ftruncate(0, 0),
                lambda: os.open('/proc/self/fd/0', os.O_RDONLY | os.O_TRUNC)]:
    try:
        attempt()
    except OSError as error:
        reason = errno.errorcode[error.errno]
refused(reason) if os.fstat(0).st_size else through('empty')
";
    given_on_stdin(place, script)
}

/// What a user gives with `< file` is given for reading.
fn given_on_stdin(place: &Place, script: &str) -> Result<(), Failure> {
    let path = place.outside.join("file");
    let before = place.look();
    let run = place.python(script).stdin(File::open(&path)?).run()?;
    run.must_be_refused()?;
    before.check(&place.look())?;
    for missing in [Landlock, ClosedDescriptors] {
        let held = place.python(script).stdin(File::open(&path)?).without(&[missing]);
        held.run()?.must_be_refused()?;
        before.check(&place.look())?;
    }
    let open = [Landlock, ClosedDescriptors];
    let open = place.python(script).stdin(File::open(&path)?).without(&open);
    open.run()?.must_get_through()
}

/// fchmod and its kin ask neither how a descriptor was opened nor Landlock.
fn metadata_of_stdin(place: &Place) -> Result<(), Failure> {
    let script = "
reasons = []
for attempt in [lambda: os.fchmod(0, 0o777), lambda: os.chmod('/proc/self/fd/0', 0o777),
                lambda: os.setxattr(0, 'user.attack', b'x'), lambda: os.utime(0, (1, 1))]:
    try:
        attempt()
        through('attempt %d' % len(reasons))
    except OSError as error:
        reasons.append(errno.errorcode[error.errno])
refused(reasons)
";
    let path = place.outside.join("file");
    let before = place.look();
    place.python(script).stdin(File::open(&path)?).run()?.must_be_refused()?;
    before.check(&place.look())?;
    // Landlock does not look at these.
    place.python(script).stdin(File::open(&path)?).without(&[Landlock]).run()?.must_be_refused()?;
    before.check(&place.look())?;
    let open = place.python(script).stdin(File::open(&path)?).without(&[ClosedDescriptors]);
    open.run()?.must_get_through()
}

/// A directory as standard input leads to every place around it.
fn directory_as_stdin(place: &Place) -> Result<(), Failure> {
    let script = "
reasons = []
for path in ['../home/.ssh/id_ed25519', '../store', '../outside/file']:
    try:
        found = os.open(path, os.O_RDONLY, dir_fd=5)
        if path.endswith('store') and not os.listdir(found): continue
        through(path)
    except OSError as error:
        reasons.append(errno.errorcode[error.errno])
refused(reasons)
";
    // Python itself refuses a directory there.
    let mut argv =
        ["/bin/sh", "-c", "exec \"$@\" 5<&0 </dev/null", "sh"].map(str::to_owned).to_vec();
    argv.extend(crate::python::command(place, script));
    place.command(argv.clone()).stdin(File::open(&place.outside)?).run()?.must_be_refused()?;
    let open = place.command(argv).stdin(File::open(&place.outside)?);
    open.without(&[ClosedDescriptors]).run()?.must_get_through()
}
