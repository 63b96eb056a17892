//! One connection to the database: how it is opened, how it waits, writes and flushes.
//!
//! The log is kept short. The first process to open the database reads all of the log, and a
//! process lives for milliseconds; so the log is folded into the database and emptied once it has
//! [`LOG_LIMIT`] frames. Closing does not fold it, since that would cost every process a flush.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::time::{Duration, Instant};

use ctrlz_core::store::{Durability, StoreError};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, MAIN_DB, OpenFlags, Transaction, TransactionBehavior};

use crate::creation;
use crate::fault::{DatabaseError, Fault};
use crate::schema::{APPLICATION_ID, FORMAT, UPGRADES};

/// How long a process waits for others before it gives up. A write takes well under a
/// millisecond, so this is only reached when a process is stopped in the middle of one.
const PATIENCE: Duration = Duration::from_secs(30);

/// Frames (pages) in the log from which it is folded into the database. An operation writes about
/// five. Reading one takes the next process about 1 µs, folding a whole log some flushes.
const LOG_LIMIT: i32 = 128;
/// The same where a process keeps the database open: then nobody has to read all of the log.
const LONG_LOG_LIMIT: i32 = 2048;
/// How many KiB of pages a connection keeps in such a process, which has many, instead of SQLite's 2000.
pub(crate) const SMALL_CACHE: i64 = 256;

/// How many statements a connection that stays open keeps prepared: more than an operation and what is
/// asked about it need.
const STATEMENTS: usize = 64;

/// The database and its place.
pub(crate) struct Database {
    connection: Connection,
    path: PathBuf,
    /// Frames in the log after this connection's last commit.
    log_frames: Arc<AtomicI32>,
    /// From how many on it is folded.
    log_limit: i32,
    /// Whether a busy database is waited for.
    patient: Arc<AtomicBool>,
}

/// Why a file is no database of ours.
#[derive(Debug, thiserror::Error)]
enum OpenError {
    #[error("{} is a database, but not of ctrlz", .0.display())]
    Foreign(PathBuf),
    #[error("{} can only be read: it is write-protected", .0.display())]
    ReadOnly(PathBuf),
}

