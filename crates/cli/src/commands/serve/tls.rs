//! The files of TLS: from arguments, or from the environment, for units and containers.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ctrlz_server::{Tls, TlsError, TlsFiles};
use tokio::signal::unix::Signal;

use super::systemd::Manager;
use crate::arguments::TlsArguments;
use crate::failure::{Failure, OWN_FAILURE};

/// Reads them, when there are any. Relative ones are relative to where the service is started.
pub(super) fn tls(arguments: &TlsArguments) -> Result<Option<Arc<Tls>>, Failure> {
    let given = |argument: &Option<PathBuf>, variable: &str| {
        let set = std::env::var_os(variable).filter(|value| !value.is_empty());
        let path = argument.clone().or_else(|| set.map(PathBuf::from));
        path.map(|path| absolute(&path)).transpose()
    };
    let certificate = given(&arguments.tls_cert, "CTRLZ_TLS_CERT")?;
    let key = given(&arguments.tls_key, "CTRLZ_TLS_KEY")?;
    let client_authorities = given(&arguments.tls_client_ca, "CTRLZ_TLS_CLIENT_CA")?;
    let (certificate, key) = match (certificate, key, &client_authorities) {
        (None, None, None) => return Ok(None),
        (Some(certificate), Some(key), _) => (certificate, key),
        _ => {
            let message = "TLS needs a certificate and its key";
            return Err(Failure::new(OWN_FAILURE, "tls", message).hint(
                "give --tls-cert FILE and --tls-key FILE, or CTRLZ_TLS_CERT and CTRLZ_TLS_KEY",
            ));
        }
    };
    let files = TlsFiles { certificate, key, client_authorities };
    Tls::new(files).map(Some).map_err(|error| {
        let failure = Failure::caused(OWN_FAILURE, "tls", &error);
        match &error {
            TlsError::Exposed { path, .. } => {
                failure.hint(format!("chmod 0640 {}", path.display()))
            }
            _ => failure,
        }
    })
}

/// Has them read again whenever they change, and on SIGHUP, for ever.
pub(super) async fn reload(
    tls: Option<Arc<Tls>>,
    mut asked: Signal,
    manager: Arc<Manager>,
    bounds: Vec<String>,
) {
    if let Some(tls) = &tls {
        tokio::spawn(Arc::clone(tls).follow());
    }
    while asked.recv().await.is_some() {
        manager.reloading();
        if let Some(tls) = tls.clone() {
            // What is wrong is told with the service's health.
            let _ = tokio::task::spawn_blocking(move || tls.reload().is_ok()).await;
        }
        manager.ready(&bounds);
    }
}

fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(|error| Failure::caused(OWN_FAILURE, "tls", &error))
}
