//! One line of a listing.

use std::ffi::OsStr;
use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;

use ctrlz_core::path::RelPath;

use super::text::{escape, unescape};
use crate::entry::{Entry, Kind};

/// What an entry's line says that is not in the entry.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Shown<'a> {
    /// The BLAKE3 of a file's content.
    pub(crate) blake3: Option<blake3::Hash>,
    /// The first of several names.
    pub(crate) first: Option<&'a RelPath>,
    /// There may be more names to come.
    pub(crate) names: bool,
    /// A directory hides what lower layers have in it.
    pub(crate) opaque: bool,
}

/// Adds the line of `entry`, which is none of [`Kind::HardLink`] and [`Kind::Opaque`].
pub(crate) fn write_line(entry: &Entry, shown: Shown<'_>, line: &mut String) {
    path(&entry.path, line);
    let word = match &entry.kind {
        Kind::File { .. } | Kind::HardLink { .. } => "file",
        Kind::Directory => "dir",
        Kind::Symlink { .. } => "link",
        Kind::Fifo => "fifo",
        Kind::CharDevice { .. } => "char",
        Kind::BlockDevice { .. } => "block",
        Kind::Whiteout | Kind::Opaque => "gone",
    };
    // Writing to a String does not fail.
    let _ = write!(line, " {word}");
    if word == "gone" {
        line.push('\n');
        return;
    }
    let meta = &entry.metadata;
    let _ = write!(line, " mode={:04o} uid={} gid={}", meta.mode, meta.uid, meta.gid);
    let _ = write!(line, " time={}", crate::tar::time(meta.mtime));
    match &entry.kind {
        Kind::File { size, .. } => {
            let _ = write!(line, " size={size}");
        }
        Kind::Symlink { target } => {
            line.push_str(" to=");
            escape(target, line);
        }
        Kind::CharDevice { major, minor } | Kind::BlockDevice { major, minor } => {
            let _ = write!(line, " device={major}:{minor}");
        }
        _ => {}
    }
    if let Some(hash) = shown.blake3 {
        let _ = write!(line, " blake3={}", hash.to_hex());
    }
    for (name, value) in &meta.attributes {
        line.push_str(" x.");
        // The name ends at the last `=`, since values are hexadecimal.
        escape(name, line);
        line.push('=');
        for byte in value {
            let _ = write!(line, "{byte:02x}");
        }
    }
    if shown.opaque {
        line.push_str(" opaque");
    }
    if shown.names {
        line.push_str(" names");
    }
    if let Some(first) = shown.first {
        line.push_str(" first=");
        path(first, line);
    }
    line.push('\n');
}

/// Adds a path as one word.
pub(crate) fn path(path: &RelPath, line: &mut String) {
    if path.is_root() { line.push('.') } else { escape(path.as_bytes(), line) }
}

/// A line as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) path: RelPath,
    /// `file`, `dir`, …
    pub(super) word: String,
    /// `key=value` and bare words, in the order of the format, without the three below.
    pub(super) fields: Vec<String>,
    pub(super) opaque: bool,
    pub(super) names: bool,
    pub(super) first: Option<RelPath>,
}

impl Line {
    /// Reads a line without its end; `None` when it is none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let path = parse_path(words.next()?)?;
        let word = words.next()?;
        if !matches!(word, "file" | "dir" | "link" | "fifo" | "char" | "block" | "gone") {
            return None;
        }
        let mut line = Self {
            path,
            word: word.to_owned(),
            fields: Vec::new(),
            opaque: false,
            names: false,
            first: None,
        };
        for field in words {
            match field {
                "" => return None,
                "opaque" => line.opaque = true,
                "names" => line.names = true,
                _ => match field.strip_prefix("first=") {
                    Some(first) => line.first = Some(parse_path(first)?),
                    None => line.fields.push(field.to_owned()),
                },
            }
        }
        Some(line)
    }

    /// Writes the line as it stands in the listing of a tree.
    pub(super) fn write(&self, to: &mut String) {
        path(&self.path, to);
        to.push(' ');
        to.push_str(&self.word);
        for field in &self.fields {
            to.push(' ');
            to.push_str(field);
        }
        if let Some(first) = &self.first {
            to.push_str(" first=");
            path(first, to);
        }
        to.push('\n');
    }

    /// Whether nothing can lie below its path.
    pub(super) fn is_leaf(&self) -> bool {
        self.word != "dir"
    }
}

/// The path of a word, which says it in the only way.
pub(crate) fn parse_path(word: &str) -> Option<RelPath> {
    if word == "." {
        return Some(RelPath::root());
    }
    let bytes = unescape(word)?;
    let path = RelPath::parse(OsStr::from_bytes(&bytes)).ok()?;
    // A path that is not in its shortest form would be another way to write the same line.
    (!bytes.is_empty() && path.as_bytes() == bytes).then_some(path)
}
