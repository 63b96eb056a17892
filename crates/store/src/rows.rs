//! Rows of the database as the types of `ctrlz_core`, and back.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use ctrlz_core::id::{OperationId, SandboxId, SnapshotId};
use ctrlz_core::name::SandboxName;
use ctrlz_core::operation::{Operation, Outcome, Request};
use ctrlz_core::sandbox::Sandbox;
use ctrlz_core::snapshot::{Point, Snapshot, SnapshotScope, Tag, Tree};
use ctrlz_core::state::StateEntry;
use ctrlz_core::state_store::GLOBAL;
use ctrlz_core::time::Timestamp;
use rusqlite::Row;
use serde::de::value::{Error as WordError, StrDeserializer};
use serde::de::{DeserializeOwned, IntoDeserializer};
use serde::{Deserialize, Serialize};

use crate::fault::{Fault, Refusal};
use crate::state::journal;

/// The columns that [`sandbox`] reads, in its order.
pub(crate) const SANDBOX: &str = "id, name, folder, root, base, driver, tree, state_version, created, used, open_operation, \
     guard, life";

/// The columns that [`operation`] reads, in its order.
pub(crate) const OPERATION: &str = "id, sandbox, kind, title, limits, target, status, before_tree, \
     before_version, after_tree, after_version, started, finished, outcome, verdict, writes";

/// The columns that [`snapshot`] reads, in its order.
pub(crate) const SNAPSHOT: &str = "id, sandbox, kind, message, operation, tree, state_version, created, scope, tags, good, \
     live";

/// The clock that a test has set.
#[cfg(feature = "faults")]
static CLOCK: std::sync::OnceLock<fn() -> Timestamp> = std::sync::OnceLock::new();

/// Lets this process' stores take the time from `clock`. For tests.
#[cfg(feature = "faults")]
pub fn set_clock(clock: fn() -> Timestamp) {
    let _ = CLOCK.set(clock);
}

/// Now.
pub(crate) fn now() -> Timestamp {
    #[cfg(feature = "faults")]
    if let Some(clock) = CLOCK.get() {
        return clock();
    }
    let nanoseconds = match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |n| -n),
    };
    Timestamp(nanoseconds)
}

/// A version as SQLite keeps it. Versions count writes from 0, so they stay far below the limit.
pub(crate) fn sql_version(version: u64) -> i64 {
    i64::try_from(version).unwrap_or(i64::MAX)
}

/// A path's bytes.
pub(crate) fn path_bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes()
}

/// `value` as JSON.
pub(crate) fn json<T: Serialize>(value: &T, what: &'static str) -> Result<String, Fault> {
    serde_json::to_string(value).map_err(|source| Fault::Refused(Refusal::Encode { what, source }))
}

pub(crate) fn sandbox(row: &Row<'_>) -> Result<Sandbox, Fault> {
    let id = SandboxId(row.get(0)?);
    let name = match id {
        GLOBAL => SandboxName::of_no_sandbox(),
        _ => parse(row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?, "a sandbox's name")?,
    };
    Ok(Sandbox {
        id,
        name,
        folder: row.get::<_, Option<Vec<u8>>>(2)?.map(path),
        root: from_json(row, 3, "a root")?,
        base: path(row.get(4)?),
        driver: row.get(5)?,
        point: Point { tree: Tree(row.get(6)?), state_version: version(row, 7)? },
        created: Timestamp(row.get(8)?),
        used: Timestamp(row.get(9)?),
        open_operation: row.get::<_, Option<i64>>(10)?.map(OperationId),
        guard: optional_json(row, 11, "a guard")?,
        life: optional_json(row, 12, "a life")?,
    })
}

pub(crate) fn operation(row: &Row<'_>) -> Result<Operation, Fault> {
    let after = match row.get::<_, Option<String>>(9)? {
        Some(tree) => Some(Point { tree: Tree(tree), state_version: version(row, 10)? }),
        None => None,
    };
    let mut outcome: Outcome = optional_json(row, 13, "an outcome")?;
    if let Some(writes) = row.get_ref(15)?.as_str_or_null().map_err(rusqlite::Error::from)? {
        outcome.state = journal::parse(writes)?;
    }
    Ok(Operation {
        id: OperationId(row.get(0)?),
        request: Request {
            sandbox: SandboxId(row.get(1)?),
            kind: word(row, 2, "a kind of operation")?,
            title: row.get(3)?,
            limits: optional_json(row, 4, "limits")?,
            target: row.get::<_, Option<i64>>(5)?.map(OperationId),
            verdict: optional_json(row, 14, "a verdict")?,
        },
        status: word(row, 6, "a status")?,
        before: Point { tree: Tree(row.get(7)?), state_version: version(row, 8)? },
        after,
        started: Timestamp(row.get(11)?),
        finished: row.get::<_, Option<i64>>(12)?.map(Timestamp),
        outcome,
    })
}

