//! A limit as it is written: an amount, or `none` to lift it.

use std::fmt;
use std::str::FromStr;

use ctrlz_core::size::{ByteSize, SizeError};
use ctrlz_core::span::{Span, SpanError};

use crate::error::quoted;

/// A limit as it is written: an amount, or `none`, which lifts a limit that a weaker source set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit<T> {
    /// No limit, whatever weaker sources say.
    Lifted,
    /// This much and no more; above zero.
    At(T),
}

/// Why a text is no limit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct LimitError(String);

impl<T> From<Limit<T>> for Option<T> {
    fn from(limit: Limit<T>) -> Self {
        match limit {
            Limit::Lifted => None,
            Limit::At(amount) => Some(amount),
        }
    }
}

impl<T: fmt::Display> fmt::Display for Limit<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lifted => f.write_str("none"),
            Self::At(amount) => amount.fmt(f),
        }
    }
}

impl<T: Amount> FromStr for Limit<T> {
    type Err = LimitError;
    fn from_str(text: &str) -> Result<Self, LimitError> {
        if text == "none" {
            return Ok(Self::Lifted);
        }
        let amount = T::read(text).map_err(|reason| LimitError(format!("{reason}, or none")))?;
        if amount.is_above_zero() {
            Ok(Self::At(amount))
        } else {
            Err(LimitError("a limit must be above 0; write none for no limit".to_owned()))
        }
    }
}

/// What a limit can be counted in: bytes, time, processors, or things.
pub trait Amount: Sized {
    /// Reads an amount.
    ///
    /// # Errors
    /// Says what the text is not.
    fn read(text: &str) -> Result<Self, String>;

    /// Whether it is more than nothing.
    fn is_above_zero(&self) -> bool;
}

impl Amount for ByteSize {
    fn read(text: &str) -> Result<Self, String> {
        text.parse().map_err(|error: SizeError| error.to_string())
    }
    fn is_above_zero(&self) -> bool {
        self.0 > 0
    }
}

impl Amount for Span {
    fn read(text: &str) -> Result<Self, String> {
        text.parse().map_err(|error: SpanError| error.to_string())
    }
    fn is_above_zero(&self) -> bool {
        !self.0.is_zero()
    }
}

impl Amount for u32 {
    fn read(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| format!("{} is not a whole number", quoted(text)))
    }
    fn is_above_zero(&self) -> bool {
        *self > 0
    }
}

impl Amount for u64 {
    fn read(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| format!("{} is not a whole number", quoted(text)))
    }
    fn is_above_zero(&self) -> bool {
        *self > 0
    }
}

impl Amount for f64 {
    fn read(text: &str) -> Result<Self, String> {
        // The standard library also reads `inf`, `nan` and `1e9`.
        let plain = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        let number = text.parse().ok().filter(|number: &f64| plain && number.is_finite());
        number.ok_or_else(|| format!("{} is not a number", quoted(text)))
    }
    fn is_above_zero(&self) -> bool {
        *self > 0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_amounts_and_none() {
        assert_eq!("none".parse(), Ok(Limit::<u32>::Lifted));
        assert_eq!("1K".parse(), Ok(Limit::At(ByteSize(1024))));
        assert_eq!("1.5".parse(), Ok(Limit::At(1.5)));
    }

    #[test]
    fn says_what_a_limit_is() {
        let bytes = |text: &str| text.parse::<Limit<ByteSize>>().unwrap_err().to_string();
        assert_eq!(bytes("0"), "a limit must be above 0; write none for no limit");
        assert!(bytes("x").starts_with("`x` is not a size"), "{}", bytes("x"));
        assert!(bytes("x").ends_with(", or none"), "{}", bytes("x"));
        for bad in ["nan", "inf", "-1", "1e9", ""] {
            let error = bad.parse::<Limit<f64>>().unwrap_err().to_string();
            assert_eq!(error, format!("`{bad}` is not a number, or none"));
        }
        let pids = "-1".parse::<Limit<u32>>().unwrap_err().to_string();
        assert_eq!(pids, "`-1` is not a whole number, or none");
    }
}
