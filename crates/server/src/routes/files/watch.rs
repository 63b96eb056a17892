//! What changes in a sandbox's files, as it happens.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use ctrlz_core::changeset::Changeset;
use ctrlz_core::id::{OperationId, SandboxId};
use ctrlz_core::operation::{Operation, OperationKind, Status};
use ctrlz_core::path::RelPath;
use ctrlz_engine::{EngineError, SandboxCore};
use futures_util::Stream;
use serde_json::{Value, json};

use super::asked::{Asked, encoded, wrong};
use crate::auth::{Caller, Looking, is_still_let_in};
use crate::glances::{self, Glance, Seen, Turn, Watcher, turns};
use crate::places::Place;
use crate::problem::Problem;
use crate::routes::extract::{Path, parse};
use crate::service::Service;
use crate::tidings::{Follower, follow};

/// How often it is looked whether who watches may still do so, when nothing happens.
const LOOK: Duration = Duration::from_secs(1);
/// How many operations are read at once.
const AT_ONCE: u32 = 64;
/// How many changes are told at once.
const TOLD: usize = 1000;

/// What operations change in a sandbox's files, as server-sent events: `changes` when one has ended, with its
/// id as the event's id, `operation`, `kind`, and `changes`: `[{"change", "path", "query"}]`, where `change` is
/// `created`, `modified` or `removed`. `truncated` says that there are more than 1000. With `Last-Event-ID`
/// those come first that ended since. What a command changes is told when it has ended.
///
/// With `live=true` it is told while it runs, too, as far as it is seen: `live` events are as `changes` events
/// without an id, and tell what happened since the last one; what is removed with its folder is not told by
/// itself. `resync` with `operation` says that the command changes too much for that, and that its changes
/// come when it has ended. `changes` of that operation comes in any case then, and tells what has become of
/// all: what is not in it, is as it was before the command.
#[utoipa::path(get, path = "/v1/sandboxes/{sandbox}/files/watch", tag = "files",
    params(("sandbox" = String, Path, description = "its name"),
        ("path" = Option<String>, Query, description = "only what lies there, from the workspace on, without links; everything when it is left out"),
        ("live" = Option<bool>, Query, description = "tell what commands change while they run")),
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
    let place = service.stream(&caller)?;
    let follower = follow(&service, &caller).await?;
    let live = match asked.live {
        true => Some(Live::new(glances::watch(&service, &caller, sandbox).await?)),
        false => None,
    };
    let watching = Watching { service, caller, sandbox, below, hidden };
    let after = last.unwrap_or(newest);
    let stream = Streaming { watching, after, follower, looked: None, live, _place: place };
    Ok(stream.events().into_response())
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

/// What commands write while they run, as it is told to one who watches.
struct Live {
    watcher: Watcher,
    /// The operation of which something was told, and what.
    told: Option<(OperationId, Arc<Seen>)>,
    /// The operation that changes too much.
    given_up: Option<OperationId>,
}

impl Live {
    fn new(watcher: Watcher) -> Self {
        Self { watcher, told: None, given_up: None }
    }

    /// What happened since the last look, in an operation behind `after`.
    fn news(&mut self, watching: &Watching, after: OperationId) -> Option<Event> {
        let glance = self.watcher.glance.borrow_and_update().clone();
        let last = self.told.as_ref().map(|(told, _)| *told).filter(|told| *told > after);
        match glance {
            // What has become of the one before is told first.
            Glance::Seen(operation, _) | Glance::TooMuch(operation)
                if last.is_some_and(|last| last != operation) =>
            {
                None
            }
            Glance::Seen(operation, now) if operation > after => {
                let last = self.told.take().filter(|(told, _)| *told == operation);
                let (begun, last) = (last.is_some(), last.map(|(_, seen)| seen));
                let (told, truncated) = watching.told(turns(&last.unwrap_or_default(), &now));
                let is_news = !told.is_empty();
                // Of what nothing was told, nothing has to be taken back.
                self.told = (is_news || begun).then_some((operation, now));
                let data = json!({
                    "operation": operation.to_string(),
                    "kind": OperationKind::Run.word(),
                    "changes": told,
                    "truncated": truncated,
                });
                is_news.then(|| Event::default().event("live").data(data.to_string()))
            }
            Glance::TooMuch(operation) if operation > after && self.given_up != Some(operation) => {
                self.given_up = Some(operation);
                self.told = Some((operation, Arc::default()));
                let data = json!({ "operation": operation.to_string() });
                Some(Event::default().event("resync").data(data.to_string()))
            }
            _ => None,
        }
    }
}

