//! One run of an attack in a sandbox.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ctrlz_core::isolation::Network;
use ctrlz_core::limits::Limits;
use ctrlz_core::operation::{CommandReport, Exit};
use ctrlz_isolation::native::Protection;

use crate::attack::{Failure, is_root};
use crate::launcher::{BY_LAUNCHER, Outcome, SPEC, Spec, is_another};
use crate::place::Place;
use crate::python::{REFUSED, THROUGH};

/// Bad system call.
const SIGSYS: i32 = 31;

/// What has not happened by then will not, on however busy a machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(300);

/// Those that an attack here could use.
const CAPABILITIES: [&str; 12] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "MKNOD",
    "NET_ADMIN",
    "NET_RAW",
    "SETFCAP",
    "SETUID",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_CHROOT",
    "SYS_PTRACE",
];

/// A run that is being arranged.
#[derive(Debug)]
pub(crate) struct Trial<'p> {
    place: &'p Place,
    number: u32,
    pub(crate) spec: Spec,
    stdin: Stdio,
    stdout: Option<Stdio>,
    /// A program and its arguments that start the launcher.
    wrapper: Vec<String>,
}

impl<'p> Trial<'p> {
    pub(crate) fn new(place: &'p Place, number: u32, argv: Vec<String>) -> Self {
        let head = place.store.join(number.to_string());
        let spec = Spec {
            base: place.workspace.clone(),
            head: Some(head),
            own_root: false,
            without: Vec::new(),
            limits: Limits::default(),
            network: Network::None,
            hidden: vec![place.directory.join("home/.ssh"), place.store.clone()],
            keep_capabilities: Vec::new(),
            argv,
            leaks: Vec::new(),
            report: place.directory.join(format!("report-{number}")),
        };
        Self { place, number, spec, stdin: Stdio::null(), stdout: None, wrapper: Vec::new() }
    }

    /// An ordinary user's program loses its capabilities by execve(2) even where none are taken,
    /// so to leave that protection out means to keep them expressly.
    pub(crate) fn without(mut self, protections: &[Protection]) -> Self {
        for protection in protections {
            if *protection == Protection::NoCapabilities && !is_root() {
                self.spec.keep_capabilities = CAPABILITIES.map(str::to_owned).to_vec();
            } else {
                self.spec.without.push(protection.word().to_owned());
            }
        }
        self
    }

    pub(crate) fn limits(mut self, limits: Limits) -> Self {
        self.spec.limits = limits;
        self
    }

    pub(crate) fn leak(mut self, path: impl Into<PathBuf>, write: bool) -> Self {
        self.spec.leaks.push((path.into(), write));
        self
    }

    pub(crate) fn stdin(mut self, stdin: impl Into<Stdio>) -> Self {
        self.stdin = stdin.into();
        self
    }

    pub(crate) fn stdout(mut self, stdout: impl Into<Stdio>) -> Self {
        self.stdout = Some(stdout.into());
        self
    }

    /// The launcher is started as the last arguments of `program`.
    pub(crate) fn wrapped_in(mut self, program: &[&str]) -> Self {
        self.wrapper = program.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    /// Where the overlay keeps what this run writes.
    pub(crate) fn upper(&self) -> PathBuf {
        self.spec.head.as_ref().map_or_else(|| self.spec.base.clone(), |head| head.join("upper"))
    }

    pub(crate) fn spawn(self) -> Result<Started, Failure> {
        let directory = &self.place.directory;
        if let Some(head) = &self.spec.head {
            fs::create_dir_all(head.join("upper"))?;
            fs::create_dir_all(head.join("work"))?;
        }
        let path = directory.join(format!("spec-{}", self.number));
        fs::write(&path, serde_json::to_vec(&self.spec).map_err(std::io::Error::other)?)?;
        let out = directory.join(format!("out-{}", self.number));
        let output = File::create(&out)?;
        let itself = std::env::current_exe()?;
        let mut command = match self.wrapper.split_first() {
            None => Command::new(&itself),
            Some((program, arguments)) => {
                let mut command = Command::new(program);
                command.args(arguments).arg(&itself);
                command
            }
        };
        let errors = output.try_clone()?;
        command.env(SPEC, &path).stdin(self.stdin).stderr(errors);
        command.stdout(self.stdout.unwrap_or_else(|| output.into()));
        Ok(Started { child: command.spawn()?, report: self.spec.report, out })
    }

    /// Runs it to its end.
    pub(crate) fn run(self) -> Result<Run, Failure> {
        self.spawn()?.finish()
    }
}

/// A run under way. Its launcher is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) child: Child,
    report: PathBuf,
    pub(crate) out: PathBuf,
}

