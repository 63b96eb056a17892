//! What is in a file, as an answer: whole, in part, or not at all when it is known.

use std::fs::File;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use crate::auth;
use crate::problem::Problem;

/// Up to this size the tag of a file follows from its bytes.
const HASHED: u64 = 16 << 20;
/// How much is read at once.
const PIECE: usize = 256 << 10;

/// An open file, and what tells it from another state of it.
#[derive(Debug, Clone)]
pub(super) struct Content {
    file: Arc<File>,
    size: u64,
    tag: String,
}

impl Content {
    /// Looks into a file. It blocks.
    pub(super) fn of(file: File) -> std::io::Result<Self> {
        let about = file.metadata()?;
        let size = about.len();
        let digest = match size <= HASHED {
            true => digest(&file, size)?,
            // Not all of it is read for that.
            false => {
                let times = [about.mtime(), about.mtime_nsec(), about.ctime(), about.ctime_nsec()];
                let text = format!("{size} {times:?} {} {}", about.dev(), about.ino());
                auth::digest(text.as_bytes())
            }
        };
        let tag: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { file: Arc::new(file), size, tag: format!("\"{tag}\"") })
    }

    /// Its strong entity tag (RFC 9110, 8.8.3).
    pub(super) fn tag(&self) -> &str {
        &self.tag
    }

    /// The answer to a request with these headers.
    pub(super) fn answer(self, asked: &HeaderMap) -> Result<Response, Problem> {
        let tag = HeaderValue::from_str(&self.tag)
            .map_err(|error| Problem::internal(error.to_string()))?;
        if is_one_of(asked, &header::IF_NONE_MATCH, Some(&self.tag)) == Some(true) {
            return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response());
        }
        let size = self.size;
        let asked_for = asked.get(header::RANGE).and_then(|range| range.to_str().ok());
        let same = asked.get(header::IF_RANGE).is_none_or(|known| *known == tag);
        let (from, end, status) =
            match asked_for.filter(|_| same).and_then(|text| range(text, size)) {
                None => (0, size, StatusCode::OK),
                Some(Some((from, end))) => (from, end, StatusCode::PARTIAL_CONTENT),
                Some(None) => {
                    let title = format!("the file has {size} bytes, none of them in that range");
                    let mut response =
                        Problem::new(StatusCode::RANGE_NOT_SATISFIABLE, "range", title)
                            .into_response();
                    let length = HeaderValue::from_str(&format!("bytes */{size}"))
                        .map_err(|error| Problem::internal(error.to_string()))?;
                    response.headers_mut().insert(header::CONTENT_RANGE, length);
                    return Ok(response);
                }
            };
        let mut headers = HeaderMap::new();
        headers.insert(header::ETAG, tag);
        headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        let kind = HeaderValue::from_static("application/octet-stream");
        headers.insert(header::CONTENT_TYPE, kind);
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(end - from));
        if status == StatusCode::PARTIAL_CONTENT {
            let text = format!("bytes {from}-{}/{size}", end.saturating_sub(1));
            let range = HeaderValue::from_str(&text)
                .map_err(|error| Problem::internal(error.to_string()))?;
            headers.insert(header::CONTENT_RANGE, range);
        }
        Ok((status, headers, self.body(from, end)).into_response())
    }

    fn body(self, from: u64, end: u64) -> Body {
        let pieces = futures_util::stream::unfold(from, move |at| {
            let file = Arc::clone(&self.file);
            async move {
                if at >= end {
                    return None;
                }
                let read = tokio::task::spawn_blocking(move || {
                    let length = usize::try_from(end - at).unwrap_or(PIECE).min(PIECE);
                    let mut piece = vec![0; length];
                    // A file that was cut meanwhile ends the answer before its time.
                    file.read_exact_at(&mut piece, at)?;
                    Ok::<_, std::io::Error>(Bytes::from(piece))
                });
                let piece = read.await.map_err(std::io::Error::other).flatten();
                let next = piece.as_ref().map_or(end, |piece| at + piece.len() as u64);
                Some((piece, next))
            }
        });
        Body::from_stream(pieces)
    }
}

/// The SHA-256 of a file. It is read piece by piece: many may be looked into at once.
fn digest(file: &File, size: u64) -> std::io::Result<[u8; 32]> {
    let mut digest = auth::Digest::default();
    let mut piece = vec![0; usize::try_from(size).unwrap_or(PIECE).min(PIECE)];
    let mut at = 0;
    while at < size {
        let length = usize::try_from(size - at).unwrap_or(PIECE).min(PIECE);
        let piece = piece.get_mut(..length).unwrap_or_default();
        file.read_exact_at(piece, at)?;
        digest.add(piece);
        at += length as u64;
    }
    Ok(digest.end())
}

/// The part that a range asks for: `None` when it is not one that is understood, and so not looked at; inside
/// `None` when nothing of the file lies in it (RFC 9110, 14).
fn range(text: &str, size: u64) -> Option<Option<(u64, u64)>> {
    let (from, to) = text.strip_prefix("bytes=")?.split_once('-')?;
    let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok());
    match (from, to) {
        ("", "") => None,
        ("", last) => {
            let last: u64 = number(last)??;
            Some((last > 0 && size > 0).then(|| (size.saturating_sub(last), size)))
        }
        (from, "") => {
            let from: u64 = number(from)??;
            Some((from < size).then_some((from, size)))
        }
        (from, to) => {
            let (from, to): (u64, u64) = (number(from)??, number(to)??);
            if from > to {
                return None;
            }
            Some((from < size).then(|| (from, size.min(to.saturating_add(1)))))
        }
    }
}

/// Whether the tag of what is there is one of those that a header names; `*` is any. `None` without the
/// header.
pub(super) fn is_one_of(asked: &HeaderMap, name: &HeaderName, tag: Option<&str>) -> Option<bool> {
    let mut values = asked.get_all(name).iter().peekable();
    values.peek()?;
    let words = values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    let mut words = words.map(str::trim);
    Some(words.any(|word| tag.is_some_and(|tag| word == "*" || word == tag)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_those_of_the_standard() {
        for (text, expected) in [
            ("bytes=0-4", Some(Some((0, 5)))),
            ("bytes=5-", Some(Some((5, 10)))),
            ("bytes=-3", Some(Some((7, 10)))),
            ("bytes=-30", Some(Some((0, 10)))),
            ("bytes=9-99", Some(Some((9, 10)))),
            ("bytes=10-", Some(None)),
            ("bytes=-0", Some(None)),
            ("bytes=4-2", None),
            ("bytes=0-1,3-4", None),
            ("bytes=-", None),
            ("bytes=a-b", None),
            ("lines=1-2", None),
        ] {
            assert_eq!(range(text, 10), expected, "{text}");
        }
        assert_eq!(range("bytes=0-", 0), Some(None));
        assert_eq!(range("bytes=-1", 0), Some(None));
    }
}
