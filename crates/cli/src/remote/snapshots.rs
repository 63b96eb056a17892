//! `snapshot` and `snapshots` at a service.

use ctrlz_core::id::SnapshotId;
use ctrlz_core::snapshot::{Snapshot, SnapshotScope};
use ctrlz_policy::redact;
use serde::Deserialize;
use serde_json::json;

use super::client::{Client, query, segment};
use super::sandboxes::{of, path};
use crate::Answer;
use crate::arguments::{SnapshotAction, SnapshotArguments, SnapshotsArguments};
use crate::commands::snapshot;

fn one(id: SnapshotId, rest: &str) -> String {
    format!("/v1/snapshots/{}{rest}", segment(&id.to_string()))
}

#[derive(Deserialize)]
struct Freed {
    freed_bytes: u64,
}

pub(super) fn take(client: &Client, arguments: &SnapshotArguments, json: bool) -> Answer {
    match &arguments.action {
        Some(SnapshotAction::Tag { snapshot: id, changes }) => {
            let (add, remove) = snapshot::sorted(changes);
            let body = json!({ "add": add, "remove": remove });
            snapshot::tell_tags(&client.post(&one(*id, "/tags"), &body)?, json)
        }
        Some(SnapshotAction::Rm { snapshot: id, force }) => {
            let force = query(&[("force", force.to_string())]);
            let freed: Freed = client.delete(&one(*id, &force))?.read()?;
            snapshot::tell_removed(*id, freed.freed_bytes, json)
        }
        None => {
            let name = of(&arguments.sandbox)?;
            let scope: SnapshotScope = arguments.scope.into();
            let mut body = json!({
                "message": redact(&arguments.message),
                "tags": arguments.tags,
                "scope": scope,
            });
            // An older service knows of no such thing.
            if let (true, Some(body)) = (arguments.live, body.as_object_mut()) {
                body.insert("live".to_owned(), true.into());
            }
            let taken: Snapshot = client.post(&path(name, "/snapshots"), &body)?;
            snapshot::tell(name, &taken, json)
        }
    }
}

pub(super) fn list(client: &Client, arguments: &SnapshotsArguments, json: bool) -> Answer {
    let name = of(&arguments.sandbox)?;
    let found = client.list(&path(name, "/snapshots"), usize::MAX)?;
    snapshot::tell_list(found, arguments, json)
}
