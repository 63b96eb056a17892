//! Amounts, as programs read them from their arguments.

use std::fmt;

use ctrlz_core::size::ByteSize;

/// How much of something. Amounts of different things do not compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Amount {
    Bytes(u64),
    Count(u64),
    Seconds(u64),
    Unlimited,
}

impl PartialOrd for Amount {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        match (self, other) {
            (Self::Bytes(one), Self::Bytes(other))
            | (Self::Count(one), Self::Count(other))
            | (Self::Seconds(one), Self::Seconds(other)) => Some(one.cmp(other)),
            (Self::Unlimited, Self::Unlimited) => Some(std::cmp::Ordering::Equal),
            (Self::Unlimited, _) => Some(std::cmp::Ordering::Greater),
            (_, Self::Unlimited) => Some(std::cmp::Ordering::Less),
            _ => None,
        }
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => ByteSize(*bytes).fmt(f),
            Self::Count(count) => count.fmt(f),
            Self::Seconds(seconds) => match *seconds {
                s if s >= 86_400 => write!(f, "{} d", s / 86_400),
                s if s >= 3_600 => write!(f, "{} h", s / 3_600),
                s => write!(f, "{s} s"),
            },
            Self::Unlimited => f.write_str("without limit"),
        }
    }
}

/// A number of bytes: `64G`, `1.5GiB`, `10kB`. A bare number counts `unit` bytes each.
pub(super) fn bytes(text: &[u8], unit: u64) -> Option<u64> {
    let (number, suffix) = number(text)?;
    let factor = match suffix.to_ascii_lowercase().as_slice() {
        b"" => unit as f64,
        b"b" | b"c" => 1.0,
        b"w" => 2.0,
        [letter, rest @ ..] => {
            let power = 1 + b"kmgtpe".iter().position(|known| known == letter)?;
            let base: f64 = match rest {
                b"b" if suffix.len() == 2 => 1000.0,
                b"" | b"b" | b"ib" => 1024.0,
                _ => return None,
            };
            base.powi(i32::try_from(power).ok()?)
        }
    };
    whole(number * factor)
}

/// A number of things, or no limit.
pub(super) fn count(text: &[u8]) -> Option<Amount> {
    if text == b"unlimited" || text == b"infinity" {
        return Some(Amount::Unlimited);
    }
    std::str::from_utf8(text).ok()?.parse().ok().map(Amount::Count)
}

/// A length of time as sleep(1) and timeout(1) read it.
pub(super) fn time(text: &[u8]) -> Option<Amount> {
    if matches!(text, b"infinity" | b"inf") {
        return Some(Amount::Unlimited);
    }
    let (number, suffix) = number(text)?;
    let seconds = match suffix {
        b"" | b"s" => 1.0,
        b"m" => 60.0,
        b"h" => 3_600.0,
        b"d" => 86_400.0,
        b"w" => 604_800.0,
        b"y" => 31_557_600.0,
        _ => return None,
    };
    whole(number * seconds).map(Amount::Seconds)
}

/// The number at the start of a text, and what follows it.
fn number(text: &[u8]) -> Option<(f64, &[u8])> {
    let end = text.iter().position(|byte| !(byte.is_ascii_digit() || *byte == b'.'));
    let (number, rest) = text.split_at_checked(end.unwrap_or(text.len()))?;
    let number: f64 = std::str::from_utf8(number).ok()?.parse().ok()?;
    Some((number, rest))
}

/// What is larger than any number is the largest.
fn whole(number: f64) -> Option<u64> {
    number.is_finite().then_some(number as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_times_and_counts() {
        for (text, amount) in [
            ("64G", Some(64 << 30)),
            ("1.5GiB", Some(3 << 29)),
            ("10kB", Some(10_000)),
            ("10KB", Some(10_000)),
            ("512", Some(512)),
            ("9999999999999E", Some(u64::MAX)),
            ("50%", None),
            ("", None),
            ("G", None),
            ("1..2G", None),
        ] {
            assert_eq!(bytes(text.as_bytes(), 1), amount, "{text}");
        }
        assert_eq!(bytes(b"4", 1024), Some(4096));
        for (text, amount) in [
            ("30d", Some(Amount::Seconds(2_592_000))),
            ("0.5m", Some(Amount::Seconds(30))),
            ("infinity", Some(Amount::Unlimited)),
            ("soon", None),
        ] {
            assert_eq!(time(text.as_bytes()), amount, "{text}");
        }
        assert_eq!(count(b"unlimited"), Some(Amount::Unlimited));
        assert!(Amount::Unlimited > Amount::Count(u64::MAX));
        assert!(Amount::Bytes(3) > Amount::Bytes(2));
    }
}
