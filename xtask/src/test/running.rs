//! Running the test binaries, as root and as an ordinary user.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::binaries::{Built, TestBinary};
use super::outcome::{self, Counts};
use super::reach::Reach;
use super::skips::Skips;
use super::zfs::Zfs;
use crate::account::Account;
use crate::failure::{Answer, Failure};
use crate::project;

/// The longest that one test binary may run. None should take a tenth of it, even on a busy machine;
/// one that hangs must not hold up everything.
const LONGEST: Duration = Duration::from_secs(60 * 60);

/// Tests at once for each processor: most of what they do is to wait, for disks and for what they end.
const AT_ONCE: usize = 2;

/// Those that use ZFS. Debian's zfs-fuse takes seconds for what a kernel does in milliseconds, and was seen
/// to stop answering for good, each of its threads waiting for another.
const ON_ZFS: [&str; 2] = ["workspace/zfs", "workspace/zfs_contract"];

/// The longest that one of these may run: what came to its end until then counts, and the rest is a skip.
const LONGEST_ON_ZFS: Duration = Duration::from_secs(4 * 60);

/// With more failures than this, something is broken.
const MOST_UNSTEADY: usize = 3;

/// Who runs the tests.
pub(super) enum As<'a> {
    /// This process, which is root.
    Root,
    /// This process, which is not.
    Caller,
    /// A user made for the purpose.
    User(&'a Account),
}

impl As<'_> {
    /// The word in the list of expected skips.
    fn word(&self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Caller | Self::User(_) => "user",
        }
    }
}

/// All test binaries, run by one user.
pub(super) struct Suite<'a> {
    pub(super) built: &'a Built,
    /// Servers and file systems, each with the variable by which the tests are told.
    pub(super) servers: &'a [(&'static str, PathBuf)],
    /// What tells those that use ZFS where there is a pool.
    pub(super) pool: Option<&'a Zfs>,
    pub(super) who: &'a As<'a>,
    /// Arguments for each binary, such as a part of a test's name.
    pub(super) filter: &'a [String],
}

