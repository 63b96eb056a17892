//! The driver's face.

use std::cell::RefCell;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;

use ctrlz_core::isolation::{
    Enforcement, IsolationCapabilities, IsolationDriver, IsolationError, Launch, Network, Prepared,
    RootView, Streams,
};
use ctrlz_core::limits::{LimitKind, Limits};
use ctrlz_core::memory::Remembered;
use ctrlz_core::monitor::Reading;

use super::cgroup::abandoned_groups;
use super::delegate::Delegate;
use super::freeze;
use super::inside::{self, Outlook, Provision, Session};
use super::protection::Protections;
use super::{launch, reading, survey};

/// Runs commands in namespaces of this kernel.
#[derive(Debug)]
pub struct NativeDriver {
    protections: Protections,
    /// The control groups of this process hold the limits already.
    has_groups: bool,
    /// A process 1 that was started in advance.
    waiting: RefCell<Option<launch::Waiting>>,
}

impl Default for NativeDriver {
    fn default() -> Self {
        Self::with_protections(Protections::all())
    }
}

impl NativeDriver {
    /// A driver without some of its protections. For tests, which show that an attack succeeds
    /// where its protection is taken away.
    #[must_use]
    pub fn with_protections(protections: Protections) -> Self {
        Self { protections, has_groups: false, waiting: RefCell::new(None) }
    }

    /// A driver whose commands stay in the control groups of this process, which were made for the
    /// launch and seen to hold its limits.
    pub(crate) fn in_given_groups(protections: Protections) -> Self {
        Self { has_groups: true, ..Self::with_protections(protections) }
    }

    /// Starts process 1 in advance for a launch that is likely to come, so that it enters its
    /// namespaces while the caller finds out what to launch. A launch with another network or
    /// another kind of root than these gets a process of its own. Standard streams, limits and
    /// ids must be those of the launch already.
    pub fn expect(&self, network: Network, host_root: bool) {
        let outlook = Outlook { network, host_root, delegated: false };
        self.expect_in(Session::Launchers, outlook, Provision::default());
    }

    /// The same for a process that is going to ask, and in a session of its own.
    pub(crate) fn expect_asker(&self, outlook: Outlook, provision: Provision) {
        self.expect_in(Session::Own { terminal: false }, outlook, provision);
    }

    fn expect_in(&self, session: Session, outlook: Outlook, provision: Provision) {
        // Without it the launch takes longer, and tells what is wrong.
        *self.waiting.borrow_mut() =
            launch::begin(outlook, self.protections, session, None, provision).ok();
    }
}

impl NativeDriver {
    /// Drops a process 1 that was started in advance: its standard streams are no longer those of
    /// the launches to come.
    pub fn expect_nothing(&self) {
        drop(self.waiting.take());
    }
}

