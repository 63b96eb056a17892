//! What operations used, in a database of its own beside the store's: `monitor.db`.
//!
//! Each amount stands in one row of `usage` only. A sample is a row of its own; when it is old, it is
//! added to the row of its minute and goes, and so do minutes to hours, in one transaction each time.
//! So sums and peaks are kept, and nothing is counted twice whoever rolls up at once. What a sample
//! adds is the difference to the reading of the same operation before it, which stands in
//! `operations`: several processes may look at one operation without counting anything twice, and
//! the clock by which a reading is newer is that of the process that it is about, which nobody sets.

mod rows;

use std::cell::RefCell;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ctrlz_core::id::SandboxId;
use ctrlz_core::monitor::{
    HistoryAges, OperationUsage, Reading, RolledUp, SampleStore, Sampled, UsageRow,
};
use ctrlz_core::store::StoreError;
use ctrlz_core::time::Timestamp;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use crate::fault::Fault;

/// The database's name in the store's directory.
pub const MONITOR: &str = "monitor.db";

/// For how long a locked database is waited for. Whoever records waits for a command meanwhile, and
/// would hold up its output.
const PATIENCE: Duration = Duration::from_millis(250);

/// The file's `application_id`: "ctlm".
const APPLICATION_ID: i64 = 0x6374_6c6d;
/// The newest format that is known, in `user_version`.
const FORMAT: i64 = 1;

