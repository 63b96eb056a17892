//! Connections: taken, answered, closed.

use std::future::Future;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use rustix::net::sockopt;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};

use super::activity::{Activity, Stream, TooLong, Watched};
use super::answering::Answering;
use super::bind::Listener;
use super::drain::drain;
use super::limits::{Connections, Limits, Place, Room};
use super::tls::{self, Tls};
use crate::idempotency;
use crate::processes::prune_all;
use crate::routes;
use crate::service::Service;

/// Answers at all of `listeners` until `stop` is over. Then nothing new begins; what runs may end
/// within half a minute, is told to end, and then ended.
pub async fn serve(
    service: Arc<Service>,
    listeners: Vec<Listener>,
    stop: impl Future<Output = ()>,
) {
    let router = routes::router(&service);
    for bound in listeners.iter().filter_map(|listener| listener.bound().ok()) {
        tracing::info!(at = %bound, version = service.parts.version, "serving");
    }
    tokio::spawn(prune_all(Arc::downgrade(&service)));
    let counted = service.metrics.connections.clone();
    let answer = accept(listeners, router, Limits::default(), counted);
    stop.await;
    tracing::info!(running = service.processes.running().len(), "stopping");
    service.begin_to_drain();
    drain(&service).await;
    service.mcp.close().await;
    answer.end().await;
    idempotency::store(&service).await;
    tracing::info!("stopped");
}

/// Connections that are being answered.
pub(super) struct Accepting {
    over: watch::Sender<bool>,
}

impl Accepting {
    /// Takes no more, and waits until those that there are have ended, for as long as the limits let
    /// them go on.
    pub(super) async fn end(self) {
        self.over.send_replace(true);
        self.over.closed().await;
    }
}

/// Answers with `router` at all of `listeners`.
pub(super) fn accept(
    listeners: Vec<Listener>,
    router: Router,
    limits: Limits,
    counted: Connections,
) -> Accepting {
    let limits = Arc::new(limits);
    let handshakes = Arc::new(Semaphore::new(limits.handshakes));
    let over = watch::Sender::new(false);
    for listener in listeners {
        let handling = Handling {
            builder: builder(&limits),
            router: router.clone(),
            limits: Arc::clone(&limits),
            handshakes: Arc::clone(&handshakes),
            counted: counted.clone(),
        };
        tokio::spawn(listen(listener, handling, over.subscribe()));
    }
    Accepting { over }
}

/// What is done with a connection.
#[derive(Clone)]
struct Handling {
    builder: Builder<TokioExecutor>,
    router: Router,
    limits: Arc<Limits>,
    handshakes: Arc<Semaphore>,
    counted: Connections,
}

fn builder(limits: &Limits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    let mut http1 = builder.http1();
    // How long headers may take is a part of how long a connection may be idle.
    http1.timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(limits.headers);
    let mut http2 = builder.http2();
    http2.timer(TokioTimer::new()).max_header_list_size(limits.headers as u32);
    http2.keep_alive_interval(Duration::from_secs(10)).max_concurrent_streams(limits.streams);
    // How often a client may begin requests and take them back before they are answered.
    http2.max_pending_accept_reset_streams(20).max_local_error_reset_streams(256);
    http2.max_send_buf_size(limits.headers);
    builder
}

async fn listen(listener: Listener, handling: Handling, mut is_over: watch::Receiver<bool>) {
    let room = Room::new(&handling.limits, handling.counted.clone());
    loop {
        let accepted = async {
            let permit = room.place().await;
            (permit, arrival(&listener).await)
        };
        let (permit, arrival) = tokio::select! {
            accepted = accepted => accepted,
            _ = is_over.wait_for(|over| *over) => break,
        };
        let (Some(permit), Ok(arrival)) = (permit, arrival) else {
            // Out of descriptors, most likely: whoever is connected goes on.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        // Who has too many connections is not worth an answer.
        let Some(place) = room.give(permit, arrival.from()) else { continue };
        tokio::spawn(handling.clone().handle(arrival, place, is_over.clone()));
    }
}

/// Who comes.
enum Arrival {
    Unix(tokio::net::UnixStream),
    Tcp(TcpStream, IpAddr, Option<Arc<Tls>>),
}

async fn arrival(listener: &Listener) -> std::io::Result<Arrival> {
    match listener {
        Listener::Unix(listener, _) => Ok(Arrival::Unix(listener.accept().await?.0)),
        Listener::Tcp(listener, tls) => {
            let (stream, from) = listener.accept().await?;
            Ok(Arrival::Tcp(stream, from.ip(), tls.clone()))
        }
    }
}

impl Arrival {
    fn from(&self) -> Option<IpAddr> {
        match self {
            Self::Unix(_) => None,
            Self::Tcp(_, from, _) => Some(*from),
        }
    }
}

/// What a client that has gone without a word costs is bounded by the kernel. Without these settings
/// only the time differs.
fn prepare(stream: &TcpStream, limits: &Limits) {
    // Answers are small and awaited.
    let _ = stream.set_nodelay(true);
    let _ = sockopt::set_socket_keepalive(stream, true);
    let _ = sockopt::set_tcp_keepidle(stream, limits.stalled);
    let _ = sockopt::set_tcp_keepintvl(stream, Duration::from_secs(10));
    let _ = sockopt::set_tcp_keepcnt(stream, 3);
    let stalled = u32::try_from(limits.stalled.as_millis()).unwrap_or(u32::MAX);
    let _ = sockopt::set_tcp_user_timeout(stream, stalled);
}

impl Handling {
    async fn handle(self, arrival: Arrival, place: Place, mut is_over: watch::Receiver<bool>) {
        let (stream, has_tls): (Box<dyn Stream>, bool) = match arrival {
            Arrival::Unix(stream) => (Box::new(stream), false),
            Arrival::Tcp(stream, _, None) => {
                prepare(&stream, &self.limits);
                (Box::new(stream), false)
            }
            Arrival::Tcp(stream, _, Some(tls)) => {
                prepare(&stream, &self.limits);
                let agreed = tls::agree(stream, &tls, &self.handshakes);
                let agreed = tokio::select! {
                    agreed = tokio::time::timeout(self.limits.handshake, agreed) => agreed,
                    _ = is_over.wait_for(|over| *over) => return,
                };
                let Ok(Some(stream)) = agreed else {
                    self.counted.unagreed.inc();
                    return;
                };
                (Box::new(stream), true)
            }
        };
        let activity = Activity::new();
        let stream = Watched { stream, activity: Arc::clone(&activity), _place: place };
        let answering = Answering {
            router: self.router,
            activity: Arc::clone(&activity),
            limits: Arc::clone(&self.limits),
            has_tls,
        };
        let connection =
            self.builder.serve_connection_with_upgrades(TokioIo::new(stream), answering);
        let mut connection = pin!(connection.into_owned());
        let too_long = tokio::select! {
            // What is wrong with a connection is its client's matter.
            _ = connection.as_mut() => return,
            too_long = activity.too_long(&self.limits) => too_long,
            _ = is_over.wait_for(|over| *over) => TooLong::Idle,
        };
        if too_long == TooLong::Stalled {
            self.counted.stalled.inc();
            return;
        }
        connection.as_mut().graceful_shutdown();
        let _ = tokio::time::timeout(self.limits.grace, connection).await;
    }
}
