//! What a launch costs: `launches [COUNT [FOLDER]]` runs `/bin/true` in an overlay, COUNT times in each
//! of these ways, and prints medians and rates.
//!
//! - `floor`: a bare clone3 with the same namespaces, id maps, an overlay mount, exec, wait
//! - `direct`: the native driver in a process with one thread, as `ctrlz run` uses it
//! - `expected`: the same with a process 1 that began 5 ms before, which only the rate counts
//! - `launcher`: through a launcher, as a service uses it; by one thread, and by eight
//!
//! FOLDER must not lie below `/tmp` or `/var/tmp`, which a sandbox has its own of.

use std::error::Error;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ctrlz_core::driver::Driver;
use ctrlz_core::isolation::{GivenStreams, IsolationDriver, Launch, Network, RootView, Streams};
use ctrlz_core::limits::Limits;
use ctrlz_core::workspace::WorkspaceMount;
use ctrlz_isolation::launcher::{self, LauncherDriver};
use ctrlz_isolation::native::NativeDriver;
use ctrlz_sys::clone::{Namespaces, exit_now, spawn};
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};

type Answer<T> = Result<T, Box<dyn Error + Send + Sync>>;

const PROGRAM: &str = "/bin/true";

fn main() -> Answer<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let word = |at: usize| words.get(at).map(String::as_str);
    if word(0) == Some(launcher::ARGUMENT) {
        return Ok(launcher::run()?);
    }
    if let (Some(way), Some(folder), Some(count), Some(threads)) =
        (word(0), word(1), word(2), word(3))
    {
        return measure(way, Path::new(folder), count.parse()?, threads.parse()?);
    }
    let count = word(0).unwrap_or("300");
    let folder =
        Path::new(word(1).unwrap_or("/var/lib")).join(format!("launches-{}", std::process::id()));
    let ways = [
        ("floor", "1"),
        ("direct", "1"),
        ("expected", "1"),
        ("launcher", "1"),
        ("floor", "8"),
        ("launcher", "8"),
    ];
    println!("way       threads  median to report  to the end  a second");
    for (way, threads) in ways.into_iter().cycle().take(2 * ways.len()) {
        let folder = folder.join(format!("{way}-{threads}"));
        fs::create_dir_all(&folder)?;
        let mut command = Command::new(std::env::current_exe()?);
        let status = command.arg(way).arg(&folder).args([count, threads]).status()?;
        if !status.success() {
            return Err(format!("{way}: {status}").into());
        }
    }
    Ok(fs::remove_dir_all(folder)?)
}

/// Launches in one way, and prints what it took.
fn measure(way: &str, folder: &Path, count: usize, threads: usize) -> Answer<()> {
    let heads: Vec<PathBuf> = (0..count)
        .map(|number| {
            let head = folder.join(format!("{}-{number}", std::process::id()));
            ["upper", "work"].iter().try_for_each(|name| fs::create_dir_all(head.join(name)))?;
            Ok(head)
        })
        .collect::<io::Result<_>>()?;
    let base = folder.join("base");
    fs::create_dir_all(&base)?;
    let begun = Instant::now();
    let times = match way {
        "floor" => floors(&base, &heads, threads)?,
        "direct" => {
            let driver = NativeDriver::default();
            heads.iter().map(|head| one(&driver, &base, head)).collect::<Answer<_>>()?
        }
        "expected" => {
            let driver = NativeDriver::default();
            heads
                .iter()
                .map(|head| {
                    driver.expect(Network::None, true);
                    std::thread::sleep(Duration::from_millis(5));
                    one(&driver, &base, head)
                })
                .collect::<Answer<_>>()?
        }
        _ => through_launcher(&base, &heads, threads)?,
    };
    let rate = count as f64 / begun.elapsed().as_secs_f64();
    let median = |pick: fn(&(Duration, Duration)) -> Duration| {
        let mut all: Vec<f64> = times.iter().map(|time| pick(time).as_secs_f64() * 1e3).collect();
        all.sort_by(f64::total_cmp);
        all.get(all.len() / 2).copied().unwrap_or(f64::NAN)
    };
    let (report, end) = (median(|time| time.0), median(|time| time.1));
    println!("{way:9} {threads:7}  {report:13.3} ms  {end:8.3} ms  {rate:8.0}");
    Ok(())
}

fn launch(base: &Path, head: &Path, streams: Streams) -> Launch {
    Launch {
        driver: Driver::default(),
        root: RootView::Host { workspace_at: base.to_owned() },
        workspace: WorkspaceMount::Overlay {
            lower_dirs: vec![base.to_owned()],
            upper_dir: head.join("upper"),
            work_dir: head.join("work"),
        },
        written: head.join("upper"),
        hidden: Vec::new(),
        workdir: base.to_owned(),
        argv: vec![PROGRAM.into()],
        env: Vec::new(),
        network: Network::None,
        limits: Limits::default(),
        least_free: None,
        keep_capabilities: Vec::new(),
        streams,
        memory: None,
        compiled: None,
    }
}

