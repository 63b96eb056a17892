//! The event log: a chain of CloudEvents, appended to in the transaction of what they tell.
//!
//! Row 0 is the log's source, a random UUID; every later row is one event's JSON, which names the
//! SHA-256 of the row before it. Nothing is ever changed in place.

use ctrlz_core::actor::Actor;
use ctrlz_core::digest::Digest;
use ctrlz_core::event::{Event, Happening};
use ctrlz_core::id::SandboxId;
use ctrlz_core::snapshot::Point;
use ctrlz_core::store::{LogHead, LoggedEvent};
use ctrlz_core::time::Timestamp;
use rusqlite::{Connection, Row, Transaction, params};
use sha2::{Digest as _, Sha256};

use crate::fault::Fault;
use crate::rows::json;

/// The digest of a point: the SHA-256 of its tree's text, a line feed, and its state version in
/// decimal digits.
pub(crate) fn digest(point: &Point) -> Digest {
    let mut hasher = Sha256::new();
    hasher.update(point.tree.0.as_bytes());
    hasher.update(b"\n");
    hasher.update(point.state_version.to_string().as_bytes());
    Digest::sha256(hasher.finalize().into())
}

/// Appends one event; answers its number.
pub(crate) fn append(
    tx: &Transaction<'_>,
    actor: &Actor,
    subject: Option<&str>,
    time: Timestamp,
    happening: Happening,
) -> Result<i64, Fault> {
    let (source, last, previous) = tx
        .prepare_cached(
            "SELECT (SELECT body FROM events WHERE seq = 0), seq, body
             FROM events ORDER BY seq DESC LIMIT 1",
        )?
        .query_row([], |row| {
            let body = row.get_ref(2)?.as_str()?;
            let previous = Digest::sha256(Sha256::digest(body).into());
            Ok((row.get(0)?, row.get::<_, i64>(1)?, previous))
        })?;
    let number = last + 1;
    let event = Event {
        specversion: "1.0".to_owned(),
        id: number.to_string(),
        source,
        subject: subject.map(str::to_owned),
        time: time.rfc3339_nanoseconds(),
        authtype: actor.kind,
        authid: actor.id.clone(),
        sequence: format!("{number:019}"),
        prevhash: previous.hex(),
        happening,
    };
    tx.prepare_cached("INSERT INTO events(seq, body) VALUES(?1, ?2)")?
        .execute(params![number, json(&event, "an event")?])?;
    Ok(number)
}

/// The events after `after`, oldest first, at most `limit`.
pub(crate) fn read(db: &Connection, after: i64, limit: u32) -> Result<Vec<LoggedEvent>, Fault> {
    let mut statement = db.prepare_cached(
        "SELECT seq, body FROM events WHERE seq > max(?1, 0) ORDER BY seq LIMIT ?2",
    )?;
    let rows = statement.query_map(params![after, limit], |row| {
        Ok(LoggedEvent { number: row.get(0)?, text: row.get(1)? })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The log's source, and the number of its last event.
pub(crate) fn head(db: &Connection) -> Result<LogHead, Fault> {
    let mut statement = db.prepare_cached(
        "SELECT (SELECT body FROM events WHERE seq = 0), (SELECT max(seq) FROM events)",
    )?;
    let head = |row: &Row<'_>| Ok(LogHead { source: row.get(0)?, last: row.get(1)? });
    Ok(statement.query_row([], head)?)
}

/// The name of a sandbox, for what is told about it.
pub(crate) fn name(db: &Connection, sandbox: SandboxId) -> Result<Option<String>, Fault> {
    let mut statement = db.prepare_cached("SELECT name FROM sandboxes WHERE id = ?1")?;
    let mut found = statement.query([sandbox.0])?;
    Ok(found.next()?.map(|row| row.get(0)).transpose()?)
}
