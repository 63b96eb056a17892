//! Bombs: what a program can use up. Without their limit they run with small numbers.

use std::time::Duration;

use ctrlz_core::limits::{LimitKind, Limits};
use ctrlz_core::operation::Stopped;
use ctrlz_core::size::ByteSize;
use ctrlz_core::span::Span;
use ctrlz_isolation::native::Protection::{FirstToBeKilled, Landlock, PrivateProc, ProcessCeiling};

use crate::attack::{Attack, Failure, Shown, Test, is_root, table};
use crate::launcher::{driver, only_native};
use crate::place::Place;
use crate::trial::Run;

const TABLE: &[Attack] = &[
    // A real bomb of 16384 processes would burden this machine; what is checked is the number that
    // the kernel holds the sandbox to, and that it cannot be raised.
    Attack::new(
        "fork_bomb_without_limit",
        "
ceiling = int(read('/proc/sys/kernel/pid_max'))
if ceiling > 20000: through(ceiling)
try:
    write('/proc/sys/kernel/pid_max', b'32768')
    through('raised')
except OSError:
    refused(ceiling)
",
        Shown::Without(&[ProcessCeiling]),
    ),
    Attack::new(
        "survive_shortage_of_memory_instead_of_others",
        "
try:
    write('/proc/self/oom_score_adj', b'-1000')
except OSError:
    pass
score = int(read('/proc/self/oom_score_adj'))
refused(score) if score >= 500 else through(score)
",
        Shown::Without(&[FirstToBeKilled]),
    )
    .holds_without(&[&[Landlock]]),
    Attack::new(
        "raise_own_score_through_proc",
        "write('/proc/self/oom_score_adj', b'600'); through()",
        Shown::Without(&[PrivateProc, Landlock]),
    )
    .holds_without(&[&[Landlock]]),
];

/// Without a control group, processes are counted in the user namespace that the runtime is in, too.
fn some_processes_more() -> Result<(), Failure> {
    match is_root() || driver().to_string() != "oci:runc" {
        true => Ok(()),
        false => only_native("counts some of its own processes for an ordinary user"),
    }
}

pub(crate) fn tests() -> Vec<Test> {
    let mut tests = table(TABLE);
    tests.push(Test::new("fork_bomb", |place| {
        some_processes_more()?;
        let limits = Limits { pids: Some(24), ..Limits::default() };
        // All children stay alive until the end.
        let script = "
alive = 0
try:
    for _ in range(120):
        if os.fork() == 0:
            time.sleep(1000)
        alive += 1
except OSError:
    pass
refused(alive) if alive < 24 else through(alive)
";
        bounded(place, script, limits, None)
    }));
    tests.push(Test::new("thread_bomb", |place| {
        some_processes_more()?;
        let limits = Limits { pids: Some(24), ..Limits::default() };
        let script = "
import threading
alive = 0
try:
    for _ in range(120):
        threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
        alive += 1
except RuntimeError:
    pass
refused(alive) if alive < 24 else through(alive)
";
        bounded(place, script, limits, None)
    }));
    tests.push(Test::new("memory_bomb", |place| memory_bomb(place, MEMORY)));
    tests.push(Test::new("memory_bomb_of_many_processes", |place| memory_bomb(place, MANY)));
    tests.push(Test::new("memory_bomb_in_shared_memory", |place| memory_bomb(place, SHARED)));
    tests.push(Test::new("memory_bomb_in_memfd", |place| memory_bomb(place, MEMFD)));
    tests.push(Test::new("memory_bomb_in_private_tmp", |place| memory_bomb(place, TMPFS)));
    tests.push(Test::new("memory_bomb_in_system_v_segments", |place| memory_bomb(place, SYSV)));
    tests.push(Test::new("disk_bomb", disk_bomb));
    tests.push(Test::new("disk_bomb_of_many_files", disk_bomb_of_many_files));
    tests.push(Test::new("disk_bomb_in_deleted_file", disk_bomb_in_deleted_file));
    tests.push(Test::new("inode_bomb", inode_bomb));
    tests.push(Test::new("output_bomb", output_bomb));
    tests.push(Test::new("open_files_bomb", |place| {
        let limits = Limits { open_files: Some(64), ..Limits::default() };
        let script = "
import resource
opened = []
try:
    resource.setrlimit(resource.RLIMIT_NOFILE, (400, 400))
except (OSError, ValueError):
    pass
try:
    for _ in range(300): opened.append(os.open('/dev/null', os.O_RDONLY))
except OSError:
    pass
refused(len(opened)) if len(opened) < 64 else through(len(opened))
";
        bounded(place, script, limits, None)
    }));
    tests.push(Test::new("processor_hog", |place| {
        let limits =
            Limits { timeout: Some(Span(Duration::from_millis(300))), ..Limits::default() };
        let script = "
begun = time.monotonic()
while time.monotonic() - begun < 2 * SECONDS: pass
through('some seconds')
";
        bounded(place, script, limits, Some(LimitKind::Timeout))
    }));
    tests.push(Test::new("hog_all_processors", |place| {
        let limits = Limits { cpus: Some(1.0), ..Limits::default() };
        let script = "
try:
    os.sched_setaffinity(0, range(os.cpu_count()))
except OSError:
    pass
if len(os.sched_getaffinity(0)) == 1: refused('one processor')
begun = time.monotonic()
children = []
for _ in range(2):
    reader, writer = os.pipe()
    if os.fork() == 0:
        while time.monotonic() - begun < 0.6: pass
        os.write(writer, b'%f' % time.process_time())
        os._exit(0)
    children.append(reader)
spent = sum(float(os.read(reader, 64)) for reader in children)
wall = time.monotonic() - begun
refused('%.2f' % (spent / wall)) if spent < 1.3 * wall else through('%.2f' % (spent / wall))
";
        // Other programs may take so much that even without the limit it gets less than it could,
        // so only the limited run is judged.
        place.python(script).limits(limits).run()?.must_be_refused()
    }));
    tests
}

