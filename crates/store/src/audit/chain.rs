//! One event after the other.

use ctrlz_core::digest::Digest;
use ctrlz_core::event::Event;
use sha2::{Digest as _, Sha256};

/// Where a stretch of a log begins: what came before its first event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// The log.
    pub source: String,
    /// The number of the event before, 0 for none.
    pub before: i64,
    /// The SHA-256 of its bytes; of the source's for none.
    pub hash: Digest,
}

impl Start {
    /// The beginning of a log.
    #[must_use]
    pub fn of_log(source: &str) -> Self {
        Self { source: source.to_owned(), before: 0, hash: hash(source) }
    }
}

/// One event of a chain that holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// Its number.
    pub number: i64,
    /// The SHA-256 of its bytes.
    pub hash: Digest,
}

/// Where a chain breaks, and how.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Break {
    /// A line is no event.
    #[error("what should be event {number} is none: {reason}")]
    NoEvent {
        /// The event that was expected.
        number: i64,
        /// Why not.
        reason: String,
    },
    /// An event of another log.
    #[error("event {number} is of another log, {found}")]
    Foreign {
        /// The event.
        number: i64,
        /// Its source.
        found: String,
    },
    /// An event is missing, or stands in another place.
    #[error("event {expected} is missing or not in its place: {found} follows")]
    Order {
        /// The number that comes next.
        expected: i64,
        /// The number found.
        found: String,
    },
    /// The event before is not the one that this one was appended to.
    #[error("event {before} was changed, or event {number} was: they do not fit together")]
    Hash {
        /// The event before.
        before: i64,
        /// The event.
        number: i64,
    },
}

/// The SHA-256 of an event's bytes.
pub(super) fn hash(text: &str) -> Digest {
    Digest::sha256(Sha256::digest(text).into())
}

/// Follows a chain from `start`; answers every link of it.
///
/// # Errors
/// The first place where it breaks.
pub fn check<'a>(
    start: &Start,
    events: impl IntoIterator<Item = &'a str>,
) -> Result<Vec<Link>, Break> {
    let mut links = Vec::new();
    let mut last = Link { number: start.before, hash: start.hash };
    for text in events {
        let number = last.number + 1;
        let event: Event = serde_json::from_str(text)
            .map_err(|error| Break::NoEvent { number, reason: error.to_string() })?;
        if event.source != start.source {
            return Err(Break::Foreign { number, found: event.source });
        }
        if event.id != number.to_string() || event.sequence != format!("{number:019}") {
            return Err(Break::Order { expected: number, found: event.id });
        }
        if event.prevhash != last.hash.hex() {
            return Err(Break::Hash { before: last.number, number });
        }
        last = Link { number, hash: hash(text) };
        links.push(last);
    }
    Ok(links)
}
