//! The launcher's side of starting a sandbox.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ctrlz_core::driver::Driver;
#[cfg(doc)]
use ctrlz_core::isolation::GivenStreams;
use ctrlz_core::isolation::{IsolationError, Launch, Prepared};
use ctrlz_core::limits::{LimitKind, Limits};
use ctrlz_core::monitor::Observer;
use ctrlz_core::operation::CommandReport;
use ctrlz_core::size::ByteSize;
use ctrlz_core::workspace::WorkspaceMount;
use ctrlz_sys::clone::{Child, Namespaces, spawn};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{AtFlags, FileType, StatxAttributes, StatxFlags, fstat};
use rustix::io::Errno;
use rustix::process::{Signal, WaitId, WaitIdOptions, pidfd_send_signal, waitid};
use rustix::stdio::{stderr, stdin, stdout};

use super::cgroup::{Controller, Groups};
use super::control::{Channel, Order, channel};
use super::delegate::{Container, Delegate};
use super::feed::Feed;
use super::identity::Identity;
use super::inside::{Outlook, Provision, Rlimits, Session, Start, process_1};
use super::meter::Meter;
use super::output::{Limited, pipes};
use super::placement;
use super::protection::{Protection, Protections};
use super::task::Task;
use super::{sockets, wait};

/// A process 1 that enters its namespaces and waits for its task.
#[derive(Debug)]
pub(super) struct Waiting {
    child: Child,
    channel: Channel,
    outlook: Outlook,
    /// Whether the process was waited for, so that its id may be another's by now.
    reaped: bool,
    /// Whether somebody else made it: it is no child of this process.
    pub(super) is_foreign: bool,
    /// Who speaks for a process 1 that is out of reach, and ends after it.
    speaker: Option<OwnedFd>,
}

/// The process that asked for a launch, when it is not the one that carries it out.
#[derive(Debug)]
pub(crate) struct Asker {
    /// Closed at its other end once that process is gone, or wants the sandbox taken down.
    pub(crate) control: OwnedFd,
    /// Where signals for the command come from, one byte each; see [`GivenStreams::signals`].
    pub(crate) signals: Option<OwnedFd>,
    /// Standard input is a terminal for the command alone.
    pub(crate) terminal: bool,
}

/// A sandbox whose process 1 builds the root, or waits for the order to start the command.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) waiting: Waiting,
    pub(super) groups: Groups,
    pub(super) meter: Meter,
    pub(super) output: Option<Limited>,
    pub(super) driver: Driver,
    /// The limits, when what starts the command ends before it.
    pub(super) settles: Option<Limits>,
    /// What feeds standard input, when the command does not get that of this process.
    pub(super) feed: Option<Feed>,
    /// Who keeps the code that the command compiles, while it may ask.
    pub(super) keeper: Option<crate::wasm::Keeper>,
    /// Protections that are in force without process 1's doing.
    pub(super) given: Protections,
    pub(super) program: std::path::PathBuf,
    pub(super) timeout: Option<std::time::Duration>,
    pub(super) asker: Option<Asker>,
    /// `None` before the command began, and once it is waited for.
    pub(super) started: Option<wait::Started>,
}

/// Names the step on which setting up failed.
pub(super) fn failed(step: &str) -> impl FnOnce(io::Error) -> IsolationError + '_ {
    move |source| IsolationError::Setup { step: step.to_owned(), source }
}

