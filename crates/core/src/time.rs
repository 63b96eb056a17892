//! Points in time, as the kernel stamps files.

use serde::{Deserialize, Serialize};

/// Nanoseconds since 1970-01-01 UTC, as in `struct statx_timestamp`. Ordered; may lie before
/// 1970.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// From a `timespec`'s two fields. Saturates in the year 2262.
    #[must_use]
    pub fn from_parts(seconds: i64, nanoseconds: i64) -> Self {
        Self(seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds))
    }

    /// Whole seconds, rounded down.
    #[must_use]
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1_000_000_000)
    }

    /// The rest after [`Self::seconds`], 0 to 999 999 999.
    #[must_use]
    pub fn nanoseconds(self) -> i64 {
        self.0.rem_euclid(1_000_000_000)
    }

    /// RFC 3339 in UTC with nanoseconds: `2026-01-31T12:00:00.000000001Z`.
    #[must_use]
    pub fn rfc3339_nanoseconds(self) -> String {
        let mut text = self.rfc3339();
        text.pop();
        format!("{text}.{:09}Z", self.nanoseconds())
    }

    /// RFC 3339 in UTC with seconds: `2026-01-31T12:00:00Z`.
    #[must_use]
    pub fn rfc3339(self) -> String {
        let days = self.seconds().div_euclid(86400);
        let second = self.seconds().rem_euclid(86400);
        let (year, month, day) = civil_from_days(days);
        format!(
            "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
            second / 3600,
            second / 60 % 60,
            second % 60
        )
    }
}

/// The proleptic Gregorian date of a day count since 1970-01-01, by counting 400-year eras that
/// begin in March.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_known_dates() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_767_225_599, "2025-12-31T23:59:59Z"),
            (-1, "1969-12-31T23:59:59Z"),
        ] {
            assert_eq!(Timestamp::from_parts(seconds, 0).rfc3339(), text);
        }
    }
}
