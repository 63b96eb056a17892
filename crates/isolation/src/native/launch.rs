//! The launcher's side of starting a sandbox.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use ctrlz_core::isolation::{IsolationError, Launch, Network, Prepared, RootView};
use ctrlz_core::limits::LimitKind;
use ctrlz_core::operation::CommandReport;
use ctrlz_core::size::ByteSize;
use ctrlz_sys::clone::{Child, Namespaces, spawn};

use super::cgroup::{Controller, Groups};
use super::control::{Channel, Order, channel};
use super::identity::Identity;
use super::inside::{Rlimits, Setup, process_1};
use super::meter::Meter;
use super::output::{Limited, pipes};
use super::protection::{Protection, Protections};
use super::wait;

/// A sandbox whose process 1 builds the root, or waits for the order to start the command.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) child: Child,
    pub(super) channel: Channel,
    pub(super) groups: Groups,
    pub(super) meter: Meter,
    pub(super) output: Option<Limited>,
    pub(super) program: std::path::PathBuf,
    pub(super) timeout: Option<std::time::Duration>,
    /// The id maps that process 1 will ask for.
    pub(super) ids: Option<Identity>,
    /// Whether the process was waited for, so that its id may be another's by now.
    pub(super) reaped: bool,
}

/// Names the step on which setting up failed.
fn failed(step: &str) -> impl FnOnce(io::Error) -> IsolationError + '_ {
    move |source| IsolationError::Setup { step: step.to_owned(), source }
}

pub(super) fn prepare(
    mut launch: Launch,
    protections: Protections,
    begun: &mut dyn FnMut(u32, BorrowedFd<'_>) -> io::Result<()>,
) -> Result<Box<dyn Prepared>, IsolationError> {
    launch.hidden.extend(super::sockets::of_host(&launch));
    let as_root = matches!(launch.root, RootView::Workspace { .. });
    let identity = Identity::choose(as_root);
    let groups = Groups::make(&launch.limits).map_err(failed("make a cgroup"))?;
    let rlimits = rlimits(&launch, &groups);
    limit_processors(&launch, &groups)?;
    let (output, ends) = match launch.limits.max_output {
        Some(most) => {
            let (limited, ends) = pipes(most.0).map_err(failed("make pipes for the output"))?;
            (Some(limited), Some(ends))
        }
        None => (None, None),
    };
    let program = launch.argv.first().map(std::path::PathBuf::from).unwrap_or_default();
    let timeout = launch.limits.timeout.map(|span| span.0);
    let written = launch.written.clone();
    let limits = launch.limits;
    let (channel, inner) = channel().map_err(failed("make the control channel"))?;
    let namespaces = namespaces(&launch, protections);
    let user = protections.has(Protection::UserNamespace);
    let late_user_namespace = identity == Identity::All && may_mount();
    let namespaces = Namespaces { user: user && !late_user_namespace, ..namespaces };
    let outside = Some(identity.clone()).filter(|ids| user && !ids.is_written_inside());
    let setup = Setup {
        launch,
        identity,
        protections,
        late_user_namespace,
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        rlimits,
        fixed_processors: limits.has(LimitKind::Cpus) && !groups.has(Controller::Cpu),
        output: ends,
    };
    let child = start(setup, namespaces, inner)?;
    let measure_memory = limits.has(LimitKind::Memory) && !groups.has(Controller::Memory);
    let meter = Meter::new(child.pid, &written, &limits, measure_memory);
    let (now, later) = if late_user_namespace { (None, outside) } else { (outside, None) };
    let running = Running {
        child,
        channel,
        groups,
        meter,
        output,
        program,
        timeout,
        ids: later,
        reaped: false,
    };
    begun(running.child.pid.as_raw_nonzero().get().unsigned_abs(), running.child.pidfd.as_fd())
        .map_err(failed("note process 1"))?;
    if let Some(ids) = now {
        ids.write_outside(running.child.pid)
            .map_err(failed("write the id maps of the user namespace"))?;
    }
    running.groups.add(running.child.pid).map_err(failed("enter the cgroup"))?;
    running.channel.order(Order::Build).map_err(failed("speak to process 1"))?;
    Ok(Box::new(running))
}

fn start(setup: Setup, namespaces: Namespaces, inner: Channel) -> Result<Child, IsolationError> {
    let mut setup = Some(setup);
    spawn(namespaces, None, || match setup.take() {
        Some(setup) => process_1(setup, &inner),
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

/// Whether this process may mount in a mount namespace of the user namespace that it is in.
fn may_mount() -> bool {
    rustix::thread::capabilities(None)
        .is_ok_and(|sets| sets.effective.contains(rustix::thread::CapabilitySet::SYS_ADMIN))
}

fn namespaces(launch: &Launch, wanted: Protections) -> Namespaces {
    Namespaces {
        user: wanted.has(Protection::UserNamespace),
        mount: true,
        pid: wanted.has(Protection::PidNamespace),
        network: wanted.has(Protection::NetworkNamespace) && launch.network == Network::None,
        ipc: wanted.has(Protection::IpcNamespace),
        uts: wanted.has(Protection::UtsNamespace),
        cgroup: wanted.has(Protection::CgroupNamespace),
    }
}

fn rlimits(launch: &Launch, groups: &Groups) -> Rlimits {
    let limits = &launch.limits;
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
fn limit_processors(launch: &Launch, groups: &Groups) -> Result<(), IsolationError> {
    let Some(cpus) = launch.limits.cpus.filter(|_| !groups.has(Controller::Cpu)) else {
        return Ok(());
    };
    let apply = || -> io::Result<()> {
        let available = rustix::thread::sched_getaffinity(None)?;
        let mut chosen = rustix::thread::CpuSet::new();
        let ids = (0..rustix::thread::CpuSet::MAX_CPU).filter(|id| available.is_set(*id));
        ids.take(cpus as usize).for_each(|id| chosen.set(id));
        Ok(rustix::thread::sched_setaffinity(None, &chosen)?)
    };
    apply().map_err(failed("limit the processors"))
}

impl Prepared for Running {
    fn run(mut self: Box<Self>) -> Result<CommandReport, IsolationError> {
        wait::run(&mut self)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.reaped {
            let _ = rustix::process::pidfd_send_signal(
                &self.child.pidfd,
                rustix::process::Signal::KILL,
            );
            let _ = wait::reap(self);
        }
    }
}
