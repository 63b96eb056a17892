//! Errors as clients meet them: problem details (RFC 9457), with what to do about them.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::telemetry::Told;

/// Why a call did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// What kind of problem: `urn:ctrlz:problem:` and [`Self::kind`].
    #[serde(rename = "type")]
    urn: String,
    /// The HTTP status once more.
    status: u16,
    /// What happened, in one line.
    title: String,
    /// The kind in one word, as the command line's `--json` gives it.
    kind: String,
    /// Why, a reason each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    details: Vec<String>,
    /// What can be done about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    /// What else belongs to it.
    #[serde(flatten)]
    more: Map<String, Value>,
    /// After how many seconds it is worth trying again.
    #[serde(skip)]
    retry_after: Option<u64>,
}

impl Problem {
    /// A problem with what happened.
    #[must_use]
    pub fn new(status: StatusCode, kind: &str, title: impl Into<String>) -> Self {
        Self {
            urn: format!("urn:ctrlz:problem:{kind}"),
            status: status.as_u16(),
            title: title.into(),
            kind: kind.to_owned(),
            details: Vec::new(),
            hint: None,
            more: Map::new(),
            retry_after: None,
        }
    }

    /// A problem of a kind that the command line knows, too: its status follows from the kind.
    #[must_use]
    pub fn of_kind(kind: &str, title: impl Into<String>) -> Self {
        Self::new(status_of(kind), kind, title)
    }

    /// The request is not one that can be understood.
    #[must_use]
    pub fn bad_request(title: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad-request", title)
    }

    /// There is no such thing here, whoever else may have one.
    #[must_use]
    pub fn not_found(what: &str, name: &str) -> Self {
        let title = format!("there is no {what} `{name}`");
        Self::new(StatusCode::NOT_FOUND, &format!("no-{what}"), title)
    }

    /// Nothing new begins any more.
    #[must_use]
    pub(crate) fn stopping() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "draining", "the service is stopping")
            .retry_after(5)
    }

    /// The service itself failed.
    #[must_use]
    pub fn internal(title: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", title)
    }

    /// The reasons, one each.
    #[must_use]
    pub fn details(mut self, details: Vec<String>) -> Self {
        self.details = details;
        self
    }

    /// What can be done about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Something else that belongs to it.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.more.insert(name.to_owned(), value.into());
        self
    }

    /// After how many seconds it is worth trying again.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The same with another HTTP status.
    #[must_use]
    pub fn with_status(self, status: StatusCode) -> Self {
        Self { status: status.as_u16(), ..self }
    }

    /// The kind in one word.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// What can be done about it, if that is known.
    pub(crate) fn advice(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Why, a reason each.
    pub(crate) fn reasons(&self) -> &[String] {
        &self.details
    }

    /// What else belongs to it, by name.
    pub(crate) fn more(&self, name: &str) -> Option<&Value> {
        self.more.get(name)
    }

    /// What happened, in one line.
    pub(crate) fn title(&self) -> &str {
        &self.title
    }

    /// What happened, and why, in one line.
    #[must_use]
    pub fn in_words(&self) -> String {
        let details = self.details.iter().map(|detail| format!(": {detail}"));
        std::iter::once(self.title.clone()).chain(details).collect()
    }
}

/// The status of a kind of failure. What is refused so that nothing is lost is a conflict.
fn status_of(kind: &str) -> StatusCode {
    match kind {
        "no-sandbox" | "no-operation" | "no-snapshot" | "no-key" | "no-such-path" => {
            StatusCode::NOT_FOUND
        }
        "bad-name" | "base" | "folder" | "root" | "profile" | "capability" | "config" => {
            StatusCode::UNPROCESSABLE_ENTITY
        }
        "forbidden" | "outside" | "closed" => StatusCode::FORBIDDEN,
        "not-as-expected" => StatusCode::PRECONDITION_FAILED,
        "blocked" | "when" | "id" | "input" => StatusCode::BAD_REQUEST,
        "busy" => StatusCode::LOCKED,
        "too-large" => StatusCode::PAYLOAD_TOO_LARGE,
        "store-full" => StatusCode::INSUFFICIENT_STORAGE,
        "not-found" | "not-executable" | "unenforceable" => StatusCode::UNPROCESSABLE_ENTITY,
        "exists" | "no-file" | "no-folder" | "not-empty" | "links" | "name-taken"
        | "into-itself" | "too-much" | "nothing-to-undo" | "nothing-to-redo"
        | "nothing-to-commit" | "on-top-of-setup" | "no-live-base" | "foreign-operation"
        | "foreign-snapshot" | "not-undoable" | "depends" | "conflict" | "suspended"
        | "illegal-transition" | "contained" | "unconfirmed" | "not-approved"
        | "state-conflict" => StatusCode::CONFLICT,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, retry_after) = (self.status(), self.retry_after);
        let told = Told { kind: self.kind().into(), words: self.in_words().into() };
        let mut response = (status, Json(self)).into_response();
        response.extensions_mut().insert(told);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer realm=\"ctrlz\"");
            headers.insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}
