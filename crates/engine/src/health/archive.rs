//! Checks of the archive, by what earlier looks into it came to.

use std::time::Duration;

use ctrlz_core::event::Severity;
use ctrlz_core::health::{ArchiveFacts, ArchiveWanted, Finding, NewestArchived};
use ctrlz_core::span::Span;

use super::store::list;
use super::{Advice, finding};

/// For so long a drill of one snapshot speaks for its sandbox's archive.
const DRILL_HOLDS: Duration = Duration::from_secs(30 * 86_400);

/// For so long a snapshot may wait until it is archived.
const MAY_WAIT: Duration = Duration::from_secs(86_400);

pub(super) fn damaged(archive: &ArchiveFacts) -> Finding {
    let check = "archive-damaged";
    if let Some(why) = &archive.unreadable {
        return finding(check, Severity::Critical, format!("it cannot be looked at: {why}"))
            .advice("`ctrlz archive ls` tells more; `place:` in archive.yaml says where it lies");
    }
    if archive.damaged.is_empty() {
        let evidence = format!("no check found damage in {} snapshots", archive.snapshots);
        return finding(check, Severity::Ok, evidence);
    }
    let evidence = list(&archive.damaged, |(name, what)| format!("{name}: {what}"));
    finding(check, Severity::Critical, evidence).advice(
        "`ctrlz verify --discard` takes damaged blobs out and `ctrlz push SNAP` brings them again, or \
         `ctrlz archive rm NAME` removes what is lost; then `ctrlz verify` and `ctrlz drill NAME`",
    )
}

pub(super) fn undrilled(archive: &ArchiveFacts) -> Finding {
    let check = "undrilled";
    let is_due = |newest: &&NewestArchived| newest.drilled.is_none_or(|age| age.0 > DRILL_HOLDS);
    let due: Vec<&NewestArchived> = archive.newest.iter().filter(is_due).collect();
    if due.is_empty() {
        let evidence = match archive.unreadable {
            Some(_) => "nothing is known of it".to_owned(),
            None => "of each sandbox, an archived snapshot was drilled".to_owned(),
        };
        return finding(check, Severity::Ok, evidence);
    }
    let evidence = list(&due, |newest| match newest.drilled {
        None => format!("{}: restoring it was never tried, nor one before it", newest.name),
        Some(age) => {
            format!(
                "{}: restoring it, or one before it, was last tried {} days ago",
                newest.name,
                age.0.as_secs() / 86_400
            )
        }
    });
    finding(check, Severity::Warning, evidence)
        .advice("`ctrlz drill` restores the newest snapshots to scratch and compares them")
}

pub(super) fn unarchived(wanted: &ArchiveWanted) -> Finding {
    let check = "unarchived";
    let advice =
        "`ctrlz daemon` archives by itself, and `ctrlz archive apply` does now what is left";
    if !wanted.troubles.is_empty() {
        let evidence = list(&wanted.troubles, |(what, why)| format!("{what}: {why}"));
        return finding(check, Severity::Warning, evidence).advice(advice);
    }
    let is_late = |(_, age): &&(String, Span)| age.0 > MAY_WAIT;
    let late: Vec<&(String, Span)> = wanted.due.iter().filter(is_late).collect();
    if late.is_empty() {
        let evidence = match wanted.due.len() {
            0 => "all is archived that archive.yaml asks for".to_owned(),
            due => format!("{due} snapshots of the last day are still to be archived"),
        };
        return finding(check, Severity::Ok, evidence);
    }
    let evidence = list(&late, |(name, age)| {
        format!("{name}: not in the archive after {} days", age.0.as_secs() / 86_400)
    });
    finding(check, Severity::Warning, evidence).advice(advice)
}
