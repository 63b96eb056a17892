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
use std::path::{Path, PathBuf};
use std::time::Duration;

use ctrlz_core::id::SandboxId;
use ctrlz_core::monitor::{
    HistoryAges, OperationUsage, Reading, RolledUp, SampleStore, Sampled, UsageRow,
};
use ctrlz_core::store::StoreError;
use ctrlz_core::time::Timestamp;
use rusqlite::{Connection, Transaction, TransactionBehavior};

use crate::beside::Kind;
use crate::fault::Fault;

/// The database's name in the store's directory.
pub const MONITOR: &str = "monitor.db";

/// For how long a locked database is waited for. Whoever records waits for a command meanwhile, and
/// would hold up its output.
const PATIENCE: Duration = Duration::from_millis(250);

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

/// What the database is: "ctlm". What a machine's death takes with it is a few samples, not the file.
const KIND: Kind = Kind {
    action: "open the history of usage",
    application: 0x6374_6c6d,
    format: 1,
    tables: TABLES,
    upgrades: &[],
    patience: PATIENCE,
    synchronous: "NORMAL",
};

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
            None => KIND.open(&self.path)?,
        };
        let result = step(&connection).map_err(|fault| fault.during(action, &self.path));
        // One that failed is opened anew: somebody may have put a good file in its place.
        if result.is_ok() {
            *place = Some(connection);
        }
        result
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
