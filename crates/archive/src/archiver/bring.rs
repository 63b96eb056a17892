//! Snapshots at rest, brought back.

use std::fs::{self, File};
use std::io::{BufReader, Read, Seek, Write};
use std::path::Path;

use ctrlz_core::digest::Digest;

use super::record::{Record, Whole};
use crate::crypt::Keyring;
use crate::image::Role;
use crate::layer::read_members;
use crate::listing::{Compared, Scope, compare};
use crate::place::{self, Place};
use crate::snapshot::{LayerReader, Snapshot};
use crate::unpack::{Ownership, Restored};
use crate::{ArchiveError, Descriptor, Limits, Restore, Target};

/// Where a snapshot's state lies in its layer.
pub(super) const STATE: &str = ".ctrlz/state.jsonl";

/// How large a state may be.
const MOST_STATE: u64 = 4 << 30;

/// Calls `read` with a layer, all of which is then checked. What is wrong with the blob is told
/// before what that led to.
fn with_layer<T>(
    place: &dyn Place,
    layer: &Descriptor,
    keys: Option<&Keyring>,
    read: impl FnOnce(&mut LayerReader) -> Result<T, ArchiveError>,
) -> Result<T, ArchiveError> {
    let mut reader = Snapshot::open_layer(place, layer, keys)?;
    match read(&mut reader) {
        Ok(found) => reader.finish().map(|()| found),
        Err(error) => {
            let blob =
                matches!(error, ArchiveError::Malformed { .. } | ArchiveError::Refused { .. });
            match reader.finish() {
                Err(damaged) if blob => Err(damaged),
                _ => Err(place::naming(layer, error)),
            }
        }
    }
}

/// The layer with that role, of which there is at most one.
fn only(snapshot: &Snapshot, role: Role) -> Result<Option<&Descriptor>, ArchiveError> {
    let layers = snapshot.layers()?;
    Ok(layers.into_iter().find(|(found, _)| *found == role).map(|(_, layer)| layer))
}

fn read_record(
    place: &dyn Place,
    snapshot: &Snapshot,
    keys: Option<&Keyring>,
    listing: Option<&mut dyn Write>,
) -> Result<Whole, ArchiveError> {
    let missing = || ArchiveError::malformed("the manifest", "it has no record");
    let layer = only(snapshot, Role::Record)?.ok_or_else(missing)?;
    let whole = with_layer(place, layer, keys, |reader| Record::read(reader, listing))?;
    let sealed = snapshot.layers()?.iter().filter(|(role, _)| *role == Role::Sealed).count();
    if whole.0.layers.len() != sealed {
        let told = whole.0.layers.len();
        let why = format!("it tells of {told} sealed layers, the manifest of {sealed}");
        return Err(ArchiveError::malformed("the record", why));
    }
    whole.0.check_name(&snapshot.name)?;
    Ok(whole)
}

/// Reads a snapshot's record.
///
/// # Errors
/// When it is damaged, malformed, of a snapshot of another name, or cannot be decrypted.
pub fn whole_record(
    place: &dyn Place,
    snapshot: &Snapshot,
    keys: Option<&Keyring>,
) -> Result<Whole, ArchiveError> {
    read_record(place, snapshot, keys, None)
}

/// Reads a snapshot's state; `None` when it has none.
///
/// # Errors
/// When it is damaged, malformed, too large, or cannot be decrypted.
pub fn state_of(
    place: &dyn Place,
    snapshot: &Snapshot,
    keys: Option<&Keyring>,
) -> Result<Option<Vec<u8>>, ArchiveError> {
    let Some(layer) = only(snapshot, Role::State)? else { return Ok(None) };
    let mut state = None;
    with_layer(place, layer, keys, |reader| {
        read_members(reader, &Limits::default(), |entry, data| {
            if entry.path.as_path() == Path::new(STATE) {
                state = Some(read_state(data)?);
            }
            Ok(())
        })
    })?;
    state.map(Some).ok_or_else(|| ArchiveError::malformed("the state", "it is not there"))
}

fn read_state(data: &mut dyn Read) -> Result<Vec<u8>, ArchiveError> {
    let mut bytes = Vec::new();
    let mut limited = data.take(MOST_STATE + 1);
    limited.read_to_end(&mut bytes).map_err(|error| ArchiveError::stream("read", error))?;
    if bytes.len() as u64 > MOST_STATE {
        let why = format!("it has more than {MOST_STATE} bytes");
        return Err(ArchiveError::malformed("the state", why));
    }
    Ok(bytes)
}