impl IsolationDriver for NativeDriver {
    fn name(&self) -> &'static str {
        "native"
    }

    fn capabilities(&self) -> IsolationCapabilities {
        IsolationCapabilities {
            rootless: true,
            memory_snapshot: false,
            pause: true,
            networks: vec![Network::None, Network::Host],
            limits: LimitKind::ALL
                .into_iter()
                .filter(|kind| survey::mechanism(*kind, None).by.is_some())
                .collect(),
        }
    }

    fn survey(&self) -> Vec<Enforcement> {
        survey::all(self.protections)
    }

    fn check(&self, limits: &Limits) -> Result<(), IsolationError> {
        for kind in LimitKind::ALL.into_iter().filter(|kind| limits.has(*kind)) {
            let held = survey::mechanism(kind, Some(limits));
            if held.by.is_none() {
                return Err(IsolationError::Unenforceable {
                    what: format!("--{}", kind.option()),
                    reason: held.note,
                });
            }
        }
        Ok(())
    }

    fn measure(&self, process_1: u32) -> Option<Reading> {
        reading::of(process_1)
    }

    fn network_of(&self, process_1: u32) -> Option<Network> {
        reading::network_of(process_1)
    }

    fn freeze(&self, process_1: u32) -> Result<String, IsolationError> {
        #[cfg(feature = "faults")]
        if std::env::var_os("CTRLZ_FREEZE_FAULT").is_some() {
            let fault = std::io::Error::other("a fault that was asked for");
            return Err(paused("freeze", process_1)(fault));
        }
        freeze::freeze(process_1).map_err(paused("freeze", process_1))
    }

    fn thaw(&self, process_1: u32, stay_stopped: &[u32]) -> Result<(), IsolationError> {
        freeze::thaw(process_1, stay_stopped).map_err(paused("thaw", process_1))
    }

    fn is_frozen(&self, process_1: u32) -> bool {
        freeze::is_frozen(process_1)
    }

    fn stopped(&self, process_1: u32) -> Vec<u32> {
        freeze::stopped(process_1)
    }

    fn keep_memory(&self, _: u32, _: &Path, _: &mut dyn FnMut()) -> Result<(), IsolationError> {
        Err(forgets())
    }

    fn recall(&self, _: &Path) -> Result<Remembered, IsolationError> {
        Err(forgets())
    }

    fn end(&self, process_1: u32, process: BorrowedFd<'_>) -> Result<(), IsolationError> {
        freeze::end(process_1, process).map_err(paused("end", process_1))
    }

    fn tidy(&self) {
        for group in abandoned_groups() {
            let _ = std::fs::remove_dir(group);
        }
    }

    fn prepare(
        &self,
        launch: Launch,
        begun: &mut dyn FnMut(u32, BorrowedFd<'_>) -> io::Result<()>,
    ) -> Result<Box<dyn Prepared>, IsolationError> {
        Self::check_streams(&launch)?;
        self.prepare_for(None, launch, begun)
    }
}

impl NativeDriver {
    /// Whether a process without a launcher can give a command these standard streams.
    pub(crate) fn check_streams(launch: &Launch) -> Result<(), IsolationError> {
        match launch.streams {
            Streams::Inherited => Ok(()),
            Streams::Given(_) => Err(IsolationError::Setup {
                step: "use other standard streams than those of this process, without a launcher"
                    .to_owned(),
                source: io::ErrorKind::Unsupported.into(),
            }),
        }
    }

    /// As [`IsolationDriver::prepare`], for a process that asked this one. The standard streams of
    /// this process are those of the launch already.
    pub(crate) fn prepare_for(
        &self,
        asker: Option<launch::Asker>,
        launch: Launch,
        begun: &mut dyn FnMut(u32, BorrowedFd<'_>) -> io::Result<()>,
    ) -> Result<Box<dyn Prepared>, IsolationError> {
        self.prepare_by(None, (asker, launch), begun)
    }

    /// The same; another program runs the command, when there is one.
    pub(crate) fn prepare_by(
        &self,
        delegate: Option<&dyn Delegate>,
        (asker, launch): (Option<launch::Asker>, Launch),
        begun: &mut dyn FnMut(u32, BorrowedFd<'_>) -> io::Result<()>,
    ) -> Result<Box<dyn Prepared>, IsolationError> {
        if let RootView::Image { reference, .. } = &launch.root {
            return Err(IsolationError::Setup {
                step: format!("use the image {reference} as root without a container engine"),
                source: io::ErrorKind::Unsupported.into(),
            });
        }
        if !self.has_groups {
            self.check(&launch.limits)?;
        }
        for name in &launch.keep_capabilities {
            inside::check_capability(name).map_err(|source| IsolationError::Setup {
                step: format!("keep capability {name}"),
                source,
            })?;
        }
        let with = (self.protections, self.has_groups);
        launch::prepare(launch, with, (self.waiting.take(), asker), delegate, begun)
    }
}

fn forgets() -> IsolationError {
    IsolationError::Unenforceable {
        what: "a snapshot with memory".to_owned(),
        reason: "the driver `native` keeps no memory; gVisor does (--isolation oci:runsc)"
            .to_owned(),
    }
}

fn paused(action: &'static str, pid: u32) -> impl FnOnce(io::Error) -> IsolationError {
    move |source| IsolationError::Pause { action, pid, source }
}