/// Clones a process 1 in that session. Its output goes to `output`, when that is given.
pub(super) fn begin(
    outlook: Outlook,
    protections: Protections,
    session: Session,
    output: Option<[OwnedFd; 2]>,
    provision: Provision,
) -> Result<Waiting, IsolationError> {
    let identity = Identity::of(outlook);
    let user = protections.has(Protection::UserNamespace);
    let late_user_namespace = enters_user_namespace_late();
    let outside =
        (user && !late_user_namespace && !identity.is_written_inside()).then(|| identity.clone());
    let start = Start {
        outlook,
        identity,
        protections,
        late_user_namespace,
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        session,
        output,
        provision,
    };
    let (channel, inner) = channel().map_err(failed("make the control channel"))?;
    let namespaces = Namespaces {
        user: user && !late_user_namespace,
        pid: protections.has(Protection::PidNamespace),
        ..Namespaces::default()
    };
    let child = clone(start, namespaces, inner)?;
    placement::beside(child.pid);
    let waiting =
        Waiting { child, channel, outlook, reaped: false, is_foreign: false, speaker: None };
    if let Some(ids) = outside {
        ids.write_outside(waiting.child.pid)
            .map_err(failed("write the id maps of the user namespace"))?;
        waiting.channel.order(Order::Build).map_err(failed("speak to process 1"))?;
    }
    Ok(waiting)
}

/// Whether the workspace is the root of a mount, as a dataset of ZFS is.
fn is_mount(workspace: &WorkspaceMount) -> bool {
    let WorkspaceMount::Bind { source } = workspace else { return false };
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    let stat = rustix::fs::statx(rustix::fs::CWD, source, flags, StatxFlags::TYPE);
    stat.is_ok_and(|stat| stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

/// Gives `launch` to a process 1: to `waiting`, when that suits, else to a new one.
pub(super) fn prepare(
    launch: Launch,
    (protections, has_groups): (Protections, bool),
    (waiting, asker): (Option<Waiting>, Option<Asker>),
    delegate: Option<&dyn Delegate>,
    begun: &mut dyn FnMut(u32, BorrowedFd<'_>) -> io::Result<()>,
) -> Result<Box<dyn Prepared>, IsolationError> {
    // Before anything is made.
    let engine = match launch.driver {
        Driver::Wasm => Some(crate::wasm::program()?),
        _ => None,
    };
    let (keeper, handed) = match (&engine, &launch.compiled) {
        (Some(engine), Some(folder)) => {
            let (keeper, handed) = engine.keeper(folder, launch.least_free)?;
            (keeper, Some(handed))
        }
        _ => (None, None),
    };
    let outlook = Outlook::of(&launch);
    let limits = launch.limits;
    let own_processes = 1 + delegate.map_or(0, Delegate::processes);
    let groups = match has_groups {
        true => Groups::given(&limits),
        false => Groups::make(&limits, own_processes).map_err(failed("make a cgroup"))?,
    };
    let processors = limits.cpus.filter(|_| !groups.has(Controller::Cpu));
    // What processors it may use, a process 1 inherits.
    // What was mounted after it began, it does not see.
    let is_mounted = is_mount(&launch.workspace);
    let suits = |waiting: &Waiting| {
        waiting.outlook == outlook && processors.is_none() && !is_mounted && !waiting.has_ended()
    };
    let is_piped = delegate.is_some_and(Delegate::keeps_positions) && writes_to_files();
    let most_output = limits.max_output.map(|most| most.0).or(is_piped.then_some(u64::MAX));
    let (output, ends) = match most_output {
        Some(most) => {
            let made = pipes(most).map_err(failed("make pipes for the output"))?;
            (Some(made.0), Some(made.1))
        }
        None => (None, None),
    };
    let (waiting, ends, is_new) = match waiting.filter(suits) {
        Some(waiting) => (waiting, ends, false),
        None => {
            if let Some(cpus) = processors {
                limit_processors(cpus).map_err(failed("limit the processors"))?;
            }
            let session = asker
                .as_ref()
                .map_or(Session::Launchers, |asker| Session::Own { terminal: asker.terminal });
            (begin(outlook, protections, session, ends, Provision::default())?, None, true)
        }
    };
    let child = &waiting.child;
    begun(child.pid.as_raw_nonzero().get().unsigned_abs(), child.pidfd.as_fd())
        .map_err(failed("note process 1"))?;
    groups.add(child.pid).map_err(failed("enter the cgroup"))?;
    let measure_memory = limits.has(LimitKind::Memory) && !groups.has(Controller::Memory);
    let meter = Meter::new(child.pid, &launch.written, &limits, measure_memory);
    // Process 1 has done nothing that it would have to take back.
    meter.check_free(launch.least_free)?;
    let program = launch.argv.first().map(std::path::PathBuf::from).unwrap_or_default();
    let driver = launch.driver.clone();
    let timeout = limits.timeout.map(|span| span.0);
    // It began before the asker asked, perhaps long before.
    let is_old = !is_new && asker.is_some();
    let sockets = (asker.is_some() && outlook.host_root).then(sockets::of_host);
    let rlimits = rlimits(&limits, &groups);
    let delegated = match delegate {
        None => None,
        Some(delegate) => {
            let container = container(&launch, (rlimits, processors.is_some()), output.is_none())?;
            Some(delegate.delegated(&container).map_err(failed("describe the container"))?)
        }
    };
    let detaches = delegated.as_ref().is_some_and(|delegated| delegated.detaches);
    let task = Task::new(launch, sockets, rlimits, processors.is_some(), delegated);
    let streams = match &ends {
        Some([output, error]) => vec![stdin(), output.as_fd(), error.as_fd()],
        None if is_old => vec![stdin(), stdout(), stderr()],
        None => Vec::new(),
    };
    let executed = engine.as_ref().map(|engine| engine.program.as_fd());
    match waiting.channel.task(&task, &streams, (executed, handed.as_ref().map(AsFd::as_fd))) {
        // It failed already, and its report waits.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
            ) => {}
        sent => sent.map_err(failed("speak to process 1"))?,
    }
    let running = Running {
        waiting,
        groups,
        meter,
        output,
        driver,
        settles: detaches.then_some(limits),
        feed: None,
        keeper,
        given: Protections::none(),
        program,
        timeout,
        asker,
        started: None,
    };
    Ok(Box::new(running))
}

/// Whether standard output or error is a regular file.
fn writes_to_files() -> bool {
    let is_file = |stream: BorrowedFd<'_>| {
        fstat(stream)
            .is_ok_and(|status| FileType::from_raw_mode(status.st_mode) == FileType::RegularFile)
    };
    is_file(stdout()) || is_file(stderr())
}

/// The container of `launch`, whose output goes where this process's own goes, when `is_direct`.
fn container(
    launch: &Launch,
    (rlimits, fixed_processors): (Rlimits, bool),
    is_direct: bool,
) -> Result<Container<'_>, IsolationError> {
    let is_terminal = rustix::termios::isatty(stdin()) && rustix::termios::isatty(stdout());
    let identity = Identity::of(Outlook::of(launch));
    let inside = identity.inside().map_err(failed("read the id maps"))?;
    Ok(Container {
        launch,
        rlimits,
        fixed_processors,
        terminal: is_terminal && is_direct,
        user: inside.user,
        group: inside.group,
        users: inside.users,
        groups: inside.groups,
    })
}

