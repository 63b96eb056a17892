//! `state` at a service.

use ctrlz_core::id::{OperationId, SnapshotId};
use ctrlz_core::name::SandboxName;
use ctrlz_core::operation::Operation;
use ctrlz_core::snapshot::Snapshot;
use ctrlz_core::state::{StateEntry, StateKey};
use hyper::Method;
use serde::Deserialize;

use super::client::{Call, Client, query, segment};
use super::sandboxes::{named, path};
use super::{NOT_REMOTE, not_remote};
use crate::Answer;
use crate::arguments::{StateAction, StateArguments};
use crate::commands::state::{entry, parse};
use crate::failure::{Failure, OWN_FAILURE, REFUSED};

#[derive(Deserialize)]
struct Written {
    version: u64,
}

#[derive(Deserialize)]
struct Page {
    items: Vec<StateEntry>,
}

pub(super) fn state(client: &Client, arguments: &StateArguments, json: bool) -> Answer {
    if arguments.global || arguments.with_key.is_some() {
        let message = "a service has no state without a sandbox, and opens values with its own key";
        return Err(Failure::new(REFUSED, NOT_REMOTE, message)
            .hint("leave --global and --with-key out, or do it where the store lies"));
    }
    let name = || named(arguments.sandbox.as_ref());
    match &arguments.action {
        StateAction::Get { key, version, at } => {
            let (name, key) = (name()?, parse(key)?);
            let version = as_of(client, name, *version, at.as_deref())?;
            get(client, name, &key, version, json)
        }
        StateAction::Put { sensitive: true, .. } => Err(not_remote(
            "`ctrlz state put --sensitive`",
            "its configuration says what is encrypted",
        )
        .hint("`state.sensitive` of the service's configuration names keys")),
        StateAction::Put { key, value, expect, .. } => {
            let (name, key) = (name()?, parse(key)?);
            let value = match value {
                Some(text) => text.as_bytes().to_vec(),
                None => entry::read_value(&key)?,
            };
            let call = Call::new(Method::PUT, of(name, &key, "")).bytes(value);
            write(client, call, &key, *expect, json)
        }
        StateAction::Delete { key, expect } => {
            let (name, key) = (name()?, parse(key)?);
            write(client, Call::new(Method::DELETE, of(name, &key, "")), &key, *expect, json)
        }
        StateAction::List { version, at } => {
            let name = name()?;
            let version = as_of(client, name, *version, at.as_deref())?;
            let fields: Vec<_> =
                version.map(|version| ("version", version.to_string())).into_iter().collect();
            let page: Page = client.get(&path(name, &format!("/state{}", query(&fields))))?;
            entry::list(&page.items, json)
        }
        StateAction::History { key } => {
            let page: Page = client.get(&of(name()?, &parse(key)?, "/history"))?;
            entry::list(&page.items, json)
        }
        StateAction::Rotate { .. }
        | StateAction::Verify { .. }
        | StateAction::Repair { .. }
        | StateAction::Rebuild { .. }
        | StateAction::Export { .. }
        | StateAction::Import { .. } => {
            Err(not_remote("this", "it is about the files of a store, or of this host")
                .hint("do it where the store lies"))
        }
    }
}

fn of(name: &SandboxName, key: &StateKey, rest: &str) -> String {
    path(name, &format!("/state/{}{rest}", segment(key.as_str())))
}

fn get(
    client: &Client,
    name: &SandboxName,
    key: &StateKey,
    version: Option<u64>,
    json: bool,
) -> Answer {
    let version: Vec<_> =
        version.map(|version| ("version", version.to_string())).into_iter().collect();
    let call = Call::new(Method::GET, of(name, key, &query(&version)));
    let answer = match client.wait(client.ask_told(call))? {
        Ok(answer) => answer,
        Err(refusal) if refusal.kind == "no-value" => return Err(entry::no_value(key, name)),
        Err(refusal) => return Err(refusal.into_failure()),
    };
    // What it is beside its value, tells its history.
    let tag = answer.etag.as_deref().unwrap_or_default().trim_matches('"').parse::<u64>().ok();
    let page: Page = client.get(&of(name, key, "/history"))?;
    let entry = page.items.iter().find(|entry| Some(entry.version) == tag);
    let entry = entry.ok_or_else(|| entry::no_value(key, name))?;
    entry::tell_value(entry, answer.body.to_vec(), json)
}

fn write(client: &Client, call: Call, key: &StateKey, expect: Option<u64>, json: bool) -> Answer {
    let call = match expect {
        None => call,
        Some(0) => call.header("if-none-match", "*"),
        Some(version) => call.header("if-match", format!("\"{version}\"")),
    };
    let written: Written = client.wait(client.ask(call))?.read()?;
    entry::tell_written(key, written.version, json)
}

/// The version that `--version` or `--at` names.
fn as_of(
    client: &Client,
    name: &SandboxName,
    version: Option<u64>,
    at: Option<&str>,
) -> Result<Option<u64>, Failure> {
    let Some(at) = at else { return Ok(version) };
    let id = |error: ctrlz_core::id::IdError| Failure::caused(OWN_FAILURE, "id", &error);
    let own = super::sandboxes::sandbox(client, name)?.id;
    let foreign = |what: String| {
        let message = format!("{what} is not one of sandbox `{name}`");
        Failure::new(OWN_FAILURE, "when", message)
    };
    if at.starts_with("snap-") {
        let id: SnapshotId = at.parse().map_err(id)?;
        let found: Snapshot = client.get(&format!("/v1/snapshots/{}", segment(&id.to_string())))?;
        let is_own = found.sandbox == own;
        return is_own
            .then_some(Some(found.point.state_version))
            .ok_or_else(|| foreign(id.to_string()));
    }
    if at.starts_with("op-") {
        let id: OperationId = at.parse().map_err(id)?;
        let found: Operation =
            client.get(&format!("/v1/operations/{}", segment(&id.to_string())))?;
        let is_own = found.request.sandbox == own;
        return is_own
            .then_some(Some(found.before.state_version))
            .ok_or_else(|| foreign(id.to_string()));
    }
    Err(not_remote("`--at` with a time", "it knows versions by snapshots and operations")
        .hint("such as `--at snap-3` or `--at op-7`; `ctrlz log` tells when they were"))
}
