//! What a process wrote, in pages, or as it comes.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::extract::{Path, Query};
use super::processes::{last_event, stream};
use crate::auth::Looking;
use crate::problem::Problem;
use crate::processes::{Log, Piece, Stream, find};
use crate::service::Service;

/// How much a page has unless it is said, and at most, in bytes of output.
const PAGE: usize = 64 << 10;
const LARGEST: usize = 1 << 20;
/// How much is looked through for a page at most.
const LOOKED: usize = 4 << 20;

/// Which of it.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// How many bytes to pass over; with `follow`, `Last-Event-ID` says the same.
    offset: Option<u64>,
    /// The last bytes, up to 1 MiB, instead.
    tail: Option<u64>,
    /// The last lines instead, of those in the last MiB.
    lines: Option<usize>,
    /// `stdout`, `stderr` or `both`.
    #[serde(default)]
    #[param(value_type = String)]
    stream: Streams,
    /// How many bytes a page has at most: 65536 unless it is said, up to 1 MiB.
    limit: Option<usize>,
    /// Server-sent events as `GET /v1/processes/{process}/output` tells them, until the end.
    #[serde(default)]
    follow: bool,
}

/// Which streams.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Streams {
    #[default]
    Both,
    Stdout,
    Stderr,
}

impl Streams {
    /// Whether one is among them.
    pub(super) fn have(self, stream: Stream) -> bool {
        match self {
            Self::Both => true,
            Self::Stdout => stream == Stream::Output,
            Self::Stderr => stream == Stream::Error,
        }
    }
}

/// Something that was written at once.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LogItem {
    /// `stdout` or `stderr`.
    stream: &'static str,
    /// How many bytes were written before it, to both streams.
    offset: u64,
    /// What was written, in base64.
    data: String,
}

/// A page of what a process wrote.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LogPage {
    /// In their order. There may be none though there is a next page.
    items: Vec<LogItem>,
    /// How many bytes among them, of both streams, are kept no more or could not be written.
    lost: u64,
    /// The `offset` of the next page; null when the process has ended and this was the last one.
    next: Option<u64>,
}

