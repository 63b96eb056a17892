//! A place that is a directory: an OCI image layout (OCI image specification 1.1, image-layout.md).
//!
//! ```text
//! oci-layout             what this is
//! index.json             the names
//! blobs/sha256/HEX       the blobs
//! .ctrlz/lock            shared by those who write, alone for whoever collects
//! .ctrlz/index.lock      alone for whoever changes index.json, by way of
//! .ctrlz/index.json.new
//! .ctrlz/partial/        what is not whole yet
//! .ctrlz/reserve         space that is kept back for writing index.json on a full disk
//! ```
//!
//! Everything appears by rename. What a crash leaves lies in `partial` and is gone on with by the
//! next writer of the same blob, or collected.

mod partial;
mod reserve;
mod sweep;
mod writer;

use std::fs::{self, DirBuilder, File};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ctrlz_core::digest::{Algorithm, Digest};
use serde::{Deserialize, Serialize};

use super::lock::{Lock, Way};
use super::{Blob, Bytes, Expect, Hold, Named, Place, Source, Sweep};
use crate::image::{Bounds, Index, IndexEntry, parse, read_limited};
use crate::{ArchiveError, Descriptor};
use partial::Partial;

pub use writer::BlobWriter;

/// How long to wait for whoever changes the index; they hold it for some milliseconds.
const PATIENCE_FOR_INDEX: Duration = Duration::from_secs(60);

/// How long to wait for a collection to end before writing.
const PATIENCE_FOR_COLLECTION: Duration = Duration::from_secs(600);

/// A place that is a directory.
#[derive(Debug, Clone)]
pub struct Directory {
    path: PathBuf,
}

/// The file `oci-layout`.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Layout {
    image_layout_version: String,
}

impl Directory {
    /// Opens the image layout in `path`. Nothing is written.
    ///
    /// # Errors
    /// When there is none, or one of another version.
    pub fn open(path: &Path) -> Result<Self, ArchiveError> {
        let file = path.join("oci-layout");
        let opened = File::open(&file).map_err(ArchiveError::io("open", &file))?;
        let bytes = read_limited(opened, 4096, "oci-layout")?;
        let layout: Layout = parse(&bytes, 4096, "oci-layout")?;
        if !layout.image_layout_version.starts_with("1.") {
            let why = format!("version `{}`, not 1", layout.image_layout_version.escape_debug());
            return Err(ArchiveError::malformed("oci-layout", why));
        }
        Ok(Self { path: path.to_owned() })
    }

    /// Opens the image layout in `path`, which is made when nothing is there. Only its owner may
    /// look into a new one.
    ///
    /// # Errors
    /// When it cannot be made, or something else lies there.
    pub fn create(path: &Path) -> Result<Self, ArchiveError> {
        let place = Self { path: path.to_owned() };
        let marker = path.join("oci-layout");
        if fs::exists(&marker).map_err(ArchiveError::io("look for", &marker))? {
            return Self::open(path);
        }
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(path).map_err(ArchiveError::io("create", path))?;
        for directory in ["blobs/sha256", ".ctrlz/partial"] {
            let directory = path.join(directory);
            builder.create(&directory).map_err(ArchiveError::io("create", &directory))?;
        }
        let _lock = place.lock_index()?;
        // Somebody else's names must survive a layout whose marker is missing.
        if !fs::exists(place.index_path()).map_err(ArchiveError::io("look for", path))? {
            place.write_index(&Index::default())?;
        }
        place.replace("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        sync_directory(path)?;
        Ok(place)
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where a blob lies or would lie.
    #[must_use]
    pub fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.blobs().join(digest.hex())
    }

    /// Begins a blob whose name is known only at its end. A [`Place::hold`] has to live meanwhile
    /// and until a manifest names the blob.
    ///
    /// # Errors
    /// When no file can be made.
    pub fn begin_blob(&self) -> Result<BlobWriter, ArchiveError> {
        BlobWriter::begin(self.clone())
    }

    fn blobs(&self) -> PathBuf {
        self.path.join("blobs/sha256")
    }

    fn own(&self, name: &str) -> PathBuf {
        self.path.join(".ctrlz").join(name)
    }

    fn index_path(&self) -> PathBuf {
        self.path.join("index.json")
    }

    fn make_own_directories(&self) -> Result<(), ArchiveError> {
        let path = self.own("partial");
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(&path).map_err(ArchiveError::io("create", &path))?;
        let blobs = self.blobs();
        builder.create(&blobs).map_err(ArchiveError::io("create", &blobs))
    }

    fn lock_index(&self) -> Result<Lock, ArchiveError> {
        self.make_own_directories()?;
        Lock::take(&self.own("index.lock"), Way::Alone, PATIENCE_FOR_INDEX)?
            .ok_or_else(|| self.busy("its index has been locked for a minute by another process"))
    }

    fn busy(&self, what: &str) -> ArchiveError {
        ArchiveError::Busy { place: self.address(), what: what.to_owned() }
    }

    fn read_index(&self) -> Result<Index, ArchiveError> {
        let path = self.index_path();
        let file = File::open(&path).map_err(ArchiveError::io("open", &path))?;
        Index::parse(&read_limited(file, Bounds::INDEX, "index.json")?, Bounds::INDEX)
    }

    fn write_index(&self, index: &Index) -> Result<(), ArchiveError> {
        let bytes = index.to_bytes()?;
        self.replace("index.json", &bytes)?;
        reserve::keep(&self.own("reserve"), bytes.len());
        Ok(())
    }

    /// Replaces a file in the layout's root: before and after a crash it is the old or the new one.
    /// On a full disk the space that is kept back is used.
    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), ArchiveError> {
        let written = self.try_replace(name, bytes).or_else(|error| {
            match reserve::give_up(&self.own("reserve"), &error)? {
                true => self.try_replace(name, bytes),
                false => Err(error),
            }
        });
        written.map_err(ArchiveError::io("write", self.path.join(name)))?;
        sync_directory(&self.path)
    }

