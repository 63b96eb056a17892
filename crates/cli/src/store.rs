//! The store that commands use.

use std::path::Path;

use ctrlz_core::actor::Actor;
use ctrlz_core::store::StoreError;
use ctrlz_store::SqliteStore;

use crate::actor;

/// What [`open`] answers.
#[cfg(not(feature = "faults"))]
pub(crate) type OpenStore = SqliteStore;

/// What [`open`] answers.
#[cfg(feature = "faults")]
pub(crate) type OpenStore = ctrlz_testkit::fault_store::FaultStore<SqliteStore>;

/// Opens the store in `directory` for the user; makes it when there is none.
pub(crate) fn open(directory: &Path) -> Result<OpenStore, StoreError> {
    open_as(directory, actor::current())
}

/// Opens the store in `directory` for whoever acts; makes it when there is none.
#[cfg(not(feature = "faults"))]
pub(crate) fn open_as(directory: &Path, actor: Actor) -> Result<OpenStore, StoreError> {
    Ok(SqliteStore::open(directory)?.acting_as(actor))
}

/// The same, with the fault that `CTRLZ_STORE_FAULT` asks for: `N:before` and
/// `N:after` kill the process around the N-th call (from 1), `N:fail` lets that call fail.
#[cfg(feature = "faults")]
pub(crate) fn open_as(directory: &Path, actor: Actor) -> Result<OpenStore, StoreError> {
    use ctrlz_testkit::fault_store::{FaultStore, StoreFault};
    let store = SqliteStore::open(directory)?.acting_as(actor);
    let text = std::env::var("CTRLZ_STORE_FAULT").unwrap_or_default();
    let plan = text.split_once(':').and_then(|(call, action)| {
        let fault = match action {
            "before" => StoreFault::KillBefore,
            "after" => StoreFault::KillAfter,
            "fail" => StoreFault::Fail,
            _ => return None,
        };
        Some((call.parse().ok()?, fault))
    });
    Ok(match plan {
        Some((call, fault)) => FaultStore::new(store, call, fault),
        None => FaultStore::counting(store),
    })
}

/// The store itself, to set it up.
#[cfg(not(feature = "faults"))]
pub(crate) fn inner(store: &mut OpenStore) -> &mut SqliteStore {
    store
}

/// The store itself, to set it up.
#[cfg(feature = "faults")]
pub(crate) fn inner(store: &mut OpenStore) -> &mut SqliteStore {
    store.inner_mut()
}