/// Runs `script` under `limits`, which must refuse or stop it, and without, where it must get
/// through.
fn bounded(
    place: &Place,
    script: &str,
    limits: Limits,
    stops: Option<LimitKind>,
) -> Result<(), Failure> {
    match stops {
        None => place.python(script).limits(limits).run()?.must_be_refused()?,
        Some(kind) => {
            must_be_stopped(&place.python_for_long(script).limits(limits).run()?, kind)?;
        }
    }
    place.python(script).run()?.must_get_through()
}

fn must_be_stopped(run: &Run, kind: LimitKind) -> Result<(), Failure> {
    match run.report.stopped {
        Some(Stopped::Limit(stopped)) if stopped == kind => Ok(()),
        _ => Err(Failure::Failed(format!(
            "HOLE: not stopped by {kind}: {:?}, {:?}: {}",
            run.report.exit, run.report.stopped, run.output
        ))),
    }
}

/// Takes 160 MiB and keeps them for a while.
const MEMORY: &str = "
data = bytearray(160 << 20)
for at in range(0, len(data), 4096): data[at] = 1
time.sleep(SECONDS / 2)
through('160 MiB')
";

const MANY: &str = "
children = []
for _ in range(5):
    child = os.fork()
    if child == 0:
        data = bytearray(32 << 20)
        for at in range(0, len(data), 4096): data[at] = 1
        time.sleep(SECONDS)
        os._exit(0)
    children.append(child)
for _ in children:
    if os.wait()[1]: refused('a child was ended')
through('160 MiB')
";

const SHARED: &str = "
import mmap
data = mmap.mmap(-1, 160 << 20)
for at in range(0, len(data), 4096): data[at] = 1
time.sleep(SECONDS / 2)
through('160 MiB')
";

const MEMFD: &str = "
file = os.memfd_create('bomb')
for _ in range(160): os.write(file, bytes(1 << 20))
time.sleep(SECONDS / 2)
through('160 MiB')
";

const TMPFS: &str = "
file = os.open('/tmp/bomb', os.O_WRONLY | os.O_CREAT)
for _ in range(160): os.write(file, bytes(1 << 20))
time.sleep(SECONDS / 2)
through('160 MiB')
";

