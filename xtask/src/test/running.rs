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
use crate::account::Account;
use crate::failure::{Answer, Failure};
use crate::project;

/// The longest that one test binary may run. None should take a tenth of it, even on a busy machine;
/// one that hangs must not hold up everything.
const LONGEST: Duration = Duration::from_secs(60 * 60);

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
    /// A server that speaks S3.
    pub(super) object_store: Option<&'a Path>,
    pub(super) who: &'a As<'a>,
    /// Arguments for each binary, such as a part of a test's name.
    pub(super) filter: &'a [String],
}

impl Suite<'_> {
    /// Runs them one after the other; prints one line each, and what failed.
    pub(super) fn run(&self, skips: &mut Skips) -> Answer<Counts> {
        let logs = self.built.target.join("test-logs").join(self.who.word());
        fs::create_dir_all(&logs).map_err(Failure::io("make", &logs))?;
        let place = Place::of(self.who, self.built)?;
        let mut total = Counts::default();
        for binary in &self.built.tests {
            let log = logs.join(format!("{}.log", binary.name.replace('/', "-")));
            let started = Instant::now();
            let end = self.run_one(binary, &place, &log)?;
            let output = fs::read(&log).map_err(Failure::io("read", &log))?;
            let output = String::from_utf8_lossy(&output);
            for reason in outcome::skips(&output) {
                skips.note(self.who.word(), &binary.name, &reason);
            }
            let mut counts = outcome::counts(&output).unwrap_or_default();
            // A binary that dies has no closing line.
            if end != End::Success && counts.failed == 0 {
                counts.failed = 1;
            }
            let seconds = started.elapsed().as_secs_f64();
            println!("{:<28} {counts} ({seconds:.1} s)", binary.name);
            if end != End::Success {
                println!("{}\n{}: {end:?}", outcome::failures(&output), binary.name);
            }
            total += counts;
        }
        Ok(total)
    }

    fn run_one(&self, binary: &TestBinary, place: &Place, log: &Path) -> Answer<End> {
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
        command.arg(&binary.path).arg("--show-output").args(self.filter);
        self.environment(&mut command, binary, place);
        let file = File::create(log).map_err(Failure::io("write", log))?;
        let errors = file.try_clone().map_err(Failure::io("write", log))?;
        command.stdin(Stdio::null()).stdout(file).stderr(errors).process_group(0);
        let mut child = command.spawn().map_err(|source| Failure::Start {
            program: binary.path.display().to_string(),
            source,
        })?;
        wait(&mut child).map_err(Failure::io("wait for", &binary.path))
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
        if let Some(program) = self.object_store {
            command.env("CTRLZ_MOTO_SERVER", program);
        }
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

/// How a test binary ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Success,
    Failure(ExitStatus),
    /// It ran for [`LONGEST`] and was killed.
    Hung,
}

fn wait(child: &mut Child) -> std::io::Result<End> {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(if status.success() { End::Success } else { End::Failure(status) });
        }
        if started.elapsed() > LONGEST {
            let group = rustix::process::Pid::from_child(child);
            rustix::process::kill_process_group(group, rustix::process::Signal::KILL)?;
            child.wait()?;
            return Ok(End::Hung);
        }
        thread::sleep(Duration::from_millis(20));
    }
}
