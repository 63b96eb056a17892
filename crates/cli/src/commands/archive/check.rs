//! `ctrlz verify` and `ctrlz drill`: whether what is archived can be restored.

use std::collections::BTreeMap;
use std::time::Duration;

use ctrlz_archive::Losses;
use ctrlz_archive::archiver::{Drilled, drill as drill_one};
use ctrlz_archive::crypt::Keyring;
use ctrlz_archive::place::Place;
use ctrlz_archive::snapshot::{Listed, Listing, Snapshot, list};
use ctrlz_archive::verify::{Verifying, discard, verify as verify_place};

use super::progress::Progress;
use super::scratch::Scratch;
use super::setting::Setting;
use super::snapshot_name::parted;
use super::told::{Drill, Drills, Incomplete, Verified};
use super::{bring, checked, failure};
use crate::Answer;
use crate::arguments::{DrillArguments, VerifyArguments};
use crate::clock;
use crate::context::Context;
use crate::failure::{Failure, OWN_FAILURE};

/// How long a removal of damaged blobs waits for others to end.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) fn verify(arguments: &VerifyArguments, json: bool) -> Answer {
    let context = Context::open()?;
    let setting = Setting::read(&context)?;
    let place = setting.open(arguments.from.from.as_deref())?;
    let keys = setting.keys(place.as_ref(), &arguments.keys)?;
    let mut names = Vec::new();
    for name in &arguments.names {
        names.push(Snapshot::find(place.as_ref(), name, keys.as_ref())?.reference);
    }
    let what = Verifying {
        names,
        sample: arguments.sample.unwrap_or(1.0),
        seed: u64::try_from(clock::now().seconds() / 86_400).unwrap_or(0),
        keys: keys.as_ref(),
    };
    let progress = Progress::new("verified");
    let done = verify_place(place.as_ref(), &what, &|bytes| progress.add(bytes))?;
    drop(progress);
    if arguments.from.from.is_none() {
        let names = match what.names.as_slice() {
            [] => checked::names(place.as_ref())?.into_iter().collect(),
            names => names.to_vec(),
        };
        checked::note(&setting, place.as_ref(), |checks| checks.verified(&names, &done));
    }
    let removed = match arguments.discard {
        true => discard(place.as_ref(), &done.faults, PATIENCE)?,
        false => 0,
    };
    let incomplete =
        |(name, lost): &(String, Losses)| Incomplete { name: name.clone(), losses: lost.into() };
    let verified = Verified {
        place: place.address(),
        names: done.names,
        read_blobs: done.read.0,
        read_bytes: done.read.1,
        left_out_blobs: done.left_out.0,
        left_out_bytes: done.left_out.1,
        faults: done.faults.iter().map(Into::into).collect(),
        not_archived: done.losses.iter().map(incomplete).collect(),
        discarded: removed,
    };
    verified.tell(json)
}

pub(crate) fn drill(arguments: &DrillArguments, json: bool) -> Answer {
    let context = Context::open()?;
    let setting = Setting::read(&context)?;
    let place = setting.open(arguments.from.from.as_deref())?;
    let keys = setting.keys(place.as_ref(), &arguments.keys)?;
    let listing = list(place.as_ref(), keys.as_ref())?;
    let is_own = arguments.from.from.is_none();
    if is_own {
        note_faults(&setting, place.as_ref(), &listing);
    }
    let names = match arguments.names.as_slice() {
        [] => newest(&listing.snapshots),
        names => names.to_vec(),
    };
    let scratch = Scratch::new(&setting)?;
    let mut told = Drills { place: place.address(), drills: Vec::new() };
    let mut add = |drill: Drill| {
        if !json {
            drill.tell();
        }
        told.drills.push(drill);
    };
    if arguments.names.is_empty() {
        for (name, error) in &listing.faults {
            add(drill_of(name, &Err(Failure::caused(OWN_FAILURE, "archive-damaged", error))));
        }
    }
    for name in &names {
        let drilled = drill_named(place.as_ref(), keys.as_ref(), &scratch, name);
        if is_own {
            note(&setting, place.as_ref(), (&listing, name), &drilled);
        }
        add(drill_of(name, &drilled));
    }
    if json || told.drills.is_empty() {
        return told.tell(json);
    }
    Ok(u8::from(!told.drills.iter().all(Drill::is_whole)))
}