/// A stream under way.
struct Streaming {
    watching: Watching,
    /// The last operation of which all is told.
    after: OperationId,
    follower: Follower,
    /// Up to where the log is known to tell of no more that has ended.
    looked: Option<i64>,
    live: Option<Live>,
    /// One of those that the tenant may follow.
    _place: Place,
}

impl Streaming {
    fn events(self) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
        let state = (self, VecDeque::<Event>::new());
        let events = futures_util::stream::unfold(state, async |(mut own, mut found)| {
            loop {
                if let Some(event) = found.pop_front() {
                    return Some((Ok(event), (own, found)));
                }
                let Watching { service, caller, .. } = &own.watching;
                if service.is_draining() || !is_still_let_in(service, caller).await {
                    return None;
                }
                // Whoever listens comes again, with the last id.
                found = own.news().await.ok()?;
                if found.is_empty() {
                    own.wait().await;
                }
            }
        });
        Sse::new(events).keep_alive(KeepAlive::default())
    }

    async fn news(&mut self) -> Result<VecDeque<Event>, Problem> {
        let newest = self.follower.newest();
        let mut found = VecDeque::new();
        if self.looked != Some(newest) {
            let told =
                self.live.as_ref().and_then(|live| live.told.as_ref()).map(|(told, _)| *told);
            let (events, last) = self.watching.since(self.after, told).await?;
            if last == self.after {
                self.looked = Some(newest);
            }
            (found, self.after) = (events, last);
        }
        if let Some(live) = &mut self.live {
            found.extend(live.news(&self.watching, self.after));
        }
        Ok(found)
    }

    async fn wait(&mut self) {
        let Self { follower, looked, live, .. } = self;
        let ended = follower.wait_past(looked.unwrap_or(i64::MIN), LOOK);
        match live {
            None => ended.await,
            Some(live) => {
                tokio::select! {
                    () = ended => {}
                    // As long as it is watched, somebody looks.
                    _ = live.watcher.glance.changed() => {}
                }
            }
        }
    }
}

impl Watching {
    /// What ended since `after`, and the last that did.
    async fn since(
        &self,
        after: OperationId,
        told: Option<OperationId>,
    ) -> Result<(VecDeque<Event>, OperationId), Problem> {
        let own = self.clone();
        let found = self.service.with_core(&self.caller, move |core| own.ended(core, after, told));
        found.await
    }

    /// Changes as clients see them, at most [`TOLD`], and whether there are more.
    fn told<'a>(&self, changes: impl Iterator<Item = (&'a RelPath, Turn)>) -> (Vec<Value>, bool) {
        let is_seen = |path: &RelPath| {
            path.is_within(&self.below) && !self.hidden.iter().any(|hidden| path.is_within(hidden))
        };
        let mut told: Vec<Value> = Vec::new();
        for (path, turn) in changes.filter(|(path, _)| is_seen(path)) {
            if told.len() == TOLD {
                return (told, true);
            }
            let path = path.as_path();
            let shown = path.to_string_lossy();
            told.push(json!({ "change": turn.word(), "path": shown, "query": encoded(path) }));
        }
        (told, false)
    }

    fn ended(
        &self,
        core: &SandboxCore<'_>,
        after: OperationId,
        told: Option<OperationId>,
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
            // Of what was told while it ran, it is told what has become of it.
            let is_awaited = told == Some(operation.id);
            // What is in the workspace is as before a commit.
            if is_effect && operation.request.kind != OperationKind::Commit {
                let changes = match core.changes_of(&sandbox, operation) {
                    Ok(changes) => Some(changes),
                    Err(EngineError::LetGo { .. }) => None,
                    Err(error) => return Err(error),
                };
                events.extend(self.event(operation, changes, is_awaited));
            } else if is_awaited {
                events.extend(self.event(operation, Some(Changeset::default()), true));
            }
        }
        Ok((events, last))
    }

    fn event(
        &self,
        operation: &Operation,
        changes: Option<Changeset>,
        is_awaited: bool,
    ) -> Option<Event> {
        let is_known = changes.is_some();
        let changes = changes.unwrap_or_default().changes;
        let changes = changes.iter().map(|change| (&change.path, Turn::of(change.kind)));
        let (told, is_more) = self.told(changes);
        let truncated = is_more || !is_known;
        if told.is_empty() && !truncated && !is_awaited {
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