    /// The index's lock is held, so that one name is enough for what is not whole yet.
    fn try_replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let temporary = self.own(&format!("{name}.new"));
        remove_if_there(&temporary)?;
        let mut file = new_file(&temporary)?;
        let written = file.write_all(bytes).and_then(|()| file.sync_all());
        if let Err(error) = written {
            // On a full disk it would keep what little space it got.
            let _ = remove_if_there(&temporary);
            return Err(error);
        }
        fs::rename(&temporary, self.path.join(name))
    }

    /// Changes the index, alone; `change` answers whether there is anything to write.
    fn change_index(
        &self,
        change: impl FnOnce(&mut Index) -> Result<bool, ArchiveError>,
    ) -> Result<bool, ArchiveError> {
        let _lock = self.lock_index()?;
        let mut index = self.read_index()?;
        let changed = change(&mut index)?;
        if changed {
            self.write_index(&index)?;
        }
        Ok(changed)
    }
}

/// The shared lock, which keeps collection away.
struct Writing {
    _lock: Lock,
}

impl Hold for Writing {
    fn lost(&self, _: &[Blob]) -> Result<Vec<Blob>, ArchiveError> {
        // A collection has the lock alone.
        Ok(Vec::new())
    }
}

impl Place for Directory {
    fn address(&self) -> String {
        self.path.display().to_string()
    }