pub(crate) fn snapshot(row: &Row<'_>) -> Result<Snapshot, Fault> {
    Ok(Snapshot {
        id: SnapshotId(row.get(0)?),
        sandbox: SandboxId(row.get(1)?),
        kind: word(row, 2, "a kind of snapshot")?,
        message: row.get(3)?,
        operation: OperationId(row.get(4)?),
        point: Point { tree: Tree(row.get(5)?), state_version: version(row, 6)? },
        created: Timestamp(row.get(7)?),
        scope: match row.get_ref(8)? {
            rusqlite::types::ValueRef::Null => SnapshotScope::Full,
            _ => word(row, 8, "a scope")?,
        },
        tags: tags(row, 9)?,
        good: row.get::<_, Option<i64>>(10)?.map(Timestamp),
        live: optional_json(row, 11, "how a snapshot was taken")?,
    })
}

/// A column that holds tags, with a space between them.
fn tags(row: &Row<'_>, column: usize) -> Result<BTreeSet<Tag>, Fault> {
    match row.get_ref(column)? {
        rusqlite::types::ValueRef::Null => Ok(BTreeSet::new()),
        text => {
            let text = text.as_str().map_err(rusqlite::Error::from)?;
            text.split_whitespace().map(|tag| parse(tag, "a tag")).collect()
        }
    }
}

/// Tags as [`tags`] reads them.
pub(crate) fn sql_tags(tags: &BTreeSet<Tag>) -> Option<String> {
    let words: Vec<&str> = tags.iter().map(Tag::as_str).collect();
    (!words.is_empty()).then(|| words.join(" "))
}

/// An entry without its value, from the columns key, version, hash, size, written, sealed.
pub(crate) fn state_entry(row: &Row<'_>) -> Result<StateEntry, Fault> {
    let key = row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?;
    Ok(StateEntry {
        key: parse(key, "a state key")?,
        version: version(row, 1)?,
        value: None,
        deleted: row.get_ref(2)? == rusqlite::types::ValueRef::Null,
        size: version(row, 3)?,
        written: Timestamp(row.get(4)?),
        sealed: match row.get_ref(5)?.as_str_or_null().map_err(rusqlite::Error::from)? {
            Some(text) => Some(parse(text, "the id of a key")?),
            None => None,
        },
    })
}

/// A column that holds a count from 0.
pub(crate) fn version(row: &Row<'_>, column: usize) -> Result<u64, Fault> {
    let number: i64 = row.get(column)?;
    u64::try_from(number).map_err(|source| bad_row("a count", number.to_string(), source).into())
}

fn path(bytes: Vec<u8>) -> PathBuf {
    PathBuf::from(OsString::from_vec(bytes))
}

fn parse<T>(text: &str, what: &'static str) -> Result<T, Fault>
where
    T: std::str::FromStr,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    text.parse().map_err(|source: T::Err| bad_row(what, text.to_owned(), source).into())
}

/// A unit variant by the word that serde gives it, which is also the `word()` of the enums.
pub(crate) fn word<T: for<'de> Deserialize<'de>>(
    row: &Row<'_>,
    column: usize,
    what: &'static str,
) -> Result<T, Fault> {
    let text = row.get_ref(column)?.as_str().map_err(rusqlite::Error::from)?;
    let words: StrDeserializer<'_, WordError> = text.into_deserializer();
    T::deserialize(words).map_err(|source| bad_row(what, text.to_owned(), source).into())
}

fn from_json<T: DeserializeOwned>(
    row: &Row<'_>,
    column: usize,
    what: &'static str,
) -> Result<T, Fault> {
    let text = row.get_ref(column)?.as_str().map_err(rusqlite::Error::from)?;
    serde_json::from_str(text).map_err(|source| bad_row(what, text.to_owned(), source).into())
}

fn optional_json<T: DeserializeOwned + Default>(
    row: &Row<'_>,
    column: usize,
    what: &'static str,
) -> Result<T, Fault> {
    match row.get_ref(column)? {
        rusqlite::types::ValueRef::Null => Ok(T::default()),
        _ => from_json(row, column, what),
    }
}

pub(crate) fn bad_row(
    what: &'static str,
    text: String,
    source: impl std::error::Error + Send + Sync + 'static,
) -> Refusal {
    Refusal::BadRow { what, text, source: Box::new(source) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_read_back() {
        use ctrlz_core::operation::{OperationKind as K, Status as S};
        use ctrlz_core::snapshot::SnapshotKind as N;
        use ctrlz_core::snapshot::SnapshotScope as O;
        fn read<T: for<'de> Deserialize<'de>>(text: &str) -> T {
            let words: StrDeserializer<'_, WordError> = text.into_deserializer();
            T::deserialize(words).unwrap()
        }
        for kind in [
            K::Create,
            K::Run,
            K::Snapshot,
            K::Rollback,
            K::Commit,
            K::Discard,
            K::Undo,
            K::Redo,
            K::Fork,
            K::State,
            K::Rekey,
        ] {
            assert_eq!(read::<K>(kind.word()), kind);
        }
        for status in [S::Open, S::Done, S::Failed, S::Recovered, S::Undone, S::Blocked] {
            assert_eq!(read::<S>(status.word()), status);
        }
        for kind in [N::Manual, N::Automatic, N::PreOperation, N::PreRollback] {
            assert_eq!(read::<N>(kind.word()), kind);
        }
        for scope in [O::Full, O::Incremental, O::StateOnly] {
            assert_eq!(read::<O>(scope.word()), scope);
        }
    }

    #[test]
    fn the_clock_is_after_2020() {
        assert!(now().seconds() > 1_577_836_800);
    }
}
