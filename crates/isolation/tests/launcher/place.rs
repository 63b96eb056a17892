//! Where a test launches, and what it launches.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{PipeReader, PipeWriter, Read, pipe};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use ctrlz_core::driver::Driver;
use ctrlz_core::isolation::{
    GivenStreams, IsolationDriver, IsolationError, Launch, Network, RootView, Streams,
};
use ctrlz_core::limits::Limits;
use ctrlz_core::operation::CommandReport;
use ctrlz_core::workspace::WorkspaceMount;
use ctrlz_isolation::launcher::{ARGUMENT, LauncherDriver};

/// What has not happened by then will not, on however busy a machine.
const PATIENCE: Duration = Duration::from_secs(300);

/// A folder with a workspace, and what the launches of it write.
pub(crate) struct Place {
    pub(crate) directory: PathBuf,
    pub(crate) base: PathBuf,
    heads: AtomicU32,
}

impl Place {
    pub(crate) fn make(directory: PathBuf) -> Self {
        let base = directory.join("base");
        fs::create_dir_all(&base).expect("make a workspace");
        fs::write(base.join("file"), "base").expect("write");
        Self { directory, base, heads: AtomicU32::new(0) }
    }

    /// A launch in an overlay of its own.
    pub(crate) fn launch(&self, argv: &[&str]) -> Launch {
        let number = self.heads.fetch_add(1, Ordering::Relaxed);
        let head = self.directory.join(format!("head-{}-{number}", std::process::id()));
        for name in ["upper", "work"] {
            fs::create_dir_all(head.join(name)).expect("make a head");
        }
        Launch {
            driver: Driver::default(),
            root: RootView::Host { workspace_at: self.base.clone() },
            workspace: WorkspaceMount::Overlay {
                lower_dirs: vec![self.base.clone()],
                upper_dir: head.join("upper"),
                work_dir: head.join("work"),
            },
            written: head.join("upper"),
            hidden: Vec::new(),
            workdir: self.base.clone(),
            argv: argv.iter().map(OsString::from).collect(),
            env: vec![("PATH".into(), "/usr/bin:/bin".into())],
            network: Network::None,
            limits: Limits::default(),
            least_free: None,
            keep_capabilities: Vec::new(),
            streams: Streams::Inherited,
            memory: None,
            compiled: None,
        }
    }

    pub(crate) fn shell(&self, script: &str) -> Launch {
        self.launch(&["/bin/sh", "-c", script])
    }
}

/// The command line of this program in the role of the launcher.
pub(crate) fn launcher() -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.arg(ARGUMENT);
    command
}

pub(crate) fn driver() -> LauncherDriver {
    LauncherDriver::start(launcher()).expect("a launcher")
}

/// The other ends of a command's streams.
pub(crate) struct Ends {
    pub(crate) input: PipeWriter,
    pub(crate) output: PipeReader,
    pub(crate) error: PipeReader,
    pub(crate) signals: PipeWriter,
}

/// Pipes for a command.
pub(crate) fn pipes() -> (Streams, Ends) {
    let (stdin, input) = pipe().expect("pipe");
    let (output, stdout) = pipe().expect("pipe");
    let (error, stderr) = pipe().expect("pipe");
    let (asked, signals) = pipe().expect("pipe");
    let given = GivenStreams {
        input: Arc::new(stdin.into()),
        output: Arc::new(stdout.into()),
        error: Arc::new(stderr.into()),
        terminal: false,
        signals: Some(Arc::new(asked.into())),
    };
    (Streams::Given(given), Ends { input, output, error, signals })
}

/// Streams for a command that nobody listens to.
pub(crate) fn nowhere() -> Streams {
    let null: Arc<OwnedFd> = Arc::new(
        File::options().read(true).write(true).open("/dev/null").expect("/dev/null").into(),
    );
    Streams::Given(GivenStreams {
        input: Arc::clone(&null),
        output: Arc::clone(&null),
        error: null,
        terminal: false,
        signals: None,
    })
}

