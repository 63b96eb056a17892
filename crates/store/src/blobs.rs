//! Values by content: equal values are stored once, under their BLAKE3 hash.

use ctrlz_core::id::SandboxId;
use rusqlite::{Connection, Transaction, params};

use crate::fault::Fault;

/// A value's hash.
pub(crate) type Hash = [u8; 32];

pub(crate) fn hash(bytes: &[u8]) -> Hash {
    *blake3::hash(bytes).as_bytes()
}

/// Stores a value. One that is there already is compared and, if it was damaged, made good.
pub(crate) fn store(tx: &Transaction<'_>, hash: &Hash, bytes: &[u8]) -> Result<(), Fault> {
    tx.prepare_cached(
        "INSERT INTO blobs(hash, bytes) VALUES(?1, ?2)
         ON CONFLICT(hash) DO UPDATE SET bytes = excluded.bytes WHERE bytes <> excluded.bytes",
    )?
    .execute(params![hash.as_slice(), bytes])?;
    Ok(())
}

/// The value with that hash; `None` when it is gone or damaged.
pub(crate) fn read(db: &Connection, hash: &Hash) -> Result<Option<Vec<u8>>, Fault> {
    let mut statement = db.prepare_cached("SELECT bytes FROM blobs WHERE hash = ?1")?;
    let mut found = statement.query([hash.as_slice()])?;
    let Some(row) = found.next()? else { return Ok(None) };
    let bytes = row.get::<_, Vec<u8>>(0).ok();
    Ok(bytes.filter(|bytes| self::hash(bytes) == *hash))
}

/// Deletes the values that no other sandbox refers to.
pub(crate) fn remove_those_only_of(tx: &Transaction<'_>, sandbox: SandboxId) -> Result<(), Fault> {
    tx.execute(
        "DELETE FROM blobs
         WHERE hash IN (SELECT hash FROM state WHERE sandbox = ?1
                        EXCEPT SELECT hash FROM state WHERE sandbox <> ?1)",
        [sandbox.0],
    )?;
    Ok(())
}
