//! Making a new database, so that it is there whole or not at all.

use std::error::Error;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};
use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags};

use crate::fault::DatabaseError;
use crate::schema::{APPLICATION_ID, EVENTS, FORMAT, TABLES};

/// The database's name in the store's directory.
pub(crate) const DATABASE: &str = "store.db";

const LOG: &str = "store.db-wal";
const LOG_INDEX: &str = "store.db-shm";
const UNFINISHED: &str = "store.db.new";

/// Bytes in a page.
const PAGE_SIZE: u32 = 4096;

/// Why a store could not be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}", path.display())]
struct CreationError {
    action: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// Makes `dir` and an empty database in it, unless there is one.
///
/// The database gets its name only when it is complete and flushed; of several processes that
/// try at once, one makes it and the others wait for it.
pub(crate) fn create(dir: &Path) -> Result<(), Box<dyn Error + Send + Sync>> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|source| failed("create the directory", dir, source))?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let handle = rustix::fs::open(dir, flags, Mode::empty())
        .map_err(|errno| failed("open the directory", dir, errno.into()))?;
    rustix::io::retry_on_intr(|| rustix::fs::flock(&handle, FlockOperation::LockExclusive))
        .map_err(|errno| failed("lock the directory", dir, errno.into()))?;
    if rustix::fs::statat(&handle, DATABASE, AtFlags::SYMLINK_NOFOLLOW).is_ok() {
        return Ok(());
    }
    // A log without its database belongs to one that was deleted, and must not be played into
    // the new one.
    for name in [LOG, LOG_INDEX, UNFINISHED] {
        match rustix::fs::unlinkat(&handle, name, AtFlags::empty()) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => {}
            Err(errno) => return Err(failed("remove", &dir.join(name), errno.into()).into()),
        }
    }
    let unfinished = dir.join(UNFINISHED);
    // Only the owner may read it: state can hold secrets. SQLite gives the log the same mode.
    let file = new_file(&handle, dir, UNFINISHED)?;
    fill(&unfinished).map_err(|source| DatabaseError { path: unfinished.clone(), source })?;
    rustix::fs::fsync(&file).map_err(|errno| failed("flush", &unfinished, errno.into()))?;
    // Made here so that the flush below covers its name: whoever flushes the log later flushes
    // only its content.
    new_file(&handle, dir, LOG)?;
    crate::reserve::keep(dir);
    rustix::fs::renameat(&handle, UNFINISHED, &handle, DATABASE)
        .map_err(|errno| failed("rename", &unfinished, errno.into()))?;
    rustix::fs::fsync(&handle).map_err(|errno| failed("flush", dir, errno.into()))?;
    Ok(())
}

fn new_file(
    dir: impl AsFd,
    dir_path: &Path,
    name: &str,
) -> Result<std::os::fd::OwnedFd, CreationError> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    rustix::fs::openat(dir, name, flags, Mode::RUSR | Mode::WUSR)
        .map_err(|errno| failed("create", &dir_path.join(name), errno.into()))
}

/// Writes the tables into an empty file. Nothing here needs a journal: an unfinished file is
/// thrown away.
fn fill(path: &Path) -> rusqlite::Result<()> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.execute_batch(&format!(
        "PRAGMA page_size={PAGE_SIZE};
         PRAGMA synchronous=OFF;
         PRAGMA journal_mode=MEMORY;
         BEGIN;
         PRAGMA application_id={APPLICATION_ID};
         PRAGMA user_version={FORMAT};
         {TABLES}
         {EVENTS}
         COMMIT;
         PRAGMA journal_mode=WAL;"
    ))?;
    connection.close().map_err(|(_, error)| error)
}

fn failed(action: &'static str, path: &Path, source: io::Error) -> CreationError {
    CreationError { action, path: path.to_owned(), source }
}
