//! What a service and a worker tell each other.

use std::io;
use std::time::Duration;

use ctrlz_core::driver::Driver;
use ctrlz_core::isolation::{IsolationError, Launch, Network, Streams};
use ctrlz_core::limits::Limits;
use ctrlz_core::monitor::{Reading, Verdict};
use ctrlz_core::operation::CommandReport;
use ctrlz_core::size::ByteSize;
use ctrlz_core::span::Span;

use crate::bytes::{Reader, Writer};
use crate::native::{Outlook, Protections};

/// From the service to a worker. The first one is the [`Request`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Process 1 is noted: go on.
    Noted,
    /// Let the command begin.
    Start,
    /// Wait for its end, and ask an observer this often.
    Wait(Option<Duration>),
    /// What the observer says, and when it wants to look again.
    Go(Verdict, Duration),
}

/// From a worker to the service.
#[derive(Debug)]
pub(crate) enum Told {
    /// This is process 1. Its descriptor comes along.
    Begun(u32),
    /// Everything is prepared, as far as this process knows.
    Ready,
    /// For the observer.
    Observed(Box<Reading>),
    /// The end of the command.
    Ended(Box<CommandReport>),
    /// It could not be run.
    Failed(IsolationError),
}

/// What a worker is to run. The descriptors of the streams come along: three, and a fourth from which
/// signals come.
#[derive(Debug)]
pub(crate) struct Request {
    /// The launch. Of its streams, nothing is sent.
    pub(crate) launch: Launch,
    pub(crate) protections: Protections,
    /// Standard input is the terminal of the session.
    pub(crate) terminal: bool,
}

/// The outlook of a launch for which a process 1 may have begun before it was asked for, as the byte
/// with which the launcher is asked; 0 for one that needs its own from the beginning.
pub(super) fn outlook_to_byte(outlook: Option<Outlook>) -> u8 {
    outlook.map_or(0, |Outlook { network, host_root, .. }| {
        1 | u8::from(network == Network::Host) << 1 | u8::from(host_root) << 2
    })
}

/// What [`outlook_to_byte`] made a byte of.
pub(super) fn outlook_of_byte(byte: u8) -> Option<Outlook> {
    let network = if byte & 2 == 0 { Network::None } else { Network::Host };
    (byte & 1 != 0).then_some(Outlook { network, host_root: byte & 4 != 0, delegated: false })
}

impl Order {
    pub(super) fn to_bytes(self) -> Vec<u8> {
        let mut out = Writer(Vec::with_capacity(40));
        match self {
            Self::Noted => out.number(1),
            Self::Start => out.number(2),
            Self::Wait(every) => {
                duration(out.number(3).number(every.is_some().into()), every.unwrap_or_default())
            }
            Self::Go(verdict, every) => {
                duration(out.number(4).number((verdict == Verdict::End).into()), every)
            }
        };
        out.0
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut from = Reader(bytes);
        let order = match from.number()? {
            1 => Self::Noted,
            2 => Self::Start,
            3 => {
                let (is_some, every) = (from.flag()?, read_duration(&mut from)?);
                Self::Wait(is_some.then_some(every))
            }
            4 => {
                let verdict = if from.flag()? { Verdict::End } else { Verdict::GoOn };
                Self::Go(verdict, read_duration(&mut from)?)
            }
            _ => return None,
        };
        from.0.is_empty().then_some(order)
    }
}

impl Told {
    pub(crate) fn to_bytes(&self) -> io::Result<Vec<u8>> {
        let mut out = Writer(Vec::with_capacity(1024));
        match self {
            Self::Begun(process_1) => out.number(1).number((*process_1).into()),
            Self::Ready => out.number(2),
            Self::Observed(reading) => out.number(3).bytes(&serde_json::to_vec(reading)?),
            Self::Ended(report) => out.number(4).bytes(&serde_json::to_vec(report)?),
            Self::Failed(error) => failure(out.number(5), error),
        };
        Ok(out.0)
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut from = Reader(bytes);
        let told = match from.number()? {
            1 => Self::Begun(from.number()?.try_into().ok()?),
            2 => Self::Ready,
            3 => Self::Observed(serde_json::from_slice(from.bytes()?).ok()?),
            4 => Self::Ended(serde_json::from_slice(from.bytes()?).ok()?),
            5 => Self::Failed(read_failure(&mut from)?),
            _ => return None,
        };
        from.0.is_empty().then_some(told)
    }
}

