//! Clients that are slow, idle, gone, or mean no good. Each time a good one is served afterwards.

mod encrypted;
mod malicious;
mod slow;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::routing::{get, post};
use tokio::sync::Notify;

use super::bind::{Bound, Listener};
use super::limits::{Connections, Limits};
use super::serve::{Accepting, accept};
use super::tls::Tls;

/// How long a test waits for what has to come. Nothing depends on it when all is well.
const PATIENCE: Duration = Duration::from_secs(20);

/// The length of the answer of `/much`, a call that leaves the body of its request unread.
const MUCH: usize = 1 << 20;

/// A listening service with a few calls, and its own runtime.
struct Stage {
    address: SocketAddr,
    folder: tempfile::TempDir,
    /// Lets an answer of `/late` come.
    late: Arc<Notify>,
    counted: Connections,
    accepting: Option<Accepting>,
    runtime: tokio::runtime::Runtime,
}

fn calls(gate: &Arc<Notify>) -> Router {
    let gate = Arc::clone(gate);
    let endless = async || {
        let piece = Bytes::from(vec![b'x'; 16 << 10]);
        Body::from_stream(futures_util::stream::repeat_with(move || {
            Ok::<_, std::convert::Infallible>(piece.clone())
        }))
    };
    let silent = async || {
        Body::from_stream(futures_util::stream::pending::<Result<Bytes, std::convert::Infallible>>())
    };
    let late = move || {
        let gate = Arc::clone(&gate);
        async move {
            gate.notified().await;
            "late"
        }
    };
    Router::new()
        .route("/", get(async || "well"))
        .route("/size", post(async |body: Bytes| body.len().to_string()))
        .route("/much", post(async || "x".repeat(MUCH)))
        .route("/endless", get(endless))
        .route("/silent", get(silent))
        .route("/late", get(late))
}

impl Stage {
    fn new(limits: Limits) -> Self {
        Self::with(limits, None)
    }

    fn with(limits: Limits, tls: Option<Arc<Tls>>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let folder = tempfile::tempdir().expect("a folder");
        let (counted, gate) = (Connections::default(), Arc::new(Notify::new()));
        let told = counted.clone();
        let (address, accepting) = runtime.block_on(async {
            let anywhere = Bound::Tcp("127.0.0.1:0".parse().expect("an address"));
            let listener = Listener::bind(&anywhere, tls.as_ref()).await.expect("a listener");
            let address = match listener.bound().expect("bound") {
                Bound::Tcp(address) | Bound::Tls(address) => address,
                Bound::Unix(path) => panic!("{}", path.display()),
            };
            let socket = Bound::Unix(folder.path().join("socket"));
            let socket = Listener::bind(&socket, None).await.expect("a socket");
            (address, accept(vec![listener, socket], calls(&gate), limits, told))
        });
        Self { address, folder, late: gate, counted, accepting: Some(accepting), runtime }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("connected");
        stream.set_read_timeout(Some(PATIENCE)).expect("set");
        stream.set_write_timeout(Some(PATIENCE)).expect("set");
        stream
    }

    fn connect_by_socket(&self) -> UnixStream {
        UnixStream::connect(self.folder.path().join("socket")).expect("connected")
    }

    /// Sends that, and reads until the service ends the connection.
    #[track_caller]
    fn until_the_end(&self, sent: &[u8]) -> String {
        let mut stream = self.connect();
        // Who is refused in the middle need not be able to send the rest.
        let _ = stream.write_all(sent);
        rest(&mut stream)
    }

    /// A good client is served.
    #[track_caller]
    fn serves(&self) {
        let heard = self.until_the_end(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        assert!(heard.starts_with("HTTP/1.1 200") && heard.ends_with("well"), "{heard}");
    }

    /// Waits until that many connections are open.
    #[track_caller]
    fn has_open(&self, number: i64) {
        let begun = std::time::Instant::now();
        while self.counted.open.get() != number {
            assert!(begun.elapsed() < PATIENCE, "{} are open", self.counted.open.get());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Some(accepting) = self.accepting.take() {
            self.runtime.block_on(accepting.end());
        }
    }
}

#[test]
fn a_path_that_is_too_long_for_a_socket_is_named_as_such() {
    let folder = tempfile::tempdir().expect("a folder");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let bind = |length: usize| {
        let name = "s".repeat(length - folder.path().as_os_str().len() - 1);
        let bound = Bound::Unix(folder.path().join(name));
        runtime
            .block_on(Listener::bind(&bound, None))
            .map(|_| ())
            .map_err(|error| error.to_string())
    };
    assert_eq!(bind(107), Ok(()));
    let refused = bind(108).expect_err("too long");
    assert!(refused.contains("at most 107 bytes") && refused.contains("has 108"), "{refused}");
}

/// What comes until the service ends the connection. That it does not is a failure.
#[track_caller]
fn rest(stream: &mut impl std::io::Read) -> String {
    let mut heard = Vec::new();
    match stream.read_to_end(&mut heard) {
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
            panic!("it is still open: {}", String::from_utf8_lossy(&heard))
        }
        // A reset is an end, too.
        _ => String::from_utf8_lossy(&heard).into_owned(),
    }
}

/// What comes of an answer with a short body on a connection that stays open.
#[track_caller]
fn answer(stream: &mut TcpStream, end: &str) -> String {
    let mut heard = Vec::new();
    while !String::from_utf8_lossy(&heard).ends_with(end) {
        let mut piece = [0; 4096];
        let read = stream.read(&mut piece).expect("an answer in time");
        assert_ne!(read, 0, "{}", String::from_utf8_lossy(&heard));
        heard.extend_from_slice(&piece[..read]);
    }
    String::from_utf8_lossy(&heard).into_owned()
}
