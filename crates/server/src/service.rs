//! The service: what all calls share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::http::StatusCode;
use ctrlz_core::store::StoreError;
use ctrlz_core::tenancy::{Quotas, Registry, TenantName};
use ctrlz_core::time::Timestamp;
use ctrlz_engine::{EngineError, SandboxCore, in_full};
use serde_json::Value;
use tokio::sync::Semaphore;

use crate::auth::Caller;
use crate::disk::Disk;
use crate::errand::Errand;
use crate::glances::Glances;
use crate::halt::Halt;
use crate::held::Memory;
use crate::idempotency::Unstored;
use crate::listen::Tls;
use crate::mcp::Sessions;
use crate::metrics::Metrics;
use crate::places::{Place, Places};
use crate::port::{Backend, Session};
use crate::problem::Problem;
use crate::processes::{LogBounds, Processes, Shelf};
use crate::quota::Quota;
use crate::routes::attach;
use crate::sandboxes::Sandboxes;
use crate::telemetry::Traces;
use crate::tidings::Tidings;

/// How many streams of events one tenant may follow at once. Each is looked after now and then.
const STREAMS: usize = 1024;
/// How many errands are run at once; others wait.
const ERRANDS: usize = 4;
/// How many of them are one tenant's.
const ERRANDS_OF_ONE: usize = 3;
/// How many calls of one tenant may use its store at once; others wait. Some of them wait for a sandbox in which
/// a command runs, each on a thread: all threads are more than this by far, so that others have some left.
const CALLS: usize = 32;

/// What a service is made of.
pub struct Parts {
    /// The tenants' stores.
    pub backend: Arc<dyn Backend>,
    /// Who may use it.
    pub registry: Arc<dyn Registry>,
    /// The time.
    pub now: fn() -> Timestamp,
    /// The version, as `ctrlz --version` tells it.
    pub version: &'static str,
    /// How it speaks TLS, when it does.
    pub tls: Option<Arc<Tls>>,
    /// Where traces of operations go.
    pub traces: Option<Arc<Traces>>,
    /// The names of hosts by which it is reached, besides those of the loopback.
    pub hosts: Vec<String>,
    /// How much of what processes wrote is kept.
    pub logs: LogBounds,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").field("version", &self.version).finish_non_exhaustive()
    }
}

/// A service that is ready to be called.
#[derive(Debug)]
pub struct Service {
    pub(crate) parts: Parts,
    pub(crate) processes: Processes,
    pub(crate) quota: Quota,
    pub(crate) sandboxes: Sandboxes,
    pub(crate) disk: Disk,
    pub(crate) memory: Memory,
    pub(crate) unstored: Unstored,
    pub(crate) tidings: Tidings,
    pub(crate) glances: Glances,
    pub(crate) metrics: Metrics,
    pub(crate) mcp: Arc<Sessions>,
    /// Held while a tenant's sandboxes are counted and one more is made.
    pub(crate) making: Places,
    /// Places for calls that use a tenant's store.
    calls: Places,
    /// Each errand is a process, and may need much memory.
    errands: Arc<Semaphore>,
    errands_of_one: Places,
    /// Places for clients that are attached to processes.
    pub(crate) attached: Arc<Semaphore>,
    pub(crate) attached_of_one: Places,
    /// Places for streams of events.
    streams: Places,
    draining: AtomicBool,
}

impl Service {
    /// Puts it together.
    #[must_use]
    pub fn new(parts: Parts) -> Arc<Self> {
        let processes = Processes::default();
        let (quota, metrics) = (Quota::default(), Metrics::default());
        Arc::new(Self {
            parts,
            processes,
            quota,
            sandboxes: Sandboxes::default(),
            disk: Disk::default(),
            memory: Memory::default(),
            unstored: Unstored::default(),
            tidings: Tidings::default(),
            glances: Glances::default(),
            metrics,
            mcp: Arc::default(),
            making: Places::new(1),
            calls: Places::new(CALLS),
            errands: Arc::new(Semaphore::new(ERRANDS)),
            errands_of_one: Places::new(ERRANDS_OF_ONE),
            attached: attach::room(),
            attached_of_one: Places::new(attach::ATTACHED_OF_ONE),
            streams: Places::new(STREAMS),
            draining: AtomicBool::new(false),
        })
    }

    /// Whether nothing new begins any more.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Lets nothing new begin from now on.
    pub(crate) fn begin_to_drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Where a tenant's processes are stored; nowhere when it has no store.
    pub(crate) fn shelf(&self, tenant: &TenantName) -> Option<Arc<Shelf>> {
        let find = || self.parts.backend.store_of(tenant);
        self.processes.shelf(tenant, self.parts.logs, find)
    }

    pub(crate) fn now(&self) -> Timestamp {
        (self.parts.now)()
    }

    /// A place for one more stream of events.
    ///
    /// # Errors
    /// When the tenant follows as many as it may.
    pub(crate) fn stream(&self, caller: &Caller) -> Result<Place, Problem> {
        self.streams.try_take(&caller.tenant).ok_or_else(|| {
            let title = format!("{STREAMS} streams of this tenant are followed already");
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", title).retry_after(5)
        })
    }