impl Request {
    /// What a process 1 that begins in advance has to know of it; nothing when none can: it would
    /// inherit another controlling terminal or other processors, or go without some protection, or is
    /// not what the driver begins with.
    pub(super) fn outlook(&self) -> Option<Outlook> {
        let inherits = self.terminal || self.launch.limits.cpus.is_some();
        let is_native = self.launch.driver == Driver::Native;
        let usual = is_native && !inherits && self.protections == Protections::all();
        usual.then(|| Outlook::of(&self.launch))
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let Launch {
            driver,
            root,
            workspace,
            written,
            hidden,
            workdir,
            argv,
            env,
            network,
            limits,
            least_free,
            keep_capabilities,
            streams: _,
            memory,
            compiled,
        } = &self.launch;
        let mut out = Writer(Vec::with_capacity(8192));
        out.number(self.protections.bits().into()).number(self.terminal.into());
        out.bytes(driver.to_string().as_bytes());
        out.root(root).workspace(workspace).path(written).paths(hidden).path(workdir);
        out.texts(argv).pairs(env);
        out.number((*network == Network::Host).into());
        write_limits(&mut out, limits);
        out.maybe(least_free.map(|size| size.0)).names(keep_capabilities);
        out.paths(memory.as_slice()).paths(compiled.as_slice());
        out.0
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut from = Reader(bytes);
        let request = Self {
            protections: Protections::from_bits(from.number()?.try_into().ok()?),
            terminal: from.flag()?,
            launch: Launch {
                driver: from.name()?.parse().ok()?,
                root: from.root()?,
                workspace: from.workspace()?,
                written: from.path()?,
                hidden: from.paths()?,
                workdir: from.path()?,
                argv: from.texts()?,
                env: from.pairs()?,
                network: if from.flag()? { Network::Host } else { Network::None },
                limits: read_limits(&mut from)?,
                least_free: from.maybe()?.map(ByteSize),
                keep_capabilities: from.names()?,
                streams: Streams::Inherited,
                memory: from.paths()?.pop(),
                compiled: from.paths()?.pop(),
            },
        };
        from.0.is_empty().then_some(request)
    }
}

fn duration(out: &mut Writer, duration: Duration) -> &mut Writer {
    out.number(duration.as_secs()).number(duration.subsec_nanos().into())
}

fn read_duration(from: &mut Reader<'_>) -> Option<Duration> {
    let (seconds, nanos) = (from.number()?, u32::try_from(from.number()?).ok()?);
    (nanos < 1_000_000_000).then(|| Duration::new(seconds, nanos))
}

fn write_limits(out: &mut Writer, limits: &Limits) {
    let Limits { memory, cpus, pids, disk, open_files, max_output, timeout } = *limits;
    let bytes = |size: Option<ByteSize>| size.map(|size| size.0);
    out.maybe(bytes(memory)).maybe(cpus.map(f64::to_bits)).maybe(pids.map(u64::from));
    out.maybe(bytes(disk)).maybe(open_files).maybe(bytes(max_output));
    duration(out.number(timeout.is_some().into()), timeout.unwrap_or_default().0);
}

fn read_limits(from: &mut Reader<'_>) -> Option<Limits> {
    Some(Limits {
        memory: from.maybe()?.map(ByteSize),
        cpus: from.maybe()?.map(f64::from_bits),
        pids: from.maybe()?.map(u32::try_from).transpose().ok()?,
        disk: from.maybe()?.map(ByteSize),
        open_files: from.maybe()?,
        max_output: from.maybe()?.map(ByteSize),
        timeout: {
            let (is_some, timeout) = (from.flag()?, read_duration(from)?);
            is_some.then_some(Span(timeout))
        },
    })
}

