//! Asking the validator.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::extract::Body;
use crate::auth::{Caller, Looking};
use crate::port::Asked;
use crate::problem::Problem;
use crate::service::{Service, on_core};

/// What is to be judged.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Question {
    /// A text for a shell; or `argv`.
    pub(crate) command: Option<String>,
    /// The language that `command` is written in, such as `python`; the shell when it is left out.
    pub(crate) language: Option<String>,
    /// A program and its arguments, which no shell reads.
    pub(crate) argv: Option<Vec<String>>,
    /// The name of the sandbox in which it would run.
    pub(crate) sandbox: Option<String>,
}

/// The verdict on a command, for whoever may look.
pub(crate) async fn verdict_on(
    (service, caller): (&Arc<Service>, &Caller),
    question: Question,
) -> Result<Value, Problem> {
    let asked = match (question.command, question.argv, question.language) {
        (Some(text), None, None) => Asked::Text(text),
        (Some(text), None, Some(language)) => Asked::Program { language, text },
        (None, Some(words), None) if !words.is_empty() => Asked::Words(words),
        _ => {
            let title = "a question has `command`, also with `language`, or `argv`";
            return Err(Problem::bad_request(title));
        }
    };
    let verdict = service.with(caller, move |session| {
        let sandbox = match &question.sandbox {
            None => None,
            Some(name) => Some(on_core(session, |core| Ok(core.store().sandbox_named(name)?))?),
        };
        session.check(sandbox.as_ref(), &asked)
    });
    verdict.await
}

/// Judges a command. Nothing runs. The answer is a verdict of docs/json.md.
#[utoipa::path(post, path = "/v1/policy/check", tag = "policy", request_body = Question,
    security(("token" = ["viewer"])),
    responses((status = 200, body = Object), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn check(
    State(service): State<Arc<Service>>,
    Looking(caller): Looking,
    Body(question): Body<Question>,
) -> Result<Json<Value>, Problem> {
    verdict_on((&service, &caller), question).await.map(Json)
}
