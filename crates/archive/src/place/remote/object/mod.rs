//! A place in an object store: S3 and its kin, Google Cloud Storage, Azure Blob Storage.
//!
//! The same files as in a directory, as keys below a prefix: `oci-layout`, `index.json`,
//! `blobs/sha256/HEX`. `index.json` is replaced by conditional puts, so that of two writers one
//! repeats. `.ctrlz/collection` says who collects, see [`sweep`].

mod connect;
mod sweep;
mod upload;

use std::sync::Arc;
use std::time::Duration;

use ctrlz_core::digest::Digest;
use futures_util::{StreamExt, TryStreamExt};
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::{
    GetOptions, GetRange, GetResult, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload,
    UpdateVersion,
};

use super::super::{Blob, Bytes, Expect, Hold, Named, Place, Source, Sweep, meets};
use super::runtime::{Runtime, StreamReader};
use crate::image::{Bounds, Index, IndexEntry};
use crate::{ArchiveError, Descriptor};
use upload::Budget;

/// How often a change of the index is tried when others change it, too.
const TRIES: u32 = 32;

/// A place in an object store.
#[derive(Clone)]
pub struct Object {
    runtime: Runtime,
    store: Arc<dyn ObjectStore>,
    multipart: Arc<dyn MultipartStore>,
    prefix: Path,
    address: String,
    budget: Budget,
    /// Where it is noted which uploads are under way, so that another process can go on with them.
    notes: Option<std::path::PathBuf>,
}

impl std::fmt::Debug for Object {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Object({})", self.address)
    }
}

/// A version of `index.json`.
struct Version {
    index: Index,
    /// `None` when there is none yet.
    version: Option<UpdateVersion>,
}

impl Object {
    fn key(&self, name: &str) -> Path {
        name.split('/').fold(self.prefix.clone(), |path, part| path.join(part))
    }

    fn blob_key(&self, digest: &Digest) -> Path {
        self.key(&format!("blobs/sha256/{}", digest.hex()))
    }

    /// What to do with an error of the store.
    fn failed<'a>(
        &'a self,
        action: impl Into<String> + 'a,
    ) -> impl FnOnce(object_store::Error) -> ArchiveError + 'a {
        move |error| match error {
            object_store::Error::NotImplemented { .. }
            | object_store::Error::NotSupported { .. } => ArchiveError::Unsupported {
                place: self.address.clone(),
                what: "change its index safely",
                why: format!("its store knows no conditional writes ({error})"),
            },
            error => ArchiveError::Place {
                action: action.into(),
                place: self.address.clone(),
                transient: connect::is_transient(&error),
                source: Box::new(error),
            },
        }
    }

    /// A whole object of at most `limit` bytes.
    fn small(
        &self,
        name: &str,
        limit: u64,
    ) -> Result<Option<(Vec<u8>, UpdateVersion)>, ArchiveError> {
        let what = || format!("read `{name}` from");
        let result = match self.runtime.wait(self.store.get(&self.key(name))) {
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            other => other.map_err(self.failed(what()))?,
        };
        let version = UpdateVersion {
            e_tag: result.meta.e_tag.clone(),
            version: result.meta.version.clone(),
        };
        Ok(Some((self.limited(result, limit, &what())?, version)))
    }

    fn limited(&self, result: GetResult, limit: u64, what: &str) -> Result<Vec<u8>, ArchiveError> {
        let mut stream = result.into_stream();
        let mut bytes = Vec::new();
        while let Some(chunk) = self.runtime.wait(stream.next()) {
            bytes.extend_from_slice(&chunk.map_err(self.failed(what))?);
            if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > limit {
                let why = format!("it is larger than {limit} bytes");
                return Err(ArchiveError::malformed("a document", why));
            }
        }
        Ok(bytes)
    }

    fn read_index(&self) -> Result<Version, ArchiveError> {
        match self.small("index.json", Bounds::INDEX)? {
            None => Ok(Version { index: Index::default(), version: None }),
            Some((bytes, version)) => {
                let index = Index::parse(&bytes, Bounds::INDEX)?;
                Ok(Version { index, version: Some(version) })
            }
        }
    }

    /// Puts an object when it is what it was; whether that was so.
    fn put_if(
        &self,
        name: &str,
        bytes: Vec<u8>,
        version: Option<UpdateVersion>,
    ) -> Result<Option<UpdateVersion>, ArchiveError> {
        let mode = version.map_or(PutMode::Create, PutMode::Update);
        let options = PutOptions { mode, ..PutOptions::default() };
        let key = self.key(name);
        let put = self.store.put_opts(&key, PutPayload::from(bytes), options);
        match self.runtime.wait(put) {
            Ok(put) => Ok(Some(UpdateVersion { e_tag: put.e_tag, version: put.version })),
            Err(
                object_store::Error::Precondition { .. }
                | object_store::Error::AlreadyExists { .. }
                | object_store::Error::NotFound { .. },
            ) => Ok(None),
            Err(error) => Err(self.failed(format!("write `{name}` to"))(error)),
        }
    }

    /// Changes the index; `change` is asked again when somebody else was faster.
    fn change_index(
        &self,
        mut change: impl FnMut(&mut Index) -> Result<bool, ArchiveError>,
    ) -> Result<bool, ArchiveError> {
        for number in 0..TRIES {
            let Version { mut index, version } = self.read_index()?;
            if !change(&mut index)? {
                return Ok(false);
            }
            if version.is_none() {
                self.put_layout()?;
            }
            if self.put_if("index.json", index.to_bytes()?, version)?.is_some() {
                return Ok(true);
            }
            // Not all at the same time again.
            let random = crate::random::number().unwrap_or(u64::from(number));
            let most = 50u64.saturating_mul(1 << number.min(5));
            std::thread::sleep(Duration::from_millis(random % most));
        }
        Err(ArchiveError::Busy {
            place: self.address.clone(),
            what: format!("its index was changed {TRIES} times by others meanwhile; try again"),
        })
    }

    fn put_layout(&self) -> Result<(), ArchiveError> {
        let bytes = br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec();
        self.put_if("oci-layout", bytes, None).map(drop)
    }
}

