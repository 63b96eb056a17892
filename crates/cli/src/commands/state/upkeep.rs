//! `ctrlz state verify`, `repair` and `rebuild`.

use ctrlz_core::sandbox::Sandbox;
use ctrlz_core::state_store::{StateFault, StateRepair, ValueCopies};
use serde_json::{Value, json};

use super::NOT_GOOD;
use crate::Answer;
use crate::context::Context;
use crate::failure::Failure;
use crate::show::{self, plain};

/// What was found or done in one namespace.
struct Found {
    namespace: String,
    repair: StateRepair,
}

impl Found {
    fn new(sandbox: &Sandbox, repair: StateRepair) -> Self {
        Self { namespace: sandbox.name.to_string(), repair }
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
        found.push(Found::new(sandbox, repair));
    }
    let hint = "an export that has the values mends them: --from FILE";
    told(&found, "every entry and every value is as it was written", hint, json)
}

fn told(found: &[Found], good: &str, hint: &str, json: bool) -> Answer {
    let sum =
        |of: fn(&StateRepair) -> usize| found.iter().map(|one| of(&one.repair)).sum::<usize>();
    let (mended, left) = (sum(|repair| repair.mended.len()), sum(|repair| repair.left.len()));
    let fields =
        [("mended", list(found, |one| &one.mended)), ("faults", list(found, |one| &one.left))];
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
    }
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