/// Restores a snapshot's files: the layers of `roles`.
///
/// # Errors
/// When a layer is missing, damaged or refused, or something cannot be made. Nothing lies at the
/// target then.
pub fn restore(
    place: &dyn Place,
    snapshot: &Snapshot,
    keys: Option<&Keyring>,
    target: Target,
    roles: &[Role],
) -> Result<Restored, ArchiveError> {
    apply(place, keys, target, &of_roles(snapshot, roles)?)
}

/// A snapshot's layers of those roles, from the lowest on, each with the digest of its tar.
fn of_roles<'s>(
    snapshot: &'s Snapshot,
    roles: &[Role],
) -> Result<Vec<(&'s Descriptor, Option<Digest>)>, ArchiveError> {
    let layers = snapshot.layers()?.into_iter().zip(&snapshot.config.rootfs.diff_ids);
    let wanted = layers.filter(|((role, _), _)| roles.contains(role));
    Ok(wanted.map(|((_, layer), diff_id)| (layer, Some(*diff_id))).collect())
}

/// Restores one sealed layer, counted from the lowest.
///
/// # Errors
/// As [`restore`].
pub fn restore_layer(
    place: &dyn Place,
    snapshot: &Snapshot,
    keys: Option<&Keyring>,
    target: Target,
    index: usize,
) -> Result<Restored, ArchiveError> {
    let Some(layer) = of_roles(snapshot, &[Role::Sealed])?.into_iter().nth(index) else {
        let why = format!("it has no sealed layer {index}");
        return Err(ArchiveError::malformed("the manifest", why));
    };
    apply(place, keys, target, &[layer])
}

fn apply(
    place: &dyn Place,
    keys: Option<&Keyring>,
    target: Target,
    layers: &[(&Descriptor, Option<Digest>)],
) -> Result<Restored, ArchiveError> {
    let limits = Limits::default();
    let mut restore = Restore::begin(target)?;
    for (layer, diff_id) in layers {
        with_layer(place, layer, keys, |reader| restore.apply(reader, &limits, diff_id.as_ref()))?;
    }
    if restore.is_incomplete() {
        for (index, (layer, diff_id)) in layers.iter().enumerate() {
            with_layer(place, layer, keys, |reader| {
                restore.apply_again(index, reader, &limits, diff_id.as_ref())
            })?;
        }
    }
    restore.finish()
}

/// What a drill came to.
#[derive(Debug)]
pub struct Drilled {
    /// What was restored.
    pub restored: Restored,
    /// How it compares with what was archived; `None` for a snapshot without a listing, which is
    /// restored only.
    pub compared: Option<Compared>,
    /// The state, which is read as well.
    pub state: Option<Vec<u8>>,
}

/// Restores a snapshot into `scratch`, which must not exist, compares it file by file with its
/// listing, and removes it again.
///
/// # Errors
/// When it cannot be restored, or the listing is not the one that the record tells of.
pub fn drill(
    place: &dyn Place,
    snapshot: &Snapshot,
    keys: Option<&Keyring>,
    scratch: &Path,
) -> Result<Drilled, ArchiveError> {
    let listing_path = scratch.with_extension("listing");
    let mut options = File::options();
    let opened = options.create_new(true).read(true).write(true).open(&listing_path);
    let mut listing = opened.map_err(ArchiveError::io("create", &listing_path))?;
    // It needs no name.
    fs::remove_file(&listing_path).map_err(ArchiveError::io("remove", &listing_path))?;
    let (record, _) = read_record(place, snapshot, keys, Some(&mut listing))?;
    let target = Target {
        durable: false,
        devices: crate::unpack::Devices::Make,
        ..Target::new(scratch.to_owned())
    };
    let mine = target.ownership == Ownership::Mine;
    let state = state_of(place, snapshot, keys)?;
    let restored = restore(place, snapshot, keys, target, &[Role::Base, Role::Sealed])?;
    let compared = match record.tree {
        None => Ok(None),
        Some(tree) => compare_with(&mut listing, &tree, scratch, mine).map(Some),
    };
    let removed = crate::unpack::remove_tree(scratch);
    let drilled = Drilled { restored, compared: compared?, state };
    removed.map(|()| drilled)
}

fn compare_with(
    listing: &mut File,
    tree: &Digest,
    directory: &Path,
    mine: bool,
) -> Result<Compared, ArchiveError> {
    let stream = |error| ArchiveError::stream("read", error);
    listing.rewind().map_err(stream)?;
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(&mut *listing).map_err(stream)?;
    if Digest::blake3(*hasher.finalize().as_bytes()) != *tree {
        let why = "it is not the one that the record tells of";
        return Err(ArchiveError::malformed("the listing", why));
    }
    listing.rewind().map_err(stream)?;
    let scope = Scope { owner: !mine, privileged: !mine };
    compare(BufReader::new(listing), directory, scope)
}
