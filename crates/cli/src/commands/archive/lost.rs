//! Parts of trees that are missing here, fetched from the archive.

use std::path::Path;

use ctrlz_archive::archiver::{restore_layer, whole_record};
use ctrlz_archive::crypt::Keyring;
use ctrlz_archive::image::{Role, annotation};
use ctrlz_archive::place::Place;
use ctrlz_archive::snapshot::{Snapshot, list};
use ctrlz_core::archive::Arrival;

use super::bring::layer_target;
use super::setting::Setting;
use crate::arguments::KeyArguments;
use crate::failure::Failure;

/// Restores the part `id` below `landing`, from the archive of this host or from a copy of it;
/// `None` when none has it.
pub(crate) fn lost(store: &Path, id: &str, landing: &Path) -> Result<Option<Arrival>, String> {
    let told = |failure: Failure| failure.in_words();
    let setting = Setting::of(store).map_err(told)?;
    let given = KeyArguments::default();
    let mut wrong = Vec::new();
    for address in setting.everywhere() {
        let found = setting.open(address).and_then(|place| {
            let keys = setting.keys(place.as_ref(), &given)?;
            fetch(place.as_ref(), keys.as_ref(), id, landing, &mut wrong)
        });
        match found {
            Ok(Some(arrival)) => return Ok(Some(arrival)),
            Ok(None) => {}
            Err(failure) => wrong.push(told(failure)),
        }
    }
    if wrong.is_empty() { Ok(None) } else { Err(wrong.join("; ")) }
}

fn fetch(
    place: &dyn Place,
    keys: Option<&Keyring>,
    id: &str,
    landing: &Path,
    wrong: &mut Vec<String>,
) -> Result<Option<Arrival>, Failure> {
    for listed in list(place, keys)?.snapshots {
        let Ok(snapshot) = Snapshot::read(place, &listed.reference, keys) else { continue };
        let sealed = snapshot.layers()?.into_iter().filter(|(role, _)| *role == Role::Sealed);
        let has = |(_, layer): &(usize, (Role, &ctrlz_archive::Descriptor))| {
            layer.1.annotations.get(annotation::LAYER_ID).is_some_and(|name| name == id)
        };
        let Some((index, _)) = sealed.enumerate().find(has) else { continue };
        match restored(place, keys, &snapshot, (id, index), landing) {
            Ok(arrival) => return Ok(Some(arrival)),
            // Another snapshot may have it in another blob.
            Err(failure) => wrong.push(failure.in_words()),
        }
    }
    Ok(None)
}

fn restored(
    place: &dyn Place,
    keys: Option<&Keyring>,
    snapshot: &Snapshot,
    (id, index): (&str, usize),
    landing: &Path,
) -> Result<Arrival, Failure> {
    let (record, drivers) = whole_record(place, snapshot, keys)?;
    let layer = record.layers.get(index).filter(|layer| layer.id.as_deref() == Some(id));
    let malformed = || {
        let why = format!("it does not tell of layer {id} what the manifest does");
        ctrlz_archive::ArchiveError::Malformed { what: "the record", why }
    };
    let layer = layer.ok_or_else(malformed)?;
    let directory = landing.join(format!("{index}-{}", snapshot.descriptor.digest.hex()));
    let target = layer_target(directory.clone(), &record, layer.whole);
    let done = restore_layer(place, snapshot, keys, target, index)?;
    super::bring::refuse_losses(&done.losses)?;
    let record = drivers.into_iter().nth(index).flatten();
    Ok(Arrival { id: Some(id.to_owned()), directory, root: layer.root, record })
}
