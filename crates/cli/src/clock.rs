//! The time, and how people write it.

use std::time::{SystemTime, UNIX_EPOCH};

use ctrlz_core::span::Span;
use ctrlz_core::time::Timestamp;

use crate::failure::{Failure, OWN_FAILURE};

/// Now.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    Timestamp(i64::try_from(since).unwrap_or(i64::MAX).saturating_add(shift()))
}

#[cfg(not(feature = "faults"))]
fn shift() -> i64 {
    0
}

/// How far a test has set the clock, in nanoseconds: the file that `CTRLZ_CLOCK` names has the
/// seconds to add, and may change at any time.
#[cfg(feature = "faults")]
fn shift() -> i64 {
    static FILE: std::sync::OnceLock<Option<std::ffi::OsString>> = std::sync::OnceLock::new();
    let Some(file) = FILE.get_or_init(|| std::env::var_os("CTRLZ_CLOCK")) else { return 0 };
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.trim().parse::<i64>().unwrap_or(0).saturating_mul(1_000_000_000)
}

/// Makes the clock that a test sets that of the store and of the sinks as well.
#[cfg(feature = "faults")]
pub(crate) fn share() {
    ctrlz_store::set_clock(now);
    ctrlz_sinks::set_clock(|| now().seconds());
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
