//! `ctrlz verify` and `ctrlz drill`: whether what is archived can be restored.

use std::collections::BTreeMap;
use std::time::Duration;

use ctrlz_archive::archiver::{Drilled, drill as drill_one};
use ctrlz_archive::crypt::Keyring;
use ctrlz_archive::place::Place;
use ctrlz_archive::snapshot::{Listed, Listing, Snapshot, list};
use ctrlz_archive::verify::{Verifying, discard, verify as verify_place};
use ctrlz_archive::{ArchiveError, Losses};
use ctrlz_core::size::ByteSize;
use serde_json::{Value, json};

use super::progress::Progress;
use super::scratch::Scratch;
use super::setting::Setting;
use super::snapshot_name::parted;
use super::{bring, checked, failure, losses, not_archived, shown};
use crate::Answer;
use crate::arguments::{DrillArguments, VerifyArguments};
use crate::clock;
use crate::context::Context;
use crate::failure::{Failure, OWN_FAILURE};
use crate::show::{self, plain};

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
    let code = u8::from(!done.faults.is_empty());
    if json {
        let faults: Vec<Value> = done
            .faults
            .iter()
            .map(|fault| {
                json!({
                    "names": fault.names,
                    "blob": fault.blob.map(|digest| digest.to_string()),
                    "error": fault.error.to_string(),
                })
            })
            .collect();
        show::print_json(&[
            ("place", place.address().into()),
            ("names", done.names.into()),
            ("read_blobs", done.read.0.into()),
            ("read_bytes", done.read.1.into()),
            ("left_out_blobs", done.left_out.0.into()),
            ("left_out_bytes", done.left_out.1.into()),
            ("faults", faults.into()),
            ("not_archived", done.losses.iter().map(lost_of).collect()),
            ("discarded", removed.into()),
        ]);
        return Ok(code);
    }
    for fault in &done.faults {
        // Without its key, nothing is known of it.
        let word = match fault.error {
            ArchiveError::Sealed { .. } | ArchiveError::Key { .. } => "NOT OPENED",
            _ => "DAMAGED",
        };
        println!("{word}: {}: {}", fault.names.join(", "), plain(&fault.error.to_string()));
    }
    let (blobs, bytes) = done.read;
    let bad = done.faults.len();
    println!(
        "{} snapshots: {blobs} blobs ({}) read, {}",
        done.names,
        ByteSize(bytes),
        if bad == 0 { "all whole".to_owned() } else { format!("{bad} faults") }
    );
    for (name, lost) in &done.losses {
        println!("{}: {} could not be archived", plain(name), lost.total);
        not_archived(Some(lost));
    }
    if done.left_out.0 > 0 {
        println!("  {} blobs ({}) left for other days", done.left_out.0, ByteSize(done.left_out.1));
    }
    if removed > 0 {
        println!("  {removed} damaged blobs removed; `ctrlz push` brings them again");
    }
    Ok(code)
}

/// What could not be kept in the snapshot of that name.
fn lost_of((name, lost): &(String, Losses)) -> Value {
    json!({ "name": name, "losses": shown(lost) })
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
    let mut results = Vec::new();
    let mut failed = false;
    if arguments.names.is_empty() {
        for (name, error) in &listing.faults {
            let unread = Err(Failure::caused(OWN_FAILURE, "archive-damaged", error));
            failed = true;
            match json {
                true => results.push(as_json(name, &unread)),
                false => tell(name, &unread),
            }
        }
    }
    for name in &names {
        let drilled = drill_named(place.as_ref(), keys.as_ref(), &scratch, name);
        if is_own {
            note(&setting, place.as_ref(), (&listing, name), &drilled);
        }
        failed |= !matches!(&drilled, Ok(drilled) if is_whole(drilled));
        if json {
            results.push(as_json(name, &drilled));
        } else {
            tell(name, &drilled);
        }
    }
    if json {
        show::print_json(&[("place", place.address().into()), ("drills", results.into())]);
    } else if names.is_empty() && listing.faults.is_empty() {
        println!("no snapshots in the archive");
    }
    Ok(u8::from(failed))
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

fn tell(name: &str, drilled: &Result<Drilled, Failure>) {
    let name = plain(name);
    match drilled {
        Err(failure) => println!("{name}: CANNOT BE RESTORED: {}", plain(failure.message())),
        Ok(drilled) => {
            match &drilled.compared {
                Some(compared) if compared.total == 0 => println!(
                    "{name}: restored and compared: {} paths, {}, all as archived",
                    compared.paths,
                    ByteSize(compared.bytes)
                ),
                Some(compared) => {
                    println!("{name}: restored, and DIFFERS at {} places", compared.total);
                    for difference in compared.differences.iter().take(20) {
                        println!("  {}", plain(&difference.to_string()));
                    }
                }
                None => println!(
                    "{name}: restored: {} entries; it has no listing to be compared with",
                    drilled.restored.counts.entries()
                ),
            }
            losses(&drilled.restored.losses);
        }
    }
}

fn as_json(name: &str, drilled: &Result<Drilled, Failure>) -> Value {
    match drilled {
        Err(failure) => json!({ "name": name, "whole": false, "error": failure.message() }),
        Ok(drilled) => {
            let differences: Vec<String> = drilled
                .compared
                .iter()
                .flat_map(|compared| &compared.differences)
                .map(ToString::to_string)
                .collect();
            json!({
                "name": name,
                "whole": is_whole(drilled),
                "compared": drilled.compared.is_some(),
                "paths": drilled.compared.as_ref().map(|compared| compared.paths),
                "bytes": drilled.compared.as_ref().map(|compared| compared.bytes),
                "differences": differences,
                "losses": shown(&drilled.restored.losses),
            })
        }
    }
}