/// What came of a command.
pub(crate) struct Run {
    pub(crate) report: Result<CommandReport, IsolationError>,
    pub(crate) output: Vec<u8>,
    pub(crate) error: Vec<u8>,
}

impl Run {
    pub(crate) fn report(&self) -> &CommandReport {
        match &self.report {
            Ok(report) => report,
            Err(error) => panic!("{}", in_full(error)),
        }
    }

    pub(crate) fn text(&self) -> String {
        assert_eq!(String::from_utf8_lossy(&self.error), "", "{:?}", self.report);
        String::from_utf8_lossy(&self.output).into_owned()
    }
}

/// An error with its causes.
pub(crate) fn in_full(error: &dyn std::error::Error) -> String {
    let cause = error.source().map(|cause| format!(": {}", in_full(cause)));
    format!("{error}{}", cause.unwrap_or_default())
}

/// Runs a command without input.
pub(crate) fn run(driver: &LauncherDriver, launch: Launch) -> Run {
    run_with(driver, launch, |_| {})
}

/// Runs a command while `action` has its input and its signals.
pub(crate) fn run_with(
    driver: &LauncherDriver,
    mut launch: Launch,
    action: impl FnOnce((PipeWriter, PipeWriter)) + Send,
) -> Run {
    let (streams, ends) = pipes();
    launch.streams = streams;
    let Ends { input, output, error, signals } = ends;
    let read = |mut pipe: PipeReader| {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).expect("read");
        bytes
    };
    std::thread::scope(|scope| {
        let (output, error) = (scope.spawn(move || read(output)), scope.spawn(move || read(error)));
        scope.spawn(move || action((input, signals)));
        let report = driver.prepare(launch, &mut |_, _| Ok(())).and_then(|mut prepared| {
            prepared.start()?;
            prepared.wait(None)
        });
        // That both are read to the end also says that no copy of a stream is left.
        let [output, error] = [output, error].map(|read| read.join().expect("read"));
        Run { report, output, error }
    })
}

/// Asks `is_so` again and again until it is.
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "{what}: not in time");
        std::thread::sleep(Duration::from_millis(3));
    }
}

/// Whether the process runs; one that waits to be reaped does not.
pub(crate) fn lives(process: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}

/// The process that started it.
pub(crate) fn parent(process: u32) -> u32 {
    parent_if_there(process).expect("it lives")
}

/// The same; `None` once it is gone.
pub(crate) fn parent_if_there(process: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')').expect("proc_pid_stat(5)");
    rest.split_whitespace().nth(1).and_then(|word| word.parse().ok())
}

/// The processes that it started.
pub(crate) fn children(process: u32) -> Vec<u32> {
    let children = fs::read_to_string(format!("/proc/{process}/task/{process}/children"));
    let children = children.unwrap_or_default();
    children.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

/// Those, and what they started.
pub(crate) fn descendants(process: u32) -> Vec<u32> {
    let mut found = children(process);
    let mut next = 0;
    while let Some(process) = found.get(next).copied() {
        next += 1;
        found.extend(children(process));
    }
    found
}

/// Processes whose command line has `marker` as a word.
pub(crate) fn marked(marker: &Path) -> Vec<u32> {
    let marker = marker.as_os_str().as_encoded_bytes();
    let all = fs::read_dir("/proc").expect("/proc").flatten();
    let numbers = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let has = |number: &u32| {
        let line = fs::read(format!("/proc/{number}/cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).any(|word| word == marker)
    };
    numbers.filter(has).collect()
}

/// Kills it, unless it has ended already.
pub(crate) fn kill(process: u32) {
    let id = i32::try_from(process).ok().and_then(rustix::process::Pid::from_raw);
    let kill = rustix::process::Signal::KILL;
    match rustix::process::kill_process(id.expect("a process"), kill) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => {}
        Err(error) => panic!("kill {process}: {error}"),
    }
}