fn failure<'w>(out: &'w mut Writer, error: &IsolationError) -> &'w mut Writer {
    match error {
        IsolationError::Setup { step, source } => {
            cause(out.number(1).bytes(step.as_bytes()), source)
        }
        IsolationError::Unenforceable { what, reason } => {
            out.number(2).bytes(what.as_bytes()).bytes(reason.as_bytes())
        }
        IsolationError::NotFound { program } => out.number(3).path(program),
        IsolationError::NotExecutable { program, source } => {
            cause(out.number(4).path(program), source)
        }
        IsolationError::Pause { action, pid, source } => {
            cause(out.number(5).bytes(action.as_bytes()).number((*pid).into()), source)
        }
        IsolationError::StoreFull { free, least } => out.number(6).number(free.0).number(least.0),
        IsolationError::Lost { what } => out.number(7).bytes(what.as_bytes()),
    }
}

fn read_failure(from: &mut Reader<'_>) -> Option<IsolationError> {
    Some(match from.number()? {
        1 => IsolationError::Setup { step: from.name()?, source: read_cause(from)? },
        2 => IsolationError::Unenforceable { what: from.name()?, reason: from.name()? },
        3 => IsolationError::NotFound { program: from.path()? },
        4 => IsolationError::NotExecutable { program: from.path()?, source: read_cause(from)? },
        5 => IsolationError::Pause {
            action: match from.bytes()? {
                b"freeze" => "freeze",
                b"thaw" => "thaw",
                b"end" => "end",
                _ => return None,
            },
            pid: from.number()?.try_into().ok()?,
            source: read_cause(from)?,
        },
        6 => IsolationError::StoreFull {
            free: ByteSize(from.number()?),
            least: ByteSize(from.number()?),
        },
        7 => IsolationError::Lost { what: from.name()? },
        _ => return None,
    })
}

/// An errno stays one; of any other error, its words stay.
fn cause<'w>(out: &'w mut Writer, error: &io::Error) -> &'w mut Writer {
    let errno = error.raw_os_error().and_then(|errno| u64::try_from(errno).ok());
    let words = errno.map_or_else(|| error.to_string(), |_| String::new());
    out.maybe(errno).bytes(words.as_bytes())
}