fn clone(start: Start, namespaces: Namespaces, inner: Channel) -> Result<Child, IsolationError> {
    let mut start = Some(start);
    spawn(namespaces, None, || match start.take() {
        Some(start) => process_1(start, &inner),
        None => 1,
    })
    .map_err(|source| {
        let step = match source.raw_os_error() {
            Some(libc::EPERM | libc::ENOSPC | libc::EUSERS) => {
                "create namespaces (unprivileged user namespaces are switched off here: see \
                 user.max_user_namespaces, kernel.unprivileged_userns_clone and \
                 kernel.apparmor_restrict_unprivileged_userns in sysctl)"
            }
            // Where there is Linux 5.3 or newer, a seccomp filter says that there is no clone3.
            Some(libc::ENOSYS) => {
                "create namespaces (inside another sandbox or container they are refused)"
            }
            _ => "create namespaces",
        };
        IsolationError::Setup { step: step.to_owned(), source }
    })
}

/// Whether process 1 enters its user namespace when its mounts are made: it is root, and may mount in a
/// mount namespace of the user namespace that this process is in.
pub(super) fn enters_user_namespace_late() -> bool {
    rustix::process::geteuid().is_root()
        && rustix::thread::capabilities(None)
            .is_ok_and(|sets| sets.effective.contains(rustix::thread::CapabilitySet::SYS_ADMIN))
}

