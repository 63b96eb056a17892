//! `push`, `pull`, `archive`, `verify` and `drill` at a service.

use ctrlz_core::name::SandboxName;
use ctrlz_core::snapshot::{Snapshot, SnapshotScope};
use serde::Deserialize;
use serde_json::json;

use super::client::Client;
use super::not_remote;
use super::sandboxes::named;
use crate::Answer;
use crate::arguments::{
    ArchiveAction, ArchiveArguments, DrillArguments, FromArgument, KeyArguments, PullArguments,
    PushArguments, VerifyArguments,
};
use crate::commands::archive::sandbox_of;
use crate::commands::archive::told::{
    Collected, Contents, Drills, Lost, Push, Removed, Verified, tell_brought,
};
use crate::failure::Failure;
use crate::show;

const LIST: &str = "/v1/archive";

/// Errs when another archive is meant than the tenant's, or keys of this host are to open it.
fn its_own(from: Option<&FromArgument>, keys: Option<&KeyArguments>) -> Result<(), Failure> {
    if from.is_some_and(|from| from.from.is_some()) {
        return Err(not_remote("`--from`", "its archive is where its configuration says")
            .hint("without --server and CTRLZ_SERVER other places are read from here"));
    }
    let has_keys =
        |keys: &KeyArguments| !keys.identity.is_empty() || keys.passphrase_file.is_some();
    if keys.is_some_and(has_keys) {
        return Err(not_remote(
            "`--identity` or `--passphrase-file`",
            "it opens its archive with keys of its own host",
        )
        .hint("archive.yaml of the service's host names them"));
    }
    Ok(())
}

pub(super) fn push(client: &Client, arguments: &PushArguments, json: bool) -> Answer {
    let PushArguments { snapshots, sandbox, scope, to, skip_unreadable, keys } = arguments;
    its_own(None, Some(keys))?;
    if !to.is_empty() {
        return Err(not_remote("`ctrlz push --to`", "it sends copies where its archive.yaml says")
            .hint("`copies:` in archive.yaml of the service's host names places"));
    }
    let scope = scope.map(SnapshotScope::from);
    let sandbox = match snapshots.is_empty() {
        true => Some(named(sandbox.as_ref())?),
        false => None,
    };
    let body = json!({
        "sandbox": sandbox,
        "snapshots": snapshots,
        "scope": scope,
        "skip_unreadable": skip_unreadable,
    });
    client.post::<Push>(LIST, &body)?.tell(json)
}

/// A snapshot that was brought back.
#[derive(Deserialize)]
struct Brought {
    sandbox: SandboxName,
    snapshot: Snapshot,
    not_archived: Option<Lost>,
}

pub(super) fn pull(client: &Client, arguments: &PullArguments, json: bool) -> Answer {
    let PullArguments { name, from, destination, keys } = arguments;
    its_own(Some(from), Some(keys))?;
    if destination.to.is_some() || destination.base.is_some() {
        return Err(not_remote(
            "`ctrlz pull --to` or `--base`",
            "what it brings back belongs to a sandbox in a folder of its own",
        )
        .hint("leave them out; its files can be read there by commands"));
    }
    let sandbox = match &destination.sandbox {
        Some(name) => name.as_str(),
        None => sandbox_of(name),
    };
    let body = json!({ "name": name, "sandbox": sandbox });
    let Brought { sandbox, snapshot, not_archived } = client.post("/v1/archive/restore", &body)?;
    if json {
        show::print_json(&[
            ("sandbox", show::to_json(&sandbox)?),
            ("snapshot", show::to_json(&snapshot)?),
            ("not_archived", show::to_json(&not_archived)?),
        ]);
    } else {
        tell_brought(name, (sandbox.as_str(), snapshot.id), not_archived.as_ref());
    }
    show::done()
}

pub(super) fn archive(client: &Client, arguments: &ArchiveArguments, json: bool) -> Answer {
    match &arguments.action {
        ArchiveAction::Ls { from, keys } => {
            its_own(Some(from), Some(keys))?;
            client.get::<Contents>(LIST)?.tell(json)
        }
        ArchiveAction::Rm { names, from, keys } => {
            its_own(Some(from), Some(keys))?;
            let body = json!({ "names": names });
            client.post::<Removed>("/v1/archive/remove", &body)?.tell(json)
        }
        ArchiveAction::Gc { from, dry_run, now } => {
            its_own(Some(from), None)?;
            let body = json!({ "dry_run": dry_run, "now": now });
            client.post::<Collected>("/v1/archive/collect", &body)?.tell(json)
        }
        ArchiveAction::Apply { .. } => {
            Err(not_remote("`ctrlz archive apply`", "`ctrlz daemon` beside the service does it")
                .hint("run it on the service's host"))
        }
        ArchiveAction::Keys { .. } => {
            Err(not_remote("`ctrlz archive keys`", "the keys are files of its host")
                .hint("run it on the service's host"))
        }
    }
}

pub(super) fn verify(client: &Client, arguments: &VerifyArguments, json: bool) -> Answer {
    let VerifyArguments { names, from, sample, discard, keys } = arguments;
    its_own(Some(from), Some(keys))?;
    let body = json!({ "names": names, "sample": sample, "discard": discard });
    client.post::<Verified>("/v1/archive/verify", &body)?.tell(json)
}

pub(super) fn drill(client: &Client, arguments: &DrillArguments, json: bool) -> Answer {
    let DrillArguments { names, from, keys } = arguments;
    its_own(Some(from), Some(keys))?;
    client.post::<Drills>("/v1/archive/drill", &json!({ "names": names }))?.tell(json)
}
