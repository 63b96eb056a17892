//! Checks of the store.

use std::time::Duration;

use ctrlz_core::event::Severity;
use ctrlz_core::health::{Finding, OpenOperation, Remedy, StoreFacts};

use super::{Advice, finding};

/// How much longer than its limit an operation may be under way before it counts as stuck: it has
/// to be set up, sealed and journaled as well.
const GRACE: Duration = Duration::from_secs(60);

fn list<T>(items: &[T], shown: impl Fn(&T) -> String) -> String {
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

pub(super) fn journal(store: &StoreFacts) -> Finding {
    let crashed: Vec<&OpenOperation> = store.open.iter().filter(|open| !open.attended).collect();
    let is_stuck = |open: &&OpenOperation| {
        open.attended && open.limit.is_some_and(|limit| open.age.0 > limit.0 + GRACE)
    };
    let stuck: Vec<&OpenOperation> = store.open.iter().filter(is_stuck).collect();
    if !stuck.is_empty() {
        let evidence = list(&stuck, |open| {
            format!("{} in `{}` is under way for {}", open.operation, open.sandbox, open.age)
        });
        return finding("journal", Severity::Critical, evidence)
            .advice("it has passed its time limit: end the ctrlz that runs it");
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