fn rlimits(limits: &Limits, groups: &Groups) -> Rlimits {
    Rlimits {
        open_files: limits.open_files,
        // Process 1 counts too.
        processes: limits.pids.filter(|_| !groups.has(Controller::Pids)).map(|n| u64::from(n) + 1),
        data: limits.memory.filter(|_| !groups.has(Controller::Memory)),
        file_size: limits.disk.map(|size| ByteSize(size.0.saturating_add(1 << 20))),
    }
}

/// Without a cgroup, whole processors are held by affinity (sched_setaffinity(2)), which the
/// sandbox inherits. The launcher itself does nothing but wait from here on.
fn limit_processors(cpus: f64) -> io::Result<()> {
    let available = rustix::thread::sched_getaffinity(None)?;
    let mut chosen = rustix::thread::CpuSet::new();
    let ids = (0..rustix::thread::CpuSet::MAX_CPU).filter(|id| available.is_set(*id));
    ids.take(cpus as usize).for_each(|id| chosen.set(id));
    Ok(rustix::thread::sched_setaffinity(None, &chosen)?)
}

impl Prepared for Running {
    fn start(&mut self) -> Result<(), IsolationError> {
        self.started = Some(wait::Started::now(&self.waiting.channel)?);
        Ok(())
    }

    fn wait(
        &mut self,
        observer: Option<&mut dyn Observer>,
    ) -> Result<CommandReport, IsolationError> {
        match self.started.take() {
            Some(started) => wait::wait(self, started, observer),
            None => Err(IsolationError::Lost { what: "the command was not started".to_owned() }),
        }
    }
}

impl Waiting {
    /// A process 1 that somebody else made, at the other end of `channel`.
    pub(super) fn foreign(
        child: Child,
        channel: Channel,
        outlook: Outlook,
        speaker: Option<OwnedFd>,
    ) -> Self {
        Self { child, channel, outlook, reaped: false, is_foreign: true, speaker }
    }

    /// The process after whose end nothing more is told.
    pub(super) fn last(&self) -> BorrowedFd<'_> {
        self.speaker.as_ref().unwrap_or(&self.child.pidfd).as_fd()
    }

    /// Whether process 1 is gone already, as when a step failed that may not fail again.
    fn has_ended(&self) -> bool {
        let mut end = [PollFd::new(&self.child.pidfd, PollFlags::IN)];
        poll(&mut end, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|ended| ended > 0)
    }

    pub(super) fn pidfd(&self) -> BorrowedFd<'_> {
        self.child.pidfd.as_fd()
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.pid.as_raw_nonzero().get().unsigned_abs()
    }

    pub(super) fn channel(&self) -> &Channel {
        &self.channel
    }

    pub(super) fn kill(&self) -> Result<(), Errno> {
        match pidfd_send_signal(&self.child.pidfd, Signal::KILL) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(errno) => Err(errno),
        }
    }

    /// Waits for the end of process 1. The kernel ends every other process of the sandbox before
    /// it lets process 1 be reaped (pid_namespaces(7)).
    pub(super) fn reap(&mut self) -> Result<(), Errno> {
        while self.is_foreign {
            match poll(&mut [PollFd::from_borrowed_fd(self.last(), PollFlags::IN)], None) {
                Ok(_) => {
                    self.reaped = true;
                    return Ok(());
                }
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
        loop {
            match waitid(WaitId::PidFd(self.child.pidfd.as_fd()), WaitIdOptions::EXITED) {
                Ok(_) | Err(Errno::CHILD) => break,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
        self.reaped = true;
        Ok(())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if !self.reaped {
            let _ = self.kill();
            // Who speaks for it waits to hear that nobody looks at what was used any more.
            let _ = rustix::net::shutdown(&self.channel, rustix::net::Shutdown::Both);
            let _ = self.reap();
        }
    }
}
