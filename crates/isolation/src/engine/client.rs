//! Speaking to an engine.

use std::fmt;
use std::future::Future;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bollard::errors::Error;
use bollard::{API_DEFAULT_VERSION, Docker};
use ctrlz_core::isolation::IsolationError;
use serde::{Deserialize, Serialize};
use tokio::runtime::{Builder, Runtime};

/// A container engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Engine {
    /// podman, by the part of its API that is docker's.
    Podman,
    /// dockerd.
    Docker,
}

impl Engine {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Podman, Self::Docker];

    /// Its name.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Podman => "podman",
            Self::Docker => "docker",
        }
    }

    /// The socket that the user named (`CONTAINER_HOST` for podman, `DOCKER_HOST` for docker), or the
    /// usual ones, those of this user first.
    ///
    /// # Errors
    /// When the user named something that is no Unix socket: workspaces are on this host.
    pub fn sockets(self) -> Result<Vec<PathBuf>, IsolationError> {
        let variable = match self {
            Self::Podman => "CONTAINER_HOST",
            Self::Docker => "DOCKER_HOST",
        };
        if let Some(named) = std::env::var_os(variable).filter(|value| !value.is_empty()) {
            let path = named.to_str().and_then(|text| text.strip_prefix("unix://"));
            return path.map(|path| vec![path.into()]).ok_or_else(|| IsolationError::Setup {
                step: format!("use {variable}={}", named.display()),
                source: io::Error::other("only the socket of an engine of this host: unix:///PATH"),
            });
        }
        let name = match self {
            Self::Podman => "podman/podman.sock",
            Self::Docker => "docker.sock",
        };
        let own = (!rustix::process::geteuid().is_root())
            .then(|| std::env::var_os("XDG_RUNTIME_DIR"))
            .flatten();
        let own = own.map(|directory| Path::new(&directory).join(name));
        Ok(own.into_iter().chain([Path::new("/run").join(name)]).collect())
    }

    fn hint(self, kind: io::ErrorKind) -> String {
        match (self, kind) {
            (Self::Podman, io::ErrorKind::PermissionDenied) => {
                "it is root's; with `systemctl --user start podman.socket` you have your own".into()
            }
            (Self::Docker, io::ErrorKind::PermissionDenied) => {
                "root and the members of the group docker may use it, and are root on this host by \
                 that"
                    .into()
            }
            (Self::Podman, _) => {
                let user = if rustix::process::geteuid().is_root() { "" } else { "--user " };
                format!(
                    "nothing listens there; `systemctl {user}start podman.socket` or `podman system \
                     service` starts it, and CONTAINER_HOST=unix:///PATH names another socket"
                )
            }
            (Self::Docker, _) => "nothing listens there; `systemctl start docker` starts it, and \
                                  DOCKER_HOST=unix:///PATH names another socket"
                .into(),
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A connection with an engine.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) engine: Engine,
    pub(super) socket: PathBuf,
    pub(super) docker: Docker,
    /// The engine is an ordinary user's, in a user namespace whose root is that user.
    pub(super) rootless: bool,
    runtime: Runtime,
}

/// How long the engine may take for one answer.
const PATIENCE: Duration = Duration::from_secs(120);

/// The most of an answer to a ping that is read.
const PING: u64 = 1 << 14;

/// Asks for nothing but the header that tells whose socket it is: podman takes a second to tell its version.
fn is_podman(mut stream: &UnixStream) -> io::Result<bool> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /_ping HTTP/1.0\r\nHost: engine\r\n\r\n")?;
    let mut bytes = Vec::new();
    stream.take(PING).read_to_end(&mut bytes)?;
    let answer = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
    let headers = answer.split("\r\n\r\n").next().unwrap_or_default();
    if !headers.lines().any(|line| line.starts_with("api-version:")) {
        let first = headers.lines().next().unwrap_or_default();
        return Err(io::Error::other(format!("no container engine answers there: `{first}`")));
    }
    Ok(headers.lines().any(|line| line.starts_with("libpod-api-version:")))
}

impl Client {
    /// Connects to the first socket on which something listens.
    pub(super) fn connect(engine: Engine, sockets: &[PathBuf]) -> Result<Self, IsolationError> {
        let mut failure = None;
        for socket in sockets {
            match UnixStream::connect(socket) {
                Ok(stream) => return Self::over(engine, socket, &stream),
                Err(error) => {
                    // That of the user may be absent; why root's refused says more.
                    let more = failure.is_none() || error.kind() == io::ErrorKind::PermissionDenied;
                    failure = if more { Some((socket, error)) } else { failure };
                }
            }
        }
        Err(match failure {
            Some((socket, source)) => IsolationError::Setup {
                step: format!(
                    "reach {engine} at {} ({})",
                    socket.display(),
                    engine.hint(source.kind())
                ),
                source,
            },
            None => IsolationError::Setup {
                step: format!("reach {engine}"),
                source: io::ErrorKind::NotFound.into(),
            },
        })
    }

    fn over(engine: Engine, socket: &Path, stream: &UnixStream) -> Result<Self, IsolationError> {
        let failed = |source| IsolationError::Setup {
            step: format!("reach {engine} at {}", socket.display()),
            source,
        };
        let peer = rustix::net::sockopt::socket_peercred(stream).map_err(|e| failed(e.into()))?;
        let runtime = Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let text = socket.to_str().ok_or_else(|| {
            failed(io::Error::new(io::ErrorKind::InvalidInput, "its path is not UTF-8"))
        })?;
        let is_podman = is_podman(stream).map_err(failed)?;
        if is_podman != (engine == Engine::Podman) {
            let other = if is_podman { "podman" } else { "docker" };
            return Err(failed(io::Error::other(format!("{other} listens there"))));
        }
        let docker = Docker::connect_with_unix(text, PATIENCE.as_secs(), API_DEFAULT_VERSION)
            .map_err(|error| failed(io::Error::other(error)))?;
        let rootless = !peer.uid.is_root();
        Ok(Self { engine, socket: socket.to_owned(), docker, rootless, runtime })
    }

    /// Waits for what is asked of the engine.
    pub(super) fn run<T>(
        &self,
        step: impl FnOnce() -> String,
        asked: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, IsolationError> {
        self.wait(asked).map_err(|error| self.failed(step(), &error))
    }

    /// The same, with the engine's own error.
    pub(super) fn wait<T>(
        &self,
        asked: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        self.runtime.block_on(asked)
    }

    pub(super) fn failed(&self, step: String, error: &Error) -> IsolationError {
        let kind = match error {
            Error::DockerResponseServerError { status_code: 404, .. } => io::ErrorKind::NotFound,
            _ => io::ErrorKind::Other,
        };
        let source = io::Error::new(kind, told(error));
        IsolationError::Setup { step: format!("{step} with {}", self.engine), source }
    }
}

/// Whether there is no such thing.
pub(super) fn is_absent(error: &Error) -> bool {
    matches!(error, Error::DockerResponseServerError { status_code: 404, .. })
}

/// What the engine says, or what lies behind a failure to speak to it.
pub(super) fn told(error: &Error) -> String {
    if let Error::DockerResponseServerError { message, .. } = error {
        return message.trim().to_owned();
    }
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}
