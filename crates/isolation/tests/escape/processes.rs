//! Attacks on processes: the host's, and the sandbox's process 1.

use std::process::{Child, Command, Stdio};

use ctrlz_isolation::native::Protection::{
    Landlock, NoCapabilities, OpaqueInit, PidNamespace, PrivateProc, UserNamespace,
};

use crate::attack::{Attack, Failure, Shown, Test, is_root, table};
use crate::place::Place;

const TABLE: &[Attack] = &[
    Attack::new(
        "read_environment_of_process_1",
        "through(read('/proc/1/environ')[:20])",
        Shown::Without(&[OpaqueInit]),
    ),
    Attack::new(
        "read_memory_of_process_1",
        "os.open('/proc/1/mem', os.O_RDONLY); through()",
        Shown::Without(&[OpaqueInit]),
    ),
    Attack::new(
        "open_descriptors_of_process_1",
        "
# Root may see the numbers, which tell nothing.
for number in range(64):
    try:
        through(os.readlink('/proc/1/fd/%d' % number))
    except FileNotFoundError:
        pass
refused('none')
",
        Shown::Without(&[OpaqueInit]),
    ),
    Attack::new(
        "trace_process_1",
        "PTRACE_SEIZE = 0x4206\ncall('ptrace', PTRACE_SEIZE, 1, 0, 0); through()",
        Shown::Without(&[OpaqueInit]),
    ),
    Attack::new(
        "read_memory_of_process_1_by_process_vm_readv",
        "
buffer = ctypes.create_string_buffer(8)
import struct
local = ctypes.create_string_buffer(struct.pack('QQ', ctypes.addressof(buffer), 8))
remote = ctypes.create_string_buffer(struct.pack('QQ', 0x10000, 8))
# Whether an address is mapped does not matter: EFAULT is an answer about its memory.
reaches_kernel('process_vm_readv', 1, local, 1, remote, 1, 0)
",
        Shown::Without(&[OpaqueInit]),
    )
    .refused_by("EPERM"),
    // With the launcher's channel a program could forge how it ended.
    Attack::new(
        "take_descriptors_of_process_1",
        "
process_1 = call('pidfd_open', 1, 0)
for number in range(3, 64):
    try:
        through(call('pidfd_getfd', process_1, number, 0))
    except OSError as error:
        if error.errno == errno.EBADF: continue
        raise
through('only EBADF')
",
        Shown::Without(&[OpaqueInit]),
    )
    .refused_by("EPERM"),
    Attack::new(
        "forge_the_report_to_the_launcher",
        "
import struct
# As the launcher reads it: whichever of the forged report and the true one counts, it ends by the
# code of an attack that got through.
ENDED = struct.pack('=BiI5Q', 15, 42 << 8, 0, 1, 1, 0, 0, 0)
process_1 = call('pidfd_open', 1, 0)
for number in range(3, 64):
    try:
        stolen = socket.socket(fileno=call('pidfd_getfd', process_1, number, 0))
        stolen.send(ENDED, socket.MSG_DONTWAIT)
        through(number)
    except OSError as error:
        if error.errno not in (errno.EBADF, errno.ENOTSOCK): raise
refused('no channel')
",
        Shown::Without(&[OpaqueInit]),
    ),
    // The kernel protects process 1 of a pid namespace from its own processes.
    Attack::new(
        "stop_and_kill_process_1",
        "
# A parent in another pid namespace has no number here.
parent = os.getppid() or 1
# Process 1 is not to stop, another process may take its time.
moments = 100 if parent == 1 else 100000
def state():
    return open('/proc/%d/stat' % parent).read().rpartition(')')[2].split()[0]
for number in [signal.SIGSTOP, signal.SIGTERM, signal.SIGTSTP, signal.SIGINT]:
    os.kill(parent, number)
    for _ in range(moments):
        if state() in 'TZ':
            os.kill(parent, signal.SIGCONT)
            through('stopped by %d' % number)
        time.sleep(0.001)
if parent == 1: os.kill(parent, signal.SIGKILL)
refused('it runs on')
",
        Shown::Without(&[PidNamespace, PrivateProc]),
    ),
    // /proc of the pid namespace does not know the host's processes.
    Attack::new(
        "list_processes_of_the_host",
        "
numbers = [name for name in os.listdir('/proc') if name.isdigit()]
refused(numbers) if '1' in numbers and len(numbers) == 2 else through(len(numbers))
",
        Shown::Without(&[PrivateProc]),
    ),
];

