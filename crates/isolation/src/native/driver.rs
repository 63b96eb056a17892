//! The driver's face.

use std::io;
use std::os::fd::BorrowedFd;

use ctrlz_core::isolation::{
    Enforcement, IsolationCapabilities, IsolationDriver, IsolationError, Launch, Network, Prepared,
};
use ctrlz_core::limits::{LimitKind, Limits};

use super::inside;
use super::protection::Protections;
use super::{launch, survey};

/// Runs commands in namespaces of this kernel.
#[derive(Debug, Clone)]
pub struct NativeDriver {
    protections: Protections,
}

impl Default for NativeDriver {
    fn default() -> Self {
        Self { protections: Protections::all() }
    }
}

impl NativeDriver {
    /// A driver without some of its protections. For tests, which show that an attack succeeds
    /// where its protection is taken away.
    #[must_use]
    pub fn with_protections(protections: Protections) -> Self {
        Self { protections }
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
            pause: false,
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

    fn prepare(
        &self,
        launch: Launch,
        begun: &mut dyn FnMut(u32, BorrowedFd<'_>) -> io::Result<()>,
    ) -> Result<Box<dyn Prepared>, IsolationError> {
        self.check(&launch.limits)?;
        for name in &launch.keep_capabilities {
            inside::check_capability(name).map_err(|source| IsolationError::Setup {
                step: format!("keep capability {name}"),
                source,
            })?;
        }
        launch::prepare(launch, self.protections, begun)
    }
}
