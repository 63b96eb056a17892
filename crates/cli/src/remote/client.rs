//! One request, one connection: HTTP/1.1 over TCP, TLS or a Unix socket.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ctrlz_core::span::Span;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::http::response::Parts;
use hyper::upgrade::Upgraded;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::runtime::Runtime;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::place::{Address, Place, token};
use super::problem::{Refusal, is_of_ctrlz, not_understood};
use super::tls;
use crate::failure::{Failure, OWN_FAILURE};

/// The largest answer that is read.
const LARGEST: usize = 256 << 20;
/// How many bytes of an answer come in a second at least, once it has begun: a service that sends slower, beyond what
/// an answer to a question may take, is waited for no longer.
const SLOWEST: u64 = 4096;
/// How often what may be sent again is sent.
const TRIES: u32 = 4;
/// For how many times as long as an answer to a question may take it is waited for what is carried out already. By far
/// less than a service knows what it was sent: after that the same would be carried out once more.
const UNDER_WAY: u32 = 60;
/// For how long a service knows what it was sent.
const DAY: Duration = Duration::from_secs(86_400);
/// The header by which a service of ctrlz is known.
pub(super) const VERSION: &str = "ctrlz-version";

/// A connection to a process.
pub(super) type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// A service that is asked.
pub(super) struct Client {
    pub(super) place: Place,
    token: String,
    tls: Option<Arc<ClientConfig>>,
    runtime: Runtime,
}

/// A request.
#[derive(Debug, Clone)]
pub(super) struct Call {
    method: Method,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: Bytes,
}

impl Call {
    pub(super) fn new(method: Method, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), headers: Vec::new(), body: Bytes::new() }
    }

    pub(super) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(super) fn json(self, body: &Value) -> Self {
        Self { body: body.to_string().into(), ..self.header("content-type", "application/json") }
    }

    pub(super) fn bytes(self, body: impl Into<Bytes>) -> Self {
        let kind = "application/octet-stream";
        Self { body: body.into(), ..self.header("content-type", kind) }
    }

    /// Lets the service know it again, so that it may be sent again.
    pub(super) fn once(self) -> Result<Self, Failure> {
        let key = ctrlz_server::word(16)
            .map_err(|problem| Failure::new(OWN_FAILURE, "server", problem.in_words()))?;
        Ok(self.header("idempotency-key", key))
    }

    /// Whether it does no harm to send it twice.
    fn is_repeatable(&self) -> bool {
        self.method == Method::GET
            || self.headers.iter().any(|(name, _)| *name == "idempotency-key")
    }
}

/// An answer that was read.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) etag: Option<String>,
    pub(super) body: Bytes,
    /// The version of the service.
    version: String,
}

impl Answer {
    /// The answer as what it should be.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_slice(&self.body)
            .map_err(|error| not_understood(&self.version, &error.to_string()))
    }
}

/// A page of a list.
#[derive(Debug, Deserialize)]
struct Page<T> {
    items: Vec<T>,
    next: Option<String>,
}

/// Why a request has no answer.
enum Lost {
    /// The service did not get it.
    Before(Failure),
    /// It may have got it.
    Midway(Failure),
}

impl Lost {
    fn failure(self) -> Failure {
        match self {
            Self::Before(failure) | Self::Midway(failure) => failure,
        }
    }
}

impl Client {
    pub(super) fn of(url: &str) -> Result<Self, Failure> {
        let place = Place::of(url)?;
        let token = token()?;
        let tls = match place.address {
            Address::Tls(..) => Some(tls::configuration()?),
            Address::Tcp(..) | Address::Unix(_) => None,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::caused(OWN_FAILURE, "server", &error))?;
        Ok(Self { place, token, tls, runtime })
    }

    /// Waits for what is done with the client.
    pub(super) fn wait<T>(&self, act: impl Future<Output = T>) -> T {
        self.runtime.block_on(act)
    }

