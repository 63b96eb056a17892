//! `ctrlz snapshot` and `ctrlz snapshots`.

use ctrlz_core::id::SnapshotId;
use ctrlz_core::live::{Live, LiveMeans};
use ctrlz_core::name::SandboxName;
use ctrlz_core::size::ByteSize;
use ctrlz_core::snapshot::{NewSnapshot, Snapshot, SnapshotKind, SnapshotScope, Tag};
use ctrlz_core::time::Timestamp;
use ctrlz_policy::redact;

use super::gc;
use crate::Answer;
use crate::arguments::{SnapshotAction, SnapshotArguments, SnapshotsArguments, TagChange};
use crate::clock;
use crate::context::{Context, WhenBusy};
use crate::failure::{Failure, OWN_FAILURE};
use crate::show::{self, print_table};

pub(crate) fn snapshot(arguments: SnapshotArguments, json: bool) -> Answer {
    match arguments.action {
        Some(SnapshotAction::Tag { snapshot, changes }) => return tag(snapshot, &changes, json),
        Some(SnapshotAction::Rm { snapshot, force }) => return remove(snapshot, force, json),
        None => {}
    }
    let context = Context::open()?;
    let sandbox = context.sandbox(arguments.sandbox.sandbox.as_ref())?;
    let new = NewSnapshot {
        kind: SnapshotKind::Manual,
        scope: arguments.scope.into(),
        message: redact(&arguments.message).into_owned(),
        tags: arguments.tags.into_iter().collect(),
        live: None,
    };
    let (live, memory) = (arguments.live, arguments.memory);
    if memory && new.scope == SnapshotScope::StateOnly {
        let message = "memory belongs to files: a snapshot of the state alone has none";
        return Err(Failure::new(OWN_FAILURE, "usage", message));
    }
    let snapshot = context.with_core(WhenBusy::Wait, |core| {
        let snapshot = match (memory, live) {
            (true, _) => core.snapshot_with_memory(&sandbox, &new)?,
            (false, true) => core.snapshot_live(&sandbox, &new, None)?,
            (false, false) => core.snapshot(&sandbox, &new)?,
        };
        gc::now_and_then(&context, core, snapshot.operation);
        Ok(snapshot)
    })?;
    tell(&sandbox.name, &snapshot, json)
}

pub(crate) fn tell(sandbox: &SandboxName, snapshot: &Snapshot, json: bool) -> Answer {
    if json {
        show::print_json(&[("snapshot", show::to_json(snapshot)?)]);
    } else {
        println!("{} of {sandbox}", snapshot.id);
        if let Some(live) = &snapshot.live {
            println!("  taken while {} ran: {}", snapshot.operation, how(live));
            if let Some(memory) = &live.memory {
                println!(
                    "  with its memory ({}): ctrlz rollback --memory {sandbox} {}",
                    memory.size, snapshot.id
                );
            }
        }
    }
    show::done()
}

/// How a snapshot was taken while a command ran.
fn how(live: &Live) -> String {
    match (live.by, &live.frozen_by) {
        (LiveMeans::Frozen, Some(by)) => {
            format!("its processes were stopped for {} ({by})", live.stopped)
        }
        (LiveMeans::Frozen, None) => "its processes were suspended".to_owned(),
        _ => "its files at one moment, without stopping it".to_owned(),
    }
}

/// The tags to put on, and those to take off.
pub(crate) fn sorted(changes: &[TagChange]) -> (Vec<Tag>, Vec<Tag>) {
    let (mut add, mut remove) = (Vec::new(), Vec::new());
    for change in changes {
        match change {
            TagChange::Add(tag) => add.push(tag.clone()),
            TagChange::Remove(tag) => remove.push(tag.clone()),
        }
    }
    (add, remove)
}

fn tag(id: SnapshotId, changes: &[TagChange], json: bool) -> Answer {
    let (add, remove) = sorted(changes);
    let context = Context::open()?;
    tell_tags(&context.store().tag_snapshot(id, &add, &remove)?, json)
}

pub(crate) fn tell_tags(snapshot: &Snapshot, json: bool) -> Answer {
    if json {
        show::print_json(&[("snapshot", show::to_json(snapshot)?)]);
    } else {
        println!("{}: {}", snapshot.id, words(snapshot));
    }
    show::done()
}

