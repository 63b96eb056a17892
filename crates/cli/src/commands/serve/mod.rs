//! `ctrlz serve` and `ctrlz token`.

mod backend;
mod errand;
mod foreign;
mod pool;
mod session;
mod tls;
mod token;
mod upkeep;

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use ctrlz_core::tenancy::Registry as _;
use ctrlz_isolation::launcher::{self, LauncherDriver};
use ctrlz_server::{Bound, Listener, Parts, Problem, Service};
use ctrlz_store::SqliteRegistry;
use tokio::signal::unix::{SignalKind, signal};

use self::backend::Stores;
pub(crate) use self::token::token;
use self::upkeep::{Upkeep, Used};
use super::{known_good, probe};
use crate::Answer;
use crate::arguments::ServeArguments;
use crate::context::Context;
use crate::failure::{Failure, OWN_FAILURE, REFUSED};
use crate::{clock, places, show};

/// The socket's name in the store, when nobody says another.
const SOCKET: &str = "service.sock";

pub(crate) fn serve(arguments: &ServeArguments, json: bool) -> Answer {
    let directory = places::store()?;
    let tls = tls::tls(&arguments.tls)?;
    let bounds = bounds(arguments, &directory, tls.is_some())?;
    // While there is one thread: what a sandbox promises is tried once, which clones namespaces.
    {
        let context = Context::open()?;
        context.check_ownership()?;
        probe::require(&context, &known_good::configuration_without_project()?)?;
    }
    let failed = |error: std::io::Error| Failure::caused(OWN_FAILURE, "serve", &error);
    // From here on somebody else launches, and nothing is relative to where the service was started.
    let mut command = Command::new("/proc/self/exe");
    command.arg(launcher::ARGUMENT);
    let driver = LauncherDriver::start(command)
        .map_err(|error| Failure::caused(OWN_FAILURE, "launcher", &error))?;
    std::env::set_current_dir("/").map_err(failed)?;
    let registry = registry(&directory)?;
    let registry = Arc::new(registry);
    let used = Used::of(&directory);
    let daemons = (!arguments.no_daemons).then(|| Upkeep::start(used.clone()));
    let daemons = daemons.transpose().map_err(failed)?;
    let service = Service::new(Parts {
        backend: Arc::new(Stores::new(directory, Arc::new(driver), used)),
        registry: Arc::<SqliteRegistry>::clone(&registry),
        now: clock::now,
        version: env!("CARGO_PKG_VERSION"),
        tls: tls.clone(),
    });
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(failed)?;
    let served = runtime.block_on(async {
        let mut listeners = Vec::new();
        for bound in &bounds {
            let listener = Listener::bind(bound, tls.as_ref()).await.map_err(|error| {
                Failure::new(OWN_FAILURE, "listen", format!("cannot listen at {bound}: {error}"))
            })?;
            listeners.push(listener);
        }
        let bounds = listeners.iter().map(|one| one.bound().map(|bound| bound.to_string()));
        let bounds = bounds.collect::<Result<Vec<_>, _>>().map_err(failed)?;
        // Not before it is sure that somebody sees it.
        let first = ctrlz_server::first_token(&*registry, clock::now()).map_err(told)?;
        announce(&bounds, first.as_deref(), json);
        let mut end = [
            signal(SignalKind::terminate()).map_err(failed)?,
            signal(SignalKind::interrupt()).map_err(failed)?,
        ];
        let [terminate, interrupt] = &mut end;
        let mut again = signal(SignalKind::hangup()).map_err(failed)?;
        if let Some(tls) = tls {
            tokio::spawn(Arc::clone(&tls).follow());
            tokio::spawn(async move {
                while again.recv().await.is_some() {
                    let tls = Arc::clone(&tls);
                    // What is wrong is told with the service's health.
                    let _ = tokio::task::spawn_blocking(move || tls.reload().is_ok()).await;
                }
            });
        }
        let stop = async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        ctrlz_server::serve(Arc::clone(&service), listeners, stop).await;
        Ok::<(), Failure>(())
    });
    // After the last operation, so that what happened in it is sent on, too.
    drop(daemons);
    served?;
    show::done()
}

/// Where to listen: nowhere that another machine can reach, unless somebody says so.
fn bounds(
    arguments: &ServeArguments,
    directory: &Path,
    has_tls: bool,
) -> Result<Vec<Bound>, Failure> {
    let socket = arguments.socket.clone().unwrap_or_else(|| directory.join(SOCKET));
    let mut bounds = vec![Bound::Unix(socket)];
    if arguments.listen == "none" {
        return Ok(bounds);
    }
    let address: SocketAddr = arguments.listen.parse().map_err(|_| {
        let message = format!("`{}` is no address and port", arguments.listen);
        Failure::new(OWN_FAILURE, "listen", message).hint("write 127.0.0.1:7070, or [::1]:7070")
    })?;
    if has_tls {
        bounds.push(Bound::Tls(address));
        return Ok(bounds);
    }
    if !address.ip().is_loopback() && !arguments.insecure {
        let message = format!("{address} can be reached from other machines, without TLS");
        return Err(Failure::new(REFUSED, "listen", message)
            .hint("add --tls-cert and --tls-key, or listen at 127.0.0.1 behind a proxy that has TLS, or add --insecure"));
    }
    bounds.push(Bound::Tcp(address));
    Ok(bounds)
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
