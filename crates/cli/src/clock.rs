//! The time, and how people write it.

use std::time::{SystemTime, UNIX_EPOCH};

use ctrlz_core::span::Span;
use ctrlz_core::time::Timestamp;

use crate::failure::{Failure, OWN_FAILURE};

/// Now.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    Timestamp(i64::try_from(since).unwrap_or(i64::MAX))
}

/// A moment: RFC 3339, a date (its beginning in UTC), or a length of time before now.
pub(crate) fn moment(text: &str) -> Result<Timestamp, Failure> {
    if let Ok(Span(ago)) = text.parse() {
        let ago = i64::try_from(ago.as_nanos()).unwrap_or(i64::MAX);
        return Ok(Timestamp(now().0.saturating_sub(ago)));
    }
    Timestamp::parse_rfc3339(text).ok_or_else(|| {
        let message = format!("`{text}` is no time");
        Failure::new(OWN_FAILURE, "time", message).hint(
            "write 2026-01-31, 2026-01-31T12:00:00Z, 2026-01-31T12:00:00+01:00, or how long ago: \
             2h, 7d",
        )
    })
}
