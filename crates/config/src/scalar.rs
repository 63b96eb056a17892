//! How single values are read and shown.

use std::time::Duration;

use ctrlz_core::driver::Isolation;
use ctrlz_core::isolation::Network;
use ctrlz_core::monitor::AnomalyPolicy;
use ctrlz_core::size::ByteSize;
use ctrlz_core::span::Span;
use ctrlz_core::verdict::Risk;
use ctrlz_core::workspace_choice::WorkspaceChoice;

use crate::error::quoted;
use crate::limit::{Amount, Limit};
use crate::profile::{AuditLogging, EmergencyStart, ValidationLevel, one_of};

const MIB: u64 = 1 << 20;

/// Reads a limit with the units that its type knows.
pub(crate) fn limit<T: Amount>(text: &str) -> Result<Option<T>, String> {
    text.parse::<Limit<T>>().map(Into::into).map_err(|error| error.to_string())
}

/// Reads a limit that is counted in MiB.
pub(crate) fn mebibytes(text: &str) -> Result<Option<ByteSize>, String> {
    let count: Option<u64> = limit(text)?;
    let bytes = |count: u64| count.checked_mul(MIB).map(ByteSize);
    count
        .map(|count| bytes(count).ok_or_else(|| format!("{} MiB is too much", quoted(text))))
        .transpose()
}

/// Reads a limit in percent of one processor: 100 is one whole processor, whatever the host has.
pub(crate) fn cpu_percent(text: &str) -> Result<Option<f64>, String> {
    Ok(limit(text)?.map(|percent: f64| percent / 100.0))
}

/// Reads a limit in seconds, without a unit.
pub(crate) fn seconds(text: &str) -> Result<Option<Span>, String> {
    let span = |seconds: f64| {
        let length = Duration::try_from_secs_f64(seconds).ok().filter(|length| !length.is_zero());
        length.map(Span).ok_or_else(|| format!("{} s is no length of time", quoted(text)))
    };
    limit(text)?.map(span).transpose()
}

/// Reads a time between two looks.
pub(crate) fn interval(text: &str) -> Result<Span, String> {
    let span: Span =
        text.parse().map_err(|error: ctrlz_core::span::SpanError| error.to_string())?;
    if span.0 < Duration::from_secs(1) {
        return Err(format!("{} is less than a second", quoted(text)));
    }
    Ok(span)
}

/// Reads a threshold in percent of the whole.
pub(crate) fn threshold(text: &str) -> Result<u8, String> {
    text.parse()
        .ok()
        .filter(|percent| (1..=100).contains(percent))
        .ok_or_else(|| format!("{} is not a whole number from 1 to 100", quoted(text)))
}

/// Reads for how long something stays: whole hours.
pub(crate) fn hours(text: &str) -> Result<Option<u32>, String> {
    let Some(span) = limit::<Span>(text)? else { return Ok(None) };
    let hours = u32::try_from(span.0.as_secs() / 3600).ok();
    let whole = span.0.subsec_nanos() == 0 && span.0.as_secs().is_multiple_of(3600);
    match hours.filter(|_| whole) {
        Some(hours) => Ok(Some(hours)),
        None => Err(format!("{} is not a number of whole hours, such as 36h or 7d", quoted(text))),
    }
}

/// Reads a risk that is above low.
pub(crate) fn risk(text: &str) -> Result<Option<Risk>, String> {
    let known = [
        ("medium", Some(Risk::Medium)),
        ("high", Some(Risk::High)),
        ("critical", Some(Risk::Critical)),
        ("none", None),
    ];
    one_of(text, &known).map_err(|error| error.to_string())
}

/// What may follow when something is unusual.
const ANOMALY: [(&str, AnomalyPolicy); 4] = [
    ("off", AnomalyPolicy::Off),
    ("report", AnomalyPolicy::Report),
    ("freeze", AnomalyPolicy::Freeze),
    ("rollback", AnomalyPolicy::Rollback),
];

/// Reads what follows when something is unusual.
pub(crate) fn anomaly(text: &str) -> Result<AnomalyPolicy, String> {
    one_of(text, &ANOMALY).map_err(|error| error.to_string())
}

/// Reads a command of the shell.
pub(crate) fn shell(text: &str) -> Result<String, String> {
    match text.trim().is_empty() || text.contains('\0') {
        true => Err(format!("{} is no command", quoted(text))),
        false => Ok(text.to_owned()),
    }
}

