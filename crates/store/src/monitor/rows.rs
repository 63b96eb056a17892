//! The statements on `monitor.db`.

use std::time::Duration;

use ctrlz_core::id::{OperationId, SandboxId};
use ctrlz_core::monitor::{
    HistoryAges, OperationUsage, Reading, Resolution, RolledUp, Sampled, UsageRow, UsageTotals,
};
use ctrlz_core::span::Span;
use ctrlz_core::time::Timestamp;
use rusqlite::{Connection, Row, Transaction, params};

use crate::fault::Fault;

const SECOND: i64 = 1_000_000_000;

/// The columns of a [`UsageTotals`], in the order of [`totals`].
const TOTALS: &str = "samples, elapsed, cpu, read, written, received, sent, attempts, memory_sum,
     memory_peak, processes_sum, processes_peak, files_sum, files_peak";

/// What makes one row of `usage` of two.
const ADDED: &str = "
  samples = samples + excluded.samples, elapsed = elapsed + excluded.elapsed,
  cpu = cpu + excluded.cpu, read = read + excluded.read, written = written + excluded.written,
  received = received + excluded.received, sent = sent + excluded.sent,
  attempts = attempts + excluded.attempts, memory_sum = memory_sum + excluded.memory_sum,
  memory_peak = max(memory_peak, excluded.memory_peak),
  processes_sum = processes_sum + excluded.processes_sum,
  processes_peak = max(processes_peak, excluded.processes_peak),
  files_sum = files_sum + excluded.files_sum, files_peak = max(files_peak, excluded.files_peak)";

fn number(amount: u64) -> i64 {
    i64::try_from(amount).unwrap_or(i64::MAX)
}

fn nanoseconds(span: Span) -> i64 {
    i64::try_from(span.0.as_nanos()).unwrap_or(i64::MAX)
}

/// What a reading counts, in the order of the columns.
fn counted(reading: &Reading) -> [i64; 7] {
    let told = |amount: Option<u64>| number(amount.unwrap_or(0));
    [
        nanoseconds(reading.elapsed),
        nanoseconds(reading.cpu),
        told(reading.read),
        told(reading.written),
        told(reading.received),
        told(reading.sent),
        told(reading.network_attempts),
    ]
}

pub(super) fn record(
    tx: &Transaction<'_>,
    of: Sampled,
    time: Timestamp,
    reading: &Reading,
) -> Result<bool, Fault> {
    let before: Option<[i64; 7]> = tx
        .prepare_cached(
            "SELECT elapsed, cpu, read, written, received, sent, attempts
             FROM operations WHERE id = ?1",
        )?
        .query_map([of.operation.0], |row| {
            let mut found = [0; 7];
            for (at, value) in found.iter_mut().enumerate() {
                *value = row.get(at)?;
            }
            Ok(found)
        })?
        .next()
        .transpose()?;
    let mut now = counted(reading);
    let before = before.unwrap_or_default();
    if now[0] <= before[0] {
        return Ok(false);
    }
    // Counters that several files tell may seem to go back by what happened in between.
    now.iter_mut().zip(before).for_each(|(now, before)| *now = (*now).max(before));
    let mut more = now;
    more.iter_mut().zip(before).for_each(|(more, before)| *more = more.saturating_sub(before));
    let [memory, processes, files] =
        [reading.memory, reading.processes, reading.open_files].map(number);
    let sql = format!(
        "INSERT INTO operations(id, sandbox, first, last, {TOTALS})
         VALUES(?1, ?2, ?3, ?3, 1, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?11, ?12, ?12, ?13, ?13)
         ON CONFLICT(id) DO UPDATE SET
           first = min(first, excluded.first), last = excluded.last, samples = samples + 1,
           elapsed = excluded.elapsed, cpu = excluded.cpu, read = excluded.read,
           written = excluded.written, received = excluded.received, sent = excluded.sent,
           attempts = excluded.attempts, memory_sum = memory_sum + excluded.memory_sum,
           memory_peak = max(memory_peak, excluded.memory_peak),
           processes_sum = processes_sum + excluded.processes_sum,
           processes_peak = max(processes_peak, excluded.processes_peak),
           files_sum = files_sum + excluded.files_sum,
           files_peak = max(files_peak, excluded.files_peak)"
    );
    tx.prepare_cached(&sql)?.execute(params![
        of.operation.0,
        of.sandbox.0,
        time.0.max(0),
        now[0],
        now[1],
        now[2],
        now[3],
        now[4],
        now[5],
        now[6],
        memory,
        processes,
        files,
    ])?;
    let sql = format!(
        "INSERT INTO usage(tier, sandbox, start, {TOTALS})
         VALUES(0, ?1, ?2, 1, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?10, ?11, ?11, ?12, ?12)
         ON CONFLICT(tier, sandbox, start) DO UPDATE SET {ADDED}"
    );
    tx.prepare_cached(&sql)?.execute(params![
        of.sandbox.0,
        time.0.max(0),
        more[0],
        more[1],
        more[2],
        more[3],
        more[4],
        more[5],
        more[6],
        memory,
        processes,
        files,
    ])?;
    Ok(true)
}

