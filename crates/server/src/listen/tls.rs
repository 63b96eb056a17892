//! TLS: certificates from files, which are read again when they change.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use ctrlz_core::time::Timestamp;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::expiry::end_of;

/// How often it is looked whether the files changed.
const LOOK: Duration = Duration::from_secs(2);
/// How large such a file may be.
const LARGEST: u64 = 1 << 20;
/// The first byte of a client that speaks TLS: a record of the handshake (RFC 8446, 5.1).
const HANDSHAKE: u8 = 22;
/// What a client hears that does not.
const NO_TLS: &str = r#"{"type":"urn:ctrlz:problem:no-tls","status":400,"title":"this port speaks TLS alone","kind":"no-tls","hint":"use https://"}"#;

/// Where certificates and keys lie, as PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate of the service, and those between it and the root.
    pub certificate: PathBuf,
    /// Its key, which only the service's user and group may read.
    pub key: PathBuf,
    /// The authorities one of which has to have signed a client's certificate. Clients need none when
    /// this is left out.
    pub client_authorities: Option<PathBuf>,
}

/// Why TLS cannot be spoken with these files.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("{path}: {why}")]
    Content {
        /// Which.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// Others may read the key.
    #[error("{path} holds a key, and everybody may read or write it (mode {mode:o})")]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The files do not fit together, or cannot be used.
    #[error("{certificate} and {key} cannot be used together")]
    Unusable {
        /// The certificate.
        certificate: PathBuf,
        /// The key.
        key: PathBuf,
        /// Why not.
        #[source]
        source: rustls::Error,
    },
}

/// What tells a file from what it was: device, inode, size, time of its last change.
type Stamp = (u64, u64, u64, i64, i64);

/// What is in use.
#[derive(Debug)]
struct Used {
    config: Arc<ServerConfig>,
    /// Until when the certificate holds.
    end: Option<Timestamp>,
}

/// The service's side of TLS, for all connections that are made from now on.
#[derive(Debug)]
pub struct Tls {
    files: TlsFiles,
    used: RwLock<Used>,
    /// The files as they were tried last.
    tried: Mutex<Vec<Option<Stamp>>>,
    trouble: Mutex<Option<String>>,
    loaded: AtomicU64,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// When one cannot be used, or others may read the key.
    pub fn new(files: TlsFiles) -> Result<Arc<Self>, TlsError> {
        let tried = Mutex::new(stamps(&files));
        let used = RwLock::new(load(&files)?);
        let (trouble, loaded) = (Mutex::default(), AtomicU64::new(1));
        Ok(Arc::new(Self { files, used, tried, trouble, loaded }))
    }

    /// Reads the files again. New connections get what they say; when one cannot be used, everything
    /// stays as it was.
    ///
    /// # Errors
    /// When one cannot be used.
    pub fn reload(&self) -> Result<(), TlsError> {
        let mut tried = self.tried.lock().unwrap_or_else(PoisonError::into_inner);
        *tried = stamps(&self.files);
        let loaded = load(&self.files);
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        match loaded {
            Ok(used) => {
                *self.used.write().unwrap_or_else(PoisonError::into_inner) = used;
                self.loaded.fetch_add(1, Ordering::Relaxed);
                *trouble = None;
                tracing::info!("a new certificate is in use");
                Ok(())
            }
            Err(error) => {
                let told = ctrlz_engine::in_full(&error);
                tracing::error!(error = ?told, "the certificate that was there stays in use");
                *trouble = Some(told);
                Err(error)
            }
        }
    }

    /// Reads the files again whenever they have changed, for ever.
    pub async fn follow(self: Arc<Self>) {
        loop {
            tokio::time::sleep(LOOK).await;
            let tls = Arc::clone(&self);
            // One that panicked has told so.
            let _ = tokio::task::spawn_blocking(move || {
                if tls.has_changed() {
                    // It is kept, for whoever asks about the service's health.
                    let _ = tls.reload();
                }
            })
            .await;
        }
    }

    fn has_changed(&self) -> bool {
        *self.tried.lock().unwrap_or_else(PoisonError::into_inner) != stamps(&self.files)
    }

