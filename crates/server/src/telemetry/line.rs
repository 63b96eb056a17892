//! One line for each request.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::MatchedPath;
use axum::http::{Method, Request};
use axum::response::Response;
use bytes::Bytes;
use hyper::body::Frame;

use crate::auth::Caller;
use crate::observed::{Observed, Observer};

/// How much of an error's words is logged, in bytes.
const WORDS: usize = 1024;

/// What is wrong, as a log needs it: in the answer's extensions.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub(crate) kind: Arc<str>,
    pub(crate) words: Arc<str>,
}

/// A request that was not answered yet.
struct Asked {
    method: Method,
    route: Option<MatchedPath>,
    id: Arc<str>,
    begun: Instant,
}

/// Notes a request, so that a line tells of it once its answer has gone: what is done with the answer.
/// Of what a client sends, the line has the id of the request alone: no path, no query, no header.
pub(crate) fn note(
    request: &Request<Body>,
    id: &Arc<str>,
) -> impl FnOnce(Response) -> Response + use<> {
    let asked = tracing::enabled!(tracing::Level::ERROR).then(|| Asked {
        method: request.method().clone(),
        route: request.extensions().get::<MatchedPath>().cloned(),
        id: Arc::clone(id),
        begun: Instant::now(),
    });
    move |response| match asked {
        None => response,
        Some(asked) => {
            let caller = response.extensions().get::<Caller>().cloned();
            let told = response.extensions().get::<Told>().cloned();
            let status = response.status().as_u16();
            let line = Line { asked, caller, told, status, bytes: 0 };
            response.map(|body| Observed::body(body, line))
        }
    }
}

/// What the line tells.
struct Line {
    asked: Asked,
    caller: Option<Caller>,
    told: Option<Told>,
    status: u16,
    bytes: u64,
}

impl Drop for Line {
    fn drop(&mut self) {
        let Asked { method, route, id, begun } = &self.asked;
        // A method is a word that a client chooses.
        let method = match method.as_str() {
            known @ ("GET" | "POST" | "PUT" | "DELETE" | "HEAD" | "OPTIONS" | "PATCH") => known,
            _ => "other",
        };
        let route = route.as_ref().map_or("-", MatchedPath::as_str);
        let (tenant, token) = match &self.caller {
            Some(caller) => (caller.tenant.as_str(), caller.token.as_str()),
            None => ("-", "-"),
        };
        let milliseconds = milliseconds(begun.elapsed());
        let (status, bytes, id) = (self.status, self.bytes, &**id);
        let kind = self.told.as_ref().map_or("-", |told| &*told.kind);
        let failed = status >= 500 && !matches!(kind, "operation-failed" | "draining");
        match &self.told {
            Some(told) if failed => tracing::error!(
                request_id = id, method, route, status, milliseconds, bytes, tenant, token, kind,
                error = %escaped(&told.words), "request failed"
            ),
            _ => tracing::info!(
                request_id = id,
                method,
                route,
                status,
                milliseconds,
                bytes,
                tenant,
                token,
                kind,
                "request"
            ),
        }
    }
}

/// A time in milliseconds, to the microsecond.
pub(crate) fn milliseconds(time: Duration) -> f64 {
    time.as_micros() as f64 / 1e3
}

/// Words of which no character begins a line or moves a cursor, at most a KiB of them.
fn escaped(words: &str) -> String {
    let mut text = String::new();
    for character in words.chars() {
        if text.len() >= WORDS {
            text.push('…');
            break;
        }
        match character.is_control() {
            true => text.extend(character.escape_default()),
            false => text.push(character),
        }
    }
    text
}

impl Observer for Line {
    fn handed_over(&mut self, piece: &Frame<Bytes>) {
        self.bytes += piece.data_ref().map_or(0, |data| data.len() as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stay_in_their_line() {
        assert_eq!(escaped("a\nb\r\u{1b}[2Jc"), "a\\nb\\r\\u{1b}[2Jc");
        let long = escaped(&"ä".repeat(WORDS));
        assert!(long.len() < WORDS + 8 && long.ends_with('…'), "{}", long.len());
    }
}
