//! Where the service listens, and how it stops.

use std::future::Future;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{Semaphore, watch};

use crate::routes;
use crate::service::Service;

/// How long a client may take to send a request's headers.
const HEADERS: Duration = Duration::from_secs(10);
/// How large they may be.
const HEADERS_SIZE: usize = 64 << 10;
/// How many clients may be connected to one address at once.
const CLIENTS: usize = 4096;
/// How long operations may go on after the service was asked to stop.
const DRAIN: Duration = Duration::from_secs(30);
/// How long those that do not end may take to end once they are told to.
const GRACE: Duration = Duration::from_secs(5);

/// An address to listen at.
#[derive(Debug)]
pub enum Listener {
    /// A socket on this host; whoever may open the file may connect.
    Unix(UnixListener, SocketFile),
    /// A TCP port.
    Tcp(TcpListener),
}

/// The file of a socket. It goes when nobody listens at it any more.
#[derive(Debug)]
pub struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Where something listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bound {
    /// This file.
    Unix(PathBuf),
    /// This address.
    Tcp(std::net::SocketAddr),
}

impl std::fmt::Display for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp(address) => write!(f, "http://{address}"),
        }
    }
}

impl Listener {
    /// Listens at `bound`. A socket that nobody listens at any more is replaced.
    ///
    /// # Errors
    /// When somebody listens there, or it cannot be made.
    pub async fn bind(bound: &Bound) -> std::io::Result<Self> {
        match bound {
            Bound::Tcp(address) => Ok(Self::Tcp(TcpListener::bind(address).await?)),
            Bound::Unix(path) => {
                if std::os::unix::net::UnixStream::connect(path).is_ok() {
                    return Err(std::io::Error::other("another service listens there"));
                }
                match std::fs::symlink_metadata(path) {
                    Ok(found) if std::os::unix::fs::FileTypeExt::is_socket(&found.file_type()) => {
                        std::fs::remove_file(path)?;
                    }
                    Ok(_) => return Err(std::io::Error::other("there is something else")),
                    Err(_) => {}
                }
                let listener = UnixListener::bind(path)?;
                let file = SocketFile(path.clone());
                std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
                Ok(Self::Unix(listener, file))
            }
        }
    }

    /// Where it listens, with the port that the kernel chose.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn bound(&self) -> std::io::Result<Bound> {
        match self {
            Self::Tcp(listener) => Ok(Bound::Tcp(listener.local_addr()?)),
            Self::Unix(_, SocketFile(path)) => Ok(Bound::Unix(path.clone())),
        }
    }
}

/// Answers at all of `listeners` until `stop` is over. Then nothing new begins; what runs may end
/// within half a minute, is told to end, and then ended.
pub async fn serve(
    service: Arc<Service>,
    listeners: Vec<Listener>,
    stop: impl Future<Output = ()>,
) {
    let router = routes::router(&service);
    let (over, is_over) = watch::channel(false);
    let mut tasks = Vec::new();
    for listener in listeners {
        tasks.push(tokio::spawn(listen(listener, router.clone(), is_over.clone())));
    }
    stop.await;
    service.begin_to_drain();
    drain(&service).await;
    over.send_replace(true);
    for task in tasks {
        // One that panicked has nothing to end.
        let _ = task.await;
    }
}

/// Waits until no operation runs any more.
async fn drain(service: &Service) {
    let ended = async {
        for process in service.processes.running() {
            process.wait().await;
        }
    };
    if tokio::time::timeout(DRAIN, ended).await.is_ok() {
        return;
    }
    for signal in [15, 9] {
        let running = service.processes.running();
        for process in &running {
            // One that has ended meanwhile needs none.
            let _ = process.signal(signal);
        }
        let ended = async {
            for process in &running {
                process.wait().await;
            }
        };
        if tokio::time::timeout(GRACE, ended).await.is_ok() {
            return;
        }
    }
}

async fn listen(listener: Listener, router: Router, mut is_over: watch::Receiver<bool>) {
    let graceful = GracefulShutdown::new();
    let mut builder = Builder::new(TokioExecutor::new());
    let mut http1 = builder.http1();
    http1.timer(TokioTimer::new()).header_read_timeout(HEADERS).max_buf_size(HEADERS_SIZE);
    let mut http2 = builder.http2();
    http2.timer(TokioTimer::new()).max_header_list_size(HEADERS_SIZE as u32);
    http2.keep_alive_interval(HEADERS);
    let room = Arc::new(Semaphore::new(CLIENTS));
    loop {
        let permit = Arc::clone(&room).acquire_owned();
        let accepted = async {
            let permit = permit.await;
            let stream: std::io::Result<Box<dyn Stream>> = match &listener {
                Listener::Unix(listener, _) => {
                    listener.accept().await.map(|(one, _)| Box::new(one) as _)
                }
                Listener::Tcp(listener) => listener.accept().await.map(|(one, _)| {
                    // Answers are small and awaited.
                    let _ = one.set_nodelay(true);
                    Box::new(one) as _
                }),
            };
            (permit, stream)
        };
        let (permit, stream) = tokio::select! {
            accepted = accepted => accepted,
            _ = is_over.wait_for(|over| *over) => break,
        };
        let Ok(stream) = stream else {
            // Out of descriptors, most likely: whoever is connected goes on.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let service = TowerToHyperService::new(router.clone());
        let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
        let connection = graceful.watch(connection.into_owned());
        tokio::spawn(async move {
            // What is wrong with a connection is its client's matter.
            let _ = connection.await;
            drop(permit);
        });
    }
    drop(listener);
    tokio::select! {
        () = graceful.shutdown() => {}
        () = tokio::time::sleep(GRACE) => {}
    }
}

/// A connection of any kind.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}