    /// Asks the registry, on a thread that may block.
    pub(crate) async fn registry<T: Send + 'static>(
        self: &Arc<Self>,
        ask: impl FnOnce(&dyn Registry) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Problem> {
        let registry = Arc::clone(&self.parts.registry);
        blocking(move || ask(&*registry).map_err(|error| unregistered(&error))).await
    }

    /// Opens the caller's store and uses it, on a thread that may block.
    pub(crate) async fn with<T: Send + 'static>(
        self: &Arc<Self>,
        caller: &Caller,
        act: impl FnOnce(&dyn Session) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let (service, tenant, actor) = (Arc::clone(self), caller.tenant.clone(), caller.actor());
        let place = self.calls.take(&tenant).await;
        blocking(move || {
            // Given up when it is done, whoever waits for it.
            let _place = place;
            act(&*service.parts.backend.open(&tenant, actor)?)
        })
        .await
    }

    /// What the caller's tenant may use, on a thread that may block.
    pub(crate) fn quotas(&self, caller: &Caller) -> Result<Quotas, Problem> {
        let found = self.parts.registry.tenant(&caller.tenant);
        let tenant = found.map_err(|error| unregistered(&error))?;
        Ok(tenant.map(|tenant| tenant.quotas).unwrap_or_default())
    }

    /// Opens the caller's store and lets something be added to it, when the tenant has room for it.
    pub(crate) async fn adding<T: Send + 'static>(
        self: &Arc<Self>,
        caller: &Caller,
        act: impl FnOnce(&dyn Session) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let (service, who) = (Arc::clone(self), caller.clone());
        self.with(caller, move |session| {
            service.disk.room(session, &who.tenant, &service.quotas(&who)?)?;
            act(session)
        })
        .await
    }

    /// Opens the caller's store and lets something be taken back or removed: on a full disk, too.
    pub(crate) async fn freeing<T: Send + 'static>(
        self: &Arc<Self>,
        caller: &Caller,
        act: impl FnOnce(&dyn Session) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        self.with(caller, move |session| {
            session.spend_reserve();
            let done = act(session);
            session.refill_reserve();
            done
        })
        .await
    }

    /// Has another process do something in the caller's store, until it is asked to end; answers what it
    /// says of it.
    pub(crate) async fn errand_text(
        self: &Arc<Self>,
        caller: &Caller,
        errand: Errand,
        halt: Halt,
    ) -> Result<Vec<u8>, Problem> {
        let adds = matches!(errand, Errand::Push { .. } | Errand::Pull { .. });
        let turn = async {
            let place = self.errands_of_one.take(&caller.tenant).await;
            (place, Arc::clone(&self.errands).acquire_owned().await)
        };
        let turn = tokio::select! {
            turn = turn => turn,
            () = halt.asked() => return Err(halt.problem().unwrap_or_else(Problem::stopping)),
        };
        let act = move |session: &dyn Session| {
            // Given up when it is done, whoever waits for it.
            let _turn = turn;
            session.carry_out(&errand, &halt)
        };
        match adds {
            true => self.adding(caller, act).await,
            false => self.with(caller, act).await,
        }
    }

    /// The same, as an object.
    pub(crate) async fn errand(
        self: &Arc<Self>,
        caller: &Caller,
        errand: Errand,
        halt: Halt,
    ) -> Result<Value, Problem> {
        let text = self.errand_text(caller, errand, halt).await?;
        serde_json::from_slice(&text).map_err(|error| Problem::internal(error.to_string()))
    }

    /// The same with the engine.
    pub(crate) async fn with_core<T: Send + 'static>(
        self: &Arc<Self>,
        caller: &Caller,
        act: impl FnOnce(&SandboxCore<'_>) -> Result<T, EngineError> + Send + 'static,
    ) -> Result<T, Problem> {
        self.with(caller, move |session| on_core(session, act)).await
    }
}

/// What the registry failed at.
pub(crate) fn unregistered(error: &StoreError) -> Problem {
    let words = in_full(error);
    match words.contains("disk is full") {
        false => Problem::internal(words),
        true => Problem::of_kind("store-full", words).hint(
            "nothing was done; undo, discard, rollback, removals and `archive gc` go on, and make \
                 room on the disk of the service's store",
        ),
    }
}

/// Calls `act` with the engine of a session.
pub(crate) fn on_core<T>(
    session: &dyn Session,
    act: impl FnOnce(&SandboxCore<'_>) -> Result<T, EngineError>,
) -> Result<T, Problem> {
    let (mut act, mut answer) = (Some(act), None);
    session.core(&mut |core| {
        if let Some(act) = act.take() {
            answer = Some(act(core).map_err(|error| session.explain(error))?);
        }
        Ok(())
    })?;
    answer.ok_or_else(|| Problem::internal("the engine was not asked"))
}

/// Runs what blocks on a thread for that. It goes on when nobody waits for it any more.
pub(crate) async fn blocking<T: Send + 'static>(
    act: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    match tokio::task::spawn_blocking(act).await {
        Ok(answer) => answer,
        Err(error) => Err(Problem::internal(format!("the call ended in the middle: {error}"))),
    }
}
