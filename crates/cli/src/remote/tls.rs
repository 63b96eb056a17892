//! What a connection by TLS is verified with.

use std::env;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::failure::{Failure, OWN_FAILURE};

/// The host's authorities, or those of `CTRLZ_SERVER_CA` alone; with the certificate of
/// `CTRLZ_SERVER_CERT` and `CTRLZ_SERVER_KEY` when these are set.
pub(super) fn configuration() -> Result<Arc<ClientConfig>, Failure> {
    let failed = |error: &dyn std::error::Error| Failure::caused(OWN_FAILURE, "tls", error);
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(&error))?
        .with_root_certificates(authorities()?);
    let config = match (file("CTRLZ_SERVER_CERT"), file("CTRLZ_SERVER_KEY")) {
        (None, None) => builder.with_no_client_auth(),
        (Some(certificate), Some(key)) => {
            let chain = certificates(&certificate)?;
            let private = PrivateKeyDer::from_pem_file(&key)
                .map_err(|error| unusable(&key, &error.to_string()))?;
            builder
                .with_client_auth_cert(chain, private)
                .map_err(|error| unusable(&certificate, &error.to_string()))?
        }
        _ => {
            let message = "one of CTRLZ_SERVER_CERT and CTRLZ_SERVER_KEY is set without the other";
            return Err(Failure::new(OWN_FAILURE, "tls", message));
        }
    };
    Ok(Arc::new(config))
}

fn file(name: &str) -> Option<PathBuf> {
    env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

fn authorities() -> Result<RootCertStore, Failure> {
    let mut roots = RootCertStore::empty();
    let Some(path) = file("CTRLZ_SERVER_CA") else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return match roots.is_empty() {
            false => Ok(roots),
            true => {
                Err(Failure::new(OWN_FAILURE, "tls", "this host has no certificate authorities")
                    .hint("name a file with them by CTRLZ_SERVER_CA"))
            }
        };
    };
    for certificate in certificates(&path)? {
        roots.add(certificate).map_err(|error| unusable(&path, &error.to_string()))?;
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let found =
        CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(unusable(path, "there are none")),
        Err(error) => Err(unusable(path, &error.to_string())),
    }
}

fn unusable(path: &Path, why: &str) -> Failure {
    let message = format!("cannot use the certificates in {}: {why}", path.display());
    Failure::new(OWN_FAILURE, "tls", message).hint("a file in the PEM format is needed")
}
