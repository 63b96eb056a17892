//! What was found in a text, kept out of all that is told about the text.
//!
//! A secret is known by what stands around it. Once the text was evaluated it may stand elsewhere:
//! in a path, in the name of a program. There only its value tells it.

use std::borrow::Cow;
use std::collections::HashMap;

use super::scan::scan;

/// So many bytes tell where a secret may begin. Shorter secrets are not looked for by their value:
/// they may stand anywhere by chance.
const START: usize = 8;

/// The values that were found in a text, by their first bytes.
#[derive(Debug, Default)]
pub(crate) struct Found {
    values: HashMap<[u8; START], Vec<(String, &'static str)>>,
}

impl Found {
    /// Everything in `text` that redaction takes out of it.
    pub(crate) fn of(text: &[u8]) -> Self {
        let mut found = Self::default();
        for hit in scan(text).hits {
            let Some(name) = hit.kind.redaction() else { continue };
            let value = text.get(hit.range.start..hit.range.end).unwrap_or_default();
            let value = String::from_utf8_lossy(value).into_owned();
            let Some(start) = value.as_bytes().first_chunk() else { continue };
            let same_start = found.values.entry(*start).or_default();
            // Of many that begin alike, the first ones: comparing them all would take long.
            if same_start.len() < 16 && !same_start.iter().any(|(known, _)| *known == value) {
                same_start.push((value, name));
            }
        }
        found
    }

    /// `told` with every value replaced by its mark.
    pub(crate) fn concealed<'t>(&self, told: &'t str) -> Cow<'t, str> {
        if self.values.is_empty() || told.len() < START {
            return Cow::Borrowed(told);
        }
        let mut result = String::new();
        let (mut kept_to, mut at) = (0, 0);
        while let Some(rest) = told.as_bytes().get(at..) {
            let Some(start) = rest.first_chunk::<START>() else { break };
            let values = self.values.get(start).map(Vec::as_slice).unwrap_or_default();
            let here = values.iter().filter(|(value, _)| rest.starts_with(value.as_bytes()));
            match here.max_by_key(|(value, _)| value.len()) {
                Some((value, name)) => {
                    result.push_str(told.get(kept_to..at).unwrap_or_default());
                    result.push_str("‹redacted: ");
                    result.push_str(name);
                    result.push('›');
                    at += value.len();
                    kept_to = at;
                }
                None => at += 1,
            }
        }
        if kept_to == 0 {
            return Cow::Borrowed(told);
        }
        result.push_str(told.get(kept_to..).unwrap_or_default());
        Cow::Owned(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Context, Validator};

    #[test]
    fn a_value_that_was_found_is_concealed_wherever_it_stands() {
        let found = Found::of(b"curl -u me:s3cr3t-and-long https://example.org");
        let told = found.concealed("/tmp/s3cr3t-and-long/é");
        assert!(told.starts_with("/tmp/‹redacted: ") && told.ends_with("›/é"), "{told}");
        assert_eq!(found.concealed("/tmp/s3cr3t"), "/tmp/s3cr3t");
    }

    #[test]
    fn an_effect_does_not_tell_what_redaction_hides() {
        let text = "export API_TOKEN=aB3dE5fG7hJ9kL1mN3pQ5rS7; rm -rf /srv/$API_TOKEN";
        let verdict = Validator::new(Context::default()).command(text.as_bytes());
        assert!(verdict.findings.iter().any(|finding| finding.subject.contains("‹redacted")));
        let told = format!("{verdict:?}");
        assert!(!told.contains("aB3dE5fG7hJ9kL1mN3pQ5rS7"), "{told}");
    }
}
