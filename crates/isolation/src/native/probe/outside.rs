//! The sandbox in which the probe runs.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Seek};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use ctrlz_core::driver::Driver;
use ctrlz_core::isolation::{IsolationDriver, IsolationError, Launch, Network, RootView, Streams};
use ctrlz_core::limits::{LimitKind, Limits};
use ctrlz_core::operation::CommandReport;
use ctrlz_core::size::ByteSize;
use ctrlz_core::workspace::WorkspaceMount;
use ctrlz_sys::clone::{Namespaces, spawn};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Resource, Signal, getrlimit, kill_process, pidfd_open};

use super::super::driver::NativeDriver;
use super::super::protection::{Protection, Protections};
use super::super::survey;
use super::overrun;
use super::{DISK, Facts, MEMORY, OPEN_FILES, PIDS, PROBE, Trial};

/// How long what must end may take for it.
const PATIENCE: Timespec = Timespec { tv_sec: 5, tv_nsec: 0 };

/// Tries every protection of `driver` in a sandbox of its own, whose files lie in a folder that is
/// made in `place` and removed again. `hidden` are to be hidden inside. This process must have one
/// thread. Only a `thorough` probe takes more memory,
/// processors, time and output than it may, which costs more than all the rest.
///
/// # Errors
/// When the sandbox cannot be made, or the probe does not tell.
pub fn probe(
    driver: &NativeDriver,
    place: &Path,
    hidden: &[PathBuf],
    thorough: bool,
) -> Result<Vec<Trial>, IsolationError> {
    let failed = |source| IsolationError::Setup { step: "prepare the probe".to_owned(), source };
    // As it is seen inside, a path leads through no link and no `..`.
    let place = &place.canonicalize().map_err(failed)?;
    remove_left_over(place);
    let stage = Stage::make(place, thorough).map_err(failed)?;
    let facts = stage.facts(hidden);
    let text = serde_json::to_string(&facts).map_err(|error| failed(error.into()))?;
    let argv = ["/proc/self/exe".into(), OsString::from(PROBE), text.into()];
    let hidden = facts.hidden.iter().map(PathBuf::from).collect();
    let launch = Launch { hidden, ..stage.launch(argv.to_vec(), stage.limits()) };
    let (report, output) = stage.run(driver, launch)?;
    let mut trials: Vec<Trial> = serde_json::from_slice(&output).map_err(|_| {
        let text = String::from_utf8_lossy(&output);
        IsolationError::Lost { what: format!("the probe ended with {:?}: {text}", report.exit) }
    })?;
    // Only what is set up is promised; the rest the survey tells.
    let all = survey::all(Protections::all()).into_iter();
    let promised: Vec<String> = all.filter(|one| one.by.is_some()).map(|one| one.what).collect();
    trials.retain(|trial| promised.contains(&trial.what));
    trials.push(dies_with_launcher(driver, &stage));
    if thorough {
        trials.extend(overrun::trials(driver, &stage));
    }
    // The launcher that was killed for it could not remove its groups.
    driver.tidy();
    for protection in Protection::ALL {
        let word = protection.word();
        let in_force = report.enforced.iter().any(|enforced| enforced == word);
        match trials.iter_mut().find(|trial| trial.what == word) {
            Some(trial) if !in_force && trial.held => {
                trial.held = false;
                trial.evidence = format!("it was not set up ({})", trial.evidence);
            }
            Some(_) => {}
            None if promised.iter().any(|what| what == word) => trials.push(Trial {
                what: word.to_owned(),
                held: in_force,
                tried: false,
                evidence: match in_force {
                    true => "the kernel took it; nothing inside can try it".to_owned(),
                    false => "it was not set up".to_owned(),
                },
            }),
            None => {}
        }
    }
    Ok(trials)
}

/// What the sandbox of a probe is made of.
pub(super) struct Stage {
    directory: PathBuf,
    markers: Vec<PathBuf>,
    /// Left open on purpose.
    open: OwnedFd,
    thorough: bool,
}