const SYSV: &str = "
libc.shmat.restype = ctypes.c_void_p
for _ in range(5):
    segment = libc.shmget(0, 32 << 20, 0o1600)
    if segment == -1: raise OSError(ctypes.get_errno(), 'shmget')
    at = libc.shmat(segment, None, 0)
    ctypes.memset(at, 1, 32 << 20)
    libc.shmdt(ctypes.c_void_p(at))
time.sleep(SECONDS / 2)
through('160 MiB')
";

/// 64 MiB are allowed.
fn memory_bomb(place: &Place, script: &str) -> Result<(), Failure> {
    let limits = Limits { memory: Some(ByteSize(64 << 20)), ..Limits::default() };
    let run = place.python_for_long(script).limits(limits).run()?;
    // Where each process is bounded, Python sees MemoryError (exit 1); where their sum is, the
    // kernel or the watcher ends them.
    let held = run.report.stopped == Some(Stopped::Limit(LimitKind::Memory))
        || run.output.contains("MemoryError")
        || !run.got_through()?;
    if !held {
        return Err(Failure::Failed(format!("HOLE: {} of 64 MiB", run.output)));
    }
    place.python(script).run()?.must_get_through()
}

fn disk_bomb(place: &Place) -> Result<(), Failure> {
    let limits = Limits { disk: Some(ByteSize(4 << 20)), ..Limits::default() };
    let script = "
file = os.open('bomb', os.O_WRONLY | os.O_CREAT)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
for _ in range(24): os.write(file, bytes(1 << 20))
time.sleep(SECONDS)
size = os.fstat(file).st_size >> 20
refused(size) if size <= 5 else through(size)
";
    let run = place.python_for_long(script).limits(limits).run()?;
    if run.report.stopped.is_none() {
        run.must_be_refused()?;
    }
    place.python(script).run()?.must_get_through()
}

fn disk_bomb_of_many_files(place: &Place) -> Result<(), Failure> {
    let limits = Limits { disk: Some(ByteSize(4 << 20)), ..Limits::default() };
    let script = "
for number in range(24):
    with open('bomb%d' % number, 'wb') as file: file.write(bytes(1 << 20))
time.sleep(SECONDS)
through('24 MiB')
";
    bounded(place, script, limits, Some(LimitKind::Disk))
}

/// A file without a name is in no directory, and still on the disk.
fn disk_bomb_in_deleted_file(place: &Place) -> Result<(), Failure> {
    let limits = Limits { disk: Some(ByteSize(4 << 20)), ..Limits::default() };
    let script = "
files = []
for number in range(12):
    file = open('bomb', 'wb')
    file.write(bytes(2 << 20))
    file.flush()
    os.unlink('bomb')
    files.append(file)
time.sleep(SECONDS)
through('24 MiB')
";
    bounded(place, script, limits, Some(LimitKind::Disk))
}

/// Empty files cost no blocks of their own, only those of their directory, so `--disk` counts a
/// block for each name that a run makes.
fn inode_bomb(place: &Place) -> Result<(), Failure> {
    let limits = Limits { disk: Some(ByteSize(1 << 20)), ..Limits::default() };
    let script = "
for number in range(6000): os.close(os.open('%d' % number, os.O_CREAT))
time.sleep(SECONDS)
through('6000 files')
";
    bounded(place, script, limits, Some(LimitKind::Disk))
}

fn output_bomb(place: &Place) -> Result<(), Failure> {
    let limits = Limits { max_output: Some(ByteSize(64 << 10)), ..Limits::default() };
    let script = "
for _ in range(64):
    os.write(1, b'x' * 16383 + b'\\n')
    os.write(2, b'y' * 16383 + b'\\n')
through('2 MiB')
";
    let run = place.python(script).limits(limits).run()?;
    must_be_stopped(&run, LimitKind::MaxOutput)?;
    if run.output.len() > 64 << 10 {
        return Err(Failure::Failed(format!("HOLE: {} bytes came out", run.output.len())));
    }
    let run = place.python(script).run()?;
    run.must_get_through().map_err(|_| Failure::Failed("no output without a limit".to_owned()))
}