/// One launch by a driver: until its report, and until all of it is taken down.
fn one(driver: &dyn IsolationDriver, base: &Path, head: &Path) -> Answer<(Duration, Duration)> {
    launch_by(driver, launch(base, head, Streams::Inherited))
}

fn launch_by(driver: &dyn IsolationDriver, launch: Launch) -> Answer<(Duration, Duration)> {
    let begun = Instant::now();
    let mut prepared = driver.prepare(launch, &mut |_, _| Ok(()))?;
    prepared.start()?;
    let ended = prepared.wait(None)?.exit;
    let report = begun.elapsed();
    drop(prepared);
    if !ended.is_success() {
        return Err(format!("{PROGRAM}: {ended:?}").into());
    }
    Ok((report, begun.elapsed()))
}

fn through_launcher(
    base: &Path,
    heads: &[PathBuf],
    threads: usize,
) -> Answer<Vec<(Duration, Duration)>> {
    let mut command = Command::new("/proc/self/exe");
    command.arg(launcher::ARGUMENT);
    let driver = LauncherDriver::start(command)?;
    let null: Arc<OwnedFd> =
        Arc::new(fs::File::options().read(true).write(true).open("/dev/null")?.into());
    let given = GivenStreams {
        input: Arc::clone(&null),
        output: Arc::clone(&null),
        error: null,
        terminal: false,
        signals: None,
    };
    let next = AtomicUsize::new(0);
    let part = || -> Answer<Vec<(Duration, Duration)>> {
        let mut times = Vec::new();
        while let Some(head) = heads.get(next.fetch_add(1, Ordering::Relaxed)) {
            let launch = launch(base, head, Streams::Given(given.clone()));
            times.push(launch_by(&driver, launch)?);
        }
        Ok(times)
    };
    std::thread::scope(|scope| {
        let parts: Vec<_> = (0..threads).map(|_| scope.spawn(part)).collect();
        let mut times = Vec::new();
        for part in parts {
            times.extend(part.join().map_err(|_| "a thread panicked")??);
        }
        Ok(times)
    })
}

/// The floor, by so many processes at once.
fn floors(base: &Path, heads: &[PathBuf], processes: usize) -> Answer<Vec<(Duration, Duration)>> {
    let parts = heads.chunks(heads.len().div_ceil(processes));
    let (read, write) = rustix::pipe::pipe()?;
    for part in parts {
        spawn(Namespaces::default(), None, || {
            for head in part {
                let begun = Instant::now();
                if floor(base, head).is_err() {
                    return 1;
                }
                let nanos = begun.elapsed().as_nanos() as u64;
                if rustix::io::write(&write, &nanos.to_ne_bytes()).is_err() {
                    return 1;
                }
            }
            0
        })?;
    }
    drop(write);
    let mut bytes = Vec::new();
    io::Read::read_to_end(&mut fs::File::from(read), &mut bytes)?;
    let (numbers, _) = bytes.as_chunks();
    if numbers.len() != heads.len() {
        return Err("the floor failed".into());
    }
    let times = numbers.iter().map(|number| Duration::from_nanos(u64::from_ne_bytes(*number)));
    Ok(times.map(|time| (time, time)).collect())
}

fn floor(base: &Path, head: &Path) -> io::Result<()> {
    let all = Namespaces {
        user: true,
        mount: true,
        pid: true,
        network: true,
        ipc: true,
        uts: true,
        cgroup: true,
    };
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let child = spawn(all, None, || match inside(base, head, uid, gid) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("floor: {error}");
            exit_now(125)
        }
    })?;
    let ended = rustix::process::waitpid(Some(child.pid), rustix::process::WaitOptions::empty())?;
    match ended.and_then(|(_, status)| status.exit_status()) {
        Some(0) => Ok(()),
        other => Err(io::Error::other(format!("{other:?}"))),
    }
}

fn inside(base: &Path, head: &Path, uid: u32, gid: u32) -> io::Result<()> {
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("{uid} {uid} 1"))?;
    fs::write("/proc/self/gid_map", format!("{gid} {gid} 1"))?;
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    let options = format!(
        "lowerdir={},upperdir={},workdir={},userxattr,volatile",
        base.display(),
        head.join("upper").display(),
        head.join("work").display()
    );
    let options = std::ffi::CString::new(options)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    mount("overlay", base, "overlay", flags, options.as_c_str())?;
    rustix::process::chdir(base)?;
    Err(Command::new(PROGRAM).exec())
}