pub(super) fn roll_up(
    tx: &Transaction<'_>,
    now: Timestamp,
    ages: HistoryAges,
    living: &[SandboxId],
) -> Result<RolledUp, Fault> {
    let removed = remove(tx, now, ages, living)?;
    let samples = move_up(tx, 0, 60, now, ages.raw)?;
    let minutes = move_up(tx, 60, 3600, now, ages.minutes)?;
    Ok(RolledUp { samples, minutes, removed })
}

/// What is older than `age`, and what lies as far in the future.
fn limits(now: Timestamp, age: Duration) -> (i64, i64) {
    let age = i64::try_from(age.as_nanos()).unwrap_or(i64::MAX);
    (now.0.saturating_sub(age), now.0.saturating_add(age))
}

/// Adds the old rows of one tier to those of another, and removes them; answers how many.
fn move_up(
    tx: &Transaction<'_>,
    from: i64,
    to: i64,
    now: Timestamp,
    age: Duration,
) -> Result<u64, Fault> {
    let (before, after) = limits(now, age);
    let length = to * SECOND;
    let sql = format!(
        "INSERT INTO usage(tier, sandbox, start, {TOTALS})
         SELECT ?1, sandbox, start - start % ?2,
           sum(samples), sum(elapsed), sum(cpu), sum(read), sum(written), sum(received), sum(sent),
           sum(attempts), sum(memory_sum), max(memory_peak), sum(processes_sum),
           max(processes_peak), sum(files_sum), max(files_peak)
         FROM usage WHERE tier = ?3 AND (start < ?4 OR start > ?5)
         GROUP BY sandbox, start - start % ?2
         ON CONFLICT(tier, sandbox, start) DO UPDATE SET {ADDED}"
    );
    tx.execute(&sql, params![to, length, from, before, after])?;
    let moved = tx.execute(
        "DELETE FROM usage WHERE tier = ?1 AND (start < ?2 OR start > ?3)",
        params![from, before, after],
    )?;
    Ok(moved as u64)
}

/// Removes what is too old, and what is of sandboxes that are gone.
fn remove(
    tx: &Transaction<'_>,
    now: Timestamp,
    ages: HistoryAges,
    living: &[SandboxId],
) -> Result<u64, Fault> {
    let (before, _) = limits(now, ages.hours);
    let mut removed = tx.execute("DELETE FROM usage WHERE start < ?1", [before])?;
    removed += tx.execute("DELETE FROM operations WHERE last < ?1", [before])?;
    let known = tx
        .prepare("SELECT sandbox FROM usage UNION SELECT sandbox FROM operations")?
        .query_map([], |row| row.get(0).map(SandboxId))?
        .collect::<Result<Vec<_>, _>>()?;
    for gone in known.into_iter().filter(|sandbox| !living.contains(sandbox)) {
        removed += tx.execute("DELETE FROM usage WHERE sandbox = ?1", [gone.0])?;
        removed += tx.execute("DELETE FROM operations WHERE sandbox = ?1", [gone.0])?;
    }
    Ok(removed as u64)
}

/// A [`UsageTotals`] of the columns from `at` on.
fn totals(row: &Row<'_>, at: usize) -> rusqlite::Result<UsageTotals> {
    let number = |column: usize| {
        row.get::<_, i64>(at + column).map(|number| u64::try_from(number).unwrap_or(0))
    };
    let span = |column| number(column).map(|nanos| Span(Duration::from_nanos(nanos)));
    Ok(UsageTotals {
        samples: number(0)?,
        elapsed: span(1)?,
        cpu: span(2)?,
        read: number(3)?,
        written: number(4)?,
        received: number(5)?,
        sent: number(6)?,
        network_attempts: number(7)?,
        memory_sum: number(8)?,
        memory_peak: number(9)?,
        processes_sum: number(10)?,
        processes_peak: number(11)?,
        open_files_sum: number(12)?,
        open_files_peak: number(13)?,
    })
}

pub(super) fn usage(
    db: &Connection,
    sandbox: SandboxId,
    since: Timestamp,
) -> Result<Vec<UsageRow>, Fault> {
    let sql = format!(
        "SELECT tier, start, {TOTALS} FROM usage
         WHERE sandbox = ?1 AND start + tier * {SECOND} >= ?2 ORDER BY start, tier DESC"
    );
    let mut statement = db.prepare_cached(&sql)?;
    let rows = statement.query_map(params![sandbox.0, since.0], |row| {
        let resolution = match row.get::<_, i64>(0)? {
            0 => Resolution::Raw,
            60 => Resolution::Minute,
            _ => Resolution::Hour,
        };
        Ok(UsageRow { resolution, start: Timestamp(row.get(1)?), totals: totals(row, 2)? })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn operations(
    db: &Connection,
    sandbox: SandboxId,
    since: Timestamp,
) -> Result<Vec<OperationUsage>, Fault> {
    let sql = format!(
        "SELECT id, first, last, {TOTALS} FROM operations
         WHERE sandbox = ?1 AND last >= ?2 ORDER BY id DESC"
    );
    let mut statement = db.prepare_cached(&sql)?;
    let rows = statement.query_map(params![sandbox.0, since.0], |row| {
        Ok(OperationUsage {
            operation: OperationId(row.get(0)?),
            first: Timestamp(row.get(1)?),
            last: Timestamp(row.get(2)?),
            totals: totals(row, 3)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