    pub(super) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.wait(self.ask(Call::new(Method::GET, path)))?.read()
    }

    pub(super) fn post<T: DeserializeOwned>(&self, path: &str, body: &Value) -> Result<T, Failure> {
        self.wait(self.ask(Call::new(Method::POST, path).json(body).once()?))?.read()
    }

    pub(super) fn delete(&self, path: &str) -> Result<Answer, Failure> {
        self.wait(self.ask(Call::new(Method::DELETE, path)))
    }

    /// All of a list, or its first `most` items. `path` has no query.
    pub(super) fn list<T: DeserializeOwned>(
        &self,
        path: &str,
        most: usize,
    ) -> Result<Vec<T>, Failure> {
        let (mut all, mut cursor) = (Vec::new(), None);
        while all.len() < most {
            let limit = (most - all.len()).min(1000).to_string();
            let mut fields = vec![("limit", limit)];
            fields.extend(cursor.map(|cursor| ("cursor", cursor)));
            let page: Page<T> = self.get(&format!("{path}{}", query(&fields)))?;
            let is_over = page.items.is_empty();
            all.extend(page.items);
            cursor = page.next;
            // Whoever answers with empty pages goes on for ever.
            if cursor.is_none() || is_over {
                break;
            }
        }
        Ok(all)
    }

    /// Asks, and reads the whole answer; what may be sent again is, when it was lost.
    pub(super) async fn ask(&self, call: Call) -> Result<Answer, Failure> {
        self.ask_told(call).await?.map_err(Refusal::into_failure)
    }

    /// The same, with a refusal told as it is.
    pub(super) async fn ask_told(&self, call: Call) -> Result<Result<Answer, Refusal>, Failure> {
        let mut tries = 1;
        let mut under_way: Option<Instant> = None;
        loop {
            match self.once(&call).await {
                // The same request is still being carried out, since it was sent before.
                Ok(Err(refusal)) if tries > 1 && refusal.is_under_way() => {
                    if under_way.get_or_insert_with(Instant::now).elapsed() > self.longest() {
                        return Err(self.still_under_way());
                    }
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                Ok(answered) => return Ok(answered),
                Err(Lost::Midway(_)) if call.is_repeatable() && tries < TRIES => {
                    tokio::time::sleep(Duration::from_millis(200) * tries).await;
                    tries += 1;
                }
                Err(lost) => return Err(lost.failure()),
            }
        }
    }

    /// How long it is waited for what is carried out already.
    fn longest(&self) -> Duration {
        self.place.patience.saturating_mul(UNDER_WAY).min(DAY / 2)
    }

    fn still_under_way(&self) -> Failure {
        let longest = Span(self.longest());
        let message = format!("{} is not done within {longest}", self.place);
        Failure::new(OWN_FAILURE, "under-way", message)
            .detail("the connection was lost meanwhile; what was asked for goes on there".to_owned())
            .hint(
                "`ctrlz log` tells what comes of it: look there before you ask again; CTRLZ_SERVER_TIMEOUT \
                 times 60 is how long it is waited for, up to half a day",
            )
    }

    async fn once(&self, call: &Call) -> Result<Result<Answer, Refusal>, Lost> {
        let response = self.send(call).await?;
        let (parts, body) = response.into_parts();
        let body = self.whole(body).await.map_err(Lost::Midway)?;
        let version = self.version(&parts, &body).map_err(Lost::Before)?;
        if parts.status.is_success() {
            let etag = parts.headers.get("etag").and_then(|tag| tag.to_str().ok());
            return Ok(Ok(Answer { etag: etag.map(str::to_owned), body, version }));
        }
        Ok(Err(Refusal::read(parts.status, &body, version)))
    }

    /// Opens a stream of events; a refusal is a failure.
    pub(super) async fn stream(&self, call: &Call) -> Result<Result<Incoming, Failure>, Failure> {
        let response = self.send(call).await.map_err(Lost::failure)?;
        let (parts, body) = response.into_parts();
        if parts.status.is_success() {
            self.version(&parts, &[])?;
            return Ok(Ok(body));
        }
        let body = self.whole(body).await?;
        let version = self.version(&parts, &body)?;
        Ok(Err(Refusal::read(parts.status, &body, version).into_failure()))
    }

    /// Opens a WebSocket to a process, from that place of its output on; a refusal is a failure.
    pub(super) async fn attach(
        &self,
        path: &str,
        offset: u64,
    ) -> Result<Result<Socket, Failure>, Failure> {
        let key = generate_key();
        let path = format!("{path}{}", query(&[("offset", offset.to_string())]));
        let call = Call::new(Method::GET, path)
            .header("connection", "upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", key.clone());
        let response = self.send(&call).await.map_err(Lost::failure)?;
        let accepted = response.headers().get("sec-websocket-accept");
        let is_accepted =
            accepted.is_some_and(|accept| *accept == derive_accept_key(key.as_bytes()));
        if response.status() == StatusCode::SWITCHING_PROTOCOLS && is_accepted {
            let stream = hyper::upgrade::on(response).await.map_err(|error| self.lost(&error))?;
            let io = TokioIo::new(stream);
            return Ok(Ok(WebSocketStream::from_raw_socket(io, Role::Client, None).await));
        }
        let (parts, body) = response.into_parts();
        let body = self.whole(body).await?;
        let version = self.version(&parts, &body)?;
        Ok(Err(Refusal::read(parts.status, &body, version).into_failure()))
    }

    /// Which version answers, empty when it does not say; errs when that is no service of ctrlz.
    fn version(&self, parts: &Parts, body: &[u8]) -> Result<String, Failure> {
        let version = parts.headers.get(VERSION).and_then(|value| value.to_str().ok());
        let version = version.or_else(|| is_of_ctrlz(body).then_some(""));
        version.map(str::to_owned).ok_or_else(|| {
            let message = format!("what answers at {} is no service of ctrlz", self.place);
            Failure::new(OWN_FAILURE, "no-service", message)
                .detail(format!("it answered {}", parts.status))
                .hint("look at the address; something before the service may have answered for it")
        })
    }

    /// Reads an answer that has begun. It is whole already at the service, whatever it is about.
    async fn whole(&self, mut body: Incoming) -> Result<Bytes, Failure> {
        let mut all = Vec::new();
        let begun = Instant::now();
        loop {
            let earned = Duration::from_secs(all.len() as u64 / SLOWEST);
            let left = (self.place.patience + earned).saturating_sub(begun.elapsed());
            let frame = timeout(left, body.frame()).await.map_err(|_| self.trickles(all.len()))?;
            let Some(frame) = frame else { return Ok(all.into()) };
            let frame = frame.map_err(|error| self.lost(&error))?;
            let Ok(data) = frame.into_data() else { continue };
            if all.len() + data.len() > LARGEST {
                let message = format!("the service answers more than {} MiB", LARGEST >> 20);
                return Err(Failure::new(OWN_FAILURE, "answer", message));
            }
            all.extend_from_slice(&data);
        }
    }

    async fn send(&self, call: &Call) -> Result<Response<Incoming>, Lost> {
        let mut connection = self.connect().await.map_err(Lost::Before)?;
        let path = format!("{}{}", self.place.prefix, call.path);
        let mut request = Request::builder()
            .method(&call.method)
            .uri(path)
            .header("host", &self.place.host)
            .header("user-agent", concat!("ctrlz/", env!("CARGO_PKG_VERSION")))
            .header("authorization", format!("Bearer {}", self.token));
        for (name, value) in &call.headers {
            request = request.header(*name, value);
        }
        let request = request
            .body(Full::new(call.body.clone()))
            .map_err(|error| Lost::Before(Failure::caused(OWN_FAILURE, "server", &error)))?;
        let answer = connection.send_request(request);
        let answer = match call.method == Method::GET {
            true => self.in_time(answer).await.map_err(Lost::Midway)?,
            // What is done takes as long as it takes.
            false => answer.await,
        };
        answer.map_err(|error| Lost::Midway(self.lost(&error)))
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, Failure> {
        match &self.place.address {
            Address::Unix(path) => {
                let stream = self.in_time(UnixStream::connect(path)).await?;
                self.shake_hands(stream.map_err(|error| self.unreachable(&error))?).await
            }
            Address::Tcp(host, port) => self.shake_hands(self.tcp(host, *port).await?).await,
            Address::Tls(host, port) => {
                let stream = self.tcp(host, *port).await?;
                let failed = |error: &dyn std::error::Error| {
                    let message = format!("no connection to {} can be trusted", self.place);
                    Failure::new(OWN_FAILURE, "tls", message).detail(error.to_string()).hint(
                        "CTRLZ_SERVER_CA names the certificate of a private authority; \
                         CTRLZ_SERVER_CERT and CTRLZ_SERVER_KEY are what the service may ask for",
                    )
                };
                let name = ServerName::try_from(host.clone()).map_err(|error| failed(&error))?;
                let config = self.tls.clone().ok_or_else(|| failed(&std::fmt::Error))?;
                let stream = self.in_time(TlsConnector::from(config).connect(name, stream)).await?;
                self.shake_hands(stream.map_err(|error| failed(&error))?).await
            }
        }
    }

    async fn tcp(&self, host: &str, port: u16) -> Result<TcpStream, Failure> {
        let stream = self.in_time(TcpStream::connect((host, port))).await?;
        let stream = stream.map_err(|error| self.unreachable(&error))?;
        // What is said is short; and a service whose host is gone is not waited for.
        let _ = stream.set_nodelay(true);
        let _ = rustix::net::sockopt::set_socket_keepalive(&stream, true);
        let _ = rustix::net::sockopt::set_tcp_keepidle(&stream, Duration::from_secs(30));
        let _ = rustix::net::sockopt::set_tcp_keepintvl(&stream, Duration::from_secs(10));
        let _ = rustix::net::sockopt::set_tcp_keepcnt(&stream, 3);
        Ok(stream)
    }

    async fn shake_hands<S>(&self, stream: S) -> Result<SendRequest<Full<Bytes>>, Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let shaken = handshake(TokioIo::new(stream)).await;
        let (sender, connection) = shaken.map_err(|error| self.lost(&error))?;
        tokio::spawn(connection.with_upgrades());
        Ok(sender)
    }

    async fn in_time<T>(&self, act: impl Future<Output = T>) -> Result<T, Failure> {
        timeout(self.place.patience, act).await.map_err(|_| {
            let patience = Span(self.place.patience);
            let message = format!("{} does not answer within {patience}", self.place);
            Failure::new(OWN_FAILURE, "unreachable", message)
                .hint("CTRLZ_SERVER_TIMEOUT tells how long to wait")
        })
    }

    fn trickles(&self, bytes: usize) -> Failure {
        let message = format!("{} sends its answer too slowly", self.place);
        Failure::new(OWN_FAILURE, "unreachable", message)
            .detail(format!("{bytes} bytes of it came in time, and not its end"))
            .hint("CTRLZ_SERVER_TIMEOUT tells how long to wait")
    }

    fn unreachable(&self, error: &std::io::Error) -> Failure {
        Failure::new(OWN_FAILURE, "unreachable", format!("cannot reach {}: {error}", self.place))
            .hint("`ctrlz serve` offers the service; is it running, and is this its address?")
    }

    fn lost(&self, error: &hyper::Error) -> Failure {
        let message = format!("the connection to {} was lost", self.place);
        let failure = Failure::new(OWN_FAILURE, "connection-lost", message);
        failure.detail(ctrlz_engine::in_full(error))
    }
}

/// A part of a path.
pub(super) fn segment(text: &str) -> String {
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let escaped = |byte: u8| match unreserved(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    text.bytes().map(escaped).collect()
}

/// A query with its question mark; nothing when there are no fields.
pub(super) fn query(fields: &[(&str, String)]) -> String {
    if fields.is_empty() {
        return String::new();
    }
    let mut query = url::form_urlencoded::Serializer::new("?".to_owned());
    query.extend_pairs(fields).finish()
}
