//! The file that remembers versions.
//!
//! ```text
//! ctrlz-base-1
//! PATH INODE SIZE MTIME CTIME MODE UID GID RDEV NAMES [recent]
//! …
//! {"directory":…,"layers":[…]}
//! BLAKE3 of all before it
//! ```

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use ctrlz_core::path::RelPath;
use serde::{Deserialize, Serialize};

use crate::entry::FileTime;
use crate::error::ArchiveError;
use crate::listing::{parse_path, write_path};
use crate::source::Version;

const HEAD: &[u8] = b"ctrlz-base-1\n";
/// 64 hexadecimal digits and the end of the line.
const SUM: u64 = 65;
/// More than the tail of an index can need: the names of some layers.
const TAIL: u64 = 1 << 16;

/// What the index says of all of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tail {
    /// Of which directory.
    #[serde(with = "ctrlz_core::path::host")]
    pub(super) directory: PathBuf,
    /// What holds it, lowest first, in the caller's words.
    pub(super) layers: Vec<String>,
}

/// What the index says of one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) path: RelPath,
    pub(super) version: Version,
    /// It was changed so shortly before the archive that a later change might not show.
    pub(super) recent: bool,
}

/// The lines of an index that was checked.
#[derive(Debug)]
pub(super) struct Index {
    input: std::io::Take<BufReader<File>>,
    line: String,
    pub(super) tail: Tail,
}

impl Index {
    /// Opens the index at `path`; `None` when there is none that is whole.
    pub(super) fn open(path: &Path) -> Result<Option<Self>, ArchiveError> {
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(ArchiveError::io("open", path)(error)),
        };
        let Some((tail, lines)) = check(&mut file).map_err(ArchiveError::io("read", path))? else {
            return Ok(None);
        };
        file.seek(SeekFrom::Start(HEAD.len() as u64)).map_err(ArchiveError::io("read", path))?;
        let input = BufReader::with_capacity(1 << 16, file).take(lines);
        Ok(Some(Self { input, line: String::new(), tail }))
    }

    /// The next path; `None` at the end, and where a line is not as we write it.
    pub(super) fn next_known(&mut self) -> std::io::Result<Option<Known>> {
        self.line.clear();
        self.input.read_line(&mut self.line)?;
        Ok(self.line.strip_suffix('\n').and_then(parse))
    }
}

/// Checks the sum; answers the tail and how many bytes the lines have.
fn check(file: &mut File) -> std::io::Result<Option<(Tail, u64)>> {
    let length = file.metadata()?.len();
    let Some(body) = length.checked_sub(SUM).filter(|body| *body > HEAD.len() as u64) else {
        return Ok(None);
    };
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 1 << 17];
    let mut rest = body;
    let mut head = true;
    while rest > 0 {
        let most = usize::try_from(rest).unwrap_or(usize::MAX).min(buffer.len());
        let room = buffer.get_mut(..most).unwrap_or_default();
        file.read_exact(room)?;
        if head && !room.starts_with(HEAD) {
            return Ok(None);
        }
        head = false;
        hasher.update(room);
        rest -= most as u64;
    }
    let mut sum = String::new();
    if file.read_to_string(&mut sum).is_err() || sum != format!("{}\n", hasher.finalize().to_hex())
    {
        return Ok(None);
    }
    let start = body.saturating_sub(TAIL);
    file.seek(SeekFrom::Start(start))?;
    let mut end = Vec::new();
    file.take(body - start).read_to_end(&mut end)?;
    let Some(text) = end.strip_suffix(b"\n") else { return Ok(None) };
    let at = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let Ok(tail) = serde_json::from_slice(text.get(at..).unwrap_or_default()) else {
        return Ok(None);
    };
    Ok(Some((tail, start + at as u64 - HEAD.len() as u64)))
}

fn parse(line: &str) -> Option<Known> {
    let mut words = line.split(' ');
    let path = parse_path(words.next()?)?;
    let mut number = || words.next()?.parse::<u64>().ok();
    let (ino, size) = (number()?, number()?);
    let mut time = || words.next().and_then(crate::tar::parse_time);
    let (mtime, ctime) = (time()?, time()?);
    let mut number = || words.next()?.parse::<u64>().ok();
    let mut small = || number().and_then(|number| u32::try_from(number).ok());
    let (mode, uid, gid) = (small()?, small()?, small()?);
    let (rdev, nlink) = (number()?, number()?);
    let recent = match words.next() {
        None => false,
        Some("recent") => true,
        Some(_) => return None,
    };
    let version = Version { ino, size, mtime, ctime, mode, uid, gid, rdev, nlink };
    Some(Known { path, version, recent })
}

/// An index that is being written beside the one that counts.
#[derive(Debug)]
pub(super) struct NewIndex {
    path: PathBuf,
    temporary: PathBuf,
    out: BufWriter<File>,
    hasher: blake3::Hasher,
    line: String,
    kept: bool,
}

impl NewIndex {
    /// Begins one that is to lie at `path`.
    pub(super) fn create(path: &Path) -> Result<Self, ArchiveError> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.new", std::process::id()));
        let temporary = path.with_file_name(name);
        let file = File::create(&temporary).map_err(ArchiveError::io("create", &temporary))?;
        let out = BufWriter::with_capacity(1 << 16, file);
        let mut this = Self {
            path: path.to_owned(),
            temporary,
            out,
            hasher: blake3::Hasher::new(),
            line: String::new(),
            kept: false,
        };
        this.write(HEAD)?;
        Ok(this)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        self.hasher.update(bytes);
        self.out.write_all(bytes).map_err(ArchiveError::io("write", &self.temporary))
    }

    /// Adds a path, in the order of the paths.
    pub(super) fn add(
        &mut self,
        path: &RelPath,
        version: &Version,
        recent: bool,
    ) -> Result<(), ArchiveError> {
        use std::fmt::Write as _;
        let mut line = std::mem::take(&mut self.line);
        line.clear();
        write_path(path, &mut line);
        let Version { ino, size, mtime, ctime, mode, uid, gid, rdev, nlink } = version;
        let time = |time: &FileTime| crate::tar::time(*time);
        let (mtime, ctime) = (time(mtime), time(ctime));
        let recent = if recent { " recent" } else { "" };
        // Writing to a String does not fail.
        let _ = writeln!(
            line,
            " {ino} {size} {mtime} {ctime} {mode} {uid} {gid} {rdev} {nlink}{recent}"
        );
        let written = self.write(line.as_bytes());
        self.line = line;
        written
    }

    /// Puts it in the place of the one before, on disk before it has the name.
    pub(super) fn keep(mut self, tail: &Tail) -> Result<(), ArchiveError> {
        let text = serde_json::to_string(tail)
            .map_err(|error| ArchiveError::io("write", &self.temporary)(error))?;
        self.write(text.as_bytes())?;
        self.write(b"\n")?;
        let sum = format!("{}\n", self.hasher.finalize().to_hex());
        let out = &mut self.out;
        out.write_all(sum.as_bytes())
            .and_then(|()| out.flush())
            .and_then(|()| out.get_ref().sync_all())
            .map_err(ArchiveError::io("write", &self.temporary))?;
        std::fs::rename(&self.temporary, &self.path)
            .map_err(ArchiveError::io("write", &self.path))?;
        self.kept = true;
        Ok(())
    }
}

impl Drop for NewIndex {
    fn drop(&mut self) {
        if !self.kept {
            // It is of no use; the next one of this process replaces it, too.
            let _ = std::fs::remove_file(&self.temporary);
        }
    }
}
