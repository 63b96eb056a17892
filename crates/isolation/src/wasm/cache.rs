//! Machine code that was made of WebAssembly, kept in the store for the next start.
//!
//! An entry is a file: its header, an authentication code over its name and its content, the content. The key
//! of that code is in the same folder, which no sandbox sees. So what is read is what this ctrlz, or another
//! one with this store, has kept under that name, or it is not used.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use ctrlz_core::size::ByteSize;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, fstatvfs, memfd_create};
use rustix::rand::{GetRandomFlags, getrandom};

/// What entries begin with; the last byte is the version.
const MAGIC: &[u8; 16] = b"ctrlz wasm code\x01";
/// Bytes of the header and the authentication code.
const HEAD: usize = 48;
/// The name of the file with the key.
const KEY: &str = "key";
/// What the names of files begin with that are being written.
const NEW: &str = ".new-";
/// How long anybody writes one.
const WRITING: Duration = Duration::from_secs(3600);

/// Bytes that one entry may have.
pub(super) const MOST_OF_ONE: u64 = 256 << 20;
/// Bytes of all entries: beyond that, those go that were not used for longest.
const MOST: u64 = 1 << 30;
/// How long an entry stays that nobody uses.
const UNUSED: Duration = Duration::from_secs(30 * 24 * 3600);

/// The name of an entry: it follows from the module and all that decides what compiling it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Name(pub(super) [u8; 32]);

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A folder of entries.
#[derive(Debug)]
pub(super) struct Cache {
    folder: PathBuf,
    key: [u8; 32],
    /// So much stays free on the disk.
    least_free: ByteSize,
    most: u64,
}

/// What was looked for.
#[derive(Debug)]
pub(super) enum Looked {
    Nothing,
    /// A file in memory that nobody can change.
    Code(OwnedFd),
    /// It is not what was kept; it is gone now.
    Refused(String),
}