fn remove(id: SnapshotId, force: bool, json: bool) -> Answer {
    let context = Context::open()?;
    let freed = context.with_core(WhenBusy::Wait, |core| Ok(core.remove_snapshot(id, force)?))?;
    tell_removed(id, freed, json)
}

pub(crate) fn tell_removed(id: SnapshotId, freed: u64, json: bool) -> Answer {
    if json {
        show::print_json(&[("snapshot", show::to_json(&id)?), ("freed_bytes", freed.into())]);
    } else {
        println!("removed {id} ({} freed)", ByteSize(freed));
    }
    show::done()
}

pub(crate) fn list(arguments: &SnapshotsArguments, json: bool) -> Answer {
    let context = Context::open()?;
    let sandbox = context.sandbox(arguments.sandbox.sandbox.as_ref())?;
    tell_list(context.store().snapshots(sandbox.id)?, arguments, json)
}

/// Tells of those that are asked for.
pub(crate) fn tell_list(
    mut snapshots: Vec<Snapshot>,
    arguments: &SnapshotsArguments,
    json: bool,
) -> Answer {
    let wanted = Wanted::of(arguments)?;
    snapshots.retain(|snapshot| wanted.is(snapshot));
    if json {
        show::print_json(&[("snapshots", show::to_json(&snapshots)?)]);
        return show::done();
    }
    let rows: Vec<Vec<String>> = snapshots
        .iter()
        .map(|snapshot| {
            vec![
                snapshot.id.to_string(),
                kind(snapshot),
                snapshot.created.rfc3339(),
                words(snapshot),
                snapshot.message.clone(),
            ]
        })
        .collect();
    let empty = match (wanted.is_narrow(), arguments.all) {
        (true, _) => "no such snapshots",
        (false, true) => "no snapshots",
        (false, false) => "no snapshots (those before operations with --all)",
    };
    print_table(&["SNAPSHOT", "KIND", "TAKEN", "TAGS", "MESSAGE"], &rows, empty);
    show::done()
}

fn kind(snapshot: &Snapshot) -> String {
    match snapshot.scope {
        SnapshotScope::Full => snapshot.kind.word().to_owned(),
        scope => format!("{}, {}", snapshot.kind.word(), scope.word()),
    }
}

/// The tags, and whether it is known to be good.
fn words(snapshot: &Snapshot) -> String {
    let mut words: Vec<&str> = snapshot.tags.iter().map(Tag::as_str).collect();
    words.extend(snapshot.good.map(|_| "(good)"));
    if words.is_empty() { "-".to_owned() } else { words.join(" ") }
}

/// What a search asks for.
struct Wanted<'a> {
    arguments: &'a SnapshotsArguments,
    text: Option<String>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
}

impl<'a> Wanted<'a> {
    fn of(arguments: &'a SnapshotsArguments) -> Result<Self, Failure> {
        let moment = |text: &Option<String>| text.as_deref().map(clock::moment).transpose();
        Ok(Self {
            text: arguments.text.as_ref().map(|text| text.to_lowercase()),
            since: moment(&arguments.since)?,
            until: moment(&arguments.until)?,
            arguments,
        })
    }

    /// Whether it asks for more than the plain list, which leaves out those before operations.
    fn is_narrow(&self) -> bool {
        let SnapshotsArguments { tags, operation, kind, .. } = self.arguments;
        !tags.is_empty()
            || operation.is_some()
            || kind.is_some()
            || self.text.is_some()
            || self.since.is_some()
            || self.until.is_some()
    }

    fn is(&self, snapshot: &Snapshot) -> bool {
        let SnapshotsArguments { tags, operation, kind, all, .. } = self.arguments;
        let listed = *all || self.is_narrow() || snapshot.kind != SnapshotKind::PreOperation;
        let message = || snapshot.message.to_lowercase();
        listed
            && tags.iter().all(|tag| snapshot.tags.contains(tag))
            && operation.is_none_or(|operation| snapshot.operation == operation)
            && kind.is_none_or(|kind| snapshot.kind == kind.into())
            && self.text.as_ref().is_none_or(|text| message().contains(text))
            && self.since.is_none_or(|since| snapshot.created >= since)
            && self.until.is_none_or(|until| snapshot.created < until)
    }
}
