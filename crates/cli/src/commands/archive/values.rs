//! Values of the state that the store lost, found in archived snapshots.

use std::collections::{HashMap, HashSet};

use ctrlz_archive::archiver::state_of;
use ctrlz_archive::crypt::Keyring;
use ctrlz_archive::place::Place;
use ctrlz_archive::snapshot::{Listed, Snapshot, list};
use ctrlz_core::digest::Digest;
use ctrlz_core::name::SandboxName;
use ctrlz_core::state_store::ValueCopies;

use super::bring::bundle;
use super::setting::Setting;
use super::snapshot_name::parted;
use crate::arguments::KeyArguments;
use crate::context::Context;
use crate::failure::Failure;

/// What the archive of this host and its copies have of the values that were asked for.
#[derive(Default)]
pub(crate) struct ArchivedValues {
    values: HashMap<Digest, Vec<u8>>,
    /// Which snapshot had how many of them, and where it lies.
    pub(crate) origins: Vec<Origin>,
    /// What could not be looked at, and why.
    pub(crate) unread: Vec<String>,
}

/// An archived snapshot that had values.
pub(crate) struct Origin {
    pub(crate) place: String,
    pub(crate) snapshot: String,
    pub(crate) values: usize,
}

impl ValueCopies for ArchivedValues {
    fn copy_of(&self, digest: &Digest) -> Option<Vec<u8>> {
        self.values.get(digest).cloned()
    }
}

/// Looks for values: in the archive of this host, then in its copies; in each, in the snapshots of
/// `sandbox` first, the newest before the older ones, then in those of others, which have the same
/// values where one was forked from the other. What cannot be read hides nothing else.
pub(crate) fn values(
    context: &Context,
    sandbox: &SandboxName,
    wanted: HashSet<Digest>,
) -> ArchivedValues {
    let mut search = Search { sandbox, wanted, found: ArchivedValues::default() };
    match Setting::read(context) {
        Err(failure) => search.found.unread.push(failure.in_words()),
        Ok(setting) => {
            for address in setting.everywhere() {
                if search.wanted.is_empty() {
                    break;
                }
                if let Err(failure) = search.place(&setting, address) {
                    search.found.unread.push(failure.in_words());
                }
            }
        }
    }
    search.found
}

struct Search<'a> {
    sandbox: &'a SandboxName,
    /// What is still to be found.
    wanted: HashSet<Digest>,
    found: ArchivedValues,
}

impl Search<'_> {
    fn place(&mut self, setting: &Setting, address: Option<&str>) -> Result<(), Failure> {
        let place = setting.open(address)?;
        let keys = setting.keys(place.as_ref(), &KeyArguments::default())?;
        let listing = list(place.as_ref(), keys.as_ref())?;
        let unread = listing.faults.into_iter().map(|(name, error)| format!("{name}: {error}"));
        self.found.unread.extend(unread);
        for listed in self.in_order(listing.snapshots) {
            if self.wanted.is_empty() {
                break;
            }
            if let Err(failure) = self.snapshot(place.as_ref(), keys.as_ref(), &listed) {
                let name = listed.name.unwrap_or(listed.reference);
                self.found.unread.push(format!("{name}: {}", failure.in_words()));
            }
        }
        Ok(())
    }

    fn in_order(&self, mut snapshots: Vec<Listed>) -> Vec<Listed> {
        let order = |listed: &Listed| {
            let (sandbox, number) = parted(listed.name.as_deref().unwrap_or(&listed.reference));
            (sandbox == self.sandbox.as_str(), listed.created.clone(), number)
        };
        snapshots.sort_by_cached_key(|listed| std::cmp::Reverse(order(listed)));
        snapshots
    }

    fn snapshot(
        &mut self,
        place: &dyn Place,
        keys: Option<&Keyring>,
        listed: &Listed,
    ) -> Result<(), Failure> {
        let snapshot = Snapshot::read(place, &listed.reference, keys)?;
        let Some(state) = state_of(place, &snapshot, keys)? else { return Ok(()) };
        let bundle = bundle(&state)?;
        let before = self.wanted.len();
        self.wanted.retain(|digest| match bundle.copy_of(digest) {
            Some(bytes) => {
                self.found.values.insert(*digest, bytes);
                false
            }
            None => true,
        });
        let values = before - self.wanted.len();
        if values > 0 {
            let (place, snapshot) = (place.address(), snapshot.name);
            self.found.origins.push(Origin { place, snapshot, values });
        }
        Ok(())
    }
}