impl Suite<'_> {
    /// Runs them one after the other; prints one line each, and what failed.
    pub(super) fn run(&self, skips: &mut Skips) -> Answer<Counts> {
        let place = Place::of(self.who, self.built)?;
        let mut total = Counts::default();
        let processors = thread::available_parallelism().map_or(1, usize::from);
        let mut arguments = vec![format!("--test-threads={}", processors * AT_ONCE)];
        arguments.extend_from_slice(self.filter);
        for binary in &self.built.tests {
            let started = Instant::now();
            let ran = self.once(binary, &place, "", &arguments)?;
            for reason in outcome::skips(&ran.output) {
                skips.note(self.who.word(), &binary.name, &reason);
            }
            let mut counts = ran.counts;
            let seconds = started.elapsed().as_secs_f64();
            println!("{:<28} {counts} ({seconds:.1} s)", binary.name);
            if ran.is_cut {
                skips.note(
                    self.who.word(),
                    &binary.name,
                    "not all cases on zfs-fuse came to their end in time",
                );
            } else if ran.end != End::Success {
                println!("{}\n{}: {:?}", outcome::failures(&ran.output), binary.name, ran.end);
                if self.is_unsteady(binary, &place, &ran)? {
                    counts.pass_unsteady();
                }
            }
            total += counts;
        }
        Ok(total)
    }

    /// Whether the few tests that failed pass when they run again, alone: a busy machine then made
    /// them fail, or a fault that comes and goes. The log of the first run is kept, and all of it is
    /// told.
    fn is_unsteady(&self, binary: &TestBinary, place: &Place, ran: &Ran) -> Answer<bool> {
        let names = outcome::failed(&ran.output);
        // A sandbox that let something through once does not keep it out.
        let is_hole = ran.output.contains("HOLE: ");
        if names.is_empty() || names.len() > MOST_UNSTEADY || is_hole {
            return Ok(false);
        }
        let mut arguments = vec!["--exact".to_owned(), "--test-threads=1".to_owned()];
        arguments.extend(names.iter().cloned());
        let again = self.once(binary, place, "-again", &arguments)?;
        let passed = again.end == End::Success && again.counts.passed >= ran.counts.failed;
        if passed {
            names.iter().for_each(|name| println!("UNSTEADY: {name} passes when it runs again"));
        } else {
            println!("again: {}\n{}", again.counts, outcome::failures(&again.output));
        }
        Ok(passed)
    }

    fn once(
        &self,
        binary: &TestBinary,
        place: &Place,
        which: &str,
        arguments: &[String],
    ) -> Answer<Ran> {
        let logs = self.built.target.join("test-logs").join(self.who.word());
        fs::create_dir_all(&logs).map_err(Failure::io("make", &logs))?;
        let log = logs.join(format!("{}{which}.log", binary.name.replace('/', "-")));
        let end = self.run_one(binary, place, &log, arguments)?;
        let output = fs::read(&log).map_err(Failure::io("read", &log))?;
        let output = String::from_utf8_lossy(&output).into_owned();
        let mut counts = outcome::counts(&output).unwrap_or_default();
        let so_far = outcome::counts_so_far(&output);
        let is_cut = end == End::Hung && is_on_zfs(binary) && so_far.failed == 0;
        if is_cut {
            counts = so_far;
        } else if end != End::Success && counts.failed == 0 {
            // A binary that dies has no closing line.
            counts.failed = 1;
        }
        Ok(Ran { end, counts, output, is_cut })
    }

    fn run_one(
        &self,
        binary: &TestBinary,
        place: &Place,
        log: &Path,
        arguments: &[String],
    ) -> Answer<End> {
        let mut command = match (self.who, &place.reach) {
            (As::User(account), Some(reach)) => reach.command(account, &binary.package),
            (As::User(account), None) => {
                let mut command = account.command("env");
                command.arg("-C").arg(&binary.package);
                command
            }
            _ => {
                let mut command = Command::new("env");
                command.current_dir(&binary.package);
                command
            }
        };
        // Whoever runs this under nohup(1) ignores a signal that tests send.
        command.arg("--default-signal");
        command.arg(&binary.path).arg("--show-output").args(arguments);
        self.environment(&mut command, binary, place);
        let file = File::create(log).map_err(Failure::io("write", log))?;
        let errors = file.try_clone().map_err(Failure::io("write", log))?;
        command.stdin(Stdio::null()).stdout(file).stderr(errors).process_group(0);
        let mut child = command.spawn().map_err(|source| Failure::Start {
            program: binary.path.display().to_string(),
            source,
        })?;
        let longest = if is_on_zfs(binary) { LONGEST_ON_ZFS } else { LONGEST };
        // Who waits for an answer of the daemon ends no sooner than that.
        let end_daemon = || self.pool.filter(|_| is_on_zfs(binary)).map(Zfs::end);
        wait(&mut child, longest, end_daemon).map_err(Failure::io("wait for", &binary.path))
    }

    /// What cargo tells the tests that it runs, and a temporary folder of the user's own.
    fn environment(&self, command: &mut Command, binary: &TestBinary, place: &Place) {
        command
            .env("CARGO_MANIFEST_DIR", &binary.package)
            .env("INSTA_WORKSPACE_ROOT", project::root())
            .env("INSTA_UPDATE", "no");
        for (name, path) in &self.built.programs {
            command.env(format!("CARGO_BIN_EXE_{name}"), path);
        }
        let pool = self.pool.filter(|_| is_on_zfs(binary));
        let told = self.servers.iter().chain(pool.iter().flat_map(|pool| &pool.variables));
        command.envs(told.map(|(variable, program)| (variable, program)));
        if let Some(folder) = &place.temporary {
            command.env("TMPDIR", folder);
        }
    }
}

/// Where a user's tests run.
struct Place {
    temporary: Option<PathBuf>,
    reach: Option<Reach>,
}

impl Place {
    fn of(who: &As<'_>, built: &Built) -> Answer<Self> {
        let As::User(account) = who else { return Ok(Self { temporary: None, reach: None }) };
        let needed: Vec<&Path> = vec![&built.target];
        let root = project::root();
        let reach = Reach::needed(account, &[needed, vec![&root]].concat())?;
        Ok(Self { temporary: Some(account.folder("tmp")?), reach })
    }
}

fn is_on_zfs(binary: &TestBinary) -> bool {
    ON_ZFS.contains(&binary.name.as_str())
}

/// What came of a test binary.
struct Ran {
    end: End,
    counts: Counts,
    output: String,
    /// Whether its time on zfs-fuse was over, and nothing of it had failed.
    is_cut: bool,
}

/// How a test binary ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Success,
    Failure(ExitStatus),
    /// It ran for the longest that it may and was killed.
    Hung,
}

fn wait<T>(
    child: &mut Child,
    longest: Duration,
    when_hung: impl FnOnce() -> T,
) -> std::io::Result<End> {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(if status.success() { End::Success } else { End::Failure(status) });
        }
        if started.elapsed() > longest {
            let group = rustix::process::Pid::from_child(child);
            rustix::process::kill_process_group(group, rustix::process::Signal::KILL)?;
            when_hung();
            child.wait()?;
            return Ok(End::Hung);
        }
        thread::sleep(Duration::from_millis(20));
    }
}