impl Database {
    /// Opens `dir/store.db`, making it when it is missing.
    pub(crate) fn open(dir: &Path) -> Result<Self, StoreError> {
        let path = dir.join(creation::DATABASE);
        let connection = match connect(&path) {
            Ok(connection) => connection,
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::CannotOpen) => {
                creation::create(dir)
                    .map_err(|source| StoreError::Open { path: dir.to_owned(), source })?;
                connect(&path).map_err(|source| cannot_open(dir, &path, source))?
            }
            Err(error) => return Err(cannot_open(dir, &path, error)),
        };
        Self::set_up(connection, &path)
            .map_err(|source| cannot_open(dir, &path, source))
            .and_then(|database| database.check(dir).map(|()| database))
    }

    fn set_up(mut connection: Connection, path: &Path) -> rusqlite::Result<Self> {
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        let patient = Arc::new(AtomicBool::new(true));
        connection.busy_handler(Some(patience(Arc::clone(&patient))))?;
        let log_frames = Arc::new(AtomicI32::new(0));
        let frames = Arc::clone(&log_frames);
        // Replaces SQLite's own automatic checkpoint, which leaves the log as long as it is.
        connection.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages| {
            frames.store(pages, Ordering::Relaxed);
            Ok(())
        }))?;
        Ok(Self { connection, path: path.to_owned(), log_frames, log_limit: LOG_LIMIT, patient })
    }

    /// See [`crate::SqliteStore::keep_open`].
    pub(crate) fn keep_open(&mut self) {
        self.log_limit = LONG_LOG_LIMIT;
        self.connection.set_prepared_statement_cache_capacity(STATEMENTS);
        // Only a hint: with another one it works as well.
        let _ = self.connection.pragma_update(None, "cache_size", -SMALL_CACHE);
    }

    fn check(&self, dir: &Path) -> Result<(), StoreError> {
        let open =
            |source: OpenError| StoreError::Open { path: dir.to_owned(), source: Box::new(source) };
        let number = |pragma: &str| {
            self.connection
                .query_row(pragma, [], |row| row.get::<_, i64>(0))
                .map_err(|source| cannot_open(dir, &self.path, source))
        };
        if self
            .connection
            .is_readonly(MAIN_DB)
            .map_err(|source| cannot_open(dir, &self.path, source))?
        {
            return Err(open(OpenError::ReadOnly(self.path.clone())));
        }
        if number("PRAGMA application_id")? != APPLICATION_ID {
            return Err(open(OpenError::Foreign(self.path.clone())));
        }
        let found = number("PRAGMA user_version")?;
        if !(1..=FORMAT).contains(&found) {
            return Err(StoreError::Format { path: dir.to_owned(), found, supported: FORMAT });
        }
        self.set_synchronous("NORMAL").map_err(|source| cannot_open(dir, &self.path, source))?;
        if found < FORMAT { self.upgrade() } else { Ok(()) }
    }

    /// Brings an older database to [`FORMAT`], at once or not at all. An older ctrlz that has it
    /// open can go on; one that opens it later says that it is too new.
    fn upgrade(&self) -> Result<(), StoreError> {
        // Flushed, so that no machine's death takes it back after somebody relied on it.
        self.write("upgrade the store", Durability::Machine, |tx| {
            // Another process may have done it meanwhile.
            let found: i64 = tx.query_row("PRAGMA user_version", [], |row| row.get(0))?;
            let first = usize::try_from(found - 1).unwrap_or(usize::MAX);
            for upgrade in UPGRADES.get(first..).unwrap_or_default().iter().copied().flatten() {
                tx.execute_batch(upgrade)?;
            }
            Ok(tx.pragma_update(None, "user_version", FORMAT)?)
        })
    }

    /// Reads in one statement or, when `step` needs several that agree, in a transaction that it
    /// begins itself.
    pub(crate) fn read<T>(
        &self,
        action: &'static str,
        step: impl FnOnce(&Connection) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        step(&self.connection).map_err(|fault| fault.during(action, &self.path))
    }

    /// Runs `step` in one transaction: all of it happens or, when it fails, nothing.
    ///
    /// Every commit is in the kernel when it returns, so it survives the death of any process.
    /// [`Durability::Machine`] also flushes the log after the commit (`synchronous=FULL`); the log
    /// is one file written from front to back, so this makes all earlier commits durable, too, and
    /// checkpoints flush the log before they touch the database.
    pub(crate) fn write<T>(
        &self,
        action: &'static str,
        durability: Durability,
        step: impl FnOnce(&Transaction<'_>) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        let flushed = durability == Durability::Machine;
        let result = self
            .set_flushed(flushed)
            .and_then(|()| self.transact(step))
            .map_err(|fault| fault.during(action, &self.path));
        if flushed {
            // Should this fail, later commits are flushed without need: slower, but safe.
            let _ = self.set_synchronous("NORMAL");
        }
        if result.is_ok() && self.log_frames.load(Ordering::Relaxed) >= self.log_limit {
            self.fold_log();
        }
        result
    }

    fn set_flushed(&self, flushed: bool) -> Result<(), Fault> {
        if flushed { self.set_synchronous("FULL").map_err(Fault::from) } else { Ok(()) }
    }

    fn transact<T>(
        &self,
        step: impl FnOnce(&Transaction<'_>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        // Immediate: a transaction that reads first and writes later could find that another
        // process wrote in between, and no waiting would help it.
        let transaction =
            Transaction::new_unchecked(&self.connection, TransactionBehavior::Immediate)?;
        let value = step(&transaction)?;
        transaction.commit()?;
        Ok(value)
    }

    /// Moves the log into the database and empties it, if nobody uses it just now. It flushes
    /// both in the right order. A failure loses nothing: the log stays, and the next commit tries
    /// again.
    fn fold_log(&self) {
        self.patient.store(false, Ordering::Relaxed);
        let folded = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        self.patient.store(true, Ordering::Relaxed);
        if folded.is_ok() {
            self.log_frames.store(0, Ordering::Relaxed);
        }
    }

    fn set_synchronous(&self, level: &str) -> rusqlite::Result<()> {
        self.connection.pragma_update(None, "synchronous", level)
    }
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    // Without URI, so that a `?` in a path is just that; without the connection's own mutex, since
    // `Connection` is not `Sync`.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_PRIVATE_CACHE;
    let connection = Connection::open_with_flags(path, flags)?;
    // SQLite tries again for reading alone when it finds no file. If another process made the file
    // between the two, the first try would succeed now.
    if connection.is_readonly(MAIN_DB)? {
        return Connection::open_with_flags(path, flags);
    }
    Ok(connection)
}

fn cannot_open(dir: &Path, path: &Path, source: rusqlite::Error) -> StoreError {
    StoreError::Open {
        path: dir.to_owned(),
        source: Box::new(DatabaseError { path: path.to_owned(), source }),
    }
}

/// Waits a little longer each time: a commit takes some 100 µs, and SQLite's own handler begins
/// with 1 ms.
fn patience(patient: Arc<AtomicBool>) -> impl FnMut(i32) -> bool + Send {
    let mut since = Instant::now();
    move |attempts| {
        if attempts == 0 {
            since = Instant::now();
        }
        if !patient.load(Ordering::Relaxed) || since.elapsed() > PATIENCE {
            return false;
        }
        let doublings = u32::try_from(attempts).unwrap_or(0).min(7);
        std::thread::sleep(Duration::from_micros(50 << doublings));
        true
    }
}