pub(crate) fn tests() -> Vec<Test> {
    let mut tests = table(TABLE);
    tests.push(Test::new("kill_process_of_the_host", kill_victim));
    tests.push(Test::new("kill_everything", kill_everything));
    tests.push(Test::new("trace_process_of_the_host", trace_victim));
    tests.push(Test::new("read_environment_of_host_process", read_environment));
    tests
}

/// A process of the host, of the same user.
struct Victim(Child);

impl Victim {
    fn start() -> Result<Self, Failure> {
        let mut command = Command::new("/bin/sleep");
        command.arg("1000").stdin(Stdio::null()).env_clear().env("TOKEN", "private");
        Ok(Self(command.spawn()?))
    }

    fn must_live(&mut self) -> Result<(), Failure> {
        match self.0.try_wait()? {
            None => Ok(()),
            Some(status) => Err(Failure::Failed(format!("HOLE: the victim ended: {status}"))),
        }
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn kill_victim(place: &Place) -> Result<(), Failure> {
    let mut victim = Victim::start()?;
    let id = victim.0.id();
    let script = format!("os.kill({id}, signal.SIGTERM); through()");
    place.python(&script).run()?.must_be_refused()?;
    victim.must_live()?;
    // Landlock alone keeps signals in, where the kernel's is new enough.
    if crate::control::landlock_version() >= 6 {
        let run = place.python(&script).without(&[PidNamespace, PrivateProc]).run()?;
        run.must_be_refused()?;
        victim.must_live()?;
    }
    let open = [PidNamespace, PrivateProc, Landlock];
    place.python(&script).without(&open).run()?.must_get_through()?;
    victim.0.wait()?;
    Ok(())
}

/// `kill -9 -1`. Never run where it would reach this machine's processes: the script looks first
/// whether it is in a pid namespace of its own.
fn kill_everything(place: &Place) -> Result<(), Failure> {
    let mut victim = Victim::start()?;
    let own = std::fs::read_link("/proc/self/ns/pid")?;
    let script = format!(
        "
if os.readlink('/proc/self/ns/pid') == {:?} or os.getppid() != 1: through('in the host')
child = os.fork()
if child == 0:
    time.sleep(1000)
os.kill(-1, signal.SIGKILL)
refused('only the child: %d' % os.waitpid(child, 0)[1])
",
        own.display().to_string()
    );
    let run = place.python(&script).run()?;
    run.must_be_refused()?;
    victim.must_live()?;
    place.python(&script).without(&[PidNamespace, PrivateProc]).run()?.must_get_through()
}

fn trace_victim(place: &Place) -> Result<(), Failure> {
    let mut victim = Victim::start()?;
    let id = victim.0.id();
    let script = format!("call('ptrace', 0x4206, {id}, 0, 0); through()");
    place.python(&script).run()?.must_be_refused()?;
    let namespaces = [PidNamespace, PrivateProc];
    // The user namespace holds it alone.
    let open = [PidNamespace, PrivateProc, Landlock];
    place.python(&script).without(&open).run()?.must_be_refused()?;
    if is_root() {
        let without = [UserNamespace, NoCapabilities, Landlock];
        place.python(&script).without(&namespaces).without(&without).run()?.must_get_through()?;
    }
    victim.must_live()
}

fn read_environment(place: &Place) -> Result<(), Failure> {
    let victim = Victim::start()?;
    let script = format!("through(read('/proc/{}/environ'))", victim.0.id());
    place.python(&script).run()?.must_be_refused()?;
    place.python(&script).without(&[PrivateProc]).run()?.must_be_refused()?;
    if is_root() {
        let without = [PrivateProc, UserNamespace, NoCapabilities, Landlock];
        place.python(&script).without(&without).run()?.must_get_through()?;
    }
    Ok(())
}
