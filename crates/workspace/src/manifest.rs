//! What a layer holds and what it was made on, written when it is sealed.
//!
//! A manifest is JSON lines: a head, one line per path in the order of a walk, and the BLAKE3 of
//! all before it. It serves three ends: to see a damaged layer, to find the paths of a layer
//! without walking it, and to know which version of the base an operation saw, so that a commit
//! can tell a stranger's change.

use std::borrow::Cow;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use ctrlz_core::digest::Digest;
use ctrlz_core::path::RelPath;
use ctrlz_core::time::Timestamp;
use ctrlz_core::workspace::WorkspaceError;
use serde::{Deserialize, Serialize};

use crate::node::{Version, failed};

/// The first field of the head; other formats are refused.
const FORMAT: &str = "ctrlz-layer-1";

/// A layer's manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Manifest {
    /// When the operation began, plus one nanosecond: an entry of the base with this or a later
    /// ctime was changed while the operation ran.
    pub since: Timestamp,
    /// Whether the root directory's own mode, owner or attributes are part of the layer.
    pub root: bool,
    /// One per path, parents before children.
    pub records: Vec<Record>,
}

/// One path of a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    /// Where.
    pub path: RelPath,
    /// What the layer has there; `None` when the record only tells about the base.
    pub entry: Option<Version>,
    /// Whether it is a directory that hides lower ones.
    pub opaque: bool,
    /// What the base had there.
    pub base: Option<Version>,
    /// Whether someone changed the base's entry while the operation ran.
    pub raced: bool,
}

#[derive(Serialize, Deserialize)]
struct Head {
    format: String,
    since: Timestamp,
    root: bool,
    records: usize,
}

/// dev, ino, size, mtime, ctime, mode, uid, gid, rdev, nlink.
type Row = (u64, u64, u64, i64, i64, u32, u32, u32, u64, u32);

#[derive(Serialize, Deserialize)]
struct Line<'a> {
    path: Cow<'a, RelPath>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    entry: Option<Row>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    opaque: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    base: Option<Row>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    raced: bool,
}

#[derive(Serialize, Deserialize)]
struct Tail {
    blake3: String,
}

fn row(v: &Version) -> Row {
    (v.dev, v.ino, v.size, v.mtime.0, v.ctime.0, v.mode, v.uid, v.gid, v.rdev, v.nlink)
}

fn version((dev, ino, size, mtime, ctime, mode, uid, gid, rdev, nlink): Row) -> Version {
    let (mtime, ctime) = (Timestamp(mtime), Timestamp(ctime));
    Version { dev, ino, size, mtime, ctime, mode, uid, gid, rdev, nlink }
}

impl Manifest {
    /// Writes the new file `path`; answers the digest of all of it but the last line.
    ///
    /// # Errors
    /// When it exists or cannot be written; nothing is left of it then, save after a crash.
    pub(crate) fn write(&self, path: &Path) -> Result<Digest, WorkspaceError> {
        let (text, digest) = self.text().map_err(failed("write the manifest", path))?;
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map_err(failed("create the manifest", path))?;
        file.write_all(&text).map_err(|error| {
            // The first error is the one to tell; an orphan is collected later.
            let _ = std::fs::remove_file(path);
            failed("write the manifest", path)(error)
        })?;
        Ok(Digest::blake3(digest.into()))
    }

    /// Its text, and the digest of all of it but the last line.
    ///
    /// # Errors
    /// When a path cannot be written as JSON.
    pub(crate) fn text(&self) -> std::io::Result<(Vec<u8>, blake3::Hash)> {
        let mut text = Vec::with_capacity(256 + self.records.len() * 224);
        let records = self.records.len();
        let head = Head { format: FORMAT.to_owned(), since: self.since, root: self.root, records };
        serde_json::to_writer(&mut text, &head)?;
        text.push(b'\n');
        for record in &self.records {
            let line = Line {
                path: Cow::Borrowed(&record.path),
                entry: record.entry.as_ref().map(row),
                opaque: record.opaque,
                base: record.base.as_ref().map(row),
                raced: record.raced,
            };
            serde_json::to_writer(&mut text, &line)?;
            text.push(b'\n');
        }
        let digest = blake3::hash(&text);
        let tail = Tail { blake3: digest.to_hex().to_string() };
        serde_json::to_writer(&mut text, &tail)?;
        text.push(b'\n');
        Ok((text, digest))
    }

    /// Reads and checks the manifest at `path`.
    ///
    /// # Errors
    /// [`WorkspaceError::Damaged`] when it is missing or not as it was written.
    pub(crate) fn read(path: &Path) -> Result<Self, WorkspaceError> {
        let damaged = |what| move || WorkspaceError::Damaged { what, path: path.to_owned() };
        let text = match std::fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(damaged("a manifest is missing")());
            }
            Err(error) => return Err(failed("read the manifest", path)(error)),
        };
        Self::parse(&text).ok_or_else(damaged("a manifest is not as it was written"))
    }

    /// The manifest with this text; nothing when it is not as it was written.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let body = text.strip_suffix(b"\n")?;
        let tail_at = body.iter().rposition(|byte| *byte == b'\n')? + 1;
        let (head_and_lines, tail) = body.split_at_checked(tail_at)?;
        let tail: Tail = serde_json::from_slice(tail).ok()?;
        if blake3::hash(head_and_lines).to_hex().as_str() != tail.blake3 {
            return None;
        }
        let mut lines = head_and_lines.strip_suffix(b"\n")?.split(|byte| *byte == b'\n');
        let head: Head = serde_json::from_slice(lines.next()?).ok()?;
        if head.format != FORMAT {
            return None;
        }
        let records: Vec<Record> = lines
            .map(|line| {
                let line: Line<'_> = serde_json::from_slice(line).ok()?;
                Some(Record {
                    path: line.path.into_owned(),
                    entry: line.entry.map(version),
                    opaque: line.opaque,
                    base: line.base.map(version),
                    raced: line.raced,
                })
            })
            .collect::<Option<_>>()?;
        (records.len() == head.records).then_some(Self {
            since: head.since,
            root: head.root,
            records,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        let dir = tempfile::tempdir().expect("temporary directory");
        let version = crate::node::version(dir.path()).expect("stat");
        let record = |path: &[u8], entry, raced| {
            use std::os::unix::ffi::OsStrExt;
            let path = RelPath::parse(std::ffi::OsStr::from_bytes(path)).expect("valid");
            Record { path, entry, opaque: raced, base: version, raced }
        };
        let records = vec![
            record(b"a", version, false),
            record(b"a/with\nline", None, true),
            record(b"a/\xff\xfe", version, true),
        ];
        Manifest { since: Timestamp(5), root: true, records }
    }

    #[test]
    fn comes_back_as_written() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("m");
        let written = manifest();
        written.write(&path).expect("write");
        assert_eq!(Manifest::read(&path).expect("read"), written);
        assert!(written.write(&path).is_err(), "a manifest is never replaced");
    }

    #[test]
    fn every_flipped_or_missing_byte_is_seen() {
        let (text, _) = manifest().text().expect("text");
        assert!(Manifest::parse(&text).is_some());
        for at in 0..text.len() {
            let mut bad = text.clone();
            bad[at] ^= 1;
            assert_eq!(Manifest::parse(&bad), None, "byte {at}");
            assert_eq!(Manifest::parse(&text[..at]), None, "cut at {at}");
        }
    }

    #[test]
    fn a_missing_manifest_is_damage() {
        let missing = Manifest::read(Path::new("/nonexistent/manifest"));
        assert!(matches!(missing, Err(WorkspaceError::Damaged { .. })));
    }
}
