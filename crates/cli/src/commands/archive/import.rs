//! `ctrlz import`: a snapshot from a file.

use std::path::Path;

use ctrlz_archive::place::{Bundle, Directory, Place};
use ctrlz_archive::snapshot::{Snapshot, list};

use super::bring::{self, Source};
use super::setting::Setting;
use crate::Answer;
use crate::arguments::ImportArguments;
use crate::context::Context;
use crate::failure::{Failure, REFUSED};

/// A file that can be read again and again, which a FIFO or a device cannot.
fn regular(path: &Path) -> Result<&Path, Failure> {
    if path.metadata().is_ok_and(|found| !found.is_file()) {
        let message = format!("{} is neither a file nor a folder", path.display());
        return Err(Failure::new(REFUSED, "no-file", message));
    }
    Ok(path)
}

pub(crate) fn import(arguments: &ImportArguments, json: bool) -> Answer {
    let context = Context::open()?;
    let setting = Setting::read(&context)?;
    let place: Box<dyn Place> = match arguments.file.is_dir() {
        true => Box::new(Directory::open(&arguments.file)?),
        false => Box::new(Bundle::open(regular(&arguments.file)?)?),
    };
    let place = place.as_ref();
    let keys = setting.keys(place, &arguments.keys)?;
    let snapshot = match &arguments.name {
        Some(name) => Snapshot::find(place, name, keys.as_ref())?,
        None => {
            let listing = list(place, keys.as_ref())?;
            if let Some((_, error)) = listing.faults.into_iter().next() {
                return Err(error.into());
            }
            let names: Vec<String> = listing
                .snapshots
                .iter()
                .map(|listed| listed.name.clone().unwrap_or_else(|| listed.reference.clone()))
                .collect();
            match listing.snapshots.as_slice() {
                [only] => Snapshot::read(place, &only.reference, keys.as_ref())?,
                [] => {
                    let message =
                        format!("no snapshot of ctrlz is in {}", arguments.file.display());
                    return Err(Failure::new(REFUSED, "no-snapshot", message)
                        .hint("an image of others is a root: `ctrlz run --root FILE -- COMMAND`"));
                }
                _ => {
                    let message = format!("there are several in {}", arguments.file.display());
                    return Err(Failure::new(REFUSED, "several-snapshots", message)
                        .details(names)
                        .hint("choose one with --name"));
                }
            }
        }
    };
    let source = Source { place, keys: keys.as_ref(), snapshot: &snapshot };
    bring::bring(&context, &source, &arguments.destination, json)
}
