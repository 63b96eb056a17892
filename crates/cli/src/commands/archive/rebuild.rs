//! `ctrlz recover --from-archive`: a store whose database was lost, made anew.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use ctrlz_archive::archiver::{Record, whole_record};
use ctrlz_archive::crypt::Keyring;
use ctrlz_archive::place::Place;
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
use crate::failure::{Failure, OWN_FAILURE};
use crate::mapped;
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
    let mut begun = Begun::read(&setting)?;
    let mut rebuilt = Vec::new();
    for (name, mut snapshots) in sandboxes {
        // The newest makes the sandbox, and with it the whole history of its state.
        snapshots.sort_by_key(|(record, _)| std::cmp::Reverse(record.snapshot.created));
        let archive = Archive { place: place.as_ref(), keys: keys.as_ref(), from, given };
        rebuilt.push(one(&context, &mut begun, name, snapshots, &archive)?);
    }
    begun.over()?;
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

/// The sandboxes that were begun, in a file: so that what is cut short is gone on with, and a sandbox
/// that was here before is left alone.
struct Begun {
    path: PathBuf,
    names: BTreeSet<String>,
}

impl Begun {
    fn read(setting: &Setting) -> Result<Self, Failure> {
        let path = setting.scratch().with_file_name("recovering");
        let names = match std::fs::read_to_string(&path) {
            Ok(text) => text.lines().map(str::to_owned).collect(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeSet::new(),
            Err(error) => return Err(Failure::caused(OWN_FAILURE, "archive", &error)),
        };
        Ok(Self { path, names })
    }

    fn note(&mut self, name: &SandboxName) -> Result<(), Failure> {
        if !self.names.insert(name.to_string()) {
            return Ok(());
        }
        let failed = |error: io::Error| Failure::caused(OWN_FAILURE, "archive", &error);
        let text: String = self.names.iter().map(|name| format!("{name}\n")).collect();
        let new = self.path.with_extension("new");
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        std::fs::create_dir_all(folder).map_err(failed)?;
        let mut file = std::fs::File::create(&new).map_err(failed)?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
        std::fs::rename(&new, &self.path).map_err(failed)
    }

    fn has(&self, name: &SandboxName) -> bool {
        self.names.contains(name.as_str())
    }

    fn over(self) -> Result<(), Failure> {
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Failure::caused(OWN_FAILURE, "archive", &error))
            }
            _ => Ok(()),
        }
    }
}

/// Where the snapshots lie, as it was opened and as the command line names it.
struct Archive<'a> {
    place: &'a dyn Place,
    keys: Option<&'a Keyring>,
    from: Option<&'a str>,
    given: &'a KeyArguments,
}

impl Archive<'_> {
    /// Brings one snapshot back; its name here, or why it did not.
    fn bring(
        &self,
        context: &Context,
        record: &Record,
        snapshot: &AtRest,
    ) -> Result<SnapshotId, String> {
        if record.sandbox.root.has_many_owners() && mapped::is_missing() {
            return self.bring_elsewhere(snapshot);
        }
        let source = Source { place: self.place, keys: self.keys, snapshot };
        let brought = whole_record(self.place, snapshot, self.keys)
            .map_err(Failure::from)
            .and_then(|whole| bring::into_store(context, &source, whole, &Destination::default()));
        brought.map(|made| made.snapshot.id).map_err(|failure| failure.in_words())
    }

    /// The same in another process, which may handle files of many owners: in this one, others come
    /// back as well.
    fn bring_elsewhere(&self, snapshot: &AtRest) -> Result<SnapshotId, String> {
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let mut command = std::process::Command::new(program);
        command.args(["--json", "pull", &snapshot.reference, mapped::OPTION]);
        command.args(self.from.into_iter().flat_map(|place| ["--from", place]));
        for file in &self.given.identity {
            command.arg("--identity").arg(file);
        }
        if let Some(file) = &self.given.passphrase_file {
            command.arg("--passphrase-file").arg(file);
        }
        let output = command.stderr(std::process::Stdio::inherit()).output();
        let output = output.map_err(|error| error.to_string())?;
        let told: Value = serde_json::from_slice(&output.stdout)
            .map_err(|_| format!("`ctrlz pull` ended with {}", output.status))?;
        if let Some(id) = told.pointer("/snapshot/id").and_then(Value::as_str) {
            return id.parse().map_err(|_| format!("`{id}` is no snapshot"));
        }
        let details = told.pointer("/error/details").and_then(Value::as_array);
        let message = told.pointer("/error/message");
        let words = message.into_iter().chain(details.into_iter().flatten());
        Err(words.filter_map(Value::as_str).collect::<Vec<_>>().join(": "))
    }
}

fn one(
    context: &Context,
    begun: &mut Begun,
    name: SandboxName,
    snapshots: Vec<(Record, AtRest)>,
    archive: &Archive<'_>,
) -> Result<Rebuilt, Failure> {
    let here = match context.store().sandbox_named(name.as_str()) {
        Ok(sandbox) => Some(sandbox),
        Err(StoreError::NoSandbox(_)) => None,
        Err(error) => return Err(error.into()),
    };
    let was_there = here.is_some() && !begun.has(&name);
    let mut rebuilt = Rebuilt { name, snapshots: Vec::new(), failed: Vec::new(), was_there };
    if was_there {
        return Ok(rebuilt);
    }
    begun.note(&rebuilt.name)?;
    let brought = match here {
        Some(sandbox) => context.store().snapshots(sandbox.id)?,
        None => Vec::new(),
    };
    for (record, snapshot) in snapshots {
        if let Some(there) = brought.iter().find(|one| bring::is_of(one, &snapshot)) {
            rebuilt.snapshots.push((snapshot.name, there.id));
            continue;
        }
        match archive.bring(context, &record, &snapshot) {
            Ok(id) => rebuilt.snapshots.push((snapshot.name, id)),
            Err(why) => rebuilt.failed.push((snapshot.name, why)),
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