    fn hold(&self) -> Result<Box<dyn Hold + '_>, ArchiveError> {
        self.make_own_directories()?;
        let lock = Lock::take(&self.own("lock"), Way::Shared, PATIENCE_FOR_COLLECTION)?
            .ok_or_else(|| self.busy("it has been collected for ten minutes"))?;
        Ok(Box::new(Writing { _lock: lock }))
    }

    fn find(&self, digest: &Digest) -> Result<Option<u64>, ArchiveError> {
        let path = self.blob_path(digest);
        match fs::symlink_metadata(&path) {
            Ok(status) if status.is_file() => Ok(Some(status.len())),
            Ok(_) => Err(ArchiveError::damaged(*digest, "it is no file")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(ArchiveError::io("look for", path)(error)),
        }
    }

    fn read(&self, blob: &Blob, from: u64) -> Result<Bytes, ArchiveError> {
        let mut file = self.open_blob(&blob.digest)?;
        if from > 0 {
            let path = self.blob_path(&blob.digest);
            file.seek(SeekFrom::Start(from)).map_err(ArchiveError::io("read", path))?;
        }
        Ok(Box::new(file))
    }

    fn write(
        &self,
        blob: &Blob,
        source: &Source<'_>,
        sent: &(dyn Fn(u64) + Sync),
    ) -> Result<(), ArchiveError> {
        self.make_own_directories()?;
        Partial::take(self, blob)?.fill(source, sent)
    }

    fn names(&self) -> Result<Vec<Named>, ArchiveError> {
        let named = |entry: IndexEntry| {
            let name = entry.name()?.to_owned();
            Some(Named { name, descriptor: entry.unnamed() })
        };
        Ok(self.read_index()?.manifests.into_iter().filter_map(named).collect())
    }

    fn roots(&self) -> Result<Vec<Descriptor>, ArchiveError> {
        Ok(self.read_index()?.manifests.into_iter().map(|entry| entry.descriptor).collect())
    }

    fn resolve(&self, name: &str) -> Result<Option<Descriptor>, ArchiveError> {
        Ok(self.read_index()?.named(name).cloned().map(IndexEntry::unnamed))
    }

    fn manifest(&self, descriptor: &Descriptor) -> Result<Vec<u8>, ArchiveError> {
        read_limited(self.open_blob(&descriptor.digest)?, Bounds::MANIFEST, "the manifest")
    }

    fn store_manifest(&self, manifest: &Descriptor, bytes: &[u8]) -> Result<(), ArchiveError> {
        super::write_small(self, &Blob::from(manifest), bytes)
    }

    fn publish(
        &self,
        name: &str,
        manifest: &Descriptor,
        bytes: &[u8],
        expect: Expect,
    ) -> Result<(), ArchiveError> {
        super::write_small(self, &Blob::from(manifest), bytes)?;
        self.change_index(|index| {
            super::meets(self, name, index.named(name).map(|e| e.descriptor.digest), expect)?;
            index.set(name, manifest.clone());
            Ok(true)
        })
        .map(drop)
    }

    fn withdraw(&self, name: &str) -> Result<bool, ArchiveError> {
        self.change_index(|index| Ok(index.remove(name)))
    }

    fn sweep(&self, patience: Duration) -> Result<Box<dyn Sweep + '_>, ArchiveError> {
        self.make_own_directories()?;
        let lock = Lock::take(&self.own("lock"), Way::Alone, patience)?.ok_or_else(|| {
            self.busy("somebody writes to it or collects it; collect it when they have ended")
        })?;
        Ok(Box::new(sweep::Sweeping::new(self, lock)))
    }
}

impl Directory {
    fn open_blob(&self, digest: &Digest) -> Result<File, ArchiveError> {
        if digest.algorithm != Algorithm::Sha256 {
            return Err(ArchiveError::Missing(*digest));
        }
        let path = self.blob_path(digest);
        let opened = fs::OpenOptions::new()
            .read(true)
            .custom_flags(
                (rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK).bits() as i32
            )
            .open(&path);
        match opened {
            Ok(file) if file.metadata().is_ok_and(|status| status.is_file()) => Ok(file),
            Ok(_) => Err(ArchiveError::damaged(*digest, "it is no file")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(ArchiveError::Missing(*digest))
            }
            Err(error) => Err(ArchiveError::io("open", path)(error)),
        }
    }

    /// Gives a whole file its place among the blobs.
    fn settle(&self, file: &File, from: &Path, digest: &Digest) -> Result<(), ArchiveError> {
        let to = self.blob_path(digest);
        file.sync_all().map_err(ArchiveError::io("write", from))?;
        fs::rename(from, &to).map_err(ArchiveError::io("create", &to))?;
        sync_directory(&self.blobs())
    }
}

/// A new file for reading and writing.
fn new_file(path: &Path) -> io::Result<File> {
    fs::OpenOptions::new().read(true).write(true).create_new(true).open(path)
}

/// Removes a file; whether it was there.
fn remove_if_there(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn sync_directory(path: &Path) -> Result<(), ArchiveError> {
    File::open(path)
        .and_then(|directory| directory.sync_all())
        .map_err(ArchiveError::io("write", path))
}

/// Sixteen digits that nobody else chose.
fn random_word() -> Result<String, ArchiveError> {
    crate::random::word().map_err(ArchiveError::io("read random bytes for", ".ctrlz/partial"))
}

/// Whether two names lead to the same file.
fn is_same(file: &File, path: &Path) -> io::Result<bool> {
    let open = file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(named) => Ok((open.dev(), open.ino()) == (named.dev(), named.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
