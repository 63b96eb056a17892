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

impl Timestamp {
    /// Reads RFC 3339 with seconds and, if they are there, fractions of up to nine digits; a date
    /// alone is its beginning in UTC. Nothing for another text, and for a day that does not exist.
    #[must_use]
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        let (date, rest) = text.split_at_checked(10)?;
        let number = |text: Option<&str>, digits: usize| -> Option<i64> {
            let text = text.filter(|text| text.len() == digits)?;
            text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
        };
        let mut parts = date.split('-');
        let (year, month) = (number(parts.next(), 4)?, number(parts.next(), 2)?);
        let days = days_from_civil(year, month, number(parts.next(), 2)?);
        // A day that does not exist counts as another one.
        if parts.next().is_some() || Self::from_parts(days * 86400, 0).rfc3339().get(..10)? != date
        {
            return None;
        }
        let Some(time) = rest.strip_prefix(['T', 't', ' ']) else {
            return rest.is_empty().then(|| Self::from_parts(days * 86400, 0));
        };
        let (clock, zone) = time.split_at_checked(8)?;
        let mut parts = clock.split(':');
        let hour = number(parts.next(), 2).filter(|hour| *hour < 24)?;
        let minute = number(parts.next(), 2).filter(|minute| *minute < 60)?;
        let second = number(parts.next(), 2).filter(|second| *second < 61)?;
        let (nanoseconds, zone) = match zone.strip_prefix('.') {
            None => (0, zone),
            Some(rest) => {
                let end = rest.find(|c: char| !c.is_ascii_digit())?;
                let (digits, zone) = rest.split_at_checked(end)?;
                let value = number(Some(digits), end).filter(|_| (1..=9).contains(&end))?;
                (value * 10_i64.pow(9 - u32::try_from(end).ok()?), zone)
            }
        };
        let offset = match zone.split_at_checked(1)? {
            ("Z" | "z", "") => 0,
            (sign @ ("+" | "-"), zone) => {
                let (hours, minutes) = zone.split_once(':')?;
                let minutes = number(Some(minutes), 2).filter(|minutes| *minutes < 60)?;
                let seconds = number(Some(hours), 2)? * 3600 + minutes * 60;
                if sign == "+" { seconds } else { -seconds }
            }
            _ => return None,
        };
        let seconds = days * 86400 + hour * 3600 + minute * 60 + second - offset;
        Some(Self::from_parts(seconds, nanoseconds))
    }
}

/// The inverse of [`civil_from_days`].
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let year_of_era = year - era * 400;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
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
    fn reads_what_it_shows() {
        for seconds in [0, 951_782_400, 1_767_225_599, -1, 4_107_542_400] {
            let time = Timestamp::from_parts(seconds, 120);
            assert_eq!(Timestamp::parse_rfc3339(&time.rfc3339_nanoseconds()), Some(time));
        }
        let read = |text| Timestamp::parse_rfc3339(text).map(Timestamp::seconds);
        assert_eq!(read("1970-01-02"), Some(86400));
        assert_eq!(read("1970-01-01T01:30:00+01:00"), Some(1800));
        assert_eq!(read("1970-01-01 00:00:00.5-00:30"), Some(1800));
        for bad in [
            "",
            "1970",
            "1970-02-30",
            "1970-13-01",
            "1970-01-01T00:00:00",
            "1970-01-01T24:00:00Z",
            "1970-01-01T00:00:00.Z",
            "1970-01-01T00:00:00Zx",
            "1970-1-01",
            "19\u{e9}0-01-01",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

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
