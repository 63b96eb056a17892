//! Until when a certificate holds, and what is told of that.

use ctrlz_core::event::Severity;
use ctrlz_core::health::Finding;
use ctrlz_core::time::Timestamp;
use rustls::pki_types::CertificateDer;
use x509_parser::parse_x509_certificate;

/// How long before the end it is warned, in seconds: fourteen days.
const AHEAD: i64 = 14 * DAY;
const DAY: i64 = 86_400;
const SECOND: i64 = 1_000_000_000;

/// The end of the first one of a chain that ends (RFC 5280, 4.1.2.5), since clients want all of them to hold.
/// Nothing when that cannot be read. What holds for longer than a [`Timestamp`] can say holds until its last.
pub(super) fn end_of(chain: &[CertificateDer<'_>]) -> Option<Timestamp> {
    let end = |certificate: &CertificateDer<'_>| {
        let (_, parsed) = parse_x509_certificate(certificate).ok()?;
        Some(Timestamp(parsed.validity().not_after.timestamp().saturating_mul(SECOND)))
    };
    let ends: Option<Vec<Timestamp>> = chain.iter().map(end).collect();
    ends?.into_iter().min()
}

/// How a certificate is at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Expiry {
    /// Whether somebody should look at it, or clients refuse it already.
    pub(crate) severity: Severity,
    /// The same in words.
    pub(crate) words: String,
}

impl Expiry {
    /// Of one that holds until `end`.
    pub(crate) fn at(end: Option<Timestamp>, now: Timestamp) -> Self {
        let Some(end) = end else {
            let words = "it cannot be read until when the certificate holds".to_owned();
            return Self { severity: Severity::Ok, words };
        };
        let (left, date) = ((end.0 - now.0).div_euclid(SECOND), end.rfc3339());
        match left {
            ..=0 => Self {
                severity: Severity::Critical,
                words: format!("the certificate expired at {date}: clients refuse it"),
            },
            1..AHEAD => Self {
                severity: Severity::Warning,
                words: format!("the certificate expires at {date}, in {}", in_words(left)),
            },
            _ => Self {
                severity: Severity::Ok,
                words: format!("the certificate holds until {date}"),
            },
        }
    }

    /// As a check of `GET /v1/health` finds it.
    pub(crate) fn finding(self) -> Finding {
        let advice = match self.severity {
            Severity::Ok => "",
            Severity::Warning | Severity::Critical => {
                "put a new one in the place of its files: it is taken into use within seconds"
            }
        };
        Finding {
            check: "certificate".to_owned(),
            severity: self.severity,
            evidence: self.words,
            advice: advice.to_owned(),
            remedies: Vec::new(),
        }
    }
}

fn in_words(seconds: i64) -> String {
    match seconds / DAY {
        0 => "less than a day".to_owned(),
        1 => "a day".to_owned(),
        days => format!("{days} days"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_warned_two_weeks_ahead() {
        let end = Timestamp(1_800_000_000 * SECOND);
        let severity = |left: i64| Expiry::at(Some(end), Timestamp(end.0 - left * SECOND)).severity;
        assert_eq!(severity(AHEAD), Severity::Ok);
        assert_eq!(severity(AHEAD - 1), Severity::Warning);
        assert_eq!(severity(1), Severity::Warning);
        assert_eq!(severity(0), Severity::Critical);
        assert_eq!(severity(-100 * DAY), Severity::Critical);
        assert_eq!(Expiry::at(None, end).severity, Severity::Ok);
        let told = Expiry::at(Some(end), Timestamp(end.0 - 13 * DAY * SECOND));
        assert_eq!(told.words, "the certificate expires at 2027-01-15T08:00:00Z, in 13 days");
        assert_eq!(told.finding().severity, Severity::Warning);
    }
}
