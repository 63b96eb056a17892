//! What a service answers instead of what it was asked for.

use hyper::StatusCode;
use serde::Deserialize;

use crate::failure::{Failure, OWN_FAILURE, REFUSED, Told};

/// What the `type` of each problem of a service begins with.
const URN: &[u8] = b"urn:ctrlz:problem:";

/// Whether a body is a problem of a service, whatever its headers say.
pub(super) fn is_of_ctrlz(body: &[u8]) -> bool {
    body.windows(URN.len()).any(|part| part == URN)
}

/// A problem of the service (RFC 9457), and its version.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Refusal {
    pub(super) title: String,
    pub(super) kind: String,
    pub(super) details: Vec<String>,
    pub(super) hint: Option<String>,
    /// What the command line would end with, where it is the same failure.
    exit_code: Option<u8>,
    /// What somebody has to approve.
    pub(super) confirmation: Option<String>,
    status: u16,
    #[serde(skip)]
    version: String,
}

impl Refusal {
    /// The problem that a body tells; what tells none is told as such.
    pub(super) fn read(status: StatusCode, body: &[u8], version: String) -> Self {
        let found =
            serde_json::from_slice::<Self>(body).ok().filter(|found| !found.kind.is_empty());
        let found = found.unwrap_or_else(|| Self {
            title: format!("the service answered {status}"),
            kind: "answer".to_owned(),
            ..Self::default()
        });
        Self { status: status.as_u16(), version, ..found }
    }

    /// Whether what was sent is at fault, and nothing else.
    pub(super) fn is_of_body(&self) -> bool {
        matches!(self.status, 400 | 413 | 422)
    }

    pub(super) fn is_under_way(&self) -> bool {
        self.status == 409 && self.kind == "idempotency-key"
    }

    /// As the command line tells it.
    pub(super) fn into_failure(mut self) -> Failure {
        let status = StatusCode::from_u16(self.status).unwrap_or_default();
        let code = self.exit_code.unwrap_or(match status {
            StatusCode::UNAUTHORIZED => OWN_FAILURE,
            _ if self.kind == "blocked" => REFUSED,
            StatusCode::FORBIDDEN
            | StatusCode::NOT_FOUND
            | StatusCode::CONFLICT
            | StatusCode::LOCKED
            | StatusCode::TOO_MANY_REQUESTS => REFUSED,
            _ => OWN_FAILURE,
        });
        if status == StatusCode::UNAUTHORIZED {
            let hint = "CTRLZ_TOKEN or CTRLZ_TOKEN_FILE has the token; `ctrlz token new` makes one \
                        where the service's store lies";
            self.hint = Some(hint.to_owned());
        }
        let is_foreign =
            matches!(self.kind.as_str(), "no-route" | "method" | "bad-request" | "answer");
        let version =
            Some(self.version.as_str()).filter(|version| is_foreign && !version.is_empty());
        if let Some(other) = version.and_then(other_version) {
            self.details.push(other);
            self.hint = Some(SAME.to_owned());
        }
        let Self { title: message, kind, details, hint, .. } = self;
        Failure::of_service(Told { code, kind, message, details, hint })
    }
}

const SAME: &str = "use the same version of ctrlz on both sides";

/// Tells that a service has another version than this program.
fn other_version(service: &str) -> Option<String> {
    let own = env!("CARGO_PKG_VERSION");
    (service != own).then(|| format!("the service is ctrlz {service}, and this is ctrlz {own}"))
}

/// An answer that is not what it should be.
pub(super) fn not_understood(version: &str, why: &str) -> Failure {
    let message = "what the service answers cannot be understood";
    let failure = Failure::new(OWN_FAILURE, "answer", message).detail(why.to_owned());
    match other_version(version) {
        Some(other) => failure.detail(other).hint(SAME),
        None => failure,
    }
}
