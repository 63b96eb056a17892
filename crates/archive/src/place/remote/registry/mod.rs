//! A repository of an OCI registry (OCI distribution specification 1.1).
//!
//! `oci-client` signs in and moves blobs and manifests. It reads documents of any size and cannot
//! delete; these requests are made here, with the token that it got.

mod login;
mod request;
mod tokens;

use std::io::Read;
use std::time::Duration;

use bytes::Bytes as Chunk;
use ctrlz_core::digest::Digest;
use futures_util::TryStreamExt;
use oci_client::Reference;
use oci_client::client::{BlobResponse, Client, ClientConfig, ClientProtocol};
use oci_client::errors::OciDistributionError;
use reqwest::StatusCode;
use reqwest::header::HeaderValue;

use super::super::{Blob, Bytes, Expect, Hold, Named, Place, Source, Sweep, meets};
use super::runtime::{Runtime, StreamReader};
use crate::image::Tag;
use crate::{ArchiveError, Descriptor};
pub use login::Login;

/// How much of a blob is sent with one request.
const CHUNK: usize = 4 << 20;

/// A repository of an OCI registry.
#[derive(Clone)]
pub struct Registry {
    runtime: Runtime,
    client: Client,
    http: reqwest::Client,
    login: Login,
    tokens: tokens::Tokens,
    base: String,
    host: String,
    repository: String,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Registry({})", self.address())
    }
}

/// What to say of an error that is none of a known kind.
type Cause = Box<dyn std::error::Error + Send + Sync>;

