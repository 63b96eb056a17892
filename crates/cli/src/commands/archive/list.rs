//! `ctrlz archive ls`, `rm` and `gc`.

use std::time::Duration;

use ctrlz_archive::archiver::Archiver;
use ctrlz_archive::collect::{Collecting, collect as collect_place};
use ctrlz_archive::layer::LayerOptions;
use ctrlz_archive::snapshot::{Listed, list as list_place};
use ctrlz_core::size::ByteSize;
use ctrlz_core::workspace::WorkspaceDriver;
use serde_json::{Value, json};

use super::checked::{self, Automatic, Checks};
use super::setting::Setting;
use super::yielding::Wanted;
use crate::Answer;
use crate::arguments::{FromArgument, KeyArguments};
use crate::context::Context;
use crate::failure::{Failure, OWN_FAILURE};
use crate::show::{self, plain, print_table};

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
    if json {
        let snapshots: Vec<Value> = snapshots.iter().map(|one| as_json(one, &checks)).collect();
        let faults: Vec<Value> = listing
            .faults
            .iter()
            .map(|(name, error)| json!({ "name": name, "error": error.to_string() }))
            .collect();
        show::print_json(&[
            ("place", place.address().into()),
            ("snapshots", snapshots.into()),
            ("faults", faults.into()),
        ]);
    } else {
        let rows: Vec<Vec<String>> = snapshots.iter().map(|one| row(one, &checks)).collect();
        let columns = ["NAME", "TAKEN", "SIZE", "ENCRYPTED", "AUTOMATIC"];
        print_table(&columns, &rows, "no snapshots in the archive");
        for (name, lost) in snapshots.iter().filter_map(lost_of) {
            println!("{}: {lost} could not be archived; `ctrlz verify` tells what", plain(name));
        }
        for (name, error) in &listing.faults {
            println!("{}: {}", plain(name), plain(&error.to_string()));
        }
    }
    if listing.faults.is_empty() { show::done() } else { Ok(1) }
}

fn row(listed: &Listed, checks: &Checks) -> Vec<String> {
    let name = listed.name.clone();
    vec![
        name.unwrap_or_else(|| format!("{} (no key for its name)", listed.reference)),
        listed.created.clone().unwrap_or_else(|| "-".to_owned()),
        ByteSize(listed.size).to_string(),
        if listed.encrypted { "yes" } else { "no" }.to_owned(),
        checks.automatic(&listed.reference).map_or("-", Automatic::word).to_owned(),
    ]
}

/// Of a snapshot in which not all could be kept, its name and how many things are not.
fn lost_of(listed: &Listed) -> Option<(&str, u64)> {
    let lost = listed.losses.filter(|lost| *lost > 0)?;
    Some((listed.name.as_deref().unwrap_or(&listed.reference), lost))
}

fn as_json(listed: &Listed, checks: &Checks) -> Value {
    json!({
        "name": listed.name,
        "reference": listed.reference,
        "created": listed.created,
        "bytes": listed.size,
        "encrypted": listed.encrypted,
        "not_archived": listed.losses,
        "automatic": checks.automatic(&listed.reference).map(Automatic::word),
        "manifest": listed.descriptor.digest.to_string(),
    })
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
    if json {
        show::print_json(&[("removed", names.to_vec().into())]);
    } else {
        for name in names {
            println!("{} is no longer in the archive", plain(name));
        }
        println!("`ctrlz archive gc` gives back the space that nothing needs now");
    }
    show::done()
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
    if json {
        let both = |(blobs, bytes): (u64, u64)| json!({ "blobs": blobs, "bytes": bytes });
        show::print_json(&[
            ("dry_run", dry_run.into()),
            ("kept", both(done.kept)),
            ("young", both(done.young)),
            ("removed", both(done.removed)),
            ("unfinished", both(done.unfinished)),
        ]);
        return show::done();
    }
    let would = if dry_run { "would be " } else { "" };
    let (blobs, bytes) = done.removed;
    println!("{blobs} blobs ({}) {would}removed", ByteSize(bytes));
    if done.unfinished.0 > 0 {
        let (files, bytes) = done.unfinished;
        println!("{files} unfinished ones ({}) {would}removed", ByteSize(bytes));
    }
    println!("{} blobs ({}) are needed", done.kept.0, ByteSize(done.kept.1));
    if done.young.0 > 0 {
        let (blobs, bytes) = done.young;
        println!("{blobs} blobs ({}) are too young to go; --now takes them", ByteSize(bytes));
    }
    show::done()
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