/// Reads the network.
pub(crate) fn network(text: &str) -> Result<Network, String> {
    one_of(text, &[("none", Network::None), ("host", Network::Host)])
        .map_err(|error| error.to_string())
}

/// Reads one of a type's words.
pub(crate) fn word<T: std::str::FromStr>(text: &str) -> Result<T, String>
where
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|error: T::Err| error.to_string())
}

/// A value as it may be written in a file, without loss.
pub(crate) trait Shown {
    /// The text.
    fn shown(&self) -> String;
}

impl Shown for bool {
    fn shown(&self) -> String {
        self.to_string()
    }
}

impl Shown for u8 {
    fn shown(&self) -> String {
        self.to_string()
    }
}

impl Shown for u32 {
    fn shown(&self) -> String {
        self.to_string()
    }
}

impl Shown for u64 {
    fn shown(&self) -> String {
        self.to_string()
    }
}

impl Shown for f64 {
    fn shown(&self) -> String {
        self.to_string()
    }
}

impl Shown for ByteSize {
    fn shown(&self) -> String {
        let units = [(40, "T"), (30, "G"), (20, "M"), (10, "K")];
        units
            .iter()
            .find(|(shift, _)| self.0 != 0 && self.0.trailing_zeros() >= *shift)
            .map_or_else(
                || self.0.to_string(),
                |(shift, unit)| format!("{}{unit}", self.0 >> shift),
            )
    }
}

impl Shown for Span {
    fn shown(&self) -> String {
        let whole = self.0.as_secs();
        match self.0.subsec_nanos() {
            0 if whole.is_multiple_of(3600) => format!("{}h", whole / 3600),
            0 if whole.is_multiple_of(60) => format!("{}m", whole / 60),
            _ => format!("{}s", self.0.as_secs_f64()),
        }
    }
}

impl Shown for Risk {
    fn shown(&self) -> String {
        self.to_string()
    }
}

impl Shown for AnomalyPolicy {
    fn shown(&self) -> String {
        let word = ANOMALY.iter().find(|(_, policy)| policy == self).map(|(word, _)| *word);
        word.unwrap_or_default().to_owned()
    }
}

impl Shown for Isolation {
    fn shown(&self) -> String {
        self.to_string()
    }
}

impl Shown for WorkspaceChoice {
    fn shown(&self) -> String {
        self.word().to_owned()
    }
}

impl Shown for Network {
    fn shown(&self) -> String {
        match self {
            Self::None => "none".to_owned(),
            Self::Host => "host".to_owned(),
        }
    }
}

impl Shown for ValidationLevel {
    fn shown(&self) -> String {
        self.word().to_owned()
    }
}

impl Shown for AuditLogging {
    fn shown(&self) -> String {
        self.word().to_owned()
    }
}

impl Shown for EmergencyStart {
    fn shown(&self) -> String {
        self.word().to_owned()
    }
}

impl<T: Shown> Shown for Option<T> {
    fn shown(&self) -> String {
        self.as_ref().map_or_else(|| "none".to_owned(), Shown::shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_those_of_the_key() {
        assert_eq!(mebibytes("2048"), Ok(Some(ByteSize(2 << 30))));
        assert_eq!(cpu_percent("75"), Ok(Some(0.75)));
        assert_eq!(seconds("1.5"), Ok(Some(Span(Duration::from_millis(1500)))));
        assert_eq!(mebibytes("none"), Ok(None));
    }

    #[test]
    fn refuses_what_is_no_amount() {
        for bad in ["-1", "2G", "1.5", "", "1e3"] {
            let reason = mebibytes(bad).unwrap_err();
            assert_eq!(reason, format!("`{bad}` is not a whole number, or none"));
        }
        assert_eq!(mebibytes("99999999999999").unwrap_err(), "`99999999999999` MiB is too much");
        assert!(seconds("0.00000000001").is_err() && seconds("99999999999999999999").is_err());
        assert!(interval("0").is_err() && interval("1ms").is_err() && interval("1").is_ok());
        assert!(threshold("0").is_err() && threshold("101").is_err() && threshold("90").is_ok());
    }

    proptest::proptest! {
        #[test]
        fn what_is_shown_can_be_read_again(bytes in 1..(1u64 << 52), millis in 1..10_000_000u64) {
            let size = ByteSize(bytes);
            proptest::prop_assert_eq!(size.shown().parse(), Ok(size));
            let span = Span(Duration::from_millis(millis));
            proptest::prop_assert_eq!(span.shown().parse(), Ok(span));
        }
    }
}
