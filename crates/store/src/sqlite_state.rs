//! State as a whole, as the engine sees it: each method is one read or one transaction.

use ctrlz_core::digest::Digest;
use ctrlz_core::id::SandboxId;
use ctrlz_core::sandbox::Sandbox;
use ctrlz_core::state::{Expected, StateKey, StateWrite};
use ctrlz_core::state_store::{
    GLOBAL, ImportConflict, Imported, Reseal, Resealed, SealedValue, StateFault, StateImport,
    StateRepair, StateStore, ValueCopies,
};
use ctrlz_core::store::{Durability, StoreError};

use crate::sqlite_store::SqliteStore;
use crate::state::{Value, check, import, mend, rekey};
use crate::{blobs, sandboxes, state};

impl StateStore for SqliteStore {
    fn global(&self) -> Result<Sandbox, StoreError> {
        match self.db.read("read the global state", |db| sandboxes::by_id(db, GLOBAL)) {
            Err(StoreError::NoSandbox(_)) => {
                self.db.write("make the global state", Durability::Process, sandboxes::make_global)
            }
            found => found,
        }
    }

    fn put_sealed(
        &self,
        sandbox: SandboxId,
        key: &StateKey,
        value: &SealedValue<'_>,
        expected: Expected,
    ) -> Result<u64, StoreError> {
        let value = Value::sealed(key, value)?;
        self.db.write("write state", Durability::Process, |tx| {
            state::put(tx, &self.actor, sandbox, key, Some(&value), expected)
        })
    }

    fn reseal(&self, reseal: &dyn Reseal) -> Result<Resealed, StoreError> {
        // Flushed: whoever is told that the old key is needed no more may throw it away.
        self.db.write("encrypt state anew", Durability::Machine, |tx| {
            rekey::reseal(tx, &self.actor, reseal)
        })
    }

    fn state_writes(&self, sandbox: SandboxId) -> Result<Vec<StateWrite>, StoreError> {
        self.db.read("read state", |db| state::writes(db, sandbox))
    }

    fn stored_value(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        self.db.read("read state", |db| blobs::read(db, &digest.bytes))
    }

    fn import_state(
        &self,
        imports: &[StateImport],
        values: &dyn ValueCopies,
        on_conflict: ImportConflict,
        dry_run: bool,
    ) -> Result<Imported, StoreError> {
        self.db.write("import state", Durability::Process, |tx| {
            import::import(tx, &self.actor, imports, values, on_conflict, dry_run)
        })
    }

    fn verify_state(&self, sandbox: SandboxId) -> Result<Vec<StateFault>, StoreError> {
        self.db.read("verify state", |db| {
            // So that entries, values and journal are of one moment.
            let moment = db.unchecked_transaction()?;
            check::verify(&moment, sandbox)
        })
    }

    fn compare_state(&self, sandbox: SandboxId) -> Result<Vec<StateFault>, StoreError> {
        self.db.read("compare state with the journal", |db| {
            let moment = db.unchecked_transaction()?;
            check::compare(&moment, sandbox)
        })
    }

    fn rebuild_state(
        &self,
        sandbox: SandboxId,
        drop_unknown: bool,
    ) -> Result<StateRepair, StoreError> {
        self.db.write("rebuild state", Durability::Machine, |tx| {
            mend::rebuild(tx, &self.actor, sandbox, drop_unknown)
        })
    }

    fn repair_state(
        &self,
        sandbox: SandboxId,
        copies: &dyn ValueCopies,
    ) -> Result<StateRepair, StoreError> {
        self.db.write("repair state", Durability::Machine, |tx| {
            mend::repair(tx, &self.actor, sandbox, copies)
        })
    }
}
