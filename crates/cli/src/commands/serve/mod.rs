//! `ctrlz serve`, `ctrlz mcp`, `ctrlz approve` and `ctrlz token`.

mod alone;
pub(crate) mod approve;
mod backend;
mod collecting;
mod descriptors;
mod disk;
mod errand;
mod foreign;
mod listening;
mod mcp;
mod pool;
mod recovery;
mod session;
mod systemd;
mod telemetry;
mod tls;
pub(crate) mod token;
mod upkeep;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use ctrlz_core::tenancy::Registry as _;
use ctrlz_isolation::launcher::{self, LauncherDriver};
use ctrlz_server::{Level, LogBounds, Logging, Parts, Problem, Service, Tls, Traces};
use ctrlz_store::SqliteRegistry;
use tokio::signal::unix::{SignalKind, signal};

pub(crate) use self::approve::approve;
use self::backend::Stores;
pub(crate) use self::mcp::mcp;
pub(crate) use self::token::token;
use self::upkeep::{Upkeep, Used};
use super::{known_good, probe};
use crate::Answer;
use crate::arguments::ServeArguments;
use crate::context::Context;
use crate::failure::{Failure, OWN_FAILURE};
use crate::{clock, isolating, places, show};

pub(crate) fn serve(arguments: &ServeArguments, json: bool) -> Answer {
    // Before anything else is opened.
    let passed = systemd::passed()?;
    let directory = places::store()?;
    let tls = tls::tls(&arguments.tls)?;
    let places = listening::places(arguments, &directory, passed, tls.is_some())?;
    let how = How {
        hosts: arguments.hosts.clone(),
        tls: tls.clone(),
        daemons: !arguments.no_daemons,
        log: (arguments.log, Level::Info),
        logs: LogBounds {
            process: arguments.process_log.0,
            tenant: arguments.process_logs.0,
            ..LogBounds::default()
        },
    };
    let store = directory.clone();
    let Wired { service, registry, background } = wired(directory, how)?;
    let runtime = runtime()?;
    let served = runtime.block_on(async {
        let listeners = listening::listen(places, tls.as_ref()).await?;
        let bounds = listeners.iter().map(|one| one.bound().map(|bound| bound.to_string()));
        let bounds = bounds.collect::<Result<Vec<_>, _>>().map_err(failed)?;
        let end = stopped()?;
        let again = signal(SignalKind::hangup()).map_err(failed)?;
        let _alone = alone::hold(&store)?;
        // Not before it is sure that somebody sees it.
        let first = ctrlz_server::first_token(&*registry, clock::now()).map_err(told)?;
        announce(&bounds, first.as_deref(), json);
        let manager = Arc::new(systemd::Manager::new());
        manager.ready(&bounds);
        let (watchdog, reload) = (Arc::clone(&manager), Arc::clone(&manager));
        tokio::spawn(async move { watchdog.watchdog().await });
        tokio::spawn(give_memory_back());
        tokio::spawn(tls::reload(tls, again, reload, bounds));
        let stop = async {
            end.await;
            manager.stopping();
        };
        ctrlz_server::serve(Arc::clone(&service), listeners, stop).await;
        Ok::<(), Failure>(())
    });
    background.end();
    served?;
    show::done()
}

fn failed(error: std::io::Error) -> Failure {
    Failure::caused(OWN_FAILURE, "serve", &error)
}

/// How many threads may block: more than all operations that run at once and the calls of many tenants do.
const THREADS: usize = 1024;

/// How many arenas of the heap all threads share: enough for the processors of a small machine.
const ARENAS: u8 = 4;

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    ctrlz_sys::heap::share_arenas(ARENAS);
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).max_blocking_threads(THREADS).enable_all().build().map_err(failed)
}

/// Now and then gives back the memory that many calls at once needed, and none does now.
async fn give_memory_back() {
    let mut often = tokio::time::interval(Duration::from_secs(20));
    loop {
        often.tick().await;
        // It may wait for the heap's locks.
        let _ = tokio::task::spawn_blocking(ctrlz_sys::heap::give_back).await;
    }
}