/// Restores one snapshot to `scratch` and compares it.
pub(super) fn drill_named(
    place: &dyn Place,
    keys: Option<&Keyring>,
    scratch: &Scratch,
    name: &str,
) -> Result<Drilled, Failure> {
    let found = Snapshot::find(place, name, keys)?;
    let drilled = drill_one(place, &found, keys, &scratch.path().join("tree"))?;
    if let Some(state) = &drilled.state {
        bring::bundle(state)?;
    }
    Ok(drilled)
}

/// Notes the snapshots in the archive of this host, and those that not even a listing can read.
pub(super) fn note_faults(setting: &Setting, place: &dyn Place, listing: &Listing) {
    checked::note(setting, place, |checks| {
        listing.snapshots.iter().for_each(|listed| checks.listed(listed));
        for (reference, error) in &listing.faults {
            checks.drilled(reference, Some(error.to_string()));
        }
    });
}

/// Notes what a drill of a snapshot in the archive of this host came to; answers what was wrong, and
/// whether it could be noted.
pub(super) fn note(
    setting: &Setting,
    place: &dyn Place,
    (listing, name): (&Listing, &str),
    drilled: &Result<Drilled, Failure>,
) -> (Option<String>, bool) {
    let fault = fault(drilled);
    let reference = listing.snapshots.iter().find(|listed| {
        listed.reference == *name || listed.name.as_ref().is_some_and(|real| real == name)
    });
    // Without its key, nothing was tried.
    let is_sealed = drilled.as_ref().is_err_and(|failure| failure.is(failure::NO_KEY));
    let reference = reference.filter(|_| !is_sealed);
    if let Some(listed) = reference {
        let fault = fault.clone();
        checked::note(setting, place, |checks| checks.drilled(&listed.reference, fault));
    }
    (fault, reference.is_some())
}

fn is_whole(drilled: &Drilled) -> bool {
    drilled.compared.as_ref().is_none_or(|compared| compared.total == 0)
}

/// What a drill found wrong, in a line.
fn fault(drilled: &Result<Drilled, Failure>) -> Option<String> {
    match drilled {
        Ok(drilled) => {
            let differing = drilled.compared.as_ref().map_or(0, |compared| compared.total);
            (differing > 0).then(|| format!("restored, it differs at {differing} places"))
        }
        Err(failure) => Some(format!("it cannot be restored: {}", failure.in_words())),
    }
}

/// The newest snapshot of each sandbox.
fn newest(snapshots: &[Listed]) -> Vec<String> {
    let mut newest: BTreeMap<&str, (&str, Option<&str>)> = BTreeMap::new();
    for listed in snapshots {
        let name = listed.name.as_deref().unwrap_or(&listed.reference);
        let found = (name, listed.created.as_deref());
        let entry = newest.entry(parted(name).0).or_insert(found);
        if checked::age_of(entry.1, entry.0) < checked::age_of(found.1, found.0) {
            *entry = found;
        }
    }
    newest.into_values().map(|(name, _)| name.to_owned()).collect()
}

fn drill_of(name: &str, drilled: &Result<Drilled, Failure>) -> Drill {
    let name = name.to_owned();
    match drilled {
        Err(failure) => Drill::Failed { name, whole: false, error: failure.message().to_owned() },
        Ok(drilled) => {
            let compared = drilled.compared.as_ref();
            let named = compared.iter().flat_map(|compared| &compared.differences);
            Drill::Restored {
                name,
                whole: is_whole(drilled),
                compared: compared.is_some(),
                paths: compared.map(|compared| compared.paths),
                bytes: compared.map(|compared| compared.bytes),
                entries: drilled.restored.counts.entries(),
                differing: compared.map_or(0, |compared| compared.total),
                differences: named.map(ToString::to_string).collect(),
                losses: (&drilled.restored.losses).into(),
            }
        }
    }
}
