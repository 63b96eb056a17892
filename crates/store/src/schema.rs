//! The tables.
//!
//! A cold start parses all of this text before its first statement, so it says no more than it
//! must, and there are only those indices that a frequent question needs.

/// The newest format that this code reads and writes, in the file's `user_version`.
pub(crate) const FORMAT: i64 = 5;

/// How each older format becomes the next one: `UPGRADES[0]` makes a 2 of a 1. A database that was
/// upgraded has the same columns as a new one, if in another order.
pub(crate) const UPGRADES: &[&[&str]] = &[
    &["ALTER TABLE operations ADD COLUMN verdict TEXT"],
    &[EVENTS, LIVES, STATE_WRITES],
    // Operations may be of the kind `write`, which older ones cannot read.
    &[],
    &["ALTER TABLE snapshots ADD COLUMN live TEXT"],
];

/// What says how long snapshots live, and how sandboxes are guarded.
const LIVES: &str = "
ALTER TABLE snapshots ADD COLUMN scope TEXT;
ALTER TABLE snapshots ADD COLUMN tags TEXT;
ALTER TABLE snapshots ADD COLUMN good INT;
ALTER TABLE sandboxes ADD COLUMN guard TEXT;
ALTER TABLE sandboxes ADD COLUMN life TEXT;
";

/// What operations wrote to the state. Older ones did not tell, so what is there is taken over as
/// it is: it stands as if the operation that made the sandbox had written it.
const STATE_WRITES: &str = "
ALTER TABLE state ADD COLUMN sealed TEXT;
ALTER TABLE operations ADD COLUMN writes TEXT;
UPDATE operations SET writes =
  (SELECT group_concat(json_array(key, version, iif(hash IS NULL, NULL, lower(hex(hash))), size,
                                  written, NULL), char(10) ORDER BY version)
   FROM state WHERE state.sandbox = operations.sandbox)
WHERE id IN (SELECT min(id) FROM operations WHERE sandbox > 0 GROUP BY sandbox);
";

/// The event log. Its first row is its source, a random UUID (RFC 9562, version 4).
pub(crate) const EVENTS: &str = "
CREATE TABLE events(seq INTEGER PRIMARY KEY, body TEXT);
INSERT INTO events VALUES(0, 'urn:uuid:' || lower(
  hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-'
  || substr('89ab', 1 + (random() & 3), 1) || substr(hex(randomblob(2)), 2) || '-'
  || hex(randomblob(6))));
";

/// The file's `application_id`: "ctlz". A database without it is not ours.
pub(crate) const APPLICATION_ID: i64 = 0x6374_6c7a;

/// Paths are BLOBs, since they need not be UTF-8. Times are nanoseconds since 1970. Columns that
/// are not null by nature carry no constraint: `rows` refuses a row that lacks one, and only this
/// crate writes.
///
/// Ids are never given twice, even after a removal: whoever still holds an id of something removed
/// must not meet a stranger. SQLite's AUTOINCREMENT would say the same but write one more page
/// for each operation. Instead a removal leaves one row of kind [`REMOVAL`] in `operations`, which
/// takes an id of its own and holds the highest ids given so far: that of a sandbox, negated, in
/// `sandbox`, that of a snapshot in `target`. There is at most one such row.
///
/// An operation whose files were let go has '' for its trees, and so has a snapshot of the state
/// alone. A snapshot's tags stand with a space between them; its scope is null for a full one, and
/// `live` for one that was taken while no command ran.
///
/// The sandbox with id 0 is none: it stands for the state that belongs to no sandbox. `writes` of
/// an operation is what it wrote to the state, see `state::journal`.
pub(crate) const TABLES: &str = "
CREATE TABLE sandboxes(
  id INTEGER PRIMARY KEY,
  name TEXT UNIQUE,
  folder BLOB,
  root TEXT,
  base BLOB,
  driver TEXT,
  tree TEXT,
  state_version INT,
  created INT,
  used INT,
  open_operation INT,
  guard TEXT,
  life TEXT
);
CREATE INDEX sandboxes_by_folder ON sandboxes(folder);
CREATE TABLE operations(
  id INTEGER PRIMARY KEY,
  sandbox INT,
  kind TEXT,
  title TEXT,
  limits TEXT,
  target INT,
  status TEXT,
  before_tree TEXT,
  before_version INT,
  after_tree TEXT,
  after_version INT,
  started INT,
  finished INT,
  outcome TEXT,
  verdict TEXT,
  writes TEXT
);
CREATE INDEX operations_by_sandbox ON operations(sandbox);
CREATE TABLE snapshots(
  id INTEGER PRIMARY KEY,
  sandbox INT,
  kind TEXT,
  message TEXT,
  operation INT,
  tree TEXT,
  state_version INT,
  created INT,
  scope TEXT,
  tags TEXT,
  good INT,
  live TEXT
);
CREATE INDEX snapshots_by_sandbox ON snapshots(sandbox);
CREATE TABLE state(
  sandbox INT,
  key TEXT,
  version INT,
  hash BLOB,
  size INT,
  written INT,
  sealed TEXT,
  PRIMARY KEY(sandbox, key, version)
) WITHOUT ROWID;
CREATE TABLE blobs(
  id INTEGER PRIMARY KEY,
  hash BLOB UNIQUE,
  bytes BLOB
);
";

/// The kind of the row that a removal leaves, see [`TABLES`].
pub(crate) const REMOVAL: &str = "removal";
