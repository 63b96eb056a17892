//! Secrets that were found stay in the process.

use ctrlz_policy::{Stage, Verdict, redact, redact_bytes};

/// The shortest secret that is searched for: shorter ones may stand anywhere by chance.
const SHORTEST: usize = 12;

/// Redaction is idempotent, and what a finding names as a secret is in nothing that is told.
pub fn no_secret_is_shown(verdict: &Verdict, text: &[u8]) {
    let redacted = redact_bytes(text);
    assert_eq!(redacted, redact_bytes(&redacted), "redacting twice takes out more");
    let secrets = verdict.findings.iter().filter(|finding| {
        let mark = format!("‹redacted: {}›", finding.rule);
        finding.stage == Stage::Content && holds(&redacted, mark.as_bytes())
    });
    for finding in secrets {
        let secret = text.get(finding.range.start..finding.range.end).unwrap_or_default();
        // Said twice, it may be no secret in the other place.
        if secret.len() < SHORTEST || times(text, secret) != 1 {
            continue;
        }
        assert!(!holds(&redacted, secret), "{} in the redacted text", finding.rule);
        for other in &verdict.findings {
            let subject = other.subject.as_bytes();
            assert!(!holds(subject, secret), "{} in a subject of {}", finding.rule, other.rule);
        }
        for effect in &verdict.effects {
            let told = redact(&effect.target.to_string()).into_owned();
            assert!(!holds(told.as_bytes(), secret), "{} in {:?}", finding.rule, effect.kind);
        }
    }
}

fn holds(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

fn times(text: &[u8], part: &[u8]) -> usize {
    text.windows(part.len()).filter(|window| *window == part).count()
}
