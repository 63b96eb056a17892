//! A database of its own beside the store's: made when it is missing, refused when it is another
//! program's or of a newer ctrlz.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ctrlz_core::store::StoreError;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use crate::connection::SMALL_CACHE;
use crate::fault::Fault;

/// What a database is.
#[derive(Debug)]
pub(crate) struct Kind {
    /// What cannot be done when it cannot be opened.
    pub(crate) action: &'static str,
    /// The file's `application_id`.
    pub(crate) application: i64,
    /// The newest format that is known, in `user_version`.
    pub(crate) format: i64,
    /// The tables of a new one.
    pub(crate) tables: &'static str,
    /// What brings each older format, from the first on, to the next one.
    pub(crate) upgrades: &'static [&'static str],
    /// For how long a locked database is waited for.
    pub(crate) patience: Duration,
    /// How safe a write is (`PRAGMA synchronous`).
    pub(crate) synchronous: &'static str,
}

/// Why a file is not such a database.
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

impl Kind {
    /// Opens the one at `path`; makes it when there is none.
    pub(crate) fn open(&self, path: &Path) -> Result<Connection, StoreError> {
        let failed = |source: OpenError| StoreError::Failed {
            action: self.action,
            source: Box::new(source),
        };
        // SQLite gives the files beside it the same mode.
        OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(|source| failed(OpenError::Create { path: path.to_owned(), source }))?;
        let opened =
            self.connect(path).map_err(|error| Fault::Sqlite(error).during(self.action, path))?;
        match opened {
            (application, found, connection) if application == self.application => {
                if (1..self.format).contains(&found) {
                    self.upgrade(&connection)
                        .map_err(|error| Fault::Sqlite(error).during(self.action, path))?;
                    return Ok(connection);
                }
                if found == self.format {
                    return Ok(connection);
                }
                Err(failed(OpenError::Newer { path: path.to_owned(), found }))
            }
            _ => Err(failed(OpenError::Foreign(path.to_owned()))),
        }
    }

    /// Brings an older database to the newest format, at once or not at all.
    fn upgrade(&self, connection: &Connection) -> rusqlite::Result<()> {
        let tx = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
        // Another process may have done it meanwhile.
        let found: i64 = tx.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        let first = usize::try_from(found - 1).unwrap_or(usize::MAX);
        for upgrade in self.upgrades.get(first..).unwrap_or_default() {
            tx.execute_batch(upgrade)?;
        }
        tx.pragma_update(None, "user_version", self.format.max(found))?;
        tx.commit()
    }

    /// A connection with the file's application and format, which an empty file gets.
    fn connect(&self, path: &Path) -> rusqlite::Result<(i64, i64, Connection)> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_PRIVATE_CACHE;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(self.patience)?;
        connection.pragma_update(None, "cache_size", -SMALL_CACHE)?;
        let number =
            |db: &Connection, pragma: &str| db.query_row(pragma, [], |row| row.get::<_, i64>(0));
        let is_new = |db: &Connection| {
            Ok::<bool, rusqlite::Error>(
                number(db, "PRAGMA application_id")? == 0
                    && number(db, "SELECT count(*) FROM sqlite_schema")? == 0,
            )
        };
        if is_new(&connection)? {
            connection.pragma_update(None, "journal_mode", "WAL")?;
            connection.pragma_update(None, "synchronous", self.synchronous)?;
            let tx = Transaction::new_unchecked(&connection, TransactionBehavior::Immediate)?;
            if is_new(&tx)? {
                tx.execute_batch(self.tables)?;
                tx.pragma_update(None, "user_version", self.format)?;
                tx.pragma_update(None, "application_id", self.application)?;
            }
            tx.commit()?;
        }
        connection.pragma_update(None, "synchronous", self.synchronous)?;
        let found = (
            number(&connection, "PRAGMA application_id")?,
            number(&connection, "PRAGMA user_version")?,
        );
        Ok((found.0, found.1, connection))
    }
}
