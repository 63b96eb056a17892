//! Addresses to listen at.

use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::net::{TcpListener, UnixListener};

use super::tls::Tls;

/// An address to listen at.
#[derive(Debug)]
pub enum Listener {
    /// A socket on this host; whoever may open the file may connect.
    Unix(UnixListener, SocketFile),
    /// A TCP port, with TLS or without.
    Tcp(TcpListener, Option<Arc<Tls>>),
}

/// The file of a socket. It goes when nobody listens at it any more, unless somebody else made it.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    is_ours: bool,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.is_ours {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Where something listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bound {
    /// This file.
    Unix(PathBuf),
    /// This address.
    Tcp(std::net::SocketAddr),
    /// This address, with TLS.
    Tls(std::net::SocketAddr),
}

impl std::fmt::Display for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp(address) => write!(f, "http://{address}"),
            Self::Tls(address) => write!(f, "https://{address}"),
        }
    }
}

/// How long the path of a Unix socket may be, in bytes (unix(7): `sun_path` less its closing zero).
const LONGEST_SOCKET: usize = 107;

impl Listener {
    /// Listens at `bound`; what comes over TCP is spoken to with `tls`, if there is one. A socket that
    /// nobody listens at any more is replaced.
    ///
    /// # Errors
    /// When somebody listens there, or it cannot be made.
    pub async fn bind(bound: &Bound, tls: Option<&Arc<Tls>>) -> std::io::Result<Self> {
        match bound {
            Bound::Tcp(address) | Bound::Tls(address) => {
                Ok(Self::Tcp(TcpListener::bind(address).await?, tls.cloned()))
            }
            Bound::Unix(path) => {
                let length = path.as_os_str().len();
                if length > LONGEST_SOCKET {
                    return Err(std::io::Error::other(format!(
                        "the kernel takes at most {LONGEST_SOCKET} bytes for a Unix socket's path, and this one has {length}: choose a shorter one"
                    )));
                }
                if std::os::unix::net::UnixStream::connect(path).is_ok() {
                    return Err(std::io::Error::other("another service listens there"));
                }
                match std::fs::symlink_metadata(path) {
                    Ok(found) if std::os::unix::fs::FileTypeExt::is_socket(&found.file_type()) => {
                        std::fs::remove_file(path)?;
                    }
                    Ok(_) => return Err(std::io::Error::other("there is something else")),
                    Err(_) => {}
                }
                let listener = UnixListener::bind(path)?;
                let file = SocketFile { path: path.clone(), is_ours: true };
                std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
                Ok(Self::Unix(listener, file))
            }
        }
    }

    /// Listens at a socket that somebody else made, and listens at already.
    ///
    /// # Errors
    /// When it is no stream socket of a kind that is known here, or nobody listens at it.
    pub fn given(socket: OwnedFd, tls: Option<&Arc<Tls>>) -> std::io::Result<Self> {
        use rustix::net::{AddressFamily, SocketType, getsockname, sockopt};
        let wrong = |what: &str| Err(std::io::Error::other(format!("it is {what}")));
        if sockopt::socket_type(&socket)? != SocketType::STREAM {
            return wrong("no stream socket");
        }
        if !sockopt::socket_acceptconn(&socket)? {
            return wrong("no socket that listens");
        }
        match getsockname(&socket)?.address_family() {
            AddressFamily::INET | AddressFamily::INET6 => {
                let listener = std::net::TcpListener::from(socket);
                listener.set_nonblocking(true)?;
                Ok(Self::Tcp(TcpListener::from_std(listener)?, tls.cloned()))
            }
            AddressFamily::UNIX => {
                let listener = std::os::unix::net::UnixListener::from(socket);
                listener.set_nonblocking(true)?;
                let address = listener.local_addr()?;
                let path = address.as_pathname().map(PathBuf::from).unwrap_or_default();
                let file = SocketFile { path, is_ours: false };
                Ok(Self::Unix(UnixListener::from_std(listener)?, file))
            }
            _ => wrong("neither a Unix socket nor a TCP one"),
        }
    }

    /// Where it listens, with the port that the kernel chose.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn bound(&self) -> std::io::Result<Bound> {
        match self {
            Self::Tcp(listener, None) => Ok(Bound::Tcp(listener.local_addr()?)),
            Self::Tcp(listener, Some(_)) => Ok(Bound::Tls(listener.local_addr()?)),
            Self::Unix(_, file) => Ok(Bound::Unix(file.path.clone())),
        }
    }
}