impl Started {
    /// Waits for the end.
    pub(crate) fn finish(mut self) -> Result<Run, Failure> {
        let ended = wait_until(PATIENCE, || self.child.try_wait().is_ok_and(|s| s.is_some()));
        let output =
            || String::from_utf8_lossy(&fs::read(&self.out).unwrap_or_default()).trim().to_owned();
        if !ended {
            return Err(Failure::Failed(format!("the run does not end: {}", output())));
        }
        let output = output();
        let Ok(report) = fs::read(&self.report) else {
            return Err(Failure::Failed(format!("the launcher left no report: {output}")));
        };
        match serde_json::from_slice(&report).map_err(std::io::Error::other)? {
            Outcome::Ran(report) => Ok(Run { report, output }),
            Outcome::Failed(error) => {
                Err(Failure::Failed(format!("the sandbox did not start: {error}; {output}")))
            }
        }
    }

    /// What was printed so far.
    pub(crate) fn output(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.out).unwrap_or_default()).into_owned()
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks `is_so` again and again; answers whether it became true in time.
pub(crate) fn wait_until(patience: Duration, mut is_so: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    while !is_so() {
        if begun.elapsed() > patience {
            return false;
        }
        std::thread::sleep(Duration::from_millis(4));
    }
    true
}

/// A run that ended.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) report: CommandReport,
    pub(crate) output: String,
}

impl Run {
    /// Whether the attack got through; fails when it said neither yes nor no.
    pub(crate) fn got_through(&self) -> Result<bool, Failure> {
        match self.report.exit {
            Exit::Code(THROUGH) => Ok(true),
            Exit::Code(REFUSED) => Ok(false),
            // What libseccomp answers to calls of another architecture.
            Exit::Signal(SIGSYS) if is_another() => Ok(false),
            exit => Err(Failure::Failed(format!(
                "the attack gave no verdict ({exit:?}, stopped by {:?}): {}",
                self.report.stopped, self.output
            ))),
        }
    }

    pub(crate) fn must_be_refused(&self) -> Result<(), Failure> {
        match self.got_through()? {
            true => Err(Failure::Failed(format!("HOLE: {}", self.output))),
            false => Ok(()),
        }
    }

    pub(crate) fn must_get_through(&self) -> Result<(), Failure> {
        match self.got_through()? {
            true => Ok(()),
            // A launcher leaves nothing open, and has no terminal, whoever asks it not to.
            false if std::env::var_os(BY_LAUNCHER).is_some() => Ok(()),
            false => Err(Failure::Failed(format!(
                "without its protection the attack should get through: {}",
                self.output
            ))),
        }
    }

    /// Whether the report names it.
    pub(crate) fn is_enforced(&self, protection: Protection) -> bool {
        self.report.enforced.iter().any(|one| one == protection.word())
    }

    /// Fails unless the report names all of `protections`.
    pub(crate) fn must_enforce(&self, protections: &[Protection]) -> Result<(), Failure> {
        // Of another driver's protections the attack tells.
        if is_another() {
            return Ok(());
        }
        match protections.iter().find(|protection| !self.is_enforced(**protection)) {
            None => Ok(()),
            Some(missing) => Err(Failure::Failed(format!("{missing} is not in force"))),
        }
    }
}
