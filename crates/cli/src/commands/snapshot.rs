//! `ctrlz snapshot` and `ctrlz snapshots`.

use ctrlz_core::snapshot::SnapshotKind;

use crate::Answer;
use crate::arguments::{SnapshotArguments, SnapshotsArguments};
use crate::context::{Context, WhenBusy};
use crate::show::{self, print_table};

pub(crate) fn snapshot(arguments: &SnapshotArguments, json: bool) -> Answer {
    let context = Context::open()?;
    let sandbox = context.sandbox(arguments.sandbox.sandbox.as_ref())?;
    let snapshot = context
        .with_core(WhenBusy::Wait, |core| Ok(core.snapshot(&sandbox, &arguments.message)?))?;
    if json {
        show::print_json(&[("snapshot", show::to_json(&snapshot)?)]);
    } else {
        println!("{} of {}", snapshot.id, sandbox.name);
    }
    show::done()
}

pub(crate) fn list(arguments: &SnapshotsArguments, json: bool) -> Answer {
    let context = Context::open()?;
    let sandbox = context.sandbox(arguments.sandbox.sandbox.as_ref())?;
    let mut snapshots = context.store().snapshots(sandbox.id)?;
    if !arguments.all {
        snapshots.retain(|snapshot| snapshot.kind != SnapshotKind::PreOperation);
    }
    if json {
        show::print_json(&[("snapshots", show::to_json(&snapshots)?)]);
        return show::done();
    }
    let rows: Vec<Vec<String>> = snapshots
        .iter()
        .map(|snapshot| {
            vec![
                snapshot.id.to_string(),
                snapshot.kind.word().to_owned(),
                snapshot.created.rfc3339(),
                snapshot.message.clone(),
            ]
        })
        .collect();
    let empty = "no snapshots (those before operations with --all)";
    print_table(&["SNAPSHOT", "KIND", "TAKEN", "MESSAGE"], &rows, empty);
    show::done()
}