fn read_cause(from: &mut Reader<'_>) -> Option<io::Error> {
    let (errno, words) = (from.maybe()?, from.name()?);
    Some(match errno {
        Some(errno) => io::Error::from_raw_os_error(errno.try_into().ok()?),
        None => io::Error::other(words),
    })
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;
    use std::path::PathBuf;

    use ctrlz_core::isolation::RootView;
    use ctrlz_core::limits::LimitKind;
    use ctrlz_core::operation::{Exit, Stopped, Usage};
    use ctrlz_core::workspace::WorkspaceMount;

    use super::*;
    use crate::native::Protection;

    fn request() -> Request {
        let odd = OsString::from_vec(b"a\xff b\n".to_vec());
        Request {
            launch: Launch {
                driver: Driver::Wasm,
                root: RootView::Host { workspace_at: PathBuf::from(&odd) },
                workspace: WorkspaceMount::Overlay {
                    lower_dirs: vec!["/l1".into(), PathBuf::from(&odd)],
                    upper_dir: "/u".into(),
                    work_dir: "/w".into(),
                },
                written: "/u".into(),
                hidden: vec!["/h".into()],
                workdir: PathBuf::from(&odd),
                argv: vec!["sh".into(), odd.clone(), OsString::new()],
                env: vec![("A".into(), odd)],
                network: Network::Host,
                limits: Limits {
                    memory: Some(ByteSize(1)),
                    cpus: Some(1.5),
                    pids: Some(3),
                    disk: Some(ByteSize(4)),
                    open_files: Some(5),
                    max_output: Some(ByteSize(6)),
                    timeout: Some(Span(Duration::new(7, 8))),
                },
                least_free: Some(ByteSize(9)),
                keep_capabilities: vec!["CHOWN".to_owned()],
                streams: Streams::Inherited,
                memory: Some("/store/memory/1".into()),
                compiled: Some("/store/compiled".into()),
            },
            protections: Protections::all().without(Protection::Seccomp),
            terminal: true,
        }
    }

    #[test]
    fn a_request_arrives_as_sent() {
        let mut request = request();
        for _ in 0..2 {
            let bytes = request.to_bytes();
            let read = Request::from_bytes(&bytes).expect("well-formed");
            assert_eq!(format!("{read:?}"), format!("{request:?}"));
            for length in 0..bytes.len() {
                assert!(Request::from_bytes(&bytes[..length]).is_none(), "{length}");
            }
            request.launch.root = RootView::Workspace { host_mounts: false };
            request.launch.network = Network::None;
            request.launch.limits = Limits::default();
            request.launch.least_free = None;
            request.terminal = false;
        }
    }

    #[test]
    fn an_outlook_fits_in_a_byte() {
        for network in [Network::None, Network::Host] {
            for host_root in [false, true] {
                let outlook = Some(Outlook { network, host_root, delegated: false });
                assert_eq!(outlook_of_byte(outlook_to_byte(outlook)), outlook);
            }
        }
        assert_eq!(outlook_of_byte(outlook_to_byte(None)), None);
    }

    #[test]
    fn some_launches_need_a_process_1_of_their_own() {
        let mut request = request();
        assert_eq!(request.outlook(), None);
        request.terminal = false;
        request.protections = Protections::all();
        assert_eq!(request.outlook(), None);
        request.launch.limits.cpus = None;
        assert_eq!(request.outlook(), None);
        request.launch.driver = Driver::Native;
        let outlook = Outlook { network: Network::Host, host_root: true, delegated: false };
        assert_eq!(request.outlook(), Some(outlook));
    }

    #[test]
    fn orders_arrive_as_sent() {
        let every = Duration::new(1, 2);
        for order in [
            Order::Noted,
            Order::Start,
            Order::Wait(None),
            Order::Wait(Some(every)),
            Order::Go(Verdict::GoOn, every),
            Order::Go(Verdict::End, Duration::MAX),
        ] {
            assert_eq!(Order::from_bytes(&order.to_bytes()), Some(order));
        }
        assert_eq!(Order::from_bytes(&[0; 8]), None);
    }

    #[test]
    fn what_is_told_arrives_as_sent() {
        let errno = || io::Error::from_raw_os_error(libc::ENOSPC);
        let failures = [
            IsolationError::Setup { step: "mount /proc".to_owned(), source: errno() },
            IsolationError::Setup { step: "begin".to_owned(), source: io::Error::other("words") },
            IsolationError::Unenforceable { what: "--pids".to_owned(), reason: "why".to_owned() },
            IsolationError::NotFound { program: OsString::from_vec(b"\xff".to_vec()).into() },
            IsolationError::NotExecutable { program: "/etc/passwd".into(), source: errno() },
            IsolationError::Pause { action: "thaw", pid: 7, source: errno() },
            IsolationError::StoreFull { free: ByteSize(1), least: ByteSize(2) },
            IsolationError::Lost { what: "it".to_owned() },
        ];
        let report = CommandReport {
            exit: Exit::Signal(9),
            stopped: Some(Stopped::Limit(LimitKind::Memory)),
            network_attempts: 3,
            usage: Usage { wall: Some(Span(Duration::from_millis(1500))), ..Usage::default() },
            driver: Driver::Podman(None),
            enforced: vec!["seccomp".to_owned()],
        };
        let told = [
            Told::Begun(7),
            Told::Ready,
            Told::Observed(Box::new(Reading { memory: 5, sent: Some(6), ..Reading::default() })),
            Told::Ended(Box::new(report)),
        ];
        for told in told.into_iter().chain(failures.map(Told::Failed)) {
            let read =
                Told::from_bytes(&told.to_bytes().expect("plain data")).expect("well-formed");
            match (&read, &told) {
                // The kind of an error that has words and no errno is not kept.
                (Told::Failed(read), Told::Failed(sent)) => {
                    let causes = [read, sent]
                        .map(|error| std::error::Error::source(error).map(ToString::to_string));
                    assert_eq!(causes[0], causes[1]);
                    assert_eq!(read.to_string(), sent.to_string());
                    assert_eq!(std::mem::discriminant(read), std::mem::discriminant(sent));
                }
                _ => assert_eq!(format!("{read:?}"), format!("{told:?}")),
            }
        }
    }
}