/// Waits, from now on, for a signal that asks this process to end.
fn stopped() -> Result<impl Future<Output = ()>, Failure> {
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// A service over the stores of this user, and what belongs to it.
struct Wired {
    service: Arc<Service>,
    /// Who may use it.
    registry: Arc<SqliteRegistry>,
    background: Background,
}

/// What goes on beside a service, until after its last operation.
struct Background {
    /// So that what happened in the last operation is sent on, too.
    daemons: Option<Upkeep>,
    traces: Option<Arc<Traces>>,
    logging: Logging,
}

impl Background {
    fn end(self) {
        drop(self.daemons);
        if let Some(traces) = self.traces {
            traces.end();
        }
        drop(self.logging);
    }
}

/// How a service is to be.
struct How {
    /// The names by which it is reached.
    hosts: Vec<String>,
    tls: Option<Arc<Tls>>,
    /// Whether it has daemons.
    daemons: bool,
    /// What it logs, and what when nobody says.
    log: (Option<Level>, Level),
    /// How much of what processes write is kept.
    logs: LogBounds,
}

/// The service over the stores in `directory`, with the launcher.
fn wired(directory: PathBuf, how: How) -> Result<Wired, Failure> {
    descriptors::require()?;
    // While there is one thread: what a sandbox promises is tried once, which clones namespaces.
    {
        let context = Context::open()?;
        context.check_ownership()?;
        let config = known_good::configuration_without_project()?;
        probe::require(&context, &config)?;
        if let (_, Some(note)) = isolating::driver(&config)? {
            eprintln!("ctrlz: {note}");
        }
    }
    // From here on somebody else launches, and nothing is relative to where the service was started.
    let mut command = Command::new("/proc/self/exe");
    command.arg(launcher::ARGUMENT);
    for variable in systemd::VARIABLES {
        command.env_remove(variable);
    }
    let driver = LauncherDriver::start(command)
        .map_err(|error| Failure::caused(OWN_FAILURE, "launcher", &error))?;
    descriptors::take();
    // From here on there are more threads.
    let logging = telemetry::log(how.log)?;
    let traces = telemetry::traces()?;
    std::env::set_current_dir("/").map_err(failed)?;
    let registry = registry(&directory)?;
    let registry = Arc::new(registry);
    let used = Used::of(&directory);
    let daemons = how.daemons.then(|| Upkeep::start(used.clone())).transpose().map_err(failed)?;
    let stores = Arc::new(Stores::new(directory, Arc::new(driver), used));
    collecting::begin(&stores).map_err(failed)?;
    recovery::begin(Arc::clone(&stores), Arc::<SqliteRegistry>::clone(&registry))
        .map_err(failed)?;
    let service = Service::new(Parts {
        backend: stores,
        registry: Arc::<SqliteRegistry>::clone(&registry),
        now: clock::now,
        version: env!("CARGO_PKG_VERSION"),
        tls: how.tls,
        traces: traces.clone(),
        hosts: how.hosts,
        logs: how.logs,
    });
    Ok(Wired { service, registry, background: Background { daemons, traces, logging } })
}

fn announce(bounds: &[String], token: Option<&str>, json: bool) {
    if json {
        show::print_json(&[
            ("pid", std::process::id().into()),
            ("listening", bounds.into()),
            ("token", token.into()),
        ]);
        return;
    }
    println!("ctrlz serves at {}", bounds.join(" and "));
    if let Some(token) = token {
        println!("admin token, told this once: {token}");
    }
}

/// The registry of the service whose store that is.
fn registry(directory: &Path) -> Result<SqliteRegistry, Failure> {
    let failed = |error| Failure::caused(OWN_FAILURE, "registry", &error);
    let registry = SqliteRegistry::open(directory, clock::now()).map_err(failed)?;
    registry.tenants().map_err(failed)?;
    Ok(registry)
}

/// A problem on the command line.
fn told(problem: Problem) -> Failure {
    Failure::new(OWN_FAILURE, "serve", problem.in_words())
}

/// A failure over the network.
fn problem(failure: Failure) -> Problem {
    failure.into_problem()
}