impl Cache {
    /// The one in `folder`, which is made when it is not there.
    pub(super) fn open(folder: &Path, least_free: Option<ByteSize>) -> io::Result<Self> {
        match DirBuilder::new().mode(0o700).create(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let status = fs::symlink_metadata(folder)?;
        if !status.is_dir() || !is_ours_alone(&status, 0o022) {
            return Err(io::Error::other("it is no folder of this user alone"));
        }
        Ok(Self {
            folder: folder.to_owned(),
            key: key(folder)?,
            least_free: least_free.unwrap_or(ByteSize(0)),
            most: MOST,
        })
    }

    /// The entry of that name.
    pub(super) fn find(&self, name: Name) -> Looked {
        let path = self.folder.join(name.to_string());
        let read = File::open(&path).and_then(|file| Ok((self.read(name, &file)?, file)));
        match read {
            Ok((code, file)) => {
                // That it is used keeps it. Who cannot write this loses an entry early.
                let _ = file.set_modified(SystemTime::now());
                Looked::Code(code)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Looked::Nothing,
            Err(error) => {
                let _ = fs::remove_file(&path);
                Looked::Refused(error.to_string())
            }
        }
    }

    fn read(&self, name: Name, file: &File) -> io::Result<OwnedFd> {
        let cut = || io::Error::other("it is not as long as what was kept");
        let length = file.metadata()?.len().checked_sub(HEAD as u64).ok_or_else(cut)?;
        if length > MOST_OF_ONE {
            return Err(io::Error::other("it is longer than anything that is kept"));
        }
        let mut head = [0; HEAD];
        (&mut &*file).read_exact(&mut head)?;
        let Some((magic, code)) = head.split_first_chunk::<16>() else { return Err(cut()) };
        if magic != MAGIC {
            return Err(io::Error::other("it is nothing that this version of ctrlz keeps"));
        }
        let memory = File::from(memory()?);
        let mut hasher = self.authentication(name, length);
        // What is checked is what is written, and nothing is read twice.
        let copied = copy(file, length, |part| {
            hasher.update(part);
            (&memory).write_all(part)
        });
        copied?;
        if *code != *hasher.finalize().as_bytes() {
            let why = "its authentication code does not suit it: somebody changed it, or it was kept \
                       under another key";
            return Err(io::Error::other(why));
        }
        settle(memory)
    }

    /// Keeps `code`, a file that nobody changes, under that name.
    pub(super) fn keep(&self, name: Name, code: &File) -> io::Result<()> {
        let length = code.metadata()?.len();
        if length > MOST_OF_ONE.min(self.most) || !self.has_room(length)? {
            return Ok(());
        }
        let new = self.folder.join(new_name()?);
        let written = self.write(&new, (name, length), code);
        let kept = written.and_then(|()| fs::rename(&new, self.folder.join(name.to_string())));
        if kept.is_err() {
            let _ = fs::remove_file(&new);
        }
        kept?;
        collect_beyond(&self.folder, self.most, SystemTime::now(), false).map(drop)
    }

    fn write(&self, new: &Path, (name, length): (Name, u64), code: &File) -> io::Result<()> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(new)?;
        let mut hasher = self.authentication(name, length);
        (&file).write_all(&[0; HEAD])?;
        copy_at(code, length, |part| {
            hasher.update(part);
            (&file).write_all(part)
        })?;
        let head = [MAGIC.as_slice(), hasher.finalize().as_bytes()].concat();
        file.write_all_at(&head, 0)
    }

    fn authentication(&self, name: Name, length: u64) -> blake3::Hasher {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(MAGIC).update(&name.0).update(&length.to_le_bytes());
        hasher
    }

    /// Whether so much more leaves the disk what is to stay free.
    fn has_room(&self, length: u64) -> io::Result<bool> {
        let disk = fstatvfs(File::open(&self.folder)?)?;
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        let least = self.least_free.0.min(disk.f_blocks.saturating_mul(disk.f_frsize) / 64);
        Ok(free >= length.saturating_add(least))
    }
}

/// Whether a file or folder is this user's, and others may not do with it what `mode` says.
fn is_ours_alone(status: &fs::Metadata, mode: u32) -> bool {
    status.uid() == rustix::process::geteuid().as_raw() && status.mode() & mode == 0
}

/// The key of the folder, made when there is none that can be used.
fn key(folder: &Path) -> io::Result<[u8; 32]> {
    let path = folder.join(KEY);
    // Another process may make one, too.
    for _ in 0..8 {
        match read_key(&path) {
            Ok(Some(key)) => return Ok(key),
            // What others know, or cannot be one, is none. All that was kept by it goes with it.
            Ok(None) => fs::remove_file(&path)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let new = folder.join(new_name()?);
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new);
        let made = made.and_then(|mut file| file.write_all(&random()?));
        // The first one is the key, and is whole.
        let linked = made.and_then(|()| fs::hard_link(&new, &path));
        let _ = fs::remove_file(&new);
        match linked {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    Err(io::Error::other("the key of what is kept changes all the time"))
}

fn read_key(path: &Path) -> io::Result<Option<[u8; 32]>> {
    let status = fs::symlink_metadata(path)?;
    if !status.is_file() || !is_ours_alone(&status, 0o077) {
        return Ok(None);
    }
    Ok(fs::read(path)?.try_into().ok())
}

fn random() -> io::Result<[u8; 32]> {
    let mut bytes = [0; 32];
    match getrandom(&mut bytes, GetRandomFlags::empty())? {
        32 => Ok(bytes),
        _ => Err(io::Error::other("the kernel gave too few random bytes")),
    }
}

fn new_name() -> io::Result<String> {
    Ok(format!("{NEW}{}", Name(random()?)))
}

/// A file in memory.
fn memory() -> io::Result<OwnedFd> {
    Ok(memfd_create("compiled", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?)
}

/// From here on nobody changes it.
fn settle(memory: File) -> io::Result<OwnedFd> {
    let all = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
    fcntl_add_seals(&memory, all)?;
    Ok(memory.into())
}

const PART: usize = 1 << 16;

/// Reads the next `length` bytes of `file`, to its end.
fn copy(file: &File, length: u64, mut to: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    let mut buffer = vec![0; PART];
    let mut left = length;
    loop {
        let read = (&mut &*file).read(&mut buffer)?;
        let part = buffer.get(..read).unwrap_or_default();
        left = match left.checked_sub(read as u64) {
            Some(left) if read > 0 || left == 0 => left,
            _ => return Err(io::Error::other("it is not as long as what was kept")),
        };
        if read == 0 {
            return Ok(());
        }
        to(part)?;
    }
}

/// Reads `length` bytes of `file` from its beginning, wherever it was read before.
pub(super) fn copy_at(
    file: &File,
    length: u64,
    mut to: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut buffer = vec![0; PART];
    let mut at = 0;
    while at < length {
        match file.read_at(&mut buffer, at)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => {
                let part = buffer.get(..read).unwrap_or_default();
                at += read as u64;
                to(part)?;
            }
        }
    }
    Ok(())
}

/// What was collected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Collected {
    /// Entries, and files of writers that died.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
}

/// Removes compiled code from `folder` that nobody used for 30 days, what is beyond 1 GiB, and what a
/// writer left that died; with `dry_run` it only says how much that is.
///
/// # Errors
/// When the folder cannot be listed; one that is not there has nothing in it.
pub fn collect(folder: &Path, now: SystemTime, dry_run: bool) -> io::Result<Collected> {
    match collect_beyond(folder, MOST, now, dry_run) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Collected::default()),
        collected => collected,
    }
}

fn collect_beyond(
    folder: &Path,
    most: u64,
    now: SystemTime,
    dry_run: bool,
) -> io::Result<Collected> {
    let mut gone = Collected::default();
    let mut remove = |path: &Path, length: u64| {
        if dry_run || fs::remove_file(path).is_ok() {
            gone.files += 1;
            gone.bytes += length;
        }
    };
    let mut entries = Vec::new();
    for file in fs::read_dir(folder)? {
        let file = file?;
        // Another process removes, too.
        let Ok(status) = file.metadata() else { continue };
        let age = now.duration_since(status.modified()?).unwrap_or_default();
        let (name, path) = (file.file_name(), file.path());
        match name.to_str() {
            Some(new) if new.starts_with(NEW) && age > WRITING => remove(&path, status.len()),
            Some(_) if is_entry(&name) => entries.push((age, status.len(), path)),
            _ => {}
        }
    }
    entries.sort();
    let mut kept: u64 = 0;
    for (age, length, path) in entries {
        match kept.checked_add(length) {
            Some(sum) if sum <= most && age <= UNUSED => kept = sum,
            _ => remove(&path, length),
        }
    }
    Ok(gone)
}

fn is_entry(name: &OsStr) -> bool {
    name.len() == 64 && name.as_encoded_bytes().iter().all(u8::is_ascii_hexdigit)
}

#[cfg(test)]
#[path = "cache_tests.rs"]
mod tests;
