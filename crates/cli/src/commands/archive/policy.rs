//! What archive.yaml asks to be archived, sent, and taken out again, by itself.

use std::collections::BTreeSet;

use ctrlz_archive::image::Tag;
use ctrlz_config::{ArchiveConfig, Archived};
use ctrlz_core::health::ArchiveWanted;
use ctrlz_core::id::SnapshotId;
use ctrlz_core::sandbox::Sandbox;
use ctrlz_core::snapshot::{Snapshot, SnapshotKind};
use ctrlz_core::span::Span;
use ctrlz_core::time::Timestamp;

use super::checked::{self, Automatic, Checks, since};
use super::setting::Setting;
use super::snapshot_name::parted;
use crate::context::Context;
use crate::failure::Failure;

/// A snapshot that lies in the archive of this host.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lying<'a> {
    /// Its name there.
    pub(super) reference: &'a str,
    /// Its real name, and the sandbox and the number that this tells.
    pub(super) name: &'a str,
    pub(super) sandbox: &'a str,
    pub(super) number: u64,
    /// When the snapshot was taken, where that is known.
    pub(super) created: Option<&'a str>,
    pub(super) automatic: Option<Automatic>,
    /// Whether it stays although nobody asked for it.
    pub(super) kept: bool,
    /// The further places that it was sent to.
    pub(super) sent: &'a BTreeSet<String>,
}

/// One thing to be archived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) sandbox: Sandbox,
    pub(super) snapshot: Snapshot,
    /// Its name in the archive.
    pub(super) name: String,
}

/// One snapshot that lies in the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) reference: String,
    pub(super) name: String,
}

/// What is to be done.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// To be archived, the newest first.
    pub(super) due: Vec<Due>,
    /// To be sent to that place.
    pub(super) unsent: Vec<(Named, String)>,
    /// To be taken out of the archive.
    pub(super) surplus: Vec<Named>,
    /// Those that stay from now on, since a user tagged what they are of.
    pub(super) to_keep: Vec<String>,
}

