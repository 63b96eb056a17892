//! Attacks that want more privileges than the command was given.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use ctrlz_isolation::native::Protection::{
    Landlock, NoCapabilities, NoNewPrivileges, Seccomp, UserNamespace,
};

use crate::attack::{Attack, Failure, Shown, Test, is_root, show, table};
use crate::place::Place;

const TABLE: &[Attack] = &[
    Attack::new(
        "hold_any_capability",
        "
sets = [line.split() for line in open('/proc/self/status') if line.startswith('Cap')]
held = [name for name, value in sets if int(value, 16)]
through(held) if held else refused('none')
",
        Shown::Without(&[NoCapabilities]),
    ),
    Attack::new(
        "gain_capabilities_as_root_by_exec",
        "
os.execv('/bin/sh', ['sh', '-c', '''
while read name value; do
    case $name in CapEff:) [ $value != 0000000000000000 ] && exit 42; exit 43;; esac
done < /proc/self/status
'''])
",
        Shown::WithoutAsRoot(&[NoCapabilities]),
    )
    .holds_without(&[&[NoNewPrivileges], &[Seccomp]]),
    Attack::new(
        "undo_no_new_privileges",
        "
PR_SET, PR_GET = 38, 39
libc.prctl(PR_SET, 0, 0, 0, 0)
through() if libc.prctl(PR_GET, 0, 0, 0, 0) == 0 else refused('still set')
",
        Shown::Without(&[NoNewPrivileges]),
    ),
    // The mount takes no file capabilities (nosuid) either.
    Attack::new(
        "give_a_file_capabilities",
        "
import shutil
shutil.copy('/bin/true', 'tool')
import struct
os.setxattr('tool', 'security.capability', struct.pack('<IIIII', 0x02000001, 1 << 21, 0, 0, 0))
through()
",
        // The kernel knows such a file by the host's id of the namespace's root; one with a single
        // id has none.
        Shown::WithoutAsRoot(&[NoCapabilities]),
    )
    .refused_by("EPERM"),
    Attack::new(
        "become_another_user",
        "
for attempt in [lambda: os.setuid(1), lambda: os.setresuid(1, 1, 1), lambda: os.setgid(1)]:
    try:
        attempt()
        through(os.getresuid())
    except OSError as error:
        reason = errno.errorcode[error.errno]
refused(reason)
",
        Shown::WithoutAsRoot(&[NoCapabilities]),
    ),
    Attack::new(
        "raise_limits_and_priority",
        "
import resource
reasons = []
for attempt in [lambda: os.nice(-5),
                lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))]:
    try:
        attempt()
        through(len(reasons))
    except OSError as error:
        reasons.append(errno.errorcode[error.errno])
refused(reasons)
",
        Shown::WithoutAsRoot(&[NoCapabilities, UserNamespace]),
    )
    .holds_without(&[&[NoCapabilities]]),
    Attack::new(
        "lift_landlock_by_a_new_ruleset",
        "
# A new domain can only add to the old one; an empty one must not replace it.
import struct
ruleset = call(444, ctypes.create_string_buffer(struct.pack('Q', 1)), 8, 0)
libc.prctl(38, 1, 0, 0, 0)
call(446, ruleset, 0)
write(OUTSIDE + '/file', b'host')
through()
",
        Shown::InForce(&[Landlock]),
    ),
];

pub(crate) fn tests() -> Vec<Test> {
    let mut tests = table(TABLE);
    tests.push(Test::new("run_setuid_program_in_workspace", setuid));
    tests
}

/// A program that tells its effective user.
const WHO: &str = "
#include <unistd.h>
int main(void) { return (geteuid() != getuid() || getegid() != getgid()) ? 42 : 43; }
";

/// A set-user-id program in the workspace. `no_new_privs`, the mounts' nosuid and the user
/// namespace each make it an ordinary one, so it cannot be shown by leaving one out; it is shown
/// outside of any sandbox.
fn setuid(place: &Place) -> Result<(), Failure> {
    let source = place.directory.join("who.c");
    let program = place.workspace.join("who");
    fs::write(&source, WHO)?;
    let compiled = Command::new("cc").arg("-o").arg(&program).arg(&source).output();
    if !compiled.is_ok_and(|output| output.status.success()) {
        return Err(Failure::Skipped("no C compiler".to_owned()));
    }
    if is_root() {
        std::os::unix::fs::chown(&program, Some(65_534), Some(65_534))?;
    }
    fs::set_permissions(&program, fs::Permissions::from_mode(0o6755))?;
    let argv = vec![program.display().to_string()];
    for missing in [&[][..], &[NoNewPrivileges], &[NoCapabilities], &[Seccomp], &[UserNamespace]] {
        if missing.contains(&UserNamespace) && !is_root() {
            continue;
        }
        place.command(argv.clone()).without(missing).run()?.must_be_refused()?;
    }
    if is_root() {
        let code = Command::new(&program).status()?.code();
        if code != Some(crate::python::THROUGH) {
            return Err(Failure::Failed(format!("outside it should change its user: {code:?}")));
        }
    }
    let script = "refused('') if libc.prctl(39, 0, 0, 0, 0) else through()";
    let run = place.python(script).run()?;
    show(Shown::Without(&[NoNewPrivileges]), place, script, &run)
}
