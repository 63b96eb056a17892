//! Unary calls of gRPC over HTTP/2 (gRPC's PROTOCOL-HTTP2.md) on a Unix socket.
//!
//! Calls of one request and one answer are all that is used, so this stands on `h2`, which the service has
//! anyway, and not on a framework for services. See the decision record on containerd.

use std::io;
use std::path::Path;

use bytes::{BufMut, Bytes, BytesMut};
use h2::client::{SendRequest, handshake};
use http::{HeaderMap, Request};
use prost::Message;
use tokio::net::UnixStream;

/// The most of an answer that is read.
const MOST: usize = 4 << 20;
/// Before each message: whether it is compressed, and its length.
const PREFIX: usize = 5;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    /// The other side refused it.
    #[error("{message}")]
    Refused {
        /// A status code of gRPC.
        code: u32,
        /// What it says.
        message: String,
    },
    /// Nobody answers.
    #[error("nobody answers")]
    Unreachable(#[source] io::Error),
    /// The connection failed.
    #[error("the connection failed")]
    Connection(#[from] h2::Error),
    /// It is no answer to the call.
    #[error("what answers speaks no gRPC: {0}")]
    Nonsense(String),
}

impl CallError {
    const NOT_FOUND: u32 = 5;
    const UNIMPLEMENTED: u32 = 12;

    /// There is no such thing.
    pub(super) fn is_absent(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if *code == Self::NOT_FOUND)
    }

    /// There is no such call: the other side is older, or something else.
    pub(super) fn is_unknown(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if *code == Self::UNIMPLEMENTED)
    }
}

/// A connection. Copies share it.
#[derive(Debug, Clone)]
pub(super) struct Connection {
    sender: SendRequest<Bytes>,
    namespace: &'static str,
}

impl Connection {
    /// Connects, in a runtime that goes on to be run while the connection is used.
    pub(super) async fn open(socket: &Path, namespace: &'static str) -> Result<Self, CallError> {
        let stream = UnixStream::connect(socket).await.map_err(CallError::Unreachable)?;
        let (sender, connection) = handshake(stream).await?;
        // Why it ended, the calls tell that are under way.
        tokio::spawn(async move { drop(connection.await) });
        Ok(Self { sender, namespace })
    }

    /// Calls `method`, such as `containerd.services.version.v1.Version/Version`.
    pub(super) async fn call<A: Message + Default>(
        &self,
        method: &str,
        message: &impl Message,
    ) -> Result<A, CallError> {
        let request = Request::post(format!("http://containerd/{method}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("containerd-namespace", self.namespace)
            .body(())
            .map_err(|error| CallError::Nonsense(error.to_string()))?;
        let mut sender = self.sender.clone().ready().await?;
        let (response, mut body) = sender.send_request(request, false)?;
        body.send_data(framed(message), true)?;
        let response = response.await?;
        let status = response.status();
        if !status.is_success() {
            return Err(CallError::Nonsense(format!("HTTP status {status}")));
        }
        // An answer without a message has its trailers in front.
        check(response.headers())?;
        let mut stream = response.into_body();
        let mut came = BytesMut::new();
        while let Some(part) = stream.data().await {
            let part = part?;
            let _ = stream.flow_control().release_capacity(part.len());
            came.extend_from_slice(&part);
            if came.len() > MOST {
                return Err(CallError::Nonsense("its answer is too long".to_owned()));
            }
        }
        if let Some(trailers) = stream.trailers().await? {
            check(&trailers)?;
        }
        let message = came.get(PREFIX..).unwrap_or_default();
        A::decode(message).map_err(|error| CallError::Nonsense(error.to_string()))
    }
}

fn framed(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut bytes = BytesMut::with_capacity(PREFIX + length);
    bytes.put_u8(0);
    bytes.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    bytes.extend_from_slice(&message.encode_to_vec());
    bytes.freeze()
}

fn check(headers: &HeaderMap) -> Result<(), CallError> {
    let Some(code) = headers.get("grpc-status") else { return Ok(()) };
    let code = code.to_str().ok().and_then(|text| text.parse().ok()).unwrap_or(2);
    if code == 0 {
        return Ok(());
    }
    let message = headers.get("grpc-message").map(|text| unescape(text.as_bytes()));
    Err(CallError::Refused { code, message: message.unwrap_or_default() })
}

/// Undoes percent-encoding.
fn unescape(text: &[u8]) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        let code = after.get(..2).filter(|_| *first == b'%');
        let code = code.and_then(|code| std::str::from_utf8(code).ok());
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_is_told_in_words() {
        let mut headers = HeaderMap::new();
        headers.insert("grpc-status", "5".parse().expect("a value"));
        headers.insert("grpc-message", "no %22x%22 100%".parse().expect("a value"));
        let error = check(&headers).expect_err("refused");
        assert!(error.is_absent());
        assert_eq!(error.to_string(), "no \"x\" 100%");
        headers.insert("grpc-status", "0".parse().expect("a value"));
        check(&headers).expect("fine");
    }
}