impl Place for Object {
    fn address(&self) -> String {
        self.address.clone()
    }

    fn hold(&self) -> Result<Box<dyn Hold + '_>, ArchiveError> {
        Ok(Box::new(sweep::Writing::begin(self)?))
    }

    fn find(&self, digest: &Digest) -> Result<Option<u64>, ArchiveError> {
        match self.runtime.wait(self.store.head(&self.blob_key(digest))) {
            Ok(meta) => Ok(Some(meta.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed(format!("look for blob {digest} at"))(error)),
        }
    }

    fn read(&self, blob: &Blob, from: u64) -> Result<Bytes, ArchiveError> {
        if from >= blob.size {
            // No store gives an empty range.
            return match self.find(&blob.digest)? {
                Some(_) => Ok(Box::new(std::io::empty())),
                None => Err(ArchiveError::Missing(blob.digest)),
            };
        }
        let range = (from > 0).then_some(GetRange::Offset(from));
        let options = GetOptions { range, ..GetOptions::default() };
        let key = self.blob_key(&blob.digest);
        let what = format!("read blob {} from", blob.digest);
        let result = match self.runtime.wait(self.store.get_opts(&key, options)) {
            Err(object_store::Error::NotFound { .. }) => {
                return Err(ArchiveError::Missing(blob.digest));
            }
            other => other.map_err(self.failed(what.clone()))?,
        };
        let place = self.clone();
        let stream = result.into_stream().map_err(move |error| place.failed(what.clone())(error));
        Ok(Box::new(StreamReader::new(&self.runtime, stream)))
    }

    fn write(
        &self,
        blob: &Blob,
        source: &Source<'_>,
        sent: &(dyn Fn(u64) + Sync),
    ) -> Result<(), ArchiveError> {
        upload::write(self, blob, source, sent)
    }

    fn names(&self) -> Result<Vec<Named>, ArchiveError> {
        let named = |entry: IndexEntry| {
            let name = entry.name()?.to_owned();
            Some(Named { name, descriptor: entry.unnamed() })
        };
        Ok(self.read_index()?.index.manifests.into_iter().filter_map(named).collect())
    }

    fn roots(&self) -> Result<Vec<Descriptor>, ArchiveError> {
        let entries = self.read_index()?.index.manifests;
        Ok(entries.into_iter().map(|entry| entry.descriptor).collect())
    }

    fn resolve(&self, name: &str) -> Result<Option<Descriptor>, ArchiveError> {
        Ok(self.read_index()?.index.named(name).cloned().map(IndexEntry::unnamed))
    }

    fn manifest(&self, descriptor: &Descriptor) -> Result<Vec<u8>, ArchiveError> {
        let digest = descriptor.digest;
        let name = format!("blobs/sha256/{}", digest.hex());
        match self.small(&name, Bounds::MANIFEST)? {
            Some((bytes, _)) => Ok(bytes),
            None => Err(ArchiveError::Missing(digest)),
        }
    }

    fn store_manifest(&self, manifest: &Descriptor, bytes: &[u8]) -> Result<(), ArchiveError> {
        super::super::write_small(self, &Blob::from(manifest), bytes)
    }

    fn publish(
        &self,
        name: &str,
        manifest: &Descriptor,
        bytes: &[u8],
        expect: Expect,
    ) -> Result<(), ArchiveError> {
        self.store_manifest(manifest, bytes)?;
        self.change_index(|index| {
            meets(self, name, index.named(name).map(|e| e.descriptor.digest), expect)?;
            index.set(name, manifest.clone());
            Ok(true)
        })
        .map(drop)
    }

    fn withdraw(&self, name: &str) -> Result<bool, ArchiveError> {
        self.change_index(|index| Ok(index.remove(name)))
    }

    fn sweep(&self, patience: Duration) -> Result<Box<dyn Sweep + '_>, ArchiveError> {
        Ok(Box::new(sweep::Sweeping::begin(self, patience)?))
    }
}