impl Stage {
    fn make(place: &Path, thorough: bool) -> io::Result<Self> {
        let directory = place.join(format!("probe.{}", std::process::id()));
        fs::create_dir(&directory)?;
        fs::create_dir(directory.join("work"))?;
        fs::write(directory.join("secret"), "secret")?;
        let open = File::open(directory.join("secret"))?;
        // High enough to be nobody's, where the process may have so many, and inherited.
        let most = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let number = i32::try_from(most / 2).unwrap_or(i32::MAX).min(200);
        let open = rustix::io::fcntl_dupfd_cloexec(open, number)?;
        rustix::io::fcntl_setfd(&open, rustix::io::FdFlags::empty())?;
        let mut markers = Vec::new();
        for folder in ["/tmp", "/var/tmp", "/run", "/dev/shm"] {
            let marker = Path::new(folder).join(format!(".ctrlz-probe-{}", std::process::id()));
            if File::create(&marker).is_ok() {
                markers.push(marker);
            }
        }
        Ok(Self { directory, markers, open, thorough })
    }

    fn facts(&self, hidden: &[PathBuf]) -> Facts {
        use std::os::fd::AsRawFd;
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let namespaces = ["user", "pid", "net", "ipc", "uts", "cgroup"];
        let leads = |name: &str| fs::read_link(format!("/proc/self/ns/{name}")).ok();
        let score = fs::read_to_string("/proc/self/oom_score_adj").unwrap_or_default();
        let limits = self.limits();
        let words = LimitKind::ALL.into_iter().filter(|kind| limits.has(*kind));
        Facts {
            namespaces: namespaces
                .into_iter()
                .filter_map(|name| Some((name.to_owned(), text(&leads(name)?))))
                .collect(),
            launcher: std::process::id(),
            markers: self.markers.iter().map(|path| text(path)).collect(),
            hidden: self.hidden(hidden).iter().map(|path| text(path)).collect(),
            descriptor: self.open.as_raw_fd(),
            oom_score: score.trim().parse().unwrap_or_default(),
            home: std::env::var("HOME").ok(),
            limits: words.map(|kind| kind.to_string()).collect(),
        }
    }

    /// A file that everybody may read is hidden, too: that it is empty shows that hiding works.
    fn hidden(&self, more: &[PathBuf]) -> Vec<PathBuf> {
        let readable = ["/etc/passwd", "/etc/hostname", "/etc/os-release"];
        let readable = readable.into_iter().map(PathBuf::from).filter(|path| path.exists());
        let own = [self.directory.join("secret")];
        readable.chain(own).chain(more.iter().cloned()).collect()
    }

    /// Those that this host holds.
    fn limits(&self) -> Limits {
        let wanted = Limits {
            open_files: Some(OPEN_FILES),
            pids: Some(PIDS),
            memory: Some(ByteSize(MEMORY)),
            disk: Some(ByteSize(DISK)),
            ..Limits::default()
        };
        let holds = |kind| survey::mechanism(kind, Some(&wanted)).by.is_some();
        Limits {
            open_files: wanted.open_files.filter(|_| holds(LimitKind::OpenFiles)),
            pids: wanted.pids.filter(|_| holds(LimitKind::Pids)),
            memory: wanted.memory.filter(|_| self.thorough && holds(LimitKind::Memory)),
            disk: wanted.disk.filter(|_| holds(LimitKind::Disk)),
            ..Limits::default()
        }
    }

    pub(super) fn launch(&self, argv: Vec<OsString>, limits: Limits) -> Launch {
        let work = self.directory.join("work");
        Launch {
            driver: Driver::Native,
            root: RootView::Host { workspace_at: work.clone() },
            workspace: WorkspaceMount::Bind { source: work.clone() },
            written: work.clone(),
            hidden: Vec::new(),
            workdir: work,
            argv,
            env: vec![("PATH".into(), "/usr/bin:/bin".into())],
            network: Network::None,
            limits,
            least_free: None,
            keep_capabilities: Vec::new(),
            streams: Streams::Inherited,
            memory: None,
            compiled: None,
        }
    }

