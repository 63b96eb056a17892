//! `ctrlz recover --from-archive`: a store whose database was lost, made anew.

use std::collections::BTreeMap;

use ctrlz_archive::archiver::{Record, whole_record};
use ctrlz_archive::snapshot::{Snapshot as AtRest, list};
use ctrlz_core::id::{OperationId, SnapshotId};
use ctrlz_core::name::SandboxName;
use ctrlz_core::store::StoreError;
use serde_json::{Value, json};

use super::bring::{self, Source};
use super::setting::Setting;
use crate::Answer;
use crate::arguments::{Destination, KeyArguments};
use crate::context::Context;
use crate::failure::Failure;
use crate::show::{self, plain};

/// What became of one sandbox.
struct Rebuilt {
    name: SandboxName,
    /// Snapshots that came back: in the archive, and here.
    snapshots: Vec<(String, SnapshotId)>,
    /// What did not, and why.
    failed: Vec<(String, String)>,
    /// Whether there is a sandbox of the name already, which is left as it is.
    was_there: bool,
}

pub(crate) fn rebuild(from: Option<&str>, given: &KeyArguments, json: bool) -> Answer {
    let context = Context::open()?;
    let setting = Setting::read(&context)?;
    let place = setting.open(from)?;
    let keys = setting.keys(place.as_ref(), given)?;
    let listing = list(place.as_ref(), keys.as_ref())?;
    let mut unreadable: Vec<(String, String)> =
        listing.faults.into_iter().map(|(name, error)| (name, error.to_string())).collect();
    let mut sandboxes: BTreeMap<SandboxName, Vec<(Record, AtRest)>> = BTreeMap::new();
    for listed in listing.snapshots {
        let read = AtRest::read(place.as_ref(), &listed.reference, keys.as_ref());
        let record = read.and_then(|snapshot| {
            whole_record(place.as_ref(), &snapshot, keys.as_ref())
                .map(|(record, _)| (record, snapshot))
        });
        match record {
            Ok(found) => sandboxes.entry(found.0.sandbox.name.clone()).or_default().push(found),
            Err(error) => unreadable.push((listed.reference, error.to_string())),
        }
    }
    // What the lost store named must not get the names of what comes.
    let all = || sandboxes.values().flatten().map(|(record, _)| &record.snapshot);
    let operation = all().map(|snapshot| snapshot.operation).max().unwrap_or(OperationId(0));
    let newest = all().map(|snapshot| snapshot.id).max().unwrap_or(SnapshotId(0));
    context.store().reserve_ids(operation, newest)?;
    let mut rebuilt = Vec::new();
    for (name, mut snapshots) in sandboxes {
        // The newest makes the sandbox, and with it the whole history of its state.
        snapshots.sort_by_key(|(record, _)| std::cmp::Reverse(record.snapshot.created));
        let source = |snapshot| Source { place: place.as_ref(), keys: keys.as_ref(), snapshot };
        rebuilt.push(one(&context, name, &snapshots, source)?);
    }
    let code = u8::from(
        !unreadable.is_empty() || rebuilt.iter().any(|sandbox| !sandbox.failed.is_empty()),
    );
    if json {
        let sandboxes: Vec<Value> = rebuilt.iter().map(as_json).collect();
        show::print_json(&[
            ("place", place.address().into()),
            ("sandboxes", sandboxes.into()),
            ("unreadable", failures(&unreadable)),
        ]);
        return Ok(code);
    }
    if rebuilt.is_empty() && unreadable.is_empty() {
        println!("no snapshots in the archive");
    }
    for sandbox in &rebuilt {
        tell(sandbox);
    }
    for (name, why) in &unreadable {
        println!("{}: CANNOT BE READ: {}", plain(name), plain(why));
    }
    Ok(code)
}

fn one<'a>(
    context: &Context,
    name: SandboxName,
    snapshots: &'a [(Record, AtRest)],
    source: impl Fn(&'a AtRest) -> Source<'a>,
) -> Result<Rebuilt, Failure> {
    let was_there = match context.store().sandbox_named(name.as_str()) {
        Ok(_) => true,
        Err(StoreError::NoSandbox(_)) => false,
        Err(error) => return Err(error.into()),
    };
    let mut rebuilt = Rebuilt { name, snapshots: Vec::new(), failed: Vec::new(), was_there };
    if was_there {
        return Ok(rebuilt);
    }
    let as_it_was = Destination::default();
    for (_, snapshot) in snapshots {
        match bring::into_store(context, &source(snapshot), &as_it_was) {
            Ok((_, made)) => rebuilt.snapshots.push((snapshot.name.clone(), made.id)),
            Err(failure) => rebuilt.failed.push((snapshot.name.clone(), failure.in_words())),
        }
    }
    Ok(rebuilt)
}

fn tell(sandbox: &Rebuilt) {
    let name = &sandbox.name;
    if sandbox.was_there {
        println!("{name} is here already, and was left as it is");
        return;
    }
    if let Some((newest, _)) = sandbox.snapshots.first() {
        println!("{name} is here again, as of {}", plain(newest));
    }
    for (archived, id) in &sandbox.snapshots {
        println!("  {} is {id}", plain(archived));
    }
    for (archived, why) in &sandbox.failed {
        println!("  {}: CANNOT BE BROUGHT BACK: {}", plain(archived), plain(why));
    }
}

fn as_json(sandbox: &Rebuilt) -> Value {
    let snapshots: Vec<Value> = sandbox
        .snapshots
        .iter()
        .map(|(name, id)| json!({ "name": name, "snapshot": id }))
        .collect();
    json!({
        "name": sandbox.name,
        "was_there": sandbox.was_there,
        "snapshots": snapshots,
        "failed": failures(&sandbox.failed),
    })
}

fn failures(failed: &[(String, String)]) -> Value {
    failed.iter().map(|(name, why)| json!({ "name": name, "error": why })).collect()
}
