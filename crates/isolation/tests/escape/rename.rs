//! Attacks on the renaming that process 1 does on the command's behalf (seccomp_unotify(2)): it
//! reads the caller's memory and paths, both of which the caller may change meanwhile.

use std::fs;

use ctrlz_isolation::native::Protection::{Landlock, ReadOnlyRoot};

use crate::attack::{Attack, Failure, Shown, Test, table};
use crate::launcher::only_native;
use crate::place::Place;

const TABLE: &[Attack] = &[
    Attack::new(
        "rename_directory_from_outside",
        "
os.mkdir('mine')
reasons = []
for old, new in [(OUTSIDE + '/directory', 'stolen'), ('mine', OUTSIDE + '/mine'),
                 (OUTSIDE + '/directory', OUTSIDE + '/moved'), ('../outside/directory', '../away')]:
    try:
        os.rename(old, new)
        through(new)
    except OSError as error:
        reasons.append(errno.errorcode[error.errno])
refused(reasons)
",
        Shown::Without(&[ReadOnlyRoot, Landlock]),
    )
    .holds_without(&[&[Landlock], &[ReadOnlyRoot]]),
    Attack::new(
        "rename_directory_over_a_link_to_the_outside",
        "
os.symlink(OUTSIDE, 'door')
os.mkdir('mine')
reasons = []
for old, new in [('base', 'door/base'), ('door/directory', 'stolen'), ('mine', 'door/mine'),
                 ('base/../door/directory', 'door/moved')]:
    try:
        os.rename(old, new)
        through(new)
    except OSError as error:
        reasons.append(errno.errorcode[error.errno])
refused(reasons)
",
        Shown::Without(&[ReadOnlyRoot, Landlock]),
    )
    .holds_without(&[&[Landlock], &[ReadOnlyRoot]]),
    // One process asks, another changes the path in memory between what is read and what is done.
    Attack::new(
        "rename_with_racing_path_memory",
        "
import mmap
inside, outside = b'base', (OUTSIDE + '/directory').encode()
memory = mmap.mmap(-1, 8192)
old = ctypes.addressof(ctypes.c_char.from_buffer(memory))
new = old + 4096
def put(at, path):
    memory[at:at + len(path) + 1] = path + bytes(1)
flipper = os.fork()
if flipper == 0:
    while True:
        put(0, inside); put(4096, b'base2')
        for _ in range(20): pass
        put(0, outside); put(4096, outside + b'.moved')
        for _ in range(20): pass
# On a busy machine the flipper may rest for long, so what counts is how often the path to the outside
# was met: then the answer is not that there is nothing.
met = tried = 0
while met < 20 or tried < 1500:
    tried += 1
    try:
        call('renameat2', -100, old, -100, new, 0)
    except OSError as error:
        met += error.errno != errno.ENOENT
    else:
        names = os.listdir(OUTSIDE)
        if sorted(names) != ['directory', 'file']: through(names)
os.kill(flipper, signal.SIGKILL)
refused('nothing moved')
",
        Shown::Without(&[ReadOnlyRoot, Landlock]),
    ),
    // The copy and the removal walk a tree that another process swaps for links to the outside.
    Attack::new(
        "rename_with_symlink_swaps",
        "
swapper = os.fork()
if swapper == 0:
    while True:
        for name in ['base', 'base2', 'base/sub', 'base2/sub']:
            try:
                os.rename(name, name + '.aside')
                os.symlink(OUTSIDE, name)
                os.unlink(name)
                os.rename(name + '.aside', name)
            except OSError:
                pass
for _ in range(300):
    for old, new in [('base', 'base2'), ('base2', 'base'), ('base/sub', 'base/sub2'),
                     ('base/sub2', 'base/sub')]:
        try:
            os.rename(old, new)
        except OSError:
            pass
os.kill(swapper, signal.SIGKILL)
ok = sorted(os.listdir(OUTSIDE)) == ['directory', 'file'] and os.listdir(OUTSIDE + '/directory')
refused('nothing changed') if ok and read(OUTSIDE + '/file') == b'host' else through('changed')
",
        Shown::InForce(&[ReadOnlyRoot, Landlock]),
    )
    .holds_without(&[&[Landlock], &[ReadOnlyRoot]]),
    // Whoever sets the mark gets the kernel's own answer, no more.
    Attack::new(
        "rename_with_the_launchers_mark",
        "
MARK = 0x6374727a
call('renameat2', -100, (OUTSIDE + '/directory').encode(), -100, (OUTSIDE + '/moved').encode(), 0,
     MARK)
through()
",
        Shown::Without(&[ReadOnlyRoot, Landlock]),
    )
    .holds_without(&[&[Landlock], &[ReadOnlyRoot]]),
];

pub(crate) fn tests() -> Vec<Test> {
    let mut tests: Vec<Test> = table(TABLE).into_iter().map(with_directories).collect();
    tests.push(Test::new("flood_process_1_with_renames", flood));
    tests.push(Test::new("rename_hidden_directory_into_view", rename_hidden));
    tests
}

/// Directories to fight over, inside and outside.
fn with_directories(test: Test) -> Test {
    Test::new(test.name, move |place| {
        fs::create_dir_all(place.outside.join("directory"))?;
        fs::write(place.outside.join("directory/treasure"), "host")?;
        fs::create_dir_all(place.workspace.join("base/sub"))?;
        for number in 0..20 {
            fs::write(place.workspace.join(format!("base/sub/{number}")), "base")?;
        }
        (test.body)(place)
    })
}

/// Many callers at once, some of which die while they wait: every other one is still answered, and
/// the run ends.
fn flood(place: &Place) -> Result<(), Failure> {
    only_native("has nobody who answers for renames")?;
    for number in 0..8 {
        fs::create_dir_all(place.workspace.join(format!("tree{number}/sub")))?;
    }
    let script = "
children = []
for number in range(8):
    child = os.fork()
    if child == 0:
        for turn in range(40):
            a, b = ('tree%d' % number, 'moved%d' % number)
            os.rename(*((a, b) if turn % 2 == 0 else (b, a)))
        os._exit(0)
    victim = os.fork()
    if victim == 0:
        while True:
            try: os.rename('nothing', 'nowhere')
            except OSError: pass
    children.append((child, victim))
for child, victim in children:
    os.kill(victim, signal.SIGKILL)
    os.waitpid(victim, 0)
    status = os.waitpid(child, 0)[1]
    if status: through('a rename was not answered: %d' % status)
refused('all answered')
";
    place.python(script).run()?.must_be_refused()
}

/// A cover over a directory of the workspace stays when the directories above it are renamed.
fn rename_hidden(place: &Place) -> Result<(), Failure> {
    fs::create_dir_all(place.workspace.join("project/secrets"))?;
    fs::write(place.workspace.join("project/secrets/token"), "a private token")?;
    let script = "
for old, new in [('project/secrets', 'project/open'), ('project', 'project2')]:
    try:
        os.rename(old, new)
    except OSError:
        pass
for top, _, files in os.walk('.'):
    for name in files:
        if name == 'token' and b'private' in read(os.path.join(top, name)): through(top)
refused('not found')
";
    let mut trial = place.python(script);
    trial.spec.hidden.push(place.workspace.join("project/secrets"));
    trial.run()?.must_be_refused()?;
    place.python(script).run()?.must_get_through()
}
