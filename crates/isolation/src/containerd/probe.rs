//! What containerd is, and whether it has what a driver needs.

use std::path::{Path, PathBuf};

use ctrlz_core::driver::Shim;
use ctrlz_core::isolation::IsolationError;

use super::client::{self, Calls, told};

/// What containerd tells of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// Its socket.
    pub socket: PathBuf,
    /// Its version.
    pub version: String,
    /// The program of the shim.
    pub shim: PathBuf,
}

/// Asks containerd, and looks for the shim and what that needs.
///
/// # Errors
/// What is missing, all of it, with the remedy.
pub fn probe(shim: Shim) -> Result<Probe, IsolationError> {
    let socket = client::socket();
    let version = version(&socket);
    let program = find(program(shim), std::env::var_os("PATH").unwrap_or_default().as_os_str());
    let mut missing = Vec::new();
    if program.is_none() {
        missing.push(format!("there is no {} in PATH: {}", self::program(shim), remedy(shim)));
    }
    if shim == Shim::Kata && !Path::new("/dev/kvm").exists() {
        missing.push(
            "there is no /dev/kvm: switch virtualization on in the firmware, or nested virtualization \
             in the host of this machine, and load kvm_intel or kvm_amd"
                .to_owned(),
        );
    }
    match (version, program) {
        (Ok(version), Some(shim)) if missing.is_empty() => Ok(Probe { socket, version, shim }),
        (version, _) => {
            if let Err(error) = version {
                if missing.is_empty() {
                    return Err(error);
                }
                missing.push(crate::level::told(&error));
            }
            Err(IsolationError::Unenforceable {
                what: format!("--isolation containerd:{}", shim.word()),
                reason: missing.join("; "),
            })
        }
    }
}

fn version(socket: &Path) -> Result<String, IsolationError> {
    let asked = client::block_on(async {
        let calls =
            Calls::open(socket).await.map_err(|error| client::unreachable(socket, &error))?;
        calls.version().await.map_err(|error| {
            let source = match error.is_unknown() {
                true => std::io::Error::other("what listens there is no containerd"),
                false => told(&error),
            };
            let step = format!("ask containerd at {} for its version", socket.display());
            IsolationError::Setup { step, source }
        })
    });
    asked.map_err(|source| IsolationError::Setup { step: "wait for containerd".into(), source })?
}

/// How containerd finds the shim of a runtime (containerd's runtime/v2/README.md).
fn program(shim: Shim) -> &'static str {
    match shim {
        Shim::Runc => "containerd-shim-runc-v2",
        Shim::Kata => "containerd-shim-kata-v2",
    }
}

fn remedy(shim: Shim) -> &'static str {
    match shim {
        Shim::Runc => "it comes with containerd (Debian: apt install containerd)",
        Shim::Kata => {
            "install Kata Containers (katacontainers.io) and link its shim into /usr/local/bin, where \
             containerd looks for it, too"
        }
    }
}

fn find(name: &str, path: &std::ffi::OsStr) -> Option<PathBuf> {
    let usual = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin"].map(PathBuf::from);
    let folders = std::env::split_paths(path).filter(|folder| folder.is_absolute()).chain(usual);
    folders.map(|folder| folder.join(name)).find(|path| {
        path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
    })
}
