//! Checks of the store.

use ctrlz_core::event::Severity;
use ctrlz_core::health::{Finding, HostFacts, OpenOperation, Remedy, StoreFacts, Thresholds};
use ctrlz_core::span::Span;

use super::{Advice, finding};

pub(super) fn list<T>(items: &[T], shown: impl Fn(&T) -> String) -> String {
    const MOST: usize = 5;
    let mut text: Vec<String> = items.iter().take(MOST).map(shown).collect();
    if items.len() > MOST {
        text.push(format!("and {} more", items.len() - MOST));
    }
    text.join("; ")
}

pub(super) fn database(store: &StoreFacts) -> Finding {
    if store.database.is_empty() {
        return finding("store", Severity::Ok, "the database is whole".to_owned());
    }
    finding("store", Severity::Critical, list(&store.database, Clone::clone)).advice(
        "stop using this store, keep a copy of it, and commit or export what you need from it",
    )
}

pub(super) fn journal(host: &HostFacts, store: &StoreFacts, thresholds: Thresholds) -> Finding {
    let crashed: Vec<&OpenOperation> = store.open.iter().filter(|open| !open.attended).collect();
    let is_stuck = |open: &&OpenOperation| {
        // It has to be set up, sealed and journaled as well, and may have slept with its host.
        let grace = thresholds.stuck_after.0.saturating_add(host.asleep.0);
        let is_late = |limit: Span| open.age.0 > limit.0.saturating_add(grace);
        open.attended && (open.orphaned || open.limit.is_some_and(is_late))
    };
    let stuck: Vec<&OpenOperation> = store.open.iter().filter(is_stuck).collect();
    if !stuck.is_empty() {
        let evidence = list(&stuck, |open| {
            let why = match (open.orphaned, open.limit) {
                (true, _) | (_, None) => "the ctrlz that ran it is gone".to_owned(),
                (false, Some(limit)) => format!("its limit is {limit}"),
            };
            let OpenOperation { operation, sandbox, age, .. } = open;
            format!("{operation} in `{sandbox}` is under way for {age}, and {why}")
        });
        let end = |open: &&OpenOperation| Remedy::EndOperation {
            sandbox: open.sandbox.clone(),
            operation: open.operation,
        };
        let advice = match stuck.iter().any(|open| open.orphaned) {
            true => {
                "`ctrlz health --fix` ends what it runs and takes it back, unless its ctrlz lives to keep what it wrote"
            }
            false => "`ctrlz health --fix` ends what it runs; its ctrlz keeps what that wrote",
        };
        return finding("journal", Severity::Critical, evidence)
            .advice(advice)
            .remedies(stuck.iter().map(end).collect());
    }
    if !crashed.is_empty() {
        let evidence = list(&crashed, |open| {
            format!("{} in `{}` was cut short", open.operation, open.sandbox)
        });
        return finding("journal", Severity::Warning, evidence)
            .advice("`ctrlz recover` finishes it or takes it back, and so does its next use")
            .remedies(vec![Remedy::Recover]);
    }
    let evidence = match store.open.len() {
        0 => "nothing is under way".to_owned(),
        under_way => format!("{under_way} operations are under way"),
    };
    finding("journal", Severity::Ok, evidence)
}

pub(super) fn snapshots(store: &StoreFacts) -> Finding {
    if !store.damaged_sandboxes.is_empty() {
        let evidence =
            list(&store.damaged_sandboxes, |(sandbox, what)| format!("`{sandbox}`: {what}"));
        return finding("snapshots", Severity::Critical, evidence)
            .advice("roll back to a snapshot that is whole, or discard");
    }
    if !store.damaged.is_empty() {
        let evidence = list(&store.damaged, |(snapshot, what)| format!("{snapshot}: {what}"));
        return finding("snapshots", Severity::Critical, evidence)
            .advice("these cannot be returned to; `ctrlz snapshot rm` removes them");
    }
    let evidence = format!("{} were looked at, all are there", store.snapshots);
    finding("snapshots", Severity::Ok, evidence)
}

pub(super) fn chains(store: &StoreFacts) -> Finding {
    if store.chains.is_empty() {
        return finding("layers", Severity::Ok, "no chain waits to be merged".to_owned());
    }
    let evidence =
        list(&store.chains, |one| format!("`{}` stands on {} layers", one.sandbox, one.layers));
    finding("layers", Severity::Warning, evidence)
        .advice("`ctrlz health --fix` merges them, and so does a command that needs it")
        .remedies(vec![Remedy::MergeLayers])
}

pub(super) fn usage(store: &StoreFacts) -> Finding {
    if store.usage.is_empty() {
        return finding("usage", Severity::Ok, "its history is whole".to_owned());
    }
    finding("usage", Severity::Warning, list(&store.usage, Clone::clone)).advice(
        "remove `monitor.db` in the store: only the history of usage is lost, and it begins anew",
    )
}

pub(super) fn evidence(store: &StoreFacts) -> Finding {
    const MANY: u64 = 10_000;
    match store.unsigned {
        None => finding("evidence", Severity::Ok, "nothing was ever signed".to_owned()),
        Some(unsigned) => {
            let severity = if unsigned >= MANY { Severity::Warning } else { Severity::Ok };
            finding("evidence", severity, format!("{unsigned} events are not yet signed"))
                .advice("`ctrlz audit sign` signs them, `ctrlz daemon` every few minutes")
        }
    }
}

pub(super) fn sinks(store: &StoreFacts) -> Finding {
    if store.sinks.is_empty() {
        return finding("sinks", Severity::Ok, "all took what they were sent".to_owned());
    }
    let evidence = list(&store.sinks, |(sink, what)| format!("`{sink}`: {what}"));
    finding("sinks", Severity::Warning, evidence)
        .advice("`ctrlz sinks` tells more, `ctrlz sinks retry NAME` sends dead letters again")
}
