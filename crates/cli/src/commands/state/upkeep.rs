//! `ctrlz state verify`, `repair` and `rebuild`.

use std::collections::HashSet;

use ctrlz_core::digest::Digest;
use ctrlz_core::sandbox::Sandbox;
use ctrlz_core::state_store::{StateFault, StateRepair, ValueCopies};
use serde_json::{Value, json};

use crate::Answer;
use crate::commands::archive::{self, ArchivedValues};
use crate::context::Context;
use crate::failure::{Failure, NOT_GOOD};
use crate::show::{self, plain};

/// What was found or done in one namespace.
struct Found {
    namespace: String,
    repair: StateRepair,
    /// What archived snapshots had of it.
    archived: ArchivedValues,
}

impl Found {
    fn new(sandbox: &Sandbox, repair: StateRepair) -> Self {
        let archived = ArchivedValues::default();
        Self { namespace: sandbox.name.to_string(), repair, archived }
    }

    fn lines(&self, faults: &[StateFault]) -> Vec<String> {
        faults
            .iter()
            .map(|StateFault { key, version, problem }| {
                let namespace = &self.namespace;
                plain(&format!("{namespace}: `{key}` at version {version}: {problem}"))
            })
            .collect()
    }
}

pub(super) fn verify(context: &Context, namespaces: &[Sandbox], json: bool) -> Answer {
    let mut found = Vec::new();
    for sandbox in namespaces {
        let left = context.store().verify_state(sandbox.id)?;
        found.push(Found::new(sandbox, StateRepair { left, ..StateRepair::default() }));
    }
    let hint = "`ctrlz state repair` mends what it can, with --from FILE from an export, too";
    told(&found, "every entry and every value is as it was written", hint, json)
}

pub(super) fn compare(context: &Context, namespaces: &[Sandbox], json: bool) -> Answer {
    let mut found = Vec::new();
    for sandbox in namespaces {
        let left = context.store().compare_state(sandbox.id)?;
        found.push(Found::new(sandbox, StateRepair { left, ..StateRepair::default() }));
    }
    let hint = "`ctrlz state rebuild` makes the state what the journal tells";
    told(&found, "the state is what the journal tells", hint, json)
}

pub(super) fn rebuild(
    context: &Context,
    namespaces: &[Sandbox],
    drop_unknown: bool,
    json: bool,
) -> Answer {
    let mut found = Vec::new();
    for sandbox in namespaces {
        let repair = context.store().rebuild_state(sandbox.id, drop_unknown)?;
        found.push(Found::new(sandbox, repair));
    }
    let hint = "what the journal does not know is dropped with --drop-unknown";
    told(&found, "the state is what the journal tells", hint, json)
}

pub(super) fn repair(
    context: &Context,
    namespaces: &[Sandbox],
    copies: &dyn ValueCopies,
    json: bool,
) -> Answer {
    let mut found = Vec::new();
    for sandbox in namespaces {
        let repair = context.store().repair_state(sandbox.id, copies)?;
        found.push(from_archive(context, sandbox, repair)?);
    }
    let hint = "neither the archive nor its copies have the rest; an export that does mends them: --from FILE";
    told(&found, "every entry and every value is as it was written", hint, json)
}

/// Brings the values that are still missing from archived snapshots. They are fetched before the
/// store is written to: a place far away takes its time.
fn from_archive(
    context: &Context,
    sandbox: &Sandbox,
    first: StateRepair,
) -> Result<Found, Failure> {
    let of_values = |fault: &&StateFault| !fault.problem.is_of_entry();
    let versions: HashSet<i64> =
        first.left.iter().filter(of_values).map(|fault| fault.version).collect();
    if versions.is_empty() {
        return Ok(Found::new(sandbox, first));
    }
    let wanted: HashSet<Digest> = context
        .store()
        .state_writes(sandbox.id)?
        .into_iter()
        .filter(|write| i64::try_from(write.version).is_ok_and(|of| versions.contains(&of)))
        .filter_map(|write| write.digest)
        .collect();
    let archived = archive::values(context, &sandbox.name, wanted);
    let StateRepair { mut mended, left } = first;
    let repair = match archived.origins.is_empty() {
        true => StateRepair { mended, left },
        false => {
            let second = context.store().repair_state(sandbox.id, &archived)?;
            mended.extend(second.mended);
            StateRepair { mended, left: second.left }
        }
    };
    Ok(Found { archived, ..Found::new(sandbox, repair) })
}

fn told(found: &[Found], good: &str, hint: &str, json: bool) -> Answer {
    let sum =
        |of: fn(&StateRepair) -> usize| found.iter().map(|one| of(&one.repair)).sum::<usize>();
    let (mended, left) = (sum(|repair| repair.mended.len()), sum(|repair| repair.left.len()));
    let fields = [
        ("mended", list(found, |one| &one.mended)),
        ("faults", list(found, |one| &one.left)),
        ("archived", origins(found)),
    ];
    for unread in found.iter().flat_map(|one| &one.archived.unread) {
        eprintln!("ctrlz: an archive could not be looked at for values: {}", plain(unread));
    }
    if left > 0 {
        let message = match left {
            1 => "one entry of the state is not as it should be".to_owned(),
            _ => format!("{left} entries of the state are not as they should be"),
        };
        let details = found.iter().flat_map(|one| one.lines(&one.repair.left)).collect();
        let failure = Failure::new(NOT_GOOD, "state-faults", message).details(details).hint(hint);
        if json {
            show::print_failure_json(&failure, &fields);
        } else {
            print_mended(found);
            failure.print(false);
        }
        return Ok(NOT_GOOD);
    }
    if json {
        show::print_json(&fields);
        return show::done();
    }
    print_mended(found);
    println!("{good}{}", if mended > 0 { " now" } else { "" });
    show::done()
}

fn print_mended(found: &[Found]) {
    for one in found {
        for line in one.lines(&one.repair.mended) {
            println!("mended {line}");
        }
        for origin in &one.archived.origins {
            let values = if origin.values == 1 { "value" } else { "values" };
            let (place, snapshot) = (plain(&origin.place), plain(&origin.snapshot));
            println!("  {} {values} came from {snapshot} in {place}", origin.values);
        }
    }
}

fn origins(found: &[Found]) -> Value {
    let origins = found.iter().flat_map(|one| {
        one.archived.origins.iter().map(|origin| {
            json!({
                "namespace": one.namespace,
                "place": origin.place,
                "snapshot": origin.snapshot,
                "values": origin.values,
            })
        })
    });
    Value::Array(origins.collect())
}

fn list(found: &[Found], of: fn(&StateRepair) -> &Vec<StateFault>) -> Value {
    let faults = found.iter().flat_map(|one| {
        of(&one.repair).iter().map(|fault| {
            json!({
                "namespace": one.namespace,
                "key": fault.key,
                "version": fault.version,
                "problem": fault.problem,
            })
        })
    });
    Value::Array(faults.collect())
}