    /// Why the files as they are now are not in use.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How often the files were taken into use.
    pub(crate) fn loaded(&self) -> u64 {
        self.loaded.load(Ordering::Relaxed)
    }

    /// Until when the certificate holds that is in use.
    pub(crate) fn end(&self) -> Option<Timestamp> {
        self.used.read().unwrap_or_else(PoisonError::into_inner).end
    }

    fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.used.read().unwrap_or_else(PoisonError::into_inner).config)
    }
}

fn stamps(files: &TlsFiles) -> Vec<Option<Stamp>> {
    let stamp = |path: &Path| {
        let found = std::fs::metadata(path).ok()?;
        Some((found.dev(), found.ino(), found.size(), found.mtime(), found.mtime_nsec()))
    };
    let all = [Some(&files.certificate), Some(&files.key), files.client_authorities.as_ref()];
    all.into_iter().flatten().map(|path| stamp(path)).collect()
}

fn read(path: &Path, is_key: bool) -> Result<Vec<u8>, TlsError> {
    use std::io::Read as _;
    let failed = |source| TlsError::Read { path: path.to_owned(), source };
    let file = std::fs::File::open(path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.mode() & 0o7777;
    // The group may read it: keys of a host often belong to one for that.
    if is_key && mode & 0o027 != 0 {
        return Err(TlsError::Exposed { path: path.to_owned(), mode });
    }
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(failed)?;
    match bytes.len() as u64 > LARGEST {
        true => Err(wrong(path, "it is larger than a MiB")),
        false => Ok(bytes),
    }
}

fn wrong(path: &Path, why: impl std::fmt::Display) -> TlsError {
    TlsError::Content { path: path.to_owned(), why: why.to_string() }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bytes = read(path, false)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let found = found.map_err(|error| wrong(path, error))?;
    match found.is_empty() {
        true => Err(wrong(path, "there is no certificate in it")),
        false => Ok(found),
    }
}

fn load(files: &TlsFiles) -> Result<Used, TlsError> {
    let provider: Arc<CryptoProvider> = Arc::new(rustls::crypto::ring::default_provider());
    let certificates_ = certificates(&files.certificate)?;
    let end = end_of(&certificates_);
    let key = read(&files.key, true)?;
    let key = PrivateKeyDer::from_pem_slice(&key).map_err(|error| wrong(&files.key, error))?;
    let unusable = |source| TlsError::Unusable {
        certificate: files.certificate.clone(),
        key: files.key.clone(),
        source,
    };
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(unusable)?;
    let builder = match &files.client_authorities {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = rustls::RootCertStore::empty();
            for one in certificates(path)? {
                roots.add(one).map_err(|error| wrong(path, error))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .map_err(|error| wrong(path, error))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_single_cert(certificates_, key).map_err(unusable)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Used { config: Arc::new(config), end })
}

/// Agrees with a client on how to speak. One that speaks no TLS is told so.
pub(super) async fn agree(
    mut stream: TcpStream,
    tls: &Tls,
    handshakes: &Semaphore,
) -> Option<TlsStream<TcpStream>> {
    let mut first = [0];
    if stream.peek(&mut first).await.ok()? == 0 {
        return None;
    }
    if first != [HANDSHAKE] {
        // Whether that is heard is the client's matter.
        let heard = format!(
            "HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\
             content-type: application/problem+json\r\ncontent-length: {}\r\n\r\n{NO_TLS}",
            NO_TLS.len()
        );
        let _ = stream.write_all(heard.as_bytes()).await;
        let _ = stream.shutdown().await;
        // What it sent and nobody read would otherwise take the answer with it.
        let mut rest = [0; 1024];
        let _ = tokio::time::timeout(Duration::from_secs(1), async {
            while tokio::io::AsyncReadExt::read(&mut stream, &mut rest).await.is_ok_and(|n| n > 0) {
            }
        })
        .await;
        return None;
    }
    // Clients that have sent something only: those that wait hold nobody up.
    let _turn = handshakes.acquire().await.ok()?;
    TlsAcceptor::from(tls.config()).accept(stream).await.ok()
}