/// What a process wrote, from its beginning or from `offset`, `tail` or `lines` on: a page of it or, with
/// `follow` or `Accept: text/event-stream`, all of it as it comes.
#[utoipa::path(get, path = "/v1/processes/{process}/logs", tag = "processes",
    params(("process" = String, Path, description = "its id"), Wanted),
    security(("token" = ["viewer"])),
    responses((status = 200, content((LogPage = "application/json"), (serde_json::Value = "text/event-stream"))), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn logs(
    State(service): State<Arc<Service>>,
    Looking(caller): Looking,
    Path(id): Path<String>,
    Query(wanted): Query<Wanted>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let ways = [wanted.offset.is_some(), wanted.tail.is_some(), wanted.lines.is_some()];
    if ways.into_iter().filter(|is_said| *is_said).count() > 1 {
        return Err(Problem::bad_request("one of `offset`, `tail` and `lines` can be said"));
    }
    let limit = wanted.limit.unwrap_or(PAGE);
    if !(1..=LARGEST).contains(&limit) {
        return Err(Problem::bad_request(format!("`limit` must be 1 to {LARGEST}")));
    }
    if wanted.tail.is_some_and(|tail| tail > LARGEST as u64) {
        return Err(Problem::bad_request(format!("`tail` must be at most {LARGEST}")));
    }
    let process = find(&service, &caller, &id).await?;
    let last = last_event(&headers);
    let begin = match last.or(wanted.offset) {
        Some(offset) => offset,
        None => begin(&process.log, &wanted).await,
    };
    if wanted.follow || super::operations::says(&headers, "accept", "text/event-stream") {
        let place = service.stream(&caller)?;
        let who = (service, caller, place);
        return Ok(stream(who, process, begin, wanted.stream).into_response());
    }
    // In this order: nothing comes after the end.
    let has_ended = process.has_ended();
    let page = page(&process.log, begin, wanted.stream, limit).await;
    let is_last = has_ended && page.next.is_none_or(|next| next >= *process.log.follow().borrow());
    Ok(Json(LogPage { next: page.next.filter(|_| !is_last), ..page }).into_response())
}

/// Where the last bytes or lines begin that are wanted.
async fn begin(log: &Log, wanted: &Wanted) -> u64 {
    let end = *log.follow().borrow();
    if wanted.tail.is_none() && wanted.lines.is_none() {
        return 0;
    }
    let mut pieces = log.last(LARGEST).await;
    pieces.retain(|piece| wanted.stream.have(piece.stream));
    match (wanted.tail, wanted.lines) {
        (Some(bytes), _) => of_bytes(&pieces, bytes, end),
        (None, lines) => of_lines(&pieces, lines.unwrap_or_default(), end),
    }
}

fn of_bytes(pieces: &[Piece], bytes: u64, end: u64) -> u64 {
    let mut left = bytes;
    let mut begin = end;
    for piece in pieces.iter().rev().take_while(|_| bytes > 0) {
        let length = piece.bytes.len() as u64;
        if length >= left {
            return piece.end() - left;
        }
        left -= length;
        begin = piece.offset;
    }
    begin
}

fn of_lines(pieces: &[Piece], lines: usize, end: u64) -> u64 {
    let mut left = lines;
    let mut begin = end;
    // The end of the last line begins no other.
    let mut is_end = true;
    for piece in pieces.iter().rev().take_while(|_| lines > 0) {
        for (at, byte) in piece.bytes.iter().enumerate().rev() {
            if *byte == b'\n' && !is_end {
                left -= 1;
                if left == 0 {
                    return piece.offset + at as u64 + 1;
                }
            }
            is_end = false;
        }
        begin = piece.offset;
    }
    begin
}

/// What was written from `offset` on, up to `limit` bytes; next is where it goes on.
async fn page(log: &Log, mut offset: u64, streams: Streams, limit: usize) -> LogPage {
    let (mut items, mut size, mut lost, mut looked) = (Vec::new(), 0, 0, 0);
    'full: while looked < LOOKED {
        let pieces = log.read(offset).await;
        if pieces.is_empty() {
            break;
        }
        for piece in pieces {
            lost += piece.offset.saturating_sub(offset);
            looked += piece.bytes.len();
            let wanted = match streams.have(piece.stream) {
                true => piece.bytes.get(..limit - size).unwrap_or(&piece.bytes),
                false => &[],
            };
            if !wanted.is_empty() {
                let (stream, data) = (piece.stream.word(), STANDARD.encode(wanted));
                items.push(LogItem { stream, offset: piece.offset, data });
                size += wanted.len();
            }
            if size == limit {
                offset = piece.offset + wanted.len() as u64;
                break 'full;
            }
            offset = piece.end();
        }
    }
    LogPage { items, lost, next: Some(offset) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(pieces: &[(Stream, &'static str)]) -> Log {
        let log = Log::default();
        for (stream, text) in pieces {
            log.add(*stream, text.as_bytes().into());
        }
        log
    }

    fn wanted(tail: Option<u64>, lines: Option<usize>, stream: Streams) -> Wanted {
        Wanted { offset: None, tail, lines, stream, limit: None, follow: false }
    }

    #[tokio::test]
    async fn the_last_lines_and_bytes_of_a_stream_begin_where_they_do() {
        let log = log(&[
            (Stream::Output, "one\ntwo\n"),
            (Stream::Error, "bad\nworse\n"),
            (Stream::Output, "thr"),
            (Stream::Output, "ee\n"),
        ]);
        let lines = async |count, streams| begin(&log, &wanted(None, Some(count), streams)).await;
        assert_eq!(lines(0, Streams::Both).await, 24);
        assert_eq!(lines(1, Streams::Both).await, 18);
        assert_eq!(lines(2, Streams::Both).await, 12);
        assert_eq!(lines(9, Streams::Both).await, 0);
        assert_eq!(lines(2, Streams::Stdout).await, 4);
        assert_eq!(lines(1, Streams::Stderr).await, 12);
        let bytes = async |count, streams| begin(&log, &wanted(Some(count), None, streams)).await;
        assert_eq!(bytes(0, Streams::Both).await, 24);
        assert_eq!(bytes(4, Streams::Both).await, 20);
        assert_eq!(bytes(7, Streams::Both).await, 17);
        assert_eq!(bytes(7, Streams::Stdout).await, 7);
        assert_eq!(bytes(99, Streams::Stderr).await, 8);
        assert_eq!(begin(&log, &wanted(None, None, Streams::Both)).await, 0);
    }

    #[tokio::test]
    async fn a_page_ends_where_the_next_begins() {
        let log = log(&[(Stream::Output, "12345"), (Stream::Error, "678"), (Stream::Output, "90")]);
        let mut found = Vec::new();
        let mut offset = 0;
        while offset < 10 {
            let page = page(&log, offset, Streams::Stdout, 3).await;
            assert_eq!(page.lost, 0);
            offset = page.next.expect("an offset");
            found
                .push(page.items.into_iter().map(|one| (one.offset, one.data)).collect::<Vec<_>>());
        }
        let encoded = |text: &str| STANDARD.encode(text);
        assert_eq!(
            found,
            [
                vec![(0, encoded("123"))],
                vec![(3, encoded("45")), (8, encoded("9"))],
                vec![(9, encoded("0"))],
            ]
        );
    }
}
