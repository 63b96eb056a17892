//! Commands in containers that a container engine made: process 1 is this program, as in a sandbox of our
//! own, so that streams, signals, limits and the end are handled by the same code.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use ctrlz_core::isolation::{IsolationError, Launch, Network, Prepared};
use ctrlz_core::limits::{LimitKind, Limits};
use ctrlz_core::size::ByteSize;
use ctrlz_sys::clone::Child;
use rustix::fs::{FileType, fstat};
use rustix::process::Pid;
use rustix::stdio::{stderr, stdin, stdout};

use super::cgroup::{Controller, Groups};
use super::control::Channel;
use super::feed::Feed;
use super::inside::{Outlook, Rlimits};
use super::launch::{Asker, Running, Waiting, failed};
use super::meter::Meter;
use super::output::{Limited, pipes_for};
use super::protection::Protections;
use super::task::Task;

/// Process 1 of a container, which waits for its task.
#[derive(Debug)]
pub(crate) struct Contained {
    /// Its id and a descriptor of it.
    pub(crate) pid: Pid,
    pub(crate) pidfd: OwnedFd,
    /// Where it listens.
    pub(crate) channel: Channel,
    /// What the engine put in force, and was seen to be.
    pub(crate) given: Protections,
    /// Who speaks for it at the other end of the channel, when it cannot do so itself.
    pub(crate) speaker: Option<OwnedFd>,
}

/// What a container's cgroups hold of what was demanded.
#[derive(Debug, Clone, PartialEq)]
struct Held {
    kind: LimitKind,
    value: f64,
}

/// The limits that the cgroups of a process have in force.
fn held_by_groups(pid: Pid) -> Vec<Held> {
    let groups = Groups::of_process(pid);
    let number = |controller, names| -> Option<f64> {
        groups.value(controller, names)?.split_whitespace().next()?.parse().ok()
    };
    let memory = number(Controller::Memory, ["memory.limit_in_bytes", "memory.max"]);
    let pids = number(Controller::Pids, ["pids.max", "pids.max"]);
    let cpus = cpus(&groups);
    [(LimitKind::Memory, memory), (LimitKind::Pids, pids), (LimitKind::Cpus, cpus)]
        .into_iter()
        .filter_map(|(kind, value)| Some(Held { kind, value: value.filter(|v| *v > 0.0)? }))
        .collect()
}

/// The first of `limits` that the cgroups of a process do not hold, and what they hold instead.
/// `own_processes` in them are not the user's.
pub(crate) fn not_held(
    pid: Pid,
    limits: &Limits,
    own_processes: u32,
) -> Option<(LimitKind, Option<f64>)> {
    let held = held_by_groups(pid);
    let wanted = [
        (LimitKind::Memory, limits.memory.map(|size| size.0 as f64)),
        (LimitKind::Pids, limits.pids.map(|most| f64::from(most) + f64::from(own_processes))),
        // The kernel counts in steps of a hundred thousandth.
        (LimitKind::Cpus, limits.cpus.map(|cpus| cpus + 0.001)),
    ];
    wanted.into_iter().find_map(|(kind, most)| {
        let most = most?;
        let value = held.iter().find(|held| held.kind == kind).map(|held| held.value);
        value.is_none_or(|value| value > most).then_some((kind, value))
    })
}

fn cpus(groups: &Groups) -> Option<f64> {
    let text = groups.value(Controller::Cpu, ["cpu.cfs_quota_us", "cpu.max"])?;
    let mut words = text.split_whitespace().map(str::parse::<f64>);
    let quota = words.next()?.ok()?;
    let period = match words.next() {
        Some(period) => period.ok()?,
        None => groups.value(Controller::Cpu, ["cpu.cfs_period_us", "cpu.max"])?.parse().ok()?,
    };
    Some(quota / period)
}

/// Gives `launch` to the process 1 of a container.
pub(crate) fn adopt(
    launch: Launch,
    contained: Contained,
    asker: Option<Asker>,
) -> Result<Box<dyn Prepared>, IsolationError> {
    let limits = launch.limits;
    let driver = launch.driver.clone();
    let Contained { pid, pidfd, channel, given, speaker } = contained;
    // What is demanded of the groups was seen to be in force: nothing of it has to be measured.
    let meter = Meter::new(pid, &launch.written, &limits, false);
    meter.check_free(launch.least_free)?;
    let outlook = Outlook { network: Network::None, host_root: false, delegated: false };
    let waiting = Waiting::foreign(Child { pid, pidfd }, channel, outlook, speaker);
    let streams = Plumbing::new(limits.max_output).map_err(failed("make pipes for the streams"))?;
    let program = launch.argv.first().map(PathBuf::from).unwrap_or_default();
    let rlimits = Rlimits {
        open_files: limits.open_files,
        file_size: limits.disk.map(|size| ByteSize(size.0.saturating_add(1 << 20))),
        ..Rlimits::default()
    };
    let task = Task::new(launch, None, rlimits, false, None);
    match waiting.channel().task(&task, &streams.ends(), (None, None)) {
        // It failed already, and its report waits.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        sent => sent.map_err(failed("speak to process 1"))?,
    }
    Ok(Box::new(Running {
        settles: None,
        waiting,
        groups: Groups::of_process(pid),
        meter,
        output: streams.output.map(|(limited, _)| limited),
        driver,
        feed: streams.feed.map(|(feed, _)| feed),
        keeper: None,
        given,
        program,
        timeout: limits.timeout.map(|span| span.0),
        asker,
        started: None,
    }))
}

/// How the command is connected with the standard streams of this process.
struct Plumbing {
    output: Option<(Limited, [Option<OwnedFd>; 2])>,
    feed: Option<(Feed, OwnedFd)>,
}

impl Plumbing {
    /// A file of the host stays outside, since a container could open it anew behind its descriptor.
    fn new(most: Option<ByteSize>) -> io::Result<Self> {
        let wanted = [stdout(), stderr()].map(|fd| most.is_some() || is_file(fd));
        let output = match wanted {
            [false, false] => None,
            wanted => Some(pipes_for(most.map_or(u64::MAX, |size| size.0), wanted)?),
        };
        let feed = if is_file(stdin()) { Some(Feed::new()?) } else { None };
        Ok(Self { output, feed })
    }

    /// The three ends for the command.
    fn ends(&self) -> [BorrowedFd<'_>; 3] {
        let input = self.feed.as_ref().map_or(stdin(), |(_, end)| end.as_fd());
        let (output, error) = match &self.output {
            Some((_, [output, error])) => (output.as_ref(), error.as_ref()),
            None => (None, None),
        };
        let output = output.map_or(stdout(), AsFd::as_fd);
        let error = error.map_or(stderr(), AsFd::as_fd);
        [input, output, error]
    }
}

/// Whether it is a file or a directory of the host, or a disk.
fn is_file(stream: BorrowedFd<'_>) -> bool {
    fstat(stream).is_ok_and(|status| {
        matches!(
            FileType::from_raw_mode(status.st_mode),
            FileType::RegularFile | FileType::Directory | FileType::BlockDevice
        )
    })
}
