//! Lengths of time, as people write them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A length of time. Read from `90`, `1.5s`, `250ms`, `10m`, `2h`, `7d`; a bare number is
/// seconds, as in timeout(1). As JSON it is a number of seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span(pub Duration);

/// Why a text is not a length of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a length of time: write seconds, or a number with ms, s, m, h or d")]
pub struct SpanError(String);

impl FromStr for Span {
    type Err = SpanError;
    fn from_str(text: &str) -> Result<Self, SpanError> {
        let error = || SpanError(text.to_owned());
        let trimmed = text.trim();
        let end =
            trimmed.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(trimmed.len());
        let (number, unit) = trimmed.split_at(end);
        let seconds = match unit {
            "ms" => 1e-3,
            "" | "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            "d" => 86400.0,
            _ => return Err(error()),
        };
        let value = number.parse::<f64>().map_err(|_| error())? * seconds;
        Duration::try_from_secs_f64(value).map(Self).map_err(|_| error())
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs_f64();
        match seconds {
            s if s < 1.0 => write!(f, "{:.0} ms", s * 1e3),
            s if s < 60.0 => write!(f, "{s:.1} s"),
            s if s < 3600.0 => write!(f, "{:.0} min {:.0} s", (s / 60.0).floor(), s % 60.0),
            s => write!(f, "{:.0} h {:.0} min", (s / 3600.0).floor(), (s % 3600.0) / 60.0),
        }
    }
}

impl Serialize for Span {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_f64(self.0.as_secs_f64())
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let seconds = f64::deserialize(d)?;
        Duration::try_from_secs_f64(seconds).map(Self).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_units() {
        for (text, millis) in [("2", 2000), ("1.5s", 1500), ("250ms", 250), ("10m", 600_000)] {
            assert_eq!(text.parse(), Ok(Span(Duration::from_millis(millis))), "{text}");
        }
        for bad in ["", "-1", "s", "1w", "1e400"] {
            assert!(bad.parse::<Span>().is_err(), "{bad}");
        }
    }
}
