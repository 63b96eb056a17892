//! From an address to a store.

use std::path::Path as FilePath;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::client::{HttpError, HttpErrorKind};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::memory::InMemory;
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreScheme, RetryConfig};
use url::Url;

use super::super::runtime::Runtime;
use super::Object;
use super::upload::Budget;
use crate::ArchiveError;

/// What the library tries by itself; a transfer tries further.
fn retry() -> RetryConfig {
    RetryConfig { max_retries: 4, retry_timeout: Duration::from_secs(60), ..RetryConfig::default() }
}

impl Object {
    /// The place at `address`: `s3://bucket/prefix`, `gs://bucket/prefix`, `az://container/prefix`
    /// and what else object_store takes. `options` are names and values as in the environment,
    /// `AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT`, `GOOGLE_SERVICE_ACCOUNT`, `AZURE_STORAGE_ACCOUNT_NAME`,
    /// …; those of other stores, or of no store, are passed over. Credentials in the address are
    /// refused: addresses are shown and logged.
    ///
    /// `notes` is a directory in which it is noted which large uploads are under way. With it, a
    /// process that was killed is gone on with by the next; without, its parts lie there until the
    /// store's own rule for unfinished uploads removes them.
    ///
    /// # Errors
    /// When the address is none of these, or an option cannot be.
    pub fn open(
        address: &str,
        options: impl IntoIterator<Item = (String, String)>,
        notes: Option<&FilePath>,
    ) -> Result<Self, ArchiveError> {
        let refuse = |why: String| ArchiveError::Malformed { what: "the address of a place", why };
        let url = Url::parse(address).map_err(|error| refuse(error.to_string()))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refuse("it holds a name or a password; give these as options".to_owned()));
        }
        let (scheme, prefix) =
            ObjectStoreScheme::parse(&url).map_err(|error| refuse(error.to_string()))?;
        let options: Vec<(String, String)> =
            options.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
        let failed = |error: object_store::Error| refuse(error.to_string());
        // It chooses the kind of TLS, which has to be before a client is built.
        let runtime = Runtime::new()?;
        macro_rules! build {
            ($builder:ty, $key:ty) => {{
                let mut builder = <$builder>::new().with_retry(retry());
                for (name, value) in &options {
                    if let Ok(key) = <$key>::from_str(name) {
                        builder = builder.with_config(key, value);
                    }
                }
                let store = Arc::new(builder.with_url(url.as_str()).build().map_err(failed)?);
                (Arc::clone(&store) as Arc<dyn ObjectStore>, store as Arc<dyn MultipartStore>)
            }};
        }
        let (store, multipart) = match scheme {
            ObjectStoreScheme::AmazonS3 => build!(AmazonS3Builder, AmazonS3ConfigKey),
            ObjectStoreScheme::GoogleCloudStorage => {
                build!(GoogleCloudStorageBuilder, GoogleConfigKey)
            }
            ObjectStoreScheme::MicrosoftAzure => build!(MicrosoftAzureBuilder, AzureConfigKey),
            _ => {
                let why = format!("`{}` is no object store: s3, gs, az, …", url.scheme());
                return Err(refuse(why));
            }
        };
        Ok(Self::with(runtime, store, multipart, prefix, address.to_owned(), notes))
    }

    /// A place in memory, which is gone with its last handle: for tests.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn in_memory(name: &str, notes: Option<&FilePath>) -> Result<Self, ArchiveError> {
        let store = Arc::new(InMemory::new());
        let prefix = Path::from(name);
        let (runtime, address) = (Runtime::new()?, format!("memory:{name}"));
        Ok(Self::with(runtime, Arc::clone(&store) as _, store, prefix, address, notes))
    }

    fn with(
        runtime: Runtime,
        store: Arc<dyn ObjectStore>,
        multipart: Arc<dyn MultipartStore>,
        prefix: Path,
        address: String,
        notes: Option<&FilePath>,
    ) -> Self {
        let (budget, notes) = (Budget::new(), notes.map(FilePath::to_owned));
        Self { runtime, store, multipart, prefix, address, budget, notes }
    }
}

/// Whether the same may go well in a moment: the connection failed, or the server did.
pub(super) fn is_transient(error: &object_store::Error) -> bool {
    if !matches!(error, object_store::Error::Generic { .. }) {
        return false;
    }
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<HttpError>() {
            return !matches!(error.kind(), HttpErrorKind::Decode | HttpErrorKind::Unknown);
        }
        source = error.source();
    }
    // The status is not to be had but in words.
    let text = error.to_string();
    ["429 ", "500 ", "502 ", "503 ", "504 "].iter().any(|status| text.contains(status))
}
