//! What changes in a sandbox's files, as it happens.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use ctrlz_core::changeset::ChangeKind;
use ctrlz_core::id::{OperationId, SandboxId};
use ctrlz_core::operation::{Operation, OperationKind, Status};
use ctrlz_core::path::RelPath;
use ctrlz_engine::{EngineError, SandboxCore};
use futures_util::Stream;
use serde_json::{Value, json};

use super::asked::{Asked, encoded, wrong};
use crate::auth::{Caller, Looking, is_still_let_in};
use crate::places::Place;
use crate::problem::Problem;
use crate::routes::extract::{Path, parse};
use crate::service::Service;

/// How often it is looked for operations that have ended: another process may have done them.
const LOOK: Duration = Duration::from_millis(250);
/// How many operations are read at once.
const AT_ONCE: u32 = 64;
/// How many changes of one operation are told.
const TOLD: usize = 1000;

/// What operations change in a sandbox's files, as server-sent events: `changes` when one has ended, with its
/// id as the event's id, `operation`, `kind`, and `changes`: `[{"change", "path", "query"}]`, where `change` is
/// `created`, `modified` or `removed`. `truncated` says that there are more than 1000. With `Last-Event-ID`
/// those come first that ended since. What a command changes is told when it has ended.
#[utoipa::path(get, path = "/v1/sandboxes/{sandbox}/files/watch", tag = "files",
    params(("sandbox" = String, Path, description = "its name"),
        ("path" = Option<String>, Query, description = "only what lies there, from the workspace on, without links; everything when it is left out")),
    security(("token" = ["viewer"])),
    responses((status = 200, description = "a stream of events", content_type = "text/event-stream"),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(in crate::routes) async fn watch(
    State(service): State<Arc<Service>>,
    Looking(caller): Looking,
    Path(name): Path<String>,
    asked: Asked,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let path = asked.path.unwrap_or_default();
    let below = RelPath::parse(&path).map_err(|error| wrong("path", &error.to_string()))?;
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let last: Option<OperationId> = last.map(parse).transpose()?;
    let (sandbox, newest, hidden) = service
        .with(&caller, move |session| {
            let found = crate::service::on_core(session, |core| {
                let sandbox = core.store().sandbox_named(&name)?;
                let newest = core.store().operations(sandbox.id, AT_ONCE)?;
                let ended = newest.iter().find(|one| one.status != Status::Open);
                Ok((sandbox.clone(), ended.map_or(OperationId(0), |one| one.id)))
            })?;
            let hidden = session.hidden(&found.0)?;
            let mount_point = found.0.mount_point().to_owned();
            let inside = hidden.iter().filter_map(|path| path.strip_prefix(&mount_point).ok());
            let inside = inside.filter_map(|path| RelPath::parse(path).ok());
            let inside: Vec<_> = inside.filter(|path| !path.is_root()).collect();
            Ok((found.0.id, found.1, inside))
        })
        .await?;
    let watching = Watching { service, caller, sandbox, below, hidden };
    let place = watching.service.stream(&watching.caller)?;
    Ok(watching.stream(last.unwrap_or(newest), place).into_response())
}

/// Who watches what.
#[derive(Clone)]
struct Watching {
    service: Arc<Service>,
    caller: Caller,
    sandbox: SandboxId,
    below: RelPath,
    hidden: Vec<RelPath>,
}

impl Watching {
    fn stream(
        self,
        after: OperationId,
        place: Place,
    ) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
        let state = ((self, place), after, VecDeque::<Event>::new());
        let events = futures_util::stream::unfold(state, async |state| {
            let ((watching, place), mut after, mut found) = state;
            loop {
                if let Some(event) = found.pop_front() {
                    return Some((Ok(event), ((watching, place), after, found)));
                }
                let Watching { service, caller, .. } = &watching;
                if service.is_draining() || !is_still_let_in(service, caller).await {
                    return None;
                }
                // Whoever listens comes again, with the last id.
                let (events, last) = watching.since(after).await.ok()?;
                (found, after) = (events, last);
                if found.is_empty() {
                    tokio::time::sleep(LOOK).await;
                }
            }
        });
        Sse::new(events).keep_alive(KeepAlive::default())
    }

    /// What ended since `after`, and the last that did.
    async fn since(&self, after: OperationId) -> Result<(VecDeque<Event>, OperationId), Problem> {
        let own = self.clone();
        let found = self.service.with_core(&self.caller, move |core| own.ended(core, after));
        found.await
    }

    fn ended(
        &self,
        core: &SandboxCore<'_>,
        after: OperationId,
    ) -> Result<(VecDeque<Event>, OperationId), EngineError> {
        let newest = core.store().operations(self.sandbox, 1)?;
        if newest.first().is_none_or(|one| one.id <= after) {
            return Ok((VecDeque::new(), after));
        }
        let mut count = AT_ONCE;
        let mut all = loop {
            let found = core.store().operations(self.sandbox, count)?;
            let is_whole = found.len() < count as usize;
            if is_whole || found.iter().any(|one| one.id <= after) {
                break found;
            }
            count = count.saturating_mul(4);
        };
        all.retain(|one| one.id > after);
        all.reverse();
        let sandbox = core.store().sandbox(self.sandbox)?;
        let (mut events, mut last) = (VecDeque::new(), after);
        // One after the other ends.
        for operation in
            all.iter().take_while(|one| one.status != Status::Open).take(AT_ONCE as usize)
        {
            last = operation.id;
            let is_effect = matches!(operation.status, Status::Done | Status::Undone);
            // What is in the workspace is as before a commit.
            if is_effect && operation.request.kind != OperationKind::Commit {
                let changes = match core.changes_of(&sandbox, operation) {
                    Ok(changes) => Some(changes),
                    Err(EngineError::LetGo { .. }) => None,
                    Err(error) => return Err(error),
                };
                events.extend(self.event(operation, changes));
            }
        }
        Ok((events, last))
    }

    fn event(
        &self,
        operation: &Operation,
        changes: Option<ctrlz_core::changeset::Changeset>,
    ) -> Option<Event> {
        let is_known = changes.is_some();
        let is_seen = |path: &RelPath| {
            path.is_within(&self.below) && !self.hidden.iter().any(|hidden| path.is_within(hidden))
        };
        let changes = changes.unwrap_or_default().changes.into_iter();
        let mut told: Vec<Value> = Vec::new();
        let mut truncated = !is_known;
        for change in changes.filter(|change| is_seen(&change.path)) {
            if told.len() == TOLD {
                truncated = true;
                break;
            }
            let word = match change.kind {
                ChangeKind::Added => "created",
                ChangeKind::Deleted => "removed",
                _ => "modified",
            };
            let path: PathBuf = change.path.as_path().to_owned();
            let shown = path.to_string_lossy();
            told.push(json!({ "change": word, "path": shown, "query": encoded(&path) }));
        }
        if told.is_empty() && !truncated {
            return None;
        }
        let data = json!({
            "operation": operation.id.to_string(),
            "kind": operation.request.kind.word(),
            "changes": told,
            "truncated": truncated,
        });
        let event = Event::default().event("changes").id(operation.id.to_string());
        Some(event.data(data.to_string()))
    }
}