impl Registry {
    /// The repository at `address`, `HOST[:PORT]/NAME[/NAME…]`, without a tag. `plain_http` speaks
    /// without TLS, for a registry on this machine.
    ///
    /// # Errors
    /// When the address is no repository.
    pub fn open(address: &str, login: Login, plain_http: bool) -> Result<Self, ArchiveError> {
        let refuse = |why: &str| {
            let why = format!("`{}`: {why}", address.escape_debug());
            ArchiveError::Malformed { what: "the address of a registry", why }
        };
        let whole: Reference =
            address.parse().map_err(|_| refuse("expected HOST[:PORT]/NAME, in small letters"))?;
        let named_host = address
            .split('/')
            .next()
            .is_some_and(|host| host == "localhost" || host.contains('.') || host.contains(':'));
        if !named_host || whole.digest().is_some() || whole.whole() != format!("{address}:latest") {
            return Err(refuse("expected HOST[:PORT]/NAME without a tag or digest"));
        }
        let runtime = Runtime::new()?;
        let protocol = if plain_http { ClientProtocol::Http } else { ClientProtocol::Https };
        let timeouts = (Some(Duration::from_secs(60)), Some(Duration::from_secs(20)));
        let config = ClientConfig {
            protocol,
            read_timeout: timeouts.0,
            connect_timeout: timeouts.1,
            user_agent: concat!("ctrlz/", env!("CARGO_PKG_VERSION")),
            ..ClientConfig::default()
        };
        let failed = |error: Cause| ArchiveError::Place {
            action: "set up TLS for".to_owned(),
            place: address.to_owned(),
            transient: false,
            source: error,
        };
        let client = Client::try_from(config).map_err(|error| failed(Box::new(error)))?;
        let http = reqwest::Client::builder()
            .read_timeout(Duration::from_secs(60))
            .connect_timeout(Duration::from_secs(20))
            .user_agent(concat!("ctrlz/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| failed(Box::new(error)))?;
        let scheme = if plain_http { "http" } else { "https" };
        let (host, repository) =
            (whole.resolve_registry().to_owned(), whole.repository().to_owned());
        let base = format!("{scheme}://{host}/v2/{repository}");
        Ok(Self {
            runtime,
            client,
            http,
            login,
            tokens: tokens::Tokens::default(),
            base,
            host,
            repository,
        })
    }

    /// What a tag, or the digest of a manifest, stands for; `None` when nothing has it.
    ///
    /// # Errors
    /// When the registry does not answer, or does not tell what it is.
    pub fn described(&self, tag_or_digest: &str) -> Result<Option<Descriptor>, ArchiveError> {
        match tag_or_digest.parse::<Digest>() {
            Ok(digest) => self.head_manifest(&digest.to_string()),
            Err(_) => self.resolve(tag_or_digest),
        }
    }

    fn tagged(&self, name: &str) -> Result<Reference, ArchiveError> {
        let tag: Tag = name.parse()?;
        let (host, repository) = (self.host.clone(), self.repository.clone());
        Ok(Reference::with_tag(host, repository, tag.as_str().to_owned()))
    }

    fn by_digest(&self, digest: &Digest) -> Reference {
        let (host, repository) = (self.host.clone(), self.repository.clone());
        Reference::with_digest(host, repository, digest.to_string())
    }

    fn failed(
        &self,
        action: impl Into<String>,
    ) -> impl FnOnce(OciDistributionError) -> ArchiveError {
        let (action, place) = (action.into(), self.address());
        move |error| {
            let transient = match &error {
                OciDistributionError::ServerError { code, .. } => *code >= 500 || *code == 429,
                OciDistributionError::RequestError(error) => request::is_transient(error),
                OciDistributionError::IoError(_) => true,
                _ => false,
            };
            ArchiveError::Place { action, place, transient, source: Box::new(error) }
        }
    }
}

/// Nothing is collected from outside a registry.
struct Nobody;

impl Hold for Nobody {
    fn lost(&self, _: &[Blob]) -> Result<Vec<Blob>, ArchiveError> {
        Ok(Vec::new())
    }
}

impl Place for Registry {
    fn address(&self) -> String {
        format!("{}/{}", self.host, self.repository)
    }

    fn hold(&self) -> Result<Box<dyn Hold + '_>, ArchiveError> {
        Ok(Box::new(Nobody))
    }

    fn find(&self, digest: &Digest) -> Result<Option<u64>, ArchiveError> {
        let response =
            self.head(&format!("blobs/{digest}"), &format!("look for blob {digest} at"))?;
        Ok(response.and_then(|response| request::length(&response)))
    }

    fn read(&self, blob: &Blob, from: u64) -> Result<Bytes, ArchiveError> {
        if from >= blob.size {
            return match self.find(&blob.digest)? {
                Some(_) => Ok(Box::new(std::io::empty())),
                None => Err(ArchiveError::Missing(blob.digest)),
            };
        }
        let reference = self.by_digest(&blob.digest);
        let digest = blob.digest.to_string();
        let what = format!("read blob {digest} from");
        self.sign_in(request::Right::Pull)?;
        // A layer without its sources: those that a manifest names are not asked.
        let layer = oci_client::manifest::OciDescriptor { digest, ..Default::default() };
        let length = (from > 0).then_some(blob.size - from);
        let pull = self.client.pull_blob_stream_partial(&reference, &layer, from, length);
        let (stream, skip) = match self.runtime.wait(pull) {
            Ok(BlobResponse::Partial(stream)) => (stream, 0),
            // A registry without ranges gives all of it.
            Ok(BlobResponse::Full(stream)) => (stream, from),
            Err(error) if request::is_missing(&error) => {
                return Err(ArchiveError::Missing(blob.digest));
            }
            Err(error) => return Err(self.failed(what)(error)),
        };
        let place = self.clone();
        let stream = stream.stream.map_err(move |source| {
            // The library's own check of the digest; the caller makes one as well.
            let transient = source.kind() != std::io::ErrorKind::InvalidData;
            ArchiveError::Place {
                action: what.clone(),
                place: place.address(),
                transient,
                source: Box::new(source),
            }
        });
        let mut reader = StreamReader::new(&self.runtime, stream);
        if skip > 0 {
            std::io::copy(&mut reader.by_ref().take(skip), &mut std::io::sink())
                .map_err(ArchiveError::io("read", format!("blob {}", blob.digest)))?;
        }
        Ok(Box::new(reader))
    }

    fn write(
        &self,
        blob: &Blob,
        source: &Source<'_>,
        sent: &(dyn Fn(u64) + Sync),
    ) -> Result<(), ArchiveError> {
        let what = format!("write blob {} to", blob.digest);
        self.sign_in(request::Right::Push)?;
        if blob.size == 0 {
            // Without a chunk there is no chunked upload.
            let (reference, digest) = (self.by_digest(&blob.digest), blob.digest.to_string());
            let push = self.client.push_blob(&reference, Chunk::new(), &digest);
            return self.runtime.wait(push).map(drop).map_err(self.failed(what));
        }
        let mut input = source(0)?;
        let (sender, receiver) = tokio::sync::mpsc::channel::<oci_client::errors::Result<Chunk>>(1);
        let stream = futures_util::stream::unfold(receiver, |mut receiver| async move {
            receiver.recv().await.map(|chunk| (chunk, receiver))
        });
        let (client, reference, digest, size) =
            (self.client.clone(), self.by_digest(&blob.digest), blob.digest.to_string(), blob.size);
        let push = self.runtime.start(async move {
            client.push_blob_stream(&reference, stream, &digest, Some(size)).await
        });
        let mut left = blob.size;
        let mut bad = None;
        while left > 0 && bad.is_none() {
            let most = left.min(u64::try_from(CHUNK).unwrap_or(u64::MAX));
            let mut bytes = Vec::with_capacity(usize::try_from(most).unwrap_or(0));
            match input.by_ref().take(most).read_to_end(&mut bytes) {
                Ok(0) => {
                    bad = Some(ArchiveError::damaged(blob.digest, "the source ends too early"))
                }
                Err(error) => {
                    bad = Some(ArchiveError::io(
                        "read a source for",
                        format!("blob {}", blob.digest),
                    )(error));
                }
                Ok(length) => {
                    let length = u64::try_from(length).unwrap_or(u64::MAX);
                    left = left.saturating_sub(length);
                    // When nobody takes it, the upload has failed and says why below.
                    if sender.blocking_send(Ok(Chunk::from(bytes))).is_err() {
                        break;
                    }
                    sent(length);
                }
            }
        }
        if let Some(error) = bad {
            // Without its last request the upload never becomes a blob.
            push.abort();
            return Err(error);
        }
        drop(sender);
        let pushed = self.runtime.wait(push).map_err(|error| {
            ArchiveError::io("send", format!("blob {}", blob.digest))(std::io::Error::other(error))
        })?;
        match pushed {
            Ok(_) => Ok(()),
            Err(error) if request::is_other_digest(&error) => {
                Err(ArchiveError::damaged(blob.digest, "the registry got other bytes"))
            }
            Err(error) => Err(self.failed(what)(error)),
        }
    }

    fn names(&self) -> Result<Vec<Named>, ArchiveError> {
        let mut named = Vec::new();
        for name in self.tags()? {
            // It may have been removed meanwhile.
            if let Some(descriptor) = self.resolve(&name)? {
                named.push(Named { name, descriptor });
            }
        }
        Ok(named)
    }

    fn roots(&self) -> Result<Vec<Descriptor>, ArchiveError> {
        Ok(self.names()?.into_iter().map(|named| named.descriptor).collect())
    }

    fn resolve(&self, name: &str) -> Result<Option<Descriptor>, ArchiveError> {
        let tag: Tag = name.parse()?;
        self.head_manifest(tag.as_str())
    }

    fn manifest(&self, descriptor: &Descriptor) -> Result<Vec<u8>, ArchiveError> {
        self.get_manifest(&descriptor.digest)
    }

    fn store_manifest(&self, manifest: &Descriptor, bytes: &[u8]) -> Result<(), ArchiveError> {
        self.put_manifest(&self.by_digest(&manifest.digest), manifest, bytes)
    }

    fn publish(
        &self,
        name: &str,
        manifest: &Descriptor,
        bytes: &[u8],
        expect: Expect,
    ) -> Result<(), ArchiveError> {
        // A registry has no conditional put: between the question and the answer somebody else may
        // be faster.
        if expect != Expect::Any {
            meets(self, name, self.resolve(name)?.map(|found| found.digest), expect)?;
        }
        self.put_manifest(&self.tagged(name)?, manifest, bytes)
    }

    fn withdraw(&self, name: &str) -> Result<bool, ArchiveError> {
        let Some(descriptor) = self.resolve(name)? else { return Ok(false) };
        let tag: Tag = name.parse()?;
        match self.delete_manifest(tag.as_str())? {
            StatusCode::NOT_FOUND => return Ok(false),
            status if status.is_success() => return Ok(true),
            _ => {}
        }
        // Most registries remove a manifest with all of its names, or nothing.
        let others: Vec<String> = self
            .names()?
            .into_iter()
            .filter(|other| other.name != name && other.descriptor.digest == descriptor.digest)
            .map(|other| other.name)
            .collect();
        let unsupported = |why: String| {
            let (place, what) = (self.address(), "remove a name");
            Err(ArchiveError::Unsupported { place, what, why })
        };
        if !others.is_empty() {
            return unsupported(format!(
                "it removes a manifest with all of its names, and `{}` is one of them",
                others.join("`, `")
            ));
        }
        match self.delete_manifest(&descriptor.digest.to_string())? {
            status if status.is_success() => Ok(true),
            StatusCode::NOT_FOUND => Ok(false),
            status => unsupported(format!(
                "it answers {status}; removing has to be allowed in the registry's configuration"
            )),
        }
    }

    fn sweep(&self, _: Duration) -> Result<Box<dyn Sweep + '_>, ArchiveError> {
        Err(ArchiveError::Unsupported {
            place: self.address(),
            what: "be collected from outside",
            why:
                "a registry collects by itself, or by its own command (`registry garbage-collect`)"
                    .to_owned(),
        })
    }
}

impl Registry {
    fn put_manifest(
        &self,
        reference: &Reference,
        manifest: &Descriptor,
        bytes: &[u8],
    ) -> Result<(), ArchiveError> {
        let what = format!("write manifest {} to", manifest.digest);
        let media_type = HeaderValue::from_str(&manifest.media_type.0)
            .map_err(|error| ArchiveError::malformed("the manifest", error))?;
        self.sign_in(request::Right::Push)?;
        let push = self.client.push_manifest_raw(reference, bytes.to_vec(), media_type);
        self.runtime.wait(push).map(drop).map_err(self.failed(what))
    }
}