/// Times are nanoseconds since 1970. `tier` is for how many seconds a row stands, 0 for a sample. In
/// `operations`, all but `samples` and the peaks is as the newest reading told it.
const TABLES: &str = "
CREATE TABLE IF NOT EXISTS usage(
  tier INT, sandbox INT, start INT,
  samples INT, elapsed INT, cpu INT, read INT, written INT, received INT, sent INT, attempts INT,
  memory_sum INT, memory_peak INT, processes_sum INT, processes_peak INT,
  files_sum INT, files_peak INT,
  PRIMARY KEY(tier, sandbox, start)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS operations(
  id INTEGER PRIMARY KEY, sandbox INT, first INT, last INT,
  samples INT, elapsed INT, cpu INT, read INT, written INT, received INT, sent INT, attempts INT,
  memory_sum INT, memory_peak INT, processes_sum INT, processes_peak INT,
  files_sum INT, files_peak INT
);
CREATE INDEX IF NOT EXISTS operations_by_sandbox ON operations(sandbox);
";

/// Why a file is no history of usage.
#[derive(Debug, thiserror::Error)]
enum OpenError {
    #[error("{} is another program's database", .0.display())]
    Foreign(PathBuf),
    #[error("{} is of a newer ctrlz: its format is {found}", path.display())]
    Newer { path: PathBuf, found: i64 },
    #[error("cannot make {}", path.display())]
    Create {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
}

/// What operations used, in one file. Nothing is opened before it is asked for something.
#[derive(Debug)]
pub struct SqliteMonitor {
    path: PathBuf,
    connection: RefCell<Option<Connection>>,
}

impl SqliteMonitor {
    /// The one of the store in `directory`.
    #[must_use]
    pub fn of(directory: &Path) -> Self {
        Self { path: directory.join(MONITOR), connection: RefCell::new(None) }
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Looks at every page; answers what is wrong, in words, nothing when all is well or nothing was
    /// ever recorded.
    ///
    /// # Errors
    /// When it cannot even be looked at: it is no database, or of a newer ctrlz.
    pub fn check(&self) -> Result<Vec<String>, StoreError> {
        self.read("check the history of usage", Vec::new(), |db| {
            let mut statement = db.prepare("PRAGMA integrity_check")?;
            let lines = statement.query_map([], |row| row.get::<_, String>(0))?;
            let mut wrong = lines.collect::<Result<Vec<_>, _>>()?;
            wrong.retain(|line| line != "ok");
            Ok(wrong)
        })
    }

    /// Runs `step` in one transaction: all of it happens, or nothing.
    fn write<T>(
        &self,
        action: &'static str,
        step: impl FnOnce(&Transaction<'_>) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        self.with(action, |connection| {
            // Immediate, so that nobody writes between what it reads and what it writes.
            let transaction =
                Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
            let value = step(&transaction)?;
            transaction.commit()?;
            Ok(value)
        })
    }

    /// Runs `step` in one transaction that only reads, so that nothing moves meanwhile. Answers
    /// `when_missing` when nothing was ever recorded.
    fn read<T>(
        &self,
        action: &'static str,
        when_missing: T,
        step: impl FnOnce(&Connection) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        if self.connection.borrow().is_none() && !self.path.exists() {
            return Ok(when_missing);
        }
        self.with(action, |connection| {
            let transaction =
                Transaction::new_unchecked(connection, TransactionBehavior::Deferred)?;
            step(&transaction)
        })
    }

    fn with<T>(
        &self,
        action: &'static str,
        step: impl FnOnce(&Connection) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        let mut place = self.connection.borrow_mut();
        let connection = match place.take() {
            Some(connection) => connection,
            None => self.open()?,
        };
        let result = step(&connection).map_err(|fault| fault.during(action, &self.path));
        // One that failed is opened anew: somebody may have put a good file in its place.
        if result.is_ok() {
            *place = Some(connection);
        }
        result
    }

    fn open(&self) -> Result<Connection, StoreError> {
        let failed = |source: OpenError| StoreError::Failed {
            action: "open the history of usage",
            source: Box::new(source),
        };
        // SQLite gives the files beside it the same mode.
        OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&self.path)
            .map_err(|source| failed(OpenError::Create { path: self.path.clone(), source }))?;
        let opened = self.connect().map_err(|source| {
            Fault::Sqlite(source).during("open the history of usage", &self.path)
        })?;
        match opened {
            (APPLICATION_ID, FORMAT, connection) => Ok(connection),
            (APPLICATION_ID, found, _) => {
                Err(failed(OpenError::Newer { path: self.path.clone(), found }))
            }
            _ => Err(failed(OpenError::Foreign(self.path.clone()))),
        }
    }

    /// A connection with the file's application and format, which an empty file gets.
    fn connect(&self) -> rusqlite::Result<(i64, i64, Connection)> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_PRIVATE_CACHE;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        connection.busy_timeout(PATIENCE)?;
        let number =
            |db: &Connection, pragma: &str| db.query_row(pragma, [], |row| row.get::<_, i64>(0));
        let is_new = |db: &Connection| {
            Ok::<bool, rusqlite::Error>(
                number(db, "PRAGMA application_id")? == 0
                    && number(db, "SELECT count(*) FROM sqlite_schema")? == 0,
            )
        };
        if is_new(&connection)? {
            // What a machine's death takes with it is a few samples, not the file.
            connection.execute_batch("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL")?;
            let tx = Transaction::new_unchecked(&connection, TransactionBehavior::Immediate)?;
            if is_new(&tx)? {
                tx.execute_batch(TABLES)?;
                tx.pragma_update(None, "user_version", FORMAT)?;
                tx.pragma_update(None, "application_id", APPLICATION_ID)?;
            }
            tx.commit()?;
        }
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        let found = (
            number(&connection, "PRAGMA application_id")?,
            number(&connection, "PRAGMA user_version")?,
        );
        Ok((found.0, found.1, connection))
    }
}

impl SampleStore for SqliteMonitor {
    fn record(&self, of: Sampled, time: Timestamp, reading: &Reading) -> Result<bool, StoreError> {
        self.write("record what is used", |tx| rows::record(tx, of, time, reading))
    }

    fn roll_up(
        &self,
        now: Timestamp,
        ages: HistoryAges,
        living: &[SandboxId],
    ) -> Result<RolledUp, StoreError> {
        // Nothing was recorded, so nothing is made for it.
        if self.connection.borrow().is_none() && !self.path.exists() {
            return Ok(RolledUp::default());
        }
        self.write("roll up the history of usage", |tx| rows::roll_up(tx, now, ages, living))
    }

    fn usage(&self, sandbox: SandboxId, since: Timestamp) -> Result<Vec<UsageRow>, StoreError> {
        self.read("read the history of usage", Vec::new(), |db| rows::usage(db, sandbox, since))
    }

    fn operations(
        &self,
        sandbox: SandboxId,
        since: Timestamp,
    ) -> Result<Vec<OperationUsage>, StoreError> {
        self.read("read the history of usage", Vec::new(), |db| {
            rows::operations(db, sandbox, since)
        })
    }
}
