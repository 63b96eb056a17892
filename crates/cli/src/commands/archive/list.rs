//! `ctrlz archive ls`, `rm` and `gc`.

use std::time::Duration;

use ctrlz_archive::archiver::Archiver;
use ctrlz_archive::collect::{Collecting, collect as collect_place};
use ctrlz_archive::layer::LayerOptions;
use ctrlz_archive::snapshot::{Listed, list as list_place};
use ctrlz_core::workspace::WorkspaceDriver;

use super::checked::{self, Checks};
use super::setting::Setting;
use super::told::{Collected, Contents, Entry, Removed, Unread};
use super::yielding::Wanted;
use crate::Answer;
use crate::arguments::{FromArgument, KeyArguments};
use crate::context::Context;
use crate::failure::{Failure, OWN_FAILURE};
use crate::show::plain;

pub(super) fn list(from: &FromArgument, given: &KeyArguments, json: bool) -> Answer {
    let context = Context::open()?;
    let setting = Setting::read(&context)?;
    let place = setting.open(from.from.as_deref())?;
    // Without a key there is still something to tell.
    let keys = setting.keys(place.as_ref(), given);
    let listing = list_place(place.as_ref(), keys.as_ref().ok().and_then(Option::as_ref))?;
    if let Err(failure) = &keys {
        eprintln!("ctrlz: {}", plain(failure.message()));
    }
    // Only of the archive of this host it is known, and told where that is needed.
    let checks = match from.from {
        None => checked::known(&setting).unwrap_or_default(),
        Some(_) => Checks::default(),
    };
    let mut snapshots = listing.snapshots;
    snapshots.sort_by(|a, b| (&a.created, &a.reference).cmp(&(&b.created, &b.reference)));
    let unread = |(name, error): &(String, _)| {
        let error: &ctrlz_archive::ArchiveError = error;
        Unread { name: name.clone(), error: error.to_string() }
    };
    let contents = Contents {
        place: place.address(),
        snapshots: snapshots.iter().map(|one| entry(one, &checks)).collect(),
        faults: listing.faults.iter().map(unread).collect(),
    };
    contents.tell(json)
}

fn entry(listed: &Listed, checks: &Checks) -> Entry {
    Entry {
        name: listed.name.clone(),
        reference: listed.reference.clone(),
        created: listed.created.clone(),
        bytes: listed.size,
        encrypted: listed.encrypted,
        not_archived: listed.losses,
        automatic: checks.automatic(&listed.reference).map(|why| why.word().to_owned()),
        manifest: listed.descriptor.digest.to_string(),
    }
}

pub(super) fn remove(
    names: &[String],
    from: &FromArgument,
    given: &KeyArguments,
    json: bool,
) -> Answer {
    let context = Context::open()?;
    let setting = Setting::read(&context)?;
    let place = setting.open(from.from.as_deref())?;
    let keys = setting.keys(place.as_ref(), given).ok().flatten();
    let listed = list_place(place.as_ref(), keys.as_ref())?;
    let mut references = Vec::new();
    for name in names {
        let found = listed
            .snapshots
            .iter()
            .find(|snapshot| snapshot.name.as_ref() == Some(name) || snapshot.reference == *name);
        // One that is damaged has to go, too.
        let fault = listed.faults.iter().find(|(fault, _)| fault == name).map(|(fault, _)| fault);
        match found.map(|found| &found.reference).or(fault) {
            Some(reference) => references.push(reference.clone()),
            None => {
                let (place, name) = (place.address(), name.clone());
                return Err(ctrlz_archive::ArchiveError::Unnamed { place, name }.into());
            }
        }
    }
    for reference in &references {
        place.withdraw(reference)?;
    }
    Removed { removed: names.to_vec() }.tell(json)
}

pub(super) fn collect(from: &FromArgument, (dry_run, now): (bool, bool), json: bool) -> Answer {
    let context = Context::open()?;
    let setting = Setting::read(&context)?;
    let place = setting.open(from.from.as_deref())?;
    let mut how = Collecting { dry_run, ..Collecting::default() };
    if now {
        how.grace = Duration::ZERO;
    }
    let wanted = match from.from {
        None => Some(Wanted::raise(&setting.memory())?),
        Some(_) => None,
    };
    let done = collect_place(place.as_ref(), &how)?;
    drop(wanted);
    if from.from.is_none() && !dry_run {
        forget(&context, &setting)?;
    }
    let collected = Collected {
        dry_run,
        kept: done.kept.into(),
        young: done.young.into(),
        removed: done.removed.into(),
        unfinished: done.unfinished.into(),
    };
    collected.tell(json)
}

/// What was remembered of layers that are gone is of no use.
pub(super) fn forget(context: &Context, setting: &Setting) -> Result<(), Failure> {
    let archiver = Archiver {
        place: &setting.create()?,
        memory: &setting.memory(),
        keys: None,
        options: LayerOptions::default(),
    };
    let held = |id: &str| {
        context.workspaces().iter().any(|driver: &&dyn WorkspaceDriver| {
            // When that cannot be told, it is kept.
            driver.holds(id).unwrap_or(true)
        })
    };
    archiver.forget(&held).map_err(|error| Failure::caused(OWN_FAILURE, "archive", &error))
}
