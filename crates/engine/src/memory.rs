//! Snapshots that have the memory of what runs, and the return to them: files, state and memory of one moment.
//!
//! Memory lies in folders of its own beside the trees. Whoever writes one has it locked until a snapshot
//! names it, so that collection takes exactly those that nobody will name any more.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use ctrlz_core::digest::Digest;
use ctrlz_core::live::{Live, LiveMeans};
use ctrlz_core::memory::{KeptMemory, Remembered};
use ctrlz_core::sandbox::Sandbox;
use ctrlz_core::size::ByteSize;
use ctrlz_core::snapshot::{NewSnapshot, Point, Snapshot};
use ctrlz_core::span::Span;
use ctrlz_core::workspace::WorkspaceError;

use crate::core::SandboxCore;
use crate::error::EngineError;
use crate::live::Moment;

impl SandboxCore<'_> {
    /// Keeps where a sandbox stands in this moment, with the memory of the command under way in it, which
    /// is halted meanwhile and then goes on.
    ///
    /// # Errors
    /// [`EngineError::NothingRuns`], [`EngineError::MemorySuspended`], what isolates the command keeps no
    /// memory, the workspace driver takes no live snapshots, or a failed file operation. Nothing is kept
    /// then, and the command goes on.
    pub fn snapshot_with_memory(
        &self,
        sandbox: &Sandbox,
        new: &NewSnapshot,
    ) -> Result<Snapshot, EngineError> {
        let none = || EngineError::NothingRuns(sandbox.name.to_string());
        let (sandbox, open, process) = self.under_way(sandbox)?.ok_or_else(none)?;
        let operation = self.store.operation(open)?;
        let driver = self.driver_of(&sandbox)?;
        if driver.capabilities().live == LiveMeans::Unsupported {
            let what = "snapshots while a command runs";
            return Err(WorkspaceError::Unsupported { driver: driver.name(), what }.into());
        }
        // Nobody else freezes or thaws it meanwhile: what is frozen cannot write its memory.
        let turn = self.freeze_turn(&sandbox)?;
        if self.isolation.is_frozen(process) {
            return Err(EngineError::MemorySuspended(sandbox.name.to_string()));
        }
        let folder = Folder::make(self.memories()?)?;
        let moment = Moment { sandbox: &sandbox, operation: open, process };
        let mut taken = None;
        let begun = Instant::now();
        let kept = self.isolation.keep_memory(process, &folder.path, &mut || {
            taken = Some(self.take(moment, (driver, &operation, true), None));
        });
        let stopped = begun.elapsed();
        drop(turn);
        kept?;
        let goes_on =
            self.under_way(&sandbox)?.is_some_and(|now| (now.1, now.2) == (open, process));
        let (captured, state_version) = match taken {
            Some(taken) if goes_on => taken?,
            _ => return Err(EngineError::NothingRuns(sandbox.name.to_string())),
        };
        // Read back, so that what cannot be read is not called kept.
        let remembered = self.isolation.recall(&folder.path)?;
        let memory = folder.measured(remembered.driver)?;
        let tree = match captured {
            Some(captured) => captured.keep()?,
            None => operation.before.tree.clone(),
        };
        let live = Live {
            by: LiveMeans::Frozen,
            frozen_by: Some(memory.driver.to_string()),
            stopped: Span(stopped),
            memory: Some(memory),
        };
        let new = NewSnapshot { live: Some(live), ..new.clone() };
        let snapshot =
            self.store.create_snapshot(&operation, &new, &Point { tree, state_version })?;
        folder.keep();
        Ok(snapshot)
    }

    /// How the command was launched whose memory a snapshot has, and the folder with that, once all of it
    /// was seen to be as it was written.
    ///
    /// # Errors
    /// [`EngineError::NoMemory`], [`EngineError::MemoryDamaged`], or what isolated it is another version.
    pub fn recall(&self, snapshot: &Snapshot) -> Result<(Remembered, PathBuf), EngineError> {
        let memory = snapshot.live.as_ref().and_then(|live| live.memory.as_ref());
        let memory = memory.ok_or(EngineError::NoMemory(snapshot.id))?;
        let damaged = |why: String| EngineError::MemoryDamaged { snapshot: snapshot.id, why };
        // A name, whatever the store says.
        let name =
            Path::new(&memory.folder).file_name().ok_or_else(|| damaged("no name".into()))?;
        let path = self.memories()?.join(name);
        let (_, digest) = measure(&path).map_err(|error| damaged(error.to_string()))?;
        if digest != memory.digest {
            return Err(damaged(format!("{} is not what was written", path.display())));
        }
        Ok((self.isolation.recall(&path)?, path))
    }

    fn memories(&self) -> Result<&Path, EngineError> {
        let none = || EngineError::Memory {
            action: "keep",
            path: PathBuf::new(),
            source: io::Error::other("there is no place for it"),
        };
        self.memories.ok_or_else(none)
    }

    /// Removes memory that no snapshot has any more, for as long as `more` says so; answers the bytes.
    pub(crate) fn collect_memories(&self, more: &dyn Fn() -> bool) -> Result<u64, EngineError> {
        let Some(place) = self.memories else { return Ok(0) };
        let entries = match fs::read_dir(place) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            entries => entries.map_err(failed("list", place))?,
        };
        let mut freed = 0_u64;
        for entry in entries.flatten() {
            let path = entry.path();
            let Ok(lock) = File::open(&path) else { continue };
            // Who writes it has it locked; who wrote it has let a snapshot name it since.
            if lock.try_lock().is_err() || self.is_named(&entry.file_name())? {
                continue;
            }
            if !more() {
                break;
            }
            let (size, _) = sizes(&path).unwrap_or_default();
            fs::remove_dir_all(&path).map_err(failed("remove", &path))?;
            freed = freed.saturating_add(size);
        }
        Ok(freed)
    }

    fn is_named(&self, folder: &std::ffi::OsStr) -> Result<bool, EngineError> {
        for sandbox in self.store.sandboxes()? {
            let names = |snapshot: &Snapshot| {
                let memory = snapshot.live.as_ref().and_then(|live| live.memory.as_ref());
                memory.is_some_and(|memory| *memory.folder == *folder)
            };
            if self.store.snapshots(sandbox.id)?.iter().any(names) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// A folder for memory, locked, which goes unless it is kept.
struct Folder {
    path: PathBuf,
    name: String,
    is_kept: bool,
    _lock: File,
}

impl Folder {
    fn make(place: &Path) -> Result<Self, EngineError> {
        // Memory holds secrets.
        let make = |path: &Path| match fs::DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            made => made,
        };
        make(place).map_err(failed("make a place for", place))?;
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let now = since.unwrap_or_default().as_nanos();
        let name = format!("{now:x}-{}", std::process::id());
        let path = place.join(&name);
        let made = || {
            fs::DirBuilder::new().mode(0o700).create(&path)?;
            let lock = File::open(&path)?;
            lock.lock()?;
            Ok(lock)
        };
        let lock = made().map_err(failed("make a place for", &path))?;
        Ok(Self { path, name, is_kept: false, _lock: lock })
    }

    /// What lies there, once it is on the disk.
    fn measured(&self, driver: ctrlz_core::driver::Driver) -> Result<KeptMemory, EngineError> {
        let measured = measure(&self.path).and_then(|found| {
            files(&self.path)?.iter().try_for_each(|path| File::open(path)?.sync_all())?;
            File::open(&self.path)?.sync_all()?;
            Ok(found)
        });
        let (size, digest) = measured.map_err(failed("read", &self.path))?;
        Ok(KeptMemory { folder: self.name.clone(), driver, size: ByteSize(size), digest })
    }

    fn keep(mut self) {
        self.is_kept = true;
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.is_kept {
            // Collection takes what stays.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// Its files, sorted by name. It has no folders.
fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder)?.map(|entry| Ok(entry?.path()));
    let mut files: Vec<PathBuf> = entries.collect::<io::Result<_>>()?;
    files.sort();
    Ok(files)
}

/// The bytes of all files, and how many there are.
fn sizes(folder: &Path) -> io::Result<(u64, usize)> {
    let files = files(folder)?;
    let sizes = files.iter().map(|path| Ok(fs::symlink_metadata(path)?.len()));
    Ok((sizes.sum::<io::Result<u64>>()?, files.len()))
}

/// The bytes of all files, and the digest of their names and contents.
fn measure(folder: &Path) -> io::Result<(u64, Digest)> {
    let mut whole = blake3::Hasher::new_derive_key("ctrlz memory of a snapshot, format 1");
    let mut total = 0;
    for path in files(folder)? {
        let name = path.file_name().unwrap_or_default().as_encoded_bytes().to_vec();
        let mut hasher = blake3::Hasher::new();
        let file = File::open(&path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::other(format!("{} is no file", path.display())));
        }
        hasher.update_reader(&file)?;
        total += hasher.count();
        whole.update(blake3::hash(&name).as_bytes());
        whole.update(hasher.finalize().as_bytes());
    }
    Ok((total, Digest::blake3(*whole.finalize().as_bytes())))
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> EngineError {
    move |source| EngineError::Memory { action, path: path.to_owned(), source }
}