/// What is to be done, given what the store has and what lies in the archive.
///
/// Of a sandbox, at most so many snapshots are archived that nobody asked for as stay; else what was
/// taken out would be archived again.
pub(super) fn plan(
    config: &ArchiveConfig,
    sandboxes: &[(Sandbox, Vec<Snapshot>)],
    lying: &[Lying<'_>],
) -> Plan {
    let most = config.keep_automatic.map_or(usize::MAX, |most| most.get() as usize);
    let mut plan = Plan::default();
    let mut by_user = BTreeSet::new();
    for (sandbox, snapshots) in sandboxes {
        // A name that fits no archive, pushing tells.
        let Ok(named) = Tag::of_snapshot(sandbox.name.as_str(), 0) else { continue };
        let (sandbox_there, _) = parted(named.as_str());
        let own: Vec<&Lying<'_>> =
            lying.iter().filter(|lying| lying.sandbox == sandbox_there).collect();
        let mut going = Vec::new();
        let mut numbers: Vec<u64> = Vec::new();
        for snapshot in snapshots {
            let number = snapshot.id.0.unsigned_abs();
            let there = own.iter().find(|lying| is_of(lying, snapshot));
            if let Some(there) = there
                && stays(snapshot)
            {
                by_user.insert(there.reference);
                if there.automatic.is_some() && !there.kept {
                    plan.to_keep.push(there.reference.to_owned());
                }
            }
            if !is_wanted(config, snapshot) {
                continue;
            }
            match there {
                Some(there) => {
                    let unsent = config.copies.iter().filter(|copy| !there.sent.contains(*copy));
                    plan.unsent.extend(unsent.map(|copy| (there.named(), copy.clone())));
                }
                None => going.push((number, snapshot)),
            }
        }
        let counted =
            own.iter().filter(|lying| lying.may_go() && !by_user.contains(lying.reference));
        numbers.extend(counted.map(|lying| lying.number));
        numbers.extend(going.iter().filter(|(_, one)| !stays(one)).map(|(number, _)| *number));
        numbers.sort_unstable_by_key(|number| std::cmp::Reverse(*number));
        let least = numbers.get(most.saturating_sub(1)).copied().unwrap_or(0);
        for (number, snapshot) in going {
            if stays(snapshot) || number >= least {
                let Ok(name) = Tag::of_snapshot(sandbox.name.as_str(), number) else { continue };
                let (sandbox, snapshot) = (sandbox.clone(), snapshot.clone());
                plan.due.push(Due { sandbox, snapshot, name: name.to_string() });
            }
        }
    }
    plan.due.sort_by_key(|due| std::cmp::Reverse(due.snapshot.id));
    plan.unsent.sort_by_key(|(named, _)| {
        let number = lying.iter().find(|lying| lying.reference == named.reference);
        std::cmp::Reverse(number.map(|lying| lying.number))
    });
    plan.surplus = surplus(lying, &by_user, most);
    plan
}

/// Of each sandbox, also of those that are gone, all but the newest `most` that nobody asked for.
fn surplus(lying: &[Lying<'_>], by_user: &BTreeSet<&str>, most: usize) -> Vec<Named> {
    let mut going: Vec<&Lying<'_>> =
        lying.iter().filter(|one| one.may_go() && !by_user.contains(one.reference)).collect();
    going.sort_unstable_by_key(|one| (one.sandbox, std::cmp::Reverse(one.number)));
    let mut surplus = Vec::new();
    let (mut sandbox, mut newer) = ("", 0);
    for one in going {
        if one.sandbox != sandbox {
            (sandbox, newer) = (one.sandbox, 0);
        }
        if newer >= most {
            surplus.push(one.named());
        }
        newer += 1;
    }
    surplus
}

impl Lying<'_> {
    fn may_go(&self) -> bool {
        self.automatic.is_some() && !self.kept
    }

    fn named(&self) -> Named {
        Named { reference: self.reference.to_owned(), name: self.name.to_owned() }
    }
}

/// Whether that is the snapshot, and not another one of its name from another store.
fn is_of(lying: &Lying<'_>, snapshot: &Snapshot) -> bool {
    lying.number == snapshot.id.0.unsigned_abs()
        && lying.created.is_none_or(|created| created == snapshot.created.rfc3339())
}

/// Whether a snapshot, once archived, is never taken out by itself.
pub(super) fn stays(snapshot: &Snapshot) -> bool {
    snapshot.kind == SnapshotKind::Manual || !snapshot.tags.is_empty()
}

fn is_wanted(config: &ArchiveConfig, snapshot: &Snapshot) -> bool {
    config.snapshots.iter().any(|word| match word {
        Archived::Tagged => !snapshot.tags.is_empty(),
        Archived::Manual => snapshot.kind == SnapshotKind::Manual,
        Archived::KnownGood => snapshot.good.is_some(),
        Archived::All => true,
    })
}

/// What is to be done now.
pub(super) fn standing(
    context: &Context,
    config: &ArchiveConfig,
    checks: &Checks,
) -> Result<Plan, Failure> {
    let mut sandboxes = Vec::new();
    for sandbox in context.store().sandboxes()? {
        // An ordinary user reads files of many owners only in a process of its own, as `push` does.
        if sandbox.root.has_many_owners() && !rustix::process::geteuid().is_root() {
            continue;
        }
        let snapshots = context.store().snapshots(sandbox.id)?;
        sandboxes.push((sandbox, snapshots));
    }
    Ok(plan(config, &sandboxes, &checks.lying()))
}

/// The snapshots that have to be archived before retention lets them go.
pub(crate) fn awaited(context: &Context) -> Result<BTreeSet<SnapshotId>, Failure> {
    let setting = Setting::read(context)?;
    if setting.config.snapshots.is_empty() {
        return Ok(BTreeSet::new());
    }
    let plan = standing(context, &setting.config, &checked::known(&setting)?)?;
    Ok(plan.due.into_iter().map(|due| due.snapshot.id).collect())
}

/// What `ctrlz health` tells of the policy.
pub(super) fn wanted(
    context: &Context,
    setting: &Setting,
    checks: &Checks,
    now: Timestamp,
) -> Result<ArchiveWanted, Failure> {
    let plan = standing(context, &setting.config, checks)?;
    let age = |due: Due| (due.name, since(due.snapshot.created, now));
    let due: Vec<(String, Span)> = plan.due.into_iter().map(age).collect();
    Ok(ArchiveWanted { due, troubles: checks.troubles.told() })
}

/// Whether `ctrlz archive apply` has something to do that it did not try in vain a moment ago.
pub(crate) fn is_due(context: &Context, now: Timestamp) -> Result<bool, Failure> {
    let setting = Setting::read(context)?;
    if setting.config.snapshots.is_empty() && !setting.is_there() {
        return Ok(false);
    }
    let checks = checked::known(&setting)?;
    let plan = standing(context, &setting.config, &checks)?;
    let may_try = |what: &str| checks.troubles.may_try(what, now);
    let undrilled = setting.config.drill_every.map(|every| checks.undrilled(now, every));
    Ok(plan.due.iter().any(|due| may_try(&due.name))
        || plan.unsent.iter().any(|(named, copy)| may_try(&sending(&named.name, copy)))
        || undrilled.unwrap_or_default().iter().any(|name| may_try(&drilling(name)))
        || plan.surplus.iter().any(|named| may_try(&removing(&named.name)))
        || !plan.to_keep.is_empty()
        || setting.is_there() && checks.collections.is_due(now) && may_try(COLLECTING))
}

/// What it is called when a snapshot cannot be sent.
pub(super) fn sending(name: &str, address: &str) -> String {
    format!("{name} to {address}")
}

/// The same for a drill.
pub(super) fn drilling(name: &str) -> String {
    format!("a drill of {name}")
}

/// The same for a removal.
pub(super) fn removing(name: &str) -> String {
    format!("the removal of {name}")
}

/// The same for a collection.
pub(super) const COLLECTING: &str = "the collection of what nothing needs";

#[cfg(test)]
mod tests;
