//! Reading a file that may be anything.

use std::fs::{File, FileType, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;

use ctrlz_core::digest::Digest;
use ctrlz_core::event::ConfigurationFile;
use rustix::fs::{Mode, OFlags};
use sha2::{Digest as _, Sha256};

use crate::error::{ConfigError, Position};

/// The largest file that is read, in bytes.
const LARGEST: u64 = 1 << 20;

/// A configuration file's text.
pub(crate) struct FileText {
    pub(crate) path: Arc<Path>,
    pub(crate) text: String,
    /// Device and inode: the same file can be reached as the user's and as the project's.
    pub(crate) id: (u64, u64),
}

impl FileText {
    /// Which file it is, and what stood in it.
    pub(crate) fn recorded(&self) -> ConfigurationFile {
        recorded(&self.path, &self.text)
    }
}

/// A file with the SHA-256 of what was read of it.
pub(crate) fn recorded(path: &Path, text: &str) -> ConfigurationFile {
    let digest = Digest::sha256(Sha256::digest(text.as_bytes()).into());
    ConfigurationFile { path: path.to_string_lossy().into_owned(), digest: Some(digest) }
}

/// What has a configuration file's name.
pub(crate) enum Found {
    Nothing,
    /// Something whose owner has no say.
    Strangers,
    Text(FileText),
}

/// Reads the file at `path`, if its owner's user id `has_a_say`.
///
/// It never waits for a writer or a device, and it holds no more than 1 MiB.
pub(crate) fn read(path: &Path, has_a_say: impl FnOnce(u32) -> bool) -> Result<Found, ConfigError> {
    let cannot = |source: io::Error| ConfigError::Read { path: path.to_owned(), source };
    let met = match path.symlink_metadata() {
        Ok(met) => met,
        Err(error) if is_absent(&error) => return Ok(Found::Nothing),
        Err(error) => return Err(cannot(error)),
    };
    // A link's own owner counts: anyone can link to root's files.
    if !has_a_say(met.uid()) {
        return Ok(Found::Strangers);
    }
    // A link that leads nowhere is an error: whoever made it meant a configuration to hold.
    let target = if met.is_symlink() { path.metadata().map_err(cannot)? } else { met };
    expect_regular(path, &target)?;
    // What the name stands for may have changed since, into a FIFO for example.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file =
        rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| cannot(errno.into()))?;
    let file = File::from(file);
    let data = file.metadata().map_err(cannot)?;
    expect_regular(path, &data)?;
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(cannot)?;
    if bytes.len() as u64 > LARGEST {
        return Err(ConfigError::TooLarge { path: path.to_owned() });
    }
    let path: Arc<Path> = Arc::from(path);
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
        ConfigError::NotUtf8 { at: end_of(&path, &String::from_utf8_lossy(valid)) }
    })?;
    Ok(Found::Text(FileText { path, text, id: (data.dev(), data.ino()) }))
}

/// Whether nothing has that name. `ENOTDIR` says that a folder on the way is a file.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn expect_regular(path: &Path, data: &Metadata) -> Result<(), ConfigError> {
    if data.is_file() {
        return Ok(());
    }
    Err(ConfigError::NotAFile { path: path.to_owned(), found: describe(data.file_type()) })
}

fn describe(kind: FileType) -> &'static str {
    match kind {
        kind if kind.is_dir() => "a directory",
        kind if kind.is_fifo() => "a FIFO",
        kind if kind.is_socket() => "a socket",
        kind if kind.is_char_device() || kind.is_block_device() => "a device",
        _ => "something else",
    }
}

/// The position after `text`.
fn end_of(path: &Arc<Path>, text: &str) -> Position {
    let last = text.rsplit('\n').next().unwrap_or_default();
    Position {
        path: Arc::clone(path),
        line: text.matches('\n').count() + 1,
        column: last.chars().count() + 1,
    }
}