    /// Runs a command with standard streams that are files without a name.
    pub(super) fn run(
        &self,
        driver: &NativeDriver,
        launch: Launch,
    ) -> Result<(CommandReport, Vec<u8>), IsolationError> {
        let failed =
            |source| IsolationError::Setup { step: "prepare the probe".to_owned(), source };
        let nameless = |name: &str| -> io::Result<(File, File)> {
            let path = self.directory.join(name);
            let file = File::create_new(&path)?;
            let reading = File::open(&path)?;
            fs::remove_file(&path)?;
            Ok((file, reading))
        };
        let (_, input) = nameless("input").map_err(failed)?;
        let (output, mut told) = nameless("output").map_err(failed)?;
        let streams = Saved::replace(&input, &output).map_err(failed)?;
        let report = driver.prepare(launch, &mut |_, _| Ok(())).and_then(|mut prepared| {
            prepared.start()?;
            prepared.wait(None)
        });
        drop(streams);
        let mut bytes = Vec::new();
        told.rewind().and_then(|()| told.read_to_end(&mut bytes)).map_err(failed)?;
        Ok((report?, bytes))
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        for marker in &self.markers {
            let _ = fs::remove_file(marker);
        }
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// What probes left that were killed.
fn remove_left_over(place: &Path) {
    for entry in fs::read_dir(place).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.strip_prefix("probe.")?.parse::<u32>().ok());
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// The standard streams, to be given back.
struct Saved([OwnedFd; 3]);

impl Saved {
    fn replace(input: &File, output: &File) -> io::Result<Self> {
        let keep = |fd| rustix::io::fcntl_dupfd_cloexec(fd, 3);
        let saved = [
            keep(rustix::stdio::stdin())?,
            keep(rustix::stdio::stdout())?,
            keep(rustix::stdio::stderr())?,
        ];
        let saved = Self(saved);
        rustix::stdio::dup2_stdin(input)?;
        rustix::stdio::dup2_stdout(output)?;
        rustix::stdio::dup2_stderr(output)?;
        Ok(saved)
    }
}

impl Drop for Saved {
    fn drop(&mut self) {
        let [stdin, stdout, stderr] = &self.0;
        let _ = rustix::stdio::dup2_stdin(stdin);
        let _ = rustix::stdio::dup2_stdout(stdout);
        let _ = rustix::stdio::dup2_stderr(stderr);
    }
}

/// A launcher is killed; its sandbox must end.
fn dies_with_launcher(driver: &NativeDriver, stage: &Stage) -> Trial {
    let trial = |held, evidence: String| Trial {
        what: Protection::DiesWithLauncher.word().to_owned(),
        held,
        tried: true,
        evidence,
    };
    match killed_launcher(driver, stage) {
        Ok(true) => trial(true, "a launcher was killed, and its sandbox ended".to_owned()),
        Ok(false) => trial(false, "a launcher was killed, and its sandbox goes on".to_owned()),
        Err(error) => trial(false, format!("it could not be tried: {error}")),
    }
}

fn killed_launcher(driver: &NativeDriver, stage: &Stage) -> io::Result<bool> {
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    let mut write = Some(write);
    let launcher = spawn(Namespaces::default(), None, || {
        let Some(write) = write.take() else { return 1 };
        let argv = vec!["sleep".into(), "60".into()];
        let prepared = driver.prepare(stage.launch(argv, stage.limits()), &mut |pid, _| {
            rustix::io::write(&write, &pid.to_ne_bytes())?;
            Ok(())
        });
        let ended = prepared.and_then(|mut prepared| {
            prepared.start()?;
            prepared.wait(None)
        });
        i32::from(ended.is_err())
    })?;
    drop(write);
    let mut bytes = [0; 4];
    let told = rustix::io::read(&read, &mut bytes);
    let process = told.ok().filter(|count| *count == 4).and_then(|_| {
        let pid = i32::try_from(u32::from_ne_bytes(bytes)).ok().and_then(Pid::from_raw)?;
        Some((pid, pidfd_open(pid, PidfdFlags::empty()).ok()?))
    });
    let _ = kill_process(launcher.pid, Signal::KILL);
    let _ = rustix::process::waitpid(Some(launcher.pid), rustix::process::WaitOptions::empty());
    let (pid, process) = process.ok_or_else(|| io::Error::other("no sandbox was begun"))?;
    let mut end = [PollFd::new(&process, PollFlags::IN)];
    let ended = rustix::io::retry_on_intr(|| poll(&mut end, Some(&PATIENCE)))? > 0;
    if !ended {
        let _ = kill_process(pid, Signal::KILL);
    }
    Ok(ended)
}
